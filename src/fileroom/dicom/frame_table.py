"""Where each frame of an instance lies, once it is known. Pure."""

from array import array
from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct as Record

from fileroom.dicom.encoding import Buffer
from fileroom.dicom.instance_error import InstanceError

Range = tuple[int, int]


class FrameTableError(InstanceError):
    """The instance has no frames, or its bytes do not say where they lie."""


class NativeFrames(Record, frozen=True, gc=False):
    """`count` frames of one length, one behind the other from byte `offset` of the data set."""

    offset: int
    frame_length_bytes: int
    count: int

    def ranges(self, frame: int) -> list[Range]:
        """The byte range [start, end) of a frame; frames count from 0."""
        start = self.offset + _within(frame, self.count) * self.frame_length_bytes
        return [(start, start + self.frame_length_bytes)]


class PackedBitFrames(Record, frozen=True, gc=False):
    """Frames of one bit a pixel whose length is no whole number of bytes: they follow each
    other without a gap, so most begin inside a byte (PS3.5 §8.1.1)."""

    offset: int
    frame_length_bits: int
    count: int

    @property
    def frame_length_bytes(self) -> int:
        """Of a frame that is cut out."""
        return (self.frame_length_bits + 7) // 8

    def ranges(self, frame: int) -> list[Range]:
        """The bytes that hold a frame, with bits of its neighbours at either end."""
        return [self.holding(frame, 0, self.frame_length_bytes)]

    def holding(self, frame: int, start: int, end: int) -> Range:
        """The bytes that hold bytes [start, end) of a frame that is cut out."""
        first, behind = self._bits(frame, start, end)
        return self.offset + first // 8, self.offset + (behind + 7) // 8

    def cut(self, data: Buffer, frame: int, start: int, end: int) -> bytes:
        """Bytes [start, end) of the frame alone, from the bytes that hold them: it begins with
        the lowest bit of its first byte, and the bits behind it are zero."""
        first, behind = self._bits(frame, start, end)
        bits = int.from_bytes(data, "little") >> first % 8
        return (bits & (1 << behind - first) - 1).to_bytes(end - start, "little")

    def _bits(self, frame: int, start: int, end: int) -> Range:
        origin = _within(frame, self.count) * self.frame_length_bits
        return origin + 8 * start, origin + min(8 * end, self.frame_length_bits)


class EncapsulatedFrames(Record, frozen=True, gc=False):
    """Frames that are one or more fragments each.

    Attributes:
        starts, ends: of the contents of all fragments, in the data set.
        firsts: the number of each frame's first fragment, and at the end that of all.
    """

    starts: "array[int]"
    ends: "array[int]"
    firsts: "array[int]"

    @property
    def count(self) -> int:
        """The number of frames."""
        return len(self.firsts) - 1

    def ranges(self, frame: int) -> list[Range]:
        """The byte ranges [start, end) of a frame's fragments; frames count from 0."""
        first, end = self.firsts[_within(frame, self.count)], self.firsts[frame + 1]
        return list(zip(self.starts[first:end], self.ends[first:end], strict=True))

    def __iter__(self) -> Iterator[list[Range]]:
        return (self.ranges(frame) for frame in range(self.count))


FrameTable: TypeAlias = NativeFrames | PackedBitFrames | EncapsulatedFrames


def _within(frame: int, count: int) -> int:
    if not 0 <= frame < count:
        raise IndexError(f"frame {frame} of {count}")
    return frame

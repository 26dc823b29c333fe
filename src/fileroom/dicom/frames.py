"""Where the frames of an instance lie in its data set, PS3.3 §C.7.6.3 and PS3.5 §A.4. Pure.

Pixel bytes are not read: native frames follow from the image's size, encapsulated ones from an
offset table and the items' headers. Only fragments without a table are looked at, a few bytes
at either end.
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from struct import Struct
from typing import Final, TypeAlias

from msgspec import Struct as Record

from fileroom.dicom.dataset_index import DataSet, Element, Read, Window, open_data_set
from fileroom.dicom.encoding import ITEM, PIXEL_DATA, SEQUENCE_DELIMITATION, UNDEFINED, ByteOrder
from fileroom.dicom.header_attributes import number_text
from fileroom.dicom.instance_error import InstanceError

SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
NUMBER_OF_FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
OFFSET_TABLE: Final = 0x7FE00001
OFFSET_TABLE_LENGTHS: Final = 0x7FE00002
PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})
_NUMBERS: Final = frozenset({SAMPLES_PER_PIXEL, NUMBER_OF_FRAMES, ROWS, COLUMNS, BITS_ALLOCATED})

FRAGMENTS_MAX: Final = 2_000_000
TABLE_BYTES_MAX: Final = 8 * FRAGMENTS_MAX
ITEM_HEADER_BYTES: Final = 8
_CODESTREAM_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff")  # SOI, and SOC of JPEG 2000
_CODESTREAM_END: Final = b"\xff\xd9"  # EOI, EOC
_TAIL_BYTES: Final = 10  # padding may follow the end marker

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

    def ranges(self, frame: int) -> list[Range]:
        """The bytes that hold a frame, with bits of its neighbours at either end."""
        first = _within(frame, self.count) * self.frame_length_bits
        end = first + self.frame_length_bits
        return [(self.offset + first // 8, self.offset + (end + 7) // 8)]

    def cut(self, data: bytes, frame: int) -> bytes:
        """The frame alone, from the bytes of its range: it begins with the lowest bit of the
        first byte, and the bits behind it are zero."""
        bits = int.from_bytes(data, "little") >> frame * self.frame_length_bits % 8
        bits &= (1 << self.frame_length_bits) - 1
        return bits.to_bytes((self.frame_length_bits + 7) // 8, "little")


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


def pixel_layout(read: Read, size_bytes: int, transfer_syntax_uid: str) -> FrameTable:
    """Where the frames lie in the data set that `read` gives by range.

    Offsets are those of the inflated data set if it was deflated (see `open_data_set`).

    Raises:
        FrameTableError: no pixel data, an image size that cannot be, less pixel data than it
            asks for, or fragments without a table that could be divided in several ways.
    """
    data_set = open_data_set(read, size_bytes, transfer_syntax_uid)
    values: dict[int, bytes] = {}
    pixels: Element | None = None
    for element in data_set.elements(until=PIXELS):
        size = element.value_end - element.value_start
        if element.tag in PIXELS:
            pixels = element
        elif element.tag in (OFFSET_TABLE, OFFSET_TABLE_LENGTHS) and size <= TABLE_BYTES_MAX:
            values[element.tag] = data_set.window.get(element.value_start, element.value_end)
        elif element.tag in _NUMBERS and not element.torn and size <= 16:
            value = data_set.window.get(element.value_start, element.value_end)
            if element.tag != NUMBER_OF_FRAMES:
                value = number_text(value, element.vr, data_set.order)
            values[element.tag] = value
        elif element.tag == PHOTOMETRIC_INTERPRETATION and size <= 16:
            values[element.tag] = data_set.window.get(element.value_start, element.value_end)
    if pixels is None or pixels.value_start == pixels.value_end:
        raise FrameTableError("there is no pixel data")
    if pixels.undefined:
        return _encapsulated(data_set, pixels, values)
    return _native(pixels, values)


def _number(values: dict[int, bytes], tag: int, *, default: int | None = None) -> int:
    text = values.get(tag, b"").strip(b" \0")
    if not text and default is not None:
        return default
    if not text.isdigit() or not 0 < int(text) < 1 << 32:
        raise FrameTableError("the number is missing or cannot be", tag=tag)
    return int(text)


def _frame_count(values: dict[int, bytes]) -> int:
    """Number of Frames; 1 if it is absent, empty or zero, as it is in many single frames."""
    if values.get(NUMBER_OF_FRAMES, b"").strip(b" \0").strip(b"0") == b"":
        return 1
    return _number(values, NUMBER_OF_FRAMES)


def _native(pixels: Element, values: dict[int, bytes]) -> FrameTable:
    count = _frame_count(values)
    samples = _number(values, SAMPLES_PER_PIXEL, default=1)
    samples_of_frame = _number(values, ROWS) * _number(values, COLUMNS) * samples
    bits = _number(values, BITS_ALLOCATED)
    if bits != 1 and (bits % 8 or bits > 64):
        raise FrameTableError(f"{bits} bits allocated cannot be", tag=BITS_ALLOCATED)
    if samples > 4:
        raise FrameTableError(f"{samples} samples per pixel cannot be", tag=SAMPLES_PER_PIXEL)
    frame_bits = samples_of_frame * bits
    there = pixels.value_end - pixels.value_start
    subsampled = values.get(PHOTOMETRIC_INTERPRETATION, b"").strip(b" \0") == b"YBR_FULL_422"
    # Two pixels share their chrominance (PS3.3 §C.7.6.3.1.2), unless the bytes say otherwise:
    # a data set that was compressed before may still carry the name.
    if subsampled and samples == 3 and there * 8 < frame_bits * count:
        frame_bits = frame_bits // 3 * 2
    needed = (frame_bits * count + 7) // 8
    if there < needed:
        raise FrameTableError(f"{there} B of pixel data where {needed} B are needed")
    if frame_bits % 8 and count > 1:
        return PackedBitFrames(pixels.value_start, frame_bits, count)
    return NativeFrames(pixels.value_start, (frame_bits + 7) // 8, count)


class _Fragments:
    """The fragments of encapsulated pixel data, found one by one."""

    def __init__(self, window: Window, order: ByteOrder, start: int) -> None:
        self._window = window
        self._order = order
        self.start = start  # of the first fragment's item
        self.starts = array("Q")
        self.ends = array("Q")
        self.firsts = array("Q")

    def header(self, position: int) -> tuple[int, int]:
        """Tag and length of the item at `position`; the end of the data set counts as the end
        of the sequence.

        Raises:
            FrameTableError: neither an item of known length nor the end.
        """
        at = self._window.at(position, ITEM_HEADER_BYTES)
        if len(self._window.block) < at + ITEM_HEADER_BYTES:
            return SEQUENCE_DELIMITATION, 0
        group, number, length = self._order.implicit(self._window.block, at)
        tag = group << 16 | number
        if tag == SEQUENCE_DELIMITATION:
            return tag, 0
        end = position + ITEM_HEADER_BYTES + length
        if tag != ITEM or length == UNDEFINED or end > self._window.size_bytes:
            raise FrameTableError("an item of pixel data was expected", offset=position)
        return tag, length

    def take(self, position: int, end: int | None) -> int:
        """Take the fragments from `position` to `end` exactly, or to the end of the sequence.
        Returns where that is."""
        while position != end:
            tag, length = self.header(position)
            if tag != ITEM:
                if end is None:
                    return position
                raise FrameTableError("pixel data ends before its offset table does")
            start = position + ITEM_HEADER_BYTES
            self.add(start, start + length)
            position = start + length
            if end is not None and position > end:
                raise FrameTableError("an offset lies inside a fragment", offset=end)
        return position

    def add(self, start: int, end: int) -> None:
        """Take one fragment with these contents."""
        if len(self.starts) >= FRAGMENTS_MAX:
            raise FrameTableError(f"more than {FRAGMENTS_MAX} fragments")
        self.starts.append(start)
        self.ends.append(end)

    def bytes_at(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the data set."""
        return self._window.get(start, end)

    def numbers(self, code: str, table: bytes) -> Sequence[int]:
        """The entries of an offset table: 32 bits by code I, 64 by Q."""
        width = 4 if code == "I" else 8
        return Struct(f"{self._order.mark}{len(table) // width}{code}").unpack(table)

    def table(self) -> EncapsulatedFrames:
        """What was taken, in frames that begin at `firsts`."""
        self.firsts.append(len(self.starts))
        return EncapsulatedFrames(self.starts, self.ends, self.firsts)


def _encapsulated(
    data_set: DataSet, pixels: Element, values: dict[int, bytes]
) -> EncapsulatedFrames:
    window, order = data_set.window, data_set.order
    count = _frame_count(values)
    if count > FRAGMENTS_MAX:
        raise FrameTableError(f"more than {FRAGMENTS_MAX} frames")
    tag, length = _Fragments(window, order, 0).header(pixels.value_start)
    if tag != ITEM:
        raise FrameTableError("encapsulated pixel data without items")
    table_start = pixels.value_start + ITEM_HEADER_BYTES
    first = table_start + length
    basic = window.get(table_start, first) if length <= TABLE_BYTES_MAX else b""
    # A table that does not fit the items is of no use; the items may do without it.
    with suppress(FrameTableError):
        if values.get(OFFSET_TABLE) and values.get(OFFSET_TABLE_LENGTHS):
            return _by_extended_table(_Fragments(window, order, first), values, count)
    with suppress(FrameTableError):
        if basic:
            return _by_basic_table(_Fragments(window, order, first), basic, count)
    return _without_table(_Fragments(window, order, first), count)


def _by_extended_table(
    taken: _Fragments, values: dict[int, bytes], count: int
) -> EncapsulatedFrames:
    """By Extended Offset Table (PS3.3 §C.7.6.3.1.8): one fragment a frame."""
    raw_offsets, raw_lengths = values[OFFSET_TABLE], values[OFFSET_TABLE_LENGTHS]
    if len(raw_offsets) != 8 * count or len(raw_lengths) != 8 * count:
        raise FrameTableError("the extended offset table is of another number of frames")
    offsets = taken.numbers("Q", raw_offsets)
    lengths = taken.numbers("Q", raw_lengths)
    free_from = 0
    for frame, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        if offset < free_from:
            raise FrameTableError("frames of the extended offset table overlap")
        free_from = offset + ITEM_HEADER_BYTES + length
        start = taken.start + offset + ITEM_HEADER_BYTES
        taken.firsts.append(frame)
        taken.add(start, start + length)
    for frame in {0, count - 1}:
        position = taken.start + offsets[frame]
        # The length is that of the frame, without the byte that makes a fragment even.
        tag, length = taken.header(position)
        if tag != ITEM or not 0 <= length - lengths[frame] <= 1:
            raise FrameTableError("the extended offset table does not fit the items")
    return taken.table()


def _by_basic_table(taken: _Fragments, basic: bytes, count: int) -> EncapsulatedFrames:
    """By Basic Offset Table (PS3.5 §A.4): where each frame's first fragment begins."""
    if len(basic) != 4 * count:
        raise FrameTableError("the basic offset table is of another number of frames")
    offsets = taken.numbers("I", basic)
    position = taken.start
    for offset, following in zip(offsets, [*offsets[1:], None], strict=True):
        if taken.start + offset != position:
            raise FrameTableError("the basic offset table does not fit the items")
        taken.firsts.append(len(taken.starts))
        end = None if following is None else taken.start + following
        if end is not None and end <= position:
            raise FrameTableError("the basic offset table does not ascend")
        position = taken.take(position, end)
    return taken.table()


def _without_table(taken: _Fragments, count: int) -> EncapsulatedFrames:
    """By number, or by the marks of JPEG codestreams where only one division is possible."""
    taken.take(taken.start, None)
    fragments = len(taken.starts)
    if not fragments:
        raise FrameTableError("pixel data has no fragments")
    if count == 1:
        taken.firsts.append(0)
        return taken.table()
    if fragments == count:
        taken.firsts.extend(range(count))
        return taken.table()
    if fragments < count:
        raise FrameTableError(f"{count} frames in {fragments} fragments")
    ended = True
    for number in range(fragments):
        start, end = taken.starts[number], taken.ends[number]
        if ended and taken.bytes_at(start, min(start + 3, end)) in _CODESTREAM_STARTS:
            taken.firsts.append(number)
        ended = _CODESTREAM_END in taken.bytes_at(max(start, end - _TAIL_BYTES), end)
    if not ended or len(taken.firsts) != count or taken.firsts[0] != 0:
        raise FrameTableError(f"{fragments} fragments do not divide into {count} frames")
    return taken.table()

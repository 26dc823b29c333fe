"""Look-up tables of a data set: Modality and VOI LUT (PS3.3 §C.11.1, §C.11.2) and palettes
(§C.7.6.3.1.5, segmented ones §C.7.9.2). Pure.

A table is what it says of itself before it is data: how many entries, of how many bits, and which
value the first of them is for. Data that is shorter is no table.
"""

import struct
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from fileroom.dicom.instance_error import InstanceError

ENTRIES_MAX: Final = 65_536
DATA_BYTES_MAX: Final = 2 * ENTRIES_MAX
SEGMENTS_BYTES_MAX: Final = 1 << 20
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


class LutError(InstanceError):
    """A look-up table that is not what its descriptor says."""


class Lut(Struct, frozen=True):
    """A look-up table.

    Attributes:
        first: the value that the first entry is for; lower ones get it too, and those above the
            last entry's get the last.
        bits: of an entry.
        entries: from 0 to 2**bits - 1.
    """

    first: int
    bits: int
    entries: tuple[int, ...]


def lut(descriptor: Sequence[int], data: bytes, *, big_endian: bool = False) -> Lut:
    """A table from its descriptor (entries, first value, bits) and its data.

    Args:
        data: of 8 bits an entry, or 16; entries of 8 bits may lie in words of 16 (PS3.3
            §C.11.1.1).
        big_endian: whether words are; then entries of 8 bits lie in words, two each.

    Raises:
        LutError: the descriptor cannot be, or the data is shorter.
    """
    count, first, bits = _described(descriptor)
    order = ">" if big_endian else "<"
    if len(data) >= 2 * count:
        return _made(first, bits, struct.unpack_from(f"{order}{count}H", data))
    if bits > 8 or len(data) < count:
        raise LutError(f"a table of {count} entries of {bits} bits in {len(data)} B")
    return _made(first, bits, tuple((_swapped(data) if big_endian else data)[:count]))


def segmented(descriptor: Sequence[int], data: bytes, *, big_endian: bool = False) -> Lut:
    """A table from its descriptor and its segments (PS3.3 §C.7.9.2).

    Raises:
        LutError: as `lut`; or a segment cannot be.
    """
    count, first, bits = _described(descriptor)
    if bits > 8:
        order = ">" if big_endian else "<"
        words: Sequence[int] = struct.unpack_from(f"{order}{len(data) // 2}H", data)
    else:
        words = _swapped(data) if big_endian else data
    entries = _Segments(words, bits, count).expanded()
    if len(entries) < count:
        raise LutError(f"segments of {len(entries)} entries in a table of {count}")
    return _made(first, bits, tuple(entries[:count]))


class _Segments:
    """The segments of a palette on their way into entries; never more than there are to be."""

    def __init__(self, words: Sequence[int], bits: int, count: int) -> None:
        self._words = words
        self._word_bytes = 2 if bits > 8 else 1
        self._count = count
        self._entries: list[int] = []
        self._starts: set[int] = set()

    def expanded(self) -> list[int]:
        position = 0
        while position < len(self._words) and len(self._entries) < self._count:
            if self._words[position] == _INDIRECT:
                position = self._indirect(position)
            else:
                self._starts.add(position)
                position = self._segment(position)
        return self._entries

    def _segment(self, position: int) -> int:
        """Take one discrete or linear segment. Returns where the next one begins."""
        opcode, length = self._at(position), self._at(position + 1)
        if opcode == _DISCRETE:
            end = position + 2 + length
            if end > len(self._words):
                raise LutError("a discrete segment that is cut off")
            self._entries += self._words[position + 2 : end]
            return end
        if opcode != _LINEAR:
            raise LutError(f"a segment of kind {opcode}")
        if not self._entries:
            raise LutError("a linear segment with nothing before it")
        start, rise = self._entries[-1], self._at(position + 2) - self._entries[-1]
        self._entries += [round(start + rise * step / length) for step in range(1, length + 1)]
        return position + 3

    def _indirect(self, position: int) -> int:
        """Take segments again that stood before (PS3.3 §C.7.9.2.3), none of which is indirect."""
        count, behind = self._at(position + 1), position + 2 + 4 // self._word_bytes
        offset = 0
        for at in range(behind - 1, position + 1, -1):
            offset = offset << 8 * self._word_bytes | self._at(at)
        # It counts bytes; writers are known that count words.
        for there in (offset // self._word_bytes, offset):
            if there in self._starts:
                break
        else:
            raise LutError("an indirect segment that leads to none")
        for _ in range(count):
            if len(self._entries) >= self._count:
                break
            there = self._segment(there)
        return behind

    def _at(self, position: int) -> int:
        if position >= len(self._words):
            raise LutError("a segment that is cut off")
        return self._words[position]


def _described(descriptor: Sequence[int]) -> tuple[int, int, int]:
    if len(descriptor) < 3:
        raise LutError(f"a descriptor of {len(descriptor)} values")
    count, first, bits = descriptor[:3]
    count = count & 0xFFFF or ENTRIES_MAX  # 0 stands for what does not fit (PS3.3 §C.11.1.1)
    if not 1 <= bits <= 16:
        raise LutError(f"a table whose entries have {bits} bits")
    return count, first, bits


def _made(first: int, bits: int, entries: tuple[int, ...]) -> Lut:
    # Descriptors are known that say fewer bits than the entries have.
    return Lut(first, max(bits, max(entries).bit_length()), entries)


def _swapped(data: bytes) -> bytes:
    out = bytearray(data)
    whole = len(data) // 2 * 2
    out[0:whole:2], out[1:whole:2] = data[1:whole:2], data[0:whole:2]
    return bytes(out)

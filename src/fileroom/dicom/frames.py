"""Where the frames of an instance lie in its data set, PS3.3 §C.7.6.3 and PS3.5 §A.4. Pure.

Pixel bytes are not read: native frames follow from the image's size, encapsulated ones from an
offset table and the items' headers. Only fragments without a table are looked at, a few bytes
at either end. A deflated data set is inflated up to its pixel data.
"""

from array import array
from collections.abc import Sequence
from contextlib import suppress
from struct import Struct
from typing import Final

from msgspec.structs import replace

from fileroom.dicom.dataset_index import (
    DataSet,
    Element,
    Read,
    Window,
    data_set_of,
    open_data_set,
)
from fileroom.dicom.encoding import (
    BIG,
    ITEM,
    LITTLE,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    ByteOrder,
    element_header,
)
from fileroom.dicom.frame_table import (
    EncapsulatedFrames,
    FrameTable,
    FrameTableError,
    NativeFrames,
    PackedBitFrames,
)
from fileroom.dicom.header_attributes import number_text
from fileroom.dicom.inflate import INFLATED_BYTES_MAX, InflatedDataSet, InflatedTooLargeError

SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
NUMBER_OF_FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
OFFSET_TABLE: Final = 0x7FE00001
OFFSET_TABLE_LENGTHS: Final = 0x7FE00002
PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})
SUBSAMPLED: Final = frozenset({b"YBR_FULL_422", b"YBR_PARTIAL_422"})
_NUMBERS: Final = frozenset({SAMPLES_PER_PIXEL, NUMBER_OF_FRAMES, ROWS, COLUMNS, BITS_ALLOCATED})

INFLATED_HEADER_BYTES_MAX: Final = 256 << 20  # what a deflated data set may have before its pixels
FRAGMENTS_MAX: Final = 2_000_000
TABLE_BYTES_MAX: Final = 8 * FRAGMENTS_MAX
ITEM_HEADER_BYTES: Final = 8
_CODESTREAM_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff")  # SOI, and SOC of JPEG 2000
_CODESTREAM_END: Final = b"\xff\xd9"  # EOI, EOC
_TAIL_BYTES: Final = 10  # padding may follow the end marker


def pixel_layout(read: Read, size_bytes: int, transfer_syntax_uid: str) -> FrameTable:
    """Where the frames lie in the data set that `read` gives by range.

    Offsets are those of the inflated data set if it was deflated (see `open_data_set`).

    Raises:
        FrameTableError: no pixel data, an image size that cannot be, less pixel data than it
            asks for, or fragments without a table that could be divided in several ways.
    """
    data_set = open_data_set(read, size_bytes, transfer_syntax_uid)
    pixels, values = _image(data_set)
    if pixels.undefined:
        return _encapsulated(data_set, pixels, values)
    return _native(pixels, values, data_set.order)


def native_layout(
    read: Read, size_bytes: int, transfer_syntax_uid: str
) -> NativeFrames | PackedBitFrames:
    """As `pixel_layout`, of a data set whose pixel data must not be encapsulated.

    Raises:
        FrameTableError: as `pixel_layout`; or the pixel data is encapsulated.
    """
    data_set = open_data_set(read, size_bytes, transfer_syntax_uid)
    pixels, values = _image(data_set, native_only=True)
    return _native(pixels, values, data_set.order)


def inflated_header(inflated: InflatedDataSet) -> DataSet:
    """A data set that was deflated, to be walked up to its pixel data, and inflated as far.

    Walking raises InflatedTooLargeError over `INFLATED_HEADER_BYTES_MAX` inflated before that.
    """

    def read(start: int, end: int) -> bytes:
        if start > INFLATED_HEADER_BYTES_MAX:
            raise InflatedTooLargeError(
                f"over {INFLATED_HEADER_BYTES_MAX} B inflated before pixel data"
            )
        return inflated.read(start, end)

    window = Window(read, INFLATED_BYTES_MAX)
    return data_set_of(window, implicit=False, order=LITTLE)


def inflated_layout(inflated: InflatedDataSet) -> NativeFrames | PackedBitFrames:
    """Where the frames lie in a data set that was deflated, in its inflated bytes.

    It is inflated up to its pixel data. Whether that is as long as it says, or ends before, shows
    when a frame is reached.

    Raises:
        FrameTableError: as `pixel_layout`; or the pixel data is encapsulated (PS3.5 §A.5).
        InflatedTooLargeError: as walking an `inflated_header` does.
    """
    data_set = inflated_header(inflated)
    window = data_set.window
    pixels, values = _image(data_set, native_only=True)
    if pixels.torn:
        at = window.at(pixels.start, 12)
        header = element_header(window.block, at, data_set.implicit, data_set.order)
        said = header[3] if header is not None else 0
        pixels = replace(pixels, value_end=pixels.value_start + said)
    return _native(pixels, values, data_set.order)


def _image(data_set: DataSet, *, native_only: bool = False) -> tuple[Element, dict[int, bytes]]:
    """The pixel data element, and what says how it is divided."""
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
    if native_only and pixels.undefined:
        raise FrameTableError("the pixel data is encapsulated, against its transfer syntax")
    return pixels, values


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


def _native(
    pixels: Element, values: dict[int, bytes], order: ByteOrder
) -> NativeFrames | PackedBitFrames:
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
    subsampled = values.get(PHOTOMETRIC_INTERPRETATION, b"").strip(b" \0") in SUBSAMPLED
    # Two pixels share their chrominance (PS3.3 §C.7.6.3.1.2), unless the bytes say otherwise:
    # a data set that was compressed before may still carry the name.
    if subsampled and samples == 3 and there * 8 < frame_bits * count:
        frame_bits = frame_bits // 3 * 2
    needed = (frame_bits * count + 7) // 8
    if there < needed:
        raise FrameTableError(f"{there} B of pixel data where {needed} B are needed")
    if order is BIG and pixels.vr != b"OB" and bits < 16 and frame_bits % 16:
        # Of two bytes in a big-endian word the first is the second pixel's (PS3.5 §8.2), so a
        # frame is whole words, and none of several can be taken out of them.
        frame_bits = -frame_bits // 16 * -16
        if count > 1 or there * 8 < frame_bits:
            raise FrameTableError("frames end inside the words of big-endian pixel data")
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

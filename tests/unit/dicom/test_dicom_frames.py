"""Where frames lie: the bytes that pydicom gives, and none of the pixels read to know it."""

import struct
import warnings
import zlib
from collections.abc import Callable
from random import Random

import pytest
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames, get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from dicom_json_oracle import dataset_by_pydicom
from dicom_samples import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_BASELINE,
    UNDEFINED,
    Sample,
    ct_explicit,
    explicit,
    implicit,
    item,
    samples,
)
from fileroom.dicom import frames as finding
from fileroom.dicom.frame_table import (
    EncapsulatedFrames,
    FrameTable,
    FrameTableError,
    NativeFrames,
    PackedBitFrames,
)
from fileroom.dicom.frames import inflated_layout, native_layout, pixel_layout
from fileroom.dicom.inflate import InflatedDataSet, InflatedTooLargeError
from fileroom.dicom.instance_error import InstanceError


def image(
    pixels: bytes,
    *,
    rows: int = 2,
    columns: int = 3,
    bits: int = 16,
    samples_per_pixel: int = 1,
    frames: str | None = None,
    photometric: str = "MONOCHROME2",
    tables: bytes = b"",
    order: str = "<",
) -> bytes:
    """A data set of image attributes and these pixel data elements."""

    def us(tag: int, number: int) -> bytes:
        return explicit(tag, "US", struct.pack(order + "H", number), order=order)

    count = b"" if frames is None else explicit(0x00280008, "IS", frames.encode(), order=order)
    return b"".join(
        [
            us(0x00280002, samples_per_pixel),
            explicit(0x00280004, "CS", photometric.encode(), order=order),
            count,
            us(0x00280010, rows),
            us(0x00280011, columns),
            us(0x00280100, bits),
            tables,
            pixels,
        ]
    )


def native(value: bytes, **keys: object) -> bytes:
    return image(explicit(0x7FE00010, "OW", value), **keys)  # type: ignore[arg-type]


def encapsulated(value: bytes, **keys: object) -> bytes:
    pixels = explicit(0x7FE00010, "OB", value, length=0xFFFFFFFF)
    return image(pixels, **keys)  # type: ignore[arg-type]


def layout(data: bytes, transfer_syntax_uid: str = EXPLICIT) -> FrameTable:
    return pixel_layout(lambda a, b: data[a:b], len(data), transfer_syntax_uid)


def frames_of(data: bytes, transfer_syntax_uid: str = EXPLICIT) -> list[bytes]:
    table = layout(data, transfer_syntax_uid)
    found = [
        b"".join(data[start:end] for start, end in table.ranges(frame))
        for frame in range(table.count)
    ]
    if isinstance(table, PackedBitFrames):
        return [
            table.cut(each, frame, 0, table.frame_length_bytes) for frame, each in enumerate(found)
        ]
    return found


END = bytes.fromhex("FEFFDDE000000000")


@pytest.mark.parametrize(
    ("keys", "frame_bytes"),
    [
        ({"bits": 8}, 6),
        ({"bits": 16}, 12),
        ({"bits": 32}, 24),
        ({"bits": 64}, 48),
        ({"bits": 8, "samples_per_pixel": 3, "photometric": "RGB "}, 18),
        ({"bits": 8, "samples_per_pixel": 3, "photometric": "YBR_FULL_422", "columns": 4}, 16),
        ({"bits": 1, "columns": 4}, 1),
    ],
)
def test_native_frames_lie_one_behind_the_other(keys: dict[str, object], frame_bytes: int) -> None:
    value = bytes(range(3 * frame_bytes))
    data = native(value + b"\0" * (len(value) % 2), frames="3 ", **keys)
    expected = [value[at : at + frame_bytes] for at in range(0, len(value), frame_bytes)]
    assert frames_of(data) == expected
    table = layout(data)
    assert isinstance(table, NativeFrames)
    assert (table.frame_length_bytes, table.count) == (frame_bytes, 3)


def test_float_pixels_are_native_frames_too() -> None:
    for tag, vr, bits in ((0x7FE00008, "OF", 32), (0x7FE00009, "OD", 64)):
        value = bytes(range(6 * bits // 8)) * 2
        data = image(explicit(tag, vr, value), bits=bits, frames="2 ")
        assert frames_of(data) == [value[: len(value) // 2]] * 2


def test_bit_packed_frames_begin_inside_bytes() -> None:
    frames = [0b101011, 0b000001, 0b111111, 0b100000, 0b010101]  # six pixels each
    bits = sum(frame << 6 * number for number, frame in enumerate(frames))
    data = native(bits.to_bytes(4, "little"), bits=1, frames="5 ")
    table = layout(data)
    assert isinstance(table, PackedBitFrames)
    assert [int.from_bytes(each, "little") for each in frames_of(data)] == frames
    start = table.offset
    assert table.ranges(1) == [(start, start + 2)]
    assert table.ranges(4) == [(start + 3, start + 4)]


def test_subsampled_color_that_is_not_subsampled_has_full_frames() -> None:
    full = bytes(range(24)) * 2
    data = native(
        full, frames="2 ", bits=8, samples_per_pixel=3, columns=4, photometric="YBR_FULL_422"
    )
    assert frames_of(data) == [full[:24], full[24:]]


def test_numbers_may_be_of_other_representations_and_encodings() -> None:
    value = bytes(range(12))
    wide = explicit(0x00280010, "UL", b"\2\0\0\0") + explicit(0x00280011, "IS", b"3 ")
    assert frames_of(wide + explicit(0x00280100, "US", b"\x10\0") + native(value)[-24:]) == [value]
    values = [(0x00280010, b"\2\0"), (0x00280011, b"\3\0"), (0x00280100, b"\x10\0")]
    fields = b"".join(implicit(*each) for each in values) + implicit(0x7FE00010, value)
    assert frames_of(fields, IMPLICIT) == [value]
    pixels = explicit(0x7FE00010, "OW", value, order=">")
    assert frames_of(image(pixels, order=">"), BIG_ENDIAN) == [value]


def test_deflated_pixels_lie_in_the_inflated_data_set() -> None:
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = native(bytes(range(24)), frames="2 ")
    packed = stream.compress(data) + stream.flush()
    table = layout(packed, DEFLATED)
    inflated = InflatedDataSet(lambda a, b: packed[a:b], len(packed))
    assert [inflated.read(*table.ranges(n)[0]) for n in range(2)] == [
        bytes(range(12)),
        bytes(range(12, 24)),
    ]


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def inflated(packed: bytes) -> InflatedDataSet:
    return InflatedDataSet(lambda a, b: packed[a:b], len(packed))


def test_a_deflated_data_set_is_inflated_up_to_its_pixels_only() -> None:
    pixels = Random(5).randbytes(4_000_000)
    data = native(pixels, rows=1000, columns=1000, frames="2 ")
    packed = deflated(data)
    asked = 0

    def read(start: int, end: int) -> bytes:
        nonlocal asked
        asked += end - start
        return packed[start:end]

    opened = InflatedDataSet(read, len(packed))
    table = inflated_layout(opened)
    assert asked < 200_000
    assert table == NativeFrames(len(data) - len(pixels), 2_000_000, 2)
    assert opened.read(*table.ranges(0)[0]) == pixels[:2_000_000]
    assert asked < 2_300_000


@pytest.mark.parametrize("columns", [10, 1000])
def test_a_deflated_data_set_that_ends_in_its_pixels_has_the_frames_before(columns: int) -> None:
    pixels = Random(6).randbytes(400 * columns)
    packed = deflated(native(pixels, rows=100, columns=columns, frames="2 "))
    opened = inflated(packed[: len(packed) * 3 // 4])
    table = inflated_layout(opened)
    assert opened.read(*table.ranges(0)[0]) == pixels[: 200 * columns]
    with pytest.raises(InstanceError, match="ends after"):
        opened.reach(table.ranges(1)[0][1])


@pytest.mark.parametrize(
    "data",
    [
        encapsulated(item(b"") + item(b"abcd") + END),
        native(bytes(10)),
        image(b""),
        b"",
        b"not a data set, deflated",
    ],
)
def test_what_has_no_frames_has_none_when_it_is_deflated_either(data: bytes) -> None:
    with pytest.raises(FrameTableError):
        inflated_layout(inflated(deflated(data)))


def test_what_is_no_deflate_stream_has_no_frames() -> None:
    for packed in (b"", b"\xff" * 100, native(bytes(12))):
        with pytest.raises(FrameTableError):
            inflated_layout(inflated(packed))


@pytest.mark.parametrize("length", [None, UNDEFINED])
def test_a_bomb_before_the_pixels_is_refused_and_not_inflated(
    length: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "INFLATED_HEADER_BYTES_MAX", 1_000_000)
    filling = item(bytes(10_000_000)) + END
    bomb = explicit(0x00091010, "OB", filling, length=length) + native(bytes(12))
    opened = inflated(deflated(bomb))
    with pytest.raises(InflatedTooLargeError, match="before pixel data"):
        inflated_layout(opened)
    with pytest.raises(InstanceError):
        opened.reach(20_000_000)
    assert opened.held_bytes < 1_000_000


def test_encapsulated_pixel_data_is_no_native_frame() -> None:
    data = encapsulated(item(b"") + item(b"abcd") + END)
    with pytest.raises(FrameTableError, match="against its transfer syntax"):
        native_layout(lambda a, b: data[a:b], len(data), EXPLICIT)


def test_frames_that_end_inside_big_endian_words_are_not_cut_out() -> None:
    value = bytes(range(10))

    def pixels(vr: str, **keys: object) -> bytes:
        return image(explicit(0x7FE00010, vr, value, order=">"), order=">", **keys)  # type: ignore[arg-type]

    nine = {"rows": 3, "columns": 3, "bits": 8}
    assert frames_of(pixels("OB", **nine), BIG_ENDIAN) == [value[:9]]
    assert frames_of(pixels("OW", **nine), BIG_ENDIAN) == [value]  # whole words
    assert len(frames_of(pixels("OW", rows=2, columns=2, bits=8, frames="2 "), BIG_ENDIAN)) == 2
    for keys in ({"rows": 1, "columns": 3, "bits": 8}, {"rows": 2, "columns": 4, "bits": 1}):
        assert len(frames_of(pixels("OB", frames="3 ", **keys), BIG_ENDIAN)) == 3
        with pytest.raises(FrameTableError, match="big-endian"):
            layout(pixels("OW", frames="3 ", **keys), BIG_ENDIAN)


FRAMES = [bytes([number]) * (10 + 2 * number) for number in range(5)]


def test_a_basic_offset_table_gives_frames_of_several_fragments() -> None:
    for fragments in (1, 2, 3):
        value = encapsulate(FRAMES, fragments_per_frame=fragments, has_bot=True)
        data = encapsulated(value + END, frames="5 ")
        assert frames_of(data, JPEG_BASELINE) == FRAMES
        assert [get_frame(value, n, number_of_frames=5) for n in range(5)] == FRAMES
        table = layout(data)
        assert isinstance(table, EncapsulatedFrames)
        assert [len(ranges) for ranges in table] == [fragments] * 5


def test_an_extended_offset_table_gives_one_fragment_a_frame() -> None:
    value, offsets, lengths = encapsulate_extended(FRAMES)
    tables = explicit(0x7FE00001, "OV", offsets) + explicit(0x7FE00002, "OV", lengths)
    data = encapsulated(value + END, frames="5 ", tables=tables)
    assert frames_of(data, JPEG_BASELINE) == FRAMES


def test_an_odd_frame_ends_before_its_padding_if_the_table_says_so() -> None:
    odd = [b"abc", b"defgh"]
    value = item(b"") + item(b"abc\0") + item(b"defgh\0") + END
    tables = explicit(0x7FE00001, "OV", struct.pack("<QQ", 0, 12))
    tables += explicit(0x7FE00002, "OV", struct.pack("<QQ", 3, 5))
    assert frames_of(encapsulated(value, frames="2 ", tables=tables)) == odd


@pytest.mark.parametrize(
    "table",
    [
        struct.pack("<5I", 0, 18, 38, 60, 85),  # not at an item
        struct.pack("<5I", 0, 18, 38, 60, 1 << 31),  # outside
        struct.pack("<5I", 0, 0, 0, 0, 0),
        struct.pack("<5I", 8, 18, 38, 60, 84),
        struct.pack("<5I", 0, 38, 18, 60, 84),
        struct.pack("<1I", 0),
        struct.pack("<6I", 0, 18, 38, 60, 84, 110),
        b"\0\0\0",
    ],
)
def test_a_wrong_table_counts_for_nothing_where_one_fragment_is_one_frame(table: bytes) -> None:
    value = item(table) + b"".join(map(item, FRAMES)) + END
    assert frames_of(encapsulated(value, frames="5 ")) == FRAMES
    two_each = b"".join(item(each[:4]) + item(each[4:]) for each in FRAMES)
    with pytest.raises(FrameTableError):
        layout(encapsulated(item(table) + two_each + END, frames="5 "))


def jpeg(number: int, size: int = 40) -> bytes:
    return b"\xff\xd8\xff\xe0" + bytes([number]) * size + b"\xff\xd9"


def test_without_a_table_the_marks_of_codestreams_divide_fragments() -> None:
    frames = [jpeg(1), jpeg(2), jpeg(3)]
    pieces = [item(each[at : at + 16]) for each in frames for at in range(0, len(each), 16)]
    data = encapsulated(item(b"") + b"".join(pieces) + END, frames="3 ")
    assert frames_of(data) == frames
    padded = [jpeg(1) + b"\0\0", jpeg(2)[:20], jpeg(2)[20:]]
    value = item(b"") + b"".join(map(item, padded)) + END
    assert frames_of(encapsulated(value, frames="2 ")) == [padded[0], jpeg(2)]


@pytest.mark.parametrize(
    ("fragments", "frames"),
    [
        ([jpeg(1), jpeg(2), jpeg(3)], 2),  # three codestreams, two frames
        ([jpeg(1)[:20], jpeg(1)[20:], jpeg(2)[:-2]], 2),  # the last does not end
        ([b"\0" * 20] * 3, 2),
        ([jpeg(1)], 2),  # fewer than frames, as video is
        ([], 1),
    ],
)
def test_fragments_that_divide_in_several_ways_are_refused(
    fragments: list[bytes], frames: int
) -> None:
    value = item(b"") + b"".join(map(item, fragments)) + END
    with pytest.raises(FrameTableError):
        layout(encapsulated(value, frames=str(frames)))


def test_a_single_frame_has_all_fragments_and_needs_no_delimiter() -> None:
    value = item(b"") + item(b"ab") + item(b"cd")
    for frames in (None, "1 ", "0 ", ""):
        assert frames_of(encapsulated(value + END, frames=frames)) == [b"abcd"]
        assert frames_of(encapsulated(value, frames=frames)) == [b"abcd"]


REFUSED: dict[str, bytes] = {
    "no pixels": image(b""),
    "empty pixels": native(b""),
    "too few": native(bytes(10)),
    "too few for the frames": native(bytes(12), frames="2147483647"),
    "no rows": native(bytes(12), rows=0),
    "65535 by 65535": native(bytes(12), rows=65535, columns=65535),
    "no bits": native(bytes(12), bits=0),
    "12 bits": native(bytes(12), bits=12),
    "128 bits": native(bytes(1200), bits=128),
    "many samples": native(bytes(1200), samples_per_pixel=65535),
    "frames that are no number": native(bytes(12), frames="1A"),
    "negative frames": native(bytes(12), frames="-1"),
    "frames beyond 32 bits": native(bytes(12), frames="99999999999"),
    "no image attributes": explicit(0x7FE00010, "OW", bytes(12)),
    "no items": encapsulated(b"\1\2\3\4\5\6\7\x08" * 3),
    "an item beyond the end": encapsulated(item(b"") + item(b"abcd")[:-2]),
    "a fragment of undefined length": encapsulated(item(b"") + item(b"ab", defined=False)),
    "a table beyond the end": encapsulated(item(bytes(40))[:-20]),
    "not a data set": b"this is not a data set",
    "nothing": b"",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_images_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FrameTableError):
        layout(data)
    assert issubclass(FrameTableError, InstanceError)


def test_a_frame_that_is_not_there_is_an_index_error() -> None:
    for table in (layout(native(bytes(12))), layout(encapsulated(item(b"") + item(b"ab") + END))):
        for frame in (-1, 1):
            with pytest.raises(IndexError):
                table.ranges(frame)


class Sparse:
    """A data set of which only some stretches are there; the rest reads as zeros."""

    def __init__(self, *parts: tuple[int, Callable[[int, int], bytes], int]) -> None:
        self.parts = parts
        self.asked_bytes = 0

    def read(self, start: int, end: int) -> bytes:
        self.asked_bytes += end - start
        found = bytearray(end - start)
        for origin, give, size in self.parts:
            low, high = max(start, origin), min(end, origin + size)
            if low < high:
                found[low - start : high - start] = give(low - origin, high - origin)
        return bytes(found)


def test_a_native_instance_of_two_hundred_frames_is_not_read() -> None:
    head = native(bytes(2), rows=512, columns=512, frames="200 ")[:-2]
    size = 200 * 512 * 512 * 2
    head = head[:-4] + struct.pack("<I", size)
    sparse = Sparse((0, lambda a, b: head[a:b], len(head)))
    table = pixel_layout(sparse.read, len(head) + size, EXPLICIT)
    assert table.ranges(199) == [(len(head) + 199 * 524288, len(head) + size)]
    assert sparse.asked_bytes < 100_000


def test_a_slide_of_a_hundred_thousand_frames_and_ten_gigabytes_is_not_read() -> None:
    count, step = 100_000, 100_008
    offsets = struct.pack(f"<{count}Q", *range(0, count * step, step))
    lengths = struct.pack(f"<{count}Q", *[step - 8] * count)
    tables = explicit(0x7FE00001, "OV", offsets) + explicit(0x7FE00002, "OV", lengths)
    head = encapsulated(item(b""), frames="100000", tables=tables)
    header = struct.pack("<HHI", 0xFFFE, 0xE000, step - 8)

    def fragments(start: int, end: int) -> bytes:
        at = start % step
        return (header + bytes(step - 8))[at : at + end - start].ljust(end - start, b"\0")

    sparse = Sparse((0, lambda a, b: head[a:b], len(head)), (len(head), fragments, count * step))
    table = pixel_layout(sparse.read, len(head) + count * step + 8, JPEG_BASELINE)
    assert table.count == count
    last = len(head) + (count - 1) * step + 8
    assert table.ranges(count - 1) == [(last, last + step - 8)]
    assert last > 1 << 33
    assert sparse.asked_bytes < 3 * len(head)


def by_pydicom(sample: Sample) -> list[bytes] | None:
    """The frames of a corpus file, as pydicom divides its pixel data."""
    found = dataset_by_pydicom(sample.data_set, sample.transfer_syntax_uid)
    names = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    pixels = next((found[name] for name in names if name in found), None)
    if pixels is None or not pixels.value:
        return None
    count = int(found.get("NumberOfFrames") or 1)
    if pixels.is_undefined_length:
        extended = None
        if "ExtendedOffsetTable" in found:
            extended = (found.ExtendedOffsetTable, found.ExtendedOffsetTableLengths)
        return list(
            generate_frames(pixels.value, number_of_frames=count, extended_offsets=extended)
        )
    bits = found.Rows * found.Columns * found.get("SamplesPerPixel", 1) * found.BitsAllocated
    if sample.transfer_syntax_uid == BIG_ENDIAN and found.BitsAllocated == 8 and count == 1:
        return [bytes(get_decoder(UID(BIG_ENDIAN)).as_buffer(found)[0])]
    if found.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits // 3 * 2 if len(pixels.value) * 8 < bits * count else bits
    if bits * count > len(pixels.value) * 8:
        return None
    if bits % 8 == 0 or count == 1:
        size = (bits + 7) // 8
        return [pixels.value[at * size : (at + 1) * size] for at in range(count)]
    packed = int.from_bytes(pixels.value, "little")
    mask = (1 << bits) - 1
    return [
        (packed >> number * bits & mask).to_bytes((bits + 7) // 8, "little")
        for number in range(count)
    ]


VIDEO = {"video-hevc-mp51.dcm", "video-mpeg2-mpml.dcm", "video-mpeg4-h264-hp41.dcm"}
NO_NUMBER_OF_FRAMES = {"badVR.dcm"}  # "1A"
FRAGMENT_TOO_LONG = {"TC0711_encap_frag_len_maxuint_minus1.dcm"}
TOO_MUCH = {"nested-sq-5000.dcm", "nested-sq-40000.dcm", "deflate-bomb-600MiB.dcm"}


def test_the_frames_of_every_file_are_those_that_pydicom_gives() -> None:
    wrong: list[str] = []
    compared = 0
    for sample in samples():
        if sample.name in TOO_MUCH:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = by_pydicom(sample)
        except Exception:
            expected = None
        data, size = sample.data_set, len(sample.data_set)
        read = lambda a, b, data=data: data[a:b]  # noqa: E731
        try:
            table = pixel_layout(read, size, sample.transfer_syntax_uid)
        except FrameTableError:
            if expected and sample.name not in VIDEO | NO_NUMBER_OF_FRAMES | FRAGMENT_TOO_LONG:
                wrong.append(f"{sample.name}: no table")
            continue
        if expected is None:
            continue
        if sample.transfer_syntax_uid == DEFLATED:
            opened = InflatedDataSet(read, size)
            assert inflated_layout(opened) == table
            read = opened.read  # type: ignore[assignment]
        ours = [
            b"".join(read(start, end) for start, end in table.ranges(frame))
            for frame in range(table.count)
        ]
        if isinstance(table, PackedBitFrames):
            ours = [
                table.cut(each, frame, 0, table.frame_length_bytes)
                for frame, each in enumerate(ours)
            ]
        compared += 1
        if ours != expected:
            wrong.append(sample.name)
    assert wrong == []
    assert compared >= 40


def test_an_instance_without_pixels_says_so() -> None:
    with pytest.raises(FrameTableError, match="no pixel data"):
        layout(ct_explicit()[:200])

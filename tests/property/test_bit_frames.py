"""Frames of one bit a pixel, of any size: what pydicom unpacks, cut in any way, deflated or not."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import iter_pixels, pixel_array
from pydicom.pixels.utils import unpack_bits

import corpus
from dicom_samples import explicit
from fileroom.dicom.frame_table import NativeFrames, PackedBitFrames
from fileroom.dicom.frames import inflated_layout, native_layout
from fileroom.dicom.inflate import InflatedDataSet
from fileroom.dicom.part10 import Part10Splitter

EXPLICIT = "1.2.840.10008.1.2.1"
Table = NativeFrames | PackedBitFrames


def us(tag: int, number: int) -> bytes:
    return explicit(tag, "US", number.to_bytes(2, "little"))


def data_set(rows: int, columns: int, frames: int, pixels: bytes) -> bytes:
    return b"".join(
        [
            us(0x00280002, 1),
            explicit(0x00280004, "CS", b"MONOCHROME2 "),
            explicit(0x00280008, "IS", str(frames).encode()),
            us(0x00280010, rows),
            us(0x00280011, columns),
            us(0x00280100, 1),
            explicit(0x7FE00010, "OB", pixels),
        ]
    )


def frame_of(data: bytes, table: Table, frame: int, step: int = 1 << 20) -> bytes:
    """A frame as it is sent: in pieces of `step` bytes."""
    size = table.frame_length_bytes
    if isinstance(table, NativeFrames):
        ((start, end),) = table.ranges(frame)
        return data[start:end]
    pieces = []
    for start in range(0, size, step):
        end = min(start + step, size)
        held = slice(*table.holding(frame, start, end))
        assert held.stop <= len(data)
        pieces.append(table.cut(data[held], frame, start, end))
        assert len(pieces[-1]) == end - start
    return b"".join(pieces)


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))


@given(sizes, st.randoms(use_true_random=False), st.integers(1, 9))
def test_any_frame_of_any_size_is_what_pydicom_unpacks_of_it(size, random, step) -> None:
    rows, columns, frames = size
    length = rows * columns
    pixels = random.randbytes((length * frames + 7) // 8)
    pixels += random.randbytes(len(pixels) % 2)  # padding need not be zero
    bits = unpack_bits(pixels)
    data = data_set(rows, columns, frames, pixels)
    table = native_layout(lambda a, b: data[a:b], len(data), EXPLICIT)
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = stream.compress(data) + stream.flush()
    inflated = InflatedDataSet(lambda a, b: packed[a:b], len(packed))
    assert inflated_layout(inflated) == table
    assert (table.count, table.frame_length_bytes) == (frames, (length + 7) // 8)
    for frame in range(frames):
        found = frame_of(data, table, frame, step)
        unpacked = unpack_bits(found)
        assert unpacked[:length].tolist() == bits[frame * length :][:length].tolist()
        if frames > 1:
            assert not unpacked[length:].any()
        assert frame_of(inflated.read(0, len(data)), table, frame, step) == found


def test_seven_frames_of_three_by_five_each_begin_at_a_bit_of_their_own() -> None:
    """By hand: frame k is k ones and then zeros, lowest bit first (PS3.5 §8.1.1)."""
    text = "".join("1" * k + "0" * (15 - k) for k in range(7))
    value = bytes(int(text[at : at + 8].ljust(8, "0")[::-1], 2) for at in range(0, 105, 8))
    data = data_set(3, 5, 7, value)
    table = native_layout(lambda a, b: data[a:b], len(data), EXPLICIT)
    assert isinstance(table, PackedBitFrames)
    expected = [b"\0\0", b"\1\0", b"\3\0", b"\7\0", b"\x0f\0", b"\x1f\0", b"\x3f\0"]
    assert [frame_of(data, table, frame) for frame in range(7)] == expected


def segmentations() -> list[Path]:
    """pydicom's liver, and the segmentations of the larger corpus where that is there."""
    shipped = [get_testdata_file(n, download=False) for n in ("liver_1frame.dcm",)]
    names = ("liver.dcm", "liver_nonbyte_aligned.dcm", "liver_expb.dcm", "seg_image_sm_dots.dcm")
    beside = [each.path for each in corpus.beside_files() if each.path.name in names]
    return [Path(str(each)) for each in shipped] + beside


@pytest.mark.parametrize("path", segmentations(), ids=lambda path: path.name)
def test_the_frames_of_a_segmentation_are_those_that_pydicom_gives(path: Path) -> None:
    file = path.read_bytes()
    start = Part10Splitter().feed(file)
    assert start is not None
    data = file[start.dataset_offset :]
    table = native_layout(lambda a, b: data[a:b], len(data), start.transfer_syntax_uid)
    instance = dcmread(path)
    whole = pixel_array(instance).reshape(table.count, -1)
    length = instance.Rows * instance.Columns
    for frame in range(table.count):
        found = np.unpackbits(np.frombuffer(frame_of(data, table, frame), "u1"), bitorder="little")
        assert np.array_equal(found[:length], whole[frame])
        assert not found[length:].any()
    if length % 4 == 0:  # of others pydicom 3.0 takes a byte too few when it takes one frame
        assert np.array_equal(np.stack(list(iter_pixels(instance))).reshape(whole.shape), whole)

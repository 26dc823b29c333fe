"""Pixel data that comes apart: encapsulated as pydicom does it, its transfer syntax shown by real
frames, and checked against its description."""

import struct

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from fileroom.pixels.encapsulating import (
    ImagePixelError,
    UnknownSyntaxError,
    excess_bytes,
    pixel_data_head,
    refuse_undescribed,
    shown_syntax,
)


def shipped(name: str):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not ship {name}")
    return dcmread(path)


def before_pixels(name: str = "CT_small.dcm", **changed: object) -> bytes:
    data_set = shipped(name)
    for keyword, value in changed.items():
        if value is None:
            delattr(data_set, keyword)
        else:
            setattr(data_set, keyword, value)
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, data_set[:0x7FE00010])
    return out.getvalue()


@pytest.mark.parametrize("sizes", [[1], [2], [3, 4], [10, 1, 7]])
def test_frames_are_encapsulated_as_pydicom_does(sizes):
    frames = [bytes([n + 1]) * size for n, size in enumerate(sizes)]
    ours = pixel_data_head(sizes)
    for frame in frames:
        padded = frame + b"\0" * (len(frame) % 2)
        ours += b"\xfe\xff\0\xe0" + struct.pack("<I", len(padded)) + padded
    element = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
    assert ours == element + encapsulate(frames, has_bot=len(frames) > 1)


def test_offsets_that_do_not_fit_are_left_out():
    empty = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0"
    assert pixel_data_head([0xFFFFFFF0, 2, 2]) == empty
    assert pixel_data_head([0xFFFFFFF0, 2]) != empty


FRAMES = [
    ("image/jpeg", "SC_rgb_jpeg_dcmtk.dcm"),
    ("image/jpeg", "JPGExtended.dcm"),
    ("image/jpeg", "SC_jpeg_no_color_transform.dcm"),
    ("image/jpeg", "SC_rgb_jpeg_lossy_gdcm.dcm"),
    ("image/jls", "MR_small_jpeg_ls_lossless.dcm"),
    ("image/jls", "JPEGLSNearLossless_08.dcm"),
    ("image/jp2", "MR_small_jp2klossless.dcm"),
    ("image/jp2", "JPEG2000.dcm"),
]


@pytest.mark.parametrize("media_type, name", FRAMES)
def test_a_frame_of_another_implementation_shows_its_transfer_syntax(media_type, name):
    data_set = shipped(name)
    frame = next(generate_frames(data_set.PixelData, number_of_frames=1))
    assert shown_syntax(media_type, frame) == data_set.file_meta.TransferSyntaxUID


@pytest.mark.parametrize(
    "media_type, head",
    [
        ("image/jpeg", b""),
        ("image/jpeg", b"GIF89a"),
        ("image/jpeg", b"\xff\xd8"),
        ("image/jpeg", b"\xff\xd8\xff\xe0\0\1" + b"x" * 100),  # a length that cannot be
        ("image/jpeg", b"\xff\xd8\xff\xc2\0\x0b\x08\0\1\0\1\1\1\x11\0" + b"\xff\xda\0\2"),
        ("image/jpeg", b"\xff\xd8" + b"\xff" * 100_000),
        ("image/jp2", b"\xff\x4f\xff\x90\0\x0a" + bytes(8)),
        ("image/jp2", b"\xff\xd8\xff\xc0\0\x0b" + bytes(9)),
        ("image/png", b"\x89PNG"),
        ("video/mp4", b""),
    ],
)
def test_what_shows_none_is_refused(media_type, head):
    with pytest.raises(UnknownSyntaxError):
        shown_syntax(media_type, head)


def test_native_pixel_data_is_as_long_as_it_is_described():
    before = before_pixels()
    assert excess_bytes(before, 128 * 128 * 2) == 0
    assert excess_bytes(before, 128 * 128 * 2 + 10) == 10
    with pytest.raises(ImagePixelError, match="32766 B of pixel data where 32768 B are needed"):
        excess_bytes(before, 128 * 128 * 2 - 2)
    assert excess_bytes(before_pixels(NumberOfFrames=3), 128 * 128 * 2 * 3) == 0
    odd = before_pixels(Rows=3, Columns=3, BitsAllocated=8)
    assert [excess_bytes(odd, size) for size in (9, 10, 11)] == [0, 0, 1]
    assert excess_bytes(before_pixels(Rows=3, Columns=3, BitsAllocated=1), 2) == 0


def test_more_than_four_gigabytes_are_counted_right():
    assert excess_bytes(before_pixels(Rows=65535, Columns=65535, BitsAllocated=8), 65535**2) == 0
    before = before_pixels(Rows=65535, Columns=65535, BitsAllocated=16)
    with pytest.raises(ImagePixelError, match="8589672450 B are needed"):
        excess_bytes(before, 0xFFFFFFFE)


@pytest.mark.parametrize("missing", ["Rows", "Columns", "BitsAllocated"])
def test_pixel_data_without_its_description_is_refused(missing):
    before = before_pixels(**{missing: None})
    with pytest.raises(ImagePixelError):
        excess_bytes(before, 32768)
    with pytest.raises(ImagePixelError):
        refuse_undescribed(before)
    refuse_undescribed(before_pixels())

"""Frames that are compressed without loss: decoders of others read the same pixels."""

from io import BytesIO

import numpy
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array

from fileroom.pixels import encoding
from fileroom.pixels.encoding import (
    ENCODABLE,
    HTJ2K_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_LOSSLESS,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
    EncodingError,
    by_pixel,
    by_plane,
    encode,
)
from fileroom.pixels.image_pixel import ImagePixel

# Decoders that are not those of imagecodecs; for lossless JPEG there is DCMTK, in tests/conform.
ELSEWHERE = {
    RLE_LOSSLESS: "pydicom",
    JPEG_LS_LOSSLESS: "pyjpegls",
    JPEG_2000_LOSSLESS: "pylibjpeg",
    HTJ2K_LOSSLESS: "pylibjpeg",
}


def image_of(*, rows: int = 61, columns: int = 47, samples: int = 1, **keys) -> ImagePixel:
    given = {
        "bits_allocated": 16, "bits_stored": 16, "signed": False, "planar": False, "lossy": "",
        "photometric": "MONOCHROME2" if samples == 1 else "RGB",
    } | keys  # fmt: skip
    given.setdefault("high_bit", given["bits_stored"] - 1)
    return ImagePixel(rows=rows, columns=columns, samples=samples, **given)


IMAGES = {
    "8 bits": image_of(bits_allocated=8, bits_stored=8),
    "12 bits of 16": image_of(bits_stored=12),
    "16 bits": image_of(),
    "signed, 12 bits of 16": image_of(bits_stored=12, signed=True),
    "signed, 16 bits": image_of(signed=True),
    "RGB": image_of(samples=3, bits_allocated=8, bits_stored=8),
    "YBR_FULL": image_of(samples=3, bits_allocated=8, bits_stored=8, photometric="YBR_FULL"),
    "RGB, 16 bits": image_of(samples=3),
    "palette": image_of(bits_allocated=8, bits_stored=8, photometric="PALETTE COLOR"),
    "one pixel": image_of(rows=1, columns=1),
    "one row": image_of(rows=1, columns=301, bits_allocated=8, bits_stored=8),
}


def pixels_of(image: ImagePixel) -> bytes:
    """Slopes and noise, in the bits that are stored."""
    random = numpy.random.default_rng(7)
    lowest = -(1 << image.bits_stored - 1) if image.signed else 0
    shape = (image.rows, image.columns, image.samples)
    noise = random.integers(lowest, lowest + (1 << image.bits_stored), shape)
    noise[image.rows // 2 :] = lowest + numpy.arange(image.columns)[:, None] % 50
    width = image.bits_allocated // 8
    return noise.astype(f"<{'i' if image.signed else 'u'}{width}").tobytes()


def read_by(plugin: str, frame: bytes, image: ImagePixel, syntax: str) -> bytes:
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = syntax
    d.SOPClassUID, d.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    d.Rows, d.Columns, d.SamplesPerPixel = image.rows, image.columns, image.samples
    d.PhotometricInterpretation = image.photometric
    d.BitsAllocated, d.BitsStored = image.bits_allocated, image.bits_stored
    d.HighBit = image.high_bit
    d.PixelRepresentation = int(image.signed)
    if image.samples > 1:
        d.PlanarConfiguration = 0
    d.PixelData = encapsulate([frame])
    d["PixelData"].VR = "OB"
    out = BytesIO()
    dcmwrite(out, d, enforce_file_format=True)
    found = pixel_array(dcmread(BytesIO(out.getvalue())), decoding_plugin=plugin, raw=True)
    return found.tobytes()


@pytest.mark.parametrize("syntax", sorted(ENCODABLE))
@pytest.mark.parametrize("name", IMAGES)
def test_what_is_compressed_is_read_by_another_decoder(name: str, syntax: str) -> None:
    image = IMAGES[name]
    pixels = pixels_of(image)
    frame = encode(pixels, image, syntax)
    assert encoding.decode(frame, image, syntax) == pixels
    if syntax in ELSEWHERE:
        assert read_by(ELSEWHERE[syntax], frame, image, syntax) == pixels


def test_bits_above_the_stored_ones_stay() -> None:
    """An overlay may lie there (PS3.5 §8.1.1, before 2001)."""
    image = image_of(bits_stored=12)
    pixels = numpy.full((image.rows, image.columns), 0x8FFF, "<u2").tobytes()
    for syntax in ENCODABLE:
        assert encoding.decode(encode(pixels, image, syntax), image, syntax) == pixels


def test_lossless_jpeg_is_of_selection_value_1() -> None:
    image = IMAGES["16 bits"]
    frame = encode(pixels_of(image), image, JPEG_LOSSLESS)
    scan = frame.index(b"\xff\xda")
    components = frame[scan + 4]
    assert frame[scan + 5 + 2 * components] == 1  # Ss (T.81 §B.2.3, Table H.1)


def test_rle_has_a_segment_for_each_byte_the_most_significant_first() -> None:
    # PS3.5 §G.2, §G.3.1, §G.5; the second row repeats, the first does not
    image = image_of(rows=2, columns=4)
    pixels = bytes.fromhex("0102 0304 0506 0708 AABB AABB AABB AABB")
    frame = encode(pixels, image, RLE_LOSSLESS)
    high = bytes.fromhex("03 02 04 06 08  FD BB  00")
    low = bytes.fromhex("03 01 03 05 07  FD AA  00")
    header = b"".join(each.to_bytes(4, "little") for each in (2, 64, 64 + len(high), *[0] * 13))
    assert frame == header + high + low


@pytest.mark.parametrize("bits", [1, 32])
def test_what_a_codec_has_no_room_for_is_refused(bits: int) -> None:
    image = image_of(bits_allocated=bits, bits_stored=bits)
    pixels = bytes(image.frame_bytes)
    for syntax in ENCODABLE - ({RLE_LOSSLESS} if bits == 32 else set()):
        with pytest.raises(EncodingError, match=f"in {bits} bits"):
            encode(pixels, image, syntax)
    if bits == 32:
        assert encoding.decode(encode(pixels, image, RLE_LOSSLESS), image, RLE_LOSSLESS) == pixels


@pytest.mark.parametrize("syntax", sorted(ENCODABLE))
def test_a_codec_that_gives_another_image_is_found_out(syntax: str, monkeypatch) -> None:
    image = IMAGES["8 bits"]
    pixels = pixels_of(image)
    other = bytes([pixels[0] ^ 1]) + pixels[1:]
    frame = encode(other, image, syntax)
    monkeypatch.setitem(encoding._ENCODERS, syntax, lambda *_: frame)
    with pytest.raises(EncodingError, match="another image"):
        encode(pixels, image, syntax)
    monkeypatch.setitem(encoding._ENCODERS, syntax, lambda *_: frame[: len(frame) // 2])
    with pytest.raises(EncodingError):
        encode(pixels, image, syntax)


def test_a_frame_of_another_size_is_refused() -> None:
    with pytest.raises(EncodingError, match="are due"):
        encode(b"\0" * 11, IMAGES["8 bits"], RLE_LOSSLESS)


def test_planes_become_pixels_and_pixels_planes() -> None:
    image = image_of(rows=1, columns=2, samples=3, bits_allocated=8, bits_stored=8, planar=True)
    assert by_pixel(b"RRGGBB", image) == b"RGBRGB"
    assert by_plane(b"RGBRGB", image) == b"RRGGBB"
    wide = image_of(rows=1, columns=2, samples=3, planar=True)
    assert by_pixel(b"RrRrGgGgBbBb", wide) == b"RrGgBbRrGgBb"
    assert by_plane(by_pixel(b"RrRrGgGgBbBb", wide), wide) == b"RrRrGgGgBbBb"
    flat = image_of(rows=1, columns=2, samples=3, bits_allocated=8, bits_stored=8)
    assert by_pixel(b"RGBRGB", flat) == by_plane(b"RGBRGB", flat) == b"RGBRGB"

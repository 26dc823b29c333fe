"""Pixels as compressed frames, without loss: in which transfer syntaxes, and proof of it. Pure.

The codecs are those of imagecodecs (docs/decisions/0024). What an encoder gives is decoded again,
and given on only where the pixels are the same: an encoder that fails must cost an answer, never a
wrong image.
"""

from collections.abc import Callable
from struct import pack
from typing import TYPE_CHECKING, Final, TypeAlias

from fileroom.dicom.instance_error import InstanceError
from fileroom.pixels.decoding import FRAME_BYTES_MAX, decode
from fileroom.pixels.image_pixel import ImagePixel

if TYPE_CHECKING:
    from numpy import generic
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[generic]

RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS: Final = "1.2.840.10008.1.2.4.70"  # process 14, selection value 1
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
_CELL_BITS: Final = frozenset({8, 16})
_RLE_CELL_BITS: Final = frozenset({8, 16, 32})
_RLE_SEGMENTS_MAX: Final = 15


class EncodingError(InstanceError):
    """The pixels cannot be compressed in that transfer syntax without loss."""


def encode(pixels: bytes, image: ImagePixel, transfer_syntax_uid: str) -> bytes:
    """One frame, compressed without loss.

    Args:
        pixels: as `decode` gives them: little endian, colour by pixel.
        transfer_syntax_uid: one of `ENCODABLE`.

    Returns:
        The frame without padding; it decodes to `pixels`.

    Raises:
        EncodingError: the codec has no room for such pixels, or what it gave is something else.
    """
    cells = _RLE_CELL_BITS if transfer_syntax_uid == RLE_LOSSLESS else _CELL_BITS
    if image.bits_allocated not in cells or image.samples not in (1, 3):
        raise EncodingError(f"{image.samples} samples in {image.bits_allocated} bits")
    if len(pixels) != image.frame_bytes or len(pixels) > FRAME_BYTES_MAX:
        raise EncodingError(f"a frame of {len(pixels)} B where {image.frame_bytes} B are due")
    try:
        frame = bytes(_ENCODERS[transfer_syntax_uid](pixels, image))
        same = decode(frame, image, transfer_syntax_uid) == pixels
    except (RuntimeError, ValueError) as error:  # which is what codecs raise
        raise EncodingError(f"the codec refuses it by {type(error).__name__}") from None
    except InstanceError as error:
        raise EncodingError(f"what was compressed is not read again: {error}") from None
    if not same:
        raise EncodingError("what was compressed is another image")
    return frame


def by_pixel(frame: bytes, image: ImagePixel) -> bytes:
    """A frame whose colours lie as Planar Configuration says, with its colours pixel by pixel.

    Args:
        frame: `image.frame_bytes` bytes.
    """
    if image.samples == 1 or not image.planar or image.bits_allocated % 8:
        return frame
    planes = _cells(frame, image).reshape(image.samples, image.rows, image.columns)
    return planes.transpose(1, 2, 0).tobytes()


def by_plane(frame: bytes, image: ImagePixel) -> bytes:
    """A frame whose colours lie pixel by pixel, with its colours as Planar Configuration says."""
    if image.samples == 1 or not image.planar or image.bits_allocated % 8:
        return frame
    pixels = _cells(frame, image).reshape(image.rows, image.columns, image.samples)
    return pixels.transpose(2, 0, 1).tobytes()


def _cells(frame: bytes, image: ImagePixel, *, signed: bool = False) -> "Samples":
    import numpy

    return numpy.frombuffer(frame, f"<{'i' if signed else 'u'}{image.bits_allocated // 8}")


def _samples(pixels: bytes, image: ImagePixel, *, signed: bool = False) -> "Samples":
    shape = (image.rows, image.columns, *((image.samples,) if image.samples > 1 else ()))
    return _cells(pixels, image, signed=signed).reshape(shape)


def _precision_bits(samples: "Samples", image: ImagePixel) -> int:
    """Bits Stored, where nothing lies above them; a sign or an overlay needs the whole cell."""
    return image.bits_allocated if int(samples.max()) >> image.bits_stored else image.bits_stored


def _jpeg(pixels: bytes, image: ImagePixel) -> bytes | bytearray:
    import imagecodecs

    samples = _samples(pixels, image)
    bits = _precision_bits(samples, image)
    if image.samples == 1:
        return imagecodecs.jpeg8_encode(samples, lossless=True, predictor=1, bitspersample=bits)
    return imagecodecs.jpeg8_encode(
        samples,
        lossless=True,
        predictor=1,
        bitspersample=bits,
        colorspace="RGB",  # no colour is changed: the same space in and out, whichever it is
        outcolorspace="RGB",
    )


def _jpeg_ls(pixels: bytes, image: ImagePixel) -> bytes | bytearray:
    import imagecodecs

    return imagecodecs.jpegls_encode(_samples(pixels, image))


def _jpeg_2000(pixels: bytes, image: ImagePixel) -> bytes | bytearray:
    import imagecodecs

    # Without a colour transform, for the data set goes on saying which colours these are.
    samples = _samples(pixels, image, signed=image.signed)
    return imagecodecs.jpeg2k_encode(
        samples, codecformat="j2k", reversible=True, mct=False, numthreads=1
    )


def _htj2k(pixels: bytes, image: ImagePixel) -> bytes | bytearray:
    import imagecodecs

    samples = _samples(pixels, image, signed=image.signed)
    return imagecodecs.htj2k_encode(samples, reversible=True, rgb=False)


def _rle(pixels: bytes, image: ImagePixel) -> bytes | bytearray:
    """A segment for each byte of the cells, the most significant first (PS3.5 §G.2), each row
    packed by itself (§G.3.1)."""
    import imagecodecs
    import numpy

    width = image.bits_allocated // 8
    octets = numpy.frombuffer(pixels, numpy.uint8)
    octets = octets.reshape(image.rows, image.columns, image.samples, width)
    if image.samples * width > _RLE_SEGMENTS_MAX:
        raise EncodingError(f"{image.samples * width} segments")
    segments = []
    for sample in range(image.samples):
        for byte in reversed(range(width)):
            plane = octets[:, :, sample, byte].copy()
            packed = bytes(imagecodecs.packbits_encode(plane, axis=-1))
            segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64]
    for each in segments[:-1]:
        offsets.append(offsets[-1] + len(each))
    offsets += [0] * (_RLE_SEGMENTS_MAX - len(segments))
    return pack("<16I", len(segments), *offsets) + b"".join(segments)


_ENCODERS: Final[dict[str, Callable[[bytes, ImagePixel], bytes | bytearray]]] = {
    RLE_LOSSLESS: _rle,
    JPEG_LOSSLESS: _jpeg,
    JPEG_LS_LOSSLESS: _jpeg_ls,
    JPEG_2000_LOSSLESS: _jpeg_2000,
    HTJ2K_LOSSLESS: _htj2k,
}
ENCODABLE: Final = frozenset(_ENCODERS)
"""Transfer syntaxes in which frames can be compressed."""

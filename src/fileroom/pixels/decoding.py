"""Compressed frames as pixels: which transfer syntaxes, and what the pixels then are. Pure.

The codecs are those of imagecodecs (docs/decisions/0024); it and numpy are loaded at the first
frame. A codec is given nothing whose header does not fit the data set, and what it gives must
have the size that the data set says: no codec here proves that an image is whole.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from fileroom.dicom.instance_error import InstanceError
from fileroom.pixels import codestream
from fileroom.pixels.codestream import Codestream, CodestreamError
from fileroom.pixels.image_pixel import ImagePixel

if TYPE_CHECKING:
    from numpy import generic
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[generic]

FRAME_BYTES_MAX: Final = 256 << 20  # of a frame, before and after; codecs take several times that

_JPEG: Final = "1.2.840.10008.1.2.4."
# Lossy by definition: what is decoded is to say so, whether or not the sender did.
_LOSSY_JPEG: Final = frozenset(_JPEG + each for each in ("50", "51", "53", "55"))
_LOSSLESS: Final = frozenset(_JPEG + each for each in ("57", "70", "80", "90", "201", "202"))
JPEG_2000: Final = frozenset(_JPEG + each for each in ("90", "91", "201", "202", "203"))
_CELLS: Final = frozenset({1, 8, 16, 32})
YBR_FULL_422: Final = "YBR_FULL_422"


class DecodingError(InstanceError):
    """The frame cannot be decoded into the image that the data set describes."""


def decoded_photometric(image: ImagePixel, transfer_syntax_uid: str) -> str:
    """Photometric Interpretation of the decoded pixels (PS3.3 §C.7.6.3.1.2, PS3.5 §8.2).

    Lossy JPEG and the colour transforms of JPEG 2000 are undone, for their result is RGB. What
    is lossless keeps its colours as they are.
    """
    if image.samples != 3 or transfer_syntax_uid in AS_THEY_ARE:
        return image.photometric
    if transfer_syntax_uid in _LOSSY_JPEG or image.photometric in ("YBR_ICT", "YBR_RCT"):
        return "RGB"
    return "YBR_FULL" if image.photometric == YBR_FULL_422 else image.photometric


def is_lossy(transfer_syntax_uid: str) -> bool:
    """Whether every image of this transfer syntax was compressed with loss."""
    return transfer_syntax_uid in _LOSSY_JPEG


def check_layout(image: ImagePixel) -> None:
    """Refuse an image that no frame can be decoded into. Raises DecodingError."""
    if image.bits_allocated not in _CELLS or image.samples not in (1, 3):
        raise DecodingError(f"{image.samples} samples in {image.bits_allocated} bits")
    if image.frame_bytes > FRAME_BYTES_MAX:
        raise DecodingError(f"a frame of {image.frame_bytes} B is over {FRAME_BYTES_MAX} B")


def decode(frame: bytes, image: ImagePixel, transfer_syntax_uid: str) -> bytes:
    """The pixels of one frame: little endian, colour by pixel, of one bit packed from bit 0.

    Args:
        frame: its fragments joined.
        image: `check_layout` has passed it.
        transfer_syntax_uid: one of `DECODABLE`.

    Returns:
        `image.frame_bytes` bytes.

    Raises:
        DecodingError, CodestreamError: it is damaged, or another image.
    """
    try:
        pixels = _DECODERS[transfer_syntax_uid](frame, image, transfer_syntax_uid)
    except InstanceError:
        raise
    except (RuntimeError, ValueError, zlib.error) as error:  # which is what codecs raise
        # Their text may hold anything.
        raise DecodingError(f"the codec refuses it by {type(error).__name__}") from None
    if len(pixels) != image.frame_bytes:
        raise DecodingError(f"a frame gives {len(pixels)} B where {image.frame_bytes} B are due")
    return pixels


def joined(frames: Iterable[bytes], image: ImagePixel) -> Iterator[bytes]:
    """Decoded frames as the value of native pixel data: of one bit a pixel they follow one
    another without a gap (PS3.5 §8.1.1)."""
    if image.frame_bits % 8 == 0:
        yield from frames
        return
    held, held_bits = 0, 0
    for frame in frames:
        bits = int.from_bytes(frame, "little") & (1 << image.frame_bits) - 1
        held |= bits << held_bits
        held_bits += image.frame_bits
        whole, held_bits = divmod(held_bits, 8)
        yield (held & (1 << 8 * whole) - 1).to_bytes(whole, "little")
        held >>= 8 * whole
    if held_bits:
        yield held.to_bytes(1, "little")


def _jpeg(frame: bytes, image: ImagePixel, syntax: str) -> bytes:
    import imagecodecs

    stream = _fitting(codestream.of_jpeg(frame), image)
    if stream.components == 1:
        pixels = imagecodecs.jpeg8_decode(frame)
    elif stream.lossless:
        # No colour is changed: the same space in and out, whichever it is.
        pixels = imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB")
    else:
        # What the frame says of its colours counts more than what the data set says: senders
        # are known that call RGB what their encoder turned into YCbCr.
        is_rgb = image.photometric == "RGB" if stream.is_rgb is None else stream.is_rgb
        space = "RGB" if is_rgb else "YCBCR"
        pixels = imagecodecs.jpeg8_decode(frame, colorspace=space, outcolorspace="RGB")
    return _cells(pixels, stream, image, syntax)


def _jpeg_ls(frame: bytes, image: ImagePixel, syntax: str) -> bytes:
    import imagecodecs

    stream = _fitting(codestream.of_jpeg(frame), image)
    return _cells(imagecodecs.jpegls_decode(frame), stream, image, syntax)


def _jpeg_2000(frame: bytes, image: ImagePixel, syntax: str) -> bytes:
    """HTJ2K too: this decoder, OpenJPEG, raises where a stream is cut off."""
    import imagecodecs

    stream = _fitting(codestream.of_jpeg_2000(frame), image)
    # Without the boxes of a JP2 file: of their palettes and sizes nothing is known here.
    pixels = imagecodecs.jpeg2k_decode(frame[stream.start :] if stream.start else frame)
    return _cells(pixels, stream, image, syntax)


def _rle(frame: bytes, image: ImagePixel, _: str) -> bytes:
    import imagecodecs
    import numpy

    sample_bytes = (image.bits_allocated + 7) // 8
    segments = codestream.rle_segments(frame)
    if segments != image.samples * sample_bytes:
        raise CodestreamError(f"an RLE frame of {segments} segments")
    cell = numpy.dtype(f"<u{sample_bytes}")
    planes = imagecodecs.dicomrle_decode(frame, cell, out=image.frame_bytes)
    if image.samples == 1 or len(planes) != image.frame_bytes:
        return bytes(planes)
    by_plane = numpy.frombuffer(planes, cell).reshape(image.samples, image.rows, image.columns)
    return by_plane.transpose(1, 2, 0).tobytes()


def _deflated(frame: bytes, image: ImagePixel, _: str) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    pixels = inflater.decompress(frame, image.frame_bytes + 2)
    if not inflater.eof and len(pixels) <= image.frame_bytes + 1:
        raise DecodingError("a deflated frame that is cut off")
    return _unpadded(pixels, image)


def _native(frame: bytes, image: ImagePixel, _: str) -> bytes:
    return _unpadded(frame, image)


def _unpadded(pixels: bytes, image: ImagePixel) -> bytes:
    return pixels[: image.frame_bytes] if len(pixels) == image.frame_bytes + 1 else pixels


def _fitting(stream: Codestream, image: ImagePixel) -> Codestream:
    """`stream`, if it is the image that the data set describes."""
    if (stream.columns, stream.rows) != (image.columns, image.rows):
        raise DecodingError(f"a frame of {stream.columns} x {stream.rows} pixels in another image")
    if stream.components != image.samples:
        raise DecodingError(f"a frame of {stream.components} components in another image")
    if stream.precision_bits > image.bits_allocated:
        raise DecodingError(f"{stream.precision_bits} bits in {image.bits_allocated} allocated")
    return stream


def _cells(pixels: "Samples", stream: Codestream, image: ImagePixel, syntax: str) -> bytes:
    """Samples in the cells that the data set describes, two's complement where it says signed."""
    import numpy

    shape = (image.rows, image.columns, *((image.samples,) if image.samples > 1 else ()))
    if pixels.shape != shape or pixels.dtype.kind not in "iu":
        raise DecodingError(f"the codec gives {pixels.dtype} of {pixels.ndim} dimensions")
    if image.bits_allocated == 1:
        return numpy.packbits(pixels.astype(numpy.uint8) & 1, bitorder="little").tobytes()
    width = image.bits_allocated // 8
    cells = pixels.astype(f"<i{width}" if stream.signed else f"<u{width}", copy=False)
    spare_bits = image.bits_allocated - image.bits_stored
    if not spare_bits or image.high_bit != image.bits_stored - 1:
        return cells.tobytes()
    if image.signed and not stream.signed:
        cells = cells.view(f"<i{width}")
        if stream.precision_bits < image.bits_allocated:
            # The frame had no room for the sign in the cell's highest bits.
            cells = (cells << spare_bits) >> spare_bits
    if syntax not in _LOSSLESS:
        # Loss may lead beyond the bits that are stored, and readers of native pixels look at
        # those only: the brightest would become the darkest.
        lowest = -(1 << image.bits_stored - 1) if image.signed else 0
        cells = numpy.clip(cells, lowest, lowest + (1 << image.bits_stored) - 1)
    return cells.tobytes()


_DECODERS: Final[dict[str, Callable[[bytes, ImagePixel, str], bytes]]] = {
    **{_JPEG + each: _jpeg for each in ("50", "51", "53", "55", "57", "70")},
    **{_JPEG + each: _jpeg_ls for each in ("80", "81")},
    **dict.fromkeys(JPEG_2000, _jpeg_2000),
    "1.2.840.10008.1.2.5": _rle,
    "1.2.840.10008.1.2.1.98": _native,
    "1.2.840.10008.1.2.8.1": _deflated,
}
DECODABLE: Final = frozenset(_DECODERS)
"""Transfer syntaxes whose frames can be decoded."""
AS_THEY_ARE: Final = frozenset({"1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1"})
"""Those of them whose frames hold pixels laid out as the data set says, planes included."""

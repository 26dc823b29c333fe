"""The stored samples of one frame, out of the cells that hold them (PS3.5 §8.1, §8.2). Pure."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fileroom.pixels import decoding
from fileroom.pixels.decoding import DecodingError
from fileroom.pixels.presentation import Presentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

STRIP_PIXELS: Final = 1 << 18
SUBSAMPLED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})


def stored_samples(frame: bytes, shown: Presentation, transfer_syntax_uid: str) -> "Array":
    """The samples of a frame.

    Args:
        frame: as it is stored; of compressed pixel data its fragments joined.

    Returns:
        Rows by columns, by samples if there are more than one. Integers are the bits that are
        stored, without their sign; numbers with a floating point are what they are.

    Raises:
        DecodingError, CodestreamError: it is damaged, or another image than the data set says.
    """
    image = shown.image
    is_native = transfer_syntax_uid not in decoding.DECODABLE
    if not is_native:
        frame = decoding.decode(frame, image, transfer_syntax_uid)
    elif shown.in_words and image.bits_allocated <= 8:
        frame = _swapped(frame)
    shape = (image.rows, image.columns, image.samples)
    if is_native and image.photometric in SUBSAMPLED and 8 * len(frame) < image.frame_bits:
        return _even(frame, image.rows, image.columns)
    if len(frame) < image.frame_bytes:
        raise DecodingError(f"a frame of {len(frame)} B where {image.frame_bytes} B are due")
    cells = _cells(frame, shown)
    by_plane = image.planar and (is_native or transfer_syntax_uid in decoding.AS_THEY_ARE)
    if image.samples == 1:
        cells = cells.reshape(shape[:2])
    elif by_plane:
        cells = cells.reshape(shape[2], *shape[:2]).transpose(1, 2, 0)
    else:
        cells = cells.reshape(shape)
    if shown.float_bits or image.bits_stored == image.bits_allocated:
        return cells
    lowest_bit = max(0, image.high_bit + 1 - image.bits_stored)
    if lowest_bit:
        cells = cells >> lowest_bit
    return cells & ((1 << image.bits_stored) - 1)


def in_strips(samples: "Array", work: "Callable[[Array], Array]", *channels: int) -> "Array":
    """What `work` makes of samples, some rows at a time, so that what it needs in between takes
    little memory.

    Args:
        work: gives as many bytes as it is given pixels, or `channels` times as many.
    """
    import numpy

    out = numpy.empty((*samples.shape[:2], *channels), numpy.uint8)
    for rows in strips(samples):
        out[rows] = work(samples[rows])
    return out


def strips(samples: "Array") -> list[slice]:
    """The rows of an image, some at a time."""
    rows = max(1, STRIP_PIXELS // samples.shape[1])
    return [slice(at, at + rows) for at in range(0, len(samples), rows)]


def values_of_codes(bits: int, *, signed: bool) -> "Array":
    """What each pattern of that many bits stands for."""
    import numpy

    values = numpy.arange(1 << bits, dtype=numpy.int64)
    if signed:
        values[1 << bits - 1 :] -= 1 << bits
    return values


def _cells(frame: bytes, shown: Presentation) -> "Array":
    """The cells of a frame, one after the other."""
    import numpy

    image = shown.image
    if image.bits_allocated == 1:
        bits = numpy.unpackbits(numpy.frombuffer(frame, numpy.uint8), bitorder="little")
        return bits[: image.frame_bits]
    kind = "f" if shown.float_bits else "u"
    order = ">" if shown.big_endian else "<"
    cell = numpy.dtype(f"{order}{kind}{image.bits_allocated // 8}")
    return numpy.frombuffer(frame, cell, image.rows * image.columns * image.samples)


def _even(frame: bytes, rows: int, columns: int) -> "Array":
    """Two pixels share their chrominance: Y1 Y2 CB CR, as it was in a frame that is not
    compressed (PS3.3 §C.7.6.3.1.2)."""
    import numpy

    pairs = rows * columns // 2
    if columns % 2 or len(frame) != 4 * pairs:
        raise DecodingError(f"a frame of {len(frame)} B for {pairs} pairs of pixels")
    read = numpy.frombuffer(frame, numpy.uint8, 4 * pairs).reshape(rows, columns // 2, 4)
    out = numpy.empty((rows, columns // 2, 2, 3), numpy.uint8)
    out[..., 0] = read[..., :2]
    out[..., 1:] = read[..., None, 2:]
    return out.reshape(rows, columns, 3)


def _swapped(frame: bytes) -> bytes:
    """Bytes of words in the other order."""
    import numpy

    whole = numpy.frombuffer(frame, numpy.uint8, len(frame) // 2 * 2)
    return whole.reshape(-1, 2)[:, ::-1].tobytes() + frame[len(whole) :]

"""From stored samples to red, green and blue of 8 bits each (PS3.3 §C.7.6.3.1.2, §C.7.9). Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from fileroom.pixels.decoding import DecodingError
from fileroom.pixels.lut import Lut
from fileroom.pixels.presentation import Presentation
from fileroom.pixels.samples import in_strips, values_of_codes

if TYPE_CHECKING:
    from fileroom.pixels.samples import Array

# What of Y, CB and CR less their offsets becomes red, green and blue: the inverse of the
# equations of PS3.3 §C.7.6.3.1.2.
_FULL: Final = (
    (0, 128, 128),
    ((1.0, 0.0, 1.402), (1.0, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587), (1.0, 1.772, 0.0)),
)
_SCALE_Y, _SCALE_C = 255 / 219, 255 / 224
_PARTIAL: Final = (
    (16, 128, 128),
    tuple((_SCALE_Y * y, _SCALE_C * cb, _SCALE_C * cr) for y, cb, cr in _FULL[1]),
)
_SPACES: Final = {
    "YBR_FULL": _FULL,
    "YBR_FULL_422": _FULL,
    "YBR_PARTIAL_422": _PARTIAL,
    "YBR_PARTIAL_420": _PARTIAL,
}


def rgb(samples: "Array", bits: int, photometric: str) -> "Array":
    """Colours of three samples.

    Args:
        samples: rows by columns by 3, of `bits` each.

    Raises:
        DecodingError: of a colour space that is not shown.
    """
    eight = _of_eight_bits(samples, bits)
    if photometric == "RGB":
        return eight
    if photometric not in _SPACES:
        raise DecodingError("three samples of a Photometric Interpretation that is not shown")
    return _converted(eight, *_SPACES[photometric])


def _of_eight_bits(samples: "Array", bits: int) -> "Array":
    import numpy

    if bits > 8:
        return in_strips(samples, lambda strip: strip >> (bits - 8), 3)
    if bits < 8:
        most = (1 << bits) - 1
        return in_strips(samples, lambda strip: strip.astype(numpy.uint16) * 255 // most, 3)
    return samples


def _converted(
    samples: "Array", offsets: Sequence[int], factors: Sequence[Sequence[float]]
) -> "Array":
    import numpy

    matrix, zero = numpy.array(factors, numpy.float32).T, numpy.array(offsets, numpy.float32)

    def convert(strip: "Array") -> "Array":
        return numpy.rint(numpy.clip((strip.astype(numpy.float32) - zero) @ matrix, 0, 255))

    return in_strips(samples, convert, 3)


def painted(samples: "Array", shown: Presentation) -> "Array":
    """Colours of one sample that stands for an entry of three palettes."""
    import numpy

    assert shown.palette is not None
    bits = shown.image.bits_stored
    if bits > 16:
        raise DecodingError(f"a palette for pixels of {bits} bits")
    stored = values_of_codes(bits, signed=shown.image.signed)
    table = numpy.stack([_entries(each, stored) for each in shown.palette], axis=1)
    return in_strips(samples, lambda strip: table[strip], 3)


def _entries(palette: Lut, stored: "Array") -> "Array":
    import numpy

    entries = numpy.array(palette.entries, numpy.int64)
    if palette.bits > 8 and entries.max() > 0xFF:
        # Descriptors are known that say 16 of entries of 8 bits.
        entries >>= palette.bits - 8
    at = numpy.clip(stored - palette.first, 0, len(entries) - 1)
    found: Array = entries[at].astype(numpy.uint8)
    return found

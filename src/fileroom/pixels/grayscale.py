"""From stored values to grey: Modality LUT, VOI LUT, polarity (PS3.3 §C.11.1, §C.11.2; the order
is that of PS3.4 §N.2). Pure.

Of up to 16 bits there are so few values that all of them are worked out once, and pixels looked up
in a table of bytes. Wider ones are worked out some rows at a time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from fileroom.pixels.lut import Lut
from fileroom.pixels.presentation import Presentation
from fileroom.pixels.samples import in_strips, strips, values_of_codes
from fileroom.pixels.view import Window

if TYPE_CHECKING:
    from fileroom.pixels.samples import Array

    Shade: TypeAlias = Callable[[Array], Array]

TABLE_BITS_MAX: Final = 16
_EXPONENT_MAX: Final = 700.0


def shading(samples: "Array", shown: Presentation, window: Window | None) -> "Shade":
    """What makes 8-bit grey of stored samples.

    Args:
        samples: all of the frame: where nothing says what is to be seen, it is their range.
        window: goes before what the data set says.

    Returns:
        Takes some of these samples, gives as many bytes; 0 is black.
    """
    import numpy

    if shown.float_bits or shown.image.bits_stored > TABLE_BITS_MAX:
        return _wide_shading(samples, shown, window)
    stored = values_of_codes(shown.image.bits_stored, signed=shown.image.signed)
    values = _modality(stored.astype(numpy.float64), shown)
    voi = _voi(shown, window)
    if voi is None:
        used = numpy.zeros(len(stored), bool)
        for rows in strips(samples):
            used[samples[rows]] = True
        counted = used & ~_is_padding(stored, shown)
        voi = _range(values[counted if counted.any() else used])
    table = _grey(voi(values), shown)
    return lambda some: in_strips(some, lambda strip: table[strip])


def _wide_shading(samples: "Array", shown: Presentation, window: Window | None) -> "Shade":
    import numpy

    voi = _voi(shown, window)
    if voi is None:
        ends = []
        for rows in strips(samples):
            stored = _numbers(samples[rows], shown)
            values = _modality(stored, shown)
            values = values[numpy.isfinite(values) & ~_is_padding(stored, shown)]
            if values.size:
                ends += [values.min(), values.max()]
        voi = _range(numpy.array(ends))
    look = voi

    def shade(strip: "Array") -> "Array":
        return _grey(look(_modality(_numbers(strip, shown), shown)), shown)

    return lambda some: in_strips(some, shade)


def _numbers(samples: "Array", shown: Presentation) -> "Array":
    """Stored values, with their sign."""
    numbers = samples.astype("float64")
    if shown.image.signed and not shown.float_bits:
        bits = shown.image.bits_stored
        numbers[numbers >= 2.0 ** (bits - 1)] -= 2.0**bits
    return numbers


def _is_padding(stored: "Array", shown: Presentation) -> "Array":
    lowest, highest = shown.padding if shown.padding is not None else (1, 0)
    is_padding: Array = (stored >= lowest) & (stored <= highest)
    return is_padding


def _modality(stored: "Array", shown: Presentation) -> "Array":
    """What stored values stand for (PS3.3 §C.11.1)."""
    import numpy

    if shown.modality_lut is not None:
        return _looked_up(stored, shown.modality_lut)
    with numpy.errstate(all="ignore"):
        values: Array = stored * shown.slope + shown.intercept
    return values


def _looked_up(values: "Array", lut: Lut) -> "Array":
    import numpy

    entries = numpy.array(lut.entries, numpy.float64)
    at = numpy.clip(numpy.nan_to_num(values - lut.first), 0, len(entries) - 1)
    found: Array = entries[at.astype(numpy.int64)]
    return found


def _voi(shown: Presentation, window: Window | None) -> "Shade | None":
    """What is to be seen of values, as 0 to 1; None where nothing says it.

    A data set may have a table and windows; which of them is for the viewer to choose (PS3.3
    §C.11.2.1). The table comes first, because a device that makes one means it.
    """
    lut = shown.voi_lut
    chosen = window or (shown.window if lut is None else None)
    if chosen is not None:
        return _windowed(chosen)
    if lut is not None:
        return lambda values: _looked_up(values, lut) / ((1 << lut.bits) - 1)
    image = shown.image
    is_plain = shown.modality_lut is None and (shown.slope, shown.intercept) == (1.0, 0.0)
    if image.bits_stored <= 8 and not image.signed and is_plain:
        # Made for a screen; its range would make frames of one series look unlike.
        most = (1 << image.bits_stored) - 1
        return lambda values: values / most
    return None


def _windowed(window: Window) -> "Shade":
    """The functions of PS3.3 §C.11.2.1.2 and §C.11.2.1.3, before they are cut off at 0 and 1."""
    import numpy

    center, width, function = window

    def linear(values: "Array") -> "Array":
        if width == 1:
            return (values > center - 0.5).astype(numpy.float64)
        return (values - (center - 0.5)) / (width - 1) + 0.5

    def linear_exact(values: "Array") -> "Array":
        return (values - center) / width + 0.5

    def sigmoid(values: "Array") -> "Array":
        exponent = numpy.clip(-4 * (values - center) / width, -_EXPONENT_MAX, _EXPONENT_MAX)
        seen: Array = 1 / (1 + numpy.exp(exponent))
        return seen

    return {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}[function]


def _range(values: "Array") -> "Shade":
    """All of these values, the least black and the greatest white."""
    import numpy

    values = values[numpy.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if low == high:  # one grey: white where it is something, else black
        low, high = (0.0, high) if high > 0 else (low, low + 1)
    return lambda seen: (seen - low) / (high - low)


def _grey(seen: "Array", shown: Presentation) -> "Array":
    """0 to 1 as bytes."""
    import numpy

    grey: Array = numpy.rint(numpy.clip(numpy.nan_to_num(seen), 0, 1) * 255).astype(numpy.uint8)
    return 255 - grey if shown.inverted else grey

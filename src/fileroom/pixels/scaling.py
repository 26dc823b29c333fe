"""A picture in another size: averages where it becomes smaller, straight lines between pixels where
it becomes larger. Pure.

It is done some rows at a time, so that the numbers between take little memory.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fileroom.pixels.samples import Array

STRIP_SAMPLES: Final = 1 << 20


def fitted(
    width: float, height: float, aspect: float, columns_max: int | None, rows_max: int | None
) -> tuple[int, int]:
    """Columns and rows of a picture that fills a box without being distorted (PS3.18
    §8.3.5.1.3).

    Args:
        width, height: of the source, in pixels.
        aspect: how high such a pixel is where it is 1 wide.
        columns_max, rows_max: of the box; None: that side is free. Where both are, the picture
            has the pixels of the source, whatever their aspect.
    """
    if columns_max is None and rows_max is None:
        return max(1, round(width)), max(1, round(height))
    scales = []
    if columns_max is not None:
        scales.append(columns_max / width)
    if rows_max is not None:
        scales.append(rows_max / (height * aspect))
    scale = min(scales)
    columns, rows = max(1, round(width * scale)), max(1, round(height * aspect * scale))
    return min(columns, columns_max or columns), min(rows, rows_max or rows)


def scaled(
    picture: "Array", region: tuple[float, float, float, float], columns: int, rows: int
) -> "Array":
    """A region of a picture as another one.

    Args:
        picture: rows by columns of bytes, or by 3.
        region: left, top, width, height within it.
    """
    import numpy

    left, top, width, height = region
    if (width, height) == (columns, rows) and left == int(left) and top == int(top):
        return picture[int(top) : int(top) + rows, int(left) : int(left) + columns]
    out = numpy.empty((rows, columns, *picture.shape[2:]), numpy.uint8)
    step = height / rows
    channels = picture[0, 0].size
    of_row = max(step, 1) * max(len(picture[0]), columns) * channels
    block = max(1, int(STRIP_SAMPLES / of_row))
    for first in range(0, rows, block):
        behind = min(first + block, rows)
        # One more row at either end, for the lines between pixels.
        above = max(0, int(top + first * step) - 1)
        below = min(len(picture), int(top + behind * step) + 2)
        strip = _along(picture[above:below], left, width, columns)
        # Sums are quick along what lies side by side.
        strip = numpy.ascontiguousarray(strip.swapaxes(0, 1))
        begin = top + first * step - above
        strip = _along(strip, begin, (behind - first) * step, behind - first)
        out[first:behind] = numpy.rint(strip.swapaxes(0, 1))
    return out


def _along(samples: "Array", start: float, length: float, count: int) -> "Array":
    """[start, start + length) of the second axis as `count` samples."""
    import numpy

    step = length / count
    size = samples.shape[1]
    spread = (1, -1) + (1,) * (samples.ndim - 2)
    if step <= 1:
        at = numpy.clip(start + step * (numpy.arange(count) + 0.5) - 0.5, 0, size - 1)
        before = at.astype(numpy.int64)
        share = (at - before).reshape(spread)
        low = samples.take(before, 1).astype(numpy.float64)
        high = samples.take(numpy.minimum(before + 1, size - 1), 1)
        between: Array = low + (high - low) * share
        return between
    edges = numpy.clip(start + step * numpy.arange(count + 1), 0, size)
    before = numpy.minimum(edges.astype(numpy.int64), size - 1)
    # A row of bytes has no greater sum than 32 bits hold.
    exact = numpy.uint32 if samples.dtype == numpy.uint8 else numpy.float64
    sums = numpy.cumsum(samples, axis=1, dtype=exact)
    # Up to an edge: the whole samples before it, and a share of the one that it cuts.
    cut = samples.take(before, 1)
    upto = sums.take(before, 1) - (1 - (edges - before)).reshape(spread) * cut
    means: Array = numpy.diff(upto, axis=1) / numpy.diff(edges).reshape(spread)
    return means

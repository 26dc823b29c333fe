"""Whatever a data set or a request holds: a picture, or a typed refusal."""

import warnings
from functools import cache

import numpy
from hypothesis import given
from hypothesis import strategies as st

from dicom_samples import Sample, samples
from fileroom.dicom.dataset_index import Window as Bytes
from fileroom.dicom.dataset_index import data_set_of
from fileroom.dicom.encoding import encoding_of
from fileroom.dicom.frame_table import PackedBitFrames
from fileroom.dicom.frames import pixel_layout
from fileroom.dicom.inflate import InflatedTooLargeError
from fileroom.dicom.instance_error import InstanceError
from fileroom.pixels.lut import LutError, lut, segmented
from fileroom.pixels.presentation import presentation
from fileroom.pixels.rendering import (
    RENDERABLE,
    RenderingTooLargeError,
    cost_bytes,
    picture_size,
    render,
)
from fileroom.pixels.scaling import fitted, scaled
from fileroom.pixels.view import JPEG, PNG, Region, View, ViewError, Window, parse_view
from picture_parts import decoded

SIZE_BYTES_MAX = 60_000
REFUSALS = (InstanceError, InflatedTooLargeError, RenderingTooLargeError, ViewError)

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
windows = st.builds(
    Window, numbers, st.floats(1, 1e6), st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"])
)
sides = st.one_of(st.none(), st.integers(1, 80))
views = st.builds(
    View,
    media_type=st.sampled_from([JPEG, PNG]),
    window=st.one_of(st.none(), windows),
    columns_max=sides,
    rows_max=sides,
    region=st.one_of(
        st.none(),
        st.builds(
            Region,
            st.floats(0, 100),
            st.floats(0, 100),
            st.one_of(st.none(), st.floats(0.01, 200)),
            st.one_of(st.none(), st.floats(0.01, 200)),
        ),
    ),
    flipped_horizontally=st.booleans(),
    flipped_vertically=st.booleans(),
    quality=st.integers(1, 100),
)


@cache
def small() -> list[Sample]:
    return [
        each
        for each in samples()
        if each.transfer_syntax_uid in RENDERABLE - {"1.2.840.10008.1.2.1.99"}
        and 0 < len(each.data_set) < SIZE_BYTES_MAX
    ]


def picture(data: bytes, syntax: str, view: View) -> tuple[tuple[int, int], bytes] | None:
    """Columns and rows that are promised, and the file; None where it is refused."""
    encoding = encoding_of(syntax)
    opened = data_set_of(Bytes.over(data), implicit=encoding.implicit, order=encoding.order)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            shown = presentation(opened, 0)
            if shown is None:
                return None
            size = picture_size(shown, view)
            table = pixel_layout(lambda start, end: data[start:end], len(data), syntax)
            parts = [data[start:end] for start, end in table.ranges(0)]
            frame = b"".join(parts)
            if isinstance(table, PackedBitFrames):
                frame = table.cut(frame, 0, 0, table.frame_length_bytes)
            if cost_bytes(shown, syntax, view, len(frame)) > 256 << 20:
                return None
            return size, render(frame, shown, syntax, view)
        except REFUSALS:
            return None


@given(st.data(), views)
def test_a_damaged_data_set_is_shown_or_refused(data, view):
    sample = small()[data.draw(st.integers(0, len(small()) - 1))]
    damaged = bytearray(sample.data_set)
    for _ in range(data.draw(st.integers(0, 6))):
        # Mostly where the attributes of the image are.
        at = data.draw(st.integers(0, max(min(len(damaged), 6000) - 1, 0)))
        match data.draw(st.integers(0, 3)):
            case 0:
                damaged[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
            case 1:
                del damaged[at : at + data.draw(st.integers(1, 40))]
            case 2:
                damaged[at:at] = data.draw(st.binary(max_size=12))
            case _:
                del damaged[max(at, 1) :]
    made = picture(bytes(damaged), sample.transfer_syntax_uid, view)
    if made is not None:
        (columns, rows), file = made
        assert decoded(file, view.media_type).shape[:2] == (rows, columns)


@given(st.binary(max_size=400), st.sampled_from(sorted(RENDERABLE)))
def test_any_bytes_are_shown_or_refused(data, syntax):
    picture(data, syntax, View())


@given(
    st.dictionaries(
        st.sampled_from(["window", "viewport", "quality", "annotation", "iccprofile"]),
        st.text(st.characters(codec="utf-8"), max_size=20)
        | st.lists(st.sampled_from(["1", "-2", "0.5", "", "1e9", "linear"]), max_size=7).map(
            ",".join
        ),
    )
)
def test_any_query_is_a_view_or_refused(query):
    try:
        view = parse_view(query, JPEG)
    except ViewError:
        return
    assert view.key() == parse_view(query, JPEG).key()


@given(st.lists(st.integers(-9, 70_000), max_size=5), st.binary(max_size=60), st.booleans())
def test_any_table_is_of_its_size_or_refused(descriptor, data, big_endian):
    for make in (lut, segmented):
        try:
            made = make(descriptor, data, big_endian=big_endian)
        except LutError:
            continue
        assert len(made.entries) == descriptor[0] & 0xFFFF or 65_536
        assert all(0 <= each < 1 << made.bits for each in made.entries)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 90),
    st.integers(1, 90),
)
def test_a_scaled_picture_has_the_size_and_no_grey_that_was_not_between(
    columns, rows, left, top, wide, high
):
    picture_ = numpy.random.default_rng(columns * rows).integers(20, 200, (rows, columns))
    region = (left * columns * 0.9, top * rows * 0.9)
    region = (*region, columns - region[0], rows - region[1])
    made = scaled(picture_.astype(numpy.uint8), region, wide, high)
    assert made.shape == (high, wide)
    assert picture_.min() <= made.min() <= made.max() <= picture_.max()
    width, height = fitted(columns, rows, 1.0, wide, high)
    assert 1 <= width <= wide
    assert 1 <= height <= high

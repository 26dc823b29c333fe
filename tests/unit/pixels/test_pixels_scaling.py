"""Pictures in another size: the sums that come out of them are those that went in."""

import numpy
import pytest

from fileroom.pixels.scaling import fitted, scaled


def noise(rows: int, columns: int, *channels: int) -> numpy.ndarray:
    made = numpy.random.default_rng(7).integers(0, 256, (rows, columns, *channels))
    return made.astype(numpy.uint8)


def whole(picture: numpy.ndarray) -> tuple[float, float, float, float]:
    return 0, 0, picture.shape[1], picture.shape[0]


@pytest.mark.parametrize(
    ("source", "box", "expected"),
    [
        ((100, 50), (None, None), (100, 50)),
        ((100, 50), (200, 200), (200, 100)),
        ((100, 50), (50, 50), (50, 25)),
        ((50, 100), (50, 50), (25, 50)),
        ((100, 50), (30, None), (30, 15)),
        ((100, 50), (None, 10), (20, 10)),
        ((1000, 1), (10, 10), (10, 1)),
        ((10.4, 20.6), (None, None), (10, 21)),
    ],
)
def test_a_picture_fills_its_box_without_being_distorted(source, box, expected):
    assert fitted(*source, 1.0, *box) == expected


def test_pixels_that_are_not_square_are_shown_as_they_are_where_a_size_is_asked_for():
    # PS3.3 §C.7.6.3.1.7: each twice as high as it is wide.
    assert fitted(100, 50, 2.0, 100, 100) == (100, 100)
    assert fitted(100, 100, 2.0, 100, 100) == (50, 100)
    assert fitted(100, 50, 2.0, None, None) == (100, 50)


def test_the_same_size_is_the_same_picture():
    picture = noise(9, 7)
    assert numpy.array_equal(scaled(picture, whole(picture), 7, 9), picture)
    assert numpy.array_equal(scaled(picture, (2, 3, 4, 5), 4, 5), picture[3:8, 2:6])


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_smaller_picture_has_the_averages_of_what_it_stands_for(channels):
    picture = noise(12, 20, *channels)
    means = picture.reshape(3, 4, 5, 4, *channels).mean(axis=(1, 3))
    made = scaled(picture, whole(picture), 5, 3)
    assert numpy.array_equal(made, numpy.rint(means).astype(numpy.uint8))


def test_sizes_that_do_not_divide_share_pixels():
    picture = numpy.array([[0, 90, 240]], numpy.uint8)
    # Each of the two stands for one pixel and a half.
    assert scaled(picture, whole(picture), 2, 1).tolist() == [[30, 190]]


def test_a_larger_picture_goes_straight_from_pixel_to_pixel():
    picture = numpy.array([[0, 100]], numpy.uint8)
    assert scaled(picture, whole(picture), 4, 1).tolist() == [[0, 25, 75, 100]]
    flat = numpy.full((3, 5), 77, numpy.uint8)
    assert (scaled(flat, whole(flat), 41, 17) == 77).all()


def test_a_picture_is_the_same_however_many_rows_are_done_at_a_time(monkeypatch):
    picture = noise(101, 67, 3)
    regions = [whole(picture), (3.25, 7.75, 50.5, 80.125)]
    sizes = [(13, 17), (200, 300), (10, 300), (200, 9)]
    expected = [scaled(picture, region, *size) for region in regions for size in sizes]
    monkeypatch.setattr("fileroom.pixels.scaling.STRIP_SAMPLES", 1)
    made = [scaled(picture, region, *size) for region in regions for size in sizes]
    for one, other in zip(expected, made, strict=True):
        assert abs(one.astype(int) - other).max() <= 1  # where a half is rounded up or down


def test_a_region_between_pixels_is_shown_from_there():
    picture = numpy.array([[0, 100, 200, 200]], numpy.uint8)
    assert scaled(picture, (0.5, 0, 2, 1), 1, 1).tolist() == [[100]]
    assert scaled(picture, (1.5, 0, 1, 1), 1, 1).tolist() == [[150]]

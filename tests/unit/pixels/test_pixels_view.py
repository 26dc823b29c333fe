"""What is asked of a picture (PS3.18 §8.3.5): understood, or refused before anything is read."""

import pytest

from fileroom.pixels.view import (
    JPEG,
    PNG,
    Region,
    View,
    ViewError,
    Window,
    parse_thumbnail_view,
    parse_view,
)


def test_nothing_asked_is_the_frame_as_it_is():
    assert parse_view({}, JPEG) == View()
    assert parse_view({"charset": "utf-8", "anything": "else"}, PNG) == View(media_type=PNG)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("40,400,linear", Window(40, 400)),
        ("40.5,1,linear", Window(40.5, 1)),
        ("-600,1.5e3,linear-exact", Window(-600, 1500, "LINEAR_EXACT")),
        ("0,.5,sigmoid", Window(0, 0.5, "SIGMOID")),
    ],
)
def test_a_window_is_a_center_a_width_and_a_function(text, window):
    assert parse_view({"window": text}, JPEG).window == window


@pytest.mark.parametrize(
    "text",
    [
        *("", "40", "40,400", "40,400,", "40,400,cubic", "40,400,linear,1"),
        *("a,400,linear", "nan,400,linear", "inf,400,linear", "1_0,400,linear", "40,0x10,linear"),
        *("40,0,linear", "40,0.5,linear", "40,-400,linear", "40,0,linear-exact", "40,0,sigmoid"),
        *(" 40,400,linear", "40,400,linear ", "٤٠,400,linear", "1e999,400,linear"),
    ],
)
def test_a_window_that_is_none_is_refused(text):
    with pytest.raises(ViewError):
        parse_view({"window": text}, JPEG)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("512,256", View(columns_max=512, rows_max=256)),
        # The examples of PS3.18 §8.3.5.1.3.
        (
            "512,512,,,512,512",
            View(columns_max=512, rows_max=512, region=Region(0, 0, 512, 512)),
        ),
        ("1024,1024", View(columns_max=1024, rows_max=1024)),
        ("10,20,5", View(columns_max=10, rows_max=20, region=Region(5, 0))),
        ("10,20,,6.5", View(columns_max=10, rows_max=20, region=Region(0, 6.5))),
        (
            "10,20,5,6,-30,40",
            View(
                columns_max=10,
                rows_max=20,
                region=Region(5, 6, 30, 40),
                flipped_horizontally=True,
            ),
        ),
        (
            "10,20,-5,-6,30,-40.5",
            View(
                columns_max=10, rows_max=20, region=Region(5, 6, 30, 40.5), flipped_vertically=True
            ),
        ),
    ],
)
def test_a_viewport_is_a_box_and_a_region_whose_size_may_flip_it(text, view):
    assert parse_view({"viewport": text}, JPEG) == view


@pytest.mark.parametrize(
    "text",
    [
        *("", "512", "512,", ",512", "0,512", "512,0", "-512,512", "512.5,512", "65501,1"),
        *("512,512,1,2,3,4,5", "512,512,a", "512,512,,,nan", "9999999999,1", "٥,٥"),
    ],
)
def test_a_viewport_that_is_none_is_refused(text):
    with pytest.raises(ViewError):
        parse_view({"viewport": text}, JPEG)


@pytest.mark.parametrize("text", ["", "0", "101", "-1", "50.0", "best"])
def test_a_quality_is_a_whole_number_from_1_to_100(text):
    assert parse_view({"quality": "1"}, JPEG).quality == 1
    assert parse_view({"quality": "100"}, JPEG).quality == 100
    with pytest.raises(ViewError):
        parse_view({"quality": text}, JPEG)


@pytest.mark.parametrize("text", ["", "none", "patient,", "patient,private", "Patient"])
def test_an_annotation_of_another_kind_is_refused(text):
    for known in ("patient", "technique", "patient,technique", "technique,patient"):
        assert parse_view({"annotation": known}, JPEG) == View()
    with pytest.raises(ViewError):
        parse_view({"annotation": text}, JPEG)


@pytest.mark.parametrize("text", ["", "yes", "srgb", "adobergb", "rommrgb", "NO"])
def test_a_profile_cannot_be_had(text):
    assert parse_view({"iccprofile": "no"}, JPEG) == View()
    with pytest.raises(ViewError):
        parse_view({"iccprofile": text}, JPEG)


def test_a_thumbnail_has_a_viewport_without_a_region():
    assert parse_thumbnail_view({}, JPEG, 200) == View(columns_max=200, rows_max=200)
    small = parse_thumbnail_view({"viewport": "64,32", "window": "not looked at"}, PNG, 200)
    assert small == View(media_type=PNG, columns_max=64, rows_max=32)
    for text in ("64,32,0,0,10,10", "64,32,1", "64"):
        with pytest.raises(ViewError):
            parse_thumbnail_view({"viewport": text}, JPEG, 200)


def test_a_region_is_cut_off_at_the_edges_of_the_image():
    assert Region(10, 20, 30, 40).within(100, 200) == (10, 20, 30, 40)
    assert Region(90, 190, 30, 40).within(100, 200) == (90, 190, 10, 10)
    assert Region(90, 190).within(100, 200) == (90, 190, 10, 10)
    assert Region(0.25, 0.5, 0.5, 0.25, in_fractions=True).within(100, 200) == (25, 100, 50, 50)


@pytest.mark.parametrize(
    "region",
    [Region(100, 0), Region(0, 200), Region(0, 0, 0, 10), Region(-1, 0), Region(0, 0, 5, -5)],
)
def test_a_region_outside_of_the_image_is_refused(region):
    with pytest.raises(ViewError):
        region.within(100, 200)


def test_views_are_told_apart_by_their_keys():
    views = [
        View(),
        View(media_type=PNG),
        View(quality=89),
        View(window=Window(40, 400)),
        View(window=Window(40, 400, "SIGMOID")),
        View(columns_max=512),
        View(rows_max=512),
        View(region=Region(0, 0, 1, 1)),
        View(region=Region(0, 0, 1, 1, in_fractions=True)),
        View(flipped_horizontally=True),
        View(flipped_vertically=True),
    ]
    assert len({each.key() for each in views}) == len(views)

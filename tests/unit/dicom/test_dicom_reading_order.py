"""The order of a series' instances."""

from random import Random

from fileroom.dicom.header import Header
from fileroom.dicom.reading_order import order_key


def slice_at(
    uid: str, position: str = "", number: str = "", orientation: str = "1\\0\\0\\0\\1\\0"
) -> Header:
    given = {
        "ImagePositionPatient": position,
        "ImageOrientationPatient": orientation,
        "InstanceNumber": number,
    }
    return Header("1.2", uid, "1.3", "1.4", {key: text for key, text in given.items() if text})


def order(*headers: Header) -> list[str]:
    shuffled = list(headers)
    Random(7).shuffle(shuffled)
    return [header.sop_instance_uid for header in sorted(shuffled, key=order_key)]


def test_slices_are_read_along_their_normal_whatever_their_numbers() -> None:
    assert order(
        slice_at("a", "0\\0\\-10.5", "9"),
        slice_at("b", "0\\0\\-9.5", "5"),
        slice_at("c", "0\\0\\0.5", "7"),
        slice_at("d", "0\\0\\10", "1"),
    ) == ["a", "b", "c", "d"]


def test_the_normal_counts_and_not_the_axis() -> None:
    sagittal = "0\\1\\0\\0\\0\\-1"  # its normal is -x
    assert order(
        slice_at("left", "50\\0\\9", "1", sagittal), slice_at("right", "-50\\0\\3", "2", sagittal)
    ) == ["left", "right"]


def test_several_slices_at_one_place_are_read_by_number() -> None:
    assert order(
        slice_at("a", "0\\0\\1.00001", "2"),
        slice_at("b", "0\\0\\1", "10"),
        slice_at("c", "1\\1\\2", "1"),
    ) == ["a", "b", "c"]


def test_without_positions_the_number_counts_as_a_number() -> None:
    assert order(
        slice_at("a", number="2"), slice_at("b", number="10"), slice_at("c", number="11")
    ) == ["a", "b", "c"]


def test_what_has_no_place_and_no_number_comes_last_and_always_the_same() -> None:
    assert order(
        slice_at("d"),
        slice_at("c", number="x"),
        slice_at("b", "0\\0", "3"),
        slice_at("a", "0\\0\\5", "1"),
    ) == ["a", "b", "c", "d"]


def test_odd_geometry_is_no_geometry() -> None:
    for position, orientation in [
        ("0\\0\\nan", "1\\0\\0\\0\\1\\0"),
        ("0\\0\\1e999", "1\\0\\0\\0\\1\\0"),
        ("0\\0\\1", "0\\0\\0\\0\\0\\0"),
        ("0\\0\\1", "1\\0\\0\\1\\0\\0"),
        ("0\\0\\1", "1e308\\1e308\\0\\0\\1e308\\1e308"),
        ("0\\0\\\\1", "1\\0\\0\\0\\1\\0"),
    ]:
        assert order_key(slice_at("a", position, "4", orientation)) == (1, 4.0, 0.0, "a")

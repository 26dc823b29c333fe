"""The index of a data set: where elements lie, without their bytes."""

import pytest

from dicom_samples import (
    CT_ELEMENTS,
    EXPLICIT,
    IMPLICIT,
    ct_explicit,
    ct_implicit,
    explicit,
    implicit,
    item,
    undefined_sequence,
)
from fileroom.dicom.dataset_index import Window, bulk_range, elements, index, items
from fileroom.dicom.encoding import LITTLE
from fileroom.dicom.instance_error import InstanceError


def of(data: bytes, transfer_syntax_uid: str = EXPLICIT) -> list[tuple[int, bytes, bytes]]:
    found = index(lambda a, b: data[a:b], len(data), transfer_syntax_uid)
    return [(each.tag, each.vr, data[each.value_start : each.value_end]) for each in found]


def test_elements_come_with_their_representation_and_place() -> None:
    expected = [(tag, vr.encode(), value) for tag, vr, value in CT_ELEMENTS]
    assert of(ct_explicit()) == expected
    assert of(ct_implicit(), IMPLICIT) == [(tag, b"", value) for tag, _, value in expected]


def test_a_value_of_undefined_length_is_without_its_delimiter() -> None:
    inside = item(explicit(0x00100020, "LO", b"X "), defined=False)
    data = undefined_sequence(0x00081140, inside) + ct_explicit(CT_ELEMENTS[10:])
    first, second, *_ = index(lambda a, b: data[a:b], len(data), EXPLICIT)
    assert data[first.value_start : first.value_end] == inside
    assert first.undefined
    assert not first.torn
    assert (second.tag, second.start) == (CT_ELEMENTS[10][0], first.end)
    assert second.start == len(inside) + 12 + 8


def test_the_last_element_reaches_to_the_end_if_it_cannot_be_walked() -> None:
    for torn in (
        explicit(0x00100020, "LO", b"PID", length=100),
        explicit(0x00100020, "OB", b"", length=0xFFFFFFFE),
        explicit(0x00100020, "SQ", b"no items here", length=0xFFFFFFFF),
        explicit(0x00100020, "UT", b"undefined", length=0xFFFFFFFF),
        undefined_sequence(0x00100020, item(b""))[:-1],
        explicit(0x00100020, "OB", b"")[:10],
    ):
        data = ct_explicit(CT_ELEMENTS[:3]) + torn
        *whole, last = index(lambda a, b, data=data: data[a:b], len(data), EXPLICIT)
        assert [each.torn for each in whole] == [False] * 3
        assert last.torn
        assert (last.tag, last.end) == (0x00100020, len(data))


def test_large_values_are_not_read() -> None:
    asked: list[int] = []
    head = ct_explicit(CT_ELEMENTS[:-1]) + explicit(0x7FE00010, "OW", b"", length=1 << 30)

    def read(start: int, end: int) -> bytes:
        asked.append(end - start)
        return head[start:end].ljust(end - start, b"\0")

    found = index(read, len(head) + (1 << 30), EXPLICIT)
    assert found[-1].end - found[-1].value_start == 1 << 30
    assert sum(asked) < 200_000


def test_fragments_are_stepped_over_by_their_headers() -> None:
    asked: list[int] = []
    value = item(b"") + item(bytes(1 << 20)) * 8 + bytes.fromhex("FEFFDDE000000000")
    data = explicit(0x7FE00010, "OB", value, length=0xFFFFFFFF) + explicit(0xFFFCFFFC, "OB", b"")

    def read(start: int, end: int) -> bytes:
        asked.append(end - start)
        return data[start:end]

    assert [each.tag for each in index(read, len(data), EXPLICIT)] == [0x7FE00010, 0xFFFCFFFC]
    assert sum(asked) < 200_000


def test_items_of_both_forms_are_found() -> None:
    field = explicit(0x00100020, "LO", b"X ")
    value = item(field) + item(b"") + item(field, defined=False) + item(b"", defined=False)
    found = list(items(Window.over(value), 0, len(value), implicit=False, order=LITTLE))
    assert [value[each.start : each.end] for each in found] == [field, b"", field, b""]


@pytest.mark.parametrize(
    "value",
    [
        b"not items at all",
        item(b"abcd")[:-1],
        item(b"", defined=False)[:-8],
        item(explicit(0x00100020, "LO", b"X ", length=9), defined=False),
        item(b"")[:5],
    ],
)
def test_what_is_no_sequence_has_no_items(value: bytes) -> None:
    with pytest.raises(InstanceError):
        list(items(Window.over(value), 0, len(value), implicit=False, order=LITTLE))


def test_a_window_is_the_same_whatever_it_reads_at_a_time() -> None:
    data = ct_explicit()
    window = Window(lambda a, b: data[a:b], len(data))
    for position in (0, 300, 10, len(data) - 4, 100):
        at = window.at(position, 8)
        assert window.block[at : at + 4] == data[position : position + 4]
        assert window.get(position, position + 20) == data[position : position + 20]


def test_a_reader_that_gives_less_than_promised_ends_the_data_set() -> None:
    data = ct_explicit()
    found = index(lambda a, b: data[a:b], len(data) + 1000, EXPLICIT)
    assert [each.tag for each in found] == [tag for tag, *_ in CT_ELEMENTS]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "x",
        "7FE00010/1",
        "7FE00010/1/00100010",
        "00081140/0/00100020",
        "00081140/2/00100020",
        "00081140/1/00100021",
        "00081140/-1/00100020",
        "00081140/1/../00100020",
        "../../etc/passwd",
        "00420011",
        "0" * 100,
        "1/" * 500 + "1",
        "٠٠٠٨١١٤٠",
    ],
)
def test_a_path_to_nothing_is_refused(path: str) -> None:
    data = undefined_sequence(0x00081140, item(explicit(0x00100020, "LO", b"X "))) + ct_explicit()
    with pytest.raises(InstanceError):
        bulk_range(lambda a, b: data[a:b], len(data), EXPLICIT, path)


def test_a_path_leads_through_items_of_every_encoding() -> None:
    inner = implicit(0x00100020, b"INNER ")
    data = undefined_sequence(0x00091010, item(inner, defined=False), vr="UN")
    start, end = bulk_range(lambda a, b: data[a:b], len(data), EXPLICIT, "00091010/1/00100020")
    assert data[start:end] == b"INNER "


def test_many_elements_end_in_a_torn_one() -> None:
    data = explicit(0x00100020, "LO", b"") * 100_010
    found = list(elements(Window.over(data), 0, len(data), implicit=False, order=LITTLE))
    assert len(found) == 100_001
    assert found[-1].torn

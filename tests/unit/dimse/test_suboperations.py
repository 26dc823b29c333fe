"""The account of C-STORE sub-operations: PS3.4 §C.4.2.1.6 to §C.4.2.1.9, Table C.4-2."""

from io import BytesIO

import pytest
from pydicom.filereader import read_dataset

from fileroom.dimse.suboperations import Suboperations

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
SUCCESS, WARNING, REFUSED = 0x0000, 0xB000, 0xA700
COMPLETED, FAILED, WARNED, REMAINING = (
    f"NumberOf{each}Suboperations" for each in ("Completed", "Failed", "Warning", "Remaining")
)


def done(*statuses: int, total: int | None = None) -> Suboperations:
    found = Suboperations(len(statuses) if total is None else total)
    for number, status in enumerate(statuses):
        found.answered(f"1.2.{number}", status)
    return found


@pytest.mark.parametrize(
    ("statuses", "last"),
    [
        ((), 0x0000),
        ((SUCCESS, SUCCESS), 0x0000),
        ((SUCCESS, REFUSED), 0xB000),
        ((SUCCESS, WARNING), 0xB000),
        ((WARNING, WARNING), 0xB000),
        ((WARNING, REFUSED), 0xB000),
        ((REFUSED, 0xC000, 0x0122), 0xA702),  # all of them (PS3.4 §C.4.2.2.1)
    ],
)
def test_the_last_status_says_whether_all_some_or_none_were_done(statuses, last):
    answer = done(*statuses).last(EXPLICIT)
    assert answer.status == last
    assert answer.elements[COMPLETED] == statuses.count(SUCCESS)
    assert answer.elements[WARNED] == statuses.count(WARNING)
    assert answer.elements[FAILED] == len(statuses) - statuses.count(SUCCESS) - statuses.count(
        WARNING
    )
    assert REMAINING not in answer.elements


def test_what_remains_is_told_while_pending_and_when_cancelled():
    found = done(SUCCESS, REFUSED, total=5)
    pending = found.pending()
    assert (pending.status, pending.data_set) == (0xFF00, None)
    assert pending.elements == {COMPLETED: 1, FAILED: 1, WARNED: 0, REMAINING: 3}
    cancelled = found.last(EXPLICIT, cancelled=True)
    assert cancelled.status == 0xFE00
    assert cancelled.elements[REMAINING] == 3
    assert cancelled.data_set is not None


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_failed_instances_are_listed_and_others_are_not(syntax):
    answer = done(REFUSED, SUCCESS, WARNING, 0xA900).last(syntax)
    assert answer.data_set is not None
    listed = read_dataset(BytesIO(answer.data_set), syntax == IMPLICIT, True)
    assert [each.keyword for each in listed] == ["FailedSOPInstanceUIDList"]
    assert list(listed.FailedSOPInstanceUIDList) == ["1.2.0", "1.2.3"]
    assert done(SUCCESS, WARNING).last(syntax).data_set is None


def test_a_list_that_no_element_can_hold_ends_early_and_the_count_does_not():
    found = Suboperations(5000)
    for number in range(5000):
        found.fail(f"1.2.{number:060d}", "no")
    answer = found.last(EXPLICIT)
    assert answer.elements[FAILED] == 5000
    listed = read_dataset(BytesIO(answer.data_set or b""), False, True)
    assert len(listed.FailedSOPInstanceUIDList) == 1008


def test_counts_stay_within_their_sixteen_bits():
    found = Suboperations(200_000)
    found.completed = 70_000
    pending = found.pending()
    assert (pending.elements[COMPLETED], pending.elements[REMAINING]) == (0xFFFF, 0xFFFF)


def test_the_first_failure_is_what_people_are_told():
    found = Suboperations(3)
    found.miss(0, "nothing")
    found.fail("1.2", "the peer takes no form")
    found.miss(2, "a provider is away")
    assert found.last(EXPLICIT).comment == "the peer takes no form"
    assert found.last(EXPLICIT).elements[FAILED] == 3

"""Who is served under a SOP Instance UID, whatever order packs are found in."""

from itertools import permutations

import pytest

from fileroom.catalog.rows import InstancePlace, Standing
from fileroom.pack.metadata import timestamp
from fileroom.recovery.standing import OWN, DataSet, standings

SERVED, CONFLICT, REPEATED = Standing.SERVED, Standing.CONFLICT, Standing.REPEATED


def held(
    pack: int, content: str, second: int, *, conflict: bool = False, replacement: bool = False
) -> DataSet:
    received_at = timestamp(1_700_000_000_000_000_000 + second)
    return DataSet(InstancePlace(pack, 0), content, received_at, conflict, replacement)


def by_pack(*data_sets: DataSet) -> dict[int, Standing]:
    """The standings, which must be the same in every order."""
    found = [standings(each) for each in permutations(data_sets)]
    assert all(each == found[0] for each in found)
    return {place.pack: standing for place, standing in found[0].items()}


def test_the_first_that_came_is_served_and_another_one_is_a_conflict():
    assert by_pack(held(1, "b", 2), held(2, "a", 1), held(3, "c", 3)) == {
        1: CONFLICT, 2: SERVED, 3: CONFLICT,
    }  # fmt: skip


def test_equal_bytes_are_one_instance_however_often_they_lie_in_packs():
    assert by_pack(held(1, "a", 1), held(2, "a", 2), held(3, "b", 3), held(4, "b", 4)) == {
        1: SERVED, 2: REPEATED, 3: CONFLICT, 4: REPEATED,
    }  # fmt: skip


def test_what_sealing_called_a_conflict_is_never_served():
    early = held(1, "b", 1, conflict=True)
    assert by_pack(early, held(2, "a", 2)) == {1: CONFLICT, 2: SERVED}
    assert by_pack(early) == {1: CONFLICT}, "the first is elsewhere"
    assert by_pack(early, held(2, "b", 2)) == {1: REPEATED, 2: SERVED}


def test_what_sealing_put_in_the_place_of_something_unreadable_is_served():
    later = held(3, "b", 3, replacement=True)
    assert by_pack(held(1, "a", 1), later) == {1: CONFLICT, 3: SERVED}
    assert by_pack(held(1, "b", 1), later) == {1: REPEATED, 3: SERVED}
    assert by_pack(held(2, "c", 2, replacement=True), later) == {2: CONFLICT, 3: SERVED}


def test_of_two_that_are_one_the_one_that_is_served_already_stays():
    found = standings([held(OWN, "a", 1), held(7, "a", 1)])
    assert found == {InstancePlace(OWN, 0): REPEATED, InstancePlace(7, 0): SERVED}


@pytest.mark.parametrize("conflict", [False, True])
def test_what_cannot_be_read_stays_what_it_is_and_is_equal_to_nothing(conflict):
    unread = DataSet(InstancePlace(1, 0), "", "", conflict)
    found = standings([held(OWN, "a", 1), unread, DataSet(InstancePlace(2, 0), "", "", True)])
    assert found[unread.place] is (CONFLICT if conflict else SERVED)
    assert found[InstancePlace(2, 0)] is CONFLICT
    assert found[InstancePlace(OWN, 0)] is (SERVED if conflict else CONFLICT)

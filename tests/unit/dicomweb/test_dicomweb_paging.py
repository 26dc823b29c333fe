"""Pages of a search while studies arrive."""

from hypothesis import given
from hypothesis import strategies as st

from fileroom.catalog.query import Position
from fileroom.http.paging import Pages, Place, Start, name_of

SEARCH = b"one search"


def place(number: int, uid: str = "") -> Place:
    """The match with that number; the lowest number is the newest."""
    return Place(Position("20240101", 1000 - number, 7 if uid else 0), uid)


def page(pages: Pages, matches: list[Place], offset: int, limit: int) -> list[Place]:
    """A page as the door makes it, of matches in the order of their places."""
    start = pages.start(SEARCH, offset)
    behind = [
        each
        for each in matches
        if (start.after is None or each.position < start.after)
        and each.sop_instance_uid not in start.passed
    ]
    sent = behind[start.skip :][:limit]
    pages.keep(SEARCH, offset, sent)
    return sent


def test_a_page_begins_behind_the_match_that_the_last_one_ended_with():
    pages = Pages()
    assert pages.start(SEARCH, 0) == Start(None, frozenset(), 0)
    pages.keep(SEARCH, 0, [place(1), place(2), place(3)])
    assert pages.start(SEARCH, 3) == Start(place(3).position, frozenset(), 0)
    # Pages may overlap, as those of viewers do, and may leave some matches out.
    assert pages.start(SEARCH, 2) == Start(place(2).position, frozenset(), 0)
    assert pages.start(SEARCH, 5) == Start(place(3).position, frozenset(), 2)


def test_the_first_page_begins_anew():
    pages = Pages()
    pages.keep(SEARCH, 0, [place(1), place(2)])
    assert pages.start(SEARCH, 0) == Start(None, frozenset(), 0)
    assert pages.start(SEARCH, 2) == Start(None, frozenset(), 2)


def test_of_a_series_that_was_begun_the_instances_that_were_sent_are_passed_over():
    pages = Pages()
    pages.keep(SEARCH, 0, [place(1, "a"), place(2, "b"), place(2, "c")])
    position = place(2, "c").position
    assert pages.start(SEARCH, 3) == Start(
        position._replace(series=position.series - 1), frozenset({"b", "c"}), 0
    )


def test_what_stands_behind_an_unknown_page_is_not_kept():
    pages = Pages()
    pages.keep(SEARCH, 0, [place(1)])
    pages.keep(SEARCH, 5, [place(6)])
    assert pages.start(SEARCH, 6) == Start(place(1).position, frozenset(), 5)


def test_the_searches_that_were_asked_for_longest_ago_are_forgotten_first():
    pages = Pages(places_max=5)
    for search in (b"1", b"2"):
        pages.keep(search, 0, [place(1), place(2)])
    pages.start(b"1", 2)
    pages.keep(b"3", 0, [place(1), place(2)])
    assert pages.start(b"1", 2).skip == 0
    assert pages.start(b"2", 2).skip == 2
    pages.keep(b"4", 0, [place(n) for n in range(9)])  # more than all may have
    assert pages.start(b"4", 9).skip == 9


def test_searches_are_one_where_caller_path_and_query_are_one():
    named = name_of("a", "/studies", [("PatientID", "1"), ("limit", "5"), ("offset", "5")])
    assert named == name_of("a", "/studies", [("offset", "0"), ("PatientID", "1")])
    others = [
        ("b", "/studies", [("PatientID", "1")]),
        ("a", "/series", [("PatientID", "1")]),
        ("a", "/studies", [("PatientID", "2")]),
        ("a", "/studies", [("PatientID", "1"), ("PatientName", "")]),
        ("a", "/studiesPatientID", [("1", "")]),
    ]
    assert len({named, *(name_of(*each) for each in others)}) == 6
    assert b"PatientID" not in named


@given(
    present=st.sets(st.integers(0, 99), max_size=20),
    arrivals=st.lists(st.sets(st.integers(0, 99), max_size=3), max_size=8),
    limit=st.integers(1, 5),
    overlap=st.integers(0, 3),
)
def test_who_reads_page_after_page_misses_nothing_and_reads_nothing_twice(
    present, arrivals, limit, overlap
):
    """Whatever comes between two pages, and where a page begins inside the last one."""
    pages, there = Pages(), set(present)
    read: list[Place] = []
    for came in [*arrivals, *([set()] * 60)]:
        offset = max(0, len(read) - overlap)
        matches = [place(number) for number in sorted(there)]
        read[offset:] = page(pages, matches, offset, limit + overlap)
        there |= came
    numbers = [1000 - each.position.number for each in read]
    assert numbers == sorted(set(numbers))
    assert set(numbers) >= present


def test_a_page_behind_what_is_known_leaves_nothing_behind():
    pages = Pages()
    for number in range(100):
        pages.keep(b"%d" % number, 5, [place(number)])
    assert not pages._held

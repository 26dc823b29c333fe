"""Queries of the URI service of any shape: read, or refused by type, and never told of by value."""

from hypothesis import given
from hypothesis import strategies as st

from fileroom.dicomweb.wado.uri_query import KNOWN, OF_PICTURES, Asked, asked_of
from fileroom.errors import FileroomError, PeerError, RefusedError
from fileroom.http.request import named_in_query

NAMES = [("requestType", "WADO"), ("studyUID", "1.2"), ("seriesUID", "1.3"), ("objectUID", "1.4")]
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.text("0123456789.,-+eE ", max_size=20),
    st.lists(st.floats(0, 1).map(str), min_size=3, max_size=5).map(",".join),
)
VALUES = st.one_of(NUMBERS, st.text(max_size=40), st.sampled_from(["image/png", "*", "*/*"]))
KEYS = st.one_of(st.sampled_from(sorted(KNOWN)), st.text(max_size=12))


@given(st.lists(st.tuples(KEYS, VALUES), max_size=8), st.one_of(st.none(), VALUES))
def test_any_query_is_read_or_refused_by_type(query, accept):
    for given_query in (query, [*NAMES, *query]):
        try:
            assert isinstance(asked_of(given_query, accept), Asked)
        except (PeerError, RefusedError) as error:
            told = str(error)
            assert not any(len(value) > 12 and value in told for _, value in given_query)


@given(st.dictionaries(st.sampled_from(OF_PICTURES), NUMBERS, max_size=7))
def test_a_picture_that_can_be_asked_for_lies_within_the_image(pictured):
    try:
        asked = asked_of([*NAMES, *pictured.items()], "image/png")
    except FileroomError:
        return
    assert asked.frame >= 0
    view = asked.view
    assert view is not None
    if view.region is not None:
        left, top, width, height = view.region[:4]
        assert width > 0
        assert height > 0
        assert 0 <= left < left + width <= 1 + 1e-9
        assert 0 <= top < top + height <= 1 + 1e-9


@given(st.binary(max_size=200))
def test_names_are_taken_from_any_query_or_none_is(query):
    found = named_in_query(query, (("studyUID", "study"),))
    assert set(found) <= {"study"}
    assert named_in_query(query, ()) == {}

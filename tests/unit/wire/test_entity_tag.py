"""Entity tags; the examples of comparison are those of RFC 9110 §8.8.3.2."""

import pytest

from fileroom.wire.entity_tag import entity_tag, lists, names


@pytest.mark.parametrize(
    "field, tag, strongly, weakly",
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
        # Lists, "*", and what is no tag.
        ("*", '"1"', True, True),
        (' "0",W/"2" , "1"', '"1"', True, True),
        ('"a,b", "c"', '"c"', True, True),
        ('"a,b"', '"b"', False, False),
        ("1", '"1"', False, False),
        ('"1', '"1"', False, False),
        ("", '"1"', False, False),
    ],
)
def test_tags_are_compared_as_the_rfc_says(field, tag, strongly, weakly):
    assert lists(field, tag, strongly=True) == strongly
    assert lists(field, tag) == weakly


@pytest.mark.parametrize(
    "field, tag, expected",
    [
        ('"1"', '"1"', True),
        (' "1" ', '"1"', True),
        ('W/"1"', 'W/"1"', False),
        ('W/"1"', '"1"', False),
        ('"1", "2"', '"1"', False),
        ("*", '"1"', False),
        ("Tue, 24 Nov 2026 10:00:00 GMT", '"1"', False),
    ],
)
def test_a_range_goes_on_only_with_the_same_bytes(field, tag, expected):
    assert names(field, tag) == expected


def test_a_tag_tells_apart_what_differs_in_any_part_or_in_where_parts_end():
    made = {
        entity_tag(parts, strong=True)
        for parts in ([], [b""], ["a", "b"], ["ab"], ["b", "a"], ["a", "b", ""], ["a:1", "b"])
    }
    assert len(made) == 7
    assert all(len(tag) == 34 and tag[0] == tag[-1] == '"' for tag in made)
    assert entity_tag(["a"], strong=True) == entity_tag([b"a"], strong=True)
    assert entity_tag(["a"], strong=False) == "W/" + entity_tag(["a"], strong=True)

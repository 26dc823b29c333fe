"""The Range field: the examples of RFC 9110 §14.1.2 and what must be ignored."""

import pytest

from fileroom.wire import byte_range
from fileroom.wire.byte_range import UnsatisfiableRangeError


@pytest.mark.parametrize(
    "text, ranges",
    [
        # RFC 9110 §14.1.2, for a representation of 10000 bytes.
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=-500", [(9500, 10000)]),
        ("bytes=9500-", [(9500, 10000)]),
        ("bytes=0-0,-1", [(0, 1), (9999, 10000)]),
        ("bytes= 0-999, 4500-5499, -1000", [(0, 1000), (4500, 5500), (9000, 10000)]),
        ("bytes=500-600,601-999", [(500, 601), (601, 1000)]),
        ("bytes=500-700,601-999", [(500, 701), (601, 1000)]),
        # Ends behind the last byte are cut; ranges that lie outside are left out.
        ("bytes=9999-20000", [(9999, 10000)]),
        ("bytes=-20000", [(0, 10000)]),
        ("bytes=0-1,10000-", [(0, 2)]),
        ("BYTES=1-2", [(1, 3)]),
    ],
)
def test_ranges_are_half_open_and_in_the_order_asked(text, ranges):
    assert byte_range.parse(text, 10000) == ranges


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=1",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=0-1,",
        "bytes=\u0661-\u0662",
        "bytes=0-" + "9" * 30,
        "frames=1-2",
        "bytes=" + ",".join(["0-0"] * 17),
        "bytes=0-,0-",
    ],
)
def test_a_field_that_is_wrong_or_asks_too_much_is_ignored(text):
    assert byte_range.parse(text, 10000) == []


@pytest.mark.parametrize("text", ["bytes=10000-", "bytes=10000-10001,20000-", "bytes=-0"])
def test_ranges_that_all_lie_outside_cannot_be_satisfied(text):
    with pytest.raises(UnsatisfiableRangeError) as caught:
        byte_range.parse(text, 10000)
    assert caught.value.size_bytes == 10000


def test_nothing_of_an_empty_representation_can_be_satisfied():
    with pytest.raises(UnsatisfiableRangeError):
        byte_range.parse("bytes=0-", 0)


def test_content_range_names_the_last_byte():
    assert byte_range.content_range(0, 500, 1234) == "bytes 0-499/1234"

"""Content-Type and Accept as real clients send them."""

import pytest

from fileroom.wire import media_type
from fileroom.wire.media_type import MediaTypeError


def names(text):
    return [each.name for each in media_type.parse_accept(text)]


def test_a_content_type_has_a_name_in_lower_case_and_its_parameters():
    # dicomweb-client 0.61
    parsed = media_type.parse(
        'multipart/related; type="application/dicom"; '
        'boundary="0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"'
    )
    assert parsed.name == "multipart/related"
    assert parsed.parameter("type") == "application/dicom"
    assert parsed.parameter("boundary") == "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
    assert parsed.parameter("start") is None
    assert media_type.parse("Application/DICOM").name == "application/dicom"


def test_unquoted_types_of_viewers_are_understood():
    # OHIF and cornerstone send the type without the quotes that its "/" asks for.
    (parsed,) = media_type.parse_accept(
        "multipart/related; type=application/octet-stream; transfer-syntax=*"
    )
    assert parsed.parameter("type") == "application/octet-stream"
    assert parsed.parameter("transfer-syntax") == "*"


def test_ranges_come_by_weight_and_equal_ones_in_the_order_sent():
    assert names("text/html;q=0.5, application/dicom+json, application/json, */*;q=0.1") == [
        "application/dicom+json",
        "application/json",
        "text/html",
        "*/*",
    ]
    assert names("a/b;q=0, c/d;q=0.001") == ["c/d"]
    assert names("") == []
    assert names("a/b,, c/d ,") == ["a/b", "c/d"]


def test_ranges_of_weight_0_are_those_that_are_left_out():
    text = "a/b;q=0, c/d;q=0.001, */*, x/*;q=0.000"
    assert [each.name for each in media_type.parse_refused(text)] == ["a/b", "x/*"]


def test_separators_inside_quotes_do_not_separate():
    first, second = media_type.parse_accept(
        'multipart/related; type="a/b;c,d"; boundary="x\\"y", image/jls'
    )
    assert first.parameters == {"type": "a/b;c,d", "boundary": 'x"y'}
    assert second.name == "image/jls"


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "a", "a/", "/b", "a/b/c", "a b/c", "a/b; x", "a/b; =1", 'a/b; x="1', 'a/b; x="'),
        *("é/b", "a/b;" * 20 + "a=1", "a/b; x=" + "1" * 9000),
    ],
)
def test_what_is_no_media_type_is_refused(text):
    with pytest.raises(MediaTypeError):
        media_type.parse(text)


@pytest.mark.parametrize("weight", ["2", "-1", "1.5", "0.1234", "x", "", ".5", "1e0", "\u0661"])
def test_a_weight_outside_the_grammar_is_refused(weight):
    with pytest.raises(MediaTypeError):
        media_type.parse_accept(f"a/b;q={weight}")


def test_too_many_ranges_are_refused():
    with pytest.raises(MediaTypeError, match="65"):
        media_type.parse_accept(",".join(["a/b"] * 65))

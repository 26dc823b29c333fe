"""JSON arrays taken apart while they arrive: what is given, what is refused, what is held."""

import json

import pytest

from fileroom.wire.json_array import JsonArrayError, JsonArraySplitter, JsonTooLargeError


def split(
    text: bytes,
    *,
    cut: int = 1 << 20,
    size: int = 1 << 20,
    depth: int = 20,
    brackets: int = 1 << 20,
) -> list[bytes]:
    splitter = JsonArraySplitter(object_bytes_max=size, depth_max=depth, brackets_max=brackets)
    found = []
    for start in range(0, len(text), cut):
        splitter.feed(text[start : start + cut])
        while (each := splitter.next_object()) is not None:
            found.append(each)
    splitter.finish()
    return found


OBJECTS = [
    {"a": 1},
    {},
    {"brackets": '}]{["', "escapes": '\\"\\\\', "deep": [[{"x": [{}]}]]},
    {"text": "Zoë 𝔘 \n\t", "}": "{"},
]


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
def test_objects_come_out_as_they_stand_there_however_the_text_is_cut(cut, ascii, indent):
    text = json.dumps(OBJECTS, ensure_ascii=ascii, indent=indent).encode()
    assert [json.loads(each) for each in split(text, cut=cut)] == OBJECTS


@pytest.mark.parametrize("text", [b"[]", b" \r\n[\t] \n"])
def test_an_empty_array_has_none(text):
    assert split(text) == []


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[", b"[{}", b"[{},", b'[{"a":"', b"[{},]", b"[,{}]", b"[{}{}]", b"[{},,{}]"),
        *(
            b"{}",
            b"null",
            b"[1]",
            b'["a"]',
            b"[[]]",
            b"[{}]]",
            b"[{}] x",
            b"[{}][{}]",
            b"\xef\xbb[",
        ),
    ],
)
@pytest.mark.parametrize("cut", [1, 100])
def test_what_is_no_array_of_objects_is_refused(text, cut):
    with pytest.raises(JsonArrayError):
        split(text, cut=cut)


def test_objects_before_a_break_are_given_and_the_error_comes_again():
    splitter = JsonArraySplitter(object_bytes_max=100, depth_max=5, brackets_max=9)
    splitter.feed(b'[{"a":1},{"b":2} oops')
    assert [splitter.next_object(), splitter.next_object()] == [b'{"a":1}', b'{"b":2}']
    for _ in range(2):
        with pytest.raises(JsonArrayError):
            splitter.next_object()
    splitter.feed(b'{"c":3}')
    with pytest.raises(JsonArrayError):
        splitter.finish()


def test_no_object_is_longer_than_agreed():
    assert split(b'[{"a":"' + b"x" * 92 + b'"}]', size=100)
    with pytest.raises(JsonTooLargeError, match="100 B"):
        split(b'[{"a":"' + b"x" * 93 + b'"}]', size=100, cut=7)


def test_a_text_without_end_is_refused_before_it_is_all_there():
    splitter = JsonArraySplitter(object_bytes_max=1 << 20, depth_max=5, brackets_max=9)
    splitter.feed(b'[{"a":"')
    for _ in range(15):
        splitter.feed(b"x" * 65536)
        assert splitter.next_object() is None
    splitter.feed(b"x" * 65536)
    with pytest.raises(JsonTooLargeError):
        splitter.next_object()
    assert not splitter._held


@pytest.mark.parametrize("open_, close", [(b"[", b"]"), (b'{"a":', b"}")])
def test_no_object_is_nested_deeper_than_agreed(open_, close):
    assert split(b'[{"a":' + open_ * 4 + b"1" + close * 4 + b"}]", depth=5)
    with pytest.raises(JsonArrayError, match="deeper than 5"):
        split(b'[{"a":' + open_ * 5 + b"1" + close * 5 + b"}]", depth=5)
    with pytest.raises(JsonArrayError, match="deeper than 20"):
        split(b'[{"a":' + open_ * 1_000_000)


def test_no_object_has_more_brackets_than_agreed():
    text = b'[{"a":[[],[]]},{"a":[[],[]]}]'
    assert len(split(text, brackets=4)) == 2
    with pytest.raises(JsonArrayError, match="over 3 brackets"):
        split(text, brackets=3)


@pytest.mark.parametrize("piece", [b"[],", b'"",', b'"\\\\",', b"{},"])
def test_text_that_is_all_structure_takes_time_in_proportion(piece):
    """One pass: minutes, were each byte looked at again for those behind it."""
    text = b'[{"a":[' + piece * 300_000 + b"1]}]"
    assert len(split(text, size=1 << 24, cut=4096)) == 1

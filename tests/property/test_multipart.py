"""Any cut of a body gives the same parts, and python-multipart finds the same."""

import re

import python_multipart
from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.wire import multipart
from fileroom.wire.multipart import (
    MultipartError,
    MultipartParser,
    PartData,
    PartEnded,
    PartStarted,
)

BOUNDARY = "b-1"
# Pieces that make near misses of the delimiter likely.
PIECES = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", b"\r\n--b", b"\r\n--b-", b"--b-1", b" ", b"x"]
)
ANY_DATA = st.lists(PIECES | st.binary(max_size=20), max_size=12).map(b"".join)
# A sender must choose a boundary that is not in its data (RFC 2046 §5.1.1). What only begins like
# the delimiter stays in; python-multipart raises where a blank follows one.
DELIMITER_LINE = re.compile(rb"\r\n--b-1(\r\n|--|[ \t])")
DATA = ANY_DATA.filter(lambda data: not DELIMITER_LINE.search(data + b"\r\n--"))
HEADERS = st.dictionaries(
    st.text("abcdefghij-", min_size=1, max_size=12).filter(lambda name: name.strip("-")),
    st.text('abc;=/ "', max_size=20).map(str.strip),
    max_size=4,
)
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def body_of(parts: list[tuple[dict[str, str], bytes]]) -> bytes:
    pieces = []
    for number, (headers, data) in enumerate(parts):
        pieces += [multipart.part_header(BOUNDARY, headers.items(), first=number == 0), data]
    return b"".join([*pieces, multipart.closing(BOUNDARY)])


def pieces_of(body: bytes, cuts: list[int]):
    position = turn = 0
    while position < len(body):
        size = cuts[turn % len(cuts)]
        yield body[position : position + size]
        position, turn = position + size, turn + 1


def ours(body: bytes, cuts: list[int]) -> list[tuple[dict[str, str], bytes]]:
    parser = MultipartParser(BOUNDARY)
    found: list[tuple[dict[str, str], bytes]] = []
    ended = 0
    for piece in pieces_of(body, cuts):
        parser.feed(piece)
        while (event := parser.next_event()) is not None:
            if isinstance(event, PartStarted):
                found.append((event.headers, b""))
            elif isinstance(event, PartData):
                found[-1] = (found[-1][0], found[-1][1] + bytes(event.data))
            elif isinstance(event, PartEnded):
                ended += 1
    parser.finish()
    assert ended == len(found)
    return found


def theirs(body: bytes, cuts: list[int]) -> list[tuple[dict[str, str], bytes]]:
    found: list[tuple[dict[str, str], bytearray]] = []
    name, value = bytearray(), bytearray()

    def header_end() -> None:
        found[-1][0].setdefault(name.decode().lower(), value.decode().strip())
        name.clear()
        value.clear()

    parser = python_multipart.MultipartParser(
        BOUNDARY,
        {
            "on_part_begin": lambda: found.append(({}, bytearray())),
            "on_part_data": lambda data, start, end: found[-1][1].extend(data[start:end]),
            "on_header_field": lambda data, start, end: name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: value.extend(data[start:end]),
            "on_header_end": header_end,
        },
    )
    for piece in pieces_of(body, cuts):
        parser.write(piece)
    parser.finalize()
    return [(headers, bytes(data)) for headers, data in found]


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(st.lists(st.tuples(HEADERS, DATA), min_size=1, max_size=4), CUTS)
def test_parts_written_are_read_whole_and_python_multipart_agrees(parts, cuts):
    body = body_of(parts)
    assert ours(body, cuts) == theirs(body, cuts) == parts


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(ANY_DATA, CUTS)
def test_rubbish_gives_the_same_answer_however_it_is_cut(body, cuts):
    def outcome(how: list[int]):
        try:
            return ours(b"--b-1\r\n" + body, how)
        except MultipartError as error:
            return str(error)

    assert outcome(cuts) == outcome([len(body) + 7])

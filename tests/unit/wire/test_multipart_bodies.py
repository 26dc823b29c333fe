"""The multipart parser against bodies written by hand from RFC 2046 and PS3.18."""

import pytest

from fileroom.wire import multipart
from fileroom.wire.multipart import (
    Finished,
    MultipartError,
    MultipartParser,
    PartData,
    PartEnded,
    PartStarted,
)

# RFC 2046 §5.1.1's own example: an implicit-headers part, an explicit one, preamble and epilogue.
RFC_2046_EXAMPLE = (
    b"This is the preamble.  It is to be ignored, though it\r\n"
    b"is a handy place for composition agents to include an\r\n"
    b"explanatory note to non-MIME conformant readers.\r\n"
    b"\r\n"
    b"--simple boundary\r\n"
    b"\r\n"
    b"This is implicitly typed plain US-ASCII text.\r\n"
    b"It does NOT end with a linebreak.\r\n"
    b"--simple boundary\r\n"
    b"Content-type: text/plain; charset=us-ascii\r\n"
    b"\r\n"
    b"This is explicitly typed plain US-ASCII text.\r\n"
    b"It DOES end with a linebreak.\r\n"
    b"\r\n"
    b"--simple boundary--\r\n"
    b"\r\n"
    b"This is the epilogue.  It is also to be ignored.\r\n"
)


def parts(body: bytes, boundary: str, *, cut: int | None = None) -> list[tuple[dict, bytes]]:
    """All parts of a body fed in pieces of `cut` bytes; checks the order of events."""
    parser = MultipartParser(boundary)
    found: list[tuple[dict, bytes]] = []
    state = "between"
    size = cut or max(1, len(body))
    for start in range(0, len(body), size):
        parser.feed(body[start : start + size])
        while (event := parser.next_event()) is not None:
            if isinstance(event, PartStarted):
                assert state == "between"
                found.append((event.headers, b""))
                state = "inside"
            elif isinstance(event, PartData):
                assert state == "inside"
                assert len(event.data) > 0
                found[-1] = (found[-1][0], found[-1][1] + bytes(event.data))
            elif isinstance(event, PartEnded):
                assert state == "inside"
                state = "between"
            else:
                assert isinstance(event, Finished)
                assert state == "between"
                state = "finished"
    parser.finish()
    assert state == "finished"
    return found


@pytest.mark.parametrize("cut", [None, 1, 2, 3, 7, 17, 64])
def test_the_example_of_rfc_2046_gives_its_two_parts_however_it_is_cut(cut):
    first, second = parts(RFC_2046_EXAMPLE, "simple boundary", cut=cut)
    assert first == (
        {},
        b"This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak.",
    )
    assert second == (
        {"content-type": "text/plain; charset=us-ascii"},
        b"This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n",
    )


@pytest.mark.parametrize("cut", [None, 1, 5])
@pytest.mark.parametrize("padding", [b"", b" ", b"\t \t", b" " * 64])
def test_blanks_behind_a_boundary_are_padding(cut, padding):
    body = b"--b" + padding + b"\r\n\r\none\r\n--b" + padding + b"\r\n\r\ntwo\r\n--b--" + padding
    assert [data for _, data in parts(body, "b", cut=cut)] == [b"one", b"two"]


@pytest.mark.parametrize("cut", [None, 1, 2, 3])
@pytest.mark.parametrize(
    "data",
    [
        b"\r\n--bc",
        b"\r\n--b-",
        b"\r\n--b \r",
        b"\r\n--b -- ",
        b"\r\r\n\r\n--",
        b"\r\n--b x\r\n",
        b"--b",
        b"\r\n-\r\n--\r\n--b\r",
        b"\r\n--b" + b" " * 70 + b"\r\n",
        b"",
        b"\r",
    ],
)
def test_what_only_resembles_a_delimiter_is_data(cut, data):
    body = b"--b\r\n\r\n" + data + b"\r\n--b\r\nA: 1\r\n\r\n" + data + b"\r\n--b--"
    assert parts(body, "b", cut=cut) == [({}, data), ({"a": "1"}, data)]


@pytest.mark.parametrize("cut", [None, 1, 4])
def test_header_lines_are_unfolded_and_named_in_lower_case(cut):
    body = (
        b"--b\r\nContent-Type: application/dicom;\r\n\t transfer-syntax=1.2\r\nX:\r\n"
        b"x: later\r\n\r\n\r\n--b--"
    )
    assert parts(body, "b", cut=cut) == [
        ({"content-type": "application/dicom; transfer-syntax=1.2", "x": ""}, b"")
    ]


@pytest.mark.parametrize(
    "body, where",
    [
        (b"", "before the first part"),
        (b"--", "before the first part"),
        (b"--b", "before the first part"),
        (b"--b\r\nA: 1", "in the headers"),
        (b"--b\r\n\r\ndata", "in a part"),
        (b"--b\r\n\r\ndata\r\n--b", "in a part"),
        (b"--b\r\n\r\ndata\r\n--b-", "in a part"),
        (b"--b\r\n\r\ndata\r\n--b\r\n", "in the headers"),
    ],
)
@pytest.mark.parametrize("cut", [None, 1])
def test_a_body_that_stops_before_its_closing_delimiter_is_an_error(body, where, cut):
    with pytest.raises(MultipartError, match=where):
        parts(body, "b", cut=cut)


@pytest.mark.parametrize("cut", [None, 1000, 1])
@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n" + b"A: " + b"x" * 20_000 + b"\r\n\r\n",
        b"--b\r\n" + b"A: 1\r\n" * 33 + b"\r\n",
        b"--b\r\nno colon\r\n\r\n",
        b"--b\r\n: no name\r\n\r\n",
        b"x" * 20_000,
        b"--another\r\n" * 2_000,
    ],
)
def test_oversize_and_nameless_headers_and_a_wrong_boundary_are_refused(body, cut):
    with pytest.raises(MultipartError):
        parts(body, "b", cut=cut)


def test_the_parts_before_an_error_are_handed_out_first_and_the_error_stays():
    parser = MultipartParser("b")
    parser.feed(b"--b\r\n\r\nwhole\r\n--b\r\nbroken\r\n\r\n")
    events = [parser.next_event() for _ in range(3)]
    assert [type(each) for each in events] == [PartStarted, PartData, PartEnded]
    for _ in range(2):
        with pytest.raises(MultipartError, match="without a name"):
            parser.next_event()
    with pytest.raises(MultipartError):
        parser.finish()


def test_bytes_behind_the_closing_delimiter_are_ignored():
    parser = MultipartParser("b")
    parser.feed(b"--b\r\n\r\n1\r\n--b--rest")
    while parser.next_event() is not None:
        pass
    parser.feed(b"more" * 100_000)
    assert parser.next_event() is None
    parser.finish()


@pytest.mark.parametrize("boundary", ["", "x" * 201, "ends with blank ", "né", 'a"b', "a\r\nb"])
def test_a_boundary_outside_rfc_2046_is_refused(boundary):
    with pytest.raises(MultipartError, match="boundary"):
        MultipartParser(boundary)


def test_a_boundary_as_long_as_orthanc_makes_them_is_taken():
    boundary = "973c72ea-4cd5-4395-af37-3b0369d59220-973c72ea-4cd5-4395-af37-3b0369d59220"
    body = f"--{boundary}\r\n\r\nabc\r\n--{boundary}--".encode()
    assert parts(body, boundary, cut=7) == [({}, b"abc")]


def test_part_data_are_views_into_what_was_fed():
    body = b"--b\r\n\r\n" + b"x" * 100_000 + b"\r\n--b--"
    parser = MultipartParser("b")
    parser.feed(body)
    parser.next_event()
    event = parser.next_event()
    assert isinstance(event, PartData)
    assert event.data.obj is body


def test_what_the_writer_writes_is_the_body_of_the_standard():
    written = (
        multipart.part_header(
            "MESSAGEBOUNDARY", [("Content-Type", "application/dicom")], first=True
        )
        + b"first"
        + multipart.part_header(
            "MESSAGEBOUNDARY",
            [("Content-Type", "application/dicom"), ("Content-Length", "6")],
            first=False,
        )
        + b"second"
        + multipart.closing("MESSAGEBOUNDARY")
    )
    assert written == (
        b"--MESSAGEBOUNDARY\r\n"
        b"Content-Type: application/dicom\r\n"
        b"\r\n"
        b"first\r\n"
        b"--MESSAGEBOUNDARY\r\n"
        b"Content-Type: application/dicom\r\n"
        b"Content-Length: 6\r\n"
        b"\r\n"
        b"second\r\n"
        b"--MESSAGEBOUNDARY--\r\n"
    )

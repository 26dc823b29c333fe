"""The client: what it sends, and what an answer means."""

import http.client
import io
from email.message import Message

import pytest

from fileroom.cli.client import (
    NodeClient,
    NodeUnavailableError,
    NoRoomError,
    Part,
    UnreadableError,
)
from fileroom.cli.exit_codes import NotFoundError
from fileroom.errors import PeerError, RefusedError


class FakeConnection:
    """Keeps what was sent and answers with bytes as a server would send them."""

    def __init__(self, answer):
        self.answer = answer
        self.request = ""
        self.headers = Message()
        self.body = b""
        self.broken_after = None
        self.closed = 0

    def putrequest(self, method, path):
        self.request = f"{method} {path}"
        self.body = b""

    def putheader(self, name, value):
        self.headers[name] = value

    def endheaders(self):
        pass

    def send(self, data):
        if self.broken_after is not None and len(self.body) >= self.broken_after:
            raise BrokenPipeError
        self.body += data

    def getresponse(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        response = http.client.HTTPResponse(FakeSocket(self.answer))
        response.begin()
        return response

    def close(self):
        self.closed += 1


class FakeSocket:
    def __init__(self, data):
        self._data = data

    def makefile(self, _mode):
        return io.BytesIO(self._data)


def client(answer, **options):
    made = NodeClient("127.0.0.1", 8642, **options)
    made._connection = FakeConnection(answer)
    return made


def answer(status, body=b"", **headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


RESULT = b"""{"00081199":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1.2"]}}]},
"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1.3"]},"00081197":{"vr":"US",
"Value":[49152]}}]},
"0008119A":{"vr":"SQ","Value":[{"00081197":{"vr":"US","Value":[272]}}]}}"""


def parts(*contents):
    return [Part(lambda data=data: io.BytesIO(data), len(data)) for data in contents]


def test_files_are_sent_as_one_multipart_body_of_the_length_it_announces():
    node = client(answer(200, RESULT), prefix="/images")
    node.store(parts(b"one", b"two" * 1000))
    sent = node._connection
    assert sent.request == "POST /images/dicomweb/studies"
    assert int(sent.headers["Content-Length"]) == len(sent.body)
    boundary = sent.headers.get_param("boundary", header="Content-Type").encode()
    _, first, second, end = sent.body.split(b"--" + boundary)
    assert first == b"\r\nContent-Type: application/dicom\r\n\r\none\r\n"
    assert second.endswith(b"\r\n\r\n" + b"two" * 1000 + b"\r\n")
    assert end.startswith(b"--")


@pytest.mark.parametrize("status", [200, 202, 409])
def test_a_result_says_what_is_stored_and_why_the_rest_is_not(status):
    result = client(answer(status, RESULT)).store(parts(b"x"))
    assert result.accepted == {"1.2"}
    assert result.failed == {"1.3": 0xC000}
    assert result.failed_without_uid == [0x0110]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RefusedError),
        (403, RefusedError),
        (404, NotFoundError),
        (500, PeerError),
        (503, NodeUnavailableError),
        (507, NoRoomError),
    ],
)
def test_a_status_that_is_no_success_is_an_error_of_its_kind(status, error):
    node = client(answer(status, b"why"))
    with pytest.raises(error):
        node.store(parts(b"x"))
    assert node._connection.closed


def test_when_to_come_back_is_told():
    with pytest.raises(NodeUnavailableError, match="retry after 30 s"):
        client(answer(503, Retry_After=30)).status()


def test_a_refusal_in_the_middle_of_a_body_is_read():
    node = client(answer(507))
    node._connection.broken_after = 10
    with pytest.raises(NoRoomError):
        node.store(parts(b"x" * (4 << 20)))


@pytest.mark.parametrize("error", [ConnectionRefusedError(), http.client.BadStatusLine("x")])
def test_a_node_that_does_not_answer_is_unavailable(error):
    with pytest.raises(NodeUnavailableError):
        client(error).status()


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"00081199":{"Value":[{}]}}'])
def test_an_answer_that_is_no_result_is_the_peers_fault(body):
    with pytest.raises(PeerError):
        client(answer(200, body)).store(parts(b"x"))


def test_a_file_that_ends_early_or_grows_breaks_the_request_off_and_is_named():
    short, long = Part(lambda: io.BytesIO(b"12"), 3), Part(lambda: io.BytesIO(b"1234"), 3)
    for wrong in (short, long):
        node = client(answer(200, RESULT))
        with pytest.raises(UnreadableError) as refused:
            node.store([*parts(b"fine"), wrong])
        assert refused.value.number == 1
        assert node._connection.closed


def test_a_series_comes_as_pieces_with_an_end_after_each_file():
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
    node = client(answer(200, body, Content_Type='multipart/related; boundary="b"'))
    pieces = list(node.retrieve_series("1.2", "1.3"))
    assert node._connection.request == "GET /dicomweb/studies/1.2/series/1.3"
    joined = b"|".join(piece if piece is not None else b"END" for piece in pieces)
    assert joined.replace(b"|", b"") == b"oneENDtwoEND"


def test_a_series_that_is_cut_off_is_not_taken_for_whole():
    body = b"--b\r\n\r\none"
    node = client(answer(200, body, Content_Type="multipart/related; boundary=b"))
    with pytest.raises(NodeUnavailableError):
        list(node.retrieve_series("1.2", "1.3"))


def test_the_series_of_a_study_are_read_from_a_search():
    node = client(answer(200, b'[{"0020000E":{"vr":"UI","Value":["1.3"]}}]'))
    assert node.series_of("1.2") == ["1.3"]
    assert client(answer(204)).series_of("1.2") == []


def test_a_node_that_listens_everywhere_is_asked_on_loopback():
    assert NodeClient("0.0.0.0", 1).host == "127.0.0.1"
    assert NodeClient("::", 1, prefix="/x").address == "http://[::1]:1/x/"

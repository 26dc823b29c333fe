"""STOW-RS as a client, against servers that do as they like."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from fileroom.errors import PeerError, RefusedError, TransientError
from fileroom.peer.association import BrokenOffError, UnreachableError
from fileroom.peer.stow import (
    ANSWER_BYTES_MAX,
    NotHttpError,
    StowAnswer,
    StowDelivery,
    UntrustedError,
    WebDestination,
    said_of,
)

UID = "1.2.826.0.1.3680043.10.999.1"
FILE = b"a Part 10 file"
# PS3.18 §10.5.3.2 and Annex I, as Orthanc 1.10 answers.
STORED = {
    "00081190": {"vr": "UR", "Value": ["http://pacs/studies/1.2"]},
    "00081199": {
        "vr": "SQ",
        "Value": [
            {
                "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
                "00081155": {"vr": "UI", "Value": [UID]},
                "00081190": {"vr": "UR", "Value": ["http://pacs/studies/1.2/series/3"]},
            }
        ],
    },
}
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def pieces(*of: bytes) -> AsyncIterator[bytes]:
    for each in of:
        yield each


@asynccontextmanager
async def delivery(serve: Serve, *, timeout_s: float = 5.0, token: str = ""):
    """A delivery to a server that serves each connection so."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = StowDelivery(
        WebDestination(f"http://127.0.0.1:{port}/dicom-web/", token), timeout_s=timeout_s
    )
    try:
        yield made
    finally:
        await made.end()
        server.close()


async def request_of(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return head[0], fields, await reader.readexactly(int(fields["content-length"]))


def response(status: int, body: bytes = b"", *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_an_instance_is_one_part_of_one_request_and_the_connection_is_kept():
    seen, connections = [], []

    async def serve(reader, writer):
        connections.append(1)
        while not reader.at_eof():
            seen.append(await request_of(reader))
            writer.write(response(200, json.dumps(STORED).encode()))

    async with delivery(serve, token="Bearer secret") as made:
        for _ in range(2):
            answer = await made.store(UID, pieces(FILE[:4], FILE[4:]), len(FILE))
            assert answer == StowAnswer(200, 0)
    assert len(connections) == 1
    line, fields, body = seen[0]
    assert line == "POST /dicom-web/studies HTTP/1.1"
    assert fields["authorization"] == "bearer secret"  # field names and values were lowered
    assert fields["accept"] == "application/dicom+json"
    boundary = fields["content-type"].partition("boundary=")[2].encode()
    assert fields["content-type"].startswith('multipart/related; type="application/dicom";')
    assert body == (
        b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n--%s--\r\n"
        % (boundary, FILE, boundary)
    )


async def test_a_server_that_closes_behind_an_answer_is_connected_to_again():
    connections = []

    async def serve(reader, writer):
        connections.append(1)
        await request_of(reader)
        writer.write(response(200, json.dumps(STORED).encode(), "Connection: close"))

    async with delivery(serve) as made:
        for _ in range(2):
            assert (await made.store(UID, pieces(FILE), len(FILE))).status == 0
    assert len(connections) == 2


async def test_a_server_that_says_no_before_it_has_all_is_heard():
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(413, b"", "Connection: close"))
        await writer.drain()

    large = b"\0" * (1 << 20)
    async with delivery(serve) as made:
        try:
            answer = await made.store(UID, pieces(*[large] * 16), 16 << 20)
        except BrokenOffError:
            return  # its answer was lost with the connection, as TCP may have it
        assert answer == StowAnswer(413, None)


@pytest.mark.parametrize("when", ["before the request", "behind it"])
async def test_a_server_that_hangs_is_given_up(when):
    over = asyncio.Event()

    async def serve(reader, writer):
        if when == "behind it":
            await request_of(reader)
        await over.wait()

    size_bytes = len(FILE) if when == "behind it" else 256 << 20
    large = b"\0" * (1 << 20)
    sent = pieces(FILE) if when == "behind it" else pieces(*[large] * 256)
    async with delivery(serve, timeout_s=0.2) as made:
        with pytest.raises(UnreachableError):
            await made.store(UID, sent, size_bytes)
        over.set()


@pytest.mark.parametrize(
    "said, error",
    [(b"", BrokenOffError), (b"HTTP/1.1 200 OK\r\nContent-Le", BrokenOffError),
     (b"220 mail.example ESMTP\r\n\r\n", NotHttpError)],
)  # fmt: skip
async def test_a_server_that_breaks_off_or_speaks_otherwise_is_told_of(said, error):
    async def serve(reader, writer):
        await request_of(reader)
        writer.write(said)

    async with delivery(serve) as made:
        with pytest.raises((error, NotHttpError)) as caught:
            await made.store(UID, pieces(FILE), len(FILE))
        assert isinstance(caught.value, PeerError | RefusedError | TransientError)


async def test_an_answer_beyond_bounds_says_nothing():
    async def serve(reader, writer):
        await request_of(reader)
        writer.write(response(200, b" " * (ANSWER_BYTES_MAX + 1)))
        await writer.drain()

    async with delivery(serve) as made:
        assert await made.store(UID, pieces(FILE), len(FILE)) == StowAnswer(200, None)


async def test_nobody_there_is_told_without_a_wait():
    async with delivery(lambda reader, writer: asyncio.sleep(0)) as made:
        pass
    with pytest.raises(UnreachableError):
        await made.store(UID, pieces(FILE), len(FILE))


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_certificates_that_cannot_be_used_are_told_of_before_anything_is_sent(
    content, tmp_path
):
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    made = StowDelivery(WebDestination("https://127.0.0.1:1/", ca_file=str(ca_file)))
    with pytest.raises(UntrustedError):
        await made.store(UID, pieces(FILE), len(FILE))


async def test_a_server_without_tls_is_not_taken_for_one_with_it():
    async def serve(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with delivery(serve) as plain:
        url = plain._destination.url.replace("http:", "https:")
        made = StowDelivery(WebDestination(url), timeout_s=5)
        with pytest.raises(UntrustedError):
            await made.store(UID, pieces(FILE), len(FILE))


async def test_what_the_file_raises_ends_the_connection_and_the_next_goes_over_another():
    connections = []

    async def serve(reader, writer):
        connections.append(1)
        await request_of(reader)
        writer.write(response(200, json.dumps(STORED).encode()))

    async def damaged() -> AsyncIterator[bytes]:
        yield FILE[:3]
        raise TransientError("the provider is away")

    async with delivery(serve) as made:
        with pytest.raises(TransientError, match="provider"):
            await made.store(UID, damaged(), len(FILE))
        assert (await made.store(UID, pieces(FILE), len(FILE))).status == 0


def item(uid: str, **said: int) -> dict:
    of = {"00081155": {"vr": "UI", "Value": [uid]}}
    return of | {f"0008{tag}": {"vr": "US", "Value": [code]} for tag, code in said.items()}


@pytest.mark.parametrize(
    "body, status",
    [
        (STORED, 0),
        ({"00081199": {"vr": "SQ", "Value": [item(UID, **{"1196": 0xB000})]}}, 0xB000),
        ({"00081198": {"vr": "SQ", "Value": [item(UID, **{"1197": 0xA700})]}}, 0xA700),
        ({"00081198": {"vr": "SQ", "Value": [item(UID)]}}, 0x0110),
        ({"00081199": {"vr": "SQ", "Value": [item("1.2.3"), item(UID)]}}, 0),
        ({"00081199": {"vr": "SQ", "Value": [item("1.2.3")]}}, None),
        ({"00081199": {"vr": "SQ"}}, None),
        ({"00081199": {"vr": "SQ", "Value": "x"}}, None),
        ({"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [7]}}]}}, None),
        ({}, None),
        ([], None),
        ("stored", None),
    ],
)
def test_an_answer_says_of_the_instance_what_stands_under_its_uid(body, status):
    assert said_of(UID, json.dumps(body).encode()) == status


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_what_is_no_answer_says_nothing(body):
    assert said_of(UID, body) is None

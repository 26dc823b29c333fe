"""Requests that are refused before their bodies are read, on a real socket: what the sender sees.

The door has no room; its answer is 507, to whoever waits with the body and to whoever does not.
"""

import asyncio
import http.client
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dicomweb_fakes import World, world
from fileroom.http import lingering
from fileroom.http.listener import Listener
from peers import program

ROOM_BYTES = 1 << 20
KIND = "application/dicom"


def full() -> World:
    here = world()
    here.receiver.room_bytes = ROOM_BYTES
    return here


@asynccontextmanager
async def serving(here: World):
    door = Listener(here.app, host="127.0.0.1", port=0, connections_max=64)
    await door.start()
    try:
        yield door.port
    finally:
        await door.stop()


def head(size_bytes: int, *more: str) -> bytes:
    fields = "".join(f"{each}\r\n" for each in more)
    return (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {KIND}\r\n"
        f"Content-Length: {size_bytes}\r\n{fields}\r\n"
    ).encode()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields and body of one answer."""
    status = int((await reader.readline()).split()[1])
    fields = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode().partition(":")
        fields[name.lower()] = value.strip()
    return status, fields, await reader.readexactly(int(fields["content-length"]))


async def test_a_sender_that_waits_is_told_no_and_never_to_go_on():
    here = full()
    async with serving(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(ROOM_BYTES + 1, "Expect: 100-continue"))
        status, fields, body = await answer_of(reader)
        assert status == 507
        assert fields["connection"] == "close"
        assert b"free above the reserve" in body
        # Whether its body comes is anybody's guess, so that nothing more is read here.
        assert await reader.read() == b""
        writer.close()
    assert len(here.receiver.origins) == here.receiver.closed == 1


async def test_a_sender_that_waits_is_told_to_go_on_where_there_is_room():
    here = full()
    async with serving(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):  # and the connection is kept
            writer.write(head(4, "Expect: 100-continue"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"none")
            status, fields, _ = await answer_of(reader)
            assert status == 409
            assert "connection" not in fields
        writer.close()


@pytest.mark.parametrize("more", [(), ("Connection: close",)])
async def test_a_sender_that_sends_before_it_reads_sees_the_answer_all_the_same(more):
    """Many times what the buffers of both sides hold: a reset would lose the answer."""
    here = full()
    size_bytes = 64 << 20
    async with serving(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(size_bytes, *more))
        for _ in range(size_bytes >> 20):
            writer.write(bytes(1 << 20))
            await writer.drain()
        status, _, _ = await answer_of(reader)
        assert status == 507
        if more:
            assert await reader.read() == b""
        else:
            writer.write(head(4) + b"none")  # the connection is as good as new
            assert (await answer_of(reader))[0] == 409
        writer.close()
    assert here.archive.instances == {}


@pytest.mark.parametrize("more", [(), ("Connection: close",)])
async def test_what_is_left_of_a_refused_body_is_not_waited_for_for_ever(monkeypatch, more):
    monkeypatch.setattr(lingering.LingeringProtocol, "linger_s", 0.05)
    here = full()
    async with serving(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(ROOM_BYTES + 1, *more) + b"a little of it")
        status, _, _ = await answer_of(reader)
        assert status == 507
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_body_that_drips_on_behind_its_answer_ends_too(monkeypatch):
    monkeypatch.setattr(lingering.LingeringProtocol, "linger_s", 0.2)
    async with serving(full()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(1 << 35))
        assert (await answer_of(reader))[0] == 507

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(drip(), 10)
        writer.close()


async def test_requests_behind_a_refused_one_are_answered_in_turn():
    here = full()
    async with serving(here) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        refused = head(ROOM_BYTES + 1) + bytes(ROOM_BYTES + 1)
        taken = head(4) + b"none"
        writer.write(refused + taken + refused + taken)
        found = [(await answer_of(reader))[0] for _ in range(4)]
        assert found == [507, 409, 507, 409]
        writer.close()


async def test_pythons_own_client_sees_the_answer():
    here = full()

    def post(port: int) -> int:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            link.request("POST", "/dicomweb/studies", bytes(32 << 20), {"Content-Type": KIND})
            return link.getresponse().status
        finally:
            link.close()

    async with serving(here) as port:
        assert await asyncio.to_thread(post, port) == 507


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
@pytest.mark.parametrize("chunked", [True, False])
async def test_curl_sees_the_answer(tmp_path: Path, expect, chunked):
    tool = program("curl", package="curl")
    here = full()
    if chunked:
        here.receiver.room_bytes = -1  # nobody knows how much will come
    body = tmp_path / "body"
    body.write_bytes(bytes(32 << 20))
    coding = ("-H", "Transfer-Encoding: chunked") if chunked else ()
    async with serving(here) as port:
        done = await asyncio.to_thread(
            subprocess.run,
            [
                *(tool, "-sS", "--max-time", "20", "-X", "POST", "-H", f"Content-Type: {KIND}"),
                *("-H", expect, *coding, "--data-binary", f"@{body}", "-w", "\n%{http_code}"),
                *(
                    "-w",
                    "\n%{http_code} %{size_upload}",
                    f"http://127.0.0.1:{port}/dicomweb/studies",
                ),
            ],
            capture_output=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    code, uploaded_bytes = done.stdout.rsplit(b"\n", 1)[1].split()
    assert code == b"507"
    if expect.endswith("continue"):
        assert uploaded_bytes == b"0"

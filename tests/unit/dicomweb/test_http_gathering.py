"""What is small goes to the socket with what follows it, in order, and no later than a turn."""

import asyncio

import pytest

from fileroom.http.gathering import SMALL_BYTES, GatheringTransport

LARGE = bytes(SMALL_BYTES)


class Socket:
    """Keeps what each call of a transport sends, and what is done to it besides."""

    def __init__(self):
        self.done = []
        self.is_gone = False

    def write(self, data):
        self.done.append(bytes(data))

    def writelines(self, pieces):
        self.done.append([bytes(each) for each in pieces])

    def write_eof(self):
        self.done.append("eof")

    def close(self):
        self.done.append("closed")

    def is_closing(self):
        return self.is_gone

    def get_extra_info(self, name):
        return name


@pytest.fixture
async def sockets():
    below = Socket()
    return below, GatheringTransport(below, asyncio.get_running_loop())


async def turn():
    await asyncio.sleep(0)


async def test_header_fields_go_with_the_large_piece_behind_them(sockets):
    below, transport = sockets
    transport.write(b"head")
    transport.write(b"part")
    assert below.done == []
    transport.write(LARGE)
    assert below.done == [[b"head", b"part", LARGE]]
    await turn()
    assert len(below.done) == 1


async def test_what_nothing_follows_goes_at_the_end_of_the_turn(sockets):
    below, transport = sockets
    transport.write(b"one")
    transport.write(memoryview(b"two"))
    await turn()
    transport.write(b"three")
    await turn()
    assert below.done == [b"onetwo", b"three"]


async def test_a_large_piece_alone_goes_as_it_is_and_the_order_is_kept(sockets):
    below, transport = sockets
    transport.write(LARGE)
    transport.write(b"tail")
    await turn()
    assert below.done == [LARGE, b"tail"]


async def test_small_pieces_are_gathered_up_to_a_bound(sockets):
    below, transport = sockets
    for _ in range(3):
        transport.write(bytes(SMALL_BYTES // 2))
    assert [len(each) for each in below.done] == [2]
    await turn()
    assert len(below.done[1]) == SMALL_BYTES // 2


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_what_was_written_goes_before_the_end(sockets, end):
    below, transport = sockets
    transport.write(b"last words")
    getattr(transport, end)()
    await turn()
    assert below.done == [b"last words", {"close": "closed", "write_eof": "eof"}[end]]


async def test_a_connection_that_is_gone_is_written_nothing(sockets):
    below, transport = sockets
    transport.write(b"too late")
    below.is_gone = True
    await turn()
    assert below.done == []
    assert transport.get_extra_info("peername") == "peername"

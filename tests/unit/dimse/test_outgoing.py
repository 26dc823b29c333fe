"""What we send in one association: whole messages, in turn, no faster than the peer reads."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fileroom.dimse.operation import Answer, GoneError
from fileroom.dimse.outgoing import BEHIND_MAX, Outgoing
from fileroom.wire.event import MessageFragment
from fileroom.wire.message import Command, CommandField, MessageReader
from fileroom.wire.status import Status
from fileroom.wire.upper_layer import Association
from wire_talk import CT, acceptor, requestor

REQUEST = Command(1, {"CommandField": CommandField.C_FIND_RQ, "MessageID": 7})
STORE = {
    "CommandField": CommandField.C_STORE_RQ,
    "AffectedSOPClassUID": CT,
    "CommandDataSetType": 1,
}


class Line:
    """Our side, the peer's, and what has gone from one to the other."""

    def __init__(self) -> None:
        self.upper = acceptor()
        self.peer: Association = requestor()
        self.outgoing = Outgoing("name", self.upper, self.flush)
        self.reader = MessageReader()

    def flush(self) -> None:
        self.peer.feed(self.upper.data_to_send())

    def heard(self) -> list[object]:
        """What the peer has heard since the last call: commands, and data sets joined."""
        found: list[object] = []
        for event in iter(self.peer.next_event, None):
            if not isinstance(event, MessageFragment):
                found.append(event)
                continue
            taken = self.reader.take(event)
            if isinstance(taken, Command):
                found.append(taken.field)
            elif isinstance(taken, MessageFragment):
                if not isinstance(found[-1] if found else None, bytes):
                    found.append(b"")
                found[-1] += bytes(taken.data)
        return found

    def answer(self, message_id: int) -> bool:
        return self.outgoing.answered(
            Command(1, {"MessageIDBeingRespondedTo": message_id, "Status": Status.SUCCESS})
        )


@pytest.fixture
def line() -> Line:
    return Line()


async def pieces(*data: bytes, gate: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    for number, each in enumerate(data):
        if number and gate is not None:
            await gate.wait()
        yield each


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_answer_waits_for_the_end_of_a_data_set_that_is_on_its_way(line: Line):
    gate = asyncio.Event()
    asking = asyncio.create_task(
        line.outgoing.ask(1, STORE, pieces(b"a" * 9000, b"b" * 100, gate=gate))
    )
    await turns()
    line.outgoing.answer(REQUEST, Answer(Status.SUCCESS))
    assert not line.outgoing.is_idle
    first, begun = line.heard()
    assert (first, set(begun)) == (CommandField.C_STORE_RQ, {ord("a")})
    gate.set()
    await turns()
    rest, behind = line.heard()
    assert begun + rest == b"a" * 9000 + b"b" * 100
    assert behind == CommandField.C_FIND_RQ | 0x8000
    assert line.answer(1)
    assert (await asking).number("Status") == Status.SUCCESS
    assert line.outgoing.is_idle


async def test_a_data_set_waits_for_a_peer_that_does_not_read(line: Line):
    line.outgoing.pause()
    asking = asyncio.create_task(line.outgoing.ask(1, STORE, pieces(b"a" * 20_000)))
    await turns()
    assert line.heard() == []
    assert line.outgoing.waits_for_peer
    line.outgoing.resume()
    await turns()
    assert line.heard() == [CommandField.C_STORE_RQ, b"a" * 20_000]
    line.answer(1)
    await asking


async def test_a_peer_that_stops_reading_in_the_middle_is_sent_a_piece_and_no_more(line: Line):
    asking = asyncio.create_task(line.outgoing.ask(1, STORE, pieces(*[bytes(9000)] * 9)))
    flush = line.outgoing._flush

    def full() -> None:
        flush()
        line.outgoing.pause()

    line.outgoing._flush = full
    await turns()
    begun, data = line.heard()
    assert begun == CommandField.C_STORE_RQ
    assert 0 < len(data) < 9000
    line.outgoing._flush = flush
    line.outgoing.resume()
    await turns()
    assert line.heard() == [bytes(9 * 9000 - len(data))]
    line.answer(1)
    await asking


async def test_our_requests_go_out_one_after_another_under_numbers_of_their_own(line: Line):
    both = [asyncio.create_task(line.outgoing.ask(1, STORE, pieces(each))) for each in (b"a", b"b")]
    await turns()
    assert line.heard() == [CommandField.C_STORE_RQ, b"a"]
    assert not line.answer(2)
    assert line.answer(1)
    await turns()
    assert line.heard() == [CommandField.C_STORE_RQ, b"b"]
    assert line.answer(2)
    await asyncio.gather(*both)
    assert not line.answer(2)


async def test_whoever_waits_is_told_that_the_association_has_ended(line: Line):
    asking = asyncio.create_task(line.outgoing.ask(1, STORE, pieces(b"a")))
    line.outgoing.pause()
    responding = asyncio.create_task(line.outgoing.respond(REQUEST, Answer(0xFF00)))
    await turns()
    line.outgoing.end()
    for each in (asking, responding, asyncio.create_task(line.outgoing.ask(1, STORE))):
        with pytest.raises(GoneError):
            await each
    assert not line.outgoing.is_open


async def failing(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each
    raise LookupError


async def test_a_data_set_that_cannot_be_read_at_all_costs_the_association_nothing(line: Line):
    with pytest.raises(LookupError):
        await line.outgoing.ask(1, STORE, failing())
    assert line.heard() == []
    assert line.outgoing.is_open
    assert line.outgoing.is_idle


async def test_half_a_data_set_ends_the_association(line: Line):
    with pytest.raises(LookupError):
        await line.outgoing.ask(1, STORE, failing(b"a" * 9000))
    assert not line.outgoing.is_open
    line.outgoing.answer(REQUEST, Answer(Status.SUCCESS))
    assert [type(each).__name__ for each in line.heard()][-1] == "Aborted"


async def test_message_ids_begin_anew_behind_the_last_one(line: Line):
    line.outgoing._last_message_id = 0xFFFE
    for message_id in (0xFFFF, 1):
        asking = asyncio.create_task(line.outgoing.ask(1, STORE))
        await turns()
        assert line.answer(message_id)
        await asking


async def test_matches_do_not_gather_behind_a_data_set_that_is_on_its_way(line: Line):
    gate = asyncio.Event()
    asking = asyncio.create_task(line.outgoing.ask(1, STORE, pieces(b"a", b"b", gate=gate)))
    await turns()
    responding = asyncio.create_task(line.outgoing.respond(REQUEST, Answer(Status.PENDING)))
    await turns()
    assert not responding.done()
    gate.set()
    await turns()
    assert responding.done()
    assert line.heard() == [CommandField.C_STORE_RQ, b"ab", CommandField.C_FIND_RQ | 0x8000]
    line.answer(1)
    await asking


async def test_a_peer_that_asks_on_and_on_behind_a_data_set_is_left(line: Line):
    asking = asyncio.create_task(
        line.outgoing.ask(1, STORE, pieces(b"a", b"b", gate=asyncio.Event()))
    )
    await turns()
    for _ in range(BEHIND_MAX):
        line.outgoing.answer(REQUEST, Answer(Status.SUCCESS))
    assert line.outgoing.is_open
    line.outgoing.answer(REQUEST, Answer(Status.SUCCESS))
    assert not line.outgoing.is_open
    assert [type(each).__name__ for each in line.heard()][-1] == "Aborted"
    asking.cancel()


async def test_a_data_set_that_we_are_reading_is_nothing_that_the_peer_owes(line: Line):
    gate = asyncio.Event()
    asking = asyncio.create_task(line.outgoing.ask(1, STORE, pieces(b"a", b"b", gate=gate)))
    await turns()
    assert not line.outgoing.waits_for_peer
    line.outgoing.pause()
    assert line.outgoing.waits_for_peer
    line.outgoing.resume()
    gate.set()
    await turns()
    assert line.outgoing.waits_for_peer
    line.answer(1)
    await asking
    assert not line.outgoing.waits_for_peer

"""Destinations that take an association and then do not do their part: instances come back to us
as failed, and nothing waits for ever. On real sockets, whose buffers are what fills."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import pytest
import uvloop

from fileroom.peer.association import BrokenOffError, UnreachableError
from fileroom.peer.delivery import Delivery, Destination, Kind
from fileroom.wire import message
from fileroom.wire.event import AssociateRequested, MessageFragment
from fileroom.wire.message import Command, MessageReader, store_elements
from fileroom.wire.pdu import AnsweredContext, AssociateAccept
from fileroom.wire.upper_layer import Association
from fileroom.wire.user_information import UserInformation

LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
KIND = Kind("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
ELEMENTS = store_elements(sop_class_uid=KIND.sop_class_uid, sop_instance_uid="1.2.3")
WAIT_S = 8  # that nothing here comes near to


Stored = Callable[[Association, Command], Literal["go on", "hang", "chatter"]]


class Pacs:
    """Accepts what comes; what it does then is `stored`'s affair.

    Attributes:
        stored: told of each C-STORE-RQ, whose data set is on its way, and says what comes then.
    """

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.over = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await self._serve(reader, writer)
        writer.close()
        self.left.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upper, messages = Association.acceptor(), MessageReader()
        while data := await reader.read(65536):
            upper.feed(data)
            for event in iter(upper.next_event, None):
                if isinstance(event, AssociateRequested):
                    first = event.request.contexts[0]
                    answered = AnsweredContext(first.context_id, 0, KIND.transfer_syntax_uid)
                    user = UserInformation(16384, "1.2.3")
                    upper.accept(AssociateAccept((answered,), user, titles=event.request.titles))
                elif isinstance(event, MessageFragment):
                    taken = messages.take(event)
                    if not isinstance(taken, Command):
                        continue
                    then = self.stored(upper, taken)
                    if then == "hang":
                        await self.over.wait()
                    while then == "chatter":  # until the connection is lost
                        upper.send_message(taken.context_id, message.echo_request(1))
                        writer.write(upper.data_to_send())
                        await writer.drain()
                        await asyncio.sleep(0)  # both ends are on one loop
            writer.write(upper.data_to_send())


@asynccontextmanager
async def destination(stored: Stored, *, timeout_s: float) -> AsyncIterator[Delivery]:
    """Instances on their way to such a destination."""
    peer = Pacs(stored)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    delivery = Delivery(
        Destination("PACS", "127.0.0.1", port), calling="FILEROOM", timeout_s=timeout_s
    )
    async with asyncio.timeout(WAIT_S):
        await delivery.propose([KIND])
        try:
            yield delivery
        finally:
            await delivery.end()
            peer.over.set()
            await peer.left.wait()
            server.close()


async def store(delivery: Delivery, data_set: AsyncIterator[bytes]) -> int:
    return await delivery.store(next(iter(delivery.contexts)), ELEMENTS, data_set)


async def without_end(begun: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    while True:
        yield bytes(1 << 20)
        if begun is not None:
            begun.set()


async def short() -> AsyncIterator[bytes]:
    yield b"data"


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_one_that_stops_reading_costs_its_timeout_and_not_more(run):
    async def scenario():
        async with destination(lambda *_: "hang", timeout_s=0.2) as delivery:
            with pytest.raises(UnreachableError):
                await store(delivery, without_end())
            assert list(delivery.contexts) == []

    run(scenario())


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_who_gives_up_one_that_stops_reading_is_not_held_up_by_it(run):
    async def scenario():
        begun = asyncio.Event()
        async with destination(lambda *_: "hang", timeout_s=WAIT_S * 10) as delivery:
            storing = asyncio.create_task(store(delivery, without_end(begun)))
            await begun.wait()
            storing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await storing

    run(scenario())


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_one_that_says_all_but_the_answer_costs_its_timeout_and_not_more(run):
    async def scenario():
        async with destination(lambda *_: "chatter", timeout_s=0.2) as delivery:
            with pytest.raises(UnreachableError):
                await store(delivery, short())

    run(scenario())


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_an_answer_to_another_request_is_none_to_ours(run):
    def other(upper: Association, command: Command) -> Literal["go on"]:
        named = Command(command.context_id, {**command.elements, "MessageID": 700})
        upper.send_message(command.context_id, message.response(named, 0))
        return "go on"

    async def scenario():
        async with destination(other, timeout_s=WAIT_S) as delivery:
            with pytest.raises(BrokenOffError, match="not asked"):
                await store(delivery, short())

    run(scenario())

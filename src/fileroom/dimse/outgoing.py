"""What we send in one association: messages one behind another, none inside another.

Answers may be ready while a data set of ours is on its way (C-GET); they wait for its end. Those
are few: whoever sends one answer after another waits himself, and a peer is answered no more
requests than it may have outstanding.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

from fileroom.dimse.operation import Answer, GoneError
from fileroom.dimse.receiving import Buffer
from fileroom.wire import message
from fileroom.wire.message import Command, Value, encode_command
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.upper_layer import Association

MESSAGE_ID_MAX = 0xFFFF
BEHIND_MAX = 256  # answers that wait; more than any window that is negotiated


class _Message(NamedTuple):
    context_id: int
    command: bytes
    data_set: bytes | None


class Outgoing:
    """The sending half of one association; to its operations, the association (`Talk`).

    Args:
        name: what the log calls the association.
        flush: writes to the socket what the upper layer has to send.
    """

    def __init__(self, name: str, upper: Association, flush: Callable[[], None]) -> None:
        self.name = name
        self._upper = upper
        self._flush = flush
        self._between = asyncio.Event()  # set while no data set is on its way
        self._between.set()
        self._behind: deque[_Message] = deque()  # what waits for the end of a stream
        self._turn = asyncio.Lock()  # of our own requests
        self._asked: dict[int, asyncio.Future[Command]] = {}
        self._last_message_id = 0
        self._room: asyncio.Future[None] | None = None  # there, while the peer does not read
        self._gone = False

    @property
    def waits_for_peer(self) -> bool:
        """Whether the peer owes us an answer, or has to read before we can go on. While a data set
        is on its way to a peer that reads, it is we who read on."""
        return self._room is not None or (bool(self._asked) and self._between.is_set())

    @property
    def is_idle(self) -> bool:
        """Whether all that was to be sent has gone to the socket. What was asked and not answered
        does not count: a peer that wants to leave can answer nothing any more (PS3.8 §9.2.3)."""
        return self._between.is_set() and not self._behind

    @property
    def contexts(self) -> Mapping[int, AcceptedContext]:
        """The accepted presentation contexts by ID."""
        return self._upper.contexts

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return not self._gone and self._upper.may_send_data

    def answer(self, request: Command, answer: Answer) -> None:
        """Send a response, at once or behind the data set that is on its way."""
        command = message.response(
            request,
            answer.status,
            comment=answer.comment,
            elements=answer.elements,
            has_data_set=answer.data_set is not None,
        )
        self._send(_Message(request.context_id, command, answer.data_set))

    async def respond(self, request: Command, answer: Answer) -> None:
        """Send a response that is not the last, when the peer reads and no data set is on its
        way. Raises GoneError."""
        await self.writable()
        while not self._between.is_set():
            await self._between.wait()
            await self.writable()
        self.answer(request, answer)

    async def writable(self) -> None:
        """Return once the socket takes more. Raises GoneError."""
        while self._room is not None:
            await asyncio.shield(self._room)
        if not self.is_open:
            raise GoneError("the association has ended")

    async def ask(
        self,
        context_id: int,
        elements: Mapping[str, Value | None],
        data_set: AsyncIterator[Buffer] | None = None,
    ) -> Command:
        """Send a request and return the response. Raises GoneError, and what `data_set` raises."""
        async with self._turn:
            await self.writable()
            message_id = self._last_message_id % MESSAGE_ID_MAX + 1
            self._last_message_id = message_id
            answered: asyncio.Future[Command] = asyncio.get_running_loop().create_future()
            self._asked[message_id] = answered
            try:
                command = encode_command({**elements, "MessageID": message_id})
                if data_set is None:
                    self._send(_Message(context_id, command, None))
                else:
                    await self._stream(context_id, command, data_set)
                return await answered
            finally:
                del self._asked[message_id]
                if not answered.cancel() and not answered.cancelled():
                    answered.exception()  # looked at, so that nobody misses it

    def answered(self, response: Command) -> bool:
        """Take a response of the peer; False where nothing was asked."""
        asked = self._asked.get(response.number("MessageIDBeingRespondedTo"))
        if asked is None:
            return False
        if not asked.done():
            asked.set_result(response)
        return True

    def pause(self) -> None:
        """The peer does not read: nothing more is to be written."""
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """The peer reads again."""
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    def end(self) -> None:
        """The association is over: whoever waits for it is told so."""
        self._gone = True
        self._behind.clear()
        self.resume()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(GoneError("the association ended before the answer came"))

    async def _stream(
        self, context_id: int, command: bytes, data_set: AsyncIterator[Buffer]
    ) -> None:
        upper = self._upper
        cutter = upper.data_cutter(context_id)
        # What cannot be read at all is found out before anything of the message is sent.
        data = await anext(data_set, None)
        await self.writable()
        self._between.clear()
        try:
            for piece in upper.message_pdus(context_id, command):
                upper.queue(piece)
            while data is not None:
                for piece in cutter.push(data):
                    upper.queue(piece)
                    self._flush()
                    await self.writable()
                data = await anext(data_set, None)
            upper.queue(cutter.finish())
        except BaseException:
            # Half a message has gone out, and nothing else may stand in its place.
            self._behind.clear()
            upper.abort()
            raise
        finally:
            self._between.set()
            self._flush()
        while self._behind:
            self._send(self._behind.popleft())

    def _send(self, queued: _Message) -> None:
        if not self._between.is_set():
            if len(self._behind) == BEHIND_MAX:
                self._upper.abort()
                self._flush()
            else:
                self._behind.append(queued)
        elif self._upper.may_send_data:
            data_set = None if queued.data_set is None else (queued.data_set,)
            self._upper.send_message(queued.context_id, queued.command, data_set)
            self._flush()

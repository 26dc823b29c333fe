"""An association that we ask for, on asyncio streams.

async with associate("192.0.2.7", 104, calling="FILEROOM", called="PACS",
                     contexts=[...], timeout_s=10) as association:
    answer = await association.ask(context_id, command, dataset)
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from fileroom.dicom import uid
from fileroom.errors import PeerError, RefusedError, TransientError
from fileroom.peer import nagle
from fileroom.wire.event import (
    Aborted,
    AssociateAccepted,
    AssociateRejected,
    Event,
    MessageFragment,
    ReleaseConfirmed,
    ReleaseRequested,
    TransportClosed,
)
from fileroom.wire.message import Command, MessageReader, decode_command
from fileroom.wire.pdu import AssociateReject, AssociateRequest, ProposedContext
from fileroom.wire.presentation import AcceptedContext, Buffer
from fileroom.wire.status import Outcome, outcome
from fileroom.wire.upper_layer import Association
from fileroom.wire.user_information import RoleSelection, UserInformation

PDU_SIZE_BYTES_MAX = 128 * 1024
READ_BYTES = 64 * 1024
CLOSE_S = 2.0  # for a peer to read what is left, when all has been said
REJECTED_TRANSIENT = 2  # PS3.8 §9.3.4, Table 9-21
REJECTIONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}


class UnreachableError(TransientError):
    """No connection to the peer, or it did not answer in time."""


class BusyError(TransientError):
    """The peer rejected the association for now."""


class RejectedError(RefusedError):
    """The peer rejected the association for good."""


class NotNegotiatedError(RefusedError):
    """The peer takes associations, but not for what was asked."""


class BrokenOffError(PeerError):
    """The peer aborted, or the connection was lost, in the middle of the association."""


class PeerAssociation:
    """An association with a peer. Made by `associate`; one request at a time.

    Attributes:
        contexts: those that the peer accepted, by ID.
    """

    def __init__(
        self,
        upper: Association,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        timeout_s: float,
    ) -> None:
        self._upper = upper
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._messages = MessageReader()

    @property
    def contexts(self) -> dict[int, AcceptedContext]:
        return self._upper.contexts

    @property
    def roles(self) -> tuple[RoleSelection, ...]:
        """What the peer answered to the roles that we proposed (PS3.7 §D.3.3.4)."""
        answer = self._upper.answer
        return () if answer is None else answer.user.roles

    async def ask(
        self,
        context_id: int,
        command: bytes,
        dataset: Iterable[Buffer] | AsyncIterator[Buffer] | None = None,
    ) -> Command:
        """Send a request and return the peer's response to it.

        Where `dataset` fails half a message has gone out: then only `abort` is left to be done.

        Raises:
            BrokenOffError: also where the peer answers what was not asked.
            UnreachableError; what `dataset` raises.
        """
        message_id = decode_command(command).get("MessageID")
        if isinstance(dataset, AsyncIterator):
            for piece in self._upper.message_pdus(context_id, command):
                await self._write(piece)
            cutter = self._upper.data_cutter(context_id)
            async for data in dataset:
                for piece in cutter.push(data):
                    await self._write(piece)
            await self._write(cutter.finish())
        else:
            for piece in self._upper.message_pdus(context_id, command, dataset):
                await self._write(piece)
        async with self._in_time():
            while True:
                found = await self._next_event()
                if not isinstance(found, MessageFragment):
                    raise _ended(found)
                taken = self._messages.take(found)
                if isinstance(taken, Command) and taken.is_response:
                    break
        if taken.number("MessageIDBeingRespondedTo") != message_id:
            raise BrokenOffError("the peer answered what was not asked")
        return taken

    async def ask_for_many(
        self, context_id: int, command: bytes, data_set: bytes, *, size_bytes_max: int
    ) -> AsyncIterator[tuple[Command, bytes]]:
        """Send a request with a data set and give the peer's responses with theirs, as they come;
        the last one has another status than pending.

        Raises:
            BrokenOffError: also where a response is over `size_bytes_max`, or to something else.
            UnreachableError: one did not come in time.
        """
        message_id = decode_command(command).get("MessageID")
        for piece in self._upper.message_pdus(context_id, command, [data_set]):
            await self._write(piece)
        is_pending = True
        while is_pending:
            async with self._in_time():
                answer, data = await self._response(size_bytes_max)
            if answer.number("MessageIDBeingRespondedTo") != message_id:
                raise BrokenOffError("the peer answered what was not asked")
            is_pending = outcome(answer.number("Status")) is Outcome.PENDING
            yield answer, data

    async def _response(self, size_bytes_max: int) -> tuple[Command, bytes]:
        answer: Command | None = None
        data = bytearray()
        while True:
            found = await self._next_event()
            if not isinstance(found, MessageFragment):
                raise _ended(found)
            taken = self._messages.take(found)
            if isinstance(taken, Command):
                answer = taken if taken.is_response else None
                if answer is not None and not answer.has_data_set:
                    return answer, b""
            elif taken is not None and answer is not None:
                data += taken.data
                if len(data) > size_bytes_max:
                    raise BrokenOffError(f"the peer answered over {size_bytes_max} B")
                if taken.is_last:
                    return answer, bytes(data)

    async def open(self) -> None:
        """Ask for the association. Raises BusyError, RejectedError, BrokenOffError,
        UnreachableError."""
        self._upper.connected()
        async with self._in_time():
            found = await self._next_event()
        if isinstance(found, AssociateRejected):
            raise _rejection(found.reject)
        if not isinstance(found, AssociateAccepted):
            raise _ended(found)

    async def release(self) -> None:
        """End the association in order; a peer that ends it otherwise, or not, is no matter."""
        if not self._upper.may_send_data:
            return  # it ended while we said nothing
        self._upper.release()
        with suppress(BrokenOffError, UnreachableError):
            async with self._in_time():
                await self._released()

    async def _released(self) -> None:
        while True:
            found = await self._next_event()
            if isinstance(found, ReleaseRequested):
                self._upper.reply_release()
            elif isinstance(found, ReleaseConfirmed | Aborted | TransportClosed):
                return

    async def abort(self) -> None:
        """End the association at once, without waiting for a peer that may read nothing."""
        self._upper.abort()
        if not self._writer.is_closing():
            self._writer.write(self._upper.data_to_send())

    async def close(self) -> None:
        """Close the connection. What the peer does not read soon is dropped: one that reads
        nothing would keep the connection, and us, for ever."""
        self._writer.close()
        try:
            with suppress(OSError):
                async with asyncio.timeout(min(self._timeout_s, CLOSE_S)):
                    await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()

    async def _write(self, data: bytes) -> None:
        if self._writer.is_closing():
            raise BrokenOffError("the connection was lost")
        self._writer.write(data)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._writer.drain()
        except TimeoutError as error:
            raise UnreachableError(f"the peer took no data for {self._timeout_s:g} s") from error
        except OSError as error:
            raise BrokenOffError(f"the connection was lost: errno {error.errno}") from error

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """What is awaited here comes within the timeout, whatever else the peer says meanwhile."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as error:
            raise UnreachableError(
                f"the peer did not answer within {self._timeout_s:g} s"
            ) from error

    async def _next_event(self) -> Event:
        while (found := self._upper.next_event()) is None:
            if data := self._upper.data_to_send():
                await self._write(data)
            nagle.acknowledge(self._writer.transport)
            try:
                received = await self._reader.read(READ_BYTES)
            except OSError as error:
                raise BrokenOffError(f"the connection was lost: errno {error.errno}") from error
            if received:
                self._upper.feed(received)
            elif self._upper.closing:
                return TransportClosed()
            else:
                self._upper.connection_closed()
        return found


@asynccontextmanager
async def associate(
    host: str,
    port: int,
    *,
    calling: str,
    called: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    timeout_s: float,
    roles: Sequence[RoleSelection] = (),
) -> AsyncIterator[PeerAssociation]:
    """An association for the length of the block; released behind it, aborted after an error.

    Args:
        contexts: abstract syntax and transfer syntaxes of each context; they get the IDs 1, 3, 5…
        timeout_s: for each answer of the peer, not for the whole.
        roles: to propose; without one we are the SCU.

    Raises:
        UnreachableError, BusyError, RejectedError, BrokenOffError.
    """
    request = AssociateRequest(
        called_ae_title=called,
        calling_ae_title=calling,
        contexts=tuple(
            ProposedContext(2 * index + 1, abstract_syntax, tuple(transfer_syntaxes))
            for index, (abstract_syntax, transfer_syntaxes) in enumerate(contexts)
        ),
        user=UserInformation(
            max_length_bytes=PDU_SIZE_BYTES_MAX,
            implementation_class_uid=uid.IMPLEMENTATION_CLASS_UID,
            implementation_version_name=uid.IMPLEMENTATION_VERSION_NAME,
            roles=tuple(roles),
        ),
    )
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        raise UnreachableError(f"no connection within {timeout_s:g} s") from error
    except OSError as error:
        raise UnreachableError(f"no connection: {error.strerror or 'unknown host'}") from error
    association = PeerAssociation(
        Association.requestor(request), reader, writer, timeout_s=timeout_s
    )
    try:
        await association.open()
        try:
            yield association
        except BaseException:
            await association.abort()
            raise
        await association.release()
    finally:
        await association.close()


def _rejection(reject: AssociateReject) -> BusyError | RejectedError:
    reason = REJECTIONS.get((reject.source, reject.reason))
    text = reason or f"source {reject.source}, reason {reject.reason}"
    kind = BusyError if reject.result == REJECTED_TRANSIENT else RejectedError
    return kind(f"the peer rejected the association: {text}")


def _ended(found: Event) -> PeerError:
    if isinstance(found, Aborted):
        if found.problem is not None:
            return BrokenOffError(f"the peer broke the protocol: {found.problem}")
        return BrokenOffError(f"the peer aborted, source {found.source}, reason {found.reason}")
    if isinstance(found, TransportClosed):
        return BrokenOffError("the peer closed the connection")
    return BrokenOffError("the peer ended the association before it answered")

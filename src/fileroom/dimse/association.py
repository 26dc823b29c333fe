"""One association on a socket: the upper layer around the services, on asyncio.

The event loop writes into the association's slab; `_pump` pulls events out of it and hands the
fragments of a data set on as they lie there. Three things can hold the pump up: a landing that
is full, a peer that sends more requests than were negotiated, and a peer that does not read its
answers. While one does, nothing is read from the socket, so what is held stays bounded.

A request whose data set is complete is performed in a task of its own. Meanwhile the connection
is read on: the next instance, a C-ECHO, a C-CANCEL or an A-ABORT is not kept waiting, and answers
go out as they come to be, in whatever order.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import cast

from fileroom.access.identity import Principal
from fileroom.dimse.admission import REASONS, Caller, Refusal, admit
from fileroom.dimse.door import Door
from fileroom.dimse.operation import Answer, GoneError, Operation, Refused
from fileroom.dimse.outgoing import Outgoing
from fileroom.dimse.patience import Hold, Patience
from fileroom.dimse.performer import Performer
from fileroom.dimse.unforeseen import log_unforeseen
from fileroom.peer import nagle
from fileroom.spool.record import Origin
from fileroom.wire import event, negotiation
from fileroom.wire.event import MessageFragment
from fileroom.wire.message import Command, CommandField, MalformedMessageError, MessageReader
from fileroom.wire.pdu import AssociateReject, AssociateRequest
from fileroom.wire.state_table import State
from fileroom.wire.status import Status
from fileroom.wire.upper_layer import Association

LOG = logging.getLogger("fileroom.dimse")
CHANNEL = "dimse"


class ServedAssociation(asyncio.BufferedProtocol):
    """One connection from its first byte to its last.

    Attributes:
        name: random; the conversation of every instance that came in it, and its name in the log.
    """

    def __init__(self, door: Door) -> None:
        self.name = secrets.token_hex(8)
        self._door = door
        self._upper = Association.acceptor()
        self._reader = MessageReader()
        self._address = "?"
        self._performer: Performer | None = None
        self._outgoing = Outgoing(self.name, self._upper, self._flush)
        self._operation: Operation | None = None  # whose data set is arriving
        self._skipping = False  # a data set that comes with a response or a C-CANCEL
        self._outstanding: dict[int, Operation] = {}  # by message ID
        self._operations_max = 1
        self._deferred: Command | None = None  # one too many for the window
        self._held = Hold(0)
        self._releasing = False
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._patience = Patience(door.clock.monotonic_s())
        self._progress = 0  # grows with all that is read and written

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else "?"
        nagle.off(transport)
        if self._door.joined(self):
            self._flush()
        else:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._upper.receive_view()

    def buffer_updated(self, nbytes: int) -> None:
        self._progress += nbytes
        self._upper.received(nbytes)
        self._pump()
        if self._outgoing.waits_for_peer:
            nagle.acknowledge(self._transport)

    def pause_writing(self) -> None:
        self._outgoing.pause()
        self._hold(Hold.WRITING)

    def resume_writing(self) -> None:
        self._progress += 1
        self._outgoing.resume()
        self._let_go(Hold.WRITING)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upper.connection_closed()
        self._end_all()
        self._pump()
        self._door.keep(self._farewell())

    # What the server calls (door.Connection)

    @property
    def address(self) -> str:
        return self._address

    @property
    def principal(self) -> Principal | None:
        return None if self._performer is None else self._performer.principal

    def tick(self, now_s: float) -> None:
        patience, limits = self._patience, self._door.limits
        if patience.artim_is_over(now_s, limits.artim_s):
            self._upper.artim_expired()
            self._flush()
        if patience.close_is_overdue(now_s, limits.artim_s):
            self._transport.abort()
        # A peer that has asked too much to be heard may owe us an answer all the same.
        owes = self._operation is not None or self._outgoing.waits_for_peer
        ours = (bool(self._outstanding) and not owes) or bool(self._held & Hold.LANDING)
        silence_s = patience.silence_s(now_s, progress=self._progress, ours=ours)
        if self.principal and not patience.is_closing and silence_s >= limits.idle_timeout_s:
            LOG.info("association %s: silent for %.0f s, aborted", self.name, silence_s)
            if self._held & Hold.WRITING:
                self._transport.abort()  # what we have to say would not be read
            else:
                self._upper.abort()
                self._flush()

    def drain(self) -> None:
        self._draining = True
        self._end_if_drained()

    def cut(self) -> None:
        self._upper.abort()
        self._flush()
        self._transport.abort()

    # The pump

    def _pump(self) -> None:
        upper = self._upper
        try:
            while not self._held:
                if (deferred := self._deferred) is not None:
                    self._deferred = None
                    self._take_command(deferred)
                    continue
                found = upper.next_event()
                if found is None:
                    break
                if type(found) is MessageFragment:
                    self._take_fragment(found)
                else:
                    self._take_event(found)
            self._flush()
        except Exception as error:  # noqa: BLE001 - the outermost frame of the door
            log_unforeseen(LOG, self.name, error)
            self._end_all()
            self.cut()

    def _take_fragment(self, fragment: MessageFragment) -> None:
        try:
            taken = self._reader.take(fragment)
        except MalformedMessageError as problem:
            self._upper.abort_for(problem)
            return
        if type(taken) is MessageFragment:
            if self._skipping:
                self._skipping = not taken.is_last
                return
            operation = self._operation
            assert operation is not None
            operation.write(taken.data)
            if taken.is_last:
                self._operation = None
                self._conclude(operation)
            elif operation.full:
                self._hold(Hold.LANDING)
                self._start(self._await_landing(operation))
        elif isinstance(taken, Command):
            self._take_command(taken)

    def _take_command(self, command: Command) -> None:
        if command.field == CommandField.C_CANCEL_RQ:
            # What has been answered already, or never was, is not cancelled (PS3.7 §9.3.2.3).
            named = self._outstanding.get(command.number("MessageIDBeingRespondedTo"))
            if named is not None:
                named.cancel()
            self._skipping = command.has_data_set
            return
        if command.is_response:
            if self._outgoing.answered(command):
                self._skipping = command.has_data_set
            else:
                problem = MalformedMessageError("a response, though nothing was asked")
                self._upper.abort_for(problem)
            return
        if len(self._outstanding) >= self._operations_max:
            self._deferred = command
            self._hold(Hold.WINDOW)
            return
        message_id = command.number("MessageID")
        if message_id in self._outstanding:
            operation: Operation = Refused(command, Status.DUPLICATE_INVOCATION)
        else:
            assert self._performer is not None
            operation = self._performer.begin(command)
            self._outstanding[message_id] = operation
        if command.has_data_set:
            self._operation = operation
        else:
            self._conclude(operation)

    def _conclude(self, operation: Operation) -> None:
        if operation.answer is not None:
            self._answer(operation, operation.answer)
        else:
            self._start(self._perform(operation))

    async def _perform(self, operation: Operation) -> None:
        try:
            answer = await operation.perform(self._outgoing)
        except GoneError as gone:
            answer = Answer(Status.PROCESSING_FAILURE, str(gone))
        except Exception as error:  # noqa: BLE001 - the outermost frame of the door
            operation.abandon()
            answer = Answer(Status.PROCESSING_FAILURE)
            log_unforeseen(LOG, self.name, error)
        self._answer(operation, answer)
        self._let_go(Hold.WINDOW)

    async def _await_landing(self, operation: Operation) -> None:
        try:
            await operation.ready()
        except Exception as error:  # noqa: BLE001 - the outermost frame of the door
            log_unforeseen(LOG, self.name, error)
            operation.abandon()
            refused = Refused(operation.command, Status.PROCESSING_FAILURE)
            if self._operation is operation:
                self._operation = refused  # which drops the rest of the data set
            self._outstanding[operation.command.number("MessageID")] = refused
        self._let_go(Hold.LANDING)

    def _answer(self, operation: Operation, answer: Answer) -> None:
        assert self._performer is not None
        self._performer.ended(operation, answer)
        self._forget(operation)
        self._outgoing.answer(operation.command, answer)
        self._progress += 1
        self._release_if_asked()
        self._flush()
        self._end_if_drained()

    # What begins and ends an association

    def _take_event(self, found: event.Event) -> None:
        match found:
            case event.AssociateRequested(request):
                self._take_request(request)
            case event.AssociateRefused(request, reject):
                self._note_refusal(request, reject)
            case event.ReleaseRequested():
                self._drop()
                self._releasing = True
                self._release_if_asked()
            case event.Aborted():
                why = "by the peer" if found.by_peer else f"by us: {found.problem}"
                LOG.info("association %s from %s aborted %s", self.name, self._address, why)
                self._end_all()
            case event.TransportClosed():
                self._end_all()
                LOG.info("association %s from %s: connection lost", self.name, self._address)

    def _take_request(self, request: AssociateRequest) -> None:
        door, upper = self._door, self._upper
        caller = Caller(self._address, request.calling_ae_title, request.user.user_identity)
        principal = door.identify(caller)
        answer = admit(
            request,
            principal,
            ae_titles=door.ae_titles,
            decide=door.decide,
            limits=door.limits,
            is_full=door.is_full(principal),
            is_stopping=door.stopping,
        )
        if isinstance(answer, AssociateReject):
            upper.reject(answer)
            self._note_refusal(request, answer)
            return
        upper.accept(answer)
        self._operations_max = negotiation.operations_max(answer)
        origin = Origin(
            channel=CHANNEL,
            calling_ae_title=request.calling_ae_title,
            address=self._address,
            conversation=self.name,
        )
        self._performer = Performer(
            door.receiver,
            door.provision,
            door.decide,
            principal=principal,
            called_ae_title=request.called_ae_title,
            origin=origin,
            contexts=upper.contexts,
            on_refused=lambda action, reason: door.refused(
                Refusal(request.calling_ae_title, self._address, reason, action)
            ),
        )

    def _note_refusal(self, request: AssociateRequest, reject: AssociateReject) -> None:
        reason = REASONS[reject]
        LOG.info("association %s from %s rejected: %s", self.name, self._address, reason)
        self._door.refused(Refusal(request.calling_ae_title, self._address, reason))

    def _release_if_asked(self) -> None:
        waits = self._upper.state is State.AWAITING_LOCAL_RELEASE_REPLY
        if self._releasing and waits and not self._outstanding and self._outgoing.is_idle:
            self._upper.reply_release()

    def _end_if_drained(self) -> None:
        if self._draining and not self._outstanding and self._operation is None:
            self._upper.abort()
            self._flush()
            self._transport.close()

    def _drop(self) -> None:
        """Give up the instance that was arriving; those that are complete go on. What was to
        begin behind them never does: its data set will not come."""
        self._deferred = None
        operation, self._operation = self._operation, None
        if operation is not None:
            operation.abandon()
            self._forget(operation)

    def _end_all(self) -> None:
        """The association is over: whatever is under way has nobody to answer to."""
        self._drop()
        self._outgoing.end()
        for each in tuple(self._outstanding.values()):
            each.cancel()

    def _forget(self, operation: Operation) -> None:
        message_id = operation.command.number("MessageID")
        if self._outstanding.get(message_id) is operation:
            del self._outstanding[message_id]

    async def _farewell(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        if (performer := self._performer) is not None:
            try:
                await performer.close()
            except Exception as error:  # noqa: BLE001 - the outermost frame of the door
                log_unforeseen(LOG, self.name, error)
            counts = (performer.stored, performer.stored_bytes, performer.refused)
            LOG.info(
                "association %s from %s: %d instances stored (%d B), %d refused",
                self.name,
                self._address,
                *counts,
            )
        self._door.left(self)

    # Holding, letting go, and what the upper layer asks for

    def _hold(self, why: Hold) -> None:
        if not self._held and not self._transport.is_closing():
            self._transport.pause_reading()
        self._held |= why

    def _let_go(self, why: Hold) -> None:
        if not self._held & why:
            return
        self._held &= ~why
        self._pump()
        if not self._held and not self._transport.is_closing():
            self._transport.resume_reading()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._door.keep(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _flush(self) -> None:
        now_s = self._door.clock.monotonic_s()
        if (timer := self._upper.take_timer()) is not None:
            self._patience.artim(timer, now_s)
        data = self._upper.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)
        if self._upper.closing:
            self._patience.closing(now_s)
            self._transport.close()

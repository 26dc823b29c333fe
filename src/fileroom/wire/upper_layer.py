"""One association, either side of it: bytes in, events out (PS3.8 §9.2). Pure.

The owner of the socket drives it:

    view = association.receive_view()        # or feed(data), which copies
    association.received(socket.recv_into(view))
    while (event := association.next_event()) is not None: ...
    socket.send(association.data_to_send())
    association.take_timer(), association.closing

Local primitives are the methods `accept` to `abort`. Each walks the state table, as every PDU
does; one that the table has no entry for raises StateError and changes nothing.
"""

from collections.abc import Iterable, Iterator

from fileroom.wire import pdu, presentation
from fileroom.wire.event import (
    Aborted,
    AssociateAccepted,
    AssociateRefused,
    AssociateRejected,
    AssociateRequested,
    Event,
    MessageFragment,
    ReleaseConfirmed,
    ReleaseRequested,
    Timer,
    TransportClosed,
)
from fileroom.wire.item import AbortReason, AbortSource, MalformedPduError, invalid
from fileroom.wire.pdu import PduType
from fileroom.wire.presentation import FIRST_VALUE, AcceptedContext, Buffer
from fileroom.wire.receive_slab import ReceiveSlab
from fileroom.wire.state_machine import StateError, StateMachine
from fileroom.wire.state_table import MAY_SEND_DATA, State, Trigger
from fileroom.wire.user_information import MAX_LENGTH_UNSAID_BYTES, UserInformation

# A request to associate may announce 4 GiB, since peers bound P-DATA-TF only (PS3.8 §D.1). 128
# contexts of every known transfer syntax are about 200 KB.
ASSOCIATE_LENGTH_BYTES_MAX = 1 << 20
ANNOUNCED_LENGTH_BYTES_MIN = 4096
ROOM_BYTES_MIN = 64 * 1024  # a read of an established association gets at least this much
SLAB_BYTES = 256 * 1024

TRIGGERS = {each: Trigger[each.name] for each in PduType}
TAKES_DATA = frozenset({State.ESTABLISHED, State.AWAITING_RELEASE_REPLY})  # DT-2 and AR-6
REFUSALS = frozenset({"AA-1", "AA-8"})  # the PDU cannot come in this state, whatever it holds
VERSION_REJECTED = pdu.AssociateReject(1, 2, 2)  # permanent, by the provider (PS3.8 §9.3.4)


class Association:
    """The upper layer for one connection: its state, and the bytes on their way in and out.

    Invariant: once `next_event` has returned None, fewer bytes are held than one acceptable PDU,
    whatever length the peer announced; what `data_to_send` gave is not held.

    Attributes:
        request, answer: the A-ASSOCIATE-RQ and -AC, once there is one.
        contexts: the accepted presentation contexts by ID, once established.
    """

    def __init__(self, *, is_requestor: bool) -> None:
        self.is_requestor = is_requestor
        self.request: pdu.AssociateRequest | None = None
        self.answer: pdu.AssociateAccept | None = None
        self.contexts: dict[int, AcceptedContext] = {}
        self._machine = StateMachine()
        self._events = self._machine.events
        self._slab = ReceiveSlab()
        self._room_bytes_min = ANNOUNCED_LENGTH_BYTES_MIN
        self._data_length_bytes_max = MAX_LENGTH_UNSAID_BYTES
        self._send_length_bytes_max = MAX_LENGTH_UNSAID_BYTES
        self._takes_data = False
        self._left_bytes = 0  # of the P-DATA-TF whose values are being given out
        self._deaf = False  # the stream is out of step, or nobody is to listen any more

    @classmethod
    def acceptor(cls) -> "Association":
        """The called side of a connection that was just opened. The ARTIM timer is to start."""
        association = cls(is_requestor=False)
        association._step(Trigger.CONNECTION_INDICATED)
        return association

    @classmethod
    def requestor(cls, request: pdu.AssociateRequest) -> "Association":
        """The calling side. Open a connection, then call `connected`."""
        association = cls(is_requestor=True)
        association.request = request
        association._step(Trigger.LOCAL_ASSOCIATE)
        return association

    @property
    def state(self) -> State:
        """PS3.8 §9.2.1."""
        return self._machine.state

    @property
    def closing(self) -> bool:
        """Whether the owner is to close the connection when all is sent."""
        return self._machine.closing

    @property
    def may_send_data(self) -> bool:
        """Whether a message can be sent now."""
        return self._machine.state in MAY_SEND_DATA

    # What comes in

    def receive_view(self) -> memoryview:
        """Where the socket may write next; never empty. Take all events first."""
        return self._slab.room(self._room_bytes_min)

    def received(self, size_bytes: int) -> None:
        """Say that the first `size_bytes` of the last `receive_view` have been written."""
        slab = self._slab
        slab.write += size_bytes
        assert slab.write <= slab.capacity
        if self._deaf:
            slab.clear()

    def feed(self, data: Buffer) -> None:
        """Take the next bytes of the stream, however TCP cut them."""
        if not self._deaf:
            self._slab.append(data)

    def next_event(self) -> Event | None:
        """The next thing that the bytes mean, or None: feed more.

        A PDU that arrived whole is given even if rubbish follows it. What cannot be accepted
        becomes an A-ABORT on its way out and an Aborted event; nothing comes after it.
        """
        if self._events:
            return self._events.popleft()
        slab = self._slab
        read = slab.read
        # The hot path: a P-DATA-TF with one value and nothing unusual. DT-2 and AR-6 do no more
        # than indicate, so the state table need not be walked.
        if self._takes_data and slab.write - read >= 12 and not self._left_bytes:
            pdu_type, length_bytes, value_bytes, context_id, control = FIRST_VALUE.unpack_from(
                slab.buffer, read
            )
            if (
                pdu_type == 4
                and 6 <= value_bytes + 4 == length_bytes <= self._data_length_bytes_max
                and context_id in self.contexts
            ):
                end = read + 6 + length_bytes
                if end > slab.write:
                    return None
                slab.read = end
                return MessageFragment(
                    context_id, control & 1 != 0, control & 2 != 0, slab.view[read + 12 : end]
                )
        return self._next_in_full()

    # What goes out

    def data_to_send(self) -> bytes:
        """Bytes for the socket, in order; they are the caller's from here on."""
        outgoing = self._machine.outgoing
        if not outgoing:
            return b""
        data = b"".join(outgoing)
        outgoing.clear()
        return data

    def take_timer(self) -> Timer | None:
        """What to do with the ARTIM timer since the last call, or None."""
        timer, self._machine.timer = self._machine.timer, None
        return timer

    def connected(self) -> None:
        """The connection that a requestor asked for is open."""
        assert self.request is not None
        self._step(Trigger.CONNECTED, data=pdu.encode(self.request))

    def connection_closed(self) -> None:
        """The connection is gone, whoever closed it."""
        self._deaf = True
        if self.state is not State.IDLE:
            self._step(Trigger.CONNECTION_CLOSED, event=TransportClosed())

    def artim_expired(self) -> None:
        """The time that the timer was started for is over; without meaning once it was stopped."""
        if self._machine.action(Trigger.ARTIM_EXPIRED) is not None:
            self._step(Trigger.ARTIM_EXPIRED)

    def accept(self, answer: pdu.AssociateAccept) -> None:
        """Answer AssociateRequested. `answer.user` announces the largest P-DATA-TF we take."""
        assert self.request is not None
        assert answer.user.max_length_bytes >= ANNOUNCED_LENGTH_BYTES_MIN
        self._step(Trigger.LOCAL_ACCEPT, data=pdu.encode(answer))
        self._establish(answer, announced=answer.user, peer=self.request.user)

    def reject(self, reject: pdu.AssociateReject) -> None:
        """Answer AssociateRequested with no (PS3.8 §9.3.4, Table 9-21)."""
        self._step(Trigger.LOCAL_REJECT, data=pdu.encode(reject))

    def send_message(
        self, context_id: int, command: bytes, dataset: Iterable[Buffer] | None = None
    ) -> None:
        """Queue a message for `data_to_send`; for a large data set see `message_pdus`."""
        self._machine.outgoing.extend(self.message_pdus(context_id, command, dataset))

    def message_pdus(
        self, context_id: int, command: bytes, dataset: Iterable[Buffer] | None = None
    ) -> Iterator[bytes]:
        """The P-DATA-TF PDUs of a message one by one, none larger than the peer takes.

        Args:
            dataset: pieces of an encoded data set in order, cut anywhere; None where the
                command says that none follows.

        Raises:
            StateError: the association takes no data, or no longer does.
        """
        parts: list[tuple[bool, Iterable[Buffer]]] = [(True, (command,))]
        if dataset is not None:
            parts.append((False, dataset))
        most = self._send_length_bytes_max
        for is_command, pieces in parts:
            for data in presentation.data_pdus(
                context_id, pieces, is_command=is_command, length_bytes_max=most
            ):
                if not self.may_send_data:
                    raise StateError(f"no data can be sent in Sta{self.state:d}")
                yield data

    def queue(self, data: bytes) -> None:
        """Queue a PDU of `message_pdus` or `data_cutter` for `data_to_send`."""
        self._machine.outgoing.append(data)

    def data_cutter(self, context_id: int) -> presentation.DataCutter:
        """Cuts a data set that is read as it is sent."""
        most = self._send_length_bytes_max
        return presentation.DataCutter(context_id, is_command=False, length_bytes_max=most)

    def release(self) -> None:
        """Ask the peer to end the association in order. Data may still come."""
        self._step(Trigger.LOCAL_RELEASE, data=pdu.encode(pdu.ReleaseRequest()))

    def reply_release(self) -> None:
        """Answer ReleaseRequested. Messages may be sent before this, none after."""
        self._step(Trigger.LOCAL_RELEASE_REPLY, data=pdu.encode(pdu.ReleaseReply()))

    def abort(self) -> None:
        """End the association at once (PS3.8 §7.3). Without effect where there is none."""
        if self._machine.action(Trigger.LOCAL_ABORT) is not None:
            self._deaf = True
            self._step(Trigger.LOCAL_ABORT)

    def abort_for(self, problem: MalformedPduError) -> None:
        """End the association for what the peer sent in messages: as for an invalid PDU."""
        if self._machine.action(Trigger.INVALID_PDU) is not None:
            self._refuse(Trigger.INVALID_PDU, problem)

    # How bytes become steps of the machine

    def _step(
        self,
        trigger: Trigger,
        *,
        event: Event | None = None,
        data: bytes = b"",
        otherwise: bool = False,
    ) -> None:
        self._machine.step(trigger, event=event, data=data, otherwise=otherwise)
        self._takes_data = self._machine.state in TAKES_DATA
        self._deaf = self._deaf or self._machine.closing

    def _refuse(self, trigger: Trigger, problem: MalformedPduError) -> None:
        """Walk AA-1, AA-7 or AA-8 for what the peer sent, and listen no more."""
        by_user = self._machine.action(trigger) == "AA-1"
        # By the user the reason "shall be sent with a value 00H" (PS3.8 §9.3.8).
        event = Aborted(
            AbortSource.USER if by_user else AbortSource.PROVIDER,
            AbortReason.NOT_SPECIFIED if by_user else problem.reason,
            by_peer=False,
            problem=problem,
        )
        self._machine.step(trigger, event=event, reason=problem.reason)
        if by_user:
            # There is no association yet that the table could end with an indication; the owner
            # wants to know all the same why it is to close.
            self._events.append(event)
        self._takes_data = False
        self._deaf = True
        self._slab.clear()

    def _next_in_full(self) -> Event | None:
        slab = self._slab
        while not self._events:
            if self._deaf:
                slab.clear()
                return None
            try:
                if self._left_bytes:
                    if self._takes_data:
                        return self._next_value()
                    slab.read += self._left_bytes  # it ended between two values of one PDU
                    self._left_bytes = 0
                elif not self._next_pdu():
                    return None
            except MalformedPduError as problem:
                self._refuse(Trigger.INVALID_PDU, problem)
        return self._events.popleft()

    def _next_pdu(self) -> bool:
        """Take one PDU, or return False where it has not arrived whole."""
        slab = self._slab
        held_bytes = slab.write - slab.read
        if held_bytes < pdu.HEADER.size:
            return False
        pdu_type, length_bytes = pdu.HEADER.unpack_from(slab.buffer, slab.read)
        if pdu_type not in TRIGGERS:
            raise pdu.unrecognized(pdu_type)
        trigger = TRIGGERS[pdu_type]
        if self._machine.action(trigger) in REFUSALS:
            text = f"{PduType(pdu_type).name} cannot come in Sta{self.state:d}"
            self._refuse(trigger, MalformedPduError(text, reason=AbortReason.UNEXPECTED_PDU))
            return True
        limit_bytes = self._length_bytes_max(pdu_type)
        if length_bytes > limit_bytes:
            raise invalid(f"PDU-length {length_bytes} B is over our {limit_bytes} B")
        if held_bytes < pdu.HEADER.size + length_bytes:
            return False
        start = slab.read + pdu.HEADER.size
        end = start + length_bytes
        if pdu_type == PduType.P_DATA_TF and self._takes_data:
            if not length_bytes:
                raise invalid("P-DATA-TF without a presentation data value")
            slab.read, self._left_bytes = start, length_bytes
            return True
        body = bytes(slab.view[start:end])
        slab.read = end
        self._take(trigger, pdu.decode(pdu_type, body))
        return True

    def _length_bytes_max(self, pdu_type: int) -> int:
        if pdu_type == PduType.P_DATA_TF:
            return self._data_length_bytes_max
        if pdu_type in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC):
            return ASSOCIATE_LENGTH_BYTES_MAX
        return pdu.FOUR_BYTES.size

    def _next_value(self) -> MessageFragment:
        slab = self._slab
        size_bytes, context_id, control = pdu.value_header(
            slab.buffer, slab.read, slab.read + self._left_bytes
        )
        if context_id not in self.contexts:
            raise invalid(f"presentation context {context_id} was not accepted")
        start = slab.read + pdu.VALUE_HEADER.size
        slab.read = start + size_bytes
        self._left_bytes -= pdu.VALUE_HEADER.size + size_bytes
        data = slab.view[start : slab.read]
        return MessageFragment(context_id, control & 1 != 0, control & 2 != 0, data)

    def _take(self, trigger: Trigger, received: pdu.Pdu) -> None:
        match received:
            case pdu.AssociateRequest() if self.state is State.AWAITING_REQUEST:
                self._take_request(received)
            case pdu.AssociateAccept() if self.state is State.AWAITING_ANSWER:
                assert self.request is not None
                self._establish(received, announced=self.request.user, peer=received.user)
                self._step(trigger, event=AssociateAccepted(received))
            case pdu.AssociateReject():
                self._step(trigger, event=AssociateRejected(received))
            case pdu.ReleaseRequest():
                at_acceptor = not self.is_requestor  # which of the two cases of a collision
                self._step(trigger, event=ReleaseRequested(), otherwise=at_acceptor)
            case pdu.ReleaseReply():
                self._step(trigger, event=ReleaseConfirmed())
            case pdu.Abort():
                event = Aborted(received.source, received.reason, by_peer=True)
                self._step(trigger, event=event)
            case _:
                self._step(trigger)  # in Sta13: AA-6 ignores it, AA-7 aborts again

    def _take_request(self, request: pdu.AssociateRequest) -> None:
        self.request = request
        if request.protocol_version & pdu.PROTOCOL_VERSION:
            self._step(Trigger.ASSOCIATE_RQ, event=AssociateRequested(request))
        else:
            reject = pdu.encode(VERSION_REJECTED)
            self._step(Trigger.ASSOCIATE_RQ, data=reject, otherwise=True)
            self._events.append(AssociateRefused(request, VERSION_REJECTED))

    def _establish(
        self, answer: pdu.AssociateAccept, *, announced: UserInformation, peer: UserInformation
    ) -> None:
        assert self.request is not None
        self.contexts = presentation.agreed(self.request, answer)
        self.answer = answer
        self._data_length_bytes_max = announced.max_length_bytes
        self._send_length_bytes_max = peer.max_length_bytes
        self._room_bytes_min = ROOM_BYTES_MIN
        largest_pdu_bytes = pdu.HEADER.size + announced.max_length_bytes
        self._slab.reserve(max(SLAB_BYTES, largest_pdu_bytes + ROOM_BYTES_MIN))

"""C-GET and C-MOVE: an identifier becomes C-STORE sub-operations, and an account of them.

PS3.4 §C.4.2 and §C.4.3, PS3.7 §9.1.3 and §9.1.4. Instances are sent one after another, series by
series; what cannot be sent is counted, named, and held against nothing else. A C-CANCEL ends what
waits at once, and lets the instance that is on its way come to its end, for a while.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from fileroom.access.grant import Object
from fileroom.access.identity import Principal
from fileroom.catalog.errors import SearchTooBroadError
from fileroom.dicom.identifier import IdentifierError
from fileroom.dimse import retrieve_keys
from fileroom.dimse.admission import Decide
from fileroom.dimse.by_identifier import ByIdentifier, Failures, failure, refused
from fileroom.dimse.dispatch import Sender, ToADestination, ToTheRequestor
from fileroom.dimse.operation import Answer, GoneError, Refused, Talk
from fileroom.dimse.provision import Provision, ReadRecord, StoredInstance
from fileroom.dimse.query_keys import MismatchedIdentifierError
from fileroom.dimse.receiving import Buffer
from fileroom.dimse.retrieve_keys import Portion, Series, Wanted
from fileroom.dimse.services import BY_FIELD
from fileroom.dimse.suboperations import Suboperations
from fileroom.errors import FileroomError, IntegrityError, TransientError, UncertainError
from fileroom.peer.delivery import Kind
from fileroom.retrieve.transcode import chosen_context
from fileroom.wire.message import Command, CommandField, MoveOriginator, store_elements
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.status import Status

LOG = logging.getLogger("fileroom.dimse")
PURPOSE = "retrieve"
GET_CHANNEL = "dimse-get"
MOVE_CHANNEL = "dimse-move"
PENDING_EVERY_S = 1.0
PENDING_EVERY = 10  # sub-operations
CANCEL_GRACE_S = 5.0  # for an instance that is on its way to a destination

# From errors to PS3.4 Tables C.4-2 and C.4-3; the first row that fits counts.
FAILURES: Failures = (
    (MismatchedIdentifierError, Status.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS),
    (IdentifierError, Status.UNABLE_TO_PROCESS),
    (SearchTooBroadError, Status.UNABLE_TO_CALCULATE_MATCHES),
    (TransientError, Status.UNABLE_TO_CALCULATE_MATCHES),
    (UncertainError, Status.UNABLE_TO_CALCULATE_MATCHES),
    (IntegrityError, Status.UNABLE_TO_CALCULATE_MATCHES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the instances of one retrieve leave.

    Attributes:
        sender: makes what sends them, of the association that asks.
        destination: the AE title that they go to, where that is not the requestor.
    """

    sender: Callable[[Talk], Sender]
    channel: str
    destination: str = ""
    originator: MoveOriginator | None = None


class Retrieve(ByIdentifier):
    """One C-GET or C-MOVE until it is answered."""

    def __init__(
        self,
        command: Command,
        context: AcceptedContext,
        provision: Provision,
        *,
        principal: Principal,
        decide: Decide,
        way: Way,
    ) -> None:
        super().__init__(command, context)
        self._provision = provision
        self._principal = principal
        self._decide = decide
        self._way = way
        self._action = BY_FIELD[command.field].action
        self._stopped = asyncio.Event()
        self._storing = False  # an instance is on its way

    def cancel(self) -> None:
        """Send nothing more."""
        self._stopped.set()

    async def perform(self, talk: Talk) -> Answer:
        """Send what is asked for. Raises GoneError where the peer has left."""
        try:
            wanted, series = await self._selected()
        except FileroomError as error:
            return failure(error, FAILURES)
        ours = self._provision.ae_title
        for study_uid in dict.fromkeys(each.study_uid for each in series):
            decision = self._decide(self._principal, self._action, Object(study_uid, ours))
            if not decision.allowed:
                return Answer(Status.NOT_AUTHORIZED, decision.reason)
        done = Suboperations(sum(each.expected for each in series))
        sender = self._way.sender(talk)
        work = asyncio.ensure_future(self._send_all(wanted, series, sender, done, talk))
        telling = asyncio.ensure_future(self._tell(talk, sender, done))
        try:
            await self._finished(work, sender, talk)
        finally:
            for each in (telling, work):
                each.cancel()
            ended = await asyncio.gather(work, telling, return_exceptions=True)
            await sender.end()
        if not talk.is_open:
            raise GoneError("the peer left before all was sent")
        if isinstance(ended[0], Exception):
            raise ended[0]
        self._log(talk, done)
        cancelled = self._stopped.is_set() and done.ended < done.total
        return done.last(self._context.transfer_syntax, cancelled=cancelled)

    async def _selected(self) -> tuple[Wanted, list[Series]]:
        provision = self._provision
        asked = await asyncio.to_thread(self._asked)
        wanted = retrieve_keys.read(asked, self._context.abstract_syntax)
        return wanted, await retrieve_keys.series_of(provision.archive, wanted, provision.partition)

    async def _finished(self, work: asyncio.Future[None], sender: Sender, talk: Talk) -> None:
        """Return when all is sent, or nothing more is to be."""
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            if work.done() or not self._storing:
                return
            if not sender.interruptible:
                await asyncio.wait((work,))
            elif talk.is_open:
                grace = asyncio.ensure_future(self._provision.dispatch.clock.sleep(CANCEL_GRACE_S))
                await asyncio.wait((work, grace), return_when=asyncio.FIRST_COMPLETED)
                grace.cancel()
        finally:
            stopped.cancel()

    async def _tell(self, talk: Talk, sender: Sender, done: Suboperations) -> None:
        """Say each second how far it is, unless what is sent says so."""
        with suppress(GoneError):
            while True:
                await self._provision.dispatch.clock.sleep(PENDING_EVERY_S)
                if sender.interruptible or not self._storing:
                    await talk.respond(self.command, done.pending())

    async def _send_all(
        self,
        wanted: Wanted,
        series: list[Series],
        sender: Sender,
        done: Suboperations,
        talk: Talk,
    ) -> None:
        for each in series:
            before = done.ended
            async with aclosing(
                retrieve_keys.portions(self._provision.archive, wanted, each)
            ) as found:
                try:
                    async for portion in found:
                        await self._send_portion(portion, sender, done, talk)
                        if self._stopped.is_set():
                            return
                except (TransientError, IntegrityError) as error:
                    done.miss(each.expected - (done.ended - before), str(error))
            # What was counted before may have come and gone meanwhile.
            done.total += done.ended - before - each.expected

    async def _send_portion(
        self, portion: Portion, sender: Sender, done: Suboperations, talk: Talk
    ) -> None:
        why = str(portion.why or "it cannot be read now")
        for uid in portion.missing_uids:
            done.fail(uid, why)
        done.miss(portion.missing - len(portion.missing_uids), why)
        kinds = {Kind(each.sop_class_uid, each.transfer_syntax_uid) for each in portion.instances}
        with suppress(FileroomError):  # which each instance will meet again
            if kinds:
                await sender.prepare(sorted(kinds))
        for instance in portion.instances:
            if self._stopped.is_set():
                return
            await self._send(instance, sender, done)
            if done.ended % PENDING_EVERY == 0:
                await talk.respond(self.command, done.pending())

    async def _send(self, instance: StoredInstance, sender: Sender, done: Suboperations) -> None:
        uid, kind = (
            instance.sop_instance_uid,
            Kind(instance.sop_class_uid, instance.transfer_syntax_uid),
        )
        try:
            await sender.prepare((kind,))
            context = chosen_context(sender.contexts, *kind)
            if context is None:
                done.fail(uid, "the peer takes no form that an instance can be given in")
                return
            pieces = await self._provision.dispatch.transcoder.opened(
                instance, context.transfer_syntax
            )
            # The read is on record before its first byte leaves (invariant 11).
            record = await self._provision.coverage.covers(
                self._principal,
                instance.study_instance_uid,
                purpose=PURPOSE,
                channel=self._way.channel,
                destination=self._way.destination,
            )
            status = await self._store(instance, sender, context, _counted(pieces, record))
        except FileroomError as error:  # where the requestor has left, `cancel` ends the rest
            done.fail(uid, str(error))
        except asyncio.CancelledError:
            if self._storing:
                done.fail(uid, "given up, since the peer wants no more")
            raise
        else:
            done.answered(uid, status)
        finally:
            self._storing = False

    async def _store(
        self,
        instance: StoredInstance,
        sender: Sender,
        context: AcceptedContext,
        pieces: AsyncIterator[Buffer],
    ) -> int:
        elements = store_elements(
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            priority=self.command.number("Priority", 0),
            originator=self._way.originator,
        )
        self._storing = True
        return await sender.store(context, elements, pieces)

    def _log(self, talk: Talk, done: Suboperations) -> None:
        LOG.info(
            "association %s, %s%s: %d instances sent, %d with a warning, %d failed%s",
            talk.name,
            self._way.channel,
            f" to {self._way.destination}" if self._way.destination else "",
            done.completed,
            done.warning,
            done.failed,
            f", the first: {done.first_failure}" if done.failed else "",
        )


def begin(
    command: Command,
    context: AcceptedContext,
    provision: Callable[[], Provision],
    *,
    principal: Principal,
    decide: Decide,
) -> Retrieve | Refused:
    """Begin a C-GET or a C-MOVE. `provision` raises TransientError while nothing can be read."""
    no = refused(command, context)
    if no is not None:
        return no
    try:
        given = provision()
    except TransientError as error:
        return Refused(command, Status.UNABLE_TO_CALCULATE_MATCHES, str(error))
    way = _way(command, given, principal)
    if way is None:
        comment = "no peer in the settings has this AE title"
        return Refused(command, Status.MOVE_DESTINATION_UNKNOWN, comment)
    return Retrieve(command, context, given, principal=principal, decide=decide, way=way)


def _way(command: Command, provision: Provision, principal: Principal) -> Way | None:
    """Where the instances go; None where the destination of a C-MOVE is not known."""
    if command.field == CommandField.C_GET_RQ:
        return Way(sender=ToTheRequestor, channel=GET_CHANNEL)
    destination = provision.dispatch.destination(command.text("MoveDestination"))
    if destination is None:
        return None
    return Way(
        sender=lambda _: ToADestination(destination, calling=provision.ae_title),
        channel=MOVE_CHANNEL,
        destination=destination.ae_title,
        originator=MoveOriginator(principal.ae_title or "", command.number("MessageID", 0)),
    )


async def _counted(pieces: AsyncIterator[Buffer], record: ReadRecord) -> AsyncIterator[Buffer]:
    """The same pieces, counted as they are taken."""
    size_bytes = 0
    try:
        async for piece in pieces:
            size_bytes += len(piece)
            yield piece
    finally:
        if size_bytes:
            record.count(instances=1, bytes=size_bytes)

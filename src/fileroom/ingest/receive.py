"""Receive: an instance's bytes become a durable spool record, and only then a success.

The doors hold a `Conversation` for each association or request and a `Reception` for each
instance in it. What a door may answer as success is the return of `Reception.finish`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fileroom.access.grant import Action
from fileroom.access.identity import of_address
from fileroom.audit import event
from fileroom.audit.refusals import Refusal
from fileroom.catalog.batch import Intake
from fileroom.catalog.rows import NewSpooled
from fileroom.clock import Clock
from fileroom.dicom import uid
from fileroom.dicom.header import Header, HeaderScanner
from fileroom.dicom.instance_error import IdentityError, InstanceError, TransferSyntaxError
from fileroom.dicom.part10 import PREAMBLE_BYTES
from fileroom.dicom.preamble import program_in, tiff_head
from fileroom.disk import Buffer
from fileroom.errors import FileroomError, RefusedError, TransientError
from fileroom.ingest.arrivals import Arrivals
from fileroom.ledger.log import Ledger
from fileroom.spool.aside import Aside
from fileroom.spool.failure import InstanceTooLargeError, SpaceError
from fileroom.spool.landing import Landing, Spool
from fileroom.spool.record import Description, Origin

BUSY_S = 0.5  # how long after the last byte the doors still count as busy
SERVE_PREAMBLE = "serve preamble"  # what is refused of a file that begins as a program and is kept


class BacklogError(TransientError):
    """So many instances wait for their catalog rows that no new one is begun."""


class MismatchError(RefusedError):
    """The data set is not the instance that was announced (PS3.4 Table B.2-1, A9xx)."""


class PreambleError(InstanceError):
    """The file begins as a program does, and such files are not taken here."""


class SopClassError(RefusedError):
    """The instance is of a SOP class whose instances are not stored."""


# What is recorded of an instance that was refused: few sentences, whatever a sender makes up; the
# first row that fits counts.
REASONS: tuple[tuple[type[FileroomError], str], ...] = (
    (SpaceError, "there is no room for the instance"),
    (InstanceTooLargeError, "the instance is larger than one may be"),
    (MismatchError, "the data set is not the instance that was announced"),
    (IdentityError, "the data set lacks one of its UIDs"),
    (SopClassError, "the SOP class is not one that is stored"),
    (TransferSyntaxError, "the transfer syntax is none"),
    (PreambleError, "the file begins as a program does"),
    (InstanceError, "the data set cannot be read"),
    (TransientError, "the instance could not be kept just then"),
)


def reason_of(error: FileroomError) -> str:
    """Why an instance was refused, in words that hold nothing of it."""
    fitting = (reason for kind, reason in REASONS if isinstance(error, kind))
    return next(fitting, "the instance is not taken")


@dataclass(frozen=True, slots=True)
class Received:
    """One instance that is ours: durable, found again after any crash."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    size_bytes: int


@dataclass(slots=True)
class StudyTally:
    """What one conversation brought for one study."""

    instances: int = 0
    size_bytes: int = 0


class Receiver:
    """Where the doors bring instances.

    Args:
        refused: told of each instance that was not taken.
        refuse_programs: whether files that begin as a program does are not taken; else they are
            without that beginning.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        intake: Intake,
        ledger: Ledger,
        clock: Clock,
        partition: str,
        refused: Callable[[Refusal], None],
        refuse_programs: bool = False,
    ) -> None:
        self.spool = spool
        self.intake = intake
        self.ledger = ledger
        self.clock = clock
        self.partition = partition
        self.refused = refused
        self.refuse_programs = refuse_programs
        self.arrivals = Arrivals()
        self._open_receptions = 0
        self._last_byte_s = float("-inf")
        self.landed = 0  # instances since the start

    def conversation(self, origin: Origin) -> "Conversation":
        """Begin an association or request; close it with `Conversation.close`."""
        return Conversation(self, origin)

    def busy(self) -> bool:
        """Whether an instance is arriving now or one arrived within the last half second."""
        return self._open_receptions > 0 or self.clock.monotonic_s() - self._last_byte_s < BUSY_S

    def opened(self) -> None:
        self._open_receptions += 1

    def closed(self) -> None:
        self._open_receptions -= 1
        self._last_byte_s = self.clock.monotonic_s()


@dataclass(slots=True)
class Conversation:
    """One association or request, and what it brought by study."""

    receiver: Receiver
    origin: Origin
    studies: dict[str, StudyTally] = field(default_factory=dict)

    def begin(
        self,
        *,
        sop_class_uid: str | None,
        sop_instance_uid: str | None,
        transfer_syntax_uid: str,
        head: bytes = b"",
    ) -> "Reception":
        """Begin one instance.

        Args:
            sop_class_uid, sop_instance_uid: what the command or the file meta announced; None
                where nothing was. The data set must agree.
            head: all that precedes the data set in its file: preamble, prefix and file meta
                information; b"" where there is no file.

        Raises:
            SpaceError: the disk is under its reserve; nothing was begun.
            BacklogError: the catalog does not keep up; nothing was begun.
            PreambleError: the file begins as a program does; nothing was begun.
        """
        program = program_in(head[:PREAMBLE_BYTES])
        try:
            if program is not None and self.receiver.refuse_programs:
                raise PreambleError(f"the file begins as {program} does")
            self._refuse_backlog()
            landing = self.receiver.spool.landing()
        except FileroomError as error:
            self.refused(reason_of(error))
            raise
        announced = (sop_class_uid, sop_instance_uid)
        return Reception(self, landing, announced, transfer_syntax_uid, head, program)

    def refuse_without_room(self, size_bytes: int) -> None:
        """Raise before instances of that size are sent, where they could not be taken.

        Raises:
            SpaceError: they would leave less than the reserve free.
            BacklogError: the catalog does not keep up.
        """
        try:
            self._refuse_backlog()
            self.receiver.spool.refuse_without_room(size_bytes)
        except FileroomError as error:
            self.refused(reason_of(error))
            raise

    def aside(self) -> Aside:
        """Room for values that come before their place in a data set; close it."""
        return self.receiver.spool.aside()

    def _refuse_backlog(self) -> None:
        if self.receiver.intake.full:
            raise BacklogError("the catalog does not keep up with what arrives")

    def refused(self, reason: str, *, action: str = Action.STORE) -> None:
        """Have it recorded that an instance was not taken. What `begin` and `Reception.finish`
        raise is recorded by them; a door calls this for reasons of its own."""
        origin = self.origin
        principal = of_address(origin.address, ae_title=origin.calling_ae_title or None)
        self.receiver.refused(Refusal(principal, action, origin.channel, reason))

    async def close(self) -> None:
        """Write one `received` event for each study of this conversation."""
        self.receiver.arrivals.ended(self.origin.conversation)
        for study_instance_uid, tally in self.studies.items():
            told = event.Received(
                study_instance_uid=study_instance_uid,
                instances=tally.instances,
                size_bytes=tally.size_bytes,
                calling_ae_title=self.origin.calling_ae_title,
                address=self.origin.address,
                channel=self.origin.channel,
                conversation=self.origin.conversation,
            )
            await self.receiver.ledger.append(event.kind(told), event.body(told))
        self.studies.clear()


class Reception:
    """One instance on its way in. Write all of its data set, then `finish`; or `abandon`.

    A data set that turns out to be unreadable is not interrupted: its further bytes are
    dropped, and `finish` raises, so that the door can drain the peer and go on.
    """

    def __init__(
        self,
        conversation: Conversation,
        landing: Landing,
        announced: tuple[str | None, str | None],
        transfer_syntax_uid: str,
        head: bytes,
        program: str | None,
    ) -> None:
        self._conversation = conversation
        self._receiver = conversation.receiver
        self._landing = landing
        self._announced = announced
        self._transfer_syntax_uid = transfer_syntax_uid
        self._head = head
        self._program = program  # that the file is, too
        self._failure: FileroomError | None = None
        self._scanner: HeaderScanner | None = HeaderScanner(transfer_syntax_uid)
        self._ended = False
        if not uid.is_safe(transfer_syntax_uid):
            # It will stand in file meta information and in the header fields of answers.
            length = len(transfer_syntax_uid)
            self._fail(TransferSyntaxError(f"a transfer syntax of {length} characters is no UID"))
        self._receiver.opened()

    @property
    def full(self) -> bool:
        """Whether the door should stop reading until `ready` returns."""
        return self._failure is None and self._landing.full

    async def ready(self) -> None:
        """Return once there is room for more bytes."""
        if self._failure is None:
            await self._landing.ready()

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the data set; `data` may be reused as soon as this returns."""
        if self._failure is not None:
            return
        try:
            if self._scanner is not None and self._scanner.feed(data):
                self._take_header()
            self._landing.write(data)
        except FileroomError as error:
            self._fail(error)

    async def finish(self) -> Received:
        """Make the instance durable and ours.

        Raises:
            InstanceError: the data set cannot be read as far as its identity needs, says less
                than that, or came in what is no transfer syntax.
            MismatchError: it is not the instance that was announced.
            SopClassError: it is of no class that is stored.
            SpaceError, SpoolError: it could not be kept; the peer may send it again.
        """
        try:
            return await self._finish()
        except FileroomError as error:
            self._conversation.refused(reason_of(error))
            raise
        finally:
            self.abandon()

    async def _finish(self) -> Received:
        if self._failure is None and self._scanner is not None:
            try:
                self._take_header()
            except FileroomError as error:
                self._fail(error)
        if self._failure is not None:
            raise self._failure
        header, preamble = self._header, self._head[:PREAMBLE_BYTES]
        received_at_ns = self._receiver.clock.wall_ns()
        description = Description(
            partition=self._receiver.partition,
            header=header,
            transfer_syntax_uid=self._transfer_syntax_uid,
            preamble=preamble if any(preamble) else b"",
            origin=self._conversation.origin,
            received_at_ns=received_at_ns,
            file_head=tiff_head(
                self._head,
                sop_class_uid=header.sop_class_uid,
                sop_instance_uid=header.sop_instance_uid,
                transfer_syntax_uid=self._transfer_syntax_uid,
            ),
        )
        # Commit point. A crash before this returns leaves an unacknowledged record that the next
        # start drops or keeps whole; after it the instance is ours and the peer may be told so.
        # The catalog row below is replayed from the record if it is lost.
        spooled = await self._landing.commit(description)
        self._ended = True
        self._receiver.closed()
        self._receiver.landed += 1
        if self._program is not None:
            reason = f"the file begins as {self._program} does"
            self._conversation.refused(reason, action=SERVE_PREAMBLE)
        self._receiver.intake.add(
            NewSpooled(
                segment=spooled.place.segment,
                offset=spooled.place.offset,
                partition=self._receiver.partition,
                header=header,
                size_bytes=spooled.size_bytes,
                sha256=spooled.sha256,
                received_at_ns=received_at_ns,
            )
        )
        self._receiver.arrivals.came(header, self._conversation.origin, received_at_ns)
        tally = self._conversation.studies.setdefault(header.study_instance_uid, StudyTally())
        tally.instances += 1
        tally.size_bytes += spooled.size_bytes
        return Received(
            header.sop_class_uid,
            header.sop_instance_uid,
            header.study_instance_uid,
            header.series_instance_uid,
            spooled.size_bytes,
        )

    def abandon(self) -> None:
        """Give the instance up; nothing of it stays. Once finished, this does nothing."""
        if not self._ended:
            self._ended = True
            self._landing.abandon()
            self._receiver.closed()

    def _take_header(self) -> None:
        assert self._scanner is not None
        header = self._scanner.finish()
        self._scanner = None
        refuse_mismatch(header, *self._announced)
        if uid.is_of_another_service(header.sop_class_uid):
            raise SopClassError("the SOP class is one of another service than storage")
        self._header: Header = header

    def _fail(self, error: FileroomError) -> None:
        self._failure = error
        self._scanner = None
        self._landing.abandon()


def refuse_mismatch(
    header: Header, sop_class_uid: str | None, sop_instance_uid: str | None
) -> None:
    """Raise MismatchError where the data set names another instance than was announced."""
    if sop_class_uid is not None and sop_class_uid != header.sop_class_uid:
        raise MismatchError("SOPClassUID of the data set is not the one announced")
    if sop_instance_uid is not None and sop_instance_uid != header.sop_instance_uid:
        raise MismatchError("SOPInstanceUID of the data set is not the one announced")

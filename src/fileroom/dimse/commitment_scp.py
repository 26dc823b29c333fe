"""N-ACTION of storage commitment: a request is read, made ours, and reported at once if it can be.

PS3.4 §J.3.2 and PS3.7 §10.1.4. What the peer is answered says only that its request is taken; what
came of it is told by N-EVENT-REPORT.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from fileroom.dicom import uid
from fileroom.dicom.commitment import Request, Result, TooManyReferencesError, read_request
from fileroom.dicom.instance_error import InstanceError
from fileroom.dimse.operation import Answer, GoneError, Operation, Refused, Talk
from fileroom.dimse.receiving import Buffer
from fileroom.errors import FileroomError, TransientError, UncertainError
from fileroom.ingest.promise import TransactionInUseError
from fileroom.peer.commitment import event_report
from fileroom.spool.record import Origin
from fileroom.wire.message import Command
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.sop_class import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from fileroom.wire.status import Status

REQUEST_STORAGE_COMMITMENT = 1  # Action Type ID (PS3.4 §J.3.2.1.1)
SIZE_BYTES_MAX = 64 << 20  # of one request; 200,000 references take about 32 MiB
HELD_BYTES_MAX = 128 << 20  # of all requests that are being read
ANSWER_S = 60.0  # for a peer to take a report; afterwards it is told over a new association

# From errors to PS3.7 Annex C; the first row that fits counts.
FAILURES: tuple[tuple[type[FileroomError], Status], ...] = (
    (TooManyReferencesError, Status.RESOURCE_LIMITATION),
    (InstanceError, Status.INVALID_ARGUMENT_VALUE),
    (TransactionInUseError, Status.INVALID_ARGUMENT_VALUE),
    (TransientError, Status.RESOURCE_LIMITATION),
    (UncertainError, Status.RESOURCE_LIMITATION),
)


class Way(Protocol):
    """The association that asked (ingest.report)."""

    @property
    def is_open(self) -> bool: ...

    async def tell(self, result: Result) -> int: ...


class Promises(Protocol):
    """Takes requests (ingest.promise)."""

    async def ask(self, request: Request, *, ae_title: str, address: str) -> None:
        """Return when the request is durable and ours: only then is success answered."""
        ...


class Reports(Protocol):
    """Tells peers (ingest.report)."""

    def offer(self, ae_title: str, transaction_uid: str, way: Way) -> None: ...


class CommitmentDesk:
    """Where a node's associations bring their requests.

    Invariant: all requests that are being read hold at most HELD_BYTES_MAX.
    """

    def __init__(self, promises: Promises, reports: Reports) -> None:
        self.promises = promises
        self.reports = reports
        self._held_bytes = 0

    def take(self, size_bytes: int) -> bool:
        """Whether there is room for so many bytes more, which are then taken."""
        if self._held_bytes + size_bytes > HELD_BYTES_MAX:
            return False
        self._held_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        self._held_bytes -= size_bytes


class Commitment:
    """One N-ACTION until it is answered."""

    full = False

    def __init__(
        self, command: Command, context: AcceptedContext, desk: CommitmentDesk, origin: Origin
    ) -> None:
        self.command = command
        self.answer: Answer | None = None
        self._context = context
        self._desk = desk
        self._origin = origin
        self._data = bytearray()

    async def ready(self) -> None: ...

    def write(self, data: Buffer) -> None:
        if self.answer is not None:
            return
        if len(self._data) + len(data) > SIZE_BYTES_MAX or not self._desk.take(len(data)):
            self._refuse(Status.RESOURCE_LIMITATION, "the request is too large")
        else:
            self._data += data

    async def perform(self, talk: Talk) -> Answer:
        """Make the request ours, now that its data set has come to its end."""
        ae_title = self._origin.calling_ae_title
        try:
            request = await asyncio.to_thread(
                lambda: read_request(bytes(self._data), self._context.transfer_syntax)
            )
            self.abandon()
            # Commit point: inside `ask`. Only after its return may success be answered.
            await self._desk.promises.ask(request, ae_title=ae_title, address=self._origin.address)
        except FileroomError as error:
            self._refuse(status_of(error), str(error))
            assert self.answer is not None
            return self.answer
        # Nothing is awaited between this and the answer, so that no report overtakes it.
        way = AskingAssociation(talk, self._context)
        self._desk.reports.offer(ae_title, request.transaction_uid, way)
        return Answer(Status.SUCCESS, elements={"ActionTypeID": REQUEST_STORAGE_COMMITMENT})

    def cancel(self) -> None:
        """N-ACTION cannot be cancelled (PS3.7 §9.3.2.3); what was taken stays."""

    def abandon(self) -> None:
        """Let go of the data set."""
        self._desk.give_back(len(self._data))
        self._data = bytearray()

    def _refuse(self, status: Status, comment: str) -> None:
        self.answer = Answer(status, comment)
        self.abandon()


class AskingAssociation:
    """The association in which a commitment was asked for, as a way to tell of it."""

    def __init__(self, talk: Talk, context: AcceptedContext, *, answer_s: float = ANSWER_S) -> None:
        self._talk = talk
        self._context = context
        self._answer_s = answer_s

    @property
    def is_open(self) -> bool:
        return self._talk.is_open

    async def tell(self, result: Result) -> int:
        """Send the report and return the status of the answer. Raises GoneError."""
        context = self._context
        data_set = _pieces(result, context.transfer_syntax)
        try:
            async with asyncio.timeout(self._answer_s):
                answer = await self._talk.ask(context.context_id, event_report(result), data_set)
        except TimeoutError as error:
            # One that goes on talking is not silent, so nothing else ends this.
            raise GoneError(f"no answer to a report came in {self._answer_s:g} s") from error
        return answer.number("Status")


def begin(
    command: Command, context: AcceptedContext, desk: CommitmentDesk, origin: Origin
) -> Operation:
    """Begin an N-ACTION."""
    instance = command.text("RequestedSOPInstanceUID")
    if command.text("RequestedSOPClassUID") != STORAGE_COMMITMENT:
        comment = "the SOP class is not that of the presentation context"
        return Refused(command, Status.NO_SUCH_SOP_CLASS, comment)
    if not uid.is_safe(instance):
        comment = f"an instance UID of {len(instance)} characters is none"
        return Refused(command, Status.INVALID_SOP_INSTANCE, comment)
    if instance != STORAGE_COMMITMENT_INSTANCE:
        comment = "storage commitment is asked of its well-known instance"
        return Refused(command, Status.NO_SUCH_SOP_INSTANCE, comment)
    if command.number("ActionTypeID") != REQUEST_STORAGE_COMMITMENT:
        comment = f"there is no action {command.number('ActionTypeID')}"
        return Refused(command, Status.NO_SUCH_ACTION, comment)
    if not command.has_data_set:
        return Refused(command, Status.INVALID_ARGUMENT_VALUE, "no data set follows")
    return Commitment(command, context, desk, origin)


def status_of(error: FileroomError) -> Status:
    """The status that tells a peer what this error means for its request."""
    fitting = (status for kind, status in FAILURES if isinstance(error, kind))
    return next(fitting, Status.PROCESSING_FAILURE)


async def _pieces(result: Result, transfer_syntax_uid: str) -> AsyncIterator[Buffer]:
    for piece in result.data_set(transfer_syntax_uid):
        yield piece

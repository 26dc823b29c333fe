"""C-STORE: a command and its data set become a durable instance, or a status that says why not.

PS3.4 §B.2 and PS3.7 §9.1.1. An instance that is refused is still read to the end of its data
set: the association lives on, and the next instance is another matter.
"""

from fileroom.dicom import uid
from fileroom.dicom.instance_error import InstanceError
from fileroom.dimse.receiving import Buffer, Conversation, Reception
from fileroom.errors import FileroomError, PeerError, RefusedError, TransientError, UncertainError
from fileroom.ingest.receive import MismatchError
from fileroom.spool.failure import InstanceTooLargeError, SpaceError
from fileroom.wire.message import Command
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.status import Status

# From errors to PS3.4 Table B.2-1 and PS3.7 Annex C; the first row that fits counts. What may work
# later is A7xx: senders keep such an instance and try again.
FAILURES: tuple[tuple[type[FileroomError], Status], ...] = (
    (SpaceError, Status.OUT_OF_RESOURCES),
    (InstanceTooLargeError, Status.OUT_OF_RESOURCES),
    (MismatchError, Status.DATA_SET_DOES_NOT_MATCH_SOP_CLASS),
    (InstanceError, Status.CANNOT_UNDERSTAND),
    (PeerError, Status.CANNOT_UNDERSTAND),
    (TransientError, Status.OUT_OF_RESOURCES),
    (UncertainError, Status.OUT_OF_RESOURCES),
    (RefusedError, Status.PROCESSING_FAILURE),
)


def status_of(error: FileroomError) -> Status:
    """The status that tells a sender what this error means for its instance."""
    fitting = (status for kind, status in FAILURES if isinstance(error, kind))
    return next(fitting, Status.PROCESSING_FAILURE)


class Operation:
    """One request of a peer until it is answered.

    Where there is no reception its data set, if one follows, is read and dropped.

    Attributes:
        status, comment: the answer, once `conclude` has returned.
        size_bytes: of the data set so far.
    """

    __slots__ = ("command", "comment", "reception", "size_bytes", "status")

    def __init__(self, command: Command, status: Status, comment: str = "") -> None:
        self.command = command
        self.status = status
        self.comment = comment
        self.reception: Reception | None = None
        self.size_bytes = 0

    @property
    def full(self) -> bool:
        """Whether to stop reading until `ready` returns."""
        return self.reception is not None and self.reception.full

    async def ready(self) -> None:
        """Return once there is room for more bytes."""
        if self.reception is not None:
            try:
                await self.reception.ready()
            except FileroomError as error:
                self._refuse(error)

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the data set."""
        self.size_bytes += len(data)
        if self.reception is not None:
            try:
                self.reception.write(data)
            except FileroomError as error:
                self._refuse(error)

    async def conclude(self) -> None:
        """Settle the status when the data set has come to its end."""
        if self.reception is None:
            return
        try:
            # Commit point: inside `finish`. Only after its return may success be answered.
            await self.reception.finish()
        except FileroomError as error:
            self._refuse(error)
        else:
            self.status = Status.SUCCESS

    def abandon(self) -> None:
        """Give the instance up, if it is not ours yet."""
        if self.reception is not None:
            self.reception.abandon()
            self.reception = None

    def _refuse(self, error: FileroomError) -> None:
        self.status, self.comment = status_of(error), str(error)
        self.abandon()


def begin(command: Command, context: AcceptedContext, conversation: Conversation) -> Operation:
    """Begin a C-STORE. One that is refused already is an operation without a reception."""
    sop_class_uid = command.text("AffectedSOPClassUID")
    sop_instance_uid = command.text("AffectedSOPInstanceUID")
    if not command.has_data_set:
        return Operation(command, Status.MISTYPED_ARGUMENT, "no data set follows")
    if sop_class_uid != context.abstract_syntax:
        comment = "the SOP class is not that of the presentation context"
        return Operation(command, Status.SOP_CLASS_NOT_SUPPORTED, comment)
    if not uid.is_safe(sop_instance_uid):
        comment = f"an instance UID of {len(sop_instance_uid)} characters is none"
        return Operation(command, Status.INVALID_SOP_INSTANCE, comment)
    operation = Operation(command, Status.PROCESSING_FAILURE)
    try:
        operation.reception = conversation.begin(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax,
        )
    except FileroomError as error:
        operation.status, operation.comment = status_of(error), str(error)
    return operation

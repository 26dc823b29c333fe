"""C-STORE: a command and its data set become a durable instance, or a status that says why not.

PS3.4 §B.2 and PS3.7 §9.1.1. An instance that is refused is still read to the end of its data
set: the association lives on, and the next instance is another matter.
"""

from fileroom.dicom import uid
from fileroom.dicom.instance_error import InstanceError
from fileroom.dimse.operation import Answer, Refused, Talk
from fileroom.dimse.receiving import Buffer, Conversation, Reception
from fileroom.errors import FileroomError, PeerError, RefusedError, TransientError, UncertainError
from fileroom.ingest.receive import MismatchError
from fileroom.spool.failure import InstanceTooLargeError, SpaceError
from fileroom.wire.message import Command
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.status import Status

SUCCESS = Answer(Status.SUCCESS)
# What this door refuses by itself; the ledger has it in these words.
WITHOUT_DATA_SET = "no data set follows"
OTHER_SOP_CLASS = "the SOP class is not that of the presentation context"
WITHOUT_UID = "what was announced has no UID"
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


class Store:
    """One C-STORE until it is answered.

    Attributes:
        answer: set as soon as the instance is refused; what still comes of it is dropped.
        size_bytes: of the data set so far.
    """

    __slots__ = ("_reception", "answer", "command", "size_bytes")

    def __init__(self, command: Command, reception: Reception) -> None:
        self.command = command
        self.answer: Answer | None = None
        self._reception: Reception | None = reception
        self.size_bytes = 0

    @property
    def full(self) -> bool:
        """Whether to stop reading until `ready` returns."""
        return self._reception is not None and self._reception.full

    async def ready(self) -> None:
        """Return once there is room for more bytes."""
        if self._reception is not None:
            try:
                await self._reception.ready()
            except FileroomError as error:
                self._refuse(error)

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the data set."""
        self.size_bytes += len(data)
        if self._reception is not None:
            try:
                self._reception.write(data)
            except FileroomError as error:
                self._refuse(error)

    async def perform(self, talk: Talk) -> Answer:
        """Make the instance ours, now that its data set has come to its end."""
        if self._reception is not None:
            try:
                # Commit point: inside `finish`. Only after its return may success be answered.
                await self._reception.finish()
            except FileroomError as error:
                self._refuse(error)
        return self.answer or SUCCESS

    def cancel(self) -> None:
        """C-STORE cannot be cancelled (PS3.7 §9.3.2.3); a complete instance stays."""

    def abandon(self) -> None:
        """Give the instance up, if it is not ours yet."""
        if self._reception is not None:
            self._reception.abandon()
            self._reception = None

    def _refuse(self, error: FileroomError) -> None:
        self.answer = Answer(status_of(error), str(error))
        self.abandon()


def begin(
    command: Command, context: AcceptedContext, conversation: Conversation
) -> Store | Refused:
    """Begin a C-STORE, or refuse it and have that recorded."""
    sop_class_uid = command.text("AffectedSOPClassUID")
    sop_instance_uid = command.text("AffectedSOPInstanceUID")
    if not command.has_data_set:
        conversation.refused(WITHOUT_DATA_SET)
        return Refused(command, Status.MISTYPED_ARGUMENT, WITHOUT_DATA_SET)
    if sop_class_uid != context.abstract_syntax:
        conversation.refused(OTHER_SOP_CLASS)
        return Refused(command, Status.SOP_CLASS_NOT_SUPPORTED, OTHER_SOP_CLASS)
    if not uid.is_safe(sop_instance_uid):
        conversation.refused(WITHOUT_UID)
        comment = f"an instance UID of {len(sop_instance_uid)} characters is none"
        return Refused(command, Status.INVALID_SOP_INSTANCE, comment)
    try:
        reception = conversation.begin(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=context.transfer_syntax,
        )
    except FileroomError as error:
        return Refused(command, status_of(error), str(error))
    return Store(command, reception)

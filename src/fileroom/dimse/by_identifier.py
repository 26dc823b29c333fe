"""What C-FIND, C-GET and C-MOVE share: the identifier they begin with, and how they are refused."""

from fileroom.dicom import identifier
from fileroom.dicom.identifier import SIZE_BYTES_MAX, Identifier, IdentifierError
from fileroom.dimse.operation import Answer, Refused
from fileroom.dimse.query_keys import MismatchedIdentifierError
from fileroom.dimse.receiving import Buffer
from fileroom.errors import FileroomError
from fileroom.wire.message import Command
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.status import Status

Failures = tuple[tuple[type[FileroomError], Status], ...]


class ByIdentifier:
    """The part of such an operation that takes its identifier in."""

    full = False

    def __init__(self, command: Command, context: AcceptedContext) -> None:
        self.command = command
        self.answer: Answer | None = None
        self._context = context
        self._data = bytearray()

    async def ready(self) -> None:
        """There is always room: what is too large is not kept."""

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the identifier."""
        # One byte more than may be is enough to know.
        self._data += data[: SIZE_BYTES_MAX + 1 - len(self._data)]

    def abandon(self) -> None:
        """Forget the identifier."""
        self._data.clear()

    def _asked(self) -> Identifier:
        """What it says. Raises IdentifierError."""
        return identifier.decode(bytes(self._data), self._context.transfer_syntax)


def refused(command: Command, context: AcceptedContext) -> Refused | None:
    """The answer to a command that cannot be what its context is for; None where it can."""
    if not command.has_data_set:
        return Refused(command, Status.IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS, "no identifier follows")
    if command.text("AffectedSOPClassUID") != context.abstract_syntax:
        comment = "the SOP class is not that of the presentation context"
        return Refused(command, Status.SOP_CLASS_NOT_SUPPORTED, comment)
    return None


def failure(error: FileroomError, failures: Failures) -> Answer:
    """The last answer where nothing comes of it.

    Args:
        failures: from errors to the service's statuses; the first row that fits counts.
    """
    fitting = (status for kind, status in failures if isinstance(error, kind))
    tags: tuple[int, ...] = ()
    if isinstance(error, MismatchedIdentifierError):
        tags = error.tags
    elif isinstance(error, IdentifierError) and error.tag is not None:
        tags = (error.tag,)
    return Answer(
        next(fitting, Status.UNABLE_TO_PROCESS),
        str(error),
        elements={"OffendingElement": tags or None},
    )

"""What a peer's status means for what we asked of it."""

from fileroom.errors import RefusedError
from fileroom.wire import message
from fileroom.wire.message import Command
from fileroom.wire.status import Outcome, outcome


class FailedStatusError(RefusedError):
    """The peer answered with a failure.

    Attributes:
        status: its code (PS3.7 Annex C).
    """

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


def refuse_failure(answer: Command) -> None:
    """Raise FailedStatusError unless the status of `answer` is success or a warning."""
    status = answer.number("Status")
    if outcome(status) not in (Outcome.SUCCESS, Outcome.WARNING):
        raise FailedStatusError(f"the peer answered {message.status_text(status)}", status=status)

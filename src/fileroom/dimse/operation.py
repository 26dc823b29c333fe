"""What a service makes of one request, and what it may use of the association meanwhile."""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol

from fileroom.dimse.receiving import Buffer
from fileroom.errors import PeerError
from fileroom.wire.message import Command, Value
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.status import Status


class GoneError(PeerError):
    """The association ended while something was to be sent or awaited in it."""


class Answer(NamedTuple):
    """A response.

    Attributes:
        comment: why, where it is no success. Never a patient's value.
        elements: of the command set, beside those that every response has.
        data_set: encoded in the transfer syntax of the request's context.
    """

    status: int
    comment: str = ""
    elements: Mapping[str, Value | None] = {}
    data_set: bytes | None = None


class Talk(Protocol):
    """The association, as an operation that is under way sees it."""

    @property
    def name(self) -> str:
        """What the log calls it."""
        ...

    @property
    def contexts(self) -> Mapping[int, AcceptedContext]:
        """The accepted presentation contexts by ID."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        ...

    async def respond(self, request: Command, answer: Answer) -> None:
        """Send a response that is not the last. Raises GoneError."""
        ...

    async def ask(
        self,
        context_id: int,
        elements: Mapping[str, Value | None],
        data_set: AsyncIterator[Buffer] | None = None,
    ) -> Command:
        """Send a request of our own, its Message ID filled in, and return the peer's response.

        Requests go out one after another. Where `data_set` fails at its first piece nothing is
        sent; in the middle the association is aborted, since half a message cannot be taken back.

        Raises:
            GoneError: the association ended before the response came.
            what `data_set` raises.
        """
        ...


class Operation(Protocol):
    """One request of a peer until it is answered.

    Its data set, if one follows, is written as it arrives; then `perform` gives the last answer.
    """

    @property
    def command(self) -> Command: ...

    @property
    def answer(self) -> Answer | None:
        """The answer, where it stands without `perform`."""
        ...

    @property
    def full(self) -> bool:
        """Whether to stop reading until `ready` returns."""
        ...

    async def ready(self) -> None:
        """Return once there is room for more bytes."""
        ...

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the data set; `data` may be reused when this returns."""
        ...

    async def perform(self, talk: Talk) -> Answer:
        """Do what is asked for. Raises GoneError where the peer has left."""
        ...

    def cancel(self) -> None:
        """The peer wants no more of it (C-CANCEL), or has left. May be called at any time."""
        ...

    def abandon(self) -> None:
        """Its data set will not come to its end."""
        ...


class Settled:
    """A request whose answer stands; its data set, if one follows, is read and dropped."""

    full = False

    def __init__(self, command: Command, answer: Answer) -> None:
        self.command = command
        self.answer: Answer | None = answer

    async def ready(self) -> None: ...

    def write(self, data: Buffer) -> None: ...

    async def perform(self, talk: Talk) -> Answer:
        assert self.answer is not None
        return self.answer

    def cancel(self) -> None: ...

    def abandon(self) -> None: ...


class Refused(Settled):
    """A request that is answered by no."""

    def __init__(self, command: Command, status: Status, comment: str = "") -> None:
        super().__init__(command, Answer(status, comment))

"""How C-STORE sub-operations reach their peer: in the association that asked (C-GET), or in one of
ours with another application (C-MOVE)."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from fileroom.clock import Clock
from fileroom.dimse.operation import Talk
from fileroom.dimse.receiving import Buffer
from fileroom.errors import FileroomError, PeerError, TransientError
from fileroom.peer.association import UnreachableError
from fileroom.peer.delivery import Delivery, Destination, Kind
from fileroom.retrieve.transcode import Stored
from fileroom.wire.message import Value
from fileroom.wire.presentation import AcceptedContext

BREAKS_MAX = 3  # one behind another, after which a destination is given up

Elements = Mapping[str, Value | None]


class Transcoder(Protocol):
    """Gives data sets as a peer takes them (retrieve.transcode)."""

    async def opened(self, instance: Stored, transfer_syntax_uid: str) -> AsyncIterator[Buffer]:
        """The data set, checked so far that only reading can fail once it has begun."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What a node gives this door to send instances with.

    Attributes:
        destination: the peer with an AE title, as it is configured now; None: there is none.
    """

    transcoder: Transcoder
    destination: Callable[[str], Destination | None]
    clock: Clock


class Sender(Protocol):
    """Where the instances of one retrieve go.

    Attributes:
        interruptible: whether an instance that is on its way can be given up.
    """

    interruptible: bool

    @property
    def contexts(self) -> Collection[AcceptedContext]:
        """Those in which instances can be sent."""
        ...

    async def prepare(self, kinds: Collection[Kind]) -> None:
        """Get ready to send instances of these kinds. Raises an error where none can be sent."""
        ...

    async def store(
        self, context: AcceptedContext, elements: Elements, data_set: AsyncIterator[Buffer]
    ) -> int:
        """Send an instance and return the peer's status. Raises what the peer or `data_set` makes
        of it."""
        ...

    async def end(self) -> None:
        """Nothing more is sent."""
        ...


class ToTheRequestor:
    """Sends in the association that asked, where the requestor took the SCP role (PS3.4 §C.4.3)."""

    interruptible = False  # half a message cannot be taken back, and the answer comes behind it

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.contexts = [each for each in talk.contexts.values() if each.requestor_is_scp]

    async def prepare(self, kinds: Collection[Kind]) -> None:
        """All has been negotiated."""

    async def store(
        self, context: AcceptedContext, elements: Elements, data_set: AsyncIterator[Buffer]
    ) -> int:
        answer = await self._talk.ask(context.context_id, elements, data_set)
        return answer.number("Status")

    async def end(self) -> None: ...


class ToADestination:
    """Sends to a destination. One that cannot be reached, or breaks off time and again, is given
    up: what is left fails at once, and not each after a timeout of its own."""

    interruptible = True

    def __init__(self, destination: Destination, *, calling: str) -> None:
        self._delivery = Delivery(destination, calling=calling)
        self._breaks = 0
        self._given_up: FileroomError | None = None

    @property
    def contexts(self) -> Collection[AcceptedContext]:
        return self._delivery.contexts

    async def prepare(self, kinds: Collection[Kind]) -> None:
        if self._given_up is None:
            try:
                await self._delivery.propose(kinds)
            except FileroomError as error:
                self._given_up = error
        if self._given_up is not None:
            raise DestinationError(f"the destination: {self._given_up}")

    async def store(
        self, context: AcceptedContext, elements: Elements, data_set: AsyncIterator[Buffer]
    ) -> int:
        try:
            status = await self._delivery.store(context, elements, data_set)
        except (UnreachableError, PeerError) as error:
            self._breaks += 1
            if self._breaks == BREAKS_MAX or isinstance(error, UnreachableError):
                self._given_up = error
            raise
        self._breaks = 0
        return status

    async def end(self) -> None:
        await self._delivery.end()


class DestinationError(TransientError):
    """The destination of a C-MOVE takes nothing now."""

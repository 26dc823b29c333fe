"""What an association needs of the server that it belongs to."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

from fileroom.access.identity import Principal
from fileroom.clock import Clock
from fileroom.dimse.admission import Caller, Decide, Refusal
from fileroom.dimse.limits import Limits
from fileroom.dimse.provision import Provision
from fileroom.dimse.receiving import Receiver


class Connection(Protocol):
    """What the server needs of a connection."""

    @property
    def address(self) -> str:
        """Where the peer calls from."""
        ...

    @property
    def principal(self) -> Principal | None:
        """Whose association it is, once it was accepted and counts against the limits."""
        ...

    def tick(self, now_s: float) -> None:
        """Look at the timers; called every second or so."""
        ...

    def drain(self) -> None:
        """Finish what is in flight, then end."""
        ...

    def cut(self) -> None:
        """End at once."""
        ...


class Door(Protocol):
    """The server, as its connections see it."""

    limits: Limits
    ae_titles: frozenset[str]
    receiver: Receiver
    provision: Callable[[], Provision]
    decide: Decide
    clock: Clock
    stopping: bool

    def identify(self, caller: Caller) -> Principal:
        """Who `caller` is."""
        ...

    def is_full(self, principal: Principal) -> bool:
        """Whether one more association of `principal` would be too many."""
        ...

    def joined(self, connection: Connection) -> bool:
        """Know a new connection, or return False: there are too many that have not asked."""
        ...

    def left(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        ...

    def refused(self, refusal: Refusal) -> None:
        """Pass on that a caller was turned away."""
        ...

    def keep(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` beside, and wait for it when stopping."""
        ...

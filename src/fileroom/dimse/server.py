"""The DICOM listener: takes connections, looks after their timers, ends them in order.

    server = DimseServer("127.0.0.1", 11112, ae_titles={"FILEROOM"}, receiver=..., ...)
    await server.start()
    await server.stop(drain_s=10)

Memory: `Limits`. Every association is served on the event loop's thread.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable

from fileroom.access import identity
from fileroom.access.identity import Principal
from fileroom.clock import Clock
from fileroom.dimse.admission import Caller, Decide, Refusal
from fileroom.dimse.association import ServedAssociation
from fileroom.dimse.door import Connection
from fileroom.dimse.limits import Limits
from fileroom.dimse.provision import Provision
from fileroom.dimse.receiving import Receiver
from fileroom.dimse.services import SERVICES, Service
from fileroom.wire import ae_title

__all__ = ["SERVICES", "Caller", "DimseServer", "Limits", "Refusal", "Service"]

LOG = logging.getLogger("fileroom.dimse")
TICK_S = 1.0
BACKLOG = 128


def by_address(caller: Caller) -> Principal:
    """The principal of a caller that proves nothing but where it calls from."""
    return identity.of_address(caller.address, ae_title=caller.calling_ae_title)


class DimseServer:
    """The DICOM door of one node.

    Attributes:
        limits: may be replaced while it runs; open associations keep what was negotiated.
        ae_titles: may be replaced too.
        provision: what the node lets us read now. Raises TransientError where that is nothing.
        stopping: whether new associations are turned away because the node ends.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ae_titles: Iterable[str],
        receiver: Receiver,
        provision: Callable[[], Provision],
        decide: Decide,
        clock: Clock,
        limits: Limits,
        on_refused: Callable[[Refusal], None],
        identify: Callable[[Caller], Principal] = by_address,
    ) -> None:
        self.ae_titles = frozenset(ae_titles)
        assert self.ae_titles
        assert all(map(ae_title.is_valid, self.ae_titles))
        self.receiver = receiver
        self.provision = provision
        self.decide = decide
        self.clock = clock
        self.limits = limits
        self.stopping = False
        self._address = (host, port)
        self._on_refused = on_refused
        self._identify = identify
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._all_left = asyncio.Event()
        self._all_left.set()

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        host, port = self._address
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: ServedAssociation(self), host, port, backlog=BACKLOG
        )
        self._ticker = loop.create_task(self._tick())

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def associations(self) -> int:
        """How many are open."""
        return len(self._principals())

    async def stop(self, drain_s: float) -> None:
        """Take no more; finish what is in flight for at most `drain_s`; then end the rest.

        Returns when every association has closed its conversation. An instance whose commit is
        under way is waited for: it may become ours although its sender is not told.
        """
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for each in tuple(self._connections):
            each.drain()
        left = asyncio.ensure_future(self._all_left.wait())
        over = asyncio.ensure_future(self.clock.sleep(drain_s))
        await asyncio.wait((left, over), return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        for each in tuple(self._connections):
            each.cut()
        await left
        if self._ticker is not None:
            self._ticker.cancel()
        tasks = [*self._tasks, *([self._ticker] if self._ticker else [])]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    # What an association calls

    def identify(self, caller: Caller) -> Principal:
        """Who `caller` is."""
        return self._identify(caller)

    def is_full(self, principal: Principal) -> bool:
        """Whether one more association of `principal` would be too many."""
        if self.associations >= self.limits.associations_max:
            return True
        its = sum(each.name == principal.name for each in self._principals())
        return its >= self.limits.associations_per_peer_max

    def _principals(self) -> list[Principal]:
        """Whose the open associations are."""
        return [each.principal for each in self._connections if each.principal is not None]

    def joined(self, connection: Connection) -> bool:
        """Know a new connection, or return False: there are too many that have not asked."""
        self._connections.add(connection)
        self._all_left.clear()
        waiting = len(self._connections) - self.associations
        if waiting <= self.limits.waiting_max:
            return True
        LOG.warning("connection from %s dropped: %d are waiting", connection.address, waiting - 1)
        return False

    def left(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_left.set()

    def refused(self, refusal: Refusal) -> None:
        """Pass on that a caller was turned away."""
        self._on_refused(refusal)

    def keep(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` beside, and wait for it when stopping."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _tick(self) -> None:
        while True:
            await self.clock.sleep(TICK_S)
            now_s = self.clock.monotonic_s()
            for each in tuple(self._connections):
                each.tick(now_s)

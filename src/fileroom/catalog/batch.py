"""Instances on their way from the event loop into the catalog, some milliseconds at a time."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from fileroom.catalog.errors import SpoolPlaceError
from fileroom.catalog.port import CatalogIntake
from fileroom.catalog.rows import NewSpooled, SpoolPlace
from fileroom.clock import Clock
from fileroom.errors import FileroomError, TransientError

BATCH_ROWS_MAX = 256
BATCH_WAIT_S = 0.02
WAITING_ROWS_MAX = 20_000
MISPLACED_MAX = 1000
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 5.0


class Intake:
    """Collects spooled instances and records them in batches, on a thread of its own.

    Rows that wait here are durable in the spool: a crash loses their place in line, and the next
    start records them from the spool. Belongs to one event loop and never blocks it.

    Attributes:
        failure: why rows are not being recorded just now; None while they are.
        misplaced: places whose row was not recorded, because the catalog has another instance
            there; the node says so in its status.
    """

    def __init__(self, catalog: CatalogIntake, *, node_id: str, clock: Clock) -> None:
        self._catalog = catalog
        self._node_id = node_id
        self._clock = clock
        self._waiting: deque[NewSpooled] = deque()
        self._added = 0
        self._recorded = 0
        self._settlers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._thread = ThreadPoolExecutor(1, "catalog-intake")
        self._worker: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self.failure: Exception | None = None
        self.misplaced: deque[SpoolPlace] = deque(maxlen=MISPLACED_MAX)

    @property
    def full(self) -> bool:
        """Whether so many rows wait that no new instance should be begun."""
        return len(self._waiting) >= WAITING_ROWS_MAX

    def add(self, row: NewSpooled) -> None:
        """Hand in an instance; a search finds it within some 20 ms, or once `settled` returns."""
        self._waiting.append(row)
        self._added += 1
        if len(self._waiting) >= BATCH_ROWS_MAX:
            self._hurry.set()
        stopped = self.failure is not None and not isinstance(self.failure, TransientError)
        if not stopped and (self._worker is None or self._worker.done()):
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def settled(self) -> None:
        """Return once every instance handed in before the call is found by a search.

        Raises:
            TransientError: the catalog does not take them just now; they stay in line.
            CatalogUnreadableError: it never will; a rebuilt one gets them from the spool.
        """
        if self._recorded == self._added:
            return
        if self.failure is not None:
            raise self.failure
        settler: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settlers.append((self._added, settler))
        self._hurry.set()
        await settler

    async def close(self) -> None:
        """Record what waits, if the catalog takes it, and end the thread."""
        if self.failure is None:
            with suppress(FileroomError):  # then the next start records it from the spool
                await self.settled()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        await asyncio.to_thread(self._thread.shutdown)

    async def _work(self) -> None:
        """Record until nothing waits or the catalog is past taking anything."""
        try:
            while self._waiting:
                await self._gather()
                size = min(len(self._waiting), BATCH_ROWS_MAX)
                await self._record([self._waiting[n] for n in range(size)])
                for _ in range(size):
                    self._waiting.popleft()
                self._advance(size)
        except FileroomError as error:
            self._fail(error)
        except Exception as error:
            self._fail(error)  # our mistake; nobody shall wait for ever because of it
            raise

    async def _gather(self) -> None:
        """Give further rows BATCH_WAIT_S to come, unless a batch is full or somebody waits."""
        if len(self._waiting) >= BATCH_ROWS_MAX or self._settlers:
            return
        self._hurry.clear()
        nap = asyncio.ensure_future(self._clock.sleep(BATCH_WAIT_S))
        woken = asyncio.ensure_future(self._hurry.wait())
        try:
            await asyncio.wait([nap, woken], return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            woken.cancel()

    async def _record(self, batch: list[NewSpooled]) -> None:
        """Record a batch, trying again for as long as the catalog says later."""
        retry_s = RETRY_FIRST_S
        record = partial(self._catalog.record_spooled, batch, node_id=self._node_id)
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, record)
            except TransientError as error:
                self._fail(error)
                await self._clock.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_MAX_S)
            except SpoolPlaceError:
                if len(batch) == 1:
                    self.misplaced.append(SpoolPlace(batch[0].segment, batch[0].offset))
                else:
                    for row in batch:
                        await self._record([row])
                return
            else:
                return

    def _advance(self, count: int) -> None:
        self.failure = None
        self._recorded += count
        while self._settlers and self._settlers[0][0] <= self._recorded:
            _, settler = self._settlers.popleft()
            if not settler.done():
                settler.set_result(None)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        for _, settler in self._settlers:
            if not settler.done():
                settler.set_exception(error)
        self._settlers.clear()

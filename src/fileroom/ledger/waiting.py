"""Records that wait for the disk, and those who wait for them: the line before group commit."""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from fileroom.errors import TransientError
from fileroom.ledger.record import Stored

SIZE_BYTES_MAX = 1 << 26
BATCH_RECORDS_MAX = 1024
BATCH_BYTES_MAX = 1 << 20  # a batch is closed when it has reached this


class LedgerWriteError(TransientError):
    """The event was not made durable, or too much waits already.

    It may still be in the log after a crash; every kind is written so that twice does no harm.
    """


class Waiting(NamedTuple):
    """A record, and the future of its index."""

    stored: Stored
    future: asyncio.Future[int]


class WaitingLine:
    """Filled from event loops, emptied by one thread, batch by batch.

    Invariant: every future is settled by `succeed` or `fail`, on its own loop.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self._changed = threading.Condition()
        self._waiting: deque[Waiting] = deque()
        self._batch: list[Waiting] = []
        self._closed = False

    def put(self, stored: Stored) -> asyncio.Future[int]:
        """Join the line; call on the loop that will await the future.

        The future fails with LedgerWriteError where the line is closed or full, or later.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        size_bytes = len(stored.entry) + len(stored.body)
        with self._changed:
            if self._closed:
                future.set_exception(LedgerWriteError("the ledger is closed"))
            elif self.size_bytes + size_bytes > SIZE_BYTES_MAX:
                waiting = f"{self.size_bytes} B wait for the ledger's disk"
                future.set_exception(LedgerWriteError(waiting))
            else:
                self._waiting.append(Waiting(stored, future))
                self.size_bytes += size_bytes
                self._changed.notify()
        return future

    def take(self) -> Sequence[Waiting]:
        """The next batch, as soon as there is one; empty when closed and nothing waits."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            taken_bytes = 0
            while self._waiting and len(self._batch) < BATCH_RECORDS_MAX:
                if taken_bytes >= BATCH_BYTES_MAX:
                    break
                waiting = self._waiting.popleft()
                taken_bytes += len(waiting.stored.entry) + len(waiting.stored.body)
                self._batch.append(waiting)
            self.size_bytes -= taken_bytes
            return self._batch

    def succeed(self, first_index: int) -> None:
        """Tell those of the batch that was taken their indexes."""
        batch, self._batch = self._batch, []
        _settle(batch, first_index, reason=None)

    def fail(self, reason: str) -> None:
        """Tell those of the batch that was taken, and once closed all who wait, that it failed."""
        with self._changed:
            batch, self._batch = self._batch, []
            if self._closed:
                batch += self._waiting
                self._waiting.clear()
        _settle(batch, 0, reason=reason)

    def close(self) -> None:
        """Let nobody join any more; what waits is still taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()


def _settle(batch: Sequence[Waiting], first_index: int, *, reason: str | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], int]]] = {}
    for index, waiting in enumerate(batch, first_index):
        by_loop.setdefault(waiting.future.get_loop(), []).append((waiting.future, index))
    for loop, settled in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle_futures, settled, reason)


def _settle_futures(settled: list[tuple[asyncio.Future[int], int]], reason: str | None) -> None:
    for future, index in settled:
        if future.done():
            continue
        if reason is None:
            future.set_result(index)
        else:
            future.set_exception(LedgerWriteError(reason))

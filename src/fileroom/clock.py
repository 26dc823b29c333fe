"""Time as an argument: what the node runs on, and what tests advance by hand."""

import asyncio
import heapq
import time
from typing import Protocol


class Clock(Protocol):
    """Where a room takes the time from, so that a simulated node can own it."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Return once `duration_s` seconds of this clock have passed."""
        ...


class SystemClock:
    """The machine's own clock."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)


class ManualClock:
    """A clock that stands still until `advance` is called; sleepers wake in order of their time."""

    def __init__(self, *, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self._wall_ns = wall_ns
        self._elapsed_ns = 0
        self._order = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def wall_ns(self) -> int:
        return self._wall_ns + self._elapsed_ns

    def monotonic_s(self) -> float:
        return self._elapsed_ns / 1e9

    async def sleep(self, duration_s: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        due_ns = self._elapsed_ns + round(duration_s * 1e9)
        heapq.heappush(self._sleepers, (due_ns, self._order, woken))
        await woken

    def advance(self, duration_s: float) -> None:
        """Move time on and wake every sleeper whose time has come."""
        self._elapsed_ns += round(duration_s * 1e9)
        while self._sleepers and self._sleepers[0][0] <= self._elapsed_ns:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

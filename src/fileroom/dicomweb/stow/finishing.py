"""Instances that are complete and wait for the disk, while the next ones of a request arrive."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

from fileroom.dicomweb.stow.report import Outcome
from fileroom.http.request import Limits

UNWRITTEN_BYTES_MAX = 2 << 20  # of one instance; `Reception.full` says so from there on


class Finishing:
    """Lets one sync serve several instances, and bounds how many that are.

    Attributes:
        outcomes: of those that no longer wait, in the order they were added.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tasks: deque[tuple[asyncio.Task[Outcome], int]] = deque()
        self._unwritten_bytes = 0
        self.outcomes: list[Outcome] = []

    async def add(self, finishing: Coroutine[Any, Any, Outcome], *, size_bytes: int) -> None:
        """Have an instance finished; wait for earlier ones while there are too many."""
        unwritten_bytes = min(size_bytes, UNWRITTEN_BYTES_MAX)
        self._tasks.append((asyncio.create_task(finishing), unwritten_bytes))
        self._unwritten_bytes += unwritten_bytes
        while self._tasks and (
            len(self._tasks) > self._limits.finishing_max
            or self._unwritten_bytes > self._limits.finishing_bytes_max
        ):
            await self._take()

    async def settle(self) -> None:
        """Wait for all of them."""
        while self._tasks:
            await self._take()

    async def _take(self) -> None:
        """Wait for the one that has been finishing longest."""
        task, unwritten_bytes = self._tasks.popleft()
        self._unwritten_bytes -= unwritten_bytes
        self.outcomes.append(await task)

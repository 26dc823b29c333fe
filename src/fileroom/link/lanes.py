"""Taking turns: few calls at a time, and a waiting person before a waiting copy."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fileroom.provider.port import Lane

URGENT = frozenset((Lane.STAT, Lane.INTERACTIVE))


class Turnstile:
    """At most `at_once` calls are under way; who waits goes by lane, then by arrival.

    Args:
        at_once: calls under way at most.
        kept_urgent: of these, how many only a lane of `URGENT` may take, so that a person never
            waits behind long transfers. Less than `at_once`.
    """

    def __init__(self, *, at_once: int, kept_urgent: int) -> None:
        assert 0 <= kept_urgent < at_once, "every lane must come through"
        self._free = at_once
        self._kept_urgent = kept_urgent
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncIterator[None]:
        """Wait for a turn, and give it back at the end."""
        await self._take(lane)
        try:
            yield
        finally:
            self._free += 1
            self._let_in()

    def waiting(self) -> dict[Lane, int]:
        """How many wait in each lane."""
        return {lane: len(queue) for lane, queue in self._waiting.items() if queue}

    async def _take(self, lane: Lane) -> None:
        if self._may_enter(lane) and not any(self._waiting[each] for each in Lane if each <= lane):
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):
                    self._waiting[lane].remove(turn)
            else:  # it had its turn already
                self._free += 1
                self._let_in()
            raise

    def _may_enter(self, lane: Lane) -> bool:
        return self._free > (0 if lane in URGENT else self._kept_urgent)

    def _let_in(self) -> None:
        for lane, queue in self._waiting.items():
            while queue and self._may_enter(lane):
                turn = queue.popleft()
                if not turn.done():
                    self._free -= 1
                    turn.set_result(None)

"""The rounds: each stage in a loop of its own, woken early when another one moved something."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fileroom.clock import Clock
from fileroom.errors import FileroomError, TransientError

RETRY_MAX_S = 60.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Round:
    """One thing that is done again and again.

    Attributes:
        work: does a bounded piece and returns how much that was; 0: nothing to do now.
        every_s: how long it may sleep when nothing wakes it.
        is_woken: whether it looks for work as soon as another round did something. What may wait
            is then done once for much of that, and costs little.
        last_error: of the latest try; empty after one that went well.
    """

    name: str
    work: Callable[[], Awaitable[int]]
    every_s: float
    is_woken: bool = True
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    last_error: str = ""


class Rounds:
    """Runs rounds until it is stopped. Correctness never depends on a wake: it only saves time."""

    def __init__(self, rounds: Sequence[Round], *, clock: Clock) -> None:
        self._rounds = rounds
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(each), name=f"round {each.name}") for each in self._rounds
        ]

    def wake(self) -> None:
        """Let every round look for work now."""
        for each in self._rounds:
            each.wake.set()

    @property
    def errors(self) -> dict[str, str]:
        """What went wrong in the latest try of each round that failed."""
        return {each.name: each.last_error for each in self._rounds if each.last_error}

    async def stop(self) -> None:
        """End every round between two pieces of work, or in the middle of one that waits."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def _run(self, each: Round) -> None:
        failures = 0
        while True:
            each.wake.clear()
            did = await self._try(each)
            if did is None:
                failures += 1
                await self._clock.sleep(min(each.every_s * 2**failures, RETRY_MAX_S))
                continue
            failures = 0
            if did:
                for other in self._rounds:
                    if other.is_woken:
                        other.wake.set()
                await asyncio.sleep(0)
                continue
            await self._nap(each)

    async def _try(self, each: Round) -> int | None:
        """One piece of work: how much it was, or None if it failed."""
        try:
            did = await each.work()
        except TransientError as error:
            each.last_error = str(error)
            log.warning("%s waits: %s", each.name, error)
        except FileroomError as error:
            each.last_error = str(error)
            log.error("%s failed: %s", each.name, error)
        except Exception as error:
            each.last_error = type(error).__name__
            log.exception("%s failed by %s", each.name, type(error).__name__)
        else:
            if each.last_error:
                log.info("%s goes on", each.name)
            each.last_error = ""
            return did
        return None

    async def _nap(self, each: Round) -> None:
        nap = asyncio.ensure_future(self._clock.sleep(each.every_s))
        woken = asyncio.ensure_future(each.wake.wait())
        try:
            await asyncio.wait([nap, woken], return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            woken.cancel()

"""Who goes first when calls have to wait."""

import asyncio

import pytest

from fileroom.link.lanes import Turnstile
from fileroom.provider.port import Lane


class Callers:
    """Callers that stay until the test lets them go."""

    def __init__(self, turnstile: Turnstile) -> None:
        self.turnstile = turnstile
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.leave: dict[str, asyncio.Event] = {}

    async def come(self, name: str, lane: Lane) -> None:
        self.leave[name] = asyncio.Event()

        async def call() -> None:
            async with self.turnstile.turn(lane):
                self.inside.append(name)
                await self.leave[name].wait()
                self.inside.remove(name)

        self.tasks[name] = asyncio.create_task(call())
        await self.settle()

    async def go(self, name: str) -> None:
        self.leave[name].set()
        await self.settle()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await self.settle()

    @staticmethod
    async def settle() -> None:
        for _ in range(10):
            await asyncio.sleep(0)


async def test_only_so_many_are_inside_and_the_rest_keep_their_order() -> None:
    callers = Callers(Turnstile(at_once=2, kept_urgent=0))
    for name in "abcd":
        await callers.come(name, Lane.NEW)
    assert callers.inside == ["a", "b"]
    await callers.go("a")
    assert callers.inside == ["b", "c"]
    await callers.go("b")
    await callers.go("c")
    assert callers.inside == ["d"]


async def test_a_person_goes_before_every_copy() -> None:
    callers = Callers(Turnstile(at_once=1, kept_urgent=0))
    await callers.come("first", Lane.SCRUB)
    for name, lane in (
        ("scrub", Lane.SCRUB),
        ("new", Lane.NEW),
        ("interactive", Lane.INTERACTIVE),
        ("stat", Lane.STAT),
    ):
        await callers.come(name, lane)
    assert callers.turnstile.waiting() == {
        Lane.STAT: 1,
        Lane.INTERACTIVE: 1,
        Lane.NEW: 1,
        Lane.SCRUB: 1,
    }
    order = ["first", "stat", "interactive", "new", "scrub"]
    for name in order:
        assert callers.inside == [name]
        await callers.go(name)
    assert callers.inside == []


async def test_some_turns_are_kept_for_people() -> None:
    callers = Callers(Turnstile(at_once=3, kept_urgent=1))
    for name in ("a", "b", "c"):
        await callers.come(name, Lane.NEW)
    assert callers.inside == ["a", "b"]
    await callers.come("person", Lane.INTERACTIVE)
    assert callers.inside == ["a", "b", "person"]
    await callers.go("person")
    assert callers.inside == ["a", "b"]
    await callers.go("a")
    assert callers.inside == ["b", "c"]


async def test_nobody_overtakes_who_waits_in_the_same_lane() -> None:
    callers = Callers(Turnstile(at_once=1, kept_urgent=0))
    await callers.come("a", Lane.NEW)
    await callers.come("b", Lane.NEW)
    callers.leave["a"].set()
    await callers.come("c", Lane.NEW)
    assert callers.inside == ["b"]


@pytest.mark.parametrize("when", ["waiting", "just let in", "inside"])
async def test_a_cancelled_caller_gives_its_turn_back(when: str) -> None:
    callers = Callers(Turnstile(at_once=1, kept_urgent=0))
    await callers.come("a", Lane.NEW)
    await callers.come("b", Lane.NEW)
    await callers.come("c", Lane.NEW)
    if when == "waiting":
        await callers.cancel("b")
        await callers.go("a")
    elif when == "just let in":
        callers.leave["a"].set()
        while callers.turnstile.waiting().get(Lane.NEW) == 2:
            await asyncio.sleep(0)
        await callers.cancel("b")
    else:
        await callers.go("a")
        await callers.cancel("b")
        callers.inside.remove("b")
    assert callers.inside == ["c"]
    await callers.go("c")
    await callers.come("d", Lane.SCRUB)
    assert callers.inside == ["d"]
    assert callers.turnstile.waiting() == {}
    await callers.go("d")

"""When rounds run: at their time, or as soon as another one moved something."""

import asyncio

from fileroom.clock import ManualClock
from fileroom.node.rounds import Round, Rounds


class Work:
    """A round's work: moves something as often as it was told to, and counts how often it ran."""

    def __init__(self) -> None:
        self.to_move = 0
        self.ran = 0

    async def __call__(self) -> int:
        self.ran += 1
        self.to_move, moved = 0, self.to_move
        return moved


async def settle() -> None:
    """Let all that can run run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_a_round_moved_wakes_the_stages_and_not_what_may_wait() -> None:
    clock = ManualClock()
    first, stage, upkeep = Work(), Work(), Work()
    rounds = Rounds(
        [
            Round("first", first, 1.0),
            Round("stage", stage, 60.0),
            Round("upkeep", upkeep, 60.0, is_woken=False),
        ],
        clock=clock,
    )
    rounds.start()
    await settle()
    assert (stage.ran, upkeep.ran) == (1, 1)
    first.to_move = 3
    clock.advance(1.0)
    await settle()
    assert stage.ran == 2
    assert upkeep.ran == 1
    clock.advance(59.0)
    await settle()
    assert upkeep.ran == 2
    await rounds.stop()


async def test_a_wake_from_outside_is_for_every_round() -> None:
    upkeep = Work()
    rounds = Rounds([Round("upkeep", upkeep, 60.0, is_woken=False)], clock=ManualClock())
    rounds.start()
    await settle()
    rounds.wake()
    await settle()
    assert upkeep.ran == 2
    await rounds.stop()

"""What ends when a caller goes away, and what does not."""

import asyncio

import pytest

from fileroom.http import hang_up
from fileroom.http.hang_up import while_connected
from fileroom.http.refusals import DisconnectedError


class Caller:
    """One that has asked, and hangs up when it is told to."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self._asked = False
        self.watched = 0

    async def receive(self) -> dict[str, object]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        self.watched += 1
        try:
            await self.gone.wait()
        finally:
            self.watched -= 1
        return {"type": "http.disconnect"}


@pytest.fixture(autouse=True)
def watch_at_once(monkeypatch):
    monkeypatch.setattr(hang_up, "WATCH_AFTER_S", 0)


async def test_work_ends_wherever_it_waits_once_the_caller_is_gone():
    caller, ended = Caller(), []

    async def work() -> None:
        async with while_connected(caller.receive):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("the work")

    asyncio.get_running_loop().call_later(0.01, caller.gone.set)
    with pytest.raises(DisconnectedError):
        await work()
    assert ended == ["the work"]
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)


async def test_work_that_comes_to_its_end_leaves_no_watch_behind():
    caller = Caller()
    async with while_connected(caller.receive):
        while not caller.watched:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert caller.watched == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_short_work_is_not_watched_at_all(monkeypatch):
    monkeypatch.setattr(hang_up, "WATCH_AFTER_S", 60)
    caller = Caller()
    async with while_connected(caller.receive):
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("error", [TimeoutError, ValueError])
async def test_an_error_of_the_work_stays_what_it_is(error):
    with pytest.raises(error):
        async with while_connected(Caller().receive):
            raise error


async def test_who_ends_us_from_outside_is_not_taken_for_a_caller_who_left():
    async def work() -> None:
        async with while_connected(Caller().receive):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_ends_at_once_leaves_nothing_to_begin_later():
    caller = Caller()
    async with while_connected(caller.receive):
        pass
    for _ in range(5):
        await asyncio.sleep(0)
    assert not caller._asked

"""Instances go from the event loop into the catalog in batches, and nothing is lost on the way."""

import asyncio
import threading

import pytest

from conform.catalog_samples import spooled
from fileroom.catalog.batch import BATCH_ROWS_MAX, WAITING_ROWS_MAX, Intake
from fileroom.catalog.errors import (
    CatalogBusyError,
    CatalogUnreadableError,
    SpoolPlaceError,
)
from fileroom.clock import ManualClock


class Recorder:
    """A catalog's intake that keeps batches, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.fail: list[Exception] = []
        self.threads: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.misplaced: set[int] = set()

    def record_spooled(self, rows, *, node_id):
        assert node_id == "node-a"
        assert self.gate.wait(10)
        self.threads.add(threading.get_ident())
        if self.fail:
            raise self.fail.pop(0)
        if self.misplaced & {row.offset for row in rows}:
            raise SpoolPlaceError("another instance")
        self.batches.append([row.offset for row in rows])

    @property
    def recorded(self) -> list[int]:
        return [offset for batch in self.batches for offset in batch]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def intake(recorder, clock):
    intake = Intake(recorder, node_id="node-a", clock=clock)
    yield intake
    recorder.gate.set()
    recorder.fail.clear()
    await intake.close()


def row(offset: int):
    return spooled((1, offset), f"1.9.{offset}")


async def until(condition) -> None:
    """Let the loop and the intake's thread go on until `condition` holds."""
    while not condition():
        await asyncio.sleep(0)


async def test_rows_that_come_close_together_are_one_batch(intake, recorder, clock):
    for n in range(5):
        intake.add(row(n))
        await asyncio.sleep(0)
    assert recorder.batches == []
    clock.advance(0.02)
    await until(lambda: recorder.batches)
    assert recorder.batches == [[0, 1, 2, 3, 4]]


async def test_a_full_batch_does_not_wait(intake, recorder):
    for n in range(BATCH_ROWS_MAX + 10):
        intake.add(row(n))
    await until(lambda: recorder.batches)
    assert len(recorder.batches[0]) == BATCH_ROWS_MAX


async def test_who_wants_it_settled_waits_for_no_clock(intake, recorder):
    intake.add(row(0))
    await asyncio.sleep(0)
    await intake.settled()
    assert recorder.recorded == [0]
    await intake.settled()  # nothing new: returns at once


async def test_settled_waits_for_rows_of_before_and_not_for_later_ones(intake, recorder):
    recorder.gate.clear()
    intake.add(row(0))
    waiting = asyncio.ensure_future(intake.settled())
    await asyncio.sleep(0)
    intake.add(row(1))
    recorder.gate.set()
    await waiting
    assert recorder.recorded[0] == 0
    await intake.settled()
    assert recorder.recorded == [0, 1]


async def test_the_loop_goes_on_while_the_catalog_is_slow(intake, recorder):
    recorder.gate.clear()
    intake.add(row(0))
    waiting = asyncio.ensure_future(intake.settled())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    recorder.gate.set()
    await waiting
    assert threading.get_ident() not in recorder.threads


async def test_rows_stay_in_line_while_the_catalog_says_later(intake, recorder, clock):
    recorder.fail = [CatalogBusyError("later"), CatalogBusyError("later")]
    intake.add(row(0))
    with pytest.raises(CatalogBusyError):
        await intake.settled()
    assert isinstance(intake.failure, CatalogBusyError)
    intake.add(row(1))
    while intake.failure is not None:
        clock.advance(1)
        await asyncio.sleep(0)
    await intake.settled()
    assert recorder.recorded == [0, 1]


async def test_one_misplaced_row_does_not_hold_up_its_batch(intake, recorder):
    recorder.misplaced = {3}
    for n in range(6):
        intake.add(row(n))
    await intake.settled()
    assert recorder.recorded == [0, 1, 2, 4, 5]
    assert list(intake.misplaced) == [(1, 3)]


async def test_an_unreadable_catalog_gets_no_more_rows_and_the_waiting_are_bounded(
    intake, recorder
):
    recorder.fail = [CatalogUnreadableError("damaged")]
    intake.add(row(0))
    with pytest.raises(CatalogUnreadableError):
        await intake.settled()
    assert not intake.full
    for n in range(WAITING_ROWS_MAX - 1):
        intake.add(row(n + 1))
    await asyncio.sleep(0)
    assert intake.full
    assert recorder.batches == []
    with pytest.raises(CatalogUnreadableError):
        await intake.settled()


async def test_closing_records_what_waits(recorder, clock):
    intake = Intake(recorder, node_id="node-a", clock=clock)
    await intake.close()
    intake = Intake(recorder, node_id="node-a", clock=clock)
    for n in range(3):
        intake.add(row(n))
    await intake.close()
    assert recorder.recorded == [0, 1, 2]


async def test_closing_does_not_wait_for_a_catalog_that_fails(recorder, clock):
    intake = Intake(recorder, node_id="node-a", clock=clock)
    recorder.fail = [CatalogBusyError("later")] * 5
    intake.add(row(0))
    await intake.close()
    assert recorder.batches == []


async def test_a_mistake_of_ours_leaves_nobody_waiting(intake, recorder):
    recorder.fail = [ZeroDivisionError("ours")]
    intake.add(row(0))
    with pytest.raises(ZeroDivisionError):
        await intake.settled()
    assert isinstance(intake._worker.exception(), ZeroDivisionError)

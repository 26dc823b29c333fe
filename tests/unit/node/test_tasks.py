"""Long tasks: their records in the catalog and in the status."""

import pytest

from conform.catalog_model import DictCatalog
from fileroom.catalog.lifecycle import TaskState
from fileroom.catalog.rows import Task
from fileroom.clock import ManualClock
from fileroom.errors import TransientError
from fileroom.http.task_note import TaskNote
from fileroom.node.tasks import RECORDS_MAX, Tasks, failures, shown
from fileroom.recovery.report import Report

ID = "0123456789abcdef"


class FakeRebuilder:
    def __init__(self, report=None, error=None):
        self._report = report or Report()
        self._error = error

    async def rebuild(self, progress):
        progress(1, 2)
        if self._error:
            raise self._error
        return self._report


class IdleRebuilder(FakeRebuilder):
    async def rebuild(self, progress):
        return self._report


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def catalog(clock):
    return DictCatalog(clock)


@pytest.fixture
def tasks(catalog, clock):
    return Tasks(catalog, clock)


def test_a_note_becomes_a_line_of_the_status(tasks, clock):
    tasks.note(ID, TaskNote(kind="import", state="RUNNING", bytes_done=10, bytes_total=100))
    clock.advance(2)
    tasks.note(ID, TaskNote(kind="import", state="RUNNING", bytes_done=50, bytes_total=100))
    (line,) = shown(tasks.latest())
    assert (line.id, line.kind, line.state, line.percent) == (ID, "import", "RUNNING", 50)
    assert (line.rate_bytes_per_s, line.eta_s) == (20.0, 2.5)
    assert failures(tasks.latest()) == []


def test_many_tasks_are_remembered_in_bounded_memory(tasks):
    for number in range(2 * RECORDS_MAX):
        tasks.note(f"{number:016x}", TaskNote(kind="import", state="RUNNING", bytes_done=1))
    assert len(tasks._noted) == RECORDS_MAX


async def test_a_rebuild_that_missed_something_failed_and_is_warned_of(tasks):
    await tasks.rebuild(FakeRebuilder(Report(unreadable=2, absent=1)))
    (line,) = shown(tasks.latest())
    assert (line.kind, line.state) == ("rebuild", "FAILED")
    assert failures(tasks.latest()) == ["rebuild failed: packs unreadable: 2, not found: 1"]
    await tasks.rebuild(FakeRebuilder())
    (line,) = shown(tasks.latest())
    assert (line.state, line.percent, line.last_error) == ("DONE", 100, "")


async def test_a_rebuild_that_cannot_reach_a_provider_says_so_in_its_record(tasks):
    with pytest.raises(TransientError):
        await tasks.rebuild(FakeRebuilder(error=TransientError("no connection")))
    (line,) = shown(tasks.latest())
    assert (line.state, line.last_error) == ("FAILED", "no connection")


async def test_a_rebuild_without_a_provider_waits_and_is_done_once_nothing_is_left_there(tasks):
    await tasks.rebuild(FakeRebuilder(Report(awaited=["a", "b"])))
    (line,) = shown(tasks.latest())
    assert (line.state, line.last_error) == ("WAITING", "providers that were away: a, b")
    assert failures(tasks.latest()) == []
    await tasks.rebuild(IdleRebuilder())
    (line,) = shown(tasks.latest())
    assert (line.state, line.last_error) == ("DONE", "")


async def test_a_rebuild_that_had_nothing_to_do_leaves_no_record(tasks):
    await tasks.rebuild(IdleRebuilder())
    assert tasks.latest() == []


def test_what_ran_when_the_node_ended_waits(tasks, catalog, clock):
    catalog.put_task(Task(id=ID, kind="import", state=TaskState.RUNNING, bytes_done=7, cursor="x"))
    catalog.put_task(Task(id="b" * 16, kind="import", state=TaskState.DONE))
    tasks.interrupted()
    told = {line.id: (line.state, line.bytes_done, line.cursor) for line in shown(tasks.latest())}
    assert told == {ID: ("WAITING", 7, "x"), "b" * 16: ("DONE", 0, "")}

"""The record of a long task: percent, rate and time left, written no oftener than useful."""

import pytest

from conform.catalog_model import DictCatalog
from fileroom.catalog.lifecycle import TaskState
from fileroom.catalog.task_record import TaskRecord
from fileroom.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def catalog(clock):
    return DictCatalog(clock)


@pytest.fixture
def record(catalog, clock):
    return TaskRecord(catalog, clock, id="a1", kind="rebuild")


def test_rate_and_time_left_come_from_what_was_done_since_it_began(record, catalog, clock):
    record.note(1000, 10_000)  # what an earlier attempt had done is no speed of this one
    assert catalog.task("a1").eta_s is None
    clock.advance(10)
    record.note(3000, 10_000, cursor="here")
    task = catalog.task("a1")
    assert (task.percent, task.rate_bytes_per_s, task.eta_s) == (30.0, 200.0, 35.0)
    assert (task.state, task.cursor) == (TaskState.RUNNING, "here")


def test_it_is_written_once_a_second_and_when_the_state_changes(record, catalog, clock):
    record.note(0, 100)
    clock.advance(0.4)
    record.note(10, 100)
    assert catalog.task("a1").bytes_done == 0
    clock.advance(0.7)
    record.note(20, 100)
    assert catalog.task("a1").bytes_done == 20
    record.end(TaskState.FAILED, last_error="no")
    task = catalog.task("a1")
    assert (task.state, task.last_error, task.bytes_done) == (TaskState.FAILED, "no", 20)


def test_what_is_begun_again_takes_its_record_over(record, catalog, clock):
    record.end(TaskState.FAILED, last_error="no")
    again = TaskRecord(catalog, clock, id="a1", kind="rebuild")
    again.note(5, 10)
    again.end(TaskState.DONE)
    (task,) = catalog.tasks()
    assert (task.state, task.percent, task.last_error, task.eta_s) == (
        TaskState.DONE,
        100,
        "",
        None,
    )


def test_what_had_nothing_to_do_leaves_no_record(record, catalog):
    record.end(TaskState.DONE)
    assert catalog.tasks() == []


def test_without_a_total_there_is_no_time_left(record, catalog, clock):
    record.note(0, 0)
    clock.advance(5)
    record.note(500, 0)
    task = catalog.task("a1")
    assert (task.percent, task.rate_bytes_per_s, task.eta_s) == (0.0, 100.0, None)
    record.end(TaskState.DONE)
    assert catalog.task("a1").percent == 100.0

"""The ledger, stopped before and after every durable step, in every way that can turn out."""

import asyncio

import pytest

from crash.crashing_disk import Crash, CrashingDisk, crash_points
from fileroom.ledger.log import LedgerWriteError
from ledger_parts import append, numbers, open_ledger

# The writer thread ends as the process would.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

SEGMENT_SIZE_BYTES = 1500


def opened(directory, **options):
    return open_ledger(directory, segment_size_bytes=SEGMENT_SIZE_BYTES, **options)


async def work(directory, disk, told):
    """Begin a log, append alone and together, fill segments, close, go on. `told` counts what
    was acknowledged."""
    for counts in ((1, 3, 1), (2, 6)):
        ledger = opened(directory, disk=disk)
        try:
            for count in counts:
                first = ledger.size
                with ledger._line._changed:  # taken together, so the steps are always the same
                    waiting = [
                        ledger.append_nowait("started", {"n": first + n}) for n in range(count)
                    ]
                for each in await asyncio.gather(*waiting, return_exceptions=True):
                    if isinstance(each, LedgerWriteError):
                        raise each
                    assert each == told[0]
                    told[0] += 1
        finally:
            await ledger.close()


def run(directory, disk):
    """The number of acknowledged events."""
    told = [0]
    try:
        asyncio.run(work(directory, disk, told))
    except (Crash, LedgerWriteError):
        assert disk.crashed
    return told[0]


async def check(directory, told):
    """A start after the crash: all that was told, in order, nothing made up, and it goes on."""
    ledger = opened(directory, size_min=told)
    try:
        size = ledger.size
        assert numbers(ledger) == list(range(size))
        assert ledger.verify() == ledger.root()
        await append(ledger, 2)
        root = ledger.root()
    finally:
        await ledger.close()
    ledger = opened(directory, size_min=size + 2)
    try:
        assert numbers(ledger) == list(range(size + 2))
        assert ledger.root(size + 2) == root
    finally:
        await ledger.close()


def steps_of(tmp_path):
    disk = CrashingDisk(tmp_path / "count")
    assert run(tmp_path / "count", disk) == 13
    return len(disk.steps)


def test_no_acknowledged_event_is_lost_and_none_is_made_up(tmp_path):
    explored = 0
    for step, when in crash_points(steps_of(tmp_path)):
        root = tmp_path / f"{step} {when}"
        disk = CrashingDisk(root, crash_at=step, when=when)
        told = run(root, disk)
        assert disk.crashed
        for survival in disk.survivals():
            left = tmp_path / f"{step} {when}, {survival}"
            disk.materialise(left, survival, untracked="leave out")
            asyncio.run(check(left, told))
            explored += 1
    print(f"{explored} outcomes of a crash explored")
    assert explored > 150


def test_a_crash_while_starting_after_a_crash_loses_nothing(tmp_path):
    explored = 0
    for step, when in crash_points(steps_of(tmp_path)):
        if when == "after":
            continue
        root = tmp_path / f"{step}"
        first = CrashingDisk(root, crash_at=step, when=when)
        told = run(root, first)
        for number, survival in enumerate(first.survivals()):
            left = tmp_path / f"{step}, {number}"
            first.materialise(left, survival, untracked="leave out")
            explored += crash_each_step_of_a_start(tmp_path, left, told)
    print(f"{explored} outcomes of a second crash explored")
    assert explored > 20


def crash_each_step_of_a_start(tmp_path, left, told):
    """Crash once at each step that a start makes on the folder `left`."""
    explored = 0
    for second_step in range(10):
        again = tmp_path / "again"
        copy_of(left, again)
        disk = CrashingDisk(again, crash_at=second_step)
        try:
            ledger = opened(again, disk=disk, size_min=told)
        except Crash:
            pass
        else:
            asyncio.run(ledger.close())
            remove(again)
            return explored
        for number, survival in enumerate(disk.survivals()):
            final = tmp_path / f"final {number}"
            disk.materialise(final, survival, untracked="leave out")
            asyncio.run(check(final, told))
            remove(final)
            explored += 1
        remove(again)
    raise AssertionError("a start takes more than ten steps")


def copy_of(source, target):
    target.mkdir()
    for path in sorted(source.rglob("*")):
        copied = target / path.relative_to(source)
        if path.is_dir():
            copied.mkdir()
        else:
            copied.write_bytes(path.read_bytes())


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()

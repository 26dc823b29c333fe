"""The spool, stopped before and after every durable step, in every way that can turn out."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from crash.crashing_disk import Crash, CrashingDisk, When
from fileroom.disk import Disk
from fileroom.spool.failure import SpoolError
from fileroom.spool.record import Place
from spool_parts import (
    data_set,
    description,
    land,
    name_of,
    open_spool,
    read_back,
)

SEGMENT_SIZE_BYTES = 900 * 1024
OFFERED = {
    "tiny": 100,
    "empty": 0,
    "two frames": 300_000,
    "side": 5_000,
    "by side": 270_000,
    "given up": 280_000,
    "large": 1_200_000,  # larger than a segment
    "last": 700,
}


class Outcome:
    """What the senders were told."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, Place] = {}


async def receive(directory: Path, disk: Disk, outcome: Outcome) -> None:
    """Everything a spool does: alone and side by side, given up, a rotation, a large one, values
    that are set aside."""
    spool = open_spool(directory, disk=disk, segment_size_bytes=SEGMENT_SIZE_BYTES)

    async def acknowledge(name: str) -> None:
        spooled = await land(spool, name, data_set(name, OFFERED[name]))
        outcome.acknowledged[name] = spooled.place

    await acknowledge("tiny")
    await acknowledge("empty")
    await acknowledge("two frames")
    aside = spool.aside()
    aside.append(data_set("given up", OFFERED["given up"]))
    given_up = spool.landing()
    given_up.write(data_set("given up", OFFERED["given up"]))
    await asyncio.gather(acknowledge("side"), acknowledge("by side"))
    given_up.abandon()
    aside.close()
    await acknowledge("large")
    await acknowledge("last")
    await spool.close()


def run(directory: Path, disk: CrashingDisk) -> Outcome:
    outcome = Outcome()
    try:
        asyncio.run(receive(directory, disk, outcome))
    except (Crash, SpoolError):
        assert disk.crashed
    else:
        assert not disk.crashed
    return outcome


async def check(directory: Path, outcome: Outcome) -> None:
    """A start after the crash: every acknowledged instance bit for bit, and none half."""
    spool = open_spool(directory)
    found = list(spool.recovered())
    assert [each for each in spool.damage if each.acknowledged] == []
    places = {name_of(each): each.place for each in found}
    assert len(places) == len(found)
    assert outcome.acknowledged.items() <= places.items()
    for each in found:
        name = name_of(each)
        assert each.description == description(name)
        assert read_back(directory, each.place) == data_set(name, OFFERED[name])
    fresh = await land(spool, "fresh", b"after the crash")
    assert fresh.place.segment > max((each.place.segment for each in found), default=0)
    await spool.close()
    again = open_spool(directory)
    assert [each.place for each in again.recovered()] == [
        *[each.place for each in found],
        fresh.place,
    ]
    await again.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_every_acknowledged_landing_survives_every_crash_whole(
    when: When, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    explored = 0
    for crash_at in itertools.count():
        folder = tmp_path / f"{crash_at}"
        disk = CrashingDisk(folder / "live", crash_at=crash_at, when=when)
        outcome = run(folder / "live" / "spool", disk)
        for number, survival in enumerate(disk.survivals()):
            target = folder / f"{number}"
            disk.materialise(target, survival, untracked="leave out")
            try:
                asyncio.run(check(target / "spool", outcome))
            except BaseException as error:
                error.add_note(f"{when} step {crash_at} {disk.steps[-1]}; {survival}")
                raise
            explored += 1
        if not disk.crashed:
            break
    assert outcome.acknowledged.keys() == OFFERED.keys() - {"given up"}
    assert explored > 100
    record_property("crash_points", explored)


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_restart_after_a_kill_finds_survives_a_loss_of_power(
    when: When, tmp_path: Path
) -> None:
    """What is read after a kill may be memory only; once it was found, others rely on it."""

    async def found(disk: Disk) -> set[Place]:
        spool = open_spool(disk.root / "spool", disk=disk)  # type: ignore[attr-defined]
        return {each.place for each in spool.recovered()}

    for crash_at in itertools.count():
        folder = tmp_path / f"{crash_at}"
        disk = CrashingDisk(folder / "live", crash_at=crash_at, when=when)
        outcome = run(folder / "live" / "spool", disk)
        if not disk.crashed:
            break
        disk.restart()
        places = asyncio.run(found(disk))
        assert set(outcome.acknowledged.values()) <= places
        for number, survival in enumerate(disk.survivals()):
            target = CrashingDisk(folder / f"{number}")
            disk.materialise(target.root / "x", survival, untracked="leave out")
            left = CrashingDisk(target.root / "x")
            assert places <= asyncio.run(found(left)), f"{when} step {crash_at}; {survival}"


def test_a_crash_while_recovering_loses_nothing(tmp_path: Path) -> None:
    """Every step of a start after a kill, and the start after that."""
    for crash_at in itertools.count():
        disk = CrashingDisk(tmp_path / f"{crash_at}", crash_at=crash_at)
        outcome = run(disk.root / "spool", disk)
        if not disk.crashed:
            break
        for second in itertools.count():
            disk.restart(crash_at=second, when="after")
            with contextlib.suppress(Crash):
                open_spool(disk.root / "spool", disk=disk)
            for number, survival in enumerate(disk.survivals()):
                target = tmp_path / f"{crash_at}-{second}-{number}"
                disk.materialise(target, survival, untracked="leave out")
                asyncio.run(check(target / "spool", outcome))
            if not disk.crashed:
                break

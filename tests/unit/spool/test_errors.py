"""A disk that fails or fills up: nothing is acknowledged that is not there, nothing is retried."""

import asyncio
import errno
from pathlib import Path

import pytest

from fileroom.disk import SyncError
from fileroom.spool.failure import SpaceError, SpoolError
from fileroom.spool.format import segment_name
from spool_parts import (
    FailingDisk,
    QuickDisk,
    data_set,
    description,
    land,
    name_of,
    open_spool,
    read_back,
)

MIB = 1024 * 1024
EIO = OSError(errno.EIO, "injected")
FULL = OSError(errno.ENOSPC, "injected")


@pytest.mark.parametrize(
    ("disk", "kind"),
    [
        (FailingDisk("sync", SyncError("injected"), let_pass=2), SpoolError),
        (FailingDisk("write", EIO, let_pass=2), SpoolError),
        (FailingDisk("write", FULL, let_pass=2), SpaceError),
    ],
    ids=["sync", "write", "full"],
)
async def test_a_segment_that_failed_is_given_up_with_all_that_is_open_in_it(
    disk: FailingDisk, kind: type[Exception], tmp_path: Path
) -> None:
    spool = open_spool(tmp_path, disk=disk)
    safe = await land(spool, "safe", b"acknowledged")
    other = spool.landing()
    other.write(b"half")
    with pytest.raises(kind, match="segment 1 given up"):
        await land(spool, "1", b"data")
    with pytest.raises(kind, match="segment 1 given up"):
        other.write(data_set("other", 300_000))
    with pytest.raises(kind, match="segment 1 given up"):
        await other.commit(description("other"))
    # FailingDisk asserts that segment 1 is neither written nor synced again.
    after = await land(spool, "after", b"the sender's retry")
    assert after.place.segment == 2
    assert read_back(tmp_path, safe.place) == b"acknowledged"
    assert [name_of(each) for each in spool.recovered()] == ["safe", "after"]
    assert [each.given_up for each in spool.segments()] == [True, False]
    await spool.close()
    spool.unlink_spooled(1)


async def test_every_commit_that_waits_for_a_failed_sync_fails(tmp_path: Path) -> None:
    disk = FailingDisk("sync", SyncError("injected"), let_pass=1)
    spool = open_spool(tmp_path, disk=disk)
    landings = [spool.landing() for _ in range(4)]
    results = await asyncio.gather(
        *[each.commit(description()) for each in landings], return_exceptions=True
    )
    assert {type(each) for each in results} == {SpoolError}
    assert len({id(each) for each in results}) == 4
    assert list(spool.recovered()) == []
    await spool.close()


async def test_a_segment_that_could_not_be_made_leaves_no_file(tmp_path: Path) -> None:
    for step in ("allocate", "write", "sync"):
        spool = open_spool(tmp_path, disk=FailingDisk(step, FULL))
        with pytest.raises(SpaceError, match="disk is full"):
            await land(spool, "1", b"data")
        assert not list(tmp_path.iterdir())
        await land(spool, "2", b"data")
        await spool.close()
        (tmp_path / segment_name(2)).unlink()


class SmallDisk(QuickDisk):
    """A disk of which the test says how much is free."""

    def __init__(self, free_bytes: int) -> None:
        self.free = free_bytes

    def free_bytes(self, path: Path) -> int:
        return self.free


async def test_new_work_is_refused_under_the_reserve_and_what_has_begun_ends(
    tmp_path: Path,
) -> None:
    disk = SmallDisk(100 * MIB)
    spool = open_spool(tmp_path, disk=disk, reserve_bytes=50 * MIB)
    begun = spool.landing()
    begun.write(b"data")
    disk.free = 50 * MIB - 1
    with pytest.raises(SpaceError, match=f"of {50 * MIB} B"):
        spool.landing()
    await begun.commit(description())
    disk.free = 50 * MIB
    await land(spool, "2", b"data")
    await spool.close()


async def test_an_instance_may_not_grow_into_the_reserve(tmp_path: Path) -> None:
    disk = SmallDisk(100 * MIB)
    spool = open_spool(tmp_path, disk=disk, reserve_bytes=50 * MIB, segment_size_bytes=MIB)
    landing = spool.landing()
    disk.free = 50 * MIB + 10
    landing.write(bytes(MIB // 2))  # there is room for it in the segment
    with pytest.raises(SpaceError):
        landing.write(bytes(2 * MIB))
    landing.abandon()
    assert list(spool.recovered()) == []
    await spool.close()


async def test_a_segment_takes_no_more_room_than_the_reserve_leaves(tmp_path: Path) -> None:
    disk = SmallDisk(56 * MIB)
    spool = open_spool(tmp_path, disk=disk, reserve_bytes=50 * MIB, segment_size_bytes=256 * MIB)
    await land(spool, "1", b"data")
    assert spool.segments()[0].size_bytes == 6 * MIB
    disk.free = 53 * MIB
    with pytest.raises(SpaceError):
        await spool.rotate()
    await spool.close()


class BrokenWriter(QuickDisk):
    """A disk with a bug: something that no error handling expects."""

    def sync(self, descriptor: int) -> None:
        raise ZeroDivisionError


async def test_a_writer_that_stopped_leaves_nobody_waiting(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, disk=BrokenWriter())
    waiting = spool.landing()
    with pytest.raises(SpoolError, match="ZeroDivisionError"):
        await land(spool, "1", b"data")
    with pytest.raises(SpoolError, match="ZeroDivisionError"):
        spool.landing()
    with pytest.raises(SpoolError, match="ZeroDivisionError"):
        await waiting.commit(description())
    with pytest.raises(SpoolError, match="ZeroDivisionError"):
        await spool.close()

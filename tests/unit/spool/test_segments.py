"""Segments: when they begin and end, and when they may go."""

import asyncio
from pathlib import Path

import pytest

from fileroom.spool.failure import SegmentGoneError, SegmentInUseError, SpoolError
from fileroom.spool.format import segment_name
from spool_parts import GateDisk, data_set, description, land, name_of, open_spool, read_back

MIB = 1024 * 1024


async def test_a_full_segment_takes_no_new_landing_but_ends_the_old_ones(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_size_bytes=MIB)
    slow = spool.landing()
    large = await land(spool, "large", data_set("large", 3 * MIB))
    small = await land(spool, "small", b"data")
    slow.write(b"slow")
    assert [(each.active, each.landings) for each in spool.segments()] == [(True, 1), (True, 0)]
    slow_spooled = await slow.commit(description("slow"))
    assert (large.place.segment, small.place.segment, slow_spooled.place.segment) == (1, 2, 1)
    assert read_back(tmp_path, slow_spooled.place) == b"slow"
    await spool.close()
    assert [name_of(each) for each in open_spool(tmp_path).recovered()] == [
        "large",
        "slow",
        "small",
    ]


async def test_a_segment_is_allocated_ahead_and_cut_when_it_ends(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_size_bytes=MIB)
    await land(spool, "1", b"data")
    assert (tmp_path / segment_name(1)).stat().st_size == MIB
    await spool.close()
    assert (tmp_path / segment_name(1)).stat().st_size == 3 * 4096 + 56


async def test_a_start_begins_a_new_segment_and_writes_to_no_old_one(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    await land(spool, "1", b"data")
    await spool.close()
    before = (tmp_path / segment_name(1)).read_bytes()
    spool = open_spool(tmp_path)
    assert (await land(spool, "2", b"data")).place.segment == 2
    await spool.close()
    assert (tmp_path / segment_name(1)).read_bytes() == before


async def test_a_segment_goes_only_when_it_is_not_active(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    first = await land(spool, "1", b"data")
    with pytest.raises(SegmentInUseError):
        spool.unlink_spooled(1)
    held = spool.landing()
    assert await spool.rotate() == 2
    with pytest.raises(SegmentInUseError, match="1 landings"):
        spool.unlink_spooled(1)
    held.abandon()
    await land(spool, "2", b"data")  # behind the end of segment 1
    assert [each.active for each in spool.segments()] == [False, True]
    spool.unlink_spooled(1)
    assert not (tmp_path / segment_name(1)).exists()
    with pytest.raises(SegmentGoneError):
        spool.unlink_spooled(1)
    with pytest.raises(SegmentGoneError):
        read_back(tmp_path, first.place)
    await spool.close()


async def test_no_number_is_used_twice(tmp_path: Path) -> None:
    for number in range(1, 4):
        spool = open_spool(tmp_path)
        assert (await land(spool, "1", b"data")).place.segment == number
        await spool.close()
        spool = open_spool(tmp_path)
        for each in spool.segments():
            if not each.active:
                spool.unlink_spooled(each.number)
    assert [each.number for each in spool.segments()] == [3]
    with pytest.raises(SegmentInUseError):
        spool.unlink_spooled(3)


async def test_the_statistics_tell_commits_before_and_after_a_start(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_size_bytes=MIB)
    for name in ("1", "2", "3"):
        await land(spool, name, data_set(name, 600_000))
    assert [each.commits for each in spool.segments()] == [2, 1]
    await spool.close()
    (tmp_path / "notes.txt").write_text("not ours")
    again = open_spool(tmp_path)
    assert [(each.number, each.commits) for each in again.segments()] == [(1, 2), (2, 1)]


async def test_nothing_lands_after_close(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    landing = spool.landing()
    landing.write(b"data")
    await spool.close()
    await spool.close()
    with pytest.raises(SpoolError, match="closing"):
        spool.landing()
    with pytest.raises(SpoolError, match="closing"):
        await landing.commit(description())
    with pytest.raises(SpoolError, match="closing"):
        await spool.rotate()
    assert list(open_spool(tmp_path).recovered()) == []


async def test_close_makes_durable_what_is_being_committed(tmp_path: Path) -> None:
    disk = GateDisk(gate_at="sync")
    spool = open_spool(tmp_path, disk=disk)
    commit = asyncio.create_task(land(spool, "1", b"data"))
    await disk.wait_for_arrival()
    closing = asyncio.create_task(spool.close())
    disk.gate.set()
    spooled = await commit
    await closing
    assert [each.place for each in open_spool(tmp_path).recovered()] == [spooled.place]


async def test_a_long_landing_is_synced_on_the_way(tmp_path: Path) -> None:
    """So that the last sync is short, and little is looked through after a crash."""
    disk = GateDisk(gate_at="nowhere")
    spool = open_spool(tmp_path, disk=disk)
    landing = spool.landing()
    for _ in range(40):
        landing.write(bytes(MIB))
        if landing.full:
            await landing.ready()
    await landing.commit(description())
    assert disk.syncs >= 2
    await spool.close()

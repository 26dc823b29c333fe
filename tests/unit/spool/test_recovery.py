"""What a start finds in segments that were damaged, torn, or of another key."""

import asyncio
import os
import zlib
from pathlib import Path

import pytest

from fileroom.clock import ManualClock
from fileroom.spool.failure import (
    DamagedSegmentError,
    NewerFormatError,
    SpoolKeyError,
)
from fileroom.spool.format import segment_name
from fileroom.spool.landing import Spool
from fileroom.spool.reader import SegmentFile
from fileroom.spool.record import Spooled
from spool_parts import (
    KEY,
    GateDisk,
    QuickDisk,
    data_set,
    description,
    land,
    name_of,
    open_spool,
    read_back,
)

BLOCK = 4096


async def three_instances(directory: Path, *, clean: bool) -> list[Spooled]:
    """Segment 1 with instances of 1, 3 and 1 data frames, as closed or as killed."""
    spool = open_spool(directory)
    landed = [
        await land(spool, name, data_set(name, size_bytes))
        for name, size_bytes in (("1", 100), ("2", 600_000), ("3", 100))
    ]
    killed = (directory / segment_name(1)).read_bytes()
    await spool.close()
    if not clean:
        (directory / segment_name(1)).write_bytes(killed)
    return landed


def change(directory: Path, offset: int, data: bytes = b"\xff\x00\xff") -> None:
    with (directory / segment_name(1)).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def recovered(directory: Path) -> tuple[list[str], list[tuple[int, bool]]]:
    """Names of what was recovered, and (offset, acknowledged) of the damage."""
    spool = open_spool(directory)
    names = [name_of(each) for each in spool.recovered()]
    assert [name_of(each) for each in spool.recovered()] == names
    return names, [(each.offset, each.acknowledged) for each in spool.damage]


@pytest.mark.parametrize("clean", [True, False])
async def test_an_undamaged_segment_gives_all_and_no_damage(clean: bool, tmp_path: Path) -> None:
    landed = await three_instances(tmp_path, clean=clean)
    spool = open_spool(tmp_path)
    assert list(spool.recovered()) == landed
    assert spool.damage == ()


@pytest.mark.parametrize("clean", [True, False])
async def test_damage_in_data_that_was_synced_shows_when_it_is_read(
    clean: bool, tmp_path: Path
) -> None:
    """Frames before the mark are not read at a start; their tags are checked by the reader."""
    _, second, _ = await three_instances(tmp_path, clean=clean)
    change(tmp_path, 4 * BLOCK + 70 * BLOCK)  # the second frame of the second instance
    assert recovered(tmp_path) == (["1", "2", "3"], [])
    with pytest.raises(DamagedSegmentError) as caught:
        read_back(tmp_path, second.place)
    assert caught.value.segment == 1
    assert caught.value.offset == 3 * BLOCK + 64 * BLOCK


@pytest.mark.parametrize("clean", [True, False])
async def test_a_damaged_commit_frame_that_was_synced_is_reported_as_a_loss(
    clean: bool, tmp_path: Path
) -> None:
    _, second, _ = await three_instances(tmp_path, clean=clean)
    change(tmp_path, second.place.offset + 50)
    assert recovered(tmp_path) == (["1", "3"], [(second.place.offset, True)])


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("field", [0, 5, 20, 28], ids=["kind", "length", "landing", "crc"])
async def test_behind_a_damaged_frame_header_the_next_frame_is_found(
    field: int, clean: bool, tmp_path: Path
) -> None:
    _, second, _ = await three_instances(tmp_path, clean=clean)
    change(tmp_path, second.place.offset + field)
    assert recovered(tmp_path) == (["1", "3"], [(second.place.offset, True)])


async def test_a_lost_commit_frame_of_the_last_window_is_a_torn_tail(tmp_path: Path) -> None:
    _, _, third = await three_instances(tmp_path, clean=False)
    change(tmp_path, third.place.offset + 50)
    assert recovered(tmp_path) == (["1", "2"], [(third.place.offset, False)])


async def test_an_instance_of_the_last_window_with_a_hole_is_dropped_and_told(
    tmp_path: Path,
) -> None:
    _, _, third = await three_instances(tmp_path, clean=False)
    change(tmp_path, third.place.offset - BLOCK, bytes(BLOCK))
    names, damage = recovered(tmp_path)
    assert names == ["1", "2"]
    assert (third.place.offset, False) in damage
    assert {acknowledged for _, acknowledged in damage} == {False}


async def test_the_same_hole_in_a_clean_segment_is_a_loss(tmp_path: Path) -> None:
    _, _, third = await three_instances(tmp_path, clean=True)
    change(tmp_path, third.place.offset - BLOCK, bytes(BLOCK))
    names, damage = recovered(tmp_path)
    assert names == ["1", "2", "3"]  # it is ours, so it is listed; reading it raises
    assert damage == [(third.place.offset - BLOCK, True)]
    with pytest.raises(DamagedSegmentError):
        read_back(tmp_path, third.place)


async def test_a_segment_cut_off_anywhere_gives_the_instances_before(tmp_path: Path) -> None:
    landed = await three_instances(tmp_path, clean=True)
    content = (tmp_path / segment_name(1)).read_bytes()
    for size_bytes in [*range(BLOCK, len(content), 7 * BLOCK + 13), len(content) - 1]:
        (tmp_path / segment_name(1)).write_bytes(content[:size_bytes])
        names, damage = recovered(tmp_path)
        whole = [each for each in landed if each.place.offset + BLOCK <= size_bytes]
        assert names[: len(whole)] == [name_of(each) for each in whole]
        assert {acknowledged for _, acknowledged in damage} <= {False}


def test_files_left_by_a_start_of_a_segment_are_removed(tmp_path: Path) -> None:
    leftovers = [b"", b"FRSPOOL", bytes(2 * BLOCK), b"torn header".ljust(8 * BLOCK, b"\0")]
    for number, content in enumerate(leftovers, 1):
        (tmp_path / segment_name(number)).write_bytes(content)
    spool = open_spool(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert spool.damage == ()


async def test_a_damaged_header_with_frames_behind_stays_and_is_told(tmp_path: Path) -> None:
    await three_instances(tmp_path, clean=True)
    spool = open_spool(tmp_path)
    await land(spool, "next segment", b"data")
    await spool.close()
    change(tmp_path, 40)
    assert recovered(tmp_path) == (["next segment"], [(0, True)])
    assert (tmp_path / segment_name(1)).exists()


async def test_a_spool_of_another_key_is_refused(tmp_path: Path) -> None:
    await three_instances(tmp_path, clean=True)
    with pytest.raises(SpoolKeyError, match="none of 1 segments"):
        Spool.open(tmp_path, key=bytes(32), disk=QuickDisk(), clock=ManualClock(), reserve_bytes=0)
    assert recovered(tmp_path) == (["1", "2", "3"], [])


async def test_a_renamed_segment_is_damage_and_not_its_namesake(tmp_path: Path) -> None:
    await three_instances(tmp_path, clean=True)
    (tmp_path / segment_name(1)).rename(tmp_path / segment_name(2))
    spool = open_spool(tmp_path)
    await land(spool, "x", b"data")
    await spool.close()
    assert recovered(tmp_path) == (["x"], [(0, True)])


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    await three_instances(tmp_path, clean=True)
    content = bytearray((tmp_path / segment_name(1)).read_bytes())
    content[8:10] = b"\0\2"
    content[84:88] = zlib.crc32(content[:84]).to_bytes(4, "big")
    (tmp_path / segment_name(1)).write_bytes(content)
    with pytest.raises(NewerFormatError):
        open_spool(tmp_path)


async def test_what_is_not_synced_yet_is_not_recovered_while_the_node_runs(
    tmp_path: Path,
) -> None:
    disk = GateDisk(gate_at="sync")
    spool = open_spool(tmp_path, disk=disk)
    disk.gate.set()
    first = await land(spool, "1", b"data")
    disk.gate.clear()
    landing = spool.landing()
    landing.write(b"data")
    commit = asyncio.create_task(landing.commit(description("2")))
    await disk.wait_for_arrival()
    assert [each.place for each in spool.recovered()] == [first.place]
    disk.gate.set()
    await commit
    assert len(list(spool.recovered())) == 2
    await spool.close()


async def test_a_bad_sector_is_damage_and_not_an_error_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second, _ = await three_instances(tmp_path, clean=True)
    pread = os.pread

    def bad_sector(descriptor: int, size_bytes: int, offset: int) -> bytes:
        if offset <= second.place.offset < offset + size_bytes:
            raise OSError(5, "injected")
        return pread(descriptor, size_bytes, offset)

    monkeypatch.setattr("fileroom.spool.reader.os.pread", bad_sector)
    names, damage = recovered(tmp_path)
    assert names == ["1", "3"]
    assert damage == [(second.place.offset, True)]
    with pytest.raises(DamagedSegmentError):
        read_back(tmp_path, second.place)


@pytest.mark.parametrize("behind", [0, 1, 5_000_000])
async def test_what_was_allocated_and_never_written_is_passed_over(
    behind: int, tmp_path: Path
) -> None:
    """With and without a file system that tells its holes."""
    landed = await three_instances(tmp_path, clean=False)
    path = tmp_path / segment_name(1)
    written = path.read_bytes()[: landed[-1].place.offset + BLOCK]
    path.write_bytes(written + bytes(behind))
    assert recovered(tmp_path) == (["1", "2", "3"], [])


def test_the_search_for_a_frame_does_not_depend_on_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_holes(descriptor: int, offset: int, how: int) -> int:
        raise OSError(22, "injected")

    (tmp_path / segment_name(1)).write_bytes(
        Path(__file__).resolve().parents[2].joinpath("golden/spool_1_0/00000001.seg").read_bytes()
    )
    file = SegmentFile(tmp_path, 1, key=KEY)
    assert file.next_written(50) == 50
    monkeypatch.setattr("fileroom.spool.reader.os.lseek", no_holes)
    assert file.next_written(50) == 50

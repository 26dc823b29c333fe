"""Landing: what a sender's bytes go through until they are durable."""

import asyncio
import hashlib
import tracemalloc
from array import array
from pathlib import Path

import pytest

from fileroom.spool.failure import InstanceTooLargeError, SpoolError
from fileroom.spool.format import CHUNK_BYTES
from fileroom.spool.reader import SpoolReader
from spool_parts import (
    KEY,
    GateDisk,
    data_set,
    description,
    finish,
    land,
    name_of,
    open_spool,
    read_back,
)

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "size_bytes",
    [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 5 * CHUNK_BYTES + 77],
)
@pytest.mark.parametrize("piece_bytes", [16_000, CHUNK_BYTES, 10 * MIB])
async def test_what_lands_comes_back_bit_for_bit(
    size_bytes: int, piece_bytes: int, tmp_path: Path
) -> None:
    spool = open_spool(tmp_path)
    data = data_set("a", size_bytes)
    spooled = await land(spool, "1", data, piece_bytes=piece_bytes)
    assert spooled.size_bytes == size_bytes
    assert spooled.sha256 == hashlib.sha256(data).digest()
    assert read_back(tmp_path, spooled.place) == data
    await spool.close()


async def test_the_callers_buffer_is_free_as_soon_as_write_returns(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    landing = spool.landing()
    buffer = bytearray(CHUNK_BYTES + 100)
    expected = b""
    for fill in (1, 2, 3):
        buffer[:] = bytes([fill]) * len(buffer)
        expected += buffer
        landing.write(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    spooled = await landing.commit(description())
    assert read_back(tmp_path, spooled.place) == expected
    await spool.close()


async def test_a_view_of_wider_items_is_taken_as_its_bytes(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    pixels = array("H", range(1000))
    landing = spool.landing()
    landing.write(memoryview(pixels))
    spooled = await landing.commit(description())
    assert read_back(tmp_path, spooled.place) == pixels.tobytes()
    await spool.close()


async def test_commit_returns_only_after_the_sync(tmp_path: Path) -> None:
    disk = GateDisk(gate_at="sync")
    spool = open_spool(tmp_path, disk=disk)
    commit = asyncio.create_task(land(spool, "1", b"data"))
    await disk.wait_for_arrival()
    assert not commit.done()
    assert list(spool.recovered()) == []
    disk.gate.set()
    spooled = await commit
    assert [each.place for each in spool.recovered()] == [spooled.place]
    await spool.close()


async def test_commits_that_wait_together_share_one_write_and_one_sync(tmp_path: Path) -> None:
    disk = GateDisk(gate_at="sync")
    spool = open_spool(tmp_path, disk=disk)
    first = asyncio.create_task(land(spool, "first", b"data"))
    await disk.wait_for_arrival()
    assert disk.writes == [2]  # a small instance: its data and its commit frame in one write
    others = [asyncio.create_task(land(spool, f"{n}", b"data")) for n in range(5)]
    while spool.segments()[0].commits < 6:
        await asyncio.sleep(0)
    disk.gate.set()
    await asyncio.gather(first, *others)
    assert disk.writes == [2, 10]
    assert disk.syncs == 2
    await spool.close()


async def test_a_landing_that_outruns_the_disk_is_full_until_the_disk_has_caught_up(
    tmp_path: Path,
) -> None:
    disk = GateDisk(gate_at="write")
    spool = open_spool(tmp_path, disk=disk, segment_size_bytes=16 * MIB)
    landing = spool.landing()
    written = 0
    while not landing.full:
        landing.write(bytes(MIB // 4))
        written += MIB // 4
    assert written <= 2 * MIB + MIB // 4
    ready = asyncio.create_task(landing.ready())
    await disk.wait_for_arrival()
    assert not ready.done()
    disk.gate.set()
    await ready
    assert not landing.full
    await landing.commit(description())
    await spool.close()


async def test_all_landings_together_are_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.spool.landing.QUEUED_BYTES_MAX", MIB)
    disk = GateDisk(gate_at="write")
    spool = open_spool(tmp_path, disk=disk)
    landings = [spool.landing() for _ in range(4)]
    for landing in landings:
        landing.write(bytes(CHUNK_BYTES))
    assert all(landing.full for landing in landings)
    waiting = [asyncio.create_task(landing.ready()) for landing in landings]
    disk.gate.set()
    await asyncio.gather(*waiting)
    for landing in landings:
        landing.abandon()
    await spool.close()


async def test_an_abandoned_landing_wakes_who_waits_for_it(tmp_path: Path) -> None:
    disk = GateDisk(gate_at="write")
    spool = open_spool(tmp_path, disk=disk)
    landing = spool.landing()
    landing.write(bytes(3 * MIB))
    ready = asyncio.create_task(landing.ready())
    await disk.wait_for_arrival()
    landing.abandon()
    await ready
    disk.gate.set()
    await spool.close()


async def test_a_large_instance_streams_in_and_out_in_bounded_memory(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    piece = data_set("a", MIB)
    await land(spool, "0", piece)  # the pool and the codecs are there
    tracemalloc.start()
    landing = spool.landing()
    for _ in range(64):
        landing.write(piece)
        if landing.full:
            await landing.ready()
    spooled = await landing.commit(description())
    assert spooled.sha256 == hashlib.sha256(piece * 64).digest()
    tracemalloc.reset_peak()
    digest = hashlib.sha256()
    for chunk in SpoolReader(tmp_path, key=KEY).open(spooled.place).chunks():
        digest.update(chunk)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert digest.digest() == spooled.sha256
    assert peak_bytes < 16 * MIB
    await spool.close()


async def test_an_abandoned_landing_leaves_nothing_to_recover(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    landing = spool.landing()
    landing.write(data_set("a", 600_000))
    landing.abandon()
    landing.abandon()
    kept = await land(spool, "kept", b"data")
    assert [each.place for each in spool.recovered()] == [kept.place]
    with pytest.raises(SpoolError, match="abandoned"):
        landing.write(b"more")
    with pytest.raises(SpoolError, match="abandoned"):
        await landing.commit(description())
    await spool.close()


async def test_a_landing_is_committed_once(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    landing = spool.landing()
    await landing.commit(description())
    with pytest.raises(SpoolError, match="committed already"):
        await landing.commit(description())
    landing.abandon()
    assert len(list(spool.recovered())) == 1
    await spool.close()


async def test_nothing_is_added_while_the_commit_is_under_way(tmp_path: Path) -> None:
    disk = GateDisk(gate_at="sync")
    spool = open_spool(tmp_path, disk=disk)
    landing = spool.landing()
    landing.write(b"data")
    commit = asyncio.create_task(landing.commit(description()))
    await disk.wait_for_arrival()
    with pytest.raises(SpoolError, match="committed already"):
        landing.write(b"more")
    assert not landing.full
    disk.gate.set()
    assert read_back(tmp_path, (await commit).place) == b"data"
    await spool.close()


async def test_a_cancelled_commit_disturbs_nobody(tmp_path: Path) -> None:
    disk = GateDisk(gate_at="sync")
    spool = open_spool(tmp_path, disk=disk)
    first = asyncio.create_task(land(spool, "1", b"data"))
    await disk.wait_for_arrival()
    second = asyncio.create_task(land(spool, "2", b"data"))
    while spool.segments()[0].commits < 2:
        await asyncio.sleep(0)
    second.cancel()
    disk.gate.set()
    await first
    third = await land(spool, "3", b"data")
    assert spool.segments()[0].landings == 0
    assert [name_of(each) for each in spool.recovered()] == ["1", "2", "3"]
    assert read_back(tmp_path, third.place) == b"data"
    await spool.close()


async def test_a_description_that_is_too_long_is_refused(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    landing = spool.landing()
    landing.write(b"data")
    long = description()
    long.header.attributes["StudyDescription"] = "x" * 1024 * 1024
    with pytest.raises(InstanceTooLargeError):
        await landing.commit(long)
    await land(spool, "2", b"data")
    await spool.close()


async def test_an_instance_with_too_many_frames_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.spool.landing.DATA_FRAMES_MAX", 2)
    spool = open_spool(tmp_path)
    landing = spool.landing()
    landing.write(bytes(2 * CHUNK_BYTES))
    with pytest.raises(InstanceTooLargeError):
        landing.write(bytes(CHUNK_BYTES))
    with pytest.raises(InstanceTooLargeError):
        await landing.commit(description())
    await spool.close()


async def test_nothing_of_a_data_set_or_its_description_lies_there_in_plaintext(
    tmp_path: Path,
) -> None:
    spool = open_spool(tmp_path)
    await land(spool, "1", b"PIXELROW" * 50_000)
    await spool.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (b"PIXELROW", "Müller".encode(), b"2.25.7", b"MODALITY-CT1", b"127.0.0.1"):
        assert secret not in content


async def test_finishing_several_landings_by_turns_mixes_nothing_up(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    names = [f"{n}" for n in range(6)]
    done = await asyncio.gather(
        *[finish(spool.landing(), name, data_set(name, 400_000)) for name in names]
    )
    for name, spooled in zip(names, done, strict=True):
        assert read_back(tmp_path, spooled.place) == data_set(name, 400_000)
    await spool.close()

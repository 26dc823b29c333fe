"""Reading from the spool by place and range."""

import gc
import os
import random
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fileroom.spool.failure import DamagedSegmentError, SegmentGoneError
from fileroom.spool.format import CHUNK_BYTES
from fileroom.spool.reader import SpoolReader
from fileroom.spool.record import Place
from spool_parts import KEY, data_set, land, open_spool


async def test_every_range_of_an_instance_is_read(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    data = data_set("a", 3 * CHUNK_BYTES + 500)
    spooled = await land(spool, "1", data)
    opened = SpoolReader(tmp_path, key=KEY).open(spooled.place)
    assert opened.record == spooled
    edges = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(data)]
    for start in edges:
        for end in edges:
            if start <= end:
                assert opened.read(start, end) == data[start:end]
    with pytest.raises(AssertionError):
        opened.read(0, len(data) + 1)
    await spool.close()


async def test_several_threads_read_one_instance(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    data = data_set("a", 5 * CHUNK_BYTES)
    opened = SpoolReader(tmp_path, key=KEY).open((await land(spool, "1", data)).place)

    def read(seed: int) -> bool:
        draw = random.Random(seed)
        ranges = [sorted(draw.randrange(len(data)) for _ in range(2)) for _ in range(50)]
        return all(opened.read(start, end) == data[start:end] for start, end in ranges)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(8)))
    await spool.close()


async def test_many_open_instances_share_one_file_and_the_last_one_closes_it(
    tmp_path: Path,
) -> None:
    spool = open_spool(tmp_path)
    landed = [await land(spool, f"{n}", b"data") for n in range(100)]
    await spool.close()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    reader = SpoolReader(tmp_path, key=KEY)
    opened = [reader.open(each.place) for each in landed]
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del opened
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_many_open_instances_hold_no_pixels(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_size_bytes=64 * 1024 * 1024)
    landed = [await land(spool, f"{n}", bytes(200_000)) for n in range(50)]
    reader = SpoolReader(tmp_path, key=KEY)
    tracemalloc.start()
    opened = [reader.open(each.place) for each in landed]
    assert all(each.read(0, 1000) == bytes(1000) for each in opened)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 1_500_000
    await spool.close()


async def test_what_is_open_can_be_read_after_its_segment_was_removed(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    place = (await land(spool, "1", b"data")).place
    reader = SpoolReader(tmp_path, key=KEY)
    opened = reader.open(place)
    await spool.rotate()
    await land(spool, "2", b"data")
    spool.unlink_spooled(1)
    assert opened.read(0, 4) == b"data"
    del opened
    gc.collect()
    with pytest.raises(SegmentGoneError):
        reader.open(place)
    await spool.close()


async def test_a_place_that_is_no_commit_frame_is_damage(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    place = (await land(spool, "1", b"data")).place
    reader = SpoolReader(tmp_path, key=KEY)
    for offset in (0, 1, 4096, place.offset + 1, place.offset + 4096, 1 << 40):
        with pytest.raises(DamagedSegmentError, match="no commit frame"):
            reader.open(Place(1, offset))
    await spool.close()


async def test_frames_cannot_change_places(tmp_path: Path) -> None:
    """Two whole frames of one segment, swapped: each is told by its offset."""
    spool = open_spool(tmp_path)
    place = (await land(spool, "1", data_set("a", 2 * CHUNK_BYTES))).place
    await spool.close()
    path = tmp_path / "00000001.seg"
    content = bytearray(path.read_bytes())
    one, two, three = 4096, 4096 + 64 * 4096, 4096 + 128 * 4096
    content[one:two], content[two:three] = content[two:three], content[one:two]
    path.write_bytes(content)
    with pytest.raises(DamagedSegmentError):
        SpoolReader(tmp_path, key=KEY).open(place).read(0, 10)

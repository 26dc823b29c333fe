"""Blocks of ciphertext beside the node: any range is what the provider gave, each block once."""

import asyncio
import random
import threading

import pytest

from fileroom.retrieve.cache import BLOCK_SIZE_BYTES, BlockCache
from spool_parts import QuickDisk

PACK = "ab" * 32
SIZE_BYTES = 3 * BLOCK_SIZE_BYTES + 12_345
DATA = random.Random(5).randbytes(SIZE_BYTES)


class Fetches:
    """A provider's bytes, and which ranges were asked for."""

    def __init__(self):
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, start, end):
        self.asked.append((start, end))
        await self.gate.wait()
        return DATA[start:end]


@pytest.fixture
def fetch():
    return Fetches()


@pytest.fixture
def cache(tmp_path):
    return BlockCache(tmp_path / "cache", disk=QuickDisk(), size_bytes_max=1 << 30)


def read(cache, fetch, start, end):
    return cache.read(PACK, start, end, pack_size_bytes=SIZE_BYTES, fetch=fetch)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (10, 500),
        (0, BLOCK_SIZE_BYTES),
        (BLOCK_SIZE_BYTES - 1, BLOCK_SIZE_BYTES + 1),
        (5, 3 * BLOCK_SIZE_BYTES + 7),
        (SIZE_BYTES - 1, SIZE_BYTES),
        (0, SIZE_BYTES),
    ],
)
async def test_a_range_is_what_the_provider_gave(cache, fetch, start, end, again):
    if again:
        await read(cache, fetch, 0, SIZE_BYTES)
        fetch.asked.clear()
    assert await read(cache, fetch, start, end) == DATA[start:end]
    assert (fetch.asked == []) == again


async def test_two_readers_of_a_block_cause_one_fetch(cache, fetch):
    fetch.gate.clear()
    both = asyncio.gather(read(cache, fetch, 0, 10), read(cache, fetch, 5, 20))
    await asyncio.sleep(0)
    fetch.gate.set()
    assert await both == [DATA[0:10], DATA[5:20]]
    assert fetch.asked == [(0, BLOCK_SIZE_BYTES)]


async def test_a_reader_who_hangs_up_leaves_the_block_to_the_others(cache, fetch):
    fetch.gate.clear()
    gone = asyncio.create_task(read(cache, fetch, 0, 10))
    stays = asyncio.create_task(read(cache, fetch, 0, 10))
    await asyncio.sleep(0)
    gone.cancel()
    fetch.gate.set()
    assert await stays == DATA[:10]
    assert len(fetch.asked) == 1


async def test_a_block_that_nobody_waits_for_any_more_is_not_fetched_on(cache, fetch):
    fetch.gate.clear()
    readers = [asyncio.create_task(read(cache, fetch, 0, SIZE_BYTES)) for _ in range(2)]
    await asyncio.sleep(0)
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    # Who comes then is not taken for one who left.
    fetch.gate.set()
    assert await read(cache, fetch, 0, 10) == DATA[:10]


async def test_a_block_that_has_come_is_kept_whoever_has_left(cache, fetch, monkeypatch):
    stored, store = asyncio.Event(), cache._store

    def slow(key, data):
        loop.call_soon_threadsafe(stored.set)
        gate.wait()
        return store(key, data)

    loop, gate = asyncio.get_running_loop(), threading.Event()
    monkeypatch.setattr(cache, "_store", slow)
    reader = asyncio.create_task(read(cache, fetch, 0, 10))
    await stored.wait()
    reader.cancel()
    gate.set()
    await asyncio.wait([reader])
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)
    assert await read(cache, fetch, 0, 10) == DATA[:10]
    assert len(fetch.asked) == 1


@pytest.mark.parametrize("damage", ["shorter", "gone"])
async def test_a_block_whose_file_is_not_whole_is_fetched_again(cache, fetch, tmp_path, damage):
    await read(cache, fetch, 0, SIZE_BYTES)
    fetch.asked.clear()
    file = tmp_path / "cache" / PACK / "1"
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert (
        await read(cache, fetch, BLOCK_SIZE_BYTES - 3, BLOCK_SIZE_BYTES + 3)
        == (DATA[BLOCK_SIZE_BYTES - 3 : BLOCK_SIZE_BYTES + 3])
    )
    assert fetch.asked == [(BLOCK_SIZE_BYTES, 2 * BLOCK_SIZE_BYTES)]


async def test_the_least_used_blocks_go_and_a_restart_knows_those_that_stay(tmp_path, fetch):
    def opened():
        return BlockCache(tmp_path / "cache", disk=QuickDisk(), size_bytes_max=2 * BLOCK_SIZE_BYTES)

    cache = opened()
    for start in (0, BLOCK_SIZE_BYTES, 0, 2 * BLOCK_SIZE_BYTES):  # the first is used again
        await read(cache, fetch, start, start + 1)
    held = sorted(path.name for path in (tmp_path / "cache" / PACK).iterdir())
    assert held == ["0", "2"]
    fetch.asked.clear()
    assert await read(opened(), fetch, 7, 9) == DATA[7:9]
    assert fetch.asked == []


async def test_what_was_dropped_is_fetched_again(cache, fetch):
    await read(cache, fetch, 0, 1)
    await cache.drop(PACK)
    await read(cache, fetch, 0, 1)
    assert len(fetch.asked) == 2

"""Data sets that are walked and inflated on request: no more of them than is asked for."""

import asyncio
import itertools
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from dicom_samples import ct_explicit, explicit, item
from fileroom.dicom import frames as finding
from fileroom.dicom import inflate
from fileroom.dicom.inflate import InflatedTooLargeError
from fileroom.errors import IntegrityError, TransientError
from fileroom.retrieve import opened
from fileroom.retrieve.opened import (
    NoFramesError,
    NoValueError,
    OpenedDataSet,
    OpenedDataSets,
    OpenedFrames,
)

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
FRAMES, SIDE = 10, 512
PIXELS = Random(1).randbytes(FRAMES * SIDE * SIDE)
KEYS = itertools.count()


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def us(tag: int, number: int) -> bytes:
    return explicit(tag, "US", number.to_bytes(2, "little"))


def image(
    pixels: bytes = PIXELS, *, side: int = SIDE, frames: int = FRAMES, bits: int = 8
) -> bytes:
    return b"".join(
        [
            explicit(0x00080018, "UI", b"1.2.3.4\0"),
            us(0x00280002, 1),
            explicit(0x00280008, "IS", f"{frames} ".encode()),
            us(0x00280010, side),
            us(0x00280011, side),
            us(0x00280100, bits),
            explicit(0x7FE00010, "OB", pixels),
        ]
    )


class Stored:
    """A data set as a store keeps it; a read takes a turn of the loop and a thread, as real ones
    do."""

    def __init__(self, data: bytes, transfer_syntax_uid: str = DEFLATED) -> None:
        self.data = data
        self.transfer_syntax_uid = transfer_syntax_uid
        self.key = next(KEYS)
        self.asked_bytes = 0
        self.error: Exception | None = None

    async def read(self, start: int, end: int) -> bytes:
        assert 0 <= start <= end <= len(self.data)
        self.asked_bytes += end - start
        if self.error is not None:
            raise self.error
        return await asyncio.to_thread(self.data.__getitem__, slice(start, end))

    def by(self, sets: OpenedDataSets) -> OpenedDataSet:
        return sets.open(
            self.key,
            self.read,
            size_bytes=len(self.data),
            transfer_syntax_uid=self.transfer_syntax_uid,
        )


async def given(frames: OpenedFrames, frame: int, step: int = 1 << 20) -> bytes:
    """A frame as the door reads it."""
    found = []
    for start, end in await frames.ranges(frame):
        for position in range(start, end, step):
            found.append(bytes(await frames.read(position, min(position + step, end))))
    return b"".join(found)


async def all_of(frames: OpenedFrames, numbers: Iterable[int], step: int = 1 << 20) -> list[bytes]:
    return [await given(frames, number, step) for number in numbers]


def frame(number: int) -> bytes:
    return PIXELS[number * SIDE * SIDE :][: SIDE * SIDE]


async def test_a_frame_of_a_deflated_data_set_is_inflated_no_further_than_it_reaches():
    stored, sets = Stored(deflate(image())), OpenedDataSets()
    frames = await stored.by(sets).frames()
    assert frames.count == FRAMES
    assert stored.asked_bytes <= 2 * opened.AHEAD_BYTES
    assert await given(frames, 1, step=10_000) == frame(1)
    stored.asked_bytes = 0
    await frames.ranges(2)
    assert stored.asked_bytes < 3 * SIDE * SIDE


async def test_frames_in_any_order_come_from_the_snapshots_of_earlier_requests(monkeypatch):
    monkeypatch.setattr(inflate, "SNAPSHOT_EVERY_BYTES", SIDE * SIDE)
    stored, sets = Stored(deflate(image())), OpenedDataSets()
    assert await all_of(await stored.by(sets).frames(), (9, 0, 5, 5, 3)) == [
        *(frame(number) for number in (9, 0, 5, 5, 3))
    ]
    stored.asked_bytes = 0
    again = await stored.by(sets).frames()
    assert stored.asked_bytes == 0
    assert await given(again, 9) == frame(9)
    assert stored.asked_bytes < 3 * SIDE * SIDE


async def test_bits_that_were_deflated_are_shifted_after_they_were_inflated():
    value = Random(2).randbytes(16)
    stored = Stored(deflate(image(value, side=3, frames=14, bits=1)))
    frames = await stored.by(OpenedDataSets()).frames()
    plain = Stored(image(value, side=3, frames=14, bits=1), EXPLICIT)
    expected = await all_of(await plain.by(OpenedDataSets()).frames(), range(14), step=1)
    bits = int.from_bytes(value, "little")
    assert expected == [(bits >> 9 * n & 511).to_bytes(2, "little") for n in range(14)]
    assert await all_of(frames, range(14), step=1) == expected


async def test_what_ends_too_early_gives_the_frames_before_and_says_so_of_the_others():
    whole = deflate(image())
    frames = await Stored(whole[: len(whole) // 2]).by(OpenedDataSets()).frames()
    assert await given(frames, 0) == frame(0)
    with pytest.raises(NoFramesError, match=r"ends after \d+ B, before frame 10 does"):
        await frames.ranges(9)
    assert await given(frames, 3) == frame(3)


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED])
@pytest.mark.parametrize(
    "data", [ct_explicit()[:200], b"", image(bytes(100)), image(b"", frames=2)]
)
async def test_what_has_no_frames_says_so(data, syntax):
    stored = Stored(deflate(data) if syntax == DEFLATED else data, syntax)
    with pytest.raises(NoFramesError):
        await stored.by(OpenedDataSets()).frames()


async def test_a_bomb_is_refused_as_one(monkeypatch):
    monkeypatch.setattr(finding, "INFLATED_HEADER_BYTES_MAX", 1 << 20)
    monkeypatch.setattr(opened, "INFLATED_BYTES_MAX", 8 << 20)
    monkeypatch.setattr(inflate, "INFLATED_BYTES_MAX", 8 << 20)
    bomb = Stored(deflate(explicit(0x00091010, "OB", bytes(100 << 20)) + image(bytes(64), side=8)))
    for asked in (bomb.by(OpenedDataSets()).frames(), bomb.by(OpenedDataSets()).value("7FE00010")):
        with pytest.raises(InflatedTooLargeError):
            await asked
    side = 4096
    long = Stored(deflate(image(bytes(2 * side * side), side=side, frames=2)))
    frames = await long.by(OpenedDataSets()).frames()
    with pytest.raises(InflatedTooLargeError):
        await frames.ranges(1)


async def test_values_of_a_deflated_data_set_are_found_by_path_and_read_by_range():
    icon = explicit(0x00880200, "SQ", item(explicit(0x7FE00010, "OW", b"\1\2" * 1000)))
    profile = explicit(0x00282000, "OB", b"icc " * 3000)
    stored = Stored(deflate(explicit(0x00080018, "UI", b"1.2\0") + profile + icon))
    data_set = stored.by(OpenedDataSets())
    for path, value in (("00880200/1/7FE00010", b"\1\2" * 1000), ("00282000", b"icc " * 3000)):
        start, end = await data_set.value(path)
        assert end - start == len(value)
        assert await data_set.read(start, end) == value
        assert await data_set.read(start + 10, start + 20) == value[10:20]
    for path in ("00880200/2/7FE00010", "00880200/1", "11112222", "x", ""):
        with pytest.raises(NoValueError):
            await data_set.value(path)


@pytest.mark.parametrize("error", [TransientError("away"), IntegrityError("damaged")])
async def test_a_store_that_fails_says_how_and_may_be_asked_again(error):
    stored, sets = Stored(deflate(image())), OpenedDataSets()
    frames = await stored.by(sets).frames()
    assert await given(frames, 0) == frame(0)
    stored.error = error
    with pytest.raises(type(error)):
        await given(frames, 9)
    stored.error = None
    assert await given(frames, 9) == frame(9)


async def test_more_walks_than_threads_all_end():
    """Each read of a walk needs a thread of its own, and there are not more of them than walks."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(opened.WALKS_MAX + 1))
    sets = OpenedDataSets()
    stored = [Stored(deflate(image(frames=1)[:-9])) for _ in range(10)]
    stored += [Stored(ct_explicit(), EXPLICIT) for _ in range(10)]
    async with asyncio.timeout(60):
        found = await asyncio.gather(*(each.by(sets).value("7FE00010") for each in stored))
    assert len(found) == 20


async def test_a_walk_that_nobody_waits_for_any_more_reads_no_further_and_gives_its_turn_back():
    stored, sets = Stored(deflate(image())), OpenedDataSets()
    frames = await stored.by(sets).frames()
    whole_bytes, read, reading = len(stored.data), stored.read, asyncio.Event()

    async def last(start: int, end: int) -> bytes:
        reading.set()
        return await read(start, end)

    stored.read, stored.asked_bytes = last, 0
    walks = [asyncio.create_task(stored.by(sets).value("11112222")) for _ in range(9)]
    await reading.wait()
    for walk in walks:
        walk.cancel()
    await asyncio.wait(walks)
    async with asyncio.timeout(60):
        for _ in range(opened.WALKS_MAX):
            await sets._turns.acquire()
    assert stored.asked_bytes < whole_bytes
    for _ in range(opened.WALKS_MAX):
        sets._turns.release()
    stored.read = read
    assert await given(frames, 9) == frame(9)


async def test_what_is_held_stays_within_its_bounds(monkeypatch):
    monkeypatch.setattr(inflate, "SNAPSHOT_EVERY_BYTES", 1 << 18)
    monkeypatch.setattr(opened, "HELD_BYTES_MAX", 1 << 20)
    monkeypatch.setattr(opened, "HELD_MAX", 4)
    sets = OpenedDataSets()
    first = Stored(deflate(image()))
    await (await first.by(sets).frames()).ranges(9)
    for _ in range(5):
        stored = Stored(deflate(image()))
        await (await stored.by(sets).frames()).ranges(9)
        assert sets.held_bytes <= 1 << 20
    for _ in range(9):
        await Stored(image(), EXPLICIT).by(sets).frames()
        assert len(sets) <= 4
    first.asked_bytes = 0
    await first.by(sets).frames()
    assert first.asked_bytes > 0


async def test_what_is_held_stays_within_its_bounds_where_walks_find_nothing(monkeypatch):
    monkeypatch.setattr(opened, "HELD_MAX", 4)
    sets = OpenedDataSets()
    for _ in range(9):
        with pytest.raises(NoValueError):
            await Stored(image(), EXPLICIT).by(sets).value("00104000")
        assert len(sets) <= 4

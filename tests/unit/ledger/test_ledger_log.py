"""The local log: durable before told, torn tails cut, damage named, failing disks survived."""

import asyncio
import errno
import threading

import pytest

from fileroom.clock import ManualClock
from fileroom.disk import Disk, SyncError
from fileroom.errors import IntegrityError
from fileroom.ledger import merkle
from fileroom.ledger.log import Ledger, LedgerWriteError
from fileroom.ledger.record import RecordError
from fileroom.ledger.segment import SegmentError
from golden import ledger_v1 as golden
from ledger_parts import QuickDisk

KEY = golden.BODY_KEY


class CountingDisk(QuickDisk):
    """A disk whose next steps can be made to fail, and whose syncs can be held back."""

    def __init__(self):
        self.syncs = 0
        self.failing = {}
        self.gate = threading.Event()
        self.gate.set()

    def _step(self, name):
        if self.failing.get(name):
            self.failing[name] -= 1
            if name == "sync":
                raise SyncError("fdatasync failed with errno 5")
            raise OSError(errno.ENOSPC, "no space left")

    def write(self, descriptor, buffers, offset):
        self._step("write")
        super().write(descriptor, buffers, offset)

    def allocate(self, descriptor, size_bytes):
        self._step("allocate")
        super().allocate(descriptor, size_bytes)

    def unlink(self, path):
        self._step("unlink")
        super().unlink(path)

    def sync(self, descriptor):
        self.gate.wait(10)
        self._step("sync")
        self.syncs += 1
        super().sync(descriptor)


def opened(directory, *, disk=None, segment_size_bytes=1 << 16, key=KEY, **options):
    return Ledger.open(
        directory,
        site="general",
        body_key=key,
        disk=disk or QuickDisk(),
        clock=ManualClock(wall_ns=golden.TIME_NS),
        segment_size_bytes=segment_size_bytes,
        **options,
    )


async def filled(directory, count, **options):
    """Append `count` events one by one, close, and return the root."""
    ledger = opened(directory, **options)
    for number in range(count):
        assert await ledger.append("started", {"n": number}) == number
    root = ledger.root()
    await ledger.close()
    return root


def numbers(ledger):
    return [each.body["n"] for each in ledger.records(0)]


def segments(directory):
    return sorted((directory / "general").iterdir())


def batch_offsets(path):
    data = path.read_bytes()
    found, at = [], data.find(b"FRLB")
    while at >= 0:
        found.append(at)
        at = data.find(b"FRLB", at + 1)
    return found


def damage(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x40
    path.write_bytes(data)


async def test_the_first_segment_is_the_one_on_the_format_page(tmp_path, monkeypatch):
    monkeypatch.setattr("os.urandom", lambda count: (golden.SALT + golden.NONCE)[:count])
    ledger = opened(tmp_path)
    await ledger.append(golden.KIND, {"version": "0.1.0"})
    assert ledger.root() == golden.LEAF
    await ledger.close()
    data = (tmp_path / "general" / "00000001.seg").read_bytes()
    written = golden.SEGMENT_HEADER + golden.SEGMENT_BATCH
    assert data[: len(written)] == written
    assert data.count(0, len(written)) == len(data) - len(written)


async def test_an_empty_ledger_has_the_empty_root(tmp_path):
    ledger = opened(tmp_path)
    assert (ledger.size, ledger.root(), numbers(ledger)) == (0, merkle.EMPTY_ROOT, [])
    await ledger.close()


@pytest.mark.parametrize("segment_size_bytes", [1 << 10, 1 << 16])
async def test_what_was_appended_is_there_after_a_restart(tmp_path, segment_size_bytes):
    root = await filled(tmp_path, 40, segment_size_bytes=segment_size_bytes)
    ledger = opened(tmp_path, segment_size_bytes=segment_size_bytes)
    assert numbers(ledger) == list(range(40))
    assert ledger.root() == ledger.verify() == root
    assert await ledger.append("stopped", {"n": 40}) == 40
    assert [(each.index, each.kind) for each in ledger.records(39)] == [
        (39, "started"),
        (40, "stopped"),
    ]
    await ledger.close()


async def test_a_root_of_any_earlier_size_is_found_again(tmp_path):
    ledger = opened(tmp_path, segment_size_bytes=1 << 10)
    roots = [ledger.root()]
    for number in range(30):
        await ledger.append("started", {"n": number})
        roots.append(ledger.root())
    assert len(segments(tmp_path)) > 5
    assert [ledger.root(size) for size in range(31)] == roots
    await ledger.close()


async def test_any_range_of_records_is_read_across_segments(tmp_path):
    await filled(tmp_path, 25, segment_size_bytes=1 << 10)
    ledger = opened(tmp_path, segment_size_bytes=1 << 10)
    for start in range(26):
        for end in range(start, 26):
            assert [each.index for each in ledger.records(start, end)] == [*range(start, end)]
    for start, end in ((0, 26), (-1, 3), (5, 4)):
        with pytest.raises(ValueError, match="do not lie in a log of 25"):
            list(ledger.records(start, end))
    await ledger.close()


async def test_events_that_wait_together_become_durable_with_one_sync(tmp_path):
    disk = CountingDisk()
    ledger = opened(tmp_path, disk=disk, segment_size_bytes=1 << 20)
    disk.gate.clear()
    first = ledger.append_nowait("started", {"n": 0})
    rest = [ledger.append_nowait("started", {"n": number}) for number in range(1, 500)]
    before = disk.syncs
    disk.gate.set()
    assert await asyncio.gather(first, *rest) == list(range(500))
    assert disk.syncs - before <= 3
    assert numbers(ledger) == list(range(500))
    await ledger.close()


async def test_nothing_is_told_or_read_before_it_is_synced(tmp_path):
    disk = CountingDisk()
    ledger = opened(tmp_path, disk=disk)
    disk.gate.clear()
    waiting = ledger.append_nowait("started", {"n": 0})
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    assert (ledger.size, numbers(ledger)) == (0, [])
    disk.gate.set()
    assert await waiting == 0
    assert numbers(ledger) == [0]
    await ledger.close()


async def test_who_stops_waiting_disturbs_nobody(tmp_path):
    disk = CountingDisk()
    ledger = opened(tmp_path, disk=disk)
    disk.gate.clear()
    waiting = [asyncio.create_task(ledger.append("started", {"n": n})) for n in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    disk.gate.set()
    assert await waiting[0] == 0
    assert await waiting[2] == 2
    assert numbers(ledger) == [0, 1, 2]
    await ledger.close()


async def test_close_writes_what_waits_and_refuses_what_comes_later(tmp_path):
    ledger = opened(tmp_path)
    waiting = [ledger.append_nowait("started", {"n": number}) for number in range(10)]
    await ledger.close()
    assert [await each for each in waiting] == list(range(10))
    with pytest.raises(LedgerWriteError, match="closed"):
        await ledger.append("started", {"n": 10})
    await ledger.close()


async def test_a_log_cut_at_any_byte_of_its_last_batch_loses_that_batch_only(tmp_path):
    root = await filled(tmp_path / "whole", 3)
    [whole] = segments(tmp_path / "whole")
    data = whole.read_bytes()
    last = batch_offsets(whole)[-1]
    end = len(data.rstrip(b"\0"))
    for cut in range(last, end, 3):
        directory = tmp_path / f"{cut}"
        (directory / "general").mkdir(parents=True)
        path = directory / "general" / whole.name
        path.write_bytes(data[:cut] + bytes(len(data) - cut))
        ledger = opened(directory)
        assert numbers(ledger) == [0, 1]
        assert await ledger.append("started", {"n": 2}) == 2
        await ledger.close()
        path.write_bytes(data[:cut])
        ledger = opened(directory)
        assert ledger.size == 2
        await ledger.close()
    assert root


async def test_a_changed_byte_before_the_last_batch_is_an_integrity_error(tmp_path):
    await filled(tmp_path, 3)
    [path] = segments(tmp_path)
    whole = path.read_bytes()
    for offset in range(batch_offsets(path)[-1]):
        damage(path, offset)
        with pytest.raises(IntegrityError):
            opened(tmp_path)
        path.write_bytes(whole)


async def test_damage_in_an_earlier_segment_is_named_when_it_is_read(tmp_path):
    await filled(tmp_path, 20, segment_size_bytes=1 << 10)
    path = segments(tmp_path)[1]
    for offset in (batch_offsets(path)[0] + 60, batch_offsets(path)[-1]):
        damage(path, offset)
        ledger = opened(tmp_path, segment_size_bytes=1 << 10)
        with pytest.raises(SegmentError, match="ledger segment 2 is damaged at entry"):
            numbers(ledger)
        with pytest.raises(SegmentError, match="ledger segment 2 is damaged at entry"):
            ledger.verify()
        assert [each.index for each in ledger.records(19)] == [19]
        await ledger.close()
        damage(path, offset)


@pytest.mark.parametrize("gone", [0, 1])
async def test_a_missing_segment_is_an_integrity_error(tmp_path, gone):
    await filled(tmp_path, 20, segment_size_bytes=1 << 10)
    segments(tmp_path)[gone].unlink()
    with pytest.raises(SegmentError):
        opened(tmp_path, segment_size_bytes=1 << 10).verify()


async def test_segments_that_changed_places_are_an_integrity_error(tmp_path):
    await filled(tmp_path, 20, segment_size_bytes=1 << 10)
    _, second, third, *_ = segments(tmp_path)
    data = second.read_bytes()
    second.write_bytes(third.read_bytes())
    third.write_bytes(data)
    with pytest.raises(SegmentError, match="another's"):
        opened(tmp_path, segment_size_bytes=1 << 10)


async def test_a_log_of_another_site_is_an_integrity_error(tmp_path):
    await filled(tmp_path, 2)
    (tmp_path / "general").rename(tmp_path / "clinics")
    with pytest.raises(SegmentError, match="another's"):
        Ledger.open(tmp_path, site="clinics", body_key=KEY, disk=Disk(), clock=ManualClock())


async def test_a_log_shorter_than_what_was_durable_is_an_integrity_error(tmp_path):
    await filled(tmp_path, 3)
    [path] = segments(tmp_path)
    damage(path, batch_offsets(path)[-1] + 60)
    with pytest.raises(SegmentError, match="holds 2 entries, and 3 were durable"):
        opened(tmp_path, size_min=3)


async def test_another_body_key_is_noticed_at_open(tmp_path):
    await filled(tmp_path, 1)
    with pytest.raises(RecordError, match="does not open"):
        opened(tmp_path, key=b"x" * 32)


@pytest.mark.parametrize("left", [b"", b"FRLEDGR1", golden.SEGMENT_HEADER[:-1], bytes(1 << 16)])
async def test_a_segment_that_was_never_used_is_begun_again(tmp_path, left):
    root = await filled(tmp_path, 2)
    unused = tmp_path / "general" / "00000002.seg"
    unused.write_bytes(left.replace(b"\x00\x01\x00\x00", b"\x00\x02\x00\x00", 1))
    ledger = opened(tmp_path)
    assert not unused.exists()
    assert ledger.root() == root
    assert await ledger.append("started", {"n": 2}) == 2
    await ledger.close()


@pytest.mark.parametrize("step", ["write", "sync"])
async def test_a_failed_write_or_sync_gives_the_file_up_and_the_log_goes_on(tmp_path, step):
    disk = CountingDisk()
    ledger = opened(tmp_path, disk=disk)
    await ledger.append("started", {"n": 0})
    disk.failing[step] = 1
    with pytest.raises(LedgerWriteError):
        await ledger.append("started", {"n": "lost"})
    assert (ledger.size, numbers(ledger)) == (1, [0])
    assert await ledger.append("started", {"n": 1}) == 1
    await ledger.close()
    assert [each.name for each in segments(tmp_path)] == ["00000001.seg", "00000002.seg"]
    ledger = opened(tmp_path)
    assert numbers(ledger) == [0, 1]
    assert ledger.verify() == ledger.root()
    await ledger.close()


@pytest.mark.parametrize("step", ["write", "sync", "allocate"])
async def test_a_disk_that_fails_for_long_leaves_no_files_behind(tmp_path, step):
    disk = CountingDisk()
    ledger = opened(tmp_path, disk=disk, segment_size_bytes=1 << 8)  # one event fills a segment
    for number in range(3):
        disk.failing[step] = 4
        for _ in range(4):
            with pytest.raises(LedgerWriteError):
                await ledger.append("started", {"n": "lost"})
        assert await ledger.append("started", {"n": number}) == number
    await ledger.close()
    assert len(segments(tmp_path)) == 3
    ledger = opened(tmp_path)
    assert numbers(ledger) == [0, 1, 2]
    await ledger.close()


@pytest.mark.parametrize("step", ["write", "sync"])
async def test_a_file_that_was_given_up_and_cannot_be_removed_does_no_harm(tmp_path, step):
    disk = CountingDisk()
    ledger = opened(tmp_path, disk=disk, segment_size_bytes=1 << 8)
    for number in range(3):
        disk.failing = {step: 2, "unlink": 2}
        for _ in range(2):
            with pytest.raises(LedgerWriteError):
                await ledger.append("started", {"n": "lost"})
        assert await ledger.append("started", {"n": number}) == number
    root = ledger.root()
    await ledger.close()
    assert len(segments(tmp_path)) == 9
    ledger = opened(tmp_path)
    assert numbers(ledger) == [0, 1, 2]
    assert ledger.verify() == ledger.root() == root
    assert [ledger.root(size) for size in range(4)][3] == root
    await ledger.close()


class DeceivedDisk(Disk):
    """A disk that loses one write: its sync fails, and the page cache hides that until dropped."""

    lose_next = False
    lost = None

    def write(self, descriptor, buffers, offset):
        super().write(descriptor, buffers, offset)
        self._last_write = (offset, sum(map(len, buffers)))

    def sync(self, descriptor):
        if self.lose_next:
            self.lose_next, self.lost = False, self._last_write
            raise SyncError("fdatasync failed with errno 5")
        super().sync(descriptor)  # succeeds: the pages of the failed one are clean

    def drop_cached(self, descriptor):
        if self.lost is not None:
            offset, size_bytes = self.lost
            super().write(descriptor, [bytes(size_bytes)], offset)


async def test_a_start_believes_the_disk_and_not_the_page_cache(tmp_path):
    disk = DeceivedDisk()
    ledger = opened(tmp_path, disk=disk)
    await ledger.append("started", {"n": 0})
    disk.lose_next = True
    with pytest.raises(LedgerWriteError):
        await ledger.append("started", {"n": "lost"})
    await ledger.close()
    ledger = opened(tmp_path, disk=disk)
    assert numbers(ledger) == [0]
    await ledger.close()


async def test_a_failing_sync_while_others_wait_fails_only_its_own_batch(tmp_path):
    disk = CountingDisk()
    ledger = opened(tmp_path, disk=disk)
    disk.gate.clear()
    first = ledger.append_nowait("started", {"n": "lost"})
    await asyncio.wait([first], timeout=0.05)  # the thread has taken it alone
    rest = [ledger.append_nowait("started", {"n": number}) for number in range(5)]
    disk.failing["sync"] = 1
    disk.gate.set()
    with pytest.raises(LedgerWriteError):
        await first
    assert [await each for each in rest] == list(range(5))
    assert numbers(ledger) == list(range(5))
    await ledger.close()


async def test_too_much_waiting_is_refused_and_none_of_it_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("fileroom.ledger.waiting.SIZE_BYTES_MAX", 2000)
    disk = CountingDisk()
    ledger = opened(tmp_path, disk=disk)
    disk.gate.clear()
    waiting = [ledger.append_nowait("started", {"n": number}) for number in range(100)]
    refused = [number for number, each in enumerate(waiting) if each.done()]
    taken = [number for number in range(100) if number not in refused]
    assert len(taken) > 2
    assert len(refused) > 2
    for number in refused:
        with pytest.raises(LedgerWriteError, match="B wait for"):
            await waiting[number]
    disk.gate.set()
    assert [await waiting[number] for number in taken] == list(range(len(taken)))
    assert numbers(ledger) == taken
    await ledger.close()


async def test_an_event_larger_than_a_segment_has_a_segment_of_its_own(tmp_path):
    ledger = opened(tmp_path, segment_size_bytes=1 << 10)
    for number in (10, 200_000, 10, 5_000):
        await ledger.append("started", {"n": "x" * number})
    assert [len(each) for each in numbers(ledger)] == [10, 200_000, 10, 5_000]
    await ledger.close()


async def test_no_body_lies_readable_on_the_disk(tmp_path):
    ledger = opened(tmp_path)
    await ledger.append("received", {"patient": "Doe^Jane", "study_instance_uid": "1.2.3.4.5"})
    await ledger.close()
    [path] = segments(tmp_path)
    assert b"Doe" not in path.read_bytes()
    assert b"1.2.3.4.5" not in path.read_bytes()


async def test_adopted_records_are_the_same_log(tmp_path):
    root = await filled(tmp_path / "one", 30)
    one = opened(tmp_path / "one")
    other = opened(tmp_path / "other")
    await other.adopt(list(one.stored(0, 30)))
    assert other.root() == root
    assert numbers(other) == list(range(30))
    await other.close()
    stranger = opened(tmp_path / "stranger", key=b"x" * 32)
    with pytest.raises(RecordError):
        await stranger.adopt(list(one.stored(0, 30)))
    assert stranger.size == 0
    await stranger.close()
    await one.close()


@pytest.mark.parametrize("site", ["", "..", "a/b", "General", "-a", "a" * 64, "a\n", "a b", "ä"])
def test_a_sites_name_that_cannot_stand_in_a_path_is_refused(tmp_path, site):
    with pytest.raises(ValueError, match="cannot be used"):
        Ledger.open(tmp_path, site=site, body_key=KEY, disk=Disk(), clock=ManualClock())
    assert not list(tmp_path.iterdir())

"""What is set aside: read back as it was appended, on the disk encrypted and under no name."""

import errno
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fileroom import disk as disk_module
from fileroom.disk import Disk
from fileroom.spool.aside import CHUNK_BYTES, TAG_BYTES, Aside
from fileroom.spool.failure import SpaceError, SpoolError
from fileroom.spool.space import Space


class WatchedDisk(Disk):
    """Counts writes, and fails the one that is to fail."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.fails_with = 0
        self.free = 1 << 40

    def write(self, descriptor, buffers, offset):
        if self.fails_with:
            raise OSError(self.fails_with, "made to fail")
        self.writes.append(b"".join(buffers))
        super().write(descriptor, buffers, offset)

    def free_bytes(self, path):
        return self.free


def aside_in(directory: Path, disk: Disk, reserve_bytes: int = 0) -> Aside:
    space = Space(directory, disk=disk, reserve_bytes=reserve_bytes)
    return Aside(directory, disk=disk, space=space)


@pytest.mark.parametrize("cut", [1000, CHUNK_BYTES, 700_001])
def test_any_range_is_read_as_it_was_appended(tmp_path, cut):
    data = random.Random(7).randbytes(3 * CHUNK_BYTES + 12345)
    aside = aside_in(tmp_path, Disk())
    for start in range(0, len(data), cut):
        assert aside.size_bytes == start
        aside.append(memoryview(data)[start : start + cut])
    ends = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, len(data)]
    for start in ends:
        for end in ends:
            pieces = list(aside.read(start, end))
            assert b"".join(pieces) == data[start : max(start, end)]
            assert all(0 < len(piece) <= CHUNK_BYTES for piece in pieces)
    aside.close()


def test_what_is_appended_may_be_read_while_more_comes(tmp_path):
    aside = aside_in(tmp_path, Disk())
    aside.append(b"a" * 1000)
    pieces = aside.read(0, 1000)
    aside.append(b"b" * CHUNK_BYTES)
    assert b"".join(pieces) == b"a" * 1000
    aside.close()


def test_little_touches_no_disk(tmp_path):
    disk = WatchedDisk()
    aside = aside_in(tmp_path, disk)
    aside.append(b"x" * (CHUNK_BYTES - 1))
    assert disk.writes == []
    aside.close()


@pytest.mark.parametrize("unnamed", [True, False])
def test_the_disk_has_no_plaintext_and_no_name_of_it(tmp_path, monkeypatch, unnamed):
    if not unnamed:
        opened = os.open

        def refusing(path, flags, *rest):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no such files here")
            return opened(path, flags, *rest)

        monkeypatch.setattr(disk_module.os, "open", refusing)
    disk = WatchedDisk()
    aside = aside_in(tmp_path, disk)
    aside.append(b"Zauberfluss^Quirinius" * 50_000)
    assert len(disk.writes) > 2
    assert all(len(each) == CHUNK_BYTES + TAG_BYTES for each in disk.writes)
    assert b"Zauberfluss" not in b"".join(disk.writes)
    assert len(set(disk.writes)) == len(disk.writes)
    assert list(tmp_path.iterdir()) == []
    aside.close()


def test_two_of_them_have_two_keys(tmp_path):
    disk = WatchedDisk()
    for _ in range(2):
        aside = aside_in(tmp_path, disk)
        aside.append(bytes(CHUNK_BYTES))
        aside.close()
    assert disk.writes[0] != disk.writes[1]


def test_nothing_is_taken_below_the_reserve(tmp_path):
    disk = WatchedDisk()
    disk.free = 1 << 20
    aside = aside_in(tmp_path, disk, reserve_bytes=(1 << 20) - CHUNK_BYTES)
    with pytest.raises(SpaceError):
        aside.append(bytes(CHUNK_BYTES))
    assert disk.writes == []
    aside.close()


@pytest.mark.parametrize(
    "number, error",
    [(errno.ENOSPC, SpaceError), (errno.EDQUOT, SpaceError), (errno.EIO, SpoolError)],
)
def test_a_disk_that_fails_is_told_by_what_to_do(tmp_path, number, error):
    disk = WatchedDisk()
    disk.fails_with = number
    aside = aside_in(tmp_path, disk)
    with pytest.raises(error):
        aside.append(bytes(CHUNK_BYTES))
    aside.close()


def test_nothing_is_kept_of_what_a_disk_did_not_take_and_no_more_is_taken(tmp_path):
    disk = WatchedDisk()
    aside = aside_in(tmp_path, disk)
    taken = random.Random(7).randbytes(CHUNK_BYTES + 1000)
    aside.append(taken)
    disk.fails_with = errno.ENOSPC
    for _ in range(3):
        with pytest.raises(SpaceError):
            aside.append(bytes(2 * CHUNK_BYTES))
        assert aside.size_bytes == len(taken)
    # Another chunk under the nonce of the one that may be on the disk in part would betray both.
    disk.fails_with = 0
    with pytest.raises(SpaceError):
        aside.append(bytes(CHUNK_BYTES))
    assert len(disk.writes) == 1
    assert b"".join(aside.read(0, len(taken))) == taken
    aside.close()


def test_other_bytes_than_were_written_do_not_open(tmp_path):
    disk = WatchedDisk()
    aside = aside_in(tmp_path, disk)
    aside.append(bytes(2 * CHUNK_BYTES))
    assert aside._descriptor is not None
    os.pwrite(aside._descriptor, disk.writes[1], 0)  # chunks that changed places
    with pytest.raises(SpoolError, match="chunk 0"):
        list(aside.read(0, 10))
    assert b"".join(aside.read(CHUNK_BYTES, CHUNK_BYTES + 10)) == bytes(10)
    aside.close()


def test_its_descriptor_is_closed_with_it(tmp_path):
    aside = aside_in(tmp_path, Disk())
    aside.append(bytes(CHUNK_BYTES))
    descriptor = aside._descriptor
    assert descriptor is not None
    aside.append(b"in clear")
    aside.close()
    aside.close()
    with pytest.raises(OSError):
        os.fstat(descriptor)
    assert aside.size_bytes == CHUNK_BYTES  # and what was in memory is gone too


def test_nothing_is_written_or_read_behind_the_end(tmp_path):
    """A thread that nobody waits for any more may come late; its descriptor is another file's."""
    disk = WatchedDisk()
    aside = aside_in(tmp_path, disk)
    aside.append(bytes(2 * CHUNK_BYTES))
    pieces = aside.read(0, 2 * CHUNK_BYTES)
    next(pieces)
    aside.close()
    with pytest.raises(SpoolError):
        aside.append(bytes(CHUNK_BYTES))
    with pytest.raises(SpoolError):
        next(pieces)
    assert len(disk.writes) == 2


def test_the_end_waits_for_what_is_being_written(tmp_path):
    writing, going_on = threading.Event(), threading.Event()

    class SlowDisk(WatchedDisk):
        def write(self, descriptor, buffers, offset):
            writing.set()
            assert going_on.wait(10)
            super().write(descriptor, buffers, offset)

    aside = aside_in(tmp_path, SlowDisk())
    with ThreadPoolExecutor(2) as threads:
        written = threads.submit(aside.append, bytes(CHUNK_BYTES))
        assert writing.wait(10)
        closed = threads.submit(aside.close)
        assert not closed.done()
        going_on.set()
        assert written.result() is None
        assert closed.result() is None

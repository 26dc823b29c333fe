"""The one place that touches files: short writes, names, and what is durable when."""

import errno
import os
from pathlib import Path

import pytest

from fileroom.disk import Disk, SyncError


class Recorder(Disk):
    """A disk that notes its steps on names."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def sync_directory(self, path: Path) -> None:
        self.steps.append(f"sync {path.name}")
        super().sync_directory(path)

    def _make_one_directory(self, path: Path) -> None:
        self.steps.append(f"make {path.name}")
        super()._make_one_directory(path)

    def _link(self, existing: Path, new: Path) -> None:
        self.steps.append(f"link {new.name}")
        super()._link(existing, new)

    def _remove(self, path: Path) -> None:
        self.steps.append(f"remove {path.name}")
        super()._remove(path)


def test_many_buffers_are_written_one_behind_the_other(tmp_path: Path) -> None:
    disk = Disk()
    descriptor = disk.create(tmp_path / "file")
    buffers = [bytes([n % 251]) * (n % 7) for n in range(3000)]
    disk.write(descriptor, buffers, 100)
    assert (tmp_path / "file").read_bytes() == bytes(100) + b"".join(buffers)
    disk.close(descriptor)


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwritev = os.pwritev

    def short(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        return pwritev(descriptor, [b"".join(buffers)[:3]], offset)

    monkeypatch.setattr("fileroom.disk.os.pwritev", short)
    disk = Disk()
    descriptor = disk.create(tmp_path / "file")
    disk.write(descriptor, [b"ab", b"", bytearray(b"cdefg"), memoryview(b"h")], 0)
    assert (tmp_path / "file").read_bytes() == b"abcdefgh"
    disk.close(descriptor)


def test_a_write_that_takes_nothing_is_an_error_and_no_endless_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.disk.os.pwritev", lambda *_: 0)
    disk = Disk()
    descriptor = disk.create(tmp_path / "file")
    with pytest.raises(OSError, match="took nothing"):
        disk.write(descriptor, [b"data"], 0)
    disk.close(descriptor)


def test_new_folders_are_synced_from_the_top_and_each_only_once(tmp_path: Path) -> None:
    disk = Recorder()
    disk.make_directory(tmp_path / "a" / "b")
    top = tmp_path.name
    assert disk.steps == [
        f"sync {tmp_path.parent.name}",
        "make a",
        f"sync {top}",
        "make b",
        "sync a",
    ]
    disk.steps.clear()
    disk.make_directory(tmp_path / "a" / "b")
    assert disk.steps == []
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_was_there_is_synced_too_for_its_maker_may_have_died(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").mkdir()
    disk = Recorder()
    disk.make_directory(tmp_path / "a")
    assert disk.steps == [f"sync {tmp_path.name}"]


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    disk = Disk()
    disk.make_directory(tmp_path / "a")
    (tmp_path / "a").rmdir()
    disk.make_directory(tmp_path / "a")
    assert (tmp_path / "a").is_dir()


def test_publish_never_replaces(tmp_path: Path) -> None:
    disk = Recorder()
    for name, data in (("temporary", b"new"), ("final", b"old")):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(FileExistsError):
        disk.publish(tmp_path / "temporary", tmp_path / "final")
    assert (tmp_path / "final").read_bytes() == b"old"
    assert (tmp_path / "temporary").read_bytes() == b"new"
    disk.steps.clear()
    disk.publish(tmp_path / "temporary", tmp_path / "other")
    assert disk.steps == ["link other", f"sync {tmp_path.name}", "remove temporary"]
    assert (tmp_path / "other").read_bytes() == b"new"


def test_replace_puts_the_new_file_in_the_place_of_the_old(tmp_path: Path) -> None:
    for name in ("temporary", "final"):
        (tmp_path / name).write_bytes(name.encode())
    Disk().replace(tmp_path / "temporary", tmp_path / "final")
    assert (tmp_path / "final").read_bytes() == b"temporary"
    assert not (tmp_path / "temporary").exists()


def test_unlinking_what_is_gone_is_no_error(tmp_path: Path) -> None:
    disk = Recorder()
    (tmp_path / "file").write_bytes(b"")
    disk.unlink(tmp_path / "file")
    disk.unlink(tmp_path / "file")
    assert disk.steps == ["remove file", f"sync {tmp_path.name}", "remove file"]


def test_a_failed_sync_is_told_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(5, "injected")

    monkeypatch.setattr("fileroom.disk.os.fdatasync", fails)
    monkeypatch.setattr("fileroom.disk.os.fsync", fails)
    disk = Disk()
    descriptor = disk.create(tmp_path / "file")
    with pytest.raises(SyncError, match="errno 5"):
        disk.sync(descriptor)
    with pytest.raises(SyncError, match="errno 5"):
        disk.sync_directory(tmp_path)
    disk.close(descriptor)


@pytest.mark.parametrize("refused_by", [None, errno.EOPNOTSUPP, errno.EISDIR])
def test_a_file_without_a_name_is_in_no_folder_and_gone_with_its_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused_by: int | None
) -> None:
    opened = os.open

    def opens(path: Path, flags: int, mode: int) -> int:
        if refused_by is not None and flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(refused_by, "not on this file system")
        return opened(path, flags, mode)

    monkeypatch.setattr("fileroom.disk.os.open", opens)
    disk = Disk()
    descriptor = disk.create_unnamed(tmp_path)
    disk.write(descriptor, [b"content"], 0)
    assert os.pread(descriptor, 100, 0) == b"content"
    assert os.fstat(descriptor).st_mode & 0o777 == 0o600
    assert os.fstat(descriptor).st_nlink == 0
    assert list(tmp_path.iterdir()) == []
    disk.close(descriptor)


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Disk().create_unnamed(tmp_path / "missing")

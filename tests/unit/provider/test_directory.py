"""What a folder as a provider does beyond the port: crash leftovers, errors, links, real reads."""

import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from fileroom.disk import Buffer, Disk, SyncError
from fileroom.errors import UncertainError
from fileroom.provider.directory import DirectoryProvider, UnsuitableFolderError
from fileroom.provider.port import (
    Call,
    DifferentObjectError,
    FailureDomain,
    Lane,
    NameRefusedError,
    NotThereError,
    Put,
    SourceChangedError,
    UnreachableError,
)
from fileroom.provider.uncached import read_back

CALL = Call(Lane.NEW, "test")
NAME = "packs/00ff/abc"
CHECKPOINT = "ledger/a/checkpoint"
DATA = b"data"
SHA256 = hashlib.sha256(DATA).digest()


class StepDisk(Disk):
    """A disk on which one step fails once, before or after its effect."""

    def __init__(self) -> None:
        self.failing = ""
        self.error: Exception = OSError(errno.EIO, "injected")

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        self._fail("write")
        super().write(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        self._fail("sync")

    def sync_directory(self, path: Path) -> None:
        self._fail(f"sync_directory {path.name}")

    def _link(self, existing: Path, new: Path) -> None:
        self._fail("link")
        super()._link(existing, new)

    def _remove(self, path: Path) -> None:
        self._fail("remove")
        super()._remove(path)

    def _rename(self, old: Path, new: Path) -> None:
        self._fail("rename")
        super()._rename(old, new)

    def _fail(self, step: str) -> None:
        if step == self.failing:
            self.failing = ""
            raise self.error


def opened(root: Path, disk: Disk | None = None) -> DirectoryProvider:
    return DirectoryProvider.open(
        root,
        name="nas",
        domain=FailureDomain(disk="nas"),
        disk=disk or StepDisk(),
        create=True,
        threads=1,
    )


async def put(provider: DirectoryProvider) -> Put:
    return await provider.put_if_absent(NAME, DATA, sha256=SHA256, call=CALL)


def incoming(root: Path) -> list[str]:
    return [path.name for path in (root / ".incoming").iterdir()]


async def test_an_object_is_a_plain_file_of_its_name(tmp_path: Path) -> None:
    provider = opened(tmp_path)
    await put(provider)
    assert (tmp_path / NAME).read_bytes() == DATA
    assert (tmp_path / NAME).stat().st_nlink == 1
    assert incoming(tmp_path) == []


def test_what_a_crash_left_is_swept_at_open(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / ".incoming" / "leftover").write_bytes(b"half")
    opened(tmp_path)
    assert incoming(tmp_path) == []


async def test_hidden_and_foreign_files_are_no_objects(tmp_path: Path) -> None:
    provider = opened(tmp_path)
    await put(provider)
    (tmp_path / "packs" / "link").symlink_to(tmp_path / NAME)
    (tmp_path / "packs" / "folder-link").symlink_to(tmp_path / "packs")
    (tmp_path / ".Trash").mkdir()
    (tmp_path / ".Trash" / "x").write_bytes(b"")
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "a name with spaces").write_bytes(b"")
    os.mkfifo(tmp_path / "packs" / "pipe")
    assert [each.name async for each in provider.list("", call=CALL)] == [NAME]
    for name in ("packs/link", "packs/pipe"):
        assert await provider.stat(name, call=CALL) is None
        with pytest.raises(NotThereError):
            await provider.get(name, 0, 1, call=CALL)
        with pytest.raises(NotThereError):
            await provider.digest(name, call=CALL)


@pytest.mark.parametrize("step", ["write", "sync", "link"])
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, ""), OSError(errno.ENOSPC, ""), SyncError("injected")]
)
async def test_a_put_that_failed_leaves_nothing_and_may_be_repeated(
    step: str, error: Exception, tmp_path: Path
) -> None:
    disk = StepDisk()
    provider = opened(tmp_path, disk)
    disk.failing, disk.error = step, error
    with pytest.raises(UnreachableError):
        await put(provider)
    assert await provider.stat(NAME, call=CALL) is None
    assert incoming(tmp_path) == []
    assert await put(provider) is Put.CREATED


async def test_a_put_whose_name_may_not_be_durable_is_uncertain(tmp_path: Path) -> None:
    disk = StepDisk()
    provider = opened(tmp_path, disk)
    await provider.put_if_absent(NAME + "x", DATA, sha256=SHA256, call=CALL)
    disk.failing, disk.error = "sync_directory 00ff", SyncError("injected")
    with pytest.raises(UncertainError, match="has its name"):
        await put(provider)
    assert await put(provider) is Put.EXISTED


async def test_a_replacement_that_may_not_be_durable_is_uncertain(tmp_path: Path) -> None:
    disk = StepDisk()
    provider = opened(tmp_path, disk)
    await provider.replace(CHECKPOINT, b"old", call=CALL)
    disk.failing = "rename"
    with pytest.raises(UnreachableError):
        await provider.replace(CHECKPOINT, b"new", call=CALL)
    assert await provider.get(CHECKPOINT, 0, 9, call=CALL) == b"old"
    disk.failing = "sync_directory a"
    with pytest.raises(UncertainError):
        await provider.replace(CHECKPOINT, b"new", call=CALL)
    assert await provider.get(CHECKPOINT, 0, 9, call=CALL) == b"new"
    assert incoming(tmp_path) == []


async def test_a_deletion_that_may_not_be_durable_is_uncertain(tmp_path: Path) -> None:
    disk = StepDisk()
    provider = opened(tmp_path, disk)
    await put(provider)
    disk.failing = "remove"
    with pytest.raises(UnreachableError):
        await provider.delete_object(NAME, call=CALL)
    assert await provider.stat(NAME, call=CALL) is not None
    disk.failing = "sync_directory 00ff"
    with pytest.raises(UncertainError):
        await provider.delete_object(NAME, call=CALL)


async def test_an_object_that_decayed_is_not_taken_for_the_one_announced(tmp_path: Path) -> None:
    """Its size is right; only reading it back tells."""
    provider = opened(tmp_path)
    await put(provider)
    (tmp_path / NAME).write_bytes(b"dat\0")
    with pytest.raises(DifferentObjectError):
        await put(provider)
    assert await provider.digest(NAME, call=CALL) == (hashlib.sha256(b"dat\0").digest(), 4)


async def test_a_source_that_cannot_be_read_is_told_apart_from_the_folder(tmp_path: Path) -> None:
    provider = opened(tmp_path / "objects")
    with pytest.raises(SourceChangedError, match="cannot be read"):
        await provider.put_if_absent(NAME, tmp_path / "gone", sha256=SHA256, call=CALL)
    assert incoming(tmp_path / "objects") == []


async def test_a_listing_goes_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fileroom.provider.directory.PAGE_OBJECTS", 3)
    provider = opened(tmp_path)
    names = [f"a/{n}" for n in range(8)]
    for name in names:
        await provider.put_if_absent(name, DATA, sha256=SHA256, call=CALL)
    seen = []
    async for each in provider.list("", call=CALL):
        seen.append(each.name)
        if each.name == "a/1":
            await provider.delete_object("a/5", call=CALL)
    assert seen == [name for name in names if name != "a/5"]


async def test_a_folder_that_went_away_is_unreachable(tmp_path: Path) -> None:
    provider = opened(tmp_path / "mount")
    (tmp_path / "mount" / ".incoming").rmdir()
    (tmp_path / "mount").rmdir()
    with pytest.raises(UnreachableError):
        await put(provider)
    with pytest.raises(UnreachableError):
        [each async for each in provider.list("", call=CALL)]


def test_a_file_system_without_hard_links_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "injected")

    monkeypatch.setattr("fileroom.provider.directory.os.link", no_links)
    with pytest.raises(UnsuitableFolderError):
        opened(tmp_path)
    assert incoming(tmp_path) == []


@pytest.mark.parametrize("size_bytes", [0, 1, 4095, 4096, 1 << 20, (1 << 20) + 4096, 3_000_001])
@pytest.mark.parametrize("where", ["open", "read", "nowhere"])
def test_the_digest_is_right_with_and_without_direct_reads(
    size_bytes: int, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(size_bytes)
    path = tmp_path / "object"
    path.write_bytes(data)
    real_open, real_preadv = os.open, os.preadv
    direct: set[int] = set()

    def opening(name: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT and where == "open":
            raise OSError(errno.EINVAL, "injected")
        descriptor = real_open(name, flags, mode)
        if flags & os.O_DIRECT:
            direct.add(descriptor)
        else:
            direct.discard(descriptor)
        return descriptor

    def reading(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if descriptor in direct and where == "read":
            raise OSError(errno.EINVAL, "injected")
        return real_preadv(descriptor, buffers, offset)

    monkeypatch.setattr("fileroom.provider.uncached.os.open", opening)
    monkeypatch.setattr("fileroom.provider.uncached.os.preadv", reading)
    assert read_back(path) == (hashlib.sha256(data).digest(), size_bytes)


def test_an_error_while_reading_back_is_not_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad_sector(*_: object) -> int:
        raise OSError(errno.EIO, "injected")

    (tmp_path / "object").write_bytes(DATA)
    monkeypatch.setattr("fileroom.provider.uncached.os.preadv", bad_sector)
    with pytest.raises(OSError, match="injected"):
        read_back(tmp_path / "object")


def test_a_folder_whose_disk_is_not_mounted_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="mounted"):
        DirectoryProvider.open(
            tmp_path, name="nas", domain=FailureDomain(), disk=StepDisk(), create=False
        )
    assert list(tmp_path.iterdir()) == []
    opened(tmp_path)
    DirectoryProvider.open(
        tmp_path, name="nas", domain=FailureDomain(), disk=StepDisk(), create=False
    ).close()


async def test_an_object_and_a_folder_cannot_have_one_name(tmp_path: Path) -> None:
    """A limit of folders that object stores do not have."""
    provider = opened(tmp_path)
    await put(provider)
    for name in ("packs/00ff", NAME + "/below", "packs"):
        with pytest.raises(NameRefusedError):
            await provider.put_if_absent(name, DATA, sha256=SHA256, call=CALL)
    assert incoming(tmp_path) == []
    assert [each.name async for each in provider.list("", call=CALL)] == [NAME]


def test_the_digest_comes_from_the_disk_and_not_from_the_page_cache(tmp_path: Path) -> None:
    def read_from_disk() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["read_bytes"])

    path = tmp_path / "object"
    path.write_bytes(b"x" * 2_000_000)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.read_bytes()  # it is cached for certain
    before = read_from_disk()
    path.read_bytes()
    if read_from_disk() != before or "tmpfs" in _file_system(tmp_path):
        pytest.skip("this file system does not tell reads from the disk")
    read_back(path)
    assert read_from_disk() - before >= 2_000_000


def _file_system(path: Path) -> str:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    fitting = [mount for mount in mounts if path.is_relative_to(mount[1])]
    return max(fitting, key=lambda mount: len(mount[1]))[2]


async def test_a_provider_whose_disk_is_not_mounted_is_out_of_reach_and_lacks_nothing(
    tmp_path,
):
    """An unplugged disk must not read as lost copies, nor its mount point be written to."""
    provider = opened(tmp_path / "nas")
    await put(provider)
    (tmp_path / "nas").rename(tmp_path / "away")
    for mount_point in (None, tmp_path / "nas"):
        if mount_point:
            mount_point.mkdir()
        with pytest.raises(UnreachableError):
            await provider.get(NAME, 0, 4, call=CALL)
        with pytest.raises(UnreachableError):
            await provider.digest(NAME, call=CALL)
        with pytest.raises(UnreachableError):
            await provider.stat(NAME, call=CALL)
        with pytest.raises(UnreachableError):
            await provider.delete_object(NAME, call=CALL)
        with pytest.raises(UnreachableError):
            await provider.replace(CHECKPOINT, DATA, call=CALL)
        with pytest.raises(UnreachableError):
            await put(provider)
        with pytest.raises(UnreachableError):
            [each async for each in provider.list("", call=CALL)]
    assert list((tmp_path / "nas").iterdir()) == []
    (tmp_path / "nas").rmdir()
    (tmp_path / "away").rename(tmp_path / "nas")
    assert await provider.get(NAME, 0, 4, call=CALL) == DATA

"""A disk that stops the node before or after any durable step, and what then survives.

`CrashingDisk` works on a real folder, so stores read it as they always do. Beside it keeps what a
loss of power would leave: of each file what was last synced and what was written since, of each
folder the names last synced and those since. `materialise` writes such a leftover to another
folder, from which a test starts again.

It is stricter than any real file system: a new file's name is lost without a sync of its folder
even when its bytes were synced, and steps on different names survive independently.
"""

import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Literal

from fileroom.disk import Buffer, Disk

SECTOR_BYTES = 512

When = Literal["before", "after"]


class Crash(BaseException):
    """The power went. Nothing catches this on purpose."""


class Unsynced(Enum):
    """What becomes of bytes that were written and not synced."""

    DROPPED = "dropped"
    KEPT = "kept"
    FIRST_HALF = "first half"  # cut at a sector
    LAST_HALF = "last half"  # later sectors written, earlier ones not
    EVEN_SECTORS = "even sectors"
    ODD_SECTORS = "odd sectors"


class Names(Enum):
    """What becomes of names that were made or removed and not synced."""

    DROPPED = "dropped"
    KEPT = "kept"


@dataclass(frozen=True)
class Survival:
    """One way in which a crash can turn out."""

    unsynced: Unsynced
    names: Names

    def __str__(self) -> str:
        return f"bytes {self.unsynced.value}, names {self.names.value}"


SURVIVALS = tuple(Survival(unsynced, names) for unsynced, names in product(Unsynced, Names))
KILLED = Survival(Unsynced.KEPT, Names.KEPT)  # only the process died


@dataclass(eq=False)
class File:
    """Content of one inode: as of its last sync, and the steps since."""

    durable: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes] | int] = field(default_factory=list)  # a write, or a new size

    def sync(self) -> None:
        self.durable = self.content(Unsynced.KEPT)
        self.since = []

    def content(self, unsynced: Unsynced) -> bytearray:
        content = bytearray(self.durable)
        if unsynced is Unsynced.DROPPED:
            return content
        written = sum(len(step[1]) for step in self.since if isinstance(step, tuple))
        passed = 0
        for step in self.since:
            if isinstance(step, int):
                _resize(content, step)
                continue
            offset, data = step
            _resize(content, max(len(content), offset + len(data)))
            if unsynced is Unsynced.KEPT:
                content[offset : offset + len(data)] = data
                continue
            for start, end in _surviving(unsynced, offset, len(data), written // 2 - passed):
                content[start:end] = data[start - offset : end - offset]
            passed += len(data)
        return content


class CrashingDisk(Disk):
    """A disk whose every durable step is counted and may be the last.

    Args:
        root: the folder that it watches; what is there already is durable.
        foreign: names (with `*`) of files that others write too, such as an SQLite catalog:
            they are untracked.
        crash_at: number of the step that crashes, from 0; None to count only.
        when: whether that step has its effect.
    """

    def __init__(
        self,
        root: Path,
        *,
        crash_at: int | None = None,
        when: When = "before",
        foreign: str = "",
    ) -> None:
        self.root = root
        self.foreign = foreign
        self.crash_at = crash_at
        self.when = when
        self.steps: list[str] = []
        self.crashed = False
        self._lock = threading.RLock()
        self._open: dict[int, File] = {}
        self._durable_names: dict[Path, File | None] = {}  # None: a folder
        self._names: dict[Path, File | None] = {}
        root.mkdir(parents=True, exist_ok=True)
        for path in sorted(root.rglob("*")):
            self._names[path] = File(bytearray(path.read_bytes())) if path.is_file() else None
        self._durable_names |= self._names

    # The steps.

    def create(self, path: Path) -> int:
        with self._step("create", path):
            descriptor = super().create(path)
            self._names[path] = self._open[descriptor] = File()
            return descriptor

    def create_unnamed(self, directory: Path) -> int:
        with self._step("create_unnamed", directory):
            descriptor = super().create_unnamed(directory)
            self._open[descriptor] = File()
            return descriptor

    def open(self, path: Path) -> int:
        with self._lock:
            self._refuse_after_crash()
            descriptor = super().open(path)
            file = self._names.get(path)
            assert file is not None, f"{path.name} was not made through this disk"
            self._open[descriptor] = file
            return descriptor

    def close(self, descriptor: int) -> None:
        with self._lock:
            self._open.pop(descriptor, None)
            super().close(descriptor)

    def allocate(self, descriptor: int, size_bytes: int) -> None:
        with self._step("allocate"):
            super().allocate(descriptor, size_bytes)
            self._open[descriptor].since.append(max(size_bytes, os.fstat(descriptor).st_size))

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        with self._step("write"):
            super().write(descriptor, buffers, offset)
            self._open[descriptor].since.append((offset, b"".join(map(bytes, buffers))))

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        with self._step("truncate"):
            super().truncate(descriptor, size_bytes)
            self._open[descriptor].since.append(size_bytes)

    def sync(self, descriptor: int) -> None:
        with self._step("sync"):
            self._open[descriptor].sync()

    def sync_directory(self, path: Path) -> None:
        with self._step("sync_directory", path):
            for name in [each for each in self._durable_names if each.parent == path]:
                del self._durable_names[name]
            for name, file in self._names.items():
                if name.parent == path:
                    self._durable_names[name] = file

    def _make_one_directory(self, path: Path) -> None:
        with self._step("make_directory", path):
            super()._make_one_directory(path)
            if path.is_relative_to(self.root):
                self._names[path] = None

    def _link(self, existing: Path, new: Path) -> None:
        with self._step("link", new):
            super()._link(existing, new)
            self._names[new] = self._names[existing]

    def _rename(self, old: Path, new: Path) -> None:
        with self._step("rename", new):
            super()._rename(old, new)
            self._names[new] = self._names.pop(old)

    def _remove(self, path: Path) -> None:
        with self._step("remove", path):
            super()._remove(path)
            self._names.pop(path, None)

    # What survives.

    def restart(self, *, crash_at: int | None = None, when: When = "before") -> None:
        """Go on after the crash as after a kill: the kernel still has what was not synced.

        Args:
            crash_at: the next crash, counted from here.
        """
        self.crashed = False
        self.crash_at, self.when = crash_at, when
        self.steps = []
        self._open.clear()
        self.__dict__.pop("_durable_directories", None)  # a new process has to look again

    def let_go(self) -> None:
        """Close what is still open once nothing runs any more, as the end of a process does."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[0])

    def survivals(self) -> Iterator[Survival]:
        """The ways in which it can turn out now, without those that come to the same."""
        unsynced = any(file.since for file in self._files())
        unnamed = self._names != self._durable_names
        for survival in SURVIVALS:
            if not unsynced and survival.unsynced is not Unsynced.KEPT:
                continue
            if not unnamed and survival.names is not Names.KEPT:
                continue
            yield survival

    def _files(self) -> list[File]:
        files = [*self._names.values(), *self._durable_names.values()]
        return [file for file in files if file is not None]

    def materialise(
        self, target: Path, survival: Survival, *, untracked: Literal["copy", "leave out"]
    ) -> None:
        """Write to the new folder `target` what `survival` leaves of the root.

        Args:
            untracked: what to do with files that were not written through this disk, such as
                an SQLite catalog: copy them as they are now, or leave them out.
        """
        target.mkdir(parents=True)
        with self._lock:
            kept = survival.names is Names.KEPT
            for path, file in sorted((self._names if kept else self._durable_names).items()):
                copied = target / path.relative_to(self.root)
                if not copied.parent.is_dir() or path.match(self.foreign or "?/"):
                    continue  # the folder's own name did not survive, or it is untracked
                if file is None:
                    copied.mkdir(exist_ok=True)
                else:
                    copied.write_bytes(file.content(survival.unsynced))
            if untracked == "copy":
                self._copy_untracked(target)

    def _copy_untracked(self, target: Path) -> None:
        for path in sorted(self.root.rglob("*")):
            tracked = path in self._names or path in self._durable_names
            if not path.is_file() or (tracked and not path.match(self.foreign or "?/")):
                continue
            copied = target / path.relative_to(self.root)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)

    # Counting.

    def _step(self, name: str, path: Path | None = None) -> "Step":
        return Step(self, f"{name} {path.name}" if path is not None else name)

    def _refuse_after_crash(self) -> None:
        if self.crashed:
            raise Crash("after the crash")


class Step:
    """One durable step: counted on entry, and the crash before or after it."""

    def __init__(self, disk: CrashingDisk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._last = False

    def __enter__(self) -> None:
        disk = self._disk
        disk._lock.acquire()
        try:
            disk._refuse_after_crash()
            self._last = len(disk.steps) == disk.crash_at
            disk.steps.append(self._name)
            if self._last and disk.when == "before":
                self._crash()
        except BaseException:
            disk._lock.release()
            raise

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if self._last and error is None:
                self._crash()
        finally:
            self._disk._lock.release()

    def _crash(self) -> None:
        self._disk.crashed = True
        raise Crash(f"{self._disk.when} step {self._disk.crash_at}: {self._name}")


@contextmanager
def unreported() -> Iterator[None]:
    """Let threads and tasks end by a crash without anybody noting it down for later.

    Pytest and the log would keep each exception until the test is over, and with it the frames,
    their whole node, its catalog's caches and its spool's buffers.
    """
    log = logging.getLogger("asyncio")
    kept = threading.excepthook, sys.unraisablehook, log.disabled
    threading.excepthook = sys.unraisablehook = lambda _: None
    log.disabled = True
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook, log.disabled = kept


def crash_points(last: int) -> Iterator[tuple[int, When]]:
    """Every step up to `last`, before and after it."""
    for step in range(last):
        yield step, "before"
        yield step, "after"


def _resize(content: bytearray, size_bytes: int) -> None:
    if size_bytes < len(content):
        del content[size_bytes:]
    else:
        content.extend(bytes(size_bytes - len(content)))


def _surviving(
    unsynced: Unsynced, offset: int, size_bytes: int, half: int
) -> Iterator[tuple[int, int]]:
    """[start, end) of the parts of a torn write that reached the disk.

    Args:
        half: how many bytes into this write the half of all unsynced bytes is reached.
    """
    end = offset + size_bytes
    first_sector, last_sector = offset // SECTOR_BYTES, -(-end // SECTOR_BYTES)
    middle = min(max(offset, (offset + half) // SECTOR_BYTES * SECTOR_BYTES), end)
    match unsynced:
        case Unsynced.FIRST_HALF:
            yield offset, middle
        case Unsynced.LAST_HALF:
            yield middle, end
        case Unsynced.EVEN_SECTORS | Unsynced.ODD_SECTORS:
            odd = unsynced is Unsynced.ODD_SECTORS
            for sector in range(first_sector, last_sector):
                if sector % 2 == odd:
                    start = sector * SECTOR_BYTES
                    yield max(start, offset), min(start + SECTOR_BYTES, end)

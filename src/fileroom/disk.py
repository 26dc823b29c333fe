"""Durable steps on local files: only here are they created, written, synced, renamed, unlinked.

A store takes a `Disk` as an argument, so the crash enumeration can stop the node before and
after every one of these calls and throw away what was not yet synced. What takes several steps
is made of single ones, so that it stops between those too.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from fileroom.errors import TransientError

Buffer = bytes | bytearray | memoryview
VECTORS_MAX = 1024  # IOV_MAX on Linux
DIRECTORIES_REMEMBERED_MAX = 4096
# What a file system or kernel says that has no files without a name.
NO_UNNAMED_ERRNOS = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


class SyncError(TransientError):
    """Whether the bytes are on the disk is not known. Give the file up; never sync it again.

    After a failed fsync Linux marks the pages clean, so that a second call succeeds and
    proves nothing.
    """


class Disk:
    """The machine's file system. Every method returns when its effect is handed to the kernel;
    only `sync` and the methods that say so make it durable."""

    @cached_property
    def _durable_directories(self) -> set[Path]:
        return set()

    def make_directory(self, path: Path) -> None:
        """Create `path` and its missing parents (mode 0700); their names are durable on return.

        That holds also where it was there already: whoever made it may have died before its
        sync. Each folder costs that once in the life of a `Disk`.
        """
        if not path.is_dir():
            self.make_directory(path.parent)
            self._make_one_directory(path)
        elif path in self._durable_directories:
            return
        with suppress(PermissionError):  # the folder above is not ours, so neither is this name
            self.sync_directory(path.parent)
        if len(self._durable_directories) >= DIRECTORIES_REMEMBERED_MAX:
            self._durable_directories.clear()
        self._durable_directories.add(path)

    def create(self, path: Path) -> int:
        """Create a new file (mode 0600) open for reading and writing and return its descriptor.

        Raises:
            FileExistsError: there is one already.
        """
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def create_unnamed(self, directory: Path) -> int:
        """Create a file that has no name, on the file system of `directory`, open for reading and
        writing, and return its descriptor. It is gone when that is closed or the process ends."""
        try:
            return os.open(directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in NO_UNNAMED_ERRNOS:
                raise
        path = directory / f"unnamed-{os.urandom(16).hex()}"
        descriptor = self.create(path)
        self._remove(path)
        return descriptor

    def open(self, path: Path) -> int:
        """Open a file that exists for reading and writing and return its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def allocate(self, descriptor: int, size_bytes: int) -> None:
        """Reserve room for `size_bytes` from the start of the file; new bytes read as zero."""
        os.posix_fallocate(descriptor, 0, size_bytes)

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        """Write all of `buffers`, one behind the other, from byte `offset`."""
        views = [memoryview(each).cast("B") for each in buffers if len(each)]
        position = 0
        while position < len(views):
            batch = views[position : position + VECTORS_MAX]
            written_bytes = os.pwritev(descriptor, batch, offset)
            if not written_bytes:
                raise OSError(errno.EIO, "a write took nothing")
            offset += written_bytes
            while position < len(views) and written_bytes >= len(views[position]):
                written_bytes -= len(views[position])
                position += 1
            if written_bytes:
                views[position] = views[position][written_bytes:]

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        os.ftruncate(descriptor, size_bytes)

    def sync(self, descriptor: int) -> None:
        """Make the file's bytes and size durable (fdatasync).

        Raises:
            SyncError: they may or may not be; the file must be given up.
        """
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            raise SyncError(f"fdatasync failed with errno {error.errno}") from error

    def sync_directory(self, path: Path) -> None:
        """Make the names in `path` durable. Raises SyncError as `sync` does."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise SyncError(f"fsync of a directory failed with errno {error.errno}") from error
        finally:
            os.close(descriptor)

    def publish(self, temporary: Path, final: Path) -> None:
        """Give a synced file its final name durably, on the same file system.

        Raises:
            FileExistsError: `final` is there already; `temporary` stays.
        """
        self._link(temporary, final)
        self.sync_directory(final.parent)
        self._remove(temporary)

    def replace(self, temporary: Path, final: Path) -> None:
        """Put a synced file in the place of `final` durably and at once."""
        self._rename(temporary, final)
        self.sync_directory(final.parent)

    def unlink(self, path: Path) -> None:
        """Remove a file's name durably; one that is gone already is no error."""
        try:
            self._remove(path)
        except FileNotFoundError:
            return
        self.sync_directory(path.parent)

    def drop_cached(self, descriptor: int) -> None:
        """Forget the file's clean pages, so that the next read comes from the disk."""
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def free_bytes(self, path: Path) -> int:
        """Bytes that an ordinary user may still write on the file system of `path`."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    # The single steps on names. None is durable before `sync_directory`.

    def _make_one_directory(self, path: Path) -> None:
        try:
            path.mkdir(0o700)
        except FileExistsError:  # another thread was first
            if not path.is_dir():
                raise

    def _link(self, existing: Path, new: Path) -> None:
        os.link(existing, new)

    def _rename(self, old: Path, new: Path) -> None:
        os.replace(old, new)

    def _remove(self, path: Path) -> None:
        os.unlink(path)

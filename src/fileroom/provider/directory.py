"""A folder as a provider: a second disk, a NAS, a removable drive.

Layout: an object's name is its path. `.incoming/` holds what is being written; it lies on the same
file system, its content is nobody's, and it is swept at open.
"""

import asyncio
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from fileroom.disk import Disk, SyncError
from fileroom.errors import FileroomError, RefusedError, UncertainError
from fileroom.provider.names import (
    NAME_BYTES_MAX,
    check_mutable,
    check_name,
    check_prefix,
    is_name,
)
from fileroom.provider.port import (
    Call,
    DifferentObjectError,
    Digest,
    FailureDomain,
    NameRefusedError,
    NotThereError,
    ObjectStat,
    Put,
    SourceChangedError,
    UnreachableError,
)
from fileroom.provider.uncached import read_back

INCOMING = ".incoming"
BLOCK_BYTES = 1024 * 1024
PAGE_OBJECTS = 1000
THREADS = 4

T = TypeVar("T")


class UnsuitableFolderError(RefusedError):
    """The folder can hold no objects safely."""


class DirectoryProvider:
    """Objects in the folder `root`. Only one process writes to a folder at a time.

    Two names that differ only in case are two objects on most file systems. On one that folds
    case the second put finds the first one's bytes and is told DifferentObjectError, so nothing
    is overwritten there either.
    """

    def __init__(
        self, root: Path, *, name: str, domain: FailureDomain, disk: Disk, threads: int
    ) -> None:
        self.name = name
        self.domain = domain
        self._root = root
        self._incoming = root / INCOMING
        self._disk = disk
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"provider-{name}")

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        name: str,
        domain: FailureDomain,
        disk: Disk,
        create: bool,
        threads: int = THREADS,
    ) -> "DirectoryProvider":
        """The provider in `root`. Blocks.

        Args:
            create: make a new one if there is none. Otherwise a folder without `.incoming` is
                taken for a disk that is not mounted, and nothing is written to the one below.

        Raises:
            UnreachableError: the folder cannot be used now.
            UnsuitableFolderError: its file system has no hard links, without which two puts
                of one name cannot be told apart.
        """
        provider = cls(root, name=name, domain=domain, disk=disk, threads=threads)
        if not create:
            provider._refuse_unmounted()
        provider._make_folder(provider._incoming)
        with _told():
            provider._sweep()
            _refuse_without_links(provider._incoming)
        return provider

    async def put_if_absent(
        self, name: str, source: Path | bytes, *, sha256: bytes, call: Call
    ) -> Put:
        """See Provider. An object that is there is read back whole before it is EXISTED; that
        happens only where a put is repeated."""
        check_name(name)
        return await self._in_thread(self._put, name, source, sha256)

    async def get(self, name: str, start: int, end: int, *, call: Call) -> bytes:
        """See Provider."""
        check_name(name)
        return await self._in_thread(self._get, name, start, end)

    async def stat(self, name: str, *, call: Call) -> ObjectStat | None:
        """See Provider."""
        check_name(name)
        return await self._in_thread(self._stat, name)

    async def list(self, prefix: str, *, call: Call, after: str = "") -> AsyncIterator[ObjectStat]:
        """See Provider. Holds one page and one folder's names at each level."""
        check_prefix(prefix)
        await self._in_thread(self._refuse_unmounted)
        walk = self._walk(self._root, "", prefix, after)
        while page := await self._in_thread(_page, walk):
            for each in page:
                yield each

    async def delete_object(self, name: str, *, call: Call) -> None:
        """See Provider. Folders stay, also when they become empty."""
        check_name(name)
        await self._in_thread(self._delete, name)

    async def replace(self, name: str, data: bytes, *, call: Call) -> None:
        """See Provider."""
        check_mutable(name)
        await self._in_thread(self._replace, name, data)

    async def digest(self, name: str, *, call: Call) -> Digest:
        """See Provider. Reads from the disk and not from the page cache."""
        check_name(name)
        return await self._in_thread(self._digest, name)

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._threads.shutdown(wait=True)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *arguments))

    # What follows runs in threads.

    def _refuse_unmounted(self) -> None:
        """What is not found counts as not there only while the provider itself is there."""
        if not self._incoming.is_dir():
            raise UnreachableError(f"{self._root} is no provider's folder; is its disk mounted?")

    def _sweep(self) -> None:
        for leftover in self._incoming.iterdir():
            self._disk.unlink(leftover)

    def _put(self, name: str, source: Path | bytes, sha256: bytes) -> Put:
        final = self._root / name
        if self._stat(name) is not None:
            return self._existed(name, sha256)
        temporary = self._write_temporary(source, sha256)
        try:
            self._make_folder(final.parent)
            with _told():
                # Commit point. A crash before it leaves a file in .incoming that the next open
                # sweeps; after it the object is there for good.
                self._disk.publish(temporary, final)
        except FileExistsError:
            self._drop(temporary)
            return self._existed(name, sha256)
        except NameRefusedError:
            self._drop(temporary)
            raise
        except UnreachableError as error:
            named = self._stat(name) is not None
            self._drop(temporary)
            if named:
                raise UncertainError(f"the object has its name, but: {error}") from error
            raise
        return Put.CREATED

    def _existed(self, name: str, sha256: bytes) -> Put:
        """The object is there already: EXISTED only if its bytes are the announced ones."""
        if self._stat(name) is None:
            raise NameRefusedError("a folder of objects has the same name")
        found = self._digest(name)
        if found.sha256 != sha256:
            raise DifferentObjectError(f"an object of {found.size_bytes} B has the same name")
        return Put.EXISTED

    def _write_temporary(self, source: Path | bytes, sha256: bytes | None) -> Path:
        """A synced file in .incoming with the bytes of `source`, hashed on their way."""
        temporary = self._incoming / secrets.token_hex(16)
        digest = hashlib.sha256()
        size_bytes = 0
        try:
            with _told():
                descriptor = self._disk.create(temporary)
                try:
                    for block in _blocks(source):
                        digest.update(block)
                        self._disk.write(descriptor, [block], size_bytes)
                        size_bytes += len(block)
                    self._disk.sync(descriptor)
                finally:
                    self._disk.close(descriptor)
            if sha256 is not None and digest.digest() != sha256:
                raise SourceChangedError(f"the {size_bytes} B to put are not those announced")
        except FileroomError:
            self._drop(temporary)
            raise
        return temporary

    def _make_folder(self, folder: Path) -> None:
        try:
            with _told():
                self._disk.make_directory(folder)
        except FileExistsError:
            raise NameRefusedError("another object has the name of the object's folder") from None

    def _drop(self, temporary: Path) -> None:
        with suppress(OSError, SyncError):
            self._disk.unlink(temporary)

    def _get(self, name: str, start: int, end: int) -> bytes:
        assert 0 <= start <= end, "a range goes forward"
        with self._opened(name) as descriptor, _told():
            parts = []
            while start < end and (data := os.pread(descriptor, end - start, start)):
                parts.append(data)
                start += len(data)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        with _told():
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(self._root / name, flags)
            except (FileNotFoundError, NotADirectoryError):
                self._refuse_unmounted()
                raise NotThereError("there is no such object") from None
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise NotThereError("a symbolic link is no object") from None
                raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotThereError("there is no such object")
            yield descriptor
        finally:
            os.close(descriptor)

    def _stat(self, name: str) -> ObjectStat | None:
        with _told():
            try:
                found = (self._root / name).lstat()
            except (FileNotFoundError, NotADirectoryError):
                self._refuse_unmounted()
                return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return ObjectStat(name, found.st_size, found.st_mtime_ns)

    def _digest(self, name: str) -> Digest:
        with self._opened(name), _told():  # the first tells what is there from what is not
            return read_back(self._root / name)

    def _delete(self, name: str) -> None:
        self._refuse_unmounted()
        try:
            with _told():
                self._disk.unlink(self._root / name)
        except UnreachableError as error:
            if self._stat(name) is None:
                raise UncertainError(f"the name is gone, but: {error}") from error
            raise

    def _replace(self, name: str, data: bytes) -> None:
        self._refuse_unmounted()
        final = self._root / name
        self._make_folder(final.parent)
        temporary = self._write_temporary(data, None)
        try:
            with _told():
                # Commit point: the new bytes are there, at once and for good.
                self._disk.replace(temporary, final)
        except UnreachableError as error:
            renamed = not temporary.exists()
            self._drop(temporary)
            if renamed:
                raise UncertainError(f"the object was replaced, but: {error}") from error
            raise

    def _walk(self, folder: Path, above: str, prefix: str, after: str) -> Iterator[ObjectStat]:
        """Objects below `folder`, whose names begin with `above`, in order of name."""
        with _told(), os.scandir(folder) as entries:
            names = sorted(
                above + each.name + ("/" if each.is_dir(follow_symlinks=False) else "")
                for each in entries
                if not each.name.startswith(".")
            )
        for name in names:
            if name.endswith("/"):
                wanted = name.startswith(prefix) or prefix.startswith(name)
                passed = name < after and not after.startswith(name)
                if wanted and not passed and len(name) < NAME_BYTES_MAX:
                    yield from self._walk(self._root / name, name, prefix, after)
            elif name.startswith(prefix) and name > after and is_name(name):
                found = self._stat(name)
                if found is not None:
                    yield found


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the disk are told as the port wants them."""
    try:
        yield
    except FileExistsError:
        raise
    except SyncError as error:
        raise UnreachableError(str(error)) from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise UnreachableError(f"the folder failed: {why}") from error


def _blocks(source: Path | bytes) -> Iterator[memoryview]:
    if isinstance(source, bytes):
        yield memoryview(source)
        return
    block = memoryview(bytearray(BLOCK_BYTES))
    try:
        with source.open("rb", buffering=0) as file:
            while read_bytes := file.readinto(block):
                yield block[:read_bytes]
    except OSError as error:
        raise SourceChangedError(f"what is to be put cannot be read ({error.errno})") from error


def _page(walk: Iterator[ObjectStat]) -> list[ObjectStat]:
    return list(islice(walk, PAGE_OBJECTS))


def _refuse_without_links(incoming: Path) -> None:
    one, other = incoming / "probe-1", incoming / "probe-2"
    one.touch(0o600)
    try:
        os.link(one, other)
        other.unlink()
    except OSError as error:
        message = f"the file system of the folder has no hard links (errno {error.errno})"
        raise UnsuitableFolderError(message) from error
    finally:
        one.unlink()

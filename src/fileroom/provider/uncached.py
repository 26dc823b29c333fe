"""Reading a file's bytes from the disk, past the page cache."""

import errno
import hashlib
import mmap
import os
from pathlib import Path

from fileroom.provider.port import Digest

BLOCK_BYTES = 1024 * 1024
_ALIGNED_BYTES = 4096


def read_back(path: Path) -> Digest:
    """SHA-256 and size of the file as the disk has it, 1 MiB at a time.

    O_DIRECT where the file system takes it; elsewhere the cached pages are dropped before, which
    the kernel does for clean pages only: the file must have been synced.
    """
    descriptor = _open_direct(path)
    if descriptor is not None:
        try:
            return _read(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _open_direct(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None


def _read(descriptor: int) -> Digest:
    digest = hashlib.sha256()
    size_bytes = 0
    with mmap.mmap(-1, BLOCK_BYTES) as block, memoryview(block) as view:  # begins at a page
        while read_bytes := os.preadv(descriptor, [view], size_bytes):
            with view[:read_bytes] as data:
                digest.update(data)
            size_bytes += read_bytes
            if read_bytes % _ALIGNED_BYTES:  # the end; O_DIRECT takes no other offset anyway
                break
    return Digest(digest.digest(), size_bytes)

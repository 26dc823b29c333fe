"""Blocks of packs' ciphertext that came from a provider, kept on the node's disk within a bound.

Nothing here is durable truth: a block that is torn or lost fails its authentication tag, is
dropped, and is fetched again. Two readers of one block cause one fetch, which ends when both have
gone.
"""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fileroom.disk import Disk, SyncError
from fileroom.pack.format import SEGMENT_SIZE_BYTES

BLOCK_SEGMENTS = 16
BLOCK_SIZE_BYTES = BLOCK_SEGMENTS * SEGMENT_SIZE_BYTES

log = logging.getLogger(__name__)

Fetch = Callable[[int, int], Awaitable[bytes]]


@dataclass(slots=True)
class _Fetching:
    """A block on its way, and how many readers wait for it."""

    task: asyncio.Future[bytes]
    waiting: int = 0


class BlockCache:
    """Ciphertext blocks of 1 MiB by (pack, block number), least recently used dropped first.

    Invariant: the files' sizes sum to at most `size_bytes_max` once `read` has returned.
    """

    def __init__(self, directory: Path, *, disk: Disk, size_bytes_max: int) -> None:
        self._directory = directory
        self._disk = disk
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._blocks: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._fetching: dict[tuple[str, int], _Fetching] = {}
        disk.make_directory(directory)
        self._take_stock()

    def _take_stock(self) -> None:
        found = []
        for path in self._directory.glob("*/*"):
            if path.name.isdigit():
                facts = path.stat()
                found.append((facts.st_mtime_ns, path, facts.st_size))
        for _, path, size_bytes in sorted(found):
            self._blocks[path.parent.name, int(path.name)] = size_bytes
            self._size_bytes += size_bytes
        self._unlink(self._shrunk())

    async def read(
        self, pack: str, start: int, end: int, *, pack_size_bytes: int, fetch: Fetch
    ) -> bytes:
        """Ciphertext bytes [start, end) of `pack`, fetched where no block holds them.

        Args:
            pack: the hexadecimal SHA-256 that names the object.
            fetch: gives the object's bytes [start, end) from a provider.
        """
        parts = []
        for number in range(start // BLOCK_SIZE_BYTES, (end - 1) // BLOCK_SIZE_BYTES + 1):
            origin = number * BLOCK_SIZE_BYTES
            whole = (origin, min(origin + BLOCK_SIZE_BYTES, pack_size_bytes))
            wanted = slice(max(start - origin, 0), min(end - origin, BLOCK_SIZE_BYTES))
            parts.append(self._part((pack, number), wanted, whole, fetch))
        pieces = await asyncio.gather(*parts)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def drop(self, pack: str) -> None:
        """Forget every block of `pack`, since one of them failed its tag."""
        dropped = [key for key in self._blocks if key[0] == pack]
        for key in dropped:
            self._size_bytes -= self._blocks.pop(key)
        await asyncio.to_thread(self._unlink, dropped)

    async def _part(
        self, key: tuple[str, int], wanted: slice, whole: tuple[int, int], fetch: Fetch
    ) -> bytes:
        """Part of a block, which is the pack's bytes `whole`."""
        if key in self._blocks:
            held = await asyncio.to_thread(self._load, key, wanted.start, wanted.stop)
            if held is not None:
                return held
        fetching = self._fetching.get(key)
        if fetching is None:
            fetching = _Fetching(asyncio.ensure_future(self._fetch(key, *whole, fetch)))
            self._fetching[key] = fetching
        fetching.waiting += 1
        try:
            # Shielded, so that a reader who hangs up does not take the block from the others.
            return (await asyncio.shield(fetching.task))[wanted]
        finally:
            fetching.waiting -= 1
            if not fetching.waiting:  # it has come, or nobody wants it any more
                fetching.task.cancel()
                if self._fetching.get(key) is fetching:
                    del self._fetching[key]

    async def _fetch(self, key: tuple[str, int], start: int, end: int, fetch: Fetch) -> bytes:
        data = await fetch(start, end)
        # What was paid for is kept, whoever has left meanwhile.
        await asyncio.shield(self._keep(key, data))
        return data

    async def _keep(self, key: tuple[str, int], data: bytes) -> None:
        if await asyncio.to_thread(self._store, key, data):
            self._size_bytes += len(data) - self._blocks.pop(key, 0)
            self._blocks[key] = len(data)
            await asyncio.to_thread(self._unlink, self._shrunk())

    def _load(self, key: tuple[str, int], start: int, end: int) -> bytes | None:
        """Bytes [start, end) of a block that is held; None where its file is not whole."""
        try:
            descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            size_bytes = os.fstat(descriptor).st_size
            data = os.pread(descriptor, end - start, start)
            os.utime(descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if size_bytes != self._blocks.get(key) or len(data) != end - start:
            return None
        with suppress(KeyError):  # it was dropped while it was read
            self._blocks.move_to_end(key)
        return data

    def _store(self, key: tuple[str, int], data: bytes) -> bool:
        """Whether the block is kept. A disk that does not take it takes nothing from its reader."""
        path = self._path(key)
        try:
            self._disk.make_directory(path.parent)
            self._disk.unlink(path)
            descriptor = self._disk.create(path)
            try:
                self._disk.write(descriptor, [data], 0)
            finally:
                self._disk.close(descriptor)
        except (OSError, SyncError) as error:
            log.warning("a block is not kept in the cache: %s", type(error).__name__)
            return False
        return True

    def _shrunk(self) -> list[tuple[str, int]]:
        """Count out what is over the bound; its files are the caller's to unlink."""
        over = []
        while self._size_bytes > self._size_bytes_max and self._blocks:
            key, size_bytes = self._blocks.popitem(last=False)
            self._size_bytes -= size_bytes
            over.append(key)
        return over

    def _unlink(self, keys: list[tuple[str, int]]) -> None:
        for key in keys:
            with suppress(OSError, SyncError):  # a file too many is found at the next start
                self._disk.unlink(self._path(key))

    def _path(self, key: tuple[str, int]) -> Path:
        return self._directory / key[0] / str(key[1])

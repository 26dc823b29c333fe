"""Plaintext of packs by range, wherever the pack lies: this node's disk, its cache, a provider."""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path

from fileroom.catalog.rows import PackRow
from fileroom.errors import IntegrityError, RefusedError, TransientError
from fileroom.pack.format import object_name
from fileroom.pack.metadata import Metadata, decode, inflate
from fileroom.pack.reader import PackReader
from fileroom.provider.port import Call, Lane, Provider
from fileroom.retrieve.cache import BlockCache

OPEN_FILES_MAX = 64
METADATA_BYTES_MAX = 48 << 20
READ_AT_ONCE_BYTES = 4 << 20  # longer reads go to a thread whether cached or not
PIECE_BYTES = 1 << 20  # of a data set whose digest is asked for
RETRY_AFTER_S = 30

log = logging.getLogger(__name__)


class UnavailableError(TransientError):
    """No copy can be reached just now.

    Attributes:
        retry_after_s: when it is worth asking again.
    """

    def __init__(self, message: str, *, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PackSource:
    """Reads packs.

    Args:
        study_key: gives a study's key by its id.
        copies: the names of providers with a copy of a pack, the best first.
        damaged: told of a pack that was read and that no copy within reach gave as it was sealed.
    """

    def __init__(
        self,
        *,
        packs_directory: Path,
        study_key: Callable[[bytes], bytes],
        copies: Callable[[int], list[str]],
        providers: Mapping[str, Provider],
        cache: BlockCache,
        damaged: Callable[[PackRow], Awaitable[None]],
    ) -> None:
        self._root = packs_directory.parent
        self._study_key = study_key
        self._copies = copies
        self._providers = providers
        self._cache = cache
        self._damaged = damaged
        self._files: OrderedDict[bytes, LocalFile] = OrderedDict()
        self._readers: OrderedDict[bytes, PackReader] = OrderedDict()
        self._metadata: OrderedDict[int, tuple[Metadata, int]] = OrderedDict()
        self._metadata_bytes = 0
        self._decoding: dict[int, asyncio.Task[Metadata]] = {}

    async def read(self, pack: PackRow, start: int, end: int) -> bytes:
        """Plaintext bytes [start, end) of a pack, from the first place that holds them whole.

        Raises:
            UnavailableError: it lies at providers that cannot be reached.
            IntegrityError: no copy within reach holds what was sealed.
        """
        if start == end:
            return b""
        return await self._twice(pack, lambda: self._read(pack, start, end))

    async def digest(self, pack: PackRow, start: int, end: int) -> bytes:
        """SHA-256 of the plaintext bytes [start, end), 0 <= start < end, from the first place that
        holds all of them: read past the caches and hashed in threads, 1 MiB at a time.

        Raises:
            UnavailableError, IntegrityError: as `read` does.
        """
        return await self._twice(pack, lambda: self._digest(pack, start, end))

    async def _twice(self, pack: PackRow, reading: Callable[[], Awaitable[bytes]]) -> bytes:
        """What a read gives, or the next: one that went wrong once is no damaged pack."""
        with suppress(IntegrityError):
            return await reading()
        try:
            return await reading()
        except IntegrityError:
            await self._damaged(pack)
            raise

    async def _digest(self, pack: PackRow, start: int, end: int) -> bytes:
        reader, local, asked, away = self._reader(pack), self._local(pack), 0, 0
        pieces = [(at, min(at + PIECE_BYTES, end)) for at in range(start, end, PIECE_BYTES)]
        if local is not None:
            try:
                return await asyncio.to_thread(local.digest, reader, pieces)
            except (IntegrityError, OSError) as error:
                log.critical("the local file of pack %d fails: %s", pack.number, _what(error))
        name = object_name(pack.study_key_id, pack.sha256)
        call = Call(Lane.NEW, "compare", pack.study_key_id.hex())
        for provider in await self._holders(pack):
            asked += 1
            digest = sha256()
            try:
                for from_, to in pieces:
                    ciphertext = await provider.get(name, *reader.plan(from_, to), call=call)
                    digest.update(await asyncio.to_thread(reader.open, from_, to, ciphertext))
                return digest.digest()
            except TransientError:
                away += 1
            except (IntegrityError, RefusedError) as error:
                log.critical("pack %d at %s: %s", pack.number, provider.name, error)
        if away:
            raise UnavailableError(f"{away} of {asked} copies of a pack are out of reach")
        raise IntegrityError(f"none of {asked} copies of a pack gave {end - start} B of it")

    async def _read(self, pack: PackRow, start: int, end: int) -> bytes:
        reader = self._reader(pack)
        from_, to = reader.plan(start, end)
        local = self._local(pack)
        if local is not None:
            try:
                return reader.open(start, end, await local.read(from_, to))
            except (IntegrityError, OSError) as error:
                log.critical("the local file of pack %d fails: %s", pack.number, _what(error))
                if not await asyncio.to_thread(self._copies, pack.number):
                    raise IntegrityError("the only copy of a pack is damaged") from error
        name = pack.sha256.hex()
        for tries in count():
            # The cache is not durable truth: a torn block is dropped and fetched again. What
            # still does not open is another provider's to give.
            ciphertext = await self._cache.read(
                name,
                from_,
                to,
                pack_size_bytes=pack.size_bytes,
                fetch=self._fetch(pack, passed=max(0, tries - 1)),
            )
            try:
                return reader.open(start, end, ciphertext)
            except IntegrityError as error:
                log.critical("bytes of pack %d do not open: %s", pack.number, error)
                await self._cache.drop(name)
                if tries >= len(await asyncio.to_thread(self._copies, pack.number)):
                    raise
        raise AssertionError("unreachable")

    async def metadata(self, pack: PackRow) -> Metadata:
        """What the pack's metadata.json says, kept for the next time within 48 MiB."""
        held = self._metadata.get(pack.number)
        if held is not None:
            self._metadata.move_to_end(pack.number)
            return held[0]
        task = self._decoding.get(pack.number)
        if task is None:
            task = asyncio.ensure_future(self._decode(pack))
            self._decoding[pack.number] = task
            task.add_done_callback(lambda _: self._decoding.pop(pack.number, None))
        return await asyncio.shield(task)

    def held_metadata(self, pack: PackRow) -> Metadata | None:
        """The metadata, if it is at hand."""
        held = self._metadata.get(pack.number)
        return held[0] if held is not None else None

    def forget(self, sha256: bytes) -> None:
        """Close the local file of a pack, which is about to be evicted."""
        with suppress(KeyError):
            self._files.pop(sha256)

    async def _decode(self, pack: PackRow) -> Metadata:
        start = pack.metadata_offset
        deflated = await self.read(pack, start, start + pack.metadata_size_bytes)
        found, size_bytes = await asyncio.to_thread(_decoded, deflated, pack.plaintext_size_bytes)
        if pack.number not in self._metadata:
            self._metadata[pack.number] = (found, size_bytes)
            self._metadata_bytes += size_bytes
        while self._metadata_bytes > METADATA_BYTES_MAX and len(self._metadata) > 1:
            _, (_, dropped_bytes) = self._metadata.popitem(last=False)
            self._metadata_bytes -= dropped_bytes
        return found

    def _reader(self, pack: PackRow) -> PackReader:
        reader = self._readers.get(pack.sha256)
        if reader is None:
            reader = PackReader(
                _unused,
                key=self._study_key(pack.study_key_id),
                tink_header=pack.tink_header,
                size_bytes=pack.size_bytes,
            )
            self._readers[pack.sha256] = reader
            if len(self._readers) > OPEN_FILES_MAX:
                self._readers.popitem(last=False)
        return reader

    def _local(self, pack: PackRow) -> "LocalFile | None":
        if not pack.local:
            return None
        file = self._files.get(pack.sha256)
        if file is None:
            try:
                file = LocalFile(self._root / object_name(pack.study_key_id, pack.sha256))
            except FileNotFoundError:
                return None  # evicted between the look-up and now
            self._files[pack.sha256] = file
            if len(self._files) > OPEN_FILES_MAX:
                self._files.popitem(last=False)
        else:
            self._files.move_to_end(pack.sha256)
        return file

    def _fetch(
        self, pack: PackRow, *, passed: int
    ) -> Callable[[int, int], "asyncio.Future[bytes]"]:
        def fetch(start: int, end: int) -> "asyncio.Future[bytes]":
            return asyncio.ensure_future(self._from_providers(pack, start, end, passed=passed))

        return fetch

    async def _from_providers(self, pack: PackRow, start: int, end: int, *, passed: int) -> bytes:
        """Ciphertext bytes of a pack, without asking the `passed` best of its providers."""
        name = object_name(pack.study_key_id, pack.sha256)
        call = Call(Lane.INTERACTIVE, "retrieve", pack.study_key_id.hex())
        asked, away = 0, 0
        for provider in (await self._holders(pack))[passed:]:
            asked += 1
            try:
                data = await provider.get(name, start, end, call=call)
            except TransientError:
                away += 1
                continue
            except RefusedError:
                continue  # it is not there
            if len(data) == end - start:
                return data
        told = f"none of {asked} providers gave {end - start} B of a pack"
        raise IntegrityError(told) if asked and not away else UnavailableError(told)

    async def _holders(self, pack: PackRow) -> list[Provider]:
        """The providers in use that have a copy of a pack, the best first."""
        names = await asyncio.to_thread(self._copies, pack.number)
        return [self._providers[name] for name in names if name in self._providers]


class LocalFile:
    """A pack's file on this node's disk, open for reading; closed when nobody holds it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self._descriptor)

    async def read(self, start: int, end: int) -> bytes | bytearray:
        """Bytes [start, end). What the page cache has comes at once; a disk is waited for in a
        thread."""
        if end - start <= READ_AT_ONCE_BYTES:
            out = bytearray(end - start)
            # EAGAIN: not all in the page cache. EOPNOTSUPP: a file system without the flag.
            with suppress(OSError):
                if os.preadv(self._descriptor, [out], start, os.RWF_NOWAIT) == end - start:
                    return out
        return await asyncio.to_thread(os.pread, self._descriptor, end - start, start)

    def digest(self, reader: PackReader, pieces: Sequence[tuple[int, int]]) -> bytes:
        """SHA-256 of the plaintext that the file holds on the disk, whatever the page cache says.

        Args:
            pieces: ranges of the plaintext that follow one another.
        """
        if pieces:
            from_, to = reader.plan(pieces[0][0], pieces[-1][1])
            os.posix_fadvise(self._descriptor, from_, to - from_, os.POSIX_FADV_DONTNEED)
        digest = sha256()
        for start, end in pieces:
            from_, to = reader.plan(start, end)
            digest.update(reader.open(start, end, os.pread(self._descriptor, to - from_, from_)))
        return digest.digest()


def _decoded(deflated: bytes, plaintext_size_bytes: int) -> tuple[Metadata, int]:
    data = inflate(deflated)
    return decode(data, plaintext_size_bytes=plaintext_size_bytes), len(data)


def _what(error: IntegrityError | OSError) -> str:
    """What went wrong, without a path."""
    return f"errno {error.errno}" if isinstance(error, OSError) else str(error)


def _unused(start: int, end: int) -> bytes:
    raise AssertionError(f"a reader of a pack was asked for [{start}, {end}) by itself")

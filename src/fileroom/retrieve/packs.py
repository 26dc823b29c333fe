"""Plaintext of packs by range, wherever the pack lies: this node's disk, its cache, a provider."""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
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
    """

    def __init__(
        self,
        *,
        packs_directory: Path,
        study_key: Callable[[bytes], bytes],
        copies: Callable[[int], list[str]],
        providers: Mapping[str, Provider],
        cache: BlockCache,
    ) -> None:
        self._root = packs_directory.parent
        self._study_key = study_key
        self._copies = copies
        self._providers = providers
        self._cache = cache
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
        failed = 0
        for provider_name in (await asyncio.to_thread(self._copies, pack.number))[passed:]:
            provider = self._providers.get(provider_name)
            if provider is None:
                continue
            try:
                data = await provider.get(name, start, end, call=call)
            except (TransientError, RefusedError):
                failed += 1
                continue
            if len(data) == end - start:
                return data
            failed += 1
        raise UnavailableError(f"none of {failed} providers gave {end - start} B of a pack")


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


def _decoded(deflated: bytes, plaintext_size_bytes: int) -> tuple[Metadata, int]:
    data = inflate(deflated)
    return decode(data, plaintext_size_bytes=plaintext_size_bytes), len(data)


def _what(error: IntegrityError | OSError) -> str:
    """What went wrong, without a path."""
    return f"errno {error.errno}" if isinstance(error, OSError) else str(error)


def _unused(start: int, end: int) -> bytes:
    raise AssertionError(f"a reader of a pack was asked for [{start}, {end}) by itself")

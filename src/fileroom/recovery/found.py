"""Found: packs that lie under their names, on this disk or at a provider, and how they open."""

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import msgspec

from fileroom.errors import IntegrityError
from fileroom.pack.format import HEADER_SIZE_BYTES, parse_object_name
from fileroom.pack.metadata import Metadata, timestamp_ns
from fileroom.pack.reader import PackReader
from fileroom.provider.port import Call, Lane, ObjectStat, Provider, UnreachableError

CALL = Call(Lane.BACKFILL, "rebuild", "")
PIECE_BYTES = 1 << 20
LOOK_S = 1.0  # how often a thread that waits for a provider looks whether the node is still there

Read = Callable[[int, int], bytes]


class FoundPack(msgspec.Struct, frozen=True, kw_only=True):
    """A pack that lies somewhere under its name.

    Attributes:
        provider: where; "" on this node's disk.
        read: gives its ciphertext bytes [start, end).
    """

    sha256: bytes
    study_key_id: bytes
    size_bytes: int
    provider: str
    read: Read

    @property
    def local(self) -> bool:
        """Whether the file lies on this node's disk."""
        return not self.provider


class Opened(msgspec.Struct, frozen=True):
    """A found pack whose metadata could be read with its study key."""

    found: FoundPack
    tink_header: bytes
    plaintext_size_bytes: int
    metadata: Metadata
    metadata_range: tuple[int, int]
    received_oldest_ns: int


def open_pack(found: FoundPack, *, study_key: bytes) -> Opened:
    """Read the metadata of a pack through the end of the pack, which proves its size.

    Raises:
        IntegrityError: it is not the pack that was sealed with this key.
        NewerPackError: a later program wrote it.
    """
    if found.size_bytes <= HEADER_SIZE_BYTES:
        raise IntegrityError(f"no pack is {found.size_bytes} B long")
    tink_header = bytes(found.read(0, HEADER_SIZE_BYTES))
    reader = PackReader(
        found.read, key=study_key, tink_header=tink_header, size_bytes=found.size_bytes
    )
    metadata = reader.metadata()
    if not metadata.instances:
        raise IntegrityError("a pack without instances")
    return Opened(
        found=found,
        tink_header=tink_header,
        plaintext_size_bytes=reader.plaintext_size_bytes,
        metadata=metadata,
        metadata_range=reader.metadata_range(),
        received_oldest_ns=min(timestamp_ns(each.received_at) for each in metadata.instances),
    )


def is_whole(found: FoundPack) -> bool:
    """Whether all of it can be read, and is what its name tells of."""
    digest = sha256()
    try:
        for start in range(0, found.size_bytes, PIECE_BYTES):
            digest.update(found.read(start, min(start + PIECE_BYTES, found.size_bytes)))
    except OSError:
        return False  # a bad sector
    return digest.digest() == found.sha256


def local_packs(packs_directory: Path) -> Iterator[FoundPack]:
    """The packs of this node, in order of their names."""
    root = packs_directory.parent
    for path in sorted(packs_directory.glob("*/*")):
        parsed = parse_object_name(path.relative_to(root).as_posix())
        if parsed is None:
            continue
        study_key_id, sha256 = parsed
        try:
            size_bytes = path.stat().st_size
        except FileNotFoundError:
            continue  # evicted just now
        yield FoundPack(
            sha256=sha256,
            study_key_id=study_key_id,
            size_bytes=size_bytes,
            provider="",
            read=partial(_read_file, path),
        )


def at_provider(provider: Provider, stat: ObjectStat) -> FoundPack | None:
    """An object that a listing showed, if it is a pack. It is read from a thread, while the
    event loop of the caller runs."""
    parsed = parse_object_name(stat.name)
    if parsed is None:
        return None
    loop = asyncio.get_running_loop()

    def read(start: int, end: int) -> bytes:
        getting = provider.get(stat.name, start, end, call=CALL)
        got = asyncio.run_coroutine_threadsafe(getting, loop)
        while True:
            try:
                return got.result(timeout=LOOK_S)
            except TimeoutError:
                if not loop.is_running():  # nobody will give it any more, and nobody waits for it
                    raise UnreachableError("the node ended while a pack was read") from None

    return FoundPack(
        sha256=parsed[1],
        study_key_id=parsed[0],
        size_bytes=stat.size_bytes,
        provider=provider.name,
        read=read,
    )


def _read_file(path: Path, start: int, end: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, end - start, start)
    finally:
        os.close(descriptor)

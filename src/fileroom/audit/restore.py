"""Restore: the local ledger from a provider's copy, every record proved before it is written.

Docs: docs/format/ledger.md §7.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileroom.clock import Clock
from fileroom.disk import Disk
from fileroom.errors import IntegrityError
from fileroom.ledger import checkpoint, objects, tiles
from fileroom.ledger.checkpoint import Checkpoint, LedgerForkError
from fileroom.ledger.log import Ledger
from fileroom.ledger.merkle import HASH_BYTES, CompactRange, leaf_hash, tree_hash
from fileroom.ledger.note import SIZE_BYTES_MAX, VerifierKey
from fileroom.ledger.objects import EventsName, ObjectError
from fileroom.ledger.record import Entry, Stored, unseal
from fileroom.ledger.tiles import HEIGHT, WIDTH, TileError
from fileroom.provider.port import Call, Lane, Provider

CALL = Call(Lane.INTERACTIVE, "ledger-restore")


class Restored(NamedTuple):
    """What the local ledger now holds, and how much of it the provider's checkpoint covers."""

    size: int
    signed_size: int


class _Known(NamedTuple):
    """Hashes of the signed tree, proved to lead to its root.

    Attributes:
        bundles: the hash of each full bundle's subtree.
        tail: leaf hashes of the bundle that is not full.
    """

    bundles: Sequence[bytes]
    tail: Sequence[bytes]


async def restore(
    provider: Provider,
    directory: Path,
    *,
    site: str,
    body_key: bytes,
    key: VerifierKey,
    disk: Disk,
    clock: Clock,
) -> Restored:
    """Bring the ledger of `site` below `directory` up to what the provider holds.

    A ledger that is there already is kept and continued; so a restore that stopped is begun
    again.

    Args:
        key: the site's; the checkpoint must be signed by it.

    Raises:
        LedgerForkError: the ledger that is there is not the beginning of the provider's.
        IntegrityError: an object is missing, damaged or forged. What was written before is good.
    """
    copy = _Copy(provider, site, AESGCM(body_key))
    head = await copy.checkpoint(key)
    known = await copy.known(head)
    await copy.list_events()
    ledger = Ledger.open(directory, site=site, body_key=body_key, disk=disk, clock=clock)
    try:
        await _require_beginning(ledger, copy, head, known)
        while ledger.size < head.size:
            index = ledger.size // WIDTH
            entries = await _signed_entries(copy, known, index)
            await ledger.adopt(await copy.records(ledger.size, entries[ledger.size % WIDTH :]))
        await _adopt_unsigned(ledger, copy)
        return Restored(ledger.size, head.size)
    finally:
        await ledger.close()


async def _signed_entries(copy: "_Copy", known: _Known, index: int) -> list[bytes]:
    """The entries of one bundle of the signed tree, proved."""
    full = index < len(known.bundles)
    entries = await copy.entries(index, WIDTH if full else len(known.tail))
    leaves = [leaf_hash(each) for each in entries]
    if (tree_hash(leaves) != known.bundles[index]) if full else (leaves != known.tail):
        raise ObjectError(f"the entries from {index * WIDTH} on are not those that were signed")
    return entries


async def _require_beginning(
    ledger: Ledger, copy: "_Copy", head: Checkpoint, known: _Known
) -> None:
    """Make sure that the ledger that is there and the provider's are one."""
    if ledger.size >= head.size:
        same = await asyncio.to_thread(ledger.root, head.size) == head.root
    else:
        index, count = divmod(ledger.size, WIDTH)
        beginning = CompactRange()
        for each in known.bundles[:index]:
            beginning.push(each, level=HEIGHT)
        entries = await _signed_entries(copy, known, index) if count else []
        for entry in entries[:count]:
            beginning.push(leaf_hash(entry))
        same = beginning.root() == ledger.root()
    if not same:
        raise LedgerForkError("the ledger that is there is not the beginning of the provider's")


async def _adopt_unsigned(ledger: Ledger, copy: "_Copy") -> None:
    """Take the entries that reached the provider when their checkpoint did not.

    Their bodies open with the site's key beside them, so this site made them; that they are no
    older than the log's last entry and new to its bundle shows that none is an old one again.
    Left out, they would be lost, and the next publication would find their names taken.
    """
    while True:
        index, count = divmod(ledger.size, WIDTH)
        width = await copy.widest(index)
        if width <= count:
            return
        try:
            entries = await copy.entries(index, width)
            held = [each.entry for each in ledger.stored(index * WIDTH, ledger.size)]
            if entries[:count] != held or len(set(entries)) != len(entries):
                return
            times = [Entry.parse(each).time_ns for each in entries[count:]]
            if min(times) < _last_time_ns(ledger):
                return
            records = await copy.records(ledger.size, entries[count:])
        except IntegrityError:
            return
        await ledger.adopt(records)


def _last_time_ns(ledger: Ledger) -> int:
    """When the log's last entry was made; the checkpoint covers one at least."""
    (last,) = ledger.stored(ledger.size - 1, ledger.size)
    return Entry.parse(last.entry).time_ns


class _Copy:
    """A provider's copy of one ledger, for reading; nothing in it is believed."""

    def __init__(self, provider: Provider, site: str, cipher: AESGCM) -> None:
        self._provider = provider
        self._site = site
        self._cipher = cipher
        self._events: dict[int, list[EventsName]] = defaultdict(list)  # by bundle

    async def checkpoint(self, key: VerifierKey) -> Checkpoint:
        data = await self._object("checkpoint", size_bytes_max=SIZE_BYTES_MAX)
        return checkpoint.verified(data, origin=self._site, keys=[key])

    async def known(self, head: Checkpoint) -> _Known:
        """The hashes of bundles and of the last leaves, if they lead to the signed root."""
        bundles: list[bytes] = []
        count, tail_width = divmod(head.size, WIDTH)
        for first in range(0, count, WIDTH):
            bundles += await self._tile(1, first // WIDTH, min(WIDTH, count - first))
        tail = await self._tile(0, count, tail_width) if tail_width else []
        tree = CompactRange()
        for each in bundles:
            tree.push(each, level=HEIGHT)
        for each in tail:
            tree.push(each)
        if tree.root() != head.root:
            raise TileError(f"the tiles of {head.size} entries do not lead to the signed root")
        return _Known(bundles, tail)

    async def list_events(self) -> None:
        """Learn which events objects there are; misnamed ones are passed over."""
        prefix = objects.events_prefix(self._site)
        async for stat in self._provider.list(prefix, call=CALL):
            try:
                name = EventsName.parse(stat.name.removeprefix(prefix))
            except ObjectError:
                continue
            self._events[name.first // WIDTH].append(name)

    async def widest(self, index: int) -> int:
        """Width of the largest entry bundle of that index; 0 where there is none."""
        prefix = objects.prefix(self._site) + "tile/entries/"
        width = 0
        async for stat in self._provider.list(
            prefix + tiles.bundle_path(index).removeprefix("tile/entries/"), call=CALL
        ):
            try:
                found, found_width = tiles.parse_number(stat.name.removeprefix(prefix))
            except TileError:
                continue
            if found == index:
                width = max(width, found_width)
        return width

    async def entries(self, index: int, width: int) -> list[bytes]:
        data = await self._partial(
            tiles.bundle_path(index, width),
            tiles.bundle_path(index),
            size_bytes_max=tiles.BUNDLE_BYTES_MAX,
        )
        return tiles.bundle_beginning(data, width=width)

    async def records(self, first: int, entries: Sequence[bytes]) -> list[Stored]:
        """The records of `entries`, from index `first` on and within one bundle.

        Raises:
            ObjectError: no events object gives one of them a body that opens.
        """
        records: list[Stored] = []
        names = sorted(self._events[first // WIDTH], key=lambda each: each.last, reverse=True)
        while len(records) < len(entries):
            index = first + len(records)
            for name in names:
                if name.first <= index <= name.last:
                    opened = await self._opened(name, index, entries[len(records) :])
                    records += opened
                    if opened:
                        break
            else:
                raise ObjectError(f"no body of entry {index} is there that opens")
        return records

    async def _opened(self, name: EventsName, first: int, entries: Sequence[bytes]) -> list[Stored]:
        """The records that an events object gives, as far as its bodies open."""
        records: list[Stored] = []
        path = f"events/{name.first:012d}-{name.last:012d}-{name.sha256.hex()}"
        try:
            data = await self._object(path, size_bytes_max=objects.EVENTS_BYTES_MAX)
            bodies = objects.bodies_of(data, name)
            beginning = islice(bodies, first - name.first, None)
            for entry, body in zip(entries, beginning, strict=False):
                stored = Stored(entry, body)
                unseal(stored, index=first + len(records), cipher=self._cipher)
                records.append(stored)
        except IntegrityError:
            pass  # another object may hold it; if none does, `records` says so
        return records

    async def _tile(self, level: int, index: int, width: int) -> list[bytes]:
        data = await self._partial(
            tiles.tile_path(level, index, width),
            tiles.tile_path(level, index),
            size_bytes_max=WIDTH * HASH_BYTES,
        )
        return tiles.hashes_of(data[: width * HASH_BYTES], width=width)

    async def _partial(self, path: str, full_path: str, *, size_bytes_max: int) -> bytes:
        """A partial object, or the full one that a log may have kept in its place."""
        try:
            return await self._object(path, size_bytes_max=size_bytes_max)
        except ObjectError:
            if path == full_path:
                raise
            return await self._object(full_path, size_bytes_max=size_bytes_max)

    async def _object(self, path: str, *, size_bytes_max: int) -> bytes:
        name = objects.prefix(self._site) + path
        stat = await self._provider.stat(name, call=CALL)
        if stat is None:
            raise ObjectError(f"{name} is not there")
        if stat.size_bytes > size_bytes_max:
            raise ObjectError(f"{name} has {stat.size_bytes} B, over {size_bytes_max} B")
        return await self._provider.get(name, 0, stat.size_bytes, call=CALL)

"""Publish: the ledger's copy at a provider, and the checkpoint that vouches for it.

Order and crash cases: docs/format/ledger.md §5. The next publication is the recovery of one
that stopped, so there is no state to repair.
"""

import asyncio
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice

from fileroom.ledger import checkpoint, objects, tiles
from fileroom.ledger.checkpoint import Checkpoint, LedgerForkError
from fileroom.ledger.log import Ledger
from fileroom.ledger.merkle import leaf_hash
from fileroom.ledger.note import SIZE_BYTES_MAX, VerifierKey
from fileroom.ledger.record import Stored
from fileroom.ledger.tiles import WIDTH, Tile, TileTree
from fileroom.provider.port import Call, DifferentObjectError, Lane, Provider

CALL = Call(Lane.NEW, "ledger")
STEP = 64 * WIDTH  # entries between two checkpoints of a long publication


class Publisher:
    """Copies one ledger to one provider.

    Invariant: nothing is signed but a tree that extends the provider's checkpoint and whose
    bodies, entries and tiles lie at the provider (invariant 12 of docs/design.md).
    """

    def __init__(self, ledger: Ledger, provider: Provider, *, signing_seed: bytes) -> None:
        self._ledger = ledger
        self._provider = provider
        self._seed = signing_seed
        self._key = VerifierKey.of_seed(ledger.site, signing_seed)
        self._published: TileTree | None = None
        self._busy = asyncio.Lock()

    async def check(self) -> int:
        """Compare the ledger with the provider's checkpoint; return the size that it covers.

        Raises:
            LedgerForkError: it is not the checkpoint of a tree that ours extends.
            IntegrityError: it is malformed, or signed by another.
        """
        async with self._busy:
            return (await self._base()).size

    async def publish(self) -> int:
        """Bring the provider up to the entries that are durable now; return their number.

        Raises:
            LedgerForkError: another log lies there. Stop; a person decides.
            UncertainError, TransientError: the next publication goes on from what is there.
        """
        async with self._busy:
            target = self._ledger.size
            tree = await self._base()
            while tree.size < target:
                end = min(target, (tree.size // STEP + 1) * STEP)
                tree = await self._extend(tree, end)
            return tree.size

    async def _base(self) -> TileTree:
        """Our tree of the size that the provider's checkpoint has."""
        head = await self._checkpoint()
        if head is None:
            return TileTree()
        known = self._published
        if known is None or known.size != head.size:
            if head.size > self._ledger.size:
                raise LedgerForkError(
                    f"the ledger has {self._ledger.size} entries, and {head.size} are signed"
                )
            known = await asyncio.to_thread(self._ledger.tree, head.size)
        if known.root() != head.root:
            raise LedgerForkError(f"two ledgers of {head.size} entries have different roots")
        self._published = known
        return known.copy()

    async def _checkpoint(self) -> Checkpoint | None:
        name = objects.checkpoint_name(self._ledger.site)
        stat = await self._provider.stat(name, call=CALL)
        if stat is None:
            return None
        size_bytes = min(stat.size_bytes, SIZE_BYTES_MAX + 1)  # what is longer is refused
        data = await self._provider.get(name, 0, size_bytes, call=CALL)
        return checkpoint.verified(data, origin=self._ledger.site, keys=[self._key])

    async def _extend(self, tree: TileTree, end: int) -> TileTree:
        """Put what leads from `tree` to `end` entries, then sign that."""
        first = tree.size // WIDTH
        records = self._ledger.stored(first * WIDTH, end)
        old_size = tree.size
        new_tiles: list[Tile] = []
        for index in range(first, -(-end // WIDTH)):
            bundle = await asyncio.to_thread(_taken, records)
            skipped = max(old_size - index * WIDTH, 0)
            # A crash before the entries leaves bodies that no entry names.
            new_bodies = bundle if len(bundle) == WIDTH else bundle[skipped:]
            begin = index * WIDTH + len(bundle) - len(new_bodies)
            await self._put(
                *objects.events_object(self._ledger.site, begin, [each.body for each in new_bodies])
            )
            # A crash before the tiles leaves entries that nothing has signed.
            entries = [each.entry for each in bundle]
            await self._put(
                self._named(tiles.bundle_path(index, len(bundle))), tiles.bundle(entries)
            )
            for entry in entries[skipped:]:
                new_tiles += tree.append(leaf_hash(entry))
        for tile in [*new_tiles, *tree.partial_tiles()]:
            await self._put(self._named(tile.path), tile.hashes)
        head = Checkpoint(self._ledger.site, tree.size, tree.root())
        # Commit point. A crash before this line leaves objects that no checkpoint covers and the
        # next publication meets again; after it the provider's log has grown.
        await self._provider.replace(
            objects.checkpoint_name(head.origin),
            checkpoint.signed(head, seed=self._seed),
            call=CALL,
        )
        self._published = tree.copy()
        return tree

    async def _put(self, name: str, data: bytes) -> None:
        digest = sha256(data).digest()
        try:
            await self._provider.put_if_absent(name, data, sha256=digest, call=CALL)
        except DifferentObjectError as error:
            raise LedgerForkError(f"{name} is there with other bytes than ours") from error

    def _named(self, path: str) -> str:
        return objects.prefix(self._ledger.site) + path


def _taken(records: Iterator[Stored]) -> Sequence[Stored]:
    return list(islice(records, WIDTH))

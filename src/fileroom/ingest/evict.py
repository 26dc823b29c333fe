"""Evict: the only local deletes. Spool segments whose instances are all sealed, and local packs
that are COMMITTED and beyond the node's budget (invariant 6)."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from fileroom.audit import event
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import PackRow
from fileroom.clock import Clock
from fileroom.disk import Disk
from fileroom.ingest.build import local_path
from fileroom.ingest.placed import placed
from fileroom.ledger.log import Ledger
from fileroom.pack.format import object_name
from fileroom.policy import eviction, placement
from fileroom.spool.failure import SpaceError
from fileroom.spool.landing import Spool
from fileroom.spool.segment import SegmentStats

PACKS_A_ROUND = 256

log = logging.getLogger(__name__)


class EvictStage:
    """Gives the node's disk back what others hold safely.

    Args:
        rule, sites: placement as it is now. A pack that was COMMITTED under other settings stays
            here until the providers in use hold the copies that these ask for.
        leaving: told the SHA-256 of a pack whose file is about to go.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        ledger: Ledger,
        spool: Spool,
        disk: Disk,
        clock: Clock,
        packs_directory: Path,
        node_id: str,
        local_size_bytes_max: int,
        reserve_bytes: int,
        rule: placement.Rule,
        sites: Mapping[str, placement.Site],
        leaving: Callable[[bytes], None],
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._spool = spool
        self._disk = disk
        self._clock = clock
        self._packs_directory = packs_directory
        self._node_id = node_id
        self._local_size_bytes_max = local_size_bytes_max
        self._reserve_bytes = reserve_bytes
        self._rule = rule
        self._sites = sites
        self._kept: set[int] = set()  # packs that placement does not let go
        self._leaving = leaving

    async def round(self) -> int:
        """Release segments and packs, and return how many files that were."""
        # Packs first: a spool that may not rotate on a full disk can when they have gone.
        return await self._packs() + await self._segments()

    async def _segments(self) -> int:
        if await asyncio.to_thread(self._spool_may_be_all_there_is):
            log.warning("the spool is kept: a pack is at risk of which no copy was made yet")
            return 0
        released = 0
        for each in await self._settled_segments():
            if each.active:
                try:
                    await self._spool.rotate()  # the next round finds it inactive
                except SpaceError as error:
                    log.warning("segment %d is not released: %s", each.number, error)
                continue
            # Nothing is unlinked on the word of a transaction that a power cut could take back.
            await asyncio.to_thread(self._catalog.make_durable)
            await self._decide(
                event.Released(node_id=self._node_id, segment=each.number, instances=each.commits)
            )
            # A crash before the next line leaves a segment whose records are all settled.
            await asyncio.to_thread(self._spool.unlink_spooled, each.number)
            await asyncio.to_thread(self._catalog.forget_segment, each.number)
            released += 1
        return released

    def _spool_may_be_all_there_is(self) -> bool:
        """Whether a pack was found damaged here before its first copy: which segments it was built
        of is known to the spool alone, and the next start seals it again from there. Blocks."""
        return any(
            all(copy.state is CopyState.PENDING for copy in self._catalog.copies(each.number))
            for each in self._catalog.packs(state=PackState.AT_RISK, limit=PACKS_A_ROUND)
            if each.local
        )

    async def _settled_segments(self) -> list[SegmentStats]:
        """Segments whose every commit is accounted for in packs: count in is count out.

        That no row waits would not be enough: the row of an instance that landed a moment ago
        may be on its way to the catalog still.
        """
        in_use = await asyncio.to_thread(self._catalog.segments_in_use)
        damaged = {each.segment for each in self._spool.damage if each.acknowledged}
        found = []
        for each in self._spool.segments():
            if each.landings or each.number in in_use or each.number in damaged:
                continue
            settled = await asyncio.to_thread(self._catalog.settled_count, each.number)
            if settled == each.commits and (settled or not each.active):
                found.append(each)
        return found

    async def _packs(self) -> int:
        limit = PACKS_A_ROUND + len(self._kept)
        candidates = await asyncio.to_thread(self._catalog.evictable, limit)
        totals = await asyncio.to_thread(self._catalog.totals)
        chosen = eviction.choose(
            [
                eviction.LocalPack(
                    number=each.number,
                    size_bytes=each.size_bytes,
                    used_at_ns=each.sealed_at_ns,
                    committed=each.state is PackState.COMMITTED,
                )
                for each in candidates
                if each.number not in self._kept
            ],
            local_size_bytes=totals.local.size_bytes,
            local_size_bytes_max=self._local_size_bytes_max,
            free_bytes=self._disk.free_bytes(self._packs_directory),
            reserve_bytes=self._reserve_bytes,
        )
        if not chosen:
            self._kept.clear()  # they are asked about again at the next round
            return 0
        by_number = {each.number: each for each in candidates}
        await asyncio.to_thread(self._catalog.make_durable)
        evicted = 0
        for choice in chosen:
            pack = by_number[choice.number]
            if not await self._may_go(pack):
                continue
            name = object_name(pack.study_key_id, pack.sha256)
            await self._decide(
                event.Evicted(pack=name, size_bytes=pack.size_bytes, reason=choice.reason)
            )
            # Readers are sent to the provider first; a crash before the unlink leaves a file that
            # the next start takes back as local.
            await asyncio.to_thread(self._catalog.set_local, pack.number, False)
            self._leaving(pack.sha256)
            path = local_path(self._packs_directory, pack.study_key_id, pack.sha256)
            await asyncio.to_thread(self._disk.unlink, path)
            evicted += 1
        if evicted < len(chosen):
            log.warning("%d packs stay on this disk for their copies", len(chosen) - evicted)
        return evicted

    async def _may_go(self, pack: PackRow) -> bool:
        """Whether the providers in use hold what makes the local copy the last to be dropped, and
        the pack is COMMITTED still."""
        now = await asyncio.to_thread(self._catalog.packs, numbers=[pack.number], limit=1)
        if not now or now[0].state is not PackState.COMMITTED:
            return False  # a read found it damaged since it was chosen
        decided = await asyncio.to_thread(
            placed, self._catalog, pack, rule=self._rule, sites=self._sites
        )
        copies = await asyncio.to_thread(self._catalog.copies, pack.number)
        owed = [
            each.provider
            for each in copies
            if each.state is CopyState.PENDING and each.provider in self._sites
        ]
        if decided.committed and not owed:
            return True
        self._kept.add(pack.number)
        if owed:
            reason = f"{len(owed)} providers are still owed their copy of it"
        else:
            reason = decided.reason
        log.debug("pack %d stays on this disk: %s", pack.number, reason)
        return False

    async def _decide(self, decided: event.Event) -> None:
        """Append a decision; it holds once the ledger has it."""
        await self._ledger.append(event.kind(decided), event.body(decided))

"""Commit: a verified pack becomes COMMITTED once placement says that its copies are enough."""

import asyncio
import logging
from collections.abc import Mapping

from fileroom.audit import event
from fileroom.catalog.lifecycle import PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import PackRow
from fileroom.ingest.placed import placed
from fileroom.ingest.telling import tell
from fileroom.ledger.log import Ledger
from fileroom.pack.format import object_name
from fileroom.policy import placement

PACKS_LOOKED_AT = 4096  # those that lack copies must not hide the ones behind them

log = logging.getLogger(__name__)


class CommitStage:
    """Asks placement about verified packs.

    Args:
        sites: what is known of each provider's failure domain, by name.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        ledger: Ledger,
        rule: placement.Rule,
        sites: Mapping[str, placement.Site],
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._rule = rule
        self._sites = sites

    async def round(self) -> int:
        """Commit what may be and return how many packs that were."""
        packs = await asyncio.to_thread(
            self._catalog.packs, state=PackState.VERIFIED, limit=PACKS_LOOKED_AT
        )
        done = 0
        for pack in packs:
            done += await self._pack(pack)
        if done < len(packs):
            log.info("%d packs are VERIFIED and lack copies to be COMMITTED", len(packs) - done)
        return done

    async def _pack(self, pack: PackRow) -> int:
        decided = await asyncio.to_thread(
            placed, self._catalog, pack, rule=self._rule, sites=self._sites
        )
        if not decided.committed:
            log.debug("pack %d is not COMMITTED: %s", pack.number, decided.reason)
            return 0
        # Commit point of COMMITTED (invariant 5). A crash before it asks placement again.
        await asyncio.to_thread(
            self._catalog.set_pack_state, pack.number, PackState.VERIFIED, PackState.COMMITTED
        )
        tell(
            self._ledger,
            event.Committed(
                pack=object_name(pack.study_key_id, pack.sha256),
                providers=decided.providers,
                warnings=decided.warnings,
            ),
        )
        return 1

"""At risk: a pack that somebody has read, and that no copy within reach gave as it was sealed."""

import asyncio
from contextlib import suppress

from fileroom.audit import event
from fileroom.catalog.errors import StateMovedError
from fileroom.catalog.lifecycle import PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import PackRow
from fileroom.ingest.telling import tell
from fileroom.ledger.log import Ledger
from fileroom.pack.format import object_name


async def note_damaged(pack: PackRow, *, catalog: Catalog, ledger: Ledger) -> None:
    """Make it AT_RISK: it is not evicted any more, nor taken on trust when it is sent again."""
    (now,) = await asyncio.to_thread(catalog.packs, numbers=[pack.number], limit=1) or (pack,)
    if now.state is PackState.AT_RISK:
        return
    with suppress(StateMovedError):  # a stage was quicker; the next read finds the same
        await asyncio.to_thread(catalog.set_pack_state, now.number, now.state, PackState.AT_RISK)
        name = object_name(now.study_key_id, now.sha256)
        tell(ledger, event.CopyFailed(pack=name, provider="", state=str(PackState.AT_RISK)))

"""Decider: takes a decision, has it recorded, carries it out."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from fileroom.access.identity import Principal
from fileroom.audit import event
from fileroom.audit.decided import By, Decided
from fileroom.catalog.port import Catalog
from fileroom.decisions.effects import apply
from fileroom.ledger.log import Ledger


def by(principal: Principal, *, channel: str) -> By:
    """Who decides, as the ledger calls them."""
    return By(
        principal_kind=principal.kind,
        principal=principal.name,
        address=principal.address,
        channel=channel,
    )


class Decider:
    """Takes decisions one at a time.

    Invariant: each that the ledger has is applied in the ledger's order, or `carry_out` raises;
    so the applied index never passes one that the catalog has not heard of.

    Args:
        deciding: held while a decision is written and carried out.
    """

    def __init__(self, *, catalog: Catalog, ledger: Ledger, deciding: asyncio.Lock) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._deciding = deciding
        self._owed: deque[tuple[int, Decided]] = deque()  # recorded, and not applied yet
        self._under_way: set[asyncio.Task[int]] = set()

    async def take(self, decide: Callable[[], Awaitable[Decided]]) -> int:
        """Take a decision and return its index in the ledger once it is applied.

        A caller that goes away after it was recorded does not keep it from being applied.

        Args:
            decide: makes it, from what the catalog says then: no other decision is taken
                meanwhile. What it raises is raised, and nothing was decided.

        Raises:
            LedgerWriteError: it is not known to be durable, and is not applied.
            CatalogBusyError, CatalogFullError: it is recorded, and is applied later.
        """
        task = asyncio.create_task(self._take(decide))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def carry_out(self) -> None:
        """Apply what was recorded and could not be applied then; with `deciding` held."""
        while self._owed:
            index, decided = self._owed[0]
            await asyncio.to_thread(apply, self._catalog, index, decided)
            self._owed.popleft()

    async def _take(self, decide: Callable[[], Awaitable[Decided]]) -> int:
        async with self._deciding:
            await self.carry_out()
            decided = await decide()
            # Commit point. A crash before it leaves nothing; after it the decision is taken, and
            # a start that finds it behind the applied index applies it.
            index = await self._ledger.append(event.kind(decided), event.body(decided))
            self._owed.append((index, decided))
            await self.carry_out()
        return index

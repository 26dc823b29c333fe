"""A desk for rejections over a catalog of dictionaries and a real ledger."""

import asyncio
from contextlib import asynccontextmanager

from conform.catalog_model import DictCatalog
from conform.catalog_samples import NODE, spooled
from fileroom.access.identity import of_address
from fileroom.catalog.rejections import Scope
from fileroom.clock import ManualClock
from fileroom.decisions.decider import Decider
from fileroom.decisions.rejections import RejectionDesk
from ledger_parts import ledger_in

STUDY, SERIES, OTHER = "1.2.1", "1.2.1.1", "1.2.1.2"
SOMEBODY = of_address("127.0.0.1")


class Behind:
    """A desk, and what lies behind it."""

    def __init__(self, ledger):
        self.clock = ManualClock()
        self.catalog = DictCatalog(self.clock)
        self.ledger = ledger
        self.is_complete = True
        self.landing = []  # what the catalog has not heard of yet
        self.desk = RejectionDesk(
            catalog=self.catalog,
            decider=Decider(catalog=self.catalog, ledger=ledger, deciding=asyncio.Lock()),
            clock=self.clock,
            settled=self._settled,
            complete=lambda: self.is_complete,
        )

    async def _settled(self):
        self.catalog.record_spooled(self.landing, node_id=NODE)
        self.landing = []

    async def reject(self, *scope, code="113001", reason=""):
        return await self.desk.reject(
            Scope(*scope), code=code, reason=reason, who=SOMEBODY, channel="http"
        )

    async def restore(self, *scope, everything=False, reason=""):
        return await self.desk.restore(
            Scope(*scope), everything=everything, reason=reason, who=SOMEBODY, channel="http"
        )

    def scopes(self):
        return [each.scope for each in self.catalog.rejections(limit=99)]


@asynccontextmanager
async def desk_in(folder):
    """A desk before which a study lies: 1.9.1 and 1.9.2 in a series, 1.9.3 in another."""
    async with ledger_in(folder) as ledger:
        behind = Behind(ledger)
        behind.landing = [
            spooled((1, 0), "1.9.1"),
            spooled((1, 1), "1.9.2"),
            spooled((1, 2), "1.9.3", series=OTHER),
        ]
        yield behind

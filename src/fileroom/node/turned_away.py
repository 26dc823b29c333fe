"""Who was turned away: counted for the status, listed in the catalog, recorded in the ledger."""

import asyncio
import logging
from collections import Counter
from typing import NamedTuple

from fileroom.audit.refusals import Refusal, Refusals
from fileroom.catalog.port import CatalogRecords
from fileroom.clock import Clock
from fileroom.dimse.admission import ASSOCIATE
from fileroom.errors import FileroomError
from fileroom.ledger.log import Ledger

CALLERS_MAX = 256  # noted between two `record`; more are counted and not listed

log = logging.getLogger(__name__)


class _Caller(NamedTuple):
    ae_title: str
    address: str
    reason: str


def counted_as(refusal: Refusal) -> str:
    """What the status and the metrics count a refusal under; there are few of them."""
    if refusal.action == ASSOCIATE:
        return refusal.reason
    return f"{refusal.action}: {refusal.reason}"


class TurnedAway:
    """Takes what the doors tell, without holding them up. Use from one event loop.

    Attributes:
        counts: since the start.
    """

    def __init__(self, catalog: CatalogRecords, ledger: Ledger, clock: Clock) -> None:
        self._catalog = catalog
        self._refusals = Refusals(ledger, clock)
        self._callers: Counter[_Caller] = Counter()
        self.counts: Counter[str] = Counter()

    def note(self, refusal: Refusal) -> None:
        """Take one in."""
        self.counts[counted_as(refusal)] += 1
        self._refusals.note(refusal)
        if refusal.action == ASSOCIATE:
            principal = refusal.principal
            caller = _Caller(principal.ae_title or "", principal.address, refusal.reason)
            if caller in self._callers or len(self._callers) < CALLERS_MAX:
                self._callers[caller] += 1

    async def record(self) -> None:
        """Have the catalog list the callers that came since the last call."""
        callers, self._callers = self._callers, Counter()
        if callers:
            await asyncio.to_thread(self._record, callers)

    async def flush(self, *, ended: bool = False) -> None:
        """Do so, and write to the ledger what is due there. Raises as `Refusals.flush` does."""
        try:
            await self.record()
        except FileroomError as error:  # only a list: the record of it is the ledger's
            log.warning("callers that were turned away are not listed: %s", error)
        await self._refusals.flush(ended=ended)

    def _record(self, callers: Counter[_Caller]) -> None:
        for caller, count in callers.items():
            self._catalog.record_refused(
                address=caller.address,
                calling_ae_title=caller.ae_title,
                called_ae_title="",
                reason=caller.reason,
                count=count,
            )

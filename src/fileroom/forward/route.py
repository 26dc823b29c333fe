"""Route: rules are asked about each pack that was sealed; what they take waits for destinations."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from fileroom.audit import event
from fileroom.audit.forwarding import ForwardRules
from fileroom.catalog.forwards import NewForward, PackToRoute
from fileroom.catalog.port import Catalog
from fileroom.errors import IntegrityError, TransientError
from fileroom.ledger.log import Ledger
from fileroom.policy.forwarding import Rule, Series, senders_wanted, ways

PACKS_AT_ONCE = 100

log = logging.getLogger(__name__)


class ReceivedFrom(Protocol):
    """Who sent an instance."""

    @property
    def calling_ae_title(self) -> str: ...


class Member(Protocol):
    """What a pack says of an instance."""

    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def received_from(self) -> ReceivedFrom: ...


class Packed(Protocol):
    """Reads what packs hold, wherever they lie (retrieve.packed)."""

    async def members(self, pack: int) -> Sequence[Member]: ...


class RouteStage:
    """Asks the rules.

    Args:
        deciding: held while a decision is written and carried out.

    Attributes:
        rules: those in force.
        last_error: why a pack could not be asked about in the latest round; empty: each could.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        catalog: Catalog,
        ledger: Ledger,
        packed: Packed,
        deciding: asyncio.Lock,
    ) -> None:
        self.rules = rules
        self.last_error = ""
        self._catalog = catalog
        self._ledger = ledger
        self._packed = packed
        self._deciding = deciding

    async def round(self) -> int:
        """Ask about every pack that waits for it, and return how many there were."""
        await self._tell_rules()
        routed, after, failed = 0, 0, ""
        while rows := await asyncio.to_thread(
            self._catalog.packs_to_route, after=after, limit=PACKS_AT_ONCE
        ):
            after = rows[-1].pack
            for row in rows:
                try:
                    forwards = await self._forwards(row)
                except (TransientError, IntegrityError) as error:
                    failed = f"the senders of pack {row.pack} cannot be read: {error}"
                    continue
                # Commit point. A crash before it asks again, and it decides the same.
                await asyncio.to_thread(self._catalog.route, row.pack, forwards)
                routed += 1
        if failed and failed != self.last_error:
            log.warning("%s", failed)
        self.last_error = failed
        return routed

    async def _tell_rules(self) -> None:
        """Have the ledger told which rules are in force, when they are others than before."""
        rules = {each.name: each.to for each in self.rules}
        if rules == await asyncio.to_thread(self._catalog.forward_rules):
            return
        told = ForwardRules(rules=rules)
        async with self._deciding:
            # Commit point. Before it no pack waits to be asked about for the sake of a new rule.
            await self._ledger.append(event.kind(told), event.body(told))
            await asyncio.to_thread(self._catalog.set_forward_rules, rules)

    async def _forwards(self, row: PackToRoute) -> list[NewForward]:
        rules = [each for each in self.rules if row.rules is None or each.name in row.rules]
        series = Series(row.modality, row.study_description, row.description)
        senders: Mapping[int, str] = {}
        if senders_wanted(rules, series):
            members = await self._packed.members(row.pack)
            senders = {n: each.received_from.calling_ae_title for n, each in enumerate(members)}
        found = ways(rules, series, row.ordinals, senders)
        return [
            NewForward(destination=to, rule=rule, ordinals=tuple(ordinals))
            for (to, rule), ordinals in found.items()
        ]

"""Whether all of each study has come: its stage under the settings in force, and its figures."""

from collections.abc import AsyncIterator, Sequence

from fileroom.catalog.arrivals import ArrivalState, SeriesTold, Told
from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.errors import TransientError
from fileroom.ingest.arrivals import Arrivals
from fileroom.ingest.completeness import CompletenessStage
from fileroom.node import health
from fileroom.node.rounds import Round
from fileroom.node.settings import PeerSettings, Settings
from fileroom.peer import find

EVERY_S = 5.0


class NotAskableError(TransientError):
    """The settings that are in force now name no such peer to ask."""


class Completeness:
    """Judges studies that come, and asks those peers that the settings allow to be asked.

    Attributes:
        rounds: what brings it on.
    """

    def __init__(
        self, settings: Settings, *, catalog: Catalog, clock: Clock, arrivals: Arrivals
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._clock = clock
        self.stage = CompletenessStage(
            catalog=catalog,
            clock=clock,
            arrivals=arrivals,
            quiet_s=settings.completeness.quiet_s,
            ask=self._ask,
            askable=lambda ae_title: self._peer(ae_title) is not None,
        )
        self.rounds = [Round("completeness", self.stage.round, EVERY_S, is_woken=False)]

    async def stop(self) -> None:
        """End what is under way, when the rounds have ended."""
        await self.stage.stop()

    def reconfigured(self, settings: Settings) -> None:
        """Take over the peers and the quiet time of new settings."""
        self._settings = settings
        self.stage.quiet_s = settings.completeness.quiet_s
        self.stage.reconsider()

    def status(self) -> health.Arrivals:
        """How many studies have not come whole. Reads the catalog."""
        totals = self._catalog.arrival_totals()
        oldest_ns = totals.oldest_arriving_ns
        return health.Arrivals(
            arriving=totals.states.get(ArrivalState.ARRIVING, 0),
            incomplete=totals.states.get(ArrivalState.INCOMPLETE, 0),
            oldest_s=None if oldest_ns is None else (self._clock.wall_ns() - oldest_ns) / 1e9,
        )

    def _peer(self, ae_title: str) -> PeerSettings | None:
        """The peer that may be asked; of two with one AE title the first that may."""
        for each in self._settings.peers.values():
            if each.find and each.ae_title.strip() == ae_title:
                return each
        return None

    async def _ask(self, ae_title: str, study_instance_uids: Sequence[str]) -> AsyncIterator[Told]:
        peer = self._peer(ae_title)
        if peer is None:
            raise NotAskableError(f"no peer with the AE title {ae_title} is to be asked any more")
        found = find.counts(
            peer.host,
            peer.port,
            study_instance_uids,
            calling=self._settings.dimse.ae_title.strip(),
            called=ae_title,
        )
        began_ns = self._clock.wall_ns()
        async for counts in found:
            yield Told(
                asked_at_ns=began_ns,
                instances=counts.instances,
                series={uid: SeriesTold(*told) for uid, told in counts.series.items()},
            )
            began_ns = self._clock.wall_ns()

"""Storage commitments of a node: their stages, their terms by the settings, what status says."""

import asyncio
from collections.abc import Awaitable, Callable

from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.dicom.commitment import Result
from fileroom.dimse.commitment_scp import CommitmentDesk
from fileroom.ingest.promise import PromiseStage
from fileroom.ingest.report import ReportStage
from fileroom.ingest.verdicts import Judge, Packed, Peer, Terms
from fileroom.ledger.log import Ledger
from fileroom.node import health
from fileroom.node.rounds import Round
from fileroom.node.settings import Settings
from fileroom.peer import commitment
from fileroom.policy.promise import Rule
from fileroom.spool.reader import SpoolReader

EVERY_S = 5.0  # woken when a pack is COMMITTED, and when a request comes


def terms_of(settings: Settings) -> Terms:
    """The terms that the settings give; of two peers with one AE title the first counts."""
    peers: dict[str, Peer] = {}
    for each in settings.peers.values():
        peers.setdefault(each.ae_title.strip(), Peer(each.host, each.port, Rule(each.commit)))
    return Terms(settings.commitment.grace_s, peers)


class Commitments:
    """Takes requests, judges them and tells the peers.

    Args:
        settled, complete: as for `Judge`.
        deciding: as for `PromiseStage`.

    Attributes:
        desk: where the DICOM door brings requests.
        rounds: what brings commitments on.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog,
        ledger: Ledger,
        clock: Clock,
        packed: Packed,
        spool: SpoolReader,
        settled: Callable[[], Awaitable[None]],
        complete: Callable[[], bool],
        deciding: asyncio.Lock,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._clock = clock
        self._judge = Judge(
            terms_of(settings),
            catalog=catalog,
            packed=packed,
            spool=spool,
            clock=clock,
            settled=settled,
            complete=complete,
        )
        self.promise = PromiseStage(
            catalog=catalog,
            ledger=ledger,
            clock=clock,
            judge=self._judge,
            deciding=deciding,
            wake=lambda: self.rounds[0].wake.set(),
        )
        self.report = ReportStage(
            catalog=catalog,
            ledger=ledger,
            clock=clock,
            judge=self._judge,
            deciding=deciding,
            call=self._call,
            retrieve_ae_title=settings.dimse.ae_title,
        )
        self.desk = CommitmentDesk(self.promise, self.report)
        self.rounds = [
            Round("promise", self.promise.round, EVERY_S),
            Round("report", self.report.round, EVERY_S),
        ]

    async def stop(self) -> None:
        """End what is under way, when the rounds have ended."""
        await self.report.stop()

    def reconfigured(self, settings: Settings) -> None:
        """Take over the terms of new settings, and try the peers again."""
        self._settings = settings
        self._judge.terms = terms_of(settings)
        self.report.retry()

    def status(self) -> tuple[health.Commitments, list[str]]:
        """How many there are, and what to warn of. Reads the catalog."""
        totals = self._catalog.commitment_totals()
        oldest_ns = totals.oldest_ns
        counted = health.Commitments(
            waiting=totals.waiting,
            untold=sum(totals.judged.values()),
            oldest_s=None if oldest_ns is None else (self._clock.wall_ns() - oldest_ns) / 1e9,
        )
        warnings = [
            f"peer {name} is told 'safe' when only this node's disk holds it (commit = \"local\")"
            for name, each in self._settings.peers.items()
            if each.commit == "local"
        ]
        for ae_title in totals.judged:
            told = f"storage commitment for AE {ae_title} cannot be reported"
            if ae_title not in self._judge.terms.peers:
                warnings.append(f"{told}: no peer has this AE title")
            elif (error := self.report.errors.get(ae_title)) is not None:
                warnings.append(f"{told}: {error}")
        return counted, warnings

    async def _call(self, ae_title: str, peer: Peer, result: Result) -> int:
        calling = self._settings.dimse.ae_title
        return await commitment.tell(peer.host, peer.port, result, calling=calling, called=ae_title)

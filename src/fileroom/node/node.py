"""A node: the rooms it was assembled from, its rounds, its status."""

import asyncio
import logging

import fileroom
from fileroom.audit import event
from fileroom.audit.coverage import Coverage
from fileroom.audit.publish import Publisher
from fileroom.audit.refusals import Refusal
from fileroom.catalog.lifecycle import UNCOMMITTED, CopyState
from fileroom.catalog.rows import Totals
from fileroom.dimse.provision import Provision
from fileroom.errors import FileroomError, TransientError, UncertainError
from fileroom.http.request import Service
from fileroom.ingest.commit import CommitStage
from fileroom.ingest.evict import EvictStage
from fileroom.ingest.receive import Receiver
from fileroom.ingest.replicate import ReplicateStage
from fileroom.ingest.seal import SealStage
from fileroom.ingest.verify import VerifyStage
from fileroom.keys.objects import SITE_KEY
from fileroom.node import health
from fileroom.node.commitments import Commitments
from fileroom.node.completeness import Completeness
from fileroom.node.configuration import Configuration
from fileroom.node.decisions import Decisions
from fileroom.node.forwarding import Forwarding
from fileroom.node.furnish import furnish
from fileroom.node.parts import Parts
from fileroom.node.peers import Peers
from fileroom.node.rounds import Round, Rounds
from fileroom.node.settings import Settings
from fileroom.node.tasks import Tasks, failures, shown
from fileroom.node.turned_away import TurnedAway
from fileroom.policy import placement
from fileroom.provider.port import Call, Lane
from fileroom.recovery.rebuild import ProviderAwayError, Rebuilder
from fileroom.recovery.replay import Replay
from fileroom.recovery.report import Report
from fileroom.retrieve.archive import Archive

SEAL_EVERY_S = 0.5  # nothing wakes it: what it waits for is quiet
WOKEN_EVERY_S = 5.0  # the stage before wakes these
EVICT_EVERY_S = 5.0
PUBLISH_EVERY_S = 10.0
SWEEP_EVERY_S = 60.0
UPKEEP_EVERY_S = 10.0
REACH_EVERY_S = 10.0
REACH = Call(Lane.STAT, "reach")
REACHED_NAME = "README.txt"  # asked for to see that a provider answers; it need not be there
DRAIN_LOOK_S = 0.05

log = logging.getLogger(__name__)


class DrainError(TransientError):
    """Not everything was COMMITTED in the time given; what was not goes on later."""


class Node:
    """One node. `wiring` sets what is declared here and not in `__init__`.

    Attributes:
        service: what the web door's handlers work with.
        provision: what the DICOM door may read.
    """

    state = health.RUNNING
    service: Service
    provision: Provision
    receiver: Receiver
    archive: Archive
    coverage: Coverage
    publishers: list[Publisher]
    seal: SealStage
    replicate: ReplicateStage
    verify: VerifyStage
    commit: CommitStage
    evict: EvictStage
    replay: Replay
    rebuilder: Rebuilder
    configuration: Configuration
    commitments: Commitments
    completeness: Completeness
    forwarding: Forwarding
    decisions: Decisions
    peers: Peers

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.settings = parts.settings
        self.catalog = parts.catalog
        self.associations = 0
        self._out_of_reach: dict[str, str] = {}  # provider to its error
        self._since_s = parts.clock.monotonic_s()
        self._rounds: Rounds | None = None
        self._published_size = -1
        self.tasks = Tasks(parts.catalog, parts.clock)
        self._turned_away = TurnedAway(parts.catalog, parts.ledger, parts.clock)
        self._configurations = [parts.settings]  # that the ledger may have to be told of
        self.deciding = asyncio.Lock()  # held while what was decided is carried out
        self._furnished = False
        self._shrunk_at = -1

    async def recover(self) -> Report:
        """Make the catalog agree with what is durable, and say in the ledger that we are up.

        A catalog that was never filled, since it is new or a rebuild was interrupted, is filled
        from every provider that answers; `complete` does it with the others.
        """
        for publisher in self.publishers:
            try:
                await publisher.check()
            except TransientError as error:
                log.warning("the ledger was not compared with a provider's: %s", error)
        await self._reach()
        await asyncio.to_thread(self.tasks.interrupted)
        if self.rebuilder.awaited() is None:
            report = await self.tasks.rebuild(self.rebuilder)
        else:
            report = await self.rebuilder.reconcile()
        await self._tell(event.Started(node_id=self.parts.node_id, version=fileroom.__version__))
        await self._tell_recovered(report)
        await self._tell_configurations()
        log.info(
            "node %s begins with %d instances in the spool; packs new to the catalog: %d, "
            "gone from this disk: %d, unreadable: %d",
            self.parts.node_id,
            report.spooled,
            report.adopted,
            report.missing,
            report.unreadable,
        )
        return report

    async def complete(self) -> int:
        """Take up what lies at providers that were away when the catalog was made, once one is
        back; and return whether there was one.

        Raises:
            ProviderAwayError: it was away again before all was read.
        """
        awaited = await asyncio.to_thread(self.rebuilder.awaited)
        if not awaited:
            return 0
        await self._reach()
        if not {*awaited} & self.parts.providers.keys() - self._out_of_reach.keys():
            return 0
        report = await self.tasks.rebuild(self.rebuilder)
        await self._tell_recovered(report)
        if report.awaited == awaited:
            raise ProviderAwayError(f"the catalog stays incomplete without {', '.join(awaited)}")
        return 1

    async def close(self) -> None:
        """Write what is still to be said; the stores are closed by whoever opened them."""
        try:
            await self.parts.intake.settled()
        except FileroomError as error:
            log.warning("instances wait in the spool for the next start: %s", error)
        await self.coverage.close()
        await self._turned_away.flush(ended=True)
        await self._tell_configurations()
        await self._tell(event.Stopped(node_id=self.parts.node_id, version=fileroom.__version__))
        try:
            await self._publish()
        except FileroomError as error:
            log.warning("the ledger's last entries are not at every provider: %s", error)

    def start_rounds(self) -> None:
        """Run the stages and the upkeep until `stop_rounds`."""
        self._rounds = Rounds(
            [
                Round("seal", self.seal.round, SEAL_EVERY_S),
                Round("replicate", self.replicate.round, WOKEN_EVERY_S),
                Round("verify", self.verify.round, WOKEN_EVERY_S),
                Round("commit", self.commit.round, WOKEN_EVERY_S),
                Round("evict", self._evict, EVICT_EVERY_S),
                Round("publish", self._publish, PUBLISH_EVERY_S, is_woken=False),
                Round("sweep", self._sweep, SWEEP_EVERY_S, is_woken=False),
                Round("upkeep", self._upkeep, UPKEEP_EVERY_S),
                Round("furnish", self._furnish, SWEEP_EVERY_S, is_woken=False),
                Round("reach", self._reach, REACH_EVERY_S, is_woken=False),
                Round("complete", self.complete, REACH_EVERY_S, is_woken=False),
                *self.commitments.rounds,
                *self.completeness.rounds,
                *self.forwarding.rounds,
                *self.decisions.rounds,
            ],
            clock=self.parts.clock,
        )
        self._rounds.start()

    async def stop_rounds(self) -> None:
        """End the rounds; what they were at goes on after the next start."""
        if self._rounds is not None:
            await self._rounds.stop()
            await self.commitments.stop()
            await self.completeness.stop()
            await self.forwarding.stop()
            self._rounds = None

    async def drain(self, timeout_s: float) -> None:
        """Return once everything that has landed is COMMITTED, sealing without a quiet time.

        Raises:
            DrainError: it took longer than `timeout_s`.
        """
        began_s = self.parts.clock.monotonic_s()
        await self.parts.intake.settled()
        while True:
            moved = await self.seal.round(everything=True)
            for stage in (self.replicate, self.verify, self.commit):
                moved += await stage.round()
            left = await asyncio.to_thread(self._backlog)
            if not left:
                return
            if self.parts.clock.monotonic_s() - began_s > timeout_s:
                raise DrainError(f"{left} instances are not COMMITTED after {timeout_s:.0f} s")
            if not moved:
                await self.parts.clock.sleep(DRAIN_LOOK_S)

    async def settled(self) -> None:
        """Return once the catalog knows of everything that has landed, and who was turned away."""
        await self.parts.intake.settled()
        await self._turned_away.record()

    def spool_pressure(self) -> float:
        """How much of the room that the spool may take is taken, 0 to 1."""
        used_bytes = sum(each.size_bytes for each in self.parts.spool.segments())
        free_bytes = self.parts.disk.free_bytes(self.parts.folder.spool)
        room_bytes = used_bytes + max(0, free_bytes - self.settings.spool.reserve_bytes)
        return used_bytes / room_bytes if room_bytes else 1.0

    def note_refused(self, refusal: Refusal) -> None:
        """Remember a caller or an instance that was turned away. Waits for nothing."""
        self._turned_away.note(refusal)

    def reconfigured(self, settings: Settings) -> None:
        """Have the ledger told of settings that a running node has taken over."""
        self._configurations.append(settings)
        self.peers.reconfigured(settings)
        self.commitments.reconfigured(settings)
        self.completeness.reconfigured(settings)
        self.forwarding.reconfigured(settings)
        self.decisions.reconfigured(settings)
        if self._rounds is not None:
            self._rounds.wake()

    def status(self) -> health.Status:
        """Everything that `fileroom status` shows. Reads the catalog: not on the event loop."""
        parts = self.parts
        totals, tasks = self.catalog.totals(), self.tasks.latest()
        counted = health.counted(totals, wall_ns=parts.clock.wall_ns())
        counted |= self.decisions.counted()
        commitments, owed = self.commitments.status()
        forwards, unsent = self.forwarding.status()
        status = health.Status(
            site=self.settings.site.name,
            version=fileroom.__version__,
            node_id=parts.node_id,
            uptime_s=parts.clock.monotonic_s() - self._since_s,
            disk_free_bytes=parts.disk.free_bytes(parts.folder.root),
            disk_reserve_bytes=self.settings.spool.reserve_bytes,
            associations=self.associations,
            refused=dict(self._turned_away.counts),
            refused_callers=health.refused(self.catalog.refused_callers(limit=100)),
            calls=health.calls(parts.meter),
            tasks=shown(tasks),
            commitments=commitments,
            arrivals=self.completeness.status(),
            forwards=forwards,
            warnings=self._warnings(totals)
            + owed
            + unsent
            + self.decisions.warnings()
            + failures(tasks),
            **counted,
        )
        for name in parts.providers:
            provider = status.providers.setdefault(name, health.ProviderStatus())
            provider.last_error = self._out_of_reach.get(name, "")
        return status

    def _warnings(self, totals: Totals) -> list[str]:
        warnings = []
        if all(site.own_disk for site in self.parts.sites.values()):
            warnings.append(placement.ONE_COPY_SAME_DISK)
        warnings += [
            f"provider {name} is out of reach: {error}"
            for name, error in self._out_of_reach.items()
        ]
        warnings += [
            f"catalog incomplete: provider {name} was away"
            for name in self.rebuilder.awaited() or ()
        ]
        warnings += [
            f"the wrapped site key at provider {each.provider} is not what was put there"
            for each in self.catalog.key_copies(SITE_KEY)
            if each.state in (CopyState.SUSPECT, CopyState.LOST)
        ]
        damage = [each for each in self.parts.spool.damage if each.acknowledged]
        if damage:
            warnings.append(f"{len(damage)} places of the spool are damaged")
        if totals.set_aside.instances:
            count = totals.set_aside.instances
            warnings.append(f"{count} received instances cannot be read back from the spool")
        if self.rebuilder.report.missing:
            count = self.rebuilder.report.missing
            warnings.append(f"{count} packs are gone from this node's disk and were not evicted")
        if self.parts.intake.failure is not None:
            warnings.append(f"the catalog takes no instances: {self.parts.intake.failure}")
        if self._rounds is not None:
            warnings += [f"{name}: {error}" for name, error in self._rounds.errors.items()]
        return warnings

    def _backlog(self) -> int:
        totals = self.catalog.totals()
        waiting = sum(
            tally.instances for state, tally in totals.states.items() if state in UNCOMMITTED
        )
        return totals.received.instances + waiting

    async def _evict(self) -> int:
        async with self.deciding:
            return await self.evict.round()

    async def _publish(self) -> int:
        size = self.parts.ledger.size
        if size == self._published_size:
            return 0
        failed: FileroomError | None = None
        for publisher in self.publishers:
            try:
                await publisher.publish()
            except (TransientError, UncertainError) as error:
                failed = error  # the others shall not wait for this one
        async with self.deciding:  # last: the ledger goes out whatever the catalog does
            await self.decisions.decider.carry_out()
            await asyncio.to_thread(self.replay.follow, self.parts.ledger.size)
        if failed is not None:
            raise failed
        self._published_size = size
        return 0

    async def _reach(self) -> int:
        """See whether every provider answers, so that status can say which does not."""
        for name, provider in self.parts.providers.items():
            try:
                await provider.stat(REACHED_NAME, call=REACH)
            except FileroomError as error:
                self._out_of_reach[name] = str(error)
            else:
                self._out_of_reach.pop(name, None)
        return 0

    async def _furnish(self) -> int:
        if not self._furnished:
            await furnish(self.parts.providers.values())
            self._furnished = True
        return 0

    async def _upkeep(self) -> int:
        """Give the catalog's unused room back once a burst has been worked off."""
        landed = self.receiver.landed
        if landed == self._shrunk_at or self.receiver.busy():
            return 0
        if await asyncio.to_thread(self._backlog) == 0:
            await asyncio.to_thread(self.catalog.shrink)
            self._shrunk_at = landed
        return 0

    async def _sweep(self) -> int:
        await self._tell_configurations()
        await self._turned_away.flush()
        await self.coverage.sweep()
        return 0

    async def _tell_configurations(self) -> None:
        while self._configurations:
            await self.configuration.tell(self._configurations[0])
            del self._configurations[0]

    async def _tell_recovered(self, report: Report) -> None:
        for what, count in (("packs", report.adopted), ("spooled", report.spooled)):
            if count:
                node_id = self.parts.node_id
                await self._tell(event.Recovered(node_id=node_id, what=what, count=count))

    async def _tell(self, told: event.Event) -> None:
        await self.parts.ledger.append(event.kind(told), event.body(told))

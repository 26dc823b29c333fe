"""Forwarding over a real way in: stages, and destinations that answer as a test says."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fileroom.access.identity import Principal
from fileroom.audit.coverage import Coverage
from fileroom.errors import FileroomError
from fileroom.forward.outlet import Covered, Sent, counted
from fileroom.forward.route import RouteStage
from fileroom.forward.send import SendStage
from fileroom.policy.forwarding import Answer, LocalTime, Rule
from fileroom.retrieve.archive import Archive
from fileroom.retrieve.cache import BlockCache
from fileroom.retrieve.packed import PackedDataSets
from fileroom.retrieve.packs import PackSource
from fileroom.retrieve.transcode import Transcoder
from instances import uids
from unit.ingest.stages import Key, Way

PACS, TELERAD = "pacs", "telerad"
EVERYTHING = Rule("all", PACS)
SOMEBODY = Principal("address", "127.0.0.1", "127.0.0.1", None)
Said = Sent | FileroomError | asyncio.Event
STORED = Sent(Answer.STORED)


class FakeOutlet:
    """A destination. It asserts that a read is on record before its bytes are taken."""

    channel = "forward-fake"

    def __init__(self, name: str, forwards: "Forwards") -> None:
        self.address = name.upper()
        self._name = name
        self._forwards = forwards
        self._busy = False
        self.ended = False

    async def prepare(self, kinds) -> None:
        assert kinds == sorted(set(kinds))
        failure = self._forwards.away.get(self._name)
        if failure is not None:
            raise failure

    async def send(self, instance, covered: Covered) -> Sent:
        assert not self._busy, "one at a time"
        self._busy = True
        try:
            uid = instance.sop_instance_uid
            said = self._forwards.answers[self._name].get(uid, STORED)
            if isinstance(said, asyncio.Event):
                await said.wait()
                said = STORED
            pieces = await Transcoder().opened(instance, instance.transfer_syntax_uid)
            record = await covered()
            opened = await self._forwards.way.told("access.opened")
            assert instance.study_instance_uid in {each["study_instance_uid"] for each in opened}
            data = b"".join([bytes(each) async for each in counted(pieces, record)])
            if isinstance(said, FileroomError):
                raise said
            if said.answer in (Answer.STORED, Answer.WARNED):
                self._forwards.arrived[self._name].append((uid, data))
            return said
        finally:
            self._busy = False

    async def end(self) -> None:
        self.ended = True


class Forwards:
    """The stages of forwarding over a `Way`.

    Attributes:
        answers: what a destination answers to a SOP Instance UID: an answer, an error, or a gate
            to wait at; by default it stores it.
        away: why a destination cannot be reached.
        arrived: UIDs and data sets that a destination has stored, in order.
        now: what rules' hours are compared with.
    """

    def __init__(self, way: Way, *rules: Rule, names: Sequence[str] = (PACS, TELERAD)) -> None:
        self.way = way
        self.answers: dict[str, dict[str, Said]] = defaultdict(dict)
        self.away: dict[str, FileroomError] = {}
        self.arrived: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        self.names = set(names)
        self.now = LocalTime(0, 12 * 60)
        self.outlets: list[FakeOutlet] = []
        deciding = asyncio.Lock()
        packs = PackSource(
            packs_directory=way.packs,
            study_key=way.keyring.study_key,
            copies=lambda pack: [each.provider for each in way.catalog.copies(pack)],
            providers=way.providers,
            cache=BlockCache(Path(way.folder) / "cache", disk=way.disk, size_bytes_max=0),
            damaged=self._damaged,
        )
        self.archive = Archive(
            catalog=way.catalog,
            intake=way.intake,
            packs=packs,
            spool=way.reader,
            complete=lambda: way.is_complete,
        )
        self.packed = PackedDataSets(way.catalog, packs, in_use=way.providers.keys())
        rules = rules or (EVERYTHING,)
        self.route = RouteStage(
            rules, catalog=way.catalog, ledger=way.ledger, packed=self.packed, deciding=deciding
        )
        self.coverage = Coverage(way.ledger, way.clock)
        self.send = SendStage(
            rules,
            catalog=way.catalog,
            ledger=way.ledger,
            archive=self.archive,
            coverage=self.coverage,
            clock=way.clock,
            outlet=self._outlet,
            local_time=lambda: self.now,
            deciding=deciding,
        )

    async def _damaged(self, pack) -> None:
        """A read found no good copy."""

    def _outlet(self, name: str) -> FakeOutlet | None:
        if name not in self.names:
            return None
        self.outlets.append(FakeOutlet(name, self))
        return self.outlets[-1]

    def rules(self, *rules: Rule) -> None:
        """Let other rules be in force."""
        self.route.rules = self.send.rules = rules

    async def sealed(self, *keys: Key, data: bytes = b"") -> None:
        """Receive instances and seal them."""
        await self.way.land(*keys, data=data)
        await self.way.seal(packed=self.packed).round(everything=True)

    async def deliver(self) -> None:
        """One round of either stage, to the end of what it began."""
        await self.route.round()
        await self.send.round()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self.send._busy.values())

    def uids_at(self, name: str = PACS) -> list[str]:
        return [uid for uid, _ in self.arrived[name]]

    def waiting(self, name: str = PACS) -> int:
        total = self.way.catalog.forward_totals().get(name)
        return sum(total.waiting.values()) if total is not None else 0

    def counts(self, study: int = 1, name: str = PACS):
        return self.way.catalog.forward_counts(name, uids(study, 1, 1)[0])


def uid_of(*key: int) -> str:
    return uids(*key)[2]

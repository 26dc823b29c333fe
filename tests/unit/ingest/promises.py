"""Promises on the way in: a judge, a stage that takes requests, one that tells, and a peer."""

import asyncio
import contextlib
from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from fileroom.catalog.lifecycle import PackState
from fileroom.dicom.commitment import Reference, Request, Result
from fileroom.errors import FileroomError
from fileroom.ingest.promise import PromiseStage
from fileroom.ingest.report import ReportStage
from fileroom.ingest.verdicts import Judge, Peer, Terms
from fileroom.policy.promise import Rule
from instances import CT_IMAGE_STORAGE, uids
from unit.ingest.stages import Key, Way

AE_TITLE = "CT1"
GRACE_S = 600.0


class Member(NamedTuple):
    sop_class_uid: str
    original_sha256: str


class Members:
    """What packs say of their instances: all of one class, unless a test says otherwise."""

    def __init__(self) -> None:
        self.told: dict[int, list[Member]] = {}
        self.failure: FileroomError | None = None
        self.asked: list[int] = []

    async def members(self, pack: int) -> list[Member]:
        self.asked.append(pack)
        if self.failure is not None:
            raise self.failure
        return self.told.get(pack, [Member(CT_IMAGE_STORAGE, "00" * 32)] * 9)


class Association:
    """An association that asked; it ends when `failure` is set."""

    def __init__(self, *, failure: FileroomError | None = None, status: int = 0) -> None:
        self.is_open = True
        self.failure = failure
        self.status = status
        self.told: list[Result] = []

    async def tell(self, result: Result) -> int:
        if self.failure is not None:
            self.is_open = False
            raise self.failure
        self.told.append(result)
        return self.status


class Promises:
    """The stages of storage commitment over a `Way`.

    Attributes:
        told: what peers were told over new associations, by AE title.
        answers: what a peer answers: a status, an error, or a gate to wait at; success by default.
    """

    def __init__(self, way: Way, *, rule: Rule = Rule.PLACEMENT, peers: tuple[str, ...] = ()):
        self.way = way
        self.members = Members()
        self.told: dict[str, list[Result]] = defaultdict(list)
        self.answers: dict[str, int | FileroomError | asyncio.Event] = {}
        self.woken = 0
        known = {each: Peer("192.0.2.1", 104, rule) for each in (AE_TITLE, *peers)}
        self.judge = Judge(
            Terms(GRACE_S, known),
            catalog=way.catalog,
            packed=self.members,
            spool=way.reader,
            clock=way.clock,
            settled=way.intake.settled,
            complete=lambda: way.is_complete,
        )
        deciding = asyncio.Lock()
        self.promise = PromiseStage(
            catalog=way.catalog,
            ledger=way.ledger,
            clock=way.clock,
            judge=self.judge,
            deciding=deciding,
            wake=self._wake,
        )
        self.report = ReportStage(
            catalog=way.catalog,
            ledger=way.ledger,
            clock=way.clock,
            judge=self.judge,
            deciding=deciding,
            call=self._call,
            retrieve_ae_title="FILEROOM",
        )

    def _wake(self) -> None:
        self.woken += 1

    async def _call(self, ae_title: str, peer: Peer, result: Result) -> int:
        answer = self.answers.get(ae_title, 0)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = 0
        if isinstance(answer, FileroomError):
            raise answer
        self.told[ae_title].append(result)
        return answer

    async def ask(
        self, *keys: Key, uid: str = "1.7.1", ae_title: str = AE_TITLE, sop_class: str = ""
    ) -> None:
        references = sorted(
            Reference(sop_class or CT_IMAGE_STORAGE, uids(*key)[2]) for key in {*keys}
        )
        request = Request(uid, tuple(references))
        await self.promise.ask(request, ae_title=ae_title, address="10.0.0.7")

    async def tell(self) -> None:
        """One round of the stage that tells, to its end."""
        await self.report.round()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self.report._busy.values())

    async def work(self) -> None:
        await self.promise.round()
        await self.tell()

    def totals(self) -> tuple[int, int]:
        """How many wait, and how many are to be told."""
        found = self.way.catalog.commitment_totals()
        return found.waiting, sum(found.judged.values())

    async def committed(self, *keys: Key) -> None:
        """Bring instances all the way to COMMITTED."""
        await self.way.land(*keys)
        await self.way.seal().round(everything=True)
        self.commit_all()

    def commit_all(self) -> None:
        way = [PackState.SEALED, PackState.REPLICATED, PackState.VERIFIED, PackState.COMMITTED]
        for pack in self.way.all_packs():
            for from_, to in pairwise(way):
                if self.way.catalog.packs(numbers=[pack.number], limit=1)[0].state is from_:
                    self.way.catalog.set_pack_state(pack.number, from_, to)


def failures(result: Result) -> dict[str, int]:
    """The reason of each instance that failed."""
    pairs = zip(result.references, result.reasons, strict=True)
    return {each.sop_instance_uid: reason for each, reason in pairs if reason is not None}

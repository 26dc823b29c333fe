"""Verdicts: what may be said to a peer of the instances that it asks to be committed to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from fileroom.catalog.commitments import CommitmentRow, Whereabouts
from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.dicom.commitment import FailureReason, Reference
from fileroom.dicom.uid import digest
from fileroom.errors import TransientError
from fileroom.policy.promise import Rule, Verdict, judge
from fileroom.spool.reader import SpoolReader
from fileroom.spool.record import Place

AT_ONCE = 1000  # references in one look into the catalog
PACKS_REMEMBERED_MAX = 64


class Peer(NamedTuple):
    """Where a peer is told of its commitments, and what counts as safe for it."""

    host: str
    port: int
    rule: Rule


class Terms(NamedTuple):
    """What the settings say about storage commitment.

    Attributes:
        grace_s: how long after a request an instance may still come.
        peers: by AE title.
    """

    grace_s: float
    peers: Mapping[str, Peer]

    def rule(self, ae_title: str) -> Rule:
        """What counts as safe for a peer, known or not."""
        peer = self.peers.get(ae_title)
        return Rule.PLACEMENT if peer is None else peer.rule


class Member(Protocol):
    """One instance of a pack, as the pack describes it."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def original_sha256(self) -> str: ...


class Packed(Protocol):
    """Reads what packs say. Raises TransientError while one is out of reach, and IntegrityError
    where no copy gives it."""

    async def members(self, pack: int) -> Sequence[Member]:
        """The instances of a pack, by ordinal."""
        ...


class StillWaitingError(TransientError):
    """An instance is not decided, or is no longer.

    Attributes:
        cursor: its place among the references.
    """

    def __init__(self, cursor: int) -> None:
        super().__init__(f"reference {cursor} is not decided")
        self.cursor = cursor


class _Kept(NamedTuple):
    """A data set that is kept."""

    sop_class_uid: str
    sha256: bytes


class Judge:
    """Looks up what is kept under UIDs and judges it.

    Args:
        settled: returns once the catalog knows of everything that has landed.
        complete: whether the catalog knows all there is; until it does, nothing is called absent.

    Attributes:
        terms: may be replaced at any time.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        catalog: Catalog,
        packed: Packed,
        spool: SpoolReader,
        clock: Clock,
        settled: Callable[[], Awaitable[None]],
        complete: Callable[[], bool],
    ) -> None:
        self.terms = terms
        self._catalog = catalog
        self._packed = packed
        self._spool = spool
        self._clock = clock
        self._settled = settled
        self._complete = complete

    async def waits(self, rows: Sequence[CommitmentRow]) -> list[bool]:
        """Whether each of the commitments still waits for the instance that it awaits."""
        await self._settled()
        awaited = [row.awaits for row in rows if row.awaits]
        held = await asyncio.to_thread(self._catalog.whereabouts, awaited)
        complete = await asyncio.to_thread(self._complete)
        return [
            bool(row.awaits)
            and self._judged(held.get(row.awaits), row, complete=complete) is Verdict.WAIT
            for row in rows
        ]

    async def first_waiting(self, row: CommitmentRow, references: Sequence[Reference]) -> int:
        """The place of the first reference from the cursor on that has to wait; their number if
        none has to."""
        for start in range(row.cursor, len(references), AT_ONCE):
            verdicts, _ = await self._verdicts(row, references[start : start + AT_ONCE])
            if Verdict.WAIT in verdicts:
                return start + verdicts.index(Verdict.WAIT)
        return len(references)

    async def reasons(
        self, row: CommitmentRow, references: Sequence[Reference]
    ) -> list[FailureReason | None]:
        """Judge all references anew; for each, why it failed, or None.

        Raises:
            StillWaitingError: one has to wait.
            TransientError, IntegrityError: a pack cannot be asked what it holds.
        """
        reasons: list[FailureReason | None] = []
        members: dict[int, list[_Kept]] = {}
        for start in range(0, len(references), AT_ONCE):
            batch = references[start : start + AT_ONCE]
            verdicts, held = await self._verdicts(row, batch)
            if Verdict.WAIT in verdicts:
                raise StillWaitingError(start + verdicts.index(Verdict.WAIT))
            for reference, verdict, kept in zip(batch, verdicts, held, strict=True):
                if verdict is Verdict.ABSENT:
                    reasons.append(FailureReason.NO_SUCH_OBJECT_INSTANCE)
                elif verdict is Verdict.LOST or kept is None:
                    reasons.append(FailureReason.PROCESSING_FAILURE)
                else:
                    reasons.append(await self._reason(reference, kept, members))
        return reasons

    async def _verdicts(
        self, row: CommitmentRow, references: Sequence[Reference]
    ) -> tuple[list[Verdict], list[Whereabouts | None]]:
        await self._settled()
        digests = [digest(each.sop_instance_uid) for each in references]
        found = await asyncio.to_thread(self._catalog.whereabouts, digests)
        complete = await asyncio.to_thread(self._complete)
        held = [found.get(each) for each in digests]
        return [self._judged(each, row, complete=complete) for each in held], held

    def _judged(self, held: Whereabouts | None, row: CommitmentRow, *, complete: bool) -> Verdict:
        waited_s = (self._clock.wall_ns() - row.requested_at_ns) / 1e9
        overdue = complete and waited_s >= self.terms.grace_s
        return judge(held, rule=self.terms.rule(row.ae_title), overdue=overdue)

    async def _reason(
        self, reference: Reference, held: Whereabouts, members: dict[int, list[_Kept]]
    ) -> FailureReason | None:
        """Why there is no commitment to an instance that is safe as far as the catalog says."""
        kept = [(await self._members(place.pack, members))[place.ordinal] for place in held.packed]
        for place in held.spooled:
            kept.append(await asyncio.to_thread(self._spooled, Place(*place)))
        if not {each.sha256 for each in kept}.issuperset(held.set_aside):
            return FailureReason.PROCESSING_FAILURE  # one that we took is not among them
        if reference.sop_class_uid not in {each.sop_class_uid for each in kept}:
            return FailureReason.CLASS_INSTANCE_CONFLICT
        return None

    async def _members(self, pack: int, members: dict[int, list[_Kept]]) -> list[_Kept]:
        if pack not in members:
            if len(members) == PACKS_REMEMBERED_MAX:
                members.clear()
            members[pack] = [
                _Kept(each.sop_class_uid, bytes.fromhex(each.original_sha256))
                for each in await self._packed.members(pack)
            ]
        return members[pack]

    def _spooled(self, place: Place) -> _Kept:
        record = self._spool.open(place).record
        return _Kept(record.description.header.sop_class_uid, record.sha256)

"""Rejections as people and rejection notes take them: hidden at once, and shown again.

What is rejected stays where it is, in spool and packs with all its copies; nothing is deleted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from fileroom.access.identity import Principal
from fileroom.audit.decided import By, Decided
from fileroom.audit.rejected import InstancesRejected, InstancesRestored
from fileroom.catalog.port import Catalog
from fileroom.catalog.rejections import Rejection, Scope
from fileroom.clock import Clock
from fileroom.decisions.decider import Decider, by
from fileroom.dicom.rejection import REASONS, Note
from fileroom.dicom.uid import digest, is_safe
from fileroom.errors import RefusedError, TransientError

LISTED_MAX = 100  # each may name NAMED_MAX instances
NAMED_MAX = 1500  # instances in one decision, so that it fits into an entry's body
REASON_LENGTH_MAX = 1000
EVERYTHING = 1 << 62


class UnknownReasonError(RefusedError):
    """The reason is none of those for which something may be rejected, or its words are too
    long."""


class BadScopeError(RefusedError):
    """What was named is no study, series or instance."""


class NotKeptError(RefusedError):
    """The archive keeps no such study, series or instance."""


class NotRejectedError(RefusedError):
    """Nothing of the kind is rejected."""


class IncompleteError(TransientError):
    """The catalog does not know all there is; what was named may lie where it has not looked."""


class ShownRejection(msgspec.Struct, frozen=True, kw_only=True):
    """What is hidden, since when, by whom and why.

    Attributes:
        decision: index of its entry in the ledger. A list goes on below it.
        series_instance_uid, sop_instance_uids: empty: the whole study, or series.
        meaning: of the code.
        note_sop_instance_uid: the rejection note; empty: a person decided.
        outgrown: more has come for the whole study or series since, and is hidden with it.
        restorable_until_s: Unix time; None: for as long as nothing deletes it, and nothing does.
    """

    decision: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    code: str
    meaning: str
    reason: str
    by: str
    at_s: float
    note_sop_instance_uid: str
    outgrown: bool = False
    restorable_until_s: float | None = None


class RejectionDesk:
    """Takes what is rejected and what is restored, and tells what is hidden.

    Args:
        settled: returns once the catalog knows of everything that has landed.
        complete: whether the catalog knows all there is.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        decider: Decider,
        clock: Clock,
        settled: Callable[[], Awaitable[None]],
        complete: Callable[[], bool],
    ) -> None:
        self._catalog = catalog
        self._decider = decider
        self._clock = clock
        self._settled = settled
        self._complete = complete

    async def listed(
        self, *, study_instance_uid: str | None, before: int | None, limit: int
    ) -> list[ShownRejection]:
        """What is hidden, the latest decision first; as `Catalog.rejections`."""
        found = await asyncio.to_thread(
            self._catalog.rejections,
            study_instance_uid=study_instance_uid,
            before=before,
            limit=min(limit, LISTED_MAX),
        )
        return [_shown(each) for each in found]

    async def reject(
        self, scope: Scope, *, code: str, reason: str, who: Principal, channel: str
    ) -> list[int]:
        """Hide something that is kept; returns the decisions' ledger indexes.

        Args:
            scope: its instances may be of several series where it names none.

        Raises:
            UnknownReasonError, BadScopeError, NotKeptError, IncompleteError: nothing was decided.
            LedgerWriteError: the decisions before the one that failed stand.
        """
        if code not in REASONS:
            raise UnknownReasonError(f"a reason is one of {', '.join(REASONS)}")
        _require_short(reason)
        _require_uids(scope)
        scopes = await self._kept(scope)
        return [
            await self._take(
                InstancesRejected(
                    by=by(who, channel=channel),
                    reason=reason,
                    decided_at_ns=self._clock.wall_ns(),
                    study_instance_uid=part.study_instance_uid,
                    series_instance_uid=part.series_instance_uid,
                    sop_instance_uids=part.sop_instance_uids,
                    code=code,
                )
            )
            for part in scopes
        ]

    async def follow(self, note: Note, *, sop_instance_uid: str, who: By) -> int:
        """Hide all that a rejection note references, there or not; returns how many instances.

        Raises LedgerWriteError: what is left is decided when it is followed again.
        """
        parts = [
            part
            for (study, series), uids in note.references.items()
            for part in _parts(Scope(study, series, uids))
        ]
        for number, part in enumerate(parts):
            await self._take(
                InstancesRejected(
                    by=who,
                    reason="",
                    decided_at_ns=self._clock.wall_ns(),
                    study_instance_uid=part.study_instance_uid,
                    series_instance_uid=part.series_instance_uid,
                    sop_instance_uids=part.sop_instance_uids,
                    code=note.code,
                    note_sop_instance_uid=sop_instance_uid,
                    part=number,
                    parts=len(parts),
                )
            )
        return sum(len(part.sop_instance_uids) for part in parts)

    async def restore(
        self, scope: Scope, *, everything: bool, reason: str, who: Principal, channel: str
    ) -> list[int]:
        """Show again what is rejected as exactly that; returns the decisions' ledger indexes.

        Args:
            scope: its instances may be of several series where it names none.
            everything: also what is rejected in it: series, instances one by one.

        Raises:
            UnknownReasonError, BadScopeError, NotRejectedError: nothing was decided.
            LedgerWriteError: the decisions before the one that failed stand.
        """
        _require_short(reason)
        _require_uids(scope)
        standing = await asyncio.to_thread(
            self._catalog.rejections,
            study_instance_uid=scope.study_instance_uid,
            limit=EVERYTHING,
        )
        return [
            await self._take(
                InstancesRestored(
                    by=by(who, channel=channel),
                    reason=reason,
                    decided_at_ns=self._clock.wall_ns(),
                    study_instance_uid=part.study_instance_uid,
                    series_instance_uid=part.series_instance_uid,
                    sop_instance_uids=part.sop_instance_uids,
                    everything=everything,
                )
            )
            for part in _rejected(scope, [each.scope for each in standing], everything=everything)
        ]

    async def _take(self, decided: Decided) -> int:
        async def decide() -> Decided:
            return decided

        return await self._decider.take(decide)

    async def _kept(self, scope: Scope) -> list[Scope]:
        """What a person names, as scopes of one decision each. Raises as `reject`."""
        study, series, uids = scope
        await self._settled()
        kept = await asyncio.to_thread(self._catalog.kept, study, [digest(uid) for uid in uids])
        wanted = {uid: held for uid, held in kept.items() if series in ("", uid)}
        found = {
            uid: tuple(sorted(each for each in set(uids) if digest(each) in held))
            for uid, held in wanted.items()
        }
        missing = len(set(uids).difference(*found.values()))
        if not wanted or missing:
            if not await asyncio.to_thread(self._complete):
                raise IncompleteError("the catalog is incomplete and does not know of it")
            if missing:
                raise NotKeptError(f"the archive does not keep {missing} of the instances")
            raise NotKeptError("the archive keeps no such study or series")
        if not uids:
            return [scope]
        return [
            part
            for uid, named in sorted(found.items())
            if named
            for part in _parts(Scope(study, uid, named))
        ]


def _parts(scope: Scope) -> Iterator[Scope]:
    """Instances of a series, as many as one decision may name at a time."""
    for start in range(0, len(scope.sop_instance_uids), NAMED_MAX):
        named = scope.sop_instance_uids[start : start + NAMED_MAX]
        yield scope._replace(sop_instance_uids=named)


def _rejected(scope: Scope, standing: Sequence[Scope], *, everything: bool) -> list[Scope]:
    """Those decisions to undo. Raises NotRejectedError, with what hides it instead."""
    study, series, uids = scope
    if not uids:
        exact = [each for each in standing if not each.sop_instance_uids and each[1] == series]
        inside = [each for each in standing if series in ("", each[1])]
        if exact or (everything and inside):
            return [scope]
        if inside:
            raise NotRejectedError("it is not rejected as a whole, but something in it is")
        raise NotRejectedError("nothing of the kind is rejected")
    named: dict[str, set[str]] = {}
    for each in standing:
        if series in ("", each.series_instance_uid):
            named.setdefault(each.series_instance_uid, set()).update(each.sop_instance_uids)
    missing = len(set(uids).difference(*named.values()))
    if missing:
        whole = any(not each.sop_instance_uids and series in ("", each[1]) for each in standing)
        wider = "; their study or a series of it is rejected as a whole" if whole else ""
        raise NotRejectedError(f"{missing} of the instances are not rejected one by one{wider}")
    return [
        part
        for uid, rejected in sorted(named.items())
        for part in _parts(Scope(study, uid, tuple(sorted(rejected.intersection(uids)))))
    ]


def _require_uids(scope: Scope) -> None:
    study, series, uids = scope
    for each in (study, *((series,) if series else ()), *uids):
        if not is_safe(each):
            raise BadScopeError(f"{len(each)} characters are no UID")


def _require_short(reason: str) -> None:
    if len(reason) > REASON_LENGTH_MAX:
        raise UnknownReasonError(f"the words of a reason are over {REASON_LENGTH_MAX} characters")


def _shown(rejection: Rejection) -> ShownRejection:
    scope = rejection.scope
    return ShownRejection(
        decision=rejection.ledger_index,
        study_instance_uid=scope.study_instance_uid,
        series_instance_uid=scope.series_instance_uid,
        sop_instance_uids=scope.sop_instance_uids,
        code=rejection.code,
        meaning=REASONS.get(rejection.code, ""),
        reason=rejection.reason,
        by=rejection.decided_by,
        at_s=rejection.decided_at_ns / 1e9,
        note_sop_instance_uid=rejection.note_uid,
        outgrown=rejection.outgrown,
    )

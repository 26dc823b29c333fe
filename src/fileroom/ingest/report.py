"""Report: the peers are told of the storage commitments that are decided (PS3.4 §J.3.3).

Each peer has a queue and a task of its own, so that one that is away holds up no other. A report
goes over the association that asked for it if that is still open at once, else over a new one; the
SCU is free to release the former at any time.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from fileroom.audit import event
from fileroom.catalog.commitments import CommitmentRow, ReportedCommitment
from fileroom.catalog.lifecycle import CommitmentState
from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.dicom.commitment import Result
from fileroom.dicom.uid import digest
from fileroom.errors import FileroomError, TransientError
from fileroom.ingest.verdicts import Judge, Peer, StillWaitingError
from fileroom.ledger.log import Ledger
from fileroom.wire.message import status_text
from fileroom.wire.status import Outcome, outcome

AT_ONCE_S = 5.0  # an association that asked is used for so long; then its SCU has other work
PEERS_AT_ONCE = 16
REST_S = 10.0  # after a failure, and twice as long after each more
REST_S_MAX = 3600.0
GIVEN_UP_AFTER_S = 30 * 86_400.0

Key = tuple[str, str]  # AE title, Transaction UID
Call = Callable[[str, Peer, Result], Awaitable[int]]

log = logging.getLogger(__name__)


class NotTakenError(TransientError):
    """The peer was told, and answered that it could not take it."""


class NoPeerError(TransientError):
    """Nothing says where the peer listens."""


class Way(Protocol):
    """The association in which a commitment was asked for."""

    @property
    def is_open(self) -> bool: ...

    async def tell(self, result: Result) -> int:
        """Send a report and return the status of the answer. Raises FileroomError."""
        ...


class _Offered(NamedTuple):
    way: Way
    until_s: float


class _Rest(NamedTuple):
    """A peer that could not be told."""

    failures: int
    until_s: float
    error: str


class ReportStage:
    """Tells peers.

    Args:
        deciding: held while a decision is written and carried out.
        call: tells a peer, by its AE title, over a new association; the status of its answer.
        retrieve_ae_title: ours, where committed instances can be retrieved.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        ledger: Ledger,
        clock: Clock,
        judge: Judge,
        deciding: asyncio.Lock,
        call: Call,
        retrieve_ae_title: str,
    ) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._clock = clock
        self._judge = judge
        self._deciding = deciding
        self._call = call
        self._retrieve_ae_title = retrieve_ae_title
        self._offered: dict[Key, _Offered] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, _Rest] = {}

    @property
    def errors(self) -> dict[str, str]:
        """Why the peers that could not be told could not, by AE title."""
        return {ae_title: rest.error for ae_title, rest in self._resting.items()}

    def offer(self, ae_title: str, transaction_uid: str, way: Way) -> None:
        """Let the report go over `way`, if it is ready soon enough."""
        until_s = self._clock.monotonic_s() + AT_ONCE_S
        self._offered[ae_title, transaction_uid] = _Offered(way, until_s)

    def retry(self) -> None:
        """Try every peer again: the settings are other ones."""
        self._resting.clear()

    async def round(self) -> int:
        """Begin to tell those peers that are to be told and are not being told."""
        for ae_title in [each for each, task in self._busy.items() if task.done()]:
            self._busy.pop(ae_title).result()
        now_s = self._clock.monotonic_s()
        self._offered = {
            key: each
            for key, each in self._offered.items()
            if each.way.is_open and each.until_s > now_s
        }
        totals = await asyncio.to_thread(self._catalog.commitment_totals)
        for ae_title in totals.judged:
            if len(self._busy) == PEERS_AT_ONCE:
                break
            rest = self._resting.get(ae_title)
            if ae_title in self._busy or (rest is not None and rest.until_s > now_s):
                continue
            if ae_title in self._judge.terms.peers or ae_title in {of for of, _ in self._offered}:
                self._busy[ae_title] = asyncio.create_task(
                    self._peer(ae_title), name=f"report to {ae_title}"
                )
        return 0

    async def stop(self) -> None:
        """End what is under way; it is told again after the next start."""
        for task in self._busy.values():
            task.cancel()
        for task in self._busy.values():
            with suppress(asyncio.CancelledError):
                await task
        self._busy.clear()

    async def _peer(self, ae_title: str) -> None:
        """Tell one peer of all that is decided, until it cannot be told."""
        try:
            while row := await asyncio.to_thread(self._catalog.commitment_to_report, ae_title):
                await self._report(row)
                self._resting.pop(ae_title, None)
        except FileroomError as error:
            rest = self._resting.get(ae_title)
            failures = 1 if rest is None else rest.failures + 1
            rest_s = min(REST_S * 2 ** (failures - 1), REST_S_MAX)
            self._resting[ae_title] = _Rest(
                failures, self._clock.monotonic_s() + rest_s, str(error)
            )
            log.warning("AE %s is not told, and again in %.0f s: %s", ae_title, rest_s, error)

    async def _report(self, row: CommitmentRow) -> None:
        """Tell of one commitment.

        Raises:
            FileroomError: it came to nothing; others of this peer have their turn first.
        """
        references = await asyncio.to_thread(self._catalog.references, row.number)
        try:
            reasons = await self._judge.reasons(row, references)
            result = Result(row.transaction_uid, references, reasons, self._retrieve_ae_title)
            status: int | None = await self._told(row, result)
        except StillWaitingError as waiting:
            await asyncio.to_thread(
                self._catalog.move_commitment,
                row.number,
                CommitmentState.JUDGED,
                CommitmentState.WAITING,
                cursor=waiting.cursor,
                awaits=digest(references[waiting.cursor].sop_instance_uid),
            )
            return
        except FileroomError as error:
            await asyncio.to_thread(self._catalog.put_off_commitment, row.number)
            if self._clock.wall_ns() - row.since_ns < GIVEN_UP_AFTER_S * 1e9:
                raise
            log.error("AE %s is given up for commitment %d: %s", row.ae_title, row.number, error)
            reasons, status = [], None
        await self._end(row, len(references), Counter(reasons), status)

    async def _told(self, row: CommitmentRow, result: Result) -> int:
        """Tell the peer; the status, which is none of failure, of its answer."""
        status = await self._over_association_that_asked(row, result)
        if status is None:
            peer = self._judge.terms.peers.get(row.ae_title)
            if peer is None:
                raise NoPeerError("no peer has this AE title")
            status = await self._call(row.ae_title, peer, result)
        if outcome(status) not in (Outcome.SUCCESS, Outcome.WARNING):
            raise NotTakenError(f"the peer answered {status_text(status)}")
        return status

    async def _over_association_that_asked(self, row: CommitmentRow, result: Result) -> int | None:
        """The status of the answer; None where a new association is needed."""
        offered = self._offered.pop((row.ae_title, row.transaction_uid), None)
        if offered is None or not offered.way.is_open:
            return None
        try:
            return await offered.way.tell(result)
        except FileroomError as error:
            log.info("commitment %d needs an association of its own: %s", row.number, error)
            return None

    async def _end(
        self, row: CommitmentRow, instances: int, reasons: Counter[int | None], status: int | None
    ) -> None:
        told = event.CommitmentReported(
            ae_title=row.ae_title,
            transaction_uid=row.transaction_uid,
            requested_at_ns=row.requested_at_ns,
            reported_at_ns=self._clock.wall_ns(),
            referenced_sha256=row.referenced_sha256.hex(),
            rule=self._judge.terms.rule(row.ae_title),
            instances=instances,
            failures={f"{why:04X}": many for why, many in reasons.items() if why is not None},
            status=status,
        )
        over = ReportedCommitment(
            ae_title=row.ae_title,
            transaction_uid=row.transaction_uid,
            referenced_sha256=row.referenced_sha256,
            requested_at_ns=row.requested_at_ns,
            reported_at_ns=told.reported_at_ns,
        )
        async with self._deciding:
            # Commit point. A crash before it tells the peer once more, which does no harm; after it
            # the commitment is over.
            await self._ledger.append(event.kind(told), event.body(told))
            await asyncio.to_thread(self._catalog.record_reported, over)

"""No read without a record: the event that stands in the ledger before the first byte.

One event covers a principal's reads of one study, for one purpose over one channel, for at most
15 minutes; a closing event sums what was read. The usual call is one look into a dict.
"""

import asyncio
from typing import NamedTuple, Protocol

from fileroom.audit import event
from fileroom.clock import Clock
from fileroom.ledger.log import Ledger

COVERED_S = 15 * 60.0
RECORDS_MAX = 10_000


class Who(Protocol):
    """A principal, as `access.identity` has it; hashable."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def ae_title(self) -> str | None: ...


class _Covered(NamedTuple):
    principal: Who
    study_instance_uid: str
    purpose: str
    channel: str
    destination: str


class ReadRecord:
    """The event that covers a read, and what has been read under it.

    Count what was served as it is served; counting goes on to work when the 15 minutes are over,
    and ends in a further closing event.
    """

    __slots__ = (
        "_coverage",
        "_frames",
        "_instances",
        "_size_bytes",
        "_to_close",
        "index",
        "since_s",
    )

    def __init__(self, coverage: "Coverage", *, index: int, since_s: float) -> None:
        self.index = index
        self.since_s = since_s
        self._coverage = coverage
        self._instances = self._frames = self._size_bytes = 0
        self._to_close = True  # a closing event is to come

    def count(self, *, instances: int = 0, frames: int = 0, bytes: int = 0) -> None:
        """Add to what was read."""
        self._instances += instances
        self._frames += frames
        self._size_bytes += bytes
        if not self._to_close:
            self._to_close = True
            self._coverage.ended(self)

    def closing(self, *, now_s: float) -> event.AccessClosed:
        """The closing event of what was counted since the last one, which begins anew."""
        closed = event.AccessClosed(
            opened=self.index,
            instances=self._instances,
            frames=self._frames,
            size_bytes=self._size_bytes,
            duration_s=round(now_s - self.since_s, 3),
        )
        self._instances = self._frames = self._size_bytes = 0
        self._to_close = False
        return closed

    def restore(self, closed: event.AccessClosed) -> None:
        """Take back what `closing` gave, because the event did not become durable."""
        self.count(instances=closed.instances, frames=closed.frames, bytes=closed.size_bytes)


class Coverage:
    """The records that cover reads now. Use from one event loop; call `sweep` each minute or so.

    Invariant: a ReadRecord is handed out only when its event is durable, and its age at that
    moment is under 15 minutes.
    """

    def __init__(self, ledger: Ledger, clock: Clock, *, records_max: int = RECORDS_MAX) -> None:
        self._ledger = ledger
        self._clock = clock
        self._records_max = records_max
        self._open: dict[_Covered, ReadRecord] = {}  # oldest first
        self._opening: dict[_Covered, asyncio.Task[ReadRecord]] = {}
        self._ended: list[ReadRecord] = []

    async def covers(
        self,
        principal: Who,
        study_instance_uid: str,
        *,
        purpose: str,
        channel: str,
        destination: str = "",
    ) -> ReadRecord:
        """Return the record under which a read may begin now.

        Args:
            destination: the AE title that the instances go to, where that is not the principal.

        Raises:
            LedgerWriteError: no event could be made durable; nothing may be read.
        """
        covered = _Covered(principal, study_instance_uid, purpose, channel, destination)
        record = self._open.get(covered)
        if record is not None and self._clock.monotonic_s() - record.since_s < COVERED_S:
            return record
        opening = self._opening.get(covered)
        if opening is None:
            opening = asyncio.create_task(self._open_record(covered))
            self._opening[covered] = opening
        # Whoever gives up leaves the event to those who wait for the same one.
        return await asyncio.shield(opening)

    async def sweep(self) -> None:
        """Write the closing events that are due.

        Raises:
            LedgerWriteError: some are not durable; the next sweep tries them again.
        """
        now_s = self._clock.monotonic_s()
        while self._open:
            covered, oldest = next(iter(self._open.items()))
            if now_s - oldest.since_s < COVERED_S:
                break
            del self._open[covered]
            self._ended.append(oldest)
        await self._write_closing_events(now_s)

    async def close(self) -> None:
        """End every record and write all closing events. Raises as `sweep` does."""
        self._ended += self._open.values()
        self._open.clear()
        await self._write_closing_events(self._clock.monotonic_s())

    def ended(self, record: ReadRecord) -> None:
        """Have the next sweep write a closing event for `record`."""
        self._ended.append(record)

    async def _open_record(self, covered: _Covered) -> ReadRecord:
        since_s = self._clock.monotonic_s()
        principal = covered.principal
        opened = event.AccessOpened(
            principal_kind=principal.kind,
            principal=principal.name,
            address=principal.address,
            ae_title=principal.ae_title,
            study_instance_uid=covered.study_instance_uid,
            purpose=covered.purpose,
            channel=covered.channel,
            destination=covered.destination,
        )
        try:
            # Commit point. Before it, nobody has seen a byte; after it, the read is on record.
            index = await self._ledger.append(event.ACCESS_OPENED, event.body(opened))
        finally:
            del self._opening[covered]
        record = ReadRecord(self, index=index, since_s=since_s)
        earlier = self._open.pop(covered, None)
        if earlier is not None:
            self._ended.append(earlier)
        if len(self._open) >= self._records_max:
            self._ended.append(self._open.pop(next(iter(self._open))))
        self._open[covered] = record
        return record

    async def _write_closing_events(self, now_s: float) -> None:
        ended, self._ended = self._ended, []
        closed = [each.closing(now_s=now_s) for each in ended]
        results = await asyncio.gather(
            *(self._ledger.append(event.ACCESS_CLOSED, event.body(each)) for each in closed),
            return_exceptions=True,
        )
        failures: list[BaseException] = []
        for record, each, result in zip(ended, closed, results, strict=True):
            if isinstance(result, BaseException):
                record.restore(each)
                failures.append(result)
        if failures:
            raise failures[0]

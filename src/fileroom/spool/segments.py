"""The segments of a running spool: which one takes landings, when each begins, ends and goes."""

from pathlib import Path

from fileroom.clock import Clock
from fileroom.disk import Disk
from fileroom.spool.aside import Aside
from fileroom.spool.failure import SegmentGoneError, SegmentInUseError
from fileroom.spool.format import segment_name
from fileroom.spool.handover import Handover
from fileroom.spool.recovery import Recovery
from fileroom.spool.segment import LiveSegment, SegmentStats
from fileroom.spool.space import Space
from fileroom.spool.writer import Job

ALLOCATED_BYTES_MIN = 4 * 1024 * 1024


class Segments:
    """Those of this process, and by name those of earlier ones.

    Invariant: the segment with the highest number stays, so that no number is used twice.
    """

    def __init__(
        self,
        directory: Path,
        *,
        key: bytes,
        disk: Disk,
        clock: Clock,
        segment_size_bytes: int,
        space: Space,
        recovery: Recovery,
        handover: Handover,
        numbers_above: int,
    ) -> None:
        self.space = space
        self._directory = directory
        self._key = key
        self._disk = disk
        self._clock = clock
        self._segment_size_bytes = segment_size_bytes
        self._recovery = recovery
        self._handover = handover
        self._last_number = max([numbers_above, *recovery.numbers()])
        self._active: LiveSegment | None = None
        self._live: dict[int, LiveSegment] = {}

    def for_landing(self) -> LiveSegment:
        """The segment that takes the next landing. Raises SpaceError under the reserve."""
        if self._active is None or not self._active.takes_landings:
            return self.begin()
        self.space.refuse_under_reserve(0)
        return self._active

    def begin(self) -> LiveSegment:
        """A new active segment; its file is created before its first frame is written.

        Raises SpaceError where the reserve leaves too little room.
        """
        least_bytes = min(ALLOCATED_BYTES_MIN, self._segment_size_bytes)
        self.space.refuse_under_reserve(least_bytes)
        room_bytes = max(least_bytes, self.space.above_reserve_bytes())
        self._last_number += 1
        begun = LiveSegment(
            self._last_number,
            directory=self._directory,
            spool_key=self._key,
            created_at_ns=self._clock.wall_ns(),
            allocated_bytes=min(self._segment_size_bytes, room_bytes),
        )
        self._live[begun.number] = begun
        before, self._active = self._active, begun
        if before is not None:
            before.retired = True
            if not before.landings_open:
                self._end(before)
        return begun

    def aside(self) -> Aside:
        """Room for what is no landing yet."""
        return Aside(self._directory, disk=self._disk, space=self.space)

    def landing_ended(self, segment: LiveSegment) -> None:
        """One landing less in `segment`; the last one in a retired segment ends it."""
        segment.landings_open -= 1
        if segment.retired and not segment.landings_open:
            self._end(segment)

    def end_all(self) -> None:
        """Queue the end of every segment that has not ended."""
        for segment in list(self._live.values()):
            segment.retired = True
            self._end(segment)

    def durable_offsets(self) -> dict[int, int]:
        """For each segment of this process, how far it is durable."""
        return {number: each.durable_offset for number, each in list(self._live.items())}

    def stats(self) -> list[SegmentStats]:
        """The segment files, in order of number."""
        found = []
        numbers = self._recovery.numbers()
        for number in numbers:
            try:
                size_bytes = (self._directory / segment_name(number)).stat().st_size
            except FileNotFoundError:
                continue  # removed since it was listed
            live = self._live.get(number)
            found.append(
                SegmentStats(
                    number=number,
                    active=number == numbers[-1] or (live is not None and live.being_written),
                    given_up=live is not None and live.failure is not None,
                    landings=live.landings_open if live else 0,
                    commits=live.commits if live else self._recovery.commits.get(number, 0),
                    size_bytes=size_bytes,
                )
            )
        return found

    def unlink(self, number: int) -> None:
        """Remove a segment file. Raises as Spool.unlink_spooled."""
        found = {each.number: each for each in self.stats()}.get(number)
        if found is None:
            raise SegmentGoneError(f"segment {number} is not in the spool")
        if found.active:
            raise SegmentInUseError(
                f"segment {number} has {found.landings} landings, is being closed or the newest"
            )
        self._disk.unlink(self._directory / segment_name(number))
        self._live.pop(number, None)

    def _end(self, segment: LiveSegment) -> None:
        if segment.failure is None and not segment.closing:
            segment.closing = True
            self._handover.push(Job(segment, finish=True))
            self._handover.flush()

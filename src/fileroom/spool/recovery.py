"""Recovery: what of the spool may be trusted after a crash (docs/format/spool.md §4)."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from fileroom.disk import Disk
from fileroom.spool.failure import (
    DamagedSegmentError,
    SegmentGoneError,
    SpoolKeyError,
    WrongKeyError,
)
from fileroom.spool.format import (
    BLOCK_BYTES,
    COMMIT,
    END,
    FRAME_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    Commit,
    FrameHeader,
    block_end,
    is_segment_header,
    parse_frame_header,
    segment_name,
    segment_number,
)
from fileroom.spool.reader import SegmentFile
from fileroom.spool.record import Spooled

SEARCHED_AT_ONCE_BYTES = 1024 * 1024


class Damage(msgspec.Struct, frozen=True, order=True):
    """Bytes of a segment that are not what was written.

    Attributes:
        offset: of the header, frame or gap; of the commit frame for a lost instance.
        acknowledged: True: it was durable once, so the sender may have been told success, and
            this is a loss to be repaired and shown. False: a torn tail. It was written when the
            power went, the sender was not told success, and nothing is owed.
    """

    segment: int
    offset: int
    what: str
    acknowledged: bool


class Recovery:
    """The segments that were there at start, and those of this process as far as durable.

    Attributes:
        commits: instances of those segments that are clean or were gone through.
    """

    def __init__(self, directory: Path, *, key: bytes) -> None:
        self._directory = directory
        self._key = key
        self._damage: set[Damage] = set()
        self.commits: dict[int, int] = {}

    @classmethod
    def open(cls, directory: Path, *, key: bytes, disk: Disk) -> "Recovery":
        """Look at every segment's header, and make durable what can be read of those that a
        process left when it died. Raises as Spool.open."""
        recovery = cls(directory, key=key)
        numbers = recovery.numbers()
        opened = [recovery._settle(number, disk) for number in numbers]
        if True not in opened and False in opened:
            raise SpoolKeyError(f"the key opens none of {len(numbers)} segments")
        return recovery

    @property
    def damage(self) -> tuple[Damage, ...]:
        """All that was found so far, in order of place."""
        return tuple(sorted(self._damage))

    def numbers(self) -> list[int]:
        """The numbers of the segment files that are there, rising."""
        named = map(segment_number, os.listdir(self._directory))  # noqa: PTH208
        return sorted(number for number in named if number is not None)

    def recovered(self, durable: Mapping[int, int]) -> Iterator[Spooled]:
        """As Spool.recovered; `durable` gives the end of what to read of live segments."""
        for number in self.numbers():
            try:
                file = SegmentFile(self._directory, number, key=self._key)
            except SegmentGoneError:
                continue  # removed since it was listed
            except DamagedSegmentError as error:
                if number not in durable:  # a live one may not have its header yet
                    self._damage.add(Damage(number, 0, str(error), True))
                continue
            if number in durable:
                scan = Scan(file, end=durable[number], mark=durable[number])
            else:
                scan = Scan(file, end=file.size_bytes, mark=0)
            yield from scan.instances()
            self.commits[number] = scan.commits
            self._damage.update(scan.damage)

    def _settle(self, number: int, disk: Disk) -> bool | None:
        """Whether the key opens segment `number`; None where its header does not tell.

        A file that never held a frame is removed.
        """
        path = self._directory / segment_name(number)
        try:
            file = SegmentFile(self._directory, number, key=self._key)
        except DamagedSegmentError as error:
            if _never_used(path):
                disk.unlink(path)
                return None
            self._damage.add(Damage(number, 0, str(error), True))
            return False if isinstance(error, WrongKeyError) else None
        commits = file.commits_if_clean()
        if commits is not None:
            self.commits[number] = commits
        else:
            descriptor = disk.open(path)
            try:
                # After a kill, what is read may be memory only, so it is synced before anybody
                # relies on it. After a failed sync, the kernel takes pages for clean that
                # never reached the disk, so what is read next shall come from there.
                disk.sync(descriptor)
                disk.drop_cached(descriptor)
            finally:
                disk.close(descriptor)
        return True


class Scan:
    """One pass over a segment, frame header by frame header.

    Args:
        end: where to stop reading.
        mark: everything before it is known to be durable; the commit frames tell more.
    """

    def __init__(self, file: SegmentFile, *, end: int, mark: int) -> None:
        self._file = file
        self._end = end
        self._mark = mark
        self._gaps: list[tuple[int, str]] = []
        self.damage: list[Damage] = []
        self.commits = 0

    def instances(self) -> Iterator[Spooled]:
        """The instances of the segment; `damage` is complete once it is through.

        An instance is given out as soon as a later mark proves that it was durable, or after
        its frames behind the last mark were read.
        """
        waiting: deque[tuple[FrameHeader, Commit]] = deque()
        for header in self._frames():
            if header.kind == END:
                self._mark = max(self._mark, header.offset if self._opens(header) else 0)
            elif header.kind == COMMIT and (commit := self._commit(header)) is not None:
                self._mark = max(self._mark, commit.mark)
                waiting.append((header, commit))
            while waiting and waiting[0][0].offset < self._mark:
                yield from self._given(*waiting.popleft())
        for header, commit in waiting:
            if self._whole_behind_mark(header, commit):
                yield from self._given(header, commit)
        for offset, what in self._gaps:
            self._report(offset, what)

    def _frames(self) -> Iterator[FrameHeader]:
        offset = SEGMENT_HEADER_BYTES
        while offset + FRAME_HEADER_BYTES <= self._end:
            header = self._file.frame_header(offset)
            if header is None:
                following, written = self._search(offset)
                if following is None:
                    if written:
                        self._gaps.append((offset, "no frame from here on"))
                    return
                self._gaps.append((offset, f"{following - offset} B without a frame"))
                offset = following
            elif header.offset + header.frame_bytes > self._end:
                self._gaps.append((offset, "frame is cut off"))
                return
            else:
                yield header
                offset = header.next_offset

    def _search(self, offset: int) -> tuple[int | None, bool]:
        """The first block from `offset` on at which a frame begins, and whether anything else
        than zero was passed."""
        passed = False
        while offset < self._end:
            next_written = self._file.next_written(offset)
            if next_written is None:
                break
            offset = next_written // BLOCK_BYTES * BLOCK_BYTES
            data = self._file.read(min(SEARCHED_AT_ONCE_BYTES, self._end - offset), offset)
            for start in range(0, len(data), BLOCK_BYTES):
                header = data[start : start + FRAME_HEADER_BYTES]
                if parse_frame_header(header, offset + start) is not None:
                    return offset + start, True
            passed = passed or data.count(0) != len(data)
            offset += max(block_end(len(data)), BLOCK_BYTES)
        return None, passed

    def _opens(self, header: FrameHeader) -> bool:
        try:
            self._file.open_frame(header)
        except DamagedSegmentError as error:
            self._gaps.append((header.offset, str(error)))
            return False
        return True

    def _commit(self, header: FrameHeader) -> Commit | None:
        try:
            return self._file.commit_at(header.offset)[1]
        except DamagedSegmentError as error:
            self._gaps.append((header.offset, str(error)))
            return None

    def _given(self, header: FrameHeader, commit: Commit) -> Iterator[Spooled]:
        try:
            instance = self._file.spooled(header, commit)
        except DamagedSegmentError as error:
            self._gaps.append((header.offset, str(error)))
            return
        self.commits += 1
        yield instance

    def _whole_behind_mark(self, header: FrameHeader, commit: Commit) -> bool:
        """Whether the data frames at or behind the mark are all there. Those before it were
        synced; their tags are checked when they are read."""
        for ordinal in range(len(commit.offsets) - 1, -1, -1):
            if commit.offsets[ordinal] < self._mark:
                break
            try:
                self._file.open_frame(commit.data_header(ordinal, header.landing))
            except DamagedSegmentError as error:
                self._report(header.offset, f"instance is not whole: {error}")
                return False
        return True

    def _report(self, offset: int, what: str) -> None:
        self.damage.append(Damage(self._file.number, offset, what, offset < self._mark))


def _never_used(path: Path) -> bool:
    """Whether a process died while it created this segment: no header, and zero behind."""
    with path.open("rb") as file:
        if is_segment_header(file.read(SEGMENT_HEADER_BYTES)):
            return False
        while data := file.read(SEARCHED_AT_ONCE_BYTES):
            if data.count(0) != len(data):
                return False
    return True

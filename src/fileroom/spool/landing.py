"""Landing: an instance's bytes on their way to the disk, and the spool that they land in.

All of this runs on the event loop's thread; the disk belongs to the writer's (writer.py).
Memory: docs/format/spool.md §7.
"""

import asyncio
import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fileroom.clock import Clock
from fileroom.disk import Buffer, Disk
from fileroom.errors import FileroomError
from fileroom.spool.aside import Aside
from fileroom.spool.buffers import FrameBuffer
from fileroom.spool.failure import (
    InstanceTooLargeError,
    SpoolError,
    again,
)
from fileroom.spool.format import (
    CHUNK_BYTES,
    COMMIT,
    DATA,
    DATA_FRAME_BYTES,
    DATA_FRAMES_MAX,
    DESCRIPTION_BYTES_MAX,
    Commit,
    encode_commit,
)
from fileroom.spool.handover import QUEUED_BYTES_MAX, Handover
from fileroom.spool.record import Description, Place, Spooled
from fileroom.spool.recovery import Damage, Recovery
from fileroom.spool.segment import LiveSegment, SegmentStats
from fileroom.spool.segments import Segments
from fileroom.spool.space import Space
from fileroom.spool.writer import Job

SEGMENT_SIZE_BYTES = 256 * 1024 * 1024
LANDING_QUEUED_BYTES_MAX = 2 * 1024 * 1024

_encode_description = msgspec.msgpack.Encoder().encode


class Landing:
    """One instance on its way in: write its data set, then commit or abandon it.

    After an error it is over: nothing of it stays, and every further call but `abandon` raises
    that error again.
    """

    def __init__(self, segments: Segments, handover: Handover, segment: LiveSegment) -> None:
        self._segments = segments
        self._handover = handover
        self._segment = segment
        self._number = segment.begin_landing()
        self._offsets = array("Q")
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0
        self._chunk: FrameBuffer | None = None  # plaintext that is not sealed yet
        self._chunk_bytes = 0
        self._queued_bytes = 0
        self._over: FileroomError | None = None
        self._ended = False
        self._going_on: asyncio.Future[None] | None = None

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the data set; `data` may be reused as soon as this returns.

        Raises:
            SpaceError: the disk is full.
            SpoolError: the segment was given up after a disk error.
            InstanceTooLargeError: over 256 GiB.
        """
        if self._over is not None:
            raise again(self._over)
        view = memoryview(data)
        if view.format != "B" or view.ndim != 1:
            view = view.cast("B")
        length_bytes = len(view)
        self._sha256.update(view)
        self._size_bytes += length_bytes
        position = 0
        filled_bytes = self._chunk_bytes
        if filled_bytes and filled_bytes + length_bytes >= CHUNK_BYTES:
            assert self._chunk is not None
            position = CHUNK_BYTES - filled_bytes
            self._chunk.view[filled_bytes:CHUNK_BYTES] = view[:position]
            self._chunk_bytes = filled_bytes = 0
            self._seal_data(self._chunk.view[:CHUNK_BYTES])
        while length_bytes - position >= CHUNK_BYTES:  # straight from the caller's memory
            self._seal_data(view[position : position + CHUNK_BYTES])
            position += CHUNK_BYTES
        if position < length_bytes:
            if self._chunk is None:
                self._chunk = self._handover.pool.take()
            self._chunk_bytes = filled_bytes + length_bytes - position
            self._chunk.view[filled_bytes : self._chunk_bytes] = view[position:]

    @property
    def full(self) -> bool:
        """Whether to wait for `ready` before the next write. Never so once it is over."""
        return self._over is None and (
            self._queued_bytes >= LANDING_QUEUED_BYTES_MAX
            or self._handover.queued_bytes >= QUEUED_BYTES_MAX
        )

    async def ready(self) -> None:
        """Return once the landing is no longer full."""
        while self.full:
            if self._going_on is None:
                self._going_on = asyncio.get_running_loop().create_future()
            self._handover.hold_up(self)
            await asyncio.shield(self._going_on)

    async def commit(self, description: Description) -> Spooled:
        """Make the instance durable. On return it is ours and the sender may be told so.

        A caller that is cancelled here must not tell success; the instance may stay.

        Raises:
            SpaceError, SpoolError: it is not durable and will not be acknowledged.
        """
        if self._over is not None:
            raise again(self._over)
        try:
            if self._chunk is not None and self._chunk_bytes:
                self._seal_data(self._chunk.view[: self._chunk_bytes])
            job, spooled = self._seal_commit(description)
            # Commit point: in Writer._write, when the sync behind this frame returns.
            durable = self._handover.push_and_wait(job)
            self._over = SpoolError("the landing is committed already")
            self._segment.commits += 1
            await durable
        except FileroomError as error:
            self._over = error
            raise
        finally:
            self.abandon()
        return spooled

    def abandon(self) -> None:
        """Give the instance up. Once it is committed or over, this does nothing."""
        self._end(SpoolError("the landing was abandoned"))

    def written(self, job: Job) -> None:
        """For Handover: `job` waits no longer."""
        self._queued_bytes -= job.size_bytes

    def go_on(self) -> None:
        """For Handover: the queue is shorter."""
        if self._going_on is not None:
            if not self._going_on.done():
                self._going_on.set_result(None)
            self._going_on = None

    def _seal_data(self, plaintext: memoryview) -> None:
        ordinal = len(self._offsets)
        try:
            self._refuse_unless_writable()
            if ordinal >= DATA_FRAMES_MAX:
                raise InstanceTooLargeError(f"over {DATA_FRAMES_MAX * CHUNK_BYTES} B")
        except FileroomError as error:
            self._end(error)
            raise
        segment = self._segment
        header = segment.next_frame(DATA, len(plaintext), landing=self._number, ordinal=ordinal)
        buffer = self._handover.pool.take()
        frame = buffer.view[: header.next_offset - header.offset]
        segment.cipher.seal_into(frame, plaintext, header)
        self._offsets.append(header.offset)
        self._queued_bytes += len(frame)
        self._handover.push(Job(segment, header.offset, frame, owner=self, buffer=buffer))

    def _seal_commit(self, description: Description) -> tuple[Job, Spooled]:
        self._refuse_unless_writable()
        described = _encode_description(description)
        if len(described) > DESCRIPTION_BYTES_MAX:
            raise InstanceTooLargeError(f"a description of {len(described)} B")
        segment = self._segment
        sha256 = self._sha256.digest()
        plaintext = encode_commit(
            Commit(self._size_bytes, sha256, segment.durable_offset, self._offsets, described)
        )
        count = len(self._offsets)
        header = segment.next_frame(COMMIT, len(plaintext), landing=self._number, ordinal=count)
        frame = memoryview(bytearray(header.next_offset - header.offset))
        segment.cipher.seal_into(frame, plaintext, header)
        self._queued_bytes += len(frame)
        job = Job(segment, header.offset, frame, owner=self)
        place = Place(segment.number, header.offset)
        return job, Spooled(place, description, self._size_bytes, sha256)

    def _refuse_unless_writable(self) -> None:
        segment = self._segment
        if segment.failure is not None:
            raise again(segment.failure)
        self._handover.refuse_unless_open()
        if segment.next_offset + DATA_FRAME_BYTES > segment.allocated_bytes:
            self._segments.space.refuse_under_reserve(DATA_FRAME_BYTES)

    def _end(self, reason: FileroomError) -> None:
        if self._over is None:
            self._over = reason
        if not self._ended:
            self._ended = True
            if self._chunk is not None:
                self._handover.pool.give_back(self._chunk)
                self._chunk = None
            self.go_on()
            self._segments.landing_ended(self._segment)


class Spool:
    """The spool of one node. Use it from one event loop."""

    def __init__(self, *, segments: Segments, recovery: Recovery, handover: Handover) -> None:
        self._segments = segments
        self._recovery = recovery
        self._handover = handover

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        key: bytes,
        disk: Disk,
        clock: Clock,
        segment_size_bytes: int = SEGMENT_SIZE_BYTES,
        reserve_bytes: int,
        numbers_above: int = 0,
    ) -> "Spool":
        """Open the spool in `directory`, which is created if it is missing.

        What a process that died has left is synced, and removed where it never held a frame.

        Args:
            reserve_bytes: what must stay free on the disk; below it no landing begins.
            numbers_above: the highest number of a segment that is known elsewhere, whether its
                file is still there or lost: a new one must never take its place.

        Raises:
            SpoolKeyError: `key` (32 bytes) opens none of the segments that are there.
            NewerFormatError: a newer Fileroom wrote one.
            SyncError: the disk fails.
        """
        disk.make_directory(directory)
        recovery = Recovery.open(directory, key=key, disk=disk)
        handover = Handover(disk=disk)
        segments = Segments(
            directory,
            key=key,
            disk=disk,
            clock=clock,
            segment_size_bytes=segment_size_bytes,
            space=Space(directory, disk=disk, reserve_bytes=reserve_bytes),
            recovery=recovery,
            handover=handover,
            numbers_above=numbers_above,
        )
        return cls(segments=segments, recovery=recovery, handover=handover)

    def landing(self) -> Landing:
        """Begin an instance.

        Raises:
            SpaceError: less than the reserve is free.
            SpoolError: the spool is closing, or its writer has stopped.
        """
        self._handover.refuse_unless_open()
        return Landing(self._segments, self._handover, self._segments.for_landing())

    def refuse_without_room(self, size_bytes: int) -> None:
        """Raise before anything of that size is taken in, where it could not be.

        Raises:
            SpaceError: it would leave less than the reserve free.
            SpoolError: the spool is closing, or its writer has stopped.
        """
        self._handover.refuse_unless_open()
        self._segments.space.refuse_under_reserve(size_bytes)

    def aside(self) -> Aside:
        """Begin to set values aside, beside the segments and within the same reserve."""
        return self._segments.aside()

    def recovered(self) -> Iterator[Spooled]:
        """Every durable instance, in order of segment and offset.

        What cannot be given is in `damage` once the iterator is through. May run on another
        thread while instances land; of those that land meanwhile some may be in it.
        """
        return self._recovery.recovered(self._segments.durable_offsets())

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What `open` and `recovered` found damaged or torn, in order of place."""
        return self._recovery.damage

    def segments(self) -> list[SegmentStats]:
        """The segment files, in order of number."""
        return self._segments.stats()

    async def rotate(self) -> int:
        """Begin a new segment and return its number; the one before takes no new landings.

        Raises:
            SpaceError, SpoolError: there is no new one.
        """
        self._handover.refuse_unless_open()
        begun = self._segments.begin()
        await self._handover.push_and_wait(Job(begun))
        return begun.number

    def unlink_spooled(self, segment: int) -> None:
        """Remove segment `segment` and all that is in it. That it may go is the caller's word.

        Raises:
            SegmentInUseError: it is active; where it is the newest, `rotate` first.
            SegmentGoneError: there is none of that number.
        """
        self._segments.unlink(segment)

    async def close(self) -> None:
        """Make durable what waits for it, mark the segments clean and end the writer.

        Landings that are not being committed fail. Raises SpoolError where the writer stopped.
        """
        if not self._handover.closing:
            self._handover.closing = True
            self._segments.end_all()
            await self._handover.close()

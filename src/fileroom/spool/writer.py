"""The writer: one thread that makes queued frames durable, many landings at a time.

Group commit: it takes all that is queued, writes it with one call, syncs once if any commit
waits, and tells the event loop once. While it syncs, the next group collects.
"""

import errno
import threading
from asyncio import Future
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from fileroom.disk import Disk, SyncError
from fileroom.errors import FileroomError
from fileroom.spool.buffers import FrameBuffer
from fileroom.spool.failure import SpaceError, SpoolError
from fileroom.spool.format import END, FrameHeader, encode_end
from fileroom.spool.segment import LiveSegment

UNSYNCED_BYTES_MAX = 16 * 1024 * 1024
FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True, eq=False)
class Job:
    """Something for the writer to do; `failure` is its answer, None for done.

    Attributes:
        frame: what to write at `offset`; None for a job that writes none.
        owner: whose frame it is, for the event loop's thread only.
        buffer: where the bytes lie, to be used again afterwards.
        waiter: who waits until it is durable.
        finish: write the segment's end frame and close it.
    """

    segment: LiveSegment | None
    offset: int = 0
    frame: memoryview | None = None
    owner: Any = None
    buffer: FrameBuffer | None = None
    waiter: "Future[None] | None" = None
    finish: bool = False
    failure: FileroomError | None = None

    @property
    def size_bytes(self) -> int:
        """What it takes in the queue and in the file."""
        return 0 if self.frame is None else len(self.frame)


class Writer:
    """The thread and its queue.

    Args:
        settle: called on the writer's thread with jobs that are done or have failed.
    """

    def __init__(self, *, disk: Disk, settle: Callable[[list[Job]], None]) -> None:
        self._disk = disk
        self._settle = settle
        self._queue: SimpleQueue[list[Job]] = SimpleQueue()
        self.failure: FileroomError | None = None
        self._thread: threading.Thread | None = None

    def submit(self, jobs: list[Job]) -> None:
        """Queue `jobs`; the list is the writer's from now on. An empty list ends the thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fileroom-spool", daemon=True)
            self._thread.start()
        self._queue.put(jobs)

    def join(self) -> None:
        """Wait for the thread to end."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        queue = self._queue
        while True:
            jobs = queue.get()
            ending = not jobs
            while not queue.empty():
                more = queue.get()
                ending = ending or not more
                jobs += more
            try:
                if self.failure is None:
                    self._work(jobs)
            except BaseException as error:  # noqa: BLE001
                # The outermost frame of a thread. Whatever it was, nobody may go on waiting
                # for a commit that will not come, and nothing more is written.
                self.failure = SpoolError(f"the spool's writer stopped: {type(error).__name__}")
                self.failure.__cause__ = error
            if self.failure is not None:
                for job in jobs:
                    job.failure = job.failure or self.failure
            self._settle(jobs)
            if ending:
                return

    def _work(self, jobs: list[Job]) -> None:
        by_segment: dict[LiveSegment, list[Job]] = {}
        for job in jobs:
            if job.segment is not None:
                by_segment.setdefault(job.segment, []).append(job)
        for segment, its_jobs in by_segment.items():
            if segment.failure is None:
                try:
                    self._write(segment, its_jobs)
                except (OSError, SyncError) as error:
                    self._give_up(segment, error)
            if segment.failure is not None:
                for job in its_jobs:
                    job.failure = segment.failure

    def _write(self, segment: LiveSegment, jobs: list[Job]) -> None:
        if segment.descriptor is None:
            self._begin(segment)
        assert segment.descriptor is not None
        frames = []
        end = segment.written_offset
        for job in jobs:
            if job.frame is not None:
                assert job.offset == end, "frames are queued in the order of the file"
                frames.append(job.frame)
                end += len(job.frame)
        if frames:
            self._disk.write(segment.descriptor, frames, segment.written_offset)
            segment.written_offset = end
        waited_for = any(job.waiter is not None or job.finish for job in jobs)
        unsynced_bytes = segment.written_offset - segment.durable_offset
        if unsynced_bytes and (waited_for or unsynced_bytes > UNSYNCED_BYTES_MAX):
            # Commit point of every commit frame in `jobs`. A crash before this returns leaves
            # frames that recovery drops or keeps whole; nobody was told. After it they are ours.
            self._disk.sync(segment.descriptor)
            segment.durable_offset = segment.written_offset
        if any(job.finish for job in jobs):
            self._finish(segment)

    def _begin(self, segment: LiveSegment) -> None:
        """Create the file; durable with its name before a frame is written.

        A crash on the way leaves a file without a frame, which the next start removes.
        """
        segment.descriptor = self._disk.create(segment.path)
        try:
            self._disk.allocate(segment.descriptor, segment.allocated_bytes)
            self._disk.write(segment.descriptor, [segment.header_block], 0)
            self._disk.sync(segment.descriptor)
            self._disk.sync_directory(segment.path.parent)
        except (OSError, SyncError):
            with suppress(OSError, SyncError):
                self._disk.unlink(segment.path)
            raise

    def _finish(self, segment: LiveSegment) -> None:
        """Mark the segment clean: all of it is durable, nothing more will come.

        A crash on the way leaves a segment that is looked through at the next start.
        """
        assert segment.descriptor is not None
        plaintext = encode_end(segment.commits)
        header = FrameHeader(END, len(plaintext), segment.written_offset, 0, 0)
        frame = memoryview(bytearray(header.frame_bytes))
        segment.cipher.seal_into(frame, plaintext, header)
        self._disk.write(segment.descriptor, [frame], header.offset)
        self._disk.sync(segment.descriptor)
        end = header.offset + header.frame_bytes
        self._disk.truncate(segment.descriptor, end)
        self._disk.sync(segment.descriptor)
        segment.written_offset = segment.durable_offset = end
        self._disk.close(segment.descriptor)
        segment.descriptor = None
        segment.finished = True

    def _give_up(self, segment: LiveSegment, error: OSError | SyncError) -> None:
        if isinstance(error, OSError) and error.errno in FULL_ERRNOS:
            segment.failure = SpaceError(f"the disk is full (segment {segment.number} given up)")
        else:
            number = error.errno if isinstance(error, OSError) else 0
            what = f"a write failed with errno {number}" if number else str(error)
            segment.failure = SpoolError(f"{what} (segment {segment.number} given up)")
            segment.failure.__cause__ = error
        if segment.descriptor is not None:
            with suppress(OSError):
                self._disk.close(segment.descriptor)
            segment.descriptor = None

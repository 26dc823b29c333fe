"""The event loop's side of the writer: frames go over in groups, answers come back in groups.

Invariant: a frame is given an offset, sealed and pushed in one step without an await, so frames
are queued in the order of the file and no offset is sealed twice.
"""

import asyncio
from typing import Protocol

from fileroom.disk import Disk
from fileroom.spool.buffers import BufferPool
from fileroom.spool.failure import SpoolError, again
from fileroom.spool.writer import Job, Writer

QUEUED_BYTES_MAX = 32 * 1024 * 1024
HANDED_OVER_FROM_BYTES = 1024 * 1024  # less than this waits for company, or for `flush`


class Owner(Protocol):
    """Whose frames they are: a landing."""

    @property
    def full(self) -> bool: ...

    def written(self, job: Job) -> None: ...

    def go_on(self) -> None: ...


class Handover:
    """What waits for the writer, and who waits for it.

    Attributes:
        queued_bytes: sealed and not yet written, of all landings.
    """

    def __init__(self, *, disk: Disk) -> None:
        self.pool = BufferPool()
        self.queued_bytes = 0
        self.closing = False
        self._pending: list[Job] = []
        self._pending_bytes = 0
        self._held_up: set[Owner] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer = Writer(disk=disk, settle=self._settle_soon)

    def refuse_unless_open(self) -> None:
        """Raise SpoolError where the spool is closing or its writer has stopped."""
        if self.closing:
            raise SpoolError("the spool is closing")
        if self._writer.failure is not None:
            raise again(self._writer.failure)

    def push(self, job: Job) -> None:
        """Queue `job`; it is handed over with enough company, or by `flush`."""
        self.queued_bytes += job.size_bytes
        self._pending.append(job)
        self._pending_bytes += job.size_bytes
        if self._pending_bytes >= HANDED_OVER_FROM_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what is queued."""
        if self._pending:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            jobs, self._pending, self._pending_bytes = self._pending, [], 0
            self._writer.submit(jobs)

    def push_and_wait(self, job: Job) -> "asyncio.Future[None]":
        """Hand `job` over with all before it; the future is done when it is durable.

        The future raises SpaceError or SpoolError if it did not become so.
        """
        job.waiter = asyncio.get_running_loop().create_future()
        self.push(job)
        self.flush()
        return job.waiter

    def hold_up(self, owner: Owner) -> None:
        """Call `owner.go_on` once it is no longer full."""
        self._held_up.add(owner)
        self.flush()

    async def close(self) -> None:
        """Let the writer end with what is queued. Nothing may be pushed afterwards."""
        done = self.push_and_wait(Job(segment=None))
        self._writer.submit([])
        try:
            await done
        finally:
            self._writer.join()

    def _settle_soon(self, jobs: list[Job]) -> None:
        """On the writer's thread: the event loop shall hear of `jobs`."""
        if jobs and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, jobs)

    def _settle(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.queued_bytes -= job.size_bytes
            if job.buffer is not None:
                self.pool.give_back(job.buffer)
            if job.owner is not None:
                job.owner.written(job)
            if job.waiter is not None and not job.waiter.done():
                if job.failure is None:
                    job.waiter.set_result(None)
                else:
                    job.waiter.set_exception(again(job.failure))
        if self._held_up:
            for owner in [each for each in self._held_up if not each.full]:
                self._held_up.discard(owner)
                owner.go_on()

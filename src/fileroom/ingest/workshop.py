"""The worker process that packs are built in: one, nicer than the doors, gone when the node is."""

import asyncio
import ctypes
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Protocol

from fileroom.disk import Disk
from fileroom.errors import TransientError
from fileroom.ingest.build import BuildCall, Builder, BuildJob, BuiltPack

NICENESS = 10
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class WorkshopError(TransientError):
    """The worker process ended in the middle of a job. The job can be given again."""


class Workshop(Protocol):
    """Whoever builds packs: a process of its own, or a thread in a simulated node."""

    async def build(self, job: BuildJob) -> BuiltPack:
        """As `Builder.build`. Raises also WorkshopError."""
        ...

    def close(self) -> None: ...


class ThreadWorkshop:
    """Builds in a thread of this process."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    async def build(self, job: BuildJob) -> BuiltPack:
        return await asyncio.to_thread(self._builder.build, job)

    def close(self) -> None:
        pass


class ProcessWorkshop:
    """Builds in one worker process, started at the first job and again after it was killed."""

    def __init__(self, *, spool_directory: Path, spool_key: bytes, packs_directory: Path) -> None:
        self._arguments = (spool_directory, spool_key, packs_directory)
        self._pool: ProcessPoolExecutor | None = None

    async def build(self, job: BuildJob) -> BuiltPack:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=self._arguments,
            )
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _build, job)
        except BrokenProcessPool as error:
            self.close()
            raise WorkshopError("the process that builds packs has ended") from error

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


_build_here: BuildCall | None = None  # the worker process's own builder


def _begin(spool_directory: Path, spool_key: bytes, packs_directory: Path) -> None:
    global _build_here
    # A node that is killed takes its worker along: nothing may still write when the next starts.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    _build_here = Builder(
        spool_directory=spool_directory,
        spool_key=spool_key,
        packs_directory=packs_directory,
        disk=Disk(),
    ).build


def _build(job: BuildJob) -> BuiltPack:
    assert _build_here is not None
    return _build_here(job)

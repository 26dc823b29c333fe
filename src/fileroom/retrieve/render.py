"""Frames of stored instances as pictures: JPEG and PNG.

What is read is the header of the data set and the one frame. What is too large is refused before it
is read; pictures are made in threads, a few at a time, and no more of them than fit into memory.
"""

import asyncio
import os
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Final, Protocol, TypeAlias

from fileroom import __version__
from fileroom.dicom.encoding import Buffer
from fileroom.dicom.inflate import InflatedTooLargeError
from fileroom.dicom.instance_error import InstanceError
from fileroom.errors import RefusedError
from fileroom.pixels.presentation import Presentation
from fileroom.pixels.rendering import (
    RENDERABLE,
    RenderingTooLargeError,
    cost_bytes,
    picture_size,
    render,
)
from fileroom.pixels.view import View
from fileroom.retrieve.opened import NoFramesError
from fileroom.retrieve.transcode import codecs

MEMORY_BYTES_MAX: Final = 1 << 30
TURNS_MAX: Final = 8

Ranges: TypeAlias = Sequence[tuple[int, int]]


class NotRenderableError(RefusedError):
    """The instance has no pixels that can be shown as a picture."""


class Table(Protocol):
    """The frames of an instance; they count from 0."""

    @property
    def count(self) -> int: ...

    async def ranges(self, frame: int) -> Ranges: ...

    async def read(self, start: int, end: int) -> Buffer: ...


class DataSet(Protocol):
    """The data set of an instance."""

    async def presentation(self, frame: int) -> Presentation | None: ...


class Renderable(Protocol):
    """One instance of the archive."""

    @property
    def transfer_syntax_uid(self) -> str: ...

    def data_set(self) -> DataSet: ...

    async def frames(self) -> Table: ...


@lru_cache(maxsize=1)
def made_by() -> str:
    """What makes pictures: of the same frame another one may give other bytes."""
    return f"{codecs()}, fileroom {__version__}"


class Renderer:
    """Makes pictures of frames.

    Invariant: all that are being made take at most `memory_bytes_max` together, about.
    """

    def __init__(self, *, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._memory = _Memory(memory_bytes_max)
        # Fewer than the loop's threads together with those that walk data sets and transcode; who
        # works here waits for no read.
        self._turns = asyncio.Semaphore(max(1, min(TURNS_MAX, (os.cpu_count() or 1) // 2)))

    async def frame_count(self, instance: Renderable) -> int:
        """How many frames there are to be shown.

        Raises:
            NotRenderableError: none.
            UnavailableError, IntegrityError: as reading does.
        """
        return (await self._table(instance)).count

    async def render(self, instance: Renderable, frame: int, view: View) -> bytes:
        """One frame as a file of `view.media_type`. Nothing is recorded here.

        Args:
            frame: counts from 0.

        Raises:
            NotRenderableError: it is no image, damaged, or of a form that is not decoded.
            NoFramesError: the instance has fewer frames.
            RenderingTooLargeError: the frame or the picture is.
            ViewError: the view cannot be of this image.
            UnavailableError, IntegrityError: as reading does.
        """
        table = await self._table(instance)
        if frame >= table.count:
            raise NoFramesError(f"the instance has {table.count} frames")
        try:
            shown = await instance.data_set().presentation(frame)
            if shown is None:
                raise NotRenderableError("the instance has no pixel data")
            picture_size(shown, view)
            ranges = await table.ranges(frame)
            return await self._made(table, ranges, shown, instance.transfer_syntax_uid, view)
        except InflatedTooLargeError as error:
            raise RenderingTooLargeError(str(error)) from error
        except InstanceError as error:
            raise NotRenderableError(f"it cannot be shown: {error}") from error

    async def _table(self, instance: Renderable) -> Table:
        if instance.transfer_syntax_uid not in RENDERABLE:
            raise NotRenderableError(
                f"transfer syntax {instance.transfer_syntax_uid} is not decoded here"
            )
        try:
            return await instance.frames()
        except (NoFramesError, InflatedTooLargeError) as error:
            raise NotRenderableError(str(error)) from error

    async def _made(
        self, table: Table, ranges: Ranges, shown: Presentation, syntax: str, view: View
    ) -> bytes:
        stored_bytes = sum(end - start for start, end in ranges)
        needed_bytes = cost_bytes(shown, syntax, view, stored_bytes)
        await self._memory.take(needed_bytes)
        try:
            frame = b"".join([bytes(await table.read(start, end)) for start, end in ranges])
            await self._turns.acquire()
        except BaseException:
            self._memory.give_back(needed_bytes)
            raise
        running = asyncio.ensure_future(asyncio.to_thread(render, frame, shown, syntax, view))
        # Whoever gives up gives back neither turn nor memory: the thread goes on.
        running.add_done_callback(partial(self._ended, needed_bytes))
        return await asyncio.shield(running)

    def _ended(self, needed_bytes: int, running: "asyncio.Future[bytes]") -> None:
        self._turns.release()
        self._memory.give_back(needed_bytes)
        if not running.cancelled():
            running.exception()  # which nobody may be waiting for any more


class _Memory:
    """So many bytes, taken and given back.

    They are given in the order in which they were asked for, so that much is not passed over for
    ever by little.
    """

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._free_bytes = total_bytes
        self._first = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, size_bytes: int) -> None:
        """Wait until so many are free.

        Raises:
            RenderingTooLargeError: there are never so many.
        """
        if size_bytes > self._total_bytes:
            raise RenderingTooLargeError(
                f"it takes {size_bytes} B of memory, over {self._total_bytes} B"
            )
        async with self._first:
            while self._free_bytes < size_bytes:
                self._freed.clear()
                await self._freed.wait()
            self._free_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """So many are free again."""
        self._free_bytes += size_bytes
        self._freed.set()

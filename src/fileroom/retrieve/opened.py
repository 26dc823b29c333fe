"""Data sets that are walked when they are asked for: for frames that no table tells, for values
by their tag path, and for all that was deflated, which is inflated as far as it is read.

The stored bytes stay as they are. Walking and inflating run in threads, a few at a time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from fileroom.dicom import dataset_index
from fileroom.dicom.dataset_index import Read
from fileroom.dicom.encoding import EXPLICIT_VR_LITTLE_ENDIAN, Buffer, encoding_of
from fileroom.dicom.frame_table import FrameTableError, NativeFrames, PackedBitFrames
from fileroom.dicom.frames import inflated_header, inflated_layout, native_layout
from fileroom.dicom.inflate import INFLATED_BYTES_MAX, InflatedDataSet, InflatedTooLargeError
from fileroom.dicom.instance_error import InstanceError
from fileroom.errors import RefusedError, TransientError
from fileroom.pixels.presentation import Presentation, presentation

T = TypeVar("T")
StoredRead = Callable[[int, int], Coroutine[Any, Any, Buffer]]

# Fewer than the loop's threads, of which there are at least five: what walks waits for reads, and
# these need a thread too.
WALKS_MAX = 3
AHEAD_BYTES = 256 * 1024  # read at once: each read is a way to the loop and back
HELD_MAX = 256
HELD_BYTES_MAX = 32 << 20
TABLE_BYTES = 512  # what is held of a data set besides snapshots, about


class NoFramesError(RefusedError):
    """The instance has no frames, or where they lie cannot be told from its bytes."""


class NoValueError(RefusedError):
    """The data set has no such element, or the element has no value."""


class GivenUpError(TransientError):
    """Who asked for a walk has gone; no one sees this."""


class Walked:
    """What is kept of a data set between requests: its frames, and how to inflate from the middle.

    How it is read is not kept: a pack may be evicted, and a segment of the spool must not stay
    open. So whoever walks or inflates brings a reader.
    """

    def __init__(self, size_bytes: int, transfer_syntax_uid: str) -> None:
        self._size_bytes = size_bytes
        self._transfer_syntax_uid = transfer_syntax_uid
        self._frames: NativeFrames | PackedBitFrames | None = None
        self._reader: Read | None = None
        self._one_at_a_time = Lock()
        self.inflated: InflatedDataSet | None = None
        if encoding_of(transfer_syntax_uid).deflated:
            self.inflated = InflatedDataSet(self._read, size_bytes)

    @property
    def held_bytes(self) -> int:
        """What it takes in memory, about."""
        return TABLE_BYTES + (0 if self.inflated is None else self.inflated.held_bytes)

    def reading(self, reader: Read, work: Callable[[], T]) -> T:
        """Do some work that reads the data set by `reader`."""
        with self._one_at_a_time:
            self._reader = _ahead(reader, self._size_bytes)
            try:
                return work()
            finally:
                self._reader = None

    def frames(self) -> NativeFrames | PackedBitFrames:
        """Where its frames lie. Raises FrameTableError, InflatedTooLargeError."""
        if self._frames is None:
            if self.inflated is not None:
                self._frames = inflated_layout(self.inflated)
            else:
                self._frames = native_layout(
                    self._read, self._size_bytes, self._transfer_syntax_uid
                )
        return self._frames

    def presentation(self, frame: int) -> Presentation | None:
        """How a frame is to be shown. Raises InstanceError, InflatedTooLargeError."""
        if self.inflated is not None:
            return presentation(inflated_header(self.inflated), frame)
        of = (self._read, self._size_bytes, self._transfer_syntax_uid)
        return presentation(dataset_index.open_data_set(*of), frame)

    def value(self, tag_path: str) -> tuple[int, int]:
        """Where a value lies. Raises InstanceError, InflatedTooLargeError."""
        if self.inflated is None:
            of = (self._read, self._size_bytes, self._transfer_syntax_uid)
        elif self.inflated.size_bytes < INFLATED_BYTES_MAX:
            of = (self.inflated.read, self.inflated.size_bytes, EXPLICIT_VR_LITTLE_ENDIAN)
        else:
            raise InflatedTooLargeError(f"the data set inflates beyond {INFLATED_BYTES_MAX} B")
        return dataset_index.bulk_range(*of, tag_path)

    def _read(self, start: int, end: int) -> Buffer:
        assert self._reader is not None, "a walk brings its reader"
        return self._reader(start, end)


def _ahead(read: Read, size_bytes: int) -> Read:
    """`read`, of `AHEAD_BYTES` at once."""
    origin, block = 0, b""

    def reading(start: int, end: int) -> Buffer:
        nonlocal origin, block
        if start < origin or end > origin + len(block):
            to = min(max(end, start + AHEAD_BYTES), size_bytes)
            origin, block = start, bytes(read(start, to))
        return block[start - origin : end - origin]

    return reading


class OpenedDataSet:
    """A data set while a request reads it. If it was deflated, offsets are those of the inflated
    bytes."""

    def __init__(self, sets: "OpenedDataSets", walked: Walked, stored: StoredRead) -> None:
        self._sets = sets
        self._walked = walked
        self._stored = stored

    async def read(self, start: int, end: int) -> Buffer:
        """Bytes [start, end), fewer where it ends."""
        inflated = self._walked.inflated
        if inflated is None:
            return await self._stored(start, end)
        return await self._walk(partial(inflated.read, start, end))

    async def reach(self, end: int) -> None:
        """Make sure that bytes up to `end` are there.

        Raises:
            InstanceError: it was deflated and ends before.
            InflatedTooLargeError: more would have to be inflated than is.
        """
        inflated = self._walked.inflated
        if inflated is not None and inflated.reached_bytes < end:
            await self._walk(partial(inflated.reach, end))

    async def frames(self) -> "OpenedFrames":
        """Its frames.

        Raises:
            NoFramesError: there are none, or they cannot be told apart.
            InflatedTooLargeError: too much would have to be inflated to find them.
        """
        try:
            return OpenedFrames(self, await self._walk(self._walked.frames))
        except FrameTableError as error:
            raise NoFramesError(str(error)) from error

    async def value(self, tag_path: str) -> tuple[int, int]:
        """Where the value of an element lies, as [start, end).

        Args:
            tag_path: tags of 8 hexadecimal digits and, between them, numbers of items.

        Raises:
            NoValueError: there is no such element, or its value is empty.
            InflatedTooLargeError: too much would have to be inflated to find it.
        """
        try:
            start, end = await self._walk(partial(self._walked.value, tag_path))
        except InstanceError as error:
            raise NoValueError("there is no such element") from error
        if start >= end:
            raise NoValueError("the element has no value")
        return start, end

    async def presentation(self, frame: int) -> Presentation | None:
        """How a frame is to be shown; None where there is no pixel data. Frames count from 0.

        Raises:
            InstanceError: the attributes of the image cannot be.
            InflatedTooLargeError: too much would have to be inflated to find them.
        """
        return await self._walk(partial(self._walked.presentation, frame))

    async def _walk(self, work: Callable[[], T]) -> T:
        return await self._sets.walk(self._walked, self._stored, work)


class OpenedFrames:
    """Frames of a data set that was walked. Each is given as if it began at a byte: where one
    begins inside of one, the ranges are those of frames that were cut apart."""

    def __init__(self, opened: OpenedDataSet, table: NativeFrames | PackedBitFrames) -> None:
        self._opened = opened
        self._table = table
        self.count = table.count

    async def ranges(self, frame: int) -> list[tuple[int, int]]:
        """Byte ranges [start, end) that make up a frame, for `read`; frames count from 0.

        Raises:
            NoFramesError: the data set was deflated and ends before the frame does.
            InflatedTooLargeError: more would have to be inflated than is.
        """
        found = self._table.ranges(frame)
        try:
            await self._opened.reach(found[-1][1])
        except InstanceError as error:
            raise NoFramesError(f"{error}, before frame {frame + 1} does") from error
        if isinstance(self._table, PackedBitFrames):
            size = self._table.frame_length_bytes
            return [(frame * size, frame * size + size)]
        return found

    async def read(self, start: int, end: int) -> Buffer:
        """Bytes [start, end) of what the ranges count, within one frame."""
        table = self._table
        if isinstance(table, NativeFrames):
            return await self._opened.read(start, end)
        frame, first = divmod(start, table.frame_length_bytes)
        behind = first + end - start
        held = await self._opened.read(*table.holding(frame, first, behind))
        return table.cut(held, frame, first, behind)


class OpenedDataSets:
    """Opens data sets, and keeps for the next request what was found out.

    Invariant: what is held is at most `HELD_MAX` of `HELD_BYTES_MAX` together.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Walked] = OrderedDict()
        self._turns = asyncio.Semaphore(WALKS_MAX)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """What is held takes in memory, about."""
        return sum(each.held_bytes for each in self._held.values())

    def open(
        self, key: Hashable, stored: StoredRead, *, size_bytes: int, transfer_syntax_uid: str
    ) -> OpenedDataSet:
        """A data set.

        Args:
            key: says which it is; never that of another one.
            stored: gives bytes [start, end) of it as it is stored.
        """
        walked = self._held.pop(key, None) or Walked(size_bytes, transfer_syntax_uid)
        self._held[key] = walked
        return OpenedDataSet(self, walked, stored)

    async def walk(self, walked: Walked, stored: StoredRead, work: Callable[[], T]) -> T:
        """Do some work on a data set in a thread; its reads are this loop's. Where nobody waits
        for it any more it ends at its next read, and has its turn until then."""
        loop = asyncio.get_running_loop()
        given_up = False

        def read(start: int, end: int) -> Buffer:
            if given_up:
                raise GivenUpError("nobody waits for this walk")
            return asyncio.run_coroutine_threadsafe(stored(start, end), loop).result()

        await self._turns.acquire()
        walking = loop.run_in_executor(None, walked.reading, read, work)
        walking.add_done_callback(lambda _: self._turns.release())
        try:
            return await asyncio.shield(walking)
        except asyncio.CancelledError:
            given_up = True
            raise
        finally:
            self._shrink()

    def _shrink(self) -> None:
        while len(self._held) > HELD_MAX or (
            len(self._held) > 1 and self.held_bytes > HELD_BYTES_MAX
        ):
            self._held.popitem(last=False)

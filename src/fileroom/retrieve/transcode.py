"""Instances and frames on their way to a peer: in the transfer syntax that they are stored in, or
in another one that the peer takes.

What is stored in a form that the peer takes is sent as it is, bit for bit. All else becomes
explicit or implicit VR little endian. Big endian is never sent, whoever takes it: it is retired
(PS3.5 §A.3), and nobody tests for it any more.

Transcoding runs in threads, a frame at a time. It is done twice for instances of several frames:
half a data set cannot be taken back, so every frame is decoded before the first byte leaves.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from typing import Protocol, TypeVar

from fileroom.dicom.encoding import (
    DEFLATED,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Buffer,
)
from fileroom.dicom.part10 import write_header
from fileroom.pixels.transcoding import Transcoding, can_transcode
from fileroom.retrieve.made_frames import Framed, MadeFrames, made_frames
from fileroom.wire.presentation import AcceptedContext

T = TypeVar("T")

PIECE_BYTES = 1 << 20
TURNS_MAX = 8


class Stored(Protocol):
    """One instance of the archive. `size_bytes` and `read` are of the Part 10 file."""

    @property
    def transfer_syntax_uid(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...

    @property
    def dataset_offset(self) -> int:
        """Where the data set begins in the file."""
        ...

    async def read(self, start: int, end: int) -> Buffer: ...


class Named(Stored, Protocol):
    """The same, with the names that stand in the head of its file."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...


@lru_cache(maxsize=1)
def codecs() -> str:
    """What makes other forms, with its version: of the same instance another one may give other
    bytes."""
    return f"imagecodecs {version('imagecodecs')}"


def chosen_context(
    contexts: Iterable[AcceptedContext], sop_class_uid: str, stored_uid: str
) -> AcceptedContext | None:
    """The context to send an instance in: as it is stored, else the best that it can be made.

    Returns:
        None where the peer takes nothing that the instance can be given in.
    """
    fitting = (each for each in contexts if each.abstract_syntax == sop_class_uid)
    ours = {each.transfer_syntax: each for each in fitting}
    if stored_uid != EXPLICIT_VR_BIG_ENDIAN and stored_uid in ours:
        return ours[stored_uid]
    for wanted_uid in (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN):
        if wanted_uid in ours and can_transcode(stored_uid, wanted_uid):
            return ours[wanted_uid]
    return None


class Transcoder:
    """Gives data sets of instances as a peer takes them."""

    def __init__(self) -> None:
        # Fewer than the loop's threads, together with those that walk data sets
        # (retrieve.opened): who works here waits for reads, and these need a thread too.
        self._turns = asyncio.Semaphore(max(1, min(TURNS_MAX, (os.cpu_count() or 1) // 2)))

    async def opened(self, instance: Stored, transfer_syntax_uid: str) -> AsyncIterator[Buffer]:
        """The data set in pieces. What cannot be given is refused here, before the first piece;
        after it only reading can fail.

        Args:
            transfer_syntax_uid: of a context that `chosen_context` gave for this instance.

        Raises:
            InstanceError: it is damaged, or cannot be said in that transfer syntax.
            UnavailableError, IntegrityError: as `read` does.
        """
        if transfer_syntax_uid == instance.transfer_syntax_uid:
            return await _begun(_as_it_is(instance))
        return await _begun(await self._transcoded(instance, transfer_syntax_uid))

    async def file(self, instance: Named, transfer_syntax_uid: str) -> AsyncIterator[Buffer]:
        """The Part 10 file of the data set that `opened` gives, in pieces. Raises as it does."""
        data_set = await self.opened(instance, transfer_syntax_uid)
        head = write_header(
            instance.sop_class_uid,
            instance.sop_instance_uid,
            transfer_syntax_uid,
            source_ae_title=None,
        )

        async def whole() -> AsyncIterator[Buffer]:
            yield head
            async for piece in data_set:
                yield piece

        return whole()

    async def frames(self, instance: Framed, transfer_syntax_uid: str) -> MadeFrames:
        """Its frames in a form that `made_frames.forms_of` has. Raises as `made_frames` does."""
        return await made_frames(instance, transfer_syntax_uid, self._in_turn)

    async def _transcoded(
        self, instance: Stored, transfer_syntax_uid: str
    ) -> AsyncIterator[Buffer]:
        loop, origin = asyncio.get_running_loop(), instance.dataset_offset

        def read(start: int, end: int) -> Buffer:
            reading = instance.read(origin + start, origin + end)
            return asyncio.run_coroutine_threadsafe(reading, loop).result()

        transcoding = Transcoding(
            read,
            instance.size_bytes - origin,
            instance.transfer_syntax_uid,
            transfer_syntax_uid,
        )
        async for _ in self._in_turns(transcoding.check):
            pass
        return self._in_turns(transcoding.pieces)

    async def _in_turns(self, work: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """What `work` gives, each in a turn of its own."""
        steps = work()

        def step() -> list[T]:
            return list(islice(steps, 1))

        while given := await self._in_turn(step):
            yield given[0]

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """What `work` gives, in a thread."""
        await self._turns.acquire()
        # Whoever gives up does not give up its turn: the thread goes on.
        running = asyncio.ensure_future(asyncio.to_thread(work))
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, running: "asyncio.Future[T]") -> None:
        self._turns.release()
        if not running.cancelled():
            running.exception()  # which nobody may be waiting for any more


async def _as_it_is(instance: Stored) -> AsyncIterator[Buffer]:
    start, end = instance.dataset_offset, instance.size_bytes
    for position in range(start, end, PIECE_BYTES):
        yield await instance.read(position, min(position + PIECE_BYTES, end))
    if (end - start) % 2 and instance.transfer_syntax_uid in DEFLATED:
        # What is deflated ends where its stream does; messages are of even length (PS3.5 §A.5).
        yield b"\0"


async def _begun(pieces: AsyncIterator[Buffer]) -> AsyncIterator[Buffer]:
    """The same pieces, the first of which is there."""
    first = [piece for piece in (await anext(pieces, None),) if piece is not None]

    async def whole() -> AsyncIterator[Buffer]:
        while first:
            yield first.pop()
        async for piece in pieces:
            yield piece

    return whole()

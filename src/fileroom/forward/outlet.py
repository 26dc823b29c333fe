"""How instances reach a destination: by C-STORE, or by STOW-RS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import NamedTuple, Protocol

from fileroom.dicom.encoding import Buffer
from fileroom.peer.delivery import Delivery, Destination, Kind
from fileroom.peer.stow import StowAnswer, StowDelivery, WebDestination
from fileroom.policy.forwarding import Answer, judge_http_status, judge_status
from fileroom.retrieve.transcode import PIECE_BYTES, Stored, Transcoder, chosen_context
from fileroom.wire.message import status_text, store_elements

NO_FORM = "the destination takes no form that the instance can be given in"


class Instance(Stored, Protocol):
    """One instance of the archive."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def study_instance_uid(self) -> str: ...


class Record(Protocol):
    """The event that covers a read (invariant 11)."""

    def count(self, *, instances: int = 0, frames: int = 0, bytes: int = 0) -> None: ...


Covered = Callable[[], Awaitable[Record]]


class Sent(NamedTuple):
    """What a destination answered, with its words where it did not simply store the instance."""

    answer: Answer
    note: str = ""


class Outlet(Protocol):
    """One destination, for as long as there is something to send. One call at a time.

    Attributes:
        address: what the ledger calls it, an AE title or a name of the settings.
        channel: what the ledger calls the way there.
    """

    address: str
    channel: str

    async def prepare(self, kinds: Collection[Kind]) -> None:
        """Get ready to send instances of these kinds. Raises an error where none can be sent."""
        ...

    async def send(self, instance: Instance, covered: Covered) -> Sent:
        """Send an instance and return what the destination answered.

        Args:
            covered: to be awaited before the first byte leaves.

        Raises:
            InstanceError: it cannot be given in a form that the destination takes.
            UnavailableError, IntegrityError: it cannot be read just now.
            FileroomError: the destination took none of it, or nobody knows.
        """
        ...

    async def end(self) -> None:
        """Nothing more is sent just now."""
        ...


class StoreOutlet:
    """Sends by C-STORE (PS3.4 §B), in the form that is stored if the destination takes that."""

    channel = "forward-dimse"

    def __init__(self, destination: Destination, *, calling: str, transcoder: Transcoder) -> None:
        self.address = destination.ae_title
        self._delivery = Delivery(destination, calling=calling)
        self._transcoder = transcoder

    async def prepare(self, kinds: Collection[Kind]) -> None:
        await self._delivery.propose(kinds)

    async def send(self, instance: Instance, covered: Covered) -> Sent:
        kind = Kind(instance.sop_class_uid, instance.transfer_syntax_uid)
        await self._delivery.propose((kind,))
        context = chosen_context(self._delivery.contexts, *kind)
        if context is None:
            return Sent(Answer.REFUSED, NO_FORM)
        pieces = await self._transcoder.opened(instance, context.transfer_syntax)
        elements = store_elements(
            sop_class_uid=instance.sop_class_uid, sop_instance_uid=instance.sop_instance_uid
        )
        sending = counted(pieces, await covered())
        status = await self._delivery.store(context, elements, sending)
        answer = judge_status(status)
        note = "" if answer is Answer.STORED else f"it answered {status_text(status)}"
        return Sent(answer, note)

    async def end(self) -> None:
        await self._delivery.end()


class WebOutlet:
    """Sends by STOW-RS (PS3.18 §10.5), in the form that is stored."""

    channel = "forward-stow"

    def __init__(self, address: str, destination: Callable[[], WebDestination]) -> None:
        self.address = address
        self._destination = destination
        self._delivery: StowDelivery | None = None

    async def prepare(self, kinds: Collection[Kind]) -> None:
        if self._delivery is None:
            self._delivery = StowDelivery(await asyncio.to_thread(self._destination))
        await self._delivery.connect()

    async def send(self, instance: Instance, covered: Covered) -> Sent:
        assert self._delivery is not None
        pieces = await _file(instance)
        sending = counted(pieces, await covered())
        answer = await self._delivery.store(instance.sop_instance_uid, sending, instance.size_bytes)
        return judged(answer)

    async def end(self) -> None:
        if self._delivery is not None:
            await self._delivery.end()


def judged(answer: StowAnswer) -> Sent:
    """What an answer of STOW-RS means for the instance (PS3.18 Table 10.5.3-1)."""
    if answer.status is not None:
        found = judge_status(answer.status)
        note = f"it answered {answer.http_status} and {status_text(answer.status)}"
        return Sent(found, "" if found is Answer.STORED else note)
    note = f"it answered {answer.http_status} without a word about the instance"
    return Sent(judge_http_status(answer.http_status), note)


async def _file(instance: Instance) -> AsyncIterator[Buffer]:
    """The Part 10 file in pieces, the first of which is there."""
    size_bytes = instance.size_bytes
    first = await instance.read(0, min(PIECE_BYTES, size_bytes))

    async def whole() -> AsyncIterator[Buffer]:
        yield first
        for start in range(PIECE_BYTES, size_bytes, PIECE_BYTES):
            yield await instance.read(start, min(start + PIECE_BYTES, size_bytes))

    return whole()


async def counted(pieces: AsyncIterator[Buffer], record: Record) -> AsyncIterator[Buffer]:
    """The same pieces, counted as they are taken."""
    size_bytes = 0
    try:
        async for piece in pieces:
            size_bytes += len(piece)
            yield piece
    finally:
        if size_bytes:
            record.count(instances=1, bytes=size_bytes)

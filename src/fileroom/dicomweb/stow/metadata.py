"""STOW-RS of metadata with its bulk data in parts of their own (PS3.18 §10.5.1.4 and §8.7.3.2).

Everything is set aside as it arrives, in whatever order; an instance is written to the spool once
its metadata and all that this refers to are there. That costs a second writing, and lets a value
be of any size, of a length that nobody told, and of several instances.

Memory per request: the text of one instance's metadata, what reading it takes (one at a time in
the node), a chunk of what is set aside, and a few hundred bytes a part.
"""

import asyncio
from collections.abc import AsyncIterator

from fileroom.dicomweb.stow.bulk_parts import BulkPart, BulkParts, PixelMediaTypeError, referred
from fileroom.dicomweb.stow.described import (
    Described,
    ElementsOf,
    data_set,
    described,
    parts_of,
    transfer_syntax,
)
from fileroom.dicomweb.stow.finishing import UNWRITTEN_BYTES_MAX, Finishing
from fileroom.dicomweb.stow.metadata_parts import (
    Arriving,
    Unusable,
    ValuePart,
    kind_of,
    metadata_part,
)
from fileroom.dicomweb.stow.report import (
    DISCARDED,
    EXCESS,
    MissingPartError,
    Outcome,
    UnreferencedPartError,
    recorded_reason,
)
from fileroom.errors import FileroomError
from fileroom.http.ports import Conversation, Reception
from fileroom.http.refusals import TooLargeError
from fileroom.http.request import Service
from fileroom.wire.media_type import MediaType
from fileroom.wire.multipart import MultipartParser, PartData, PartEnded, PartStarted


class MetadataStoring:
    """The instances of one request whose metadata is of media type `kind`; see `stow.Storing`.

    Attributes:
        outcomes: complete after `close`.
    """

    def __init__(
        self, service: Service, conversation: Conversation, study: str | None, *, kind: str
    ) -> None:
        self.limits = service.limits
        self._reading = service.reading
        self._conversation = conversation
        self._study = study
        self._kind = kind
        self._aside = conversation.aside()
        self._parts = BulkParts()
        self._waiting: dict[str, list[Described]] = {}  # by the names of what they refer to
        self._given_up: dict[str, bool] = {}  # whether one that referred to that name failed
        self._finishing = Finishing(service.limits)
        self._counts = {"parts": 0, "instances": 0, "references": 0, "frames": 0}
        self._metadata_bytes = 0
        self._written_bytes = 0
        self._is_lost = False  # metadata of which nobody can say what it refers to
        self._is_whole = False
        self._arriving: Arriving | None = None
        self.outcomes = self._finishing.outcomes

    async def take_parts(self, parser: MultipartParser, body: AsyncIterator[bytes]) -> None:
        """Take a multipart body. Raises MultipartError, and what reading the body raises."""
        async for data in body:
            parser.feed(data)
            while (event := parser.next_event()) is not None:
                if isinstance(event, PartStarted):
                    self._count("parts", 1)
                    # A name and a media type are kept for as long as the part is.
                    self.add_metadata(sum(map(len, event.headers.values())))
                    self._arriving = self._begin(event.headers)
                elif isinstance(event, PartData):
                    assert self._arriving is not None
                    await self._arriving.write(event.data)
                elif isinstance(event, PartEnded):
                    assert self._arriving is not None
                    await self._arriving.end()
        parser.finish()
        self._is_whole = True

    async def take_whole(self, body: AsyncIterator[bytes]) -> None:
        """Take a body that is metadata alone. Raises what reading the body raises."""
        arriving = metadata_part(self, self._kind)
        async for data in body:
            await arriving.write(memoryview(data))
        if self._metadata_bytes:
            await arriving.end()
            self._is_whole = True

    async def close(self) -> None:
        """Say what is missing, wait for what is complete, and end the conversation."""
        waiting = {id(each): each for every in self._waiting.values() for each in every}
        for instance in waiting.values():
            self._fail(instance, MissingPartError("a part that metadata refers to did not come"))
        if self._is_whole and not self._is_lost:
            for _ in range(self._parts.left_over()):
                self.refuse(UnreferencedPartError("a part that no metadata refers to"))
        try:
            await self._finishing.settle()
        finally:
            try:
                await asyncio.to_thread(self._aside.close)  # freeing many GiB takes seconds
            finally:
                await self._conversation.close()

    # For the parts.

    def add_metadata(self, size_bytes: int) -> None:
        """Count metadata, header fields of parts too. Raises TooLargeError where it is too much."""
        self._metadata_bytes += size_bytes
        if self._metadata_bytes > self.limits.metadata_bytes_max:
            raise TooLargeError(f"metadata is over {self.limits.metadata_bytes_max} B")

    async def take_metadata(self, text: bytes, elements_of: ElementsOf) -> None:
        """Take the metadata of one instance. Raises TooLargeError where there is too much."""
        self._count("instances", 1)
        async with self._reading:
            instance, data = await asyncio.to_thread(described, text, elements_of, self._study)
        self._count("references", len(instance.references))
        try:
            if instance.error is not None:
                raise instance.error
            instance.start = self._aside.size_bytes
            await asyncio.to_thread(self._aside.append, data)
            self._wait(instance)
        except FileroomError as error:
            self._fail(instance, error)
        else:
            for name in tuple(instance.missing):
                await self._advance(instance, name)
            if not instance.references:
                await self._store(instance)

    def lose_metadata(self, error: FileroomError) -> None:
        """Count metadata of which nobody can say whose it is or what it refers to."""
        self._fail(Described(), error)

    def refuse(self, error: FileroomError) -> None:
        """Count a part that is of no use."""
        self._conversation.refused(recorded_reason(error))
        self.outcomes.append(Outcome(None, None, error=error))

    async def set_aside(self, data: memoryview) -> int:
        """Keep bytes of a value; return where they end. Raises SpaceError, SpoolError."""
        await asyncio.to_thread(self._aside.append, data)
        return self._aside.size_bytes

    async def take_value(self, location: str, part: BulkPart) -> None:
        """Take a part that has come to its end."""
        self._parts.add(location, part)
        for name in referred(location):
            for instance in tuple(self._waiting.get(name, ())):
                await self._advance(instance, name)

    def _begin(self, headers: dict[str, str]) -> Arriving:
        """See what a part is."""
        try:
            kind, is_metadata = kind_of(headers, self._kind)
        except FileroomError as error:
            return Unusable(self, error)
        if is_metadata:
            return metadata_part(self, self._kind)
        return self._value_part(headers.get("content-location", "").strip(), kind)

    def _value_part(self, location: str, kind: MediaType) -> Arriving:
        known = [name for name in referred(location) if name in self._given_up]
        if not location or (known and not any(name in self._waiting for name in known)):
            # Nobody waits for it any more. What was refused is no failure a second time.
            error = UnreferencedPartError("a part that no instance waits for")
            return Unusable(self, None if any(self._given_up[each] for each in known) else error)
        return ValuePart(self, location, BulkPart(kind, start=self._aside.size_bytes))

    # Instances.

    def _wait(self, instance: Described) -> None:
        for name in instance.missing:
            waiting = self._waiting.setdefault(name, [])
            if waiting and name in (instance.framed, waiting[0].framed):
                # Each of many parts would have to be looked at for each of many instances.
                raise PixelMediaTypeError("frames under one name are of two instances")
            waiting.append(instance)
            self._given_up.setdefault(name, False)

    async def _advance(self, instance: Described, name: str) -> None:
        """Look whether what an instance needs under a name is there, and the instance complete."""
        try:
            if not instance.has(name, self._parts):
                return
        except FileroomError as error:
            self._fail(instance, error)
            return
        instance.missing.pop(name, None)
        self._wait_no_longer(instance, name)  # further parts of that name are nothing to it
        if not instance.missing:
            await self._store(instance)

    async def _store(self, instance: Described) -> None:
        """Write a complete instance, and have it finished."""
        is_recorded = False
        try:
            parts = parts_of(instance, self._parts)
            self._weigh(instance, parts)
            syntax = await transfer_syntax(instance, parts, self._read)
            is_recorded = True  # what `begin` refuses
            reception = self._conversation.begin(
                sop_class_uid=None, sop_instance_uid=None, transfer_syntax_uid=syntax
            )
            is_recorded = False
            await _write(reception, data_set(instance, parts, syntax, self._read))
        except FileroomError as error:
            self._fail(instance, error, is_recorded=is_recorded)
            return
        self._forget(instance)
        await self._finishing.add(_finished(instance, reception), size_bytes=UNWRITTEN_BYTES_MAX)

    def _weigh(self, instance: Described, parts: list[list[BulkPart]]) -> None:
        """Count what is written. A part may be of many instances and a value of each of them many
        times: without an end, a short body would fill the disk.

        Raises:
            TooLargeError: it is more than a body may hold that has each value where it belongs.
        """
        self._count("frames", sum(len(each) - 1 for each in parts))
        self._written_bytes += instance.size_bytes
        self._written_bytes += sum(part.size_bytes for each in parts for part in each)
        if self._written_bytes > self.limits.body_bytes_max:
            raise TooLargeError(f"the instances are over {self.limits.body_bytes_max} B together")

    def _fail(
        self, instance: Described, error: FileroomError, *, is_recorded: bool = False
    ) -> None:
        instance.error = error
        self._is_lost |= not instance.references
        if not is_recorded:
            self._conversation.refused(recorded_reason(error))
        self._forget(instance)
        self.outcomes.append(_outcome(instance))

    def _forget(self, instance: Described) -> None:
        """Wait no longer for what an instance refers to."""
        for name in {each.uri for each in instance.references}:
            self._wait_no_longer(instance, name)
            self._given_up[name] = self._given_up.get(name, False) or instance.error is not None
            if instance.error is not None:
                self._parts.give_up(name)

    def _wait_no_longer(self, instance: Described, name: str) -> None:
        waiting = self._waiting.get(name, [])
        if instance in waiting:
            waiting.remove(instance)
        if not waiting:
            self._waiting.pop(name, None)

    async def _read(self, start: int, end: int) -> AsyncIterator[bytes]:
        pieces = self._aside.read(start, end)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece

    def _count(self, what: str, count: int) -> None:
        self._counts[what] += count
        if self._counts[what] > self.limits.parts_max:
            raise TooLargeError(f"the body has over {self.limits.parts_max} {what}")


async def _write(reception: Reception, pieces: AsyncIterator[bytes]) -> None:
    try:
        async for piece in pieces:
            reception.write(piece)
            if reception.full:
                await reception.ready()
    except BaseException:
        reception.abandon()
        raise


async def _finished(instance: Described, reception: Reception) -> Outcome:
    """Make the instance ours; what `finish` raises, receiving has on record."""
    try:
        received = await reception.finish()
    except FileroomError as error:
        instance.error = error
        return _outcome(instance)
    finally:
        reception.abandon()
    warning = DISCARDED if instance.discarded else EXCESS if instance.excess else None
    return Outcome(
        instance.sop_class_uid, instance.sop_instance_uid, received=received, warning=warning
    )


def _outcome(instance: Described) -> Outcome:
    return Outcome(instance.sop_class_uid, instance.sop_instance_uid, error=instance.error)

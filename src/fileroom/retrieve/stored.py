"""One instance as the doors see it: what it is, and its Part 10 bytes by range."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from fileroom.catalog.rows import PackRow
from fileroom.errors import RefusedError
from fileroom.pack.metadata import (
    EncapsulatedFrames,
    Instance,
    Metadata,
    NativeFrames,
)
from fileroom.retrieve.descriptions import Descriptions, part10_head
from fileroom.retrieve.packs import PackSource
from fileroom.spool.reader import SpooledInstance

ONLINE = "ONLINE"  # PS3.3 §C.4.23.1.1
NEARLINE = "NEARLINE"


class NoFramesError(RefusedError):
    """The instance has no frames, or where they lie cannot be told from its bytes."""


class FrameRanges:
    """Where an instance's frames lie in its Part 10 file."""

    __slots__ = ("_frames", "count")

    def __init__(self, frames: NativeFrames | EncapsulatedFrames) -> None:
        self._frames = frames
        self.count = frames.frame_count if isinstance(frames, NativeFrames) else len(frames.frames)

    def ranges(self, frame: int) -> Sequence[tuple[int, int]]:
        """Byte ranges [start, end) that make up a frame, in order; frames count from 0."""
        frames = self._frames
        if isinstance(frames, EncapsulatedFrames):
            return frames.frames[frame]
        start = frames.offset + frame * frames.frame_length_bytes
        return [(start, start + frames.frame_length_bytes)]


class PackedInstance:
    """An instance in a pack."""

    __slots__ = ("_entry", "_metadata", "_pack", "_source")

    def __init__(
        self, source: PackSource, pack: PackRow, metadata: Metadata, entry: Instance
    ) -> None:
        self._source = source
        self._pack = pack
        self._metadata = metadata
        self._entry = entry

    @property
    def sop_class_uid(self) -> str:
        return self._entry.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        return self._entry.sop_instance_uid

    @property
    def series_instance_uid(self) -> str:
        return self._metadata.series_instance_uid

    @property
    def study_instance_uid(self) -> str:
        return self._metadata.study_instance_uid

    @property
    def transfer_syntax_uid(self) -> str:
        return self._entry.transfer_syntax_uid

    @property
    def size_bytes(self) -> int:
        return self._entry.size_bytes

    @property
    def attributes(self) -> dict[str, str]:
        return self._entry.attributes()

    @property
    def availability(self) -> str:
        return ONLINE if self._pack.local else NEARLINE

    async def dicom_json(self) -> bytes:
        """The DICOM JSON object of the data set, bulk data left out."""
        return bytes(self._entry.dicom_json)

    async def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the Part 10 file. Raises as `PackSource.read` does."""
        origin = self._entry.start
        return await self._source.read(self._pack, origin + start, origin + end)

    async def frames(self) -> FrameRanges:
        """Where the frames lie. Raises NoFramesError."""
        found = self._entry.frames()
        if found is None:
            raise NoFramesError("the instance has no frames that can be told apart")
        return FrameRanges(found)


class SpooledStored:
    """An instance that lies in this node's spool still."""

    __slots__ = ("_descriptions", "_head", "_opened")

    def __init__(self, opened: SpooledInstance, descriptions: Descriptions) -> None:
        self._opened = opened
        self._descriptions = descriptions
        self._head = part10_head(opened)

    @property
    def sop_class_uid(self) -> str:
        return self._opened.record.description.header.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        return self._opened.record.description.header.sop_instance_uid

    @property
    def series_instance_uid(self) -> str:
        return self._opened.record.description.header.series_instance_uid

    @property
    def study_instance_uid(self) -> str:
        return self._opened.record.description.header.study_instance_uid

    @property
    def transfer_syntax_uid(self) -> str:
        return self._opened.record.description.transfer_syntax_uid

    @property
    def size_bytes(self) -> int:
        return len(self._head) + self._opened.record.size_bytes

    @property
    def attributes(self) -> dict[str, str]:
        return self._opened.record.description.header.attributes

    @property
    def availability(self) -> str:
        return ONLINE

    async def dicom_json(self) -> bytes:
        """The DICOM JSON object of the data set, bulk data left out."""
        return (await self._descriptions.of(self._opened)).dicom_json

    async def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the Part 10 file that the pack will hold, made as it is read."""
        head = self._head[start:end]
        from_ = max(0, start - len(self._head))
        to = max(from_, end - len(self._head))
        return head + await asyncio.to_thread(self._opened.read, from_, to)

    async def frames(self) -> FrameRanges:
        """Where the frames lie. Raises NoFramesError."""
        found = (await self._descriptions.of(self._opened)).frames
        if found is None:
            raise NoFramesError("the instance has no frames that can be told apart")
        return FrameRanges(found)


StoredInstance: TypeAlias = PackedInstance | SpooledStored

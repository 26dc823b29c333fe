"""One instance as the doors see it: what it is, and its Part 10 bytes by range."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from fileroom.catalog.rows import PackRow
from fileroom.dicom.encoding import Buffer, encapsulates, encoding_of
from fileroom.pack.metadata import (
    EncapsulatedFrames,
    Frames,
    Instance,
    Metadata,
    NativeFrames,
)
from fileroom.retrieve.descriptions import Descriptions
from fileroom.retrieve.opened import (
    NoFramesError,
    OpenedDataSet,
    OpenedDataSets,
    OpenedFrames,
    StoredRead,
)
from fileroom.retrieve.packs import PackSource
from fileroom.spool.reader import SpooledInstance

ONLINE = "ONLINE"  # PS3.3 §C.4.23.1.1
NEARLINE = "NEARLINE"


class FileFrames:
    """Frames that are ranges of an instance's Part 10 file, which `read` gives."""

    __slots__ = ("_frames", "count", "read")

    def __init__(self, frames: NativeFrames | EncapsulatedFrames, read: StoredRead) -> None:
        self._frames = frames
        self.count = frames.frame_count if isinstance(frames, NativeFrames) else len(frames.frames)
        self.read = read

    async def ranges(self, frame: int) -> Sequence[tuple[int, int]]:
        """Byte ranges [start, end) that make up a frame, in order; frames count from 0."""
        frames = self._frames
        if isinstance(frames, EncapsulatedFrames):
            return frames.frames[frame]
        start = frames.offset + frame * frames.frame_length_bytes
        return [(start, start + frames.frame_length_bytes)]


class PackedInstance:
    """An instance in a pack."""

    __slots__ = ("_entry", "_metadata", "_opened", "_pack", "_source")

    def __init__(
        self,
        source: PackSource,
        opened: OpenedDataSets,
        pack: PackRow,
        metadata: Metadata,
        entry: Instance,
    ) -> None:
        self._source = source
        self._opened = opened
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
    def dataset_offset(self) -> int:
        """Where the data set begins in the Part 10 file."""
        return self._entry.dataset_offset

    @property
    def data_set_sha256(self) -> bytes:
        return bytes.fromhex(self._entry.stored_sha256)

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

    def data_set(self) -> OpenedDataSet:
        """Its data set, to be walked, and inflated if it is deflated."""
        pack, entry, source = self._pack, self._entry, self._source
        origin = entry.start + entry.dataset_offset

        async def stored(start: int, end: int) -> Buffer:
            return await source.read(pack, origin + start, origin + end)

        return self._opened.open(
            (pack.sha256, origin),
            stored,
            size_bytes=entry.end - origin,
            transfer_syntax_uid=entry.transfer_syntax_uid,
        )

    async def frames(self) -> FileFrames | OpenedFrames:
        """Its frames. Raises NoFramesError, InflatedTooLargeError."""
        return await _frames(self, self._entry.frames())


class SpooledStored:
    """An instance that lies in this node's spool still."""

    __slots__ = ("_descriptions", "_head", "_instance", "_opened")

    def __init__(
        self, instance: SpooledInstance, opened: OpenedDataSets, descriptions: Descriptions
    ) -> None:
        self._instance = instance
        self._opened = opened
        self._descriptions = descriptions
        self._head = instance.record.description.head

    @property
    def sop_class_uid(self) -> str:
        return self._instance.record.description.header.sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        return self._instance.record.description.header.sop_instance_uid

    @property
    def series_instance_uid(self) -> str:
        return self._instance.record.description.header.series_instance_uid

    @property
    def study_instance_uid(self) -> str:
        return self._instance.record.description.header.study_instance_uid

    @property
    def transfer_syntax_uid(self) -> str:
        return self._instance.record.description.transfer_syntax_uid

    @property
    def size_bytes(self) -> int:
        return len(self._head) + self._instance.record.size_bytes

    @property
    def dataset_offset(self) -> int:
        """Where the data set begins in the Part 10 file."""
        return len(self._head)

    @property
    def data_set_sha256(self) -> bytes:
        return self._instance.record.sha256

    @property
    def attributes(self) -> dict[str, str]:
        return self._instance.record.description.header.attributes

    @property
    def availability(self) -> str:
        return ONLINE

    async def dicom_json(self) -> bytes:
        """The DICOM JSON object of the data set, bulk data left out."""
        return (await self._descriptions.of(self._instance)).dicom_json

    async def read(self, start: int, end: int) -> bytes:
        """Bytes [start, end) of the Part 10 file that the pack will hold, made as it is read."""
        head = self._head[start:end]
        from_ = max(0, start - len(self._head))
        to = max(from_, end - len(self._head))
        return head + await asyncio.to_thread(self._instance.read, from_, to)

    def data_set(self) -> OpenedDataSet:
        """Its data set, to be walked, and inflated if it is deflated."""
        instance = self._instance

        async def stored(start: int, end: int) -> Buffer:
            return await asyncio.to_thread(instance.read, start, end)

        return self._opened.open(
            instance.record.place,
            stored,
            size_bytes=instance.record.size_bytes,
            transfer_syntax_uid=self.transfer_syntax_uid,
        )

    async def frames(self) -> FileFrames | OpenedFrames:
        """Its frames. Raises NoFramesError, InflatedTooLargeError."""
        if encoding_of(self.transfer_syntax_uid).deflated:
            return await _frames(self, None)  # a description would inflate all of it
        return await _frames(self, (await self._descriptions.of(self._instance)).frames)


StoredInstance: TypeAlias = PackedInstance | SpooledStored


async def _frames(instance: StoredInstance, told: Frames) -> FileFrames | OpenedFrames:
    """The frames as a description tells them, or as the data set itself does.

    A description knows ranges of the stored bytes only: so it tells none of what was deflated,
    nor frames that begin inside a byte.
    """
    encapsulated = encapsulates(instance.transfer_syntax_uid)
    if told is None:
        if encapsulated is False:
            return await instance.data_set().frames()
        raise NoFramesError("the instance has no frames that can be told apart")
    if encapsulated is not None and isinstance(told, EncapsulatedFrames) is not encapsulated:
        # A frame carries its transfer syntax: a missing image harms less than a wrong one.
        raise NoFramesError("the pixel data is not encoded as the transfer syntax says")
    return FileFrames(told, instance.read)

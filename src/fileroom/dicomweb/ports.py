"""What this door needs of the rooms below it, as they are assembled by the node."""

from collections.abc import Sequence
from typing import Protocol

from fileroom.access.identity import Principal
from fileroom.catalog.query import Search, SearchRow
from fileroom.dicomweb.task_note import TaskNote
from fileroom.spool.record import Origin

Buffer = bytes | bytearray | memoryview


class FrameRanges(Protocol):
    """Where the frames of one instance lie in its Part 10 file."""

    @property
    def count(self) -> int: ...

    def ranges(self, frame: int) -> Sequence[tuple[int, int]]:
        """The byte ranges [start, end) that make up a frame, in order; frames count from 0."""
        ...


class StoredInstance(Protocol):
    """One instance of the archive. `size_bytes` and `read` are of the Part 10 file."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def series_instance_uid(self) -> str: ...
    @property
    def study_instance_uid(self) -> str: ...
    @property
    def transfer_syntax_uid(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def availability(self) -> str: ...

    async def dicom_json(self) -> bytes: ...

    async def read(self, start: int, end: int) -> bytes: ...

    async def frames(self) -> FrameRanges: ...


class Archive(Protocol):
    """The way out: what is held, and its bytes."""

    async def holdings(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> Sequence[StoredInstance]: ...

    async def search(self, search: Search) -> Sequence[SearchRow]: ...

    async def search_instances(self, search: Search) -> Sequence[SearchRow]: ...


class Received(Protocol):
    """An instance that is ours."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def study_instance_uid(self) -> str: ...
    @property
    def series_instance_uid(self) -> str: ...


class Reception(Protocol):
    """One instance on its way in."""

    @property
    def full(self) -> bool: ...

    def write(self, data: Buffer) -> None: ...

    async def ready(self) -> None: ...

    async def finish(self) -> Received: ...

    def abandon(self) -> None: ...


class Conversation(Protocol):
    """One STOW-RS request, as receiving sees it."""

    def begin(
        self,
        *,
        sop_class_uid: str | None,
        sop_instance_uid: str | None,
        transfer_syntax_uid: str,
        preamble: bytes = b"",
    ) -> Reception: ...

    async def close(self) -> None: ...


class Receiver(Protocol):
    """The way in."""

    def conversation(self, origin: Origin) -> Conversation: ...


class Tasks(Protocol):
    """Keeps the records of long tasks."""

    def note(self, id: str, noted: TaskNote) -> None:
        """Take a note about a task that runs elsewhere. Waits for the disk."""
        ...


class ReadRecord(Protocol):
    """The access event that covers a read (invariant 11)."""

    def count(self, *, instances: int = 0, frames: int = 0, bytes: int = 0) -> None: ...


class Coverage(Protocol):
    """Makes a read of a study known before its first byte leaves."""

    async def covers(
        self, principal: Principal, study_instance_uid: str, *, purpose: str, channel: str
    ) -> ReadRecord: ...

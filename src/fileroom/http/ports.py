"""What this door needs of the rooms below it, as they are assembled by the node."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from fileroom.access.identity import Principal
from fileroom.catalog.query import Search, SearchRow
from fileroom.http.task_note import TaskNote
from fileroom.spool.record import Origin

Buffer = bytes | bytearray | memoryview


class Source(Protocol):
    """Bytes that are read by range."""

    async def read(self, start: int, end: int) -> Buffer: ...


class Frames(Source, Protocol):
    """The frames of one instance."""

    @property
    def count(self) -> int: ...

    async def ranges(self, frame: int) -> Sequence[tuple[int, int]]:
        """The byte ranges [start, end) that make up a frame, in order, to be read from here;
        frames count from 0."""
        ...


class DataSet(Source, Protocol):
    """The data set of one instance; inflated, if it is stored deflated."""

    async def value(self, tag_path: str) -> tuple[int, int]:
        """Where the value of an element lies, as [start, end); the path is tags of 8 hexadecimal
        digits and, between them, numbers of items."""
        ...


class StoredInstance(Source, Protocol):
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
    def data_set_sha256(self) -> bytes: ...
    @property
    def availability(self) -> str: ...

    async def dicom_json(self) -> bytes: ...

    def data_set(self) -> DataSet: ...

    async def frames(self) -> Frames: ...


class Archive(Protocol):
    """The way out: what is held, and its bytes."""

    async def holdings(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> Sequence[StoredInstance]: ...

    async def search(self, search: Search) -> Sequence[SearchRow]: ...

    async def count(self, search: Search) -> int | None: ...

    def instance_matches(
        self, search: Search
    ) -> AsyncIterator[tuple[SearchRow, StoredInstance]]: ...


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


class Aside(Protocol):
    """Bytes that wait for their place in a data set. Blocks."""

    @property
    def size_bytes(self) -> int: ...

    def append(self, data: Buffer) -> None: ...

    def read(self, start: int, end: int) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Conversation(Protocol):
    """One STOW-RS request, as receiving sees it."""

    def refuse_without_room(self, size_bytes: int) -> None:
        """Raise SpaceError or TransientError where nothing of that size can be taken just now."""
        ...

    def aside(self) -> Aside: ...

    def begin(
        self,
        *,
        sop_class_uid: str | None,
        sop_instance_uid: str | None,
        transfer_syntax_uid: str,
        preamble: bytes = b"",
    ) -> Reception: ...

    def refused(self, reason: str) -> None:
        """Have it recorded that an instance was not taken, for a reason of this door's own."""
        ...

    async def close(self) -> None: ...


class Receiver(Protocol):
    """The way in."""

    def conversation(self, origin: Origin) -> Conversation: ...


class Tasks(Protocol):
    """Keeps the records of long tasks."""

    def note(self, id: str, noted: TaskNote) -> None:
        """Take a note about a task that runs elsewhere. Waits for the disk."""
        ...


class Peers(Protocol):
    """The other archives and modalities that the settings name."""

    async def echo(self, name: str) -> float:
        """Ask one for a C-ECHO and return how long it took, in seconds. Raises UnknownPeerError,
        and another error where the peer does not answer."""
        ...


class ReadRecord(Protocol):
    """The access event that covers a read (invariant 11)."""

    def count(self, *, instances: int = 0, frames: int = 0, bytes: int = 0) -> None: ...


class Coverage(Protocol):
    """Makes a read of a study known before its first byte leaves."""

    async def covers(
        self, principal: Principal, study_instance_uid: str, *, purpose: str, channel: str
    ) -> ReadRecord: ...

"""What this door needs of the rooms below it, as they are assembled by the node."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from fileroom.access.identity import Principal
from fileroom.catalog.forwards import StudyForward
from fileroom.catalog.query import Search, SearchRow
from fileroom.http.task_note import TaskNote
from fileroom.ingest.completeness import StudyView
from fileroom.pixels.presentation import Presentation
from fileroom.pixels.view import View
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

    async def presentation(self, frame: int) -> Presentation | None:
        """How a frame is to be shown; frames count from 0."""
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
    def dataset_offset(self) -> int: ...
    @property
    def data_set_sha256(self) -> bytes: ...
    @property
    def availability(self) -> str: ...

    async def dicom_json(self) -> bytes: ...

    def data_set(self) -> DataSet: ...

    async def frames(self) -> Frames: ...


class MadeFrames(Frames, Protocol):
    """Frames that are made one by one. What `ranges` count are the frames as pixels."""

    async def frame(self, frame: int) -> bytes:
        """One frame; frames count from 0. Raises InstanceError where it cannot be made."""
        ...


class Transcoder(Protocol):
    """Gives instances and frames in another transfer syntax than the stored one."""

    async def file(
        self, instance: StoredInstance, transfer_syntax_uid: str
    ) -> AsyncIterator[Buffer]:
        """The Part 10 file in pieces. Raises InstanceError, before the first one, where it cannot
        be made."""
        ...

    async def frames(self, instance: StoredInstance, transfer_syntax_uid: str) -> MadeFrames:
        """The frames. Raises InstanceError where none can be made."""
        ...


class Renderer(Protocol):
    """Makes pictures of frames. See `retrieve.render` for what it refuses."""

    async def frame_count(self, instance: StoredInstance) -> int: ...

    async def render(self, instance: StoredInstance, frame: int, view: View) -> bytes:
        """One frame as a file of the view's media type; frames count from 0."""
        ...


class Thumbnails(Protocol):
    """Makes small pictures, and keeps some of them in memory."""

    async def of_frame(self, instance: StoredInstance, frame: int | None, view: View) -> bytes:
        """A picture of one frame; None: of one that stands for the instance."""
        ...

    async def of(self, instances: Sequence[StoredInstance], view: View) -> bytes:
        """A picture of one of them that stands for all."""
        ...


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
        head: bytes = b"",
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


class Completeness(Protocol):
    """Whether all of a study has come."""

    def of(self, study_instance_uid: str) -> StudyView | None:
        """How much of it has; None: there is no such study. Waits for the catalog."""
        ...


class RefusedInstance(Protocol):
    """One instance that a destination refused for good.

    Attributes:
        sop_instance_uid: empty where its pack cannot be read now.
    """

    @property
    def destination(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def reason(self) -> str: ...


class Forwards(Protocol):
    """What is forwarded to other archives. Raises UnknownDestinationError where nothing is, to a
    destination of that name."""

    async def studies(
        self, destination: str, study_instance_uid: str, *, limit: int
    ) -> Sequence[StudyForward]:
        """Studies that are not all forwarded; or those that are too, if one is named."""
        ...

    async def refused(self, study_instance_uid: str) -> Sequence[RefusedInstance]:
        """Instances of a study that destinations refused for good."""
        ...

    async def retry(
        self, destination: str, study_instance_uid: str, *, everything: bool, by: Principal
    ) -> int:
        """Try a destination now, with what it refused or with all of one study; how many instances
        that is."""
        ...

    async def pause(self, destination: str, paused: bool, *, by: Principal) -> None:
        """Let a destination get nothing, or go on."""
        ...


class ReadRecord(Protocol):
    """The access event that covers a read (invariant 11)."""

    def count(self, *, instances: int = 0, frames: int = 0, bytes: int = 0) -> None: ...


class Coverage(Protocol):
    """Makes a read of a study known before its first byte leaves."""

    async def covers(
        self, principal: Principal, study_instance_uid: str, *, purpose: str, channel: str
    ) -> ReadRecord: ...

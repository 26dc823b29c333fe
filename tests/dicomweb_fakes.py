"""An archive in memory behind the web door, and a client that calls the door without a network.

The fakes keep the contract of the real rooms and assert that the door keeps its part: nothing is
read before the read is recorded, every reception ends, no byte is written behind the end.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from struct import unpack_from
from types import SimpleNamespace
from typing import Any

import msgspec
from pydicom import dcmread
from pydicom.dataset import Dataset

from fileroom.access.decide import decide
from fileroom.catalog.query import Position
from fileroom.decisions.conflicts import ConflictDesk
from fileroom.decisions.rejections import RejectionDesk
from fileroom.dicom import uid
from fileroom.dicom.instance_error import IdentityError, InstanceError, TransferSyntaxError
from fileroom.dicom.part10 import Part10Splitter, write_header
from fileroom.errors import FileroomError
from fileroom.http.app import WebApp
from fileroom.http.ports import Peers, Tasks
from fileroom.http.request import Limits, Service
from fileroom.ingest.receive import MismatchError
from fileroom.node.resources import RESOURCES
from fileroom.retrieve.opened import NoFramesError, OpenedDataSet, OpenedDataSets
from fileroom.retrieve.render import Renderer
from fileroom.retrieve.thumbnails import Thumbnails
from fileroom.retrieve.transcode import Transcoder
from fileroom.spool.failure import SpaceError

PARTITION = "main"
KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}
ITEM, DELIMITER = 0xE000FFFE, 0xE0DDFFFE


class MemoryInstance:
    """One instance: what `retrieve.archive.StoredInstance` is, from bytes in memory."""

    availability = "ONLINE"

    def __init__(self, archive: "MemoryArchive", part10: bytes) -> None:
        self._archive = archive
        self.part10 = part10
        data_set = dcmread(BytesIO(part10), force=True)
        self.sop_class_uid = str(data_set.SOPClassUID)
        self.sop_instance_uid = str(data_set.SOPInstanceUID)
        self.study_instance_uid = str(data_set.StudyInstanceUID)
        self.series_instance_uid = str(data_set.SeriesInstanceUID)
        self.transfer_syntax_uid = str(data_set.file_meta.TransferSyntaxUID)
        self.size_bytes = len(part10)
        self.dataset_offset = len(part10) - len(data_set_of(part10))
        self.data_set_sha256 = sha256(data_set_of(part10)).digest()
        self.attributes = {
            element.keyword: str(element.value)
            for element in data_set
            if element.keyword and element.VR not in ("SQ", "OB", "OW", "UN")
        }

    async def dicom_json(self) -> bytes:
        return json_of(dcmread(BytesIO(self.part10)))

    def named(self, sop_instance_uid: str) -> "MemoryInstance":
        """The same bytes under another UID, also held by the archive."""
        other = copy(self)
        other.sop_instance_uid = sop_instance_uid
        self._archive.instances[sop_instance_uid] = other
        return other

    async def read(self, start: int, end: int) -> bytes:
        assert self._archive.coverage.covered(self.study_instance_uid), "read without a record"
        assert 0 <= start < end <= self.size_bytes
        if self._archive.read_error is not None:
            raise self._archive.read_error
        self._archive.reads += 1
        return self.part10[start:end]

    def data_set(self) -> OpenedDataSet:
        offset = self.dataset_offset

        async def stored(start: int, end: int) -> bytes:
            return await self.read(offset + start, offset + end)

        return OpenedDataSets().open(
            self.sop_instance_uid,
            stored,
            size_bytes=self.size_bytes - offset,
            transfer_syntax_uid=self.transfer_syntax_uid,
        )

    async def frames(self) -> "MemoryFrames":
        return MemoryFrames(self)


class MemoryFrames:
    """Where the frames lie, found by walking the items in the simplest way."""

    def __init__(self, instance: MemoryInstance) -> None:
        self.read = instance.read
        part10 = instance.part10
        data_set = dcmread(BytesIO(part10))
        if "PixelData" not in data_set:
            raise NoFramesError("there is no pixel data")
        start = data_set["PixelData"].file_tell
        assert start is not None
        self.count = int(data_set.get("NumberOfFrames", 1))
        if not data_set.file_meta.TransferSyntaxUID.is_encapsulated:
            size = len(data_set.PixelData) // self.count
            self._ranges = [[(start + n * size, start + (n + 1) * size)] for n in range(self.count)]
            return
        fragments = []
        position = start
        while (header := unpack_from("<II", part10, position))[0] == ITEM:
            fragments.append((position + 8, position + 8 + header[1]))
            position = fragments[-1][1]
        fragments = fragments[1:]  # the first item is the offset table
        one_each = len(fragments) == self.count
        self._ranges = [[each] for each in fragments] if one_each else [fragments]

    async def ranges(self, frame: int) -> Sequence[tuple[int, int]]:
        return self._ranges[frame]


def json_of(data_set: Dataset) -> bytes:
    """DICOM JSON of a data set by pydicom, with placeholders for bulk data."""
    found = data_set.to_json_dict(
        bulk_data_threshold=1024,
        bulk_data_element_handler=lambda element: f"bulkdata/{int(element.tag):08X}",
        suppress_invalid_tags=True,
    )
    if "7FE00010" in found:
        found["7FE00010"] = {
            "vr": found["7FE00010"]["vr"],
            "BulkDataURI": "bulkdata/7FE00010",
        }
    return json.dumps(found, separators=(",", ":")).encode()


class MemoryArchive:
    """What `retrieve.archive.Archive` is."""

    def __init__(self, coverage: "MemoryCoverage") -> None:
        self.coverage = coverage
        self.instances: dict[str, MemoryInstance] = {}
        self.reads = 0
        self.searches: list[Any] = []
        self.read_error: FileroomError | None = None

    def add(self, part10: bytes) -> MemoryInstance:
        instance = MemoryInstance(self, part10)
        self.instances.setdefault(instance.sop_instance_uid, instance)
        return instance

    async def holdings(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[MemoryInstance]:
        return [
            each
            for each in self.instances.values()
            if each.study_instance_uid == study_uid
            and series_uid in (None, each.series_instance_uid)
            and sop_uid in (None, each.sop_instance_uid)
        ]

    async def search(self, search: Any) -> list[Any]:
        self.searches.append(search)
        rows = [row for row, _ in self._matches(search, KEYS[search.level])]
        return rows[search.offset : search.offset + search.limit]

    async def count(self, search: Any) -> int:
        return len(self._matches(search, KEYS[search.level]))

    async def instance_matches(self, search: Any) -> AsyncIterator[tuple[Any, MemoryInstance]]:
        self.searches.append(search)
        for row, members in self._matches(search, "SOPInstanceUID"):
            yield row, members[0]

    def _matches(self, search: Any, key: str) -> list[tuple[Any, list[MemoryInstance]]]:
        assert search.partition == PARTITION
        groups: dict[str, list[MemoryInstance]] = {}
        for each in self.instances.values():
            if search.study_instance_uid in (None, each.study_instance_uid):
                groups.setdefault(each.attributes[key], []).append(each)
        series = list(dict.fromkeys(each.series_instance_uid for each in self.instances.values()))
        matches = []
        for number, members in enumerate(groups.values(), 1):
            row = self._row(members, key)
            row.position = Position("", number, 0)
            if key != "StudyInstanceUID":
                row.position = Position("", 1, series.index(members[0].series_instance_uid) + 1)
            if search.after is not None and row.position <= search.after:
                continue
            if all(
                condition.matches(row.attributes.get(condition.keyword))
                for condition in search.conditions
            ):
                matches.append((row, members))
        return matches

    def _row(self, members: list[MemoryInstance], key: str) -> SimpleNamespace:
        attributes = dict(members[0].attributes)
        modalities = {each.attributes.get("Modality", "") for each in members}
        series = {each.series_instance_uid for each in members}
        attributes["ModalitiesInStudy"] = "\\".join(sorted(modalities - {""}))
        attributes["NumberOfStudyRelatedSeries"] = str(len(series))
        attributes["NumberOfStudyRelatedInstances"] = str(len(members))
        attributes["NumberOfSeriesRelatedInstances"] = str(len(members))
        attributes["InstanceAvailability"] = "ONLINE"
        return SimpleNamespace(attributes={k: v for k, v in attributes.items() if v})


class MemoryCoverage:
    """What `audit.coverage.Coverage` is."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, str]] = []
        self.instances = self.frames = self.bytes = 0
        self.error: FileroomError | None = None

    async def covers(
        self, principal: Any, study_instance_uid: str, *, purpose: str, channel: str
    ) -> "MemoryCoverage":
        if self.error is not None:
            raise self.error
        self.asked.append((principal.address, study_instance_uid, purpose, channel))
        return self

    def covered(self, study_instance_uid: str) -> bool:
        return any(study == study_instance_uid for _, study, _, _ in self.asked)

    def count(self, *, instances: int = 0, frames: int = 0, bytes: int = 0) -> None:
        self.instances += instances
        self.frames += frames
        self.bytes += bytes


@dataclass
class MemoryReceiver:
    """What `ingest.receive.Receiver` is. `open` must be 0 when a request is over.

    `space`: how many instances still fit; `error` is raised by finish if given.
    """

    archive: MemoryArchive
    open: int = 0
    space: int = 1_000_000
    error: FileroomError | None = None
    origins: list[Any] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # for reasons of the door's own
    closed: int = 0
    waits: int = 0
    full_every: int = 0
    room_bytes: int | None = None  # above the reserve; None: plenty
    busy: FileroomError | None = None  # why nothing is taken just now
    asides: list["MemoryAside"] = field(default_factory=list)

    def conversation(self, origin: Any) -> "MemoryConversation":
        self.origins.append(origin)
        return MemoryConversation(self)


class MemoryAside:
    """What `spool.aside.Aside` is."""

    def __init__(self, receiver: MemoryReceiver) -> None:
        self._receiver = receiver
        self._data = bytearray()
        self.is_open = True
        receiver.asides.append(self)

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def append(self, data: bytes | memoryview) -> None:
        assert self.is_open
        room_bytes = self._receiver.room_bytes
        if room_bytes is not None and len(self._data) + len(data) > room_bytes:
            raise SpaceError("the disk is full")
        self._data += data

    def read(self, start: int, end: int) -> Iterator[bytes]:
        assert self.is_open
        assert 0 <= start <= end <= len(self._data)
        for at in range(start, end, 1000):
            yield bytes(self._data[at : min(end, at + 1000)])

    def close(self) -> None:
        self.is_open = False


@dataclass
class MemoryConversation:
    receiver: MemoryReceiver

    def refuse_without_room(self, size_bytes: int) -> None:
        if self.receiver.busy is not None:
            raise self.receiver.busy
        room_bytes = self.receiver.room_bytes
        if room_bytes is not None and size_bytes > room_bytes:
            raise SpaceError(f"{size_bytes} B wanted, {room_bytes} B free above the reserve")

    def aside(self) -> MemoryAside:
        return MemoryAside(self.receiver)

    def begin(
        self,
        *,
        sop_class_uid: str | None,
        sop_instance_uid: str | None,
        transfer_syntax_uid: str,
        head: bytes = b"",
    ) -> "MemoryReception":
        assert not head or head[128:132] == b"DICM"
        if self.receiver.space <= 0:
            raise SpaceError("the disk is full")
        self.receiver.space -= 1
        return MemoryReception(self.receiver, sop_class_uid, sop_instance_uid, transfer_syntax_uid)

    def refused(self, reason: str) -> None:
        self.receiver.refused.append(reason)

    async def close(self) -> None:
        assert self.receiver.open == 0, "a reception was left open"
        self.receiver.closed += 1


class MemoryReception:
    def __init__(
        self,
        receiver: MemoryReceiver,
        sop_class_uid: str | None,
        sop_instance_uid: str | None,
        transfer_syntax_uid: str,
    ) -> None:
        self._receiver = receiver
        self._announced = (sop_class_uid, sop_instance_uid)
        self._syntax = transfer_syntax_uid
        self._data = bytearray()
        self._writes = 0
        self._ended = False
        receiver.open += 1

    @property
    def full(self) -> bool:
        every = self._receiver.full_every
        return bool(every) and self._writes % every == 0

    async def ready(self) -> None:
        assert self.full
        self._receiver.waits += 1
        self._writes += 1

    def write(self, data: bytes | memoryview) -> None:
        assert not self._ended, "written behind the end"
        self._writes += 1
        self._data += data

    async def finish(self) -> MemoryInstance:
        assert not self._ended, "finished twice"
        try:
            if self._receiver.error is not None:
                raise self._receiver.error
            return self._received()
        finally:
            self.abandon()

    def _received(self) -> MemoryInstance:
        if not uid.is_safe(self._syntax):
            raise TransferSyntaxError("a transfer syntax is no UID")
        try:
            head = write_header("1.2", "1.2", self._syntax, source_ae_title=None)
            read = dcmread(BytesIO(head + self._data), specific_tags=["SOPInstanceUID"])
            data_set = dcmread(BytesIO(head + self._data))
            names = [
                str(data_set.get(keyword, ""))
                for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")
            ]
        except Exception as error:
            raise InstanceError(f"cannot be read ({type(error).__name__})") from None
        assert read is not None
        if not all(uid.is_safe(each) for each in names):
            raise IdentityError("a UID is none")
        for said, found in zip(self._announced, names, strict=False):
            if said is not None and said != found:
                raise MismatchError("another instance than announced")
        head = write_header(names[0], names[1], self._syntax, source_ae_title=None)
        return self._receiver.archive.add(head + bytes(self._data))

    def abandon(self) -> None:
        if not self._ended:
            self._ended = True
            self._receiver.open -= 1


def data_set_of(part10: bytes) -> bytes:
    """The bytes behind the file meta group."""
    splitter = Part10Splitter()
    start = splitter.feed(part10) or splitter.finish()
    return part10[start.dataset_offset :]


@dataclass
class World:
    """A door with an archive in memory behind it."""

    app: WebApp
    archive: MemoryArchive
    receiver: MemoryReceiver
    coverage: MemoryCoverage


def world(
    *,
    limits: Limits | None = None,
    tasks: Tasks | None = None,
    peers: Peers | None = None,
    conflicts: ConflictDesk | None = None,
    rejections: RejectionDesk | None = None,
    viewer_directory: Path | None = None,
    **options: Any,
) -> World:
    coverage = MemoryCoverage()
    archive = MemoryArchive(coverage)
    receiver = MemoryReceiver(archive)
    renderer = Renderer()
    service = Service(
        archive=archive,
        receiver=receiver,
        coverage=coverage,
        transcoder=Transcoder(),
        renderer=renderer,
        thumbnails=Thumbnails(renderer),
        partition=PARTITION,
        limits=limits or Limits(),
        tasks=tasks,
        peers=peers,
        conflicts=conflicts,
        rejections=rejections,
        viewer_directory=viewer_directory,
    )
    app = WebApp(lambda: service, decide, RESOURCES, **options)
    return World(app, archive, receiver, coverage)


@dataclass
class Reply:
    """What came back, and in how many pieces."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    sends: int
    ended: bool

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def call(
    app: WebApp,
    method: str,
    target: str,
    *,
    headers: dict[str, str] | None = None,
    body: Sequence[bytes] | None = None,
    hang_up: bool = False,
    client: tuple[str, int] | None = ("127.0.0.1", 40000),
    server: tuple[str, int] = ("127.0.0.1", 8642),
) -> Reply:
    """Call the door as a server would.

    Args:
        body: the chunks in which the body arrives.
        hang_up: the caller goes away behind them, instead of ending the body.
    """
    path, _, query = target.partition("?")
    fields = {"host": "127.0.0.1:8642", **(headers or {})}
    chunks = list(body or [])
    messages: list[dict[str, Any]] = [
        {
            "type": "http.request",
            "body": chunk,
            "more_body": hang_up or number < len(chunks) - 1,
        }
        for number, chunk in enumerate(chunks)
    ]
    if not messages and not hang_up:
        messages = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        if not hang_up:  # the caller stays for the answer
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        await asyncio.sleep(0)  # a server lets others run here too

    await app(
        {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in fields.items()],
            "client": client,
            "server": server,
            "scheme": "http",
        },
        receive,
        send,
    )
    if not sent:
        return Reply(0, [], b"", 0, False)
    return Reply(
        sent[0]["status"],
        [(k.decode(), v.decode()) for k, v in sent[0]["headers"]],
        b"".join(bytes(each["body"]) for each in sent[1:]),
        len(sent) - 1,
        not sent[-1].get("more_body", False),
    )

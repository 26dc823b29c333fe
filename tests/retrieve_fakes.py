"""An archive in memory for tests of C-GET and C-MOVE; it asserts the contract of the real one."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from pydicom import dcmread

from fileroom.catalog.query import Level, Search, SearchRow
from fileroom.clock import Clock, SystemClock
from fileroom.dicom.part10 import Part10Splitter
from fileroom.dimse.dispatch import Dispatch
from fileroom.dimse.provision import Provision
from fileroom.errors import FileroomError
from fileroom.peer.delivery import Destination
from fileroom.retrieve.transcode import Transcoder

PARTITION = "main"
PORTION = 4


@dataclass
class HeldInstance:
    """One instance from the bytes of its file.

    Attributes:
        error: what reading it raises, from byte `fails_from` on.
        read_bytes: so many have been read.
    """

    file: bytes
    error: FileroomError | None = None
    fails_from: int = 0
    read_bytes: int = 0
    before_read: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        splitter = Part10Splitter()
        start = splitter.feed(self.file) or splitter.finish()
        self.dataset_offset = start.dataset_offset
        self.transfer_syntax_uid = start.transfer_syntax_uid
        told = dcmread(BytesIO(self.file), stop_before_pixels=True, force=True)
        self.sop_class_uid = str(told.SOPClassUID)
        self.sop_instance_uid = str(told.SOPInstanceUID)
        self.series_instance_uid = str(told.SeriesInstanceUID)
        self.study_instance_uid = str(told.StudyInstanceUID)
        self.patient_id = str(told.PatientID or "")
        self.size_bytes = len(self.file)
        self.availability = "ONLINE"

    @property
    def data_set(self) -> bytes:
        return self.file[self.dataset_offset :]

    async def read(self, start: int, end: int) -> bytes:
        assert 0 <= start <= end <= self.size_bytes
        if self.before_read is not None:
            self.before_read()
        if self.error is not None and end > self.fails_from:
            raise self.error
        self.read_bytes += end - start
        return self.file[start:end]


@dataclass
class MemoryArchive:
    """Holds what it is given.

    Attributes:
        away: series whose pack is out of reach, and the error that says so.
        incomplete: raised where nothing is found, as while the catalog does not know of all.
    """

    instances: list[HeldInstance] = field(default_factory=list)
    away: dict[str, FileroomError] = field(default_factory=dict)
    incomplete: FileroomError | None = None
    error: FileroomError | None = None

    async def holdings(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[HeldInstance]:
        if series_uid in self.away:
            raise self.away[series_uid]
        return [
            each
            for each in self.instances
            if each.study_instance_uid == study_uid
            and series_uid in (None, each.series_instance_uid)
            and sop_uid in (None, each.sop_instance_uid)
        ]

    async def portions(self, study_uid: str, series_uid: str) -> AsyncIterator[Any]:
        held = [each for each in self.instances if each.series_instance_uid == series_uid]
        if series_uid in self.away:
            why = self.away[series_uid]
            yield SimpleNamespace(instances=(), missing=len(held), why=why)
            return
        for start in range(0, len(held), PORTION):
            some = held[start : start + PORTION]
            assert all(each.study_instance_uid == study_uid for each in some)
            yield SimpleNamespace(instances=some, missing=0, why=None)

    async def assert_complete(self) -> None:
        if self.incomplete is not None:
            raise self.incomplete

    async def search(self, search: Search) -> list[SearchRow]:
        return [row async for row in self.matches(search)][: search.limit]

    async def matches(self, search: Search) -> AsyncIterator[SearchRow]:
        assert search.partition == PARTITION
        if self.error is not None:
            raise self.error
        found: dict[tuple[str, ...], int] = {}
        for each in self.instances:
            told = {
                "PatientID": each.patient_id,
                "StudyInstanceUID": each.study_instance_uid,
                "SeriesInstanceUID": each.series_instance_uid,
            }
            if all(condition.matches(told[condition.keyword]) for condition in search.conditions):
                row = tuple(told.values())[: 1 if search.level is Level.PATIENT else 3]
                found[row] = found.get(row, 0) + 1
        for row, count in found.items():
            keywords = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")
            told = dict(zip(keywords, row, strict=False))
            yield SearchRow({**told, "NumberOfSeriesRelatedInstances": str(count)})


@dataclass
class Records:
    """What `audit.coverage.Coverage` is, and its records too.

    Attributes:
        opened: (study, channel, destination) of each.
    """

    opened: list[tuple[str, str, str]] = field(default_factory=list)
    instances: int = 0
    bytes: int = 0
    error: FileroomError | None = None

    async def covers(
        self,
        principal: Any,
        study_instance_uid: str,
        *,
        purpose: str,
        channel: str,
        destination: str = "",
    ) -> "Records":
        if self.error is not None:
            raise self.error
        assert purpose == "retrieve"
        self.opened.append((study_instance_uid, channel, destination))
        return self

    def count(self, *, instances: int = 0, frames: int = 0, bytes: int = 0) -> None:
        assert self.opened, "counted before it was on record"
        self.instances += instances
        self.bytes += bytes


def provision_of(
    archive: MemoryArchive,
    records: Records,
    *destinations: Destination,
    clock: Clock | None = None,
) -> Provision:
    """What the door works with."""
    known = {each.ae_title: each for each in destinations}
    return Provision(
        archive=archive,
        coverage=records,
        commitment=None,
        dispatch=Dispatch(
            transcoder=Transcoder(), destination=known.get, clock=clock or SystemClock()
        ),
        partition=PARTITION,
        ae_title="FILEROOM",
    )

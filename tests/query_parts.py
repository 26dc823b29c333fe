"""A library of pydicom's data sets behind the real catalog, and queries put to it by C-FIND."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import tzinfo
from io import BytesIO
from typing import Any, cast

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from fileroom.access import identity
from fileroom.catalog.rows import NewSpooled
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.dicom.header import HeaderScanner
from fileroom.dicom.json_model import instance_json
from fileroom.dimse import query_scp
from fileroom.dimse.operation import Answer, GoneError, Refused
from fileroom.dimse.provision import Provision
from fileroom.dimse.query_scp import Find
from fileroom.retrieve.archive import Archive
from fileroom.wire.message import Command, CommandField
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.sop_class import STUDY_ROOT_FIND

EXPLICIT = "1.2.840.10008.1.2.1"
PARTITION = "main"
AE_TITLE = "ARCHIVE"
READER = identity.of_address("127.0.0.1", ae_title="READER")


def written(data_set: Dataset, syntax: str = EXPLICIT) -> bytes:
    """A data set by pydicom."""
    uid = UID(syntax)
    output = DicomBytesIO()
    output.is_little_endian, output.is_implicit_VR = uid.is_little_endian, uid.is_implicit_VR
    write_dataset(output, data_set)
    return output.getvalue()


def read(data: bytes, syntax: str = EXPLICIT) -> Dataset:
    """A data set by pydicom, its text decoded."""
    uid = UID(syntax)
    found = read_dataset(BytesIO(data), uid.is_implicit_VR, uid.is_little_endian)
    found.decode()
    return found


class Held:
    """One instance, as the archive gives it."""

    availability = "ONLINE"
    transfer_syntax_uid = EXPLICIT

    def __init__(self, data_set: Dataset) -> None:
        self._data = written(data_set)
        scanner = HeaderScanner(EXPLICIT)
        scanner.feed(self._data)
        self.header = scanner.finish()
        self.attributes = self.header.attributes
        self.sop_class_uid = self.header.sop_class_uid
        self.sop_instance_uid = self.header.sop_instance_uid
        self.series_instance_uid = self.header.series_instance_uid
        self.study_instance_uid = self.header.study_instance_uid

    async def dicom_json(self) -> bytes:
        return instance_json(self._data, EXPLICIT)


class Library(Archive):
    """The real searches over the real catalog; instances lie in memory.

    Attributes:
        gate: while set and not done, a search waits for it, as for a busy thread.
    """

    def __init__(self, catalog: SqliteCatalog, data_sets: Iterable[Dataset]) -> None:
        stub = cast(Any, self)
        super().__init__(
            catalog=catalog, intake=stub, packs=stub, spool=stub, complete=lambda: True
        )
        self.held = [Held(each) for each in data_sets]
        self.gate: asyncio.Future[None] | None = None
        self.searches: list[Any] = []
        catalog.record_spooled(
            [
                NewSpooled(
                    segment=1,
                    offset=number,
                    partition=PARTITION,
                    header=each.header,
                    size_bytes=1,
                    sha256=hashlib.sha256(each.sop_instance_uid.encode()).digest(),
                    received_at_ns=number,
                )
                for number, each in enumerate(self.held)
            ],
            node_id="node",
        )

    async def settled(self) -> None: ...

    async def search(self, search):
        self.searches.append(search)
        if self.gate is not None:
            await asyncio.shield(self.gate)
        return self._catalog.search(search)

    async def holdings(self, study_uid, series_uid=None, sop_uid=None):
        return [
            each
            for each in self.held
            if each.study_instance_uid == study_uid
            and series_uid in (None, each.series_instance_uid)
            and sop_uid in (None, each.sop_instance_uid)
        ]

    async def _find(self, sop_uid):
        return next((each for each in self.held if each.sop_instance_uid == sop_uid), None)


@dataclass
class Coverage:
    """Notes what is covered, and how many answers had left by then."""

    covered: list[tuple[str, str, str]] = field(default_factory=list)
    size_bytes: int = 0

    async def covers(self, principal, study_instance_uid, *, purpose, channel):
        assert principal == READER
        self.covered.append((study_instance_uid, purpose, channel))
        return self

    def count(self, *, instances=0, frames=0, bytes=0):
        self.size_bytes += bytes


@dataclass
class Asker:
    """The association's end that answers go to.

    Attributes:
        on_answer: called after each answer that is not the last.
    """

    syntax: str = EXPLICIT
    is_open: bool = True
    answers: list[tuple[int, Dataset]] = field(default_factory=list)
    on_answer: Callable[[], None] = lambda: None
    name = "asker"
    contexts: Any = None

    async def respond(self, request: Command, answer: Answer) -> None:
        if not self.is_open:
            raise GoneError("the association has ended")
        assert answer.data_set is not None
        self.answers.append((answer.status, read(answer.data_set, self.syntax)))
        self.on_answer()

    async def ask(self, context_id, elements, data_set=None):
        raise AssertionError("C-FIND asks nothing")


@dataclass
class Found:
    """What came of one query."""

    last: Answer
    statuses: list[int]
    data_sets: list[Dataset]
    coverage: Coverage

    def values(self, keyword: str) -> list[str]:
        return [str(each.get(keyword)) for each in self.data_sets]


def provision_of(
    library: Library, *, coverage: Coverage, timezone: tzinfo | None = None
) -> Provision:
    """What a C-FIND takes of a provision."""
    return Provision(
        archive=cast(Any, library),
        coverage=cast(Any, coverage),
        commitment=cast(Any, None),
        dispatch=cast(Any, None),
        partition=PARTITION,
        ae_title=AE_TITLE,
        timezone=timezone,
    )


def operation(
    asked: bytes,
    provision: Callable[[], Provision],
    *,
    root: str = STUDY_ROOT_FIND,
    extended: bytes = b"",
    syntax: str = EXPLICIT,
) -> Find:
    """A C-FIND whose identifier has arrived."""
    elements = {
        "AffectedSOPClassUID": root,
        "CommandField": int(CommandField.C_FIND_RQ),
        "MessageID": 1,
        "CommandDataSetType": 1,
    }
    context = AcceptedContext(1, root, syntax, extended)
    begun = query_scp.begin(Command(1, elements), context, provision, READER)
    assert not isinstance(begun, Refused)
    begun.write(memoryview(asked))
    return begun


async def find(
    library: Library,
    asked: Dataset | bytes,
    *,
    asker: Asker | None = None,
    timezone: tzinfo | None = None,
    syntax: str = EXPLICIT,
    **options: Any,
) -> Found:
    """Put one query."""
    coverage = Coverage()
    provision = provision_of(library, coverage=coverage, timezone=timezone)
    data = asked if isinstance(asked, bytes) else written(asked, syntax)
    asker = asker or Asker(syntax)
    last = await operation(data, lambda: provision, syntax=syntax, **options).perform(asker)
    statuses = [status for status, _ in asker.answers]
    return Found(last, statuses, [each for _, each in asker.answers], coverage)

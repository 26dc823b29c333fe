"""What the services that read the archive work with, as the node provides it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Protocol

from fileroom.access.identity import Principal
from fileroom.catalog.query import Search, SearchRow
from fileroom.dimse.commitment_scp import CommitmentDesk
from fileroom.dimse.dispatch import Dispatch
from fileroom.errors import FileroomError


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
    def dataset_offset(self) -> int: ...
    @property
    def availability(self) -> str: ...

    async def dicom_json(self) -> bytes:
        """The DICOM JSON object of the data set, bulk data left out."""
        ...

    async def read(self, start: int, end: int) -> bytes: ...


class Portion(Protocol):
    """Some of the instances of a series, and how many are missing for lack of a copy in reach."""

    @property
    def instances(self) -> Sequence[StoredInstance]: ...
    @property
    def missing(self) -> int: ...
    @property
    def why(self) -> FileroomError | None: ...


class Archive(Protocol):
    """The way out: what is held, and its bytes."""

    async def holdings(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> Sequence[StoredInstance]: ...

    def portions(self, study_uid: str, series_uid: str) -> AsyncIterator[Portion]:
        """The instances of a series, some of them in memory at a time."""
        ...

    async def assert_complete(self) -> None:
        """Raise UnavailableError unless the catalog knows all there is."""
        ...

    async def search(self, search: Search) -> Sequence[SearchRow]: ...

    def matches(self, search: Search) -> AsyncIterator[SearchRow]:
        """All that matches; `limit` and `offset` do not count."""
        ...

    def instance_matches(self, search: Search) -> AsyncIterator[tuple[SearchRow, StoredInstance]]:
        """All instances that match, of the series that match at SERIES level."""
        ...


class ReadRecord(Protocol):
    """The access event that covers a read (invariant 11)."""

    def count(self, *, instances: int = 0, frames: int = 0, bytes: int = 0) -> None: ...


class Coverage(Protocol):
    """Makes a read of a study known before its first byte leaves."""

    async def covers(
        self,
        principal: Principal,
        study_instance_uid: str,
        *,
        purpose: str,
        channel: str,
        destination: str = "",
    ) -> ReadRecord: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What a node lets this door read, and ask.

    Attributes:
        commitment: where storage commitment is asked for.
        dispatch: what instances are sent with.
        partition: where searches look.
        ae_title: whom instances can be retrieved from.
        timezone: what data sets that state no offset from UTC are taken to be in; None: unknown.
    """

    archive: Archive
    coverage: Coverage
    commitment: CommitmentDesk
    dispatch: Dispatch
    partition: str
    ae_title: str
    timezone: tzinfo | None = None

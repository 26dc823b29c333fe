"""What each spooled record is: new, the same instance again, or a conflict (invariant 8)."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import InstancePlace, SpooledRow
from fileroom.dicom.same import same_elements
from fileroom.errors import IntegrityError
from fileroom.spool.failure import SegmentGoneError
from fileroom.spool.reader import SpoolReader
from fileroom.spool.record import Place

COMPARED_BYTES_MAX = 64 << 20


class DataSet(NamedTuple):
    """A data set that is held somewhere; without its bytes where they are too many to compare."""

    transfer_syntax_uid: str
    data: bytes | None


class Packed(Protocol):
    """Reads what packs hold, wherever they lie."""

    async def sha256(self, place: InstancePlace) -> bytes:
        """SHA-256 of the data set as it came. Raises TransientError while it is out of reach."""
        ...

    async def data_set(
        self, place: InstancePlace, *, size_bytes_max: int
    ) -> tuple[str, bytes | None]:
        """Transfer Syntax UID and bytes, None where they are more than `size_bytes_max`."""
        ...


class Sorted(msgspec.Struct, frozen=True):
    """Spooled rows by what shall happen to them.

    Attributes:
        kept: go into the pack: new ones and conflicts.
        conflicts: ids of those of `kept` that shall not be served.
        duplicates: ids of rows whose instance is stored already.
        unreadable: records that do not open any more, or are not what the row says.
    """

    kept: list[SpooledRow]
    conflicts: frozenset[int]
    duplicates: list[int]
    unreadable: list[SpooledRow]


class Sorter:
    """Decides about spooled rows, the oldest first."""

    def __init__(self, *, catalog: Catalog, spool: SpoolReader, packed: Packed) -> None:
        self._catalog = catalog
        self._spool = spool
        self._packed = packed
        self._distrusted: set[int] = set()

    def distrust(self, rows: Sequence[SpooledRow]) -> None:
        """Read these records whole before they are given to a pack again."""
        self._distrusted.update(row.id for row in rows)

    async def sort(self, rows: Sequence[SpooledRow]) -> Sorted:
        """Sort rows of one series.

        Raises:
            TransientError: what one must be compared with is out of reach just now.
        """
        digests = {row.uid_digest for row in rows}
        existing = await asyncio.to_thread(self._catalog.existing, digests)
        conflicting = await asyncio.to_thread(self._catalog.conflicting, existing)
        sorted_ = Sorted(kept=[], conflicts=frozenset(), duplicates=[], unreadable=[])
        conflicts: set[int] = set()
        first: dict[bytes, list[SpooledRow]] = {}
        for row in rows:
            if row.id in self._distrusted and not await asyncio.to_thread(self._opens, row):
                sorted_.unreadable.append(row)
                continue
            packed = [*conflicting.get(row.uid_digest, ())]
            if row.uid_digest in existing:
                packed.insert(0, existing[row.uid_digest])
            spooled = first.setdefault(row.uid_digest, [])
            if await self._held(row, packed, spooled):
                sorted_.duplicates.append(row.id)
                continue
            if packed or spooled:
                conflicts.add(row.id)
            spooled.append(row)
            sorted_.kept.append(row)
        self._distrusted.difference_update(row.id for row in rows)
        return msgspec.structs.replace(sorted_, conflicts=frozenset(conflicts))

    async def _held(
        self, row: SpooledRow, packed: Sequence[InstancePlace], spooled: Sequence[SpooledRow]
    ) -> bool:
        """Whether one of the data sets under the same UID is this one."""
        if any(other.sha256 == row.sha256 for other in spooled):
            return True
        for place in packed:
            if await self._packed_sha256(place) == row.sha256:
                return True
        if not packed and not spooled:
            return False
        ours = await asyncio.to_thread(self._spooled_data_set, row)
        for other in spooled:
            theirs = await asyncio.to_thread(self._spooled_data_set, other)
            if await asyncio.to_thread(_same, ours, theirs):
                return True
        for place in packed:
            theirs = await self._packed_data_set(place)
            if await asyncio.to_thread(_same, ours, theirs):
                return True
        return False

    async def _packed_sha256(self, place: InstancePlace) -> bytes | None:
        try:
            return await self._packed.sha256(place)
        except IntegrityError:
            return None  # what lies there is damaged, so that this one is worth keeping

    async def _packed_data_set(self, place: InstancePlace) -> DataSet:
        try:
            return DataSet(*await self._packed.data_set(place, size_bytes_max=COMPARED_BYTES_MAX))
        except IntegrityError:
            return DataSet("", None)

    def _spooled_data_set(self, row: SpooledRow) -> DataSet:
        opened = self._spool.open(Place(*row.place))
        small = row.size_bytes <= COMPARED_BYTES_MAX
        data = b"".join(opened.chunks()) if small else None
        return DataSet(opened.record.description.transfer_syntax_uid, data)

    def _opens(self, row: SpooledRow) -> bool:
        try:
            opened = self._spool.open(Place(*row.place))
            for _ in opened.chunks():
                pass
        except (IntegrityError, SegmentGoneError):
            return False
        return opened.record.sha256 == row.sha256


def _same(ours: DataSet, theirs: DataSet) -> bool:
    if ours.data is None or theirs.data is None:
        return False  # too large to compare: both are kept, which loses nothing
    return same_elements(
        ours.data, ours.transfer_syntax_uid, theirs.data, theirs.transfer_syntax_uid
    )

"""What each spooled record is (invariant 8): new, the same instance again, a conflict, or one that
is served from now on because what packs hold under its UID cannot be read any more."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import InstancePlace, Moved, SpooledRow, Standing
from fileroom.dicom.same import same_elements
from fileroom.errors import IntegrityError, TransientError
from fileroom.spool.failure import SegmentGoneError
from fileroom.spool.reader import SpoolReader
from fileroom.spool.record import Place

COMPARED_BYTES_MAX = 64 << 20


class DataSet(NamedTuple):
    """A data set that is held somewhere; without its bytes where they are too many to compare."""

    transfer_syntax_uid: str
    data: bytes | None


class Packed(Protocol):
    """Reads what packs hold, wherever they lie. All of it raises TransientError while that is out
    of reach, and IntegrityError where no copy gives it."""

    async def sha256(self, place: InstancePlace) -> bytes:
        """SHA-256 of the data set as it came, by the pack's own word."""
        ...

    async def data_set(
        self, place: InstancePlace, *, size_bytes_max: int
    ) -> tuple[str, bytes | None]:
        """Transfer Syntax UID and bytes, None where they are more than `size_bytes_max`."""
        ...

    async def check(self, place: InstancePlace) -> None:
        """Return if the data set can be read back."""
        ...


class Sorted(msgspec.Struct, frozen=True):
    """Spooled rows by what shall happen to them.

    Attributes:
        kept: go into the pack.
        conflicts: ids of those of `kept` that shall not be served.
        replacing: by the id of a row of `kept` that is served although packs hold data sets under
            its UID: how those stand from now on.
        duplicates: rows whose instance is stored already, or is another of `kept`.
        unreadable: records that do not open any more, or are not what the row says.
    """

    kept: list[SpooledRow]
    conflicts: set[int]
    replacing: dict[int, list[Moved]]
    duplicates: list[SpooledRow]
    unreadable: list[SpooledRow]


class _Known(msgspec.Struct, frozen=True):
    """What is known of one SOP Instance UID while a batch is sorted.

    Attributes:
        served: where the data set lies that is served from a pack, if one is.
        further: where others lie.
        spooled: those rows of the batch that are kept.
        sound: by place, whether it was found to be read back.
    """

    served: InstancePlace | None
    further: Sequence[InstancePlace]
    spooled: list[SpooledRow]
    sound: dict[InstancePlace, bool]

    @property
    def packed(self) -> list[InstancePlace]:
        return [*([] if self.served is None else [self.served]), *self.further]


class IncompleteError(TransientError):
    """The catalog does not know yet of all that is stored, and it has to for this."""


class Sorter:
    """Decides about spooled rows, the oldest first.

    Nothing is dropped on the word of a catalog alone: who sends a study again may do so because
    what is stored of it cannot be read.

    Args:
        complete: whether the catalog knows all there is. Until it does, nothing takes the place of
            what cannot be read or is not served: the whole one may lie where nobody can look.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        spool: SpoolReader,
        packed: Packed,
        complete: Callable[[], bool],
    ) -> None:
        self._catalog = catalog
        self._complete = complete
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
        known = await self._known({row.uid_digest for row in rows})
        found = Sorted(kept=[], conflicts=set(), replacing={}, duplicates=[], unreadable=[])
        for row in rows:
            if row.id in self._distrusted and not await asyncio.to_thread(self._opens, row):
                found.unreadable.append(row)
                continue
            of_uid = known[row.uid_digest]
            is_served = await self._is_served(of_uid)
            if is_served and await self._is_stored(row, of_uid):
                found.duplicates.append(row)
                continue
            if is_served:
                found.conflicts.add(row.id)
            elif of_uid.packed:
                if not await asyncio.to_thread(self._complete):
                    raise IncompleteError("what is served under a UID may lie out of reach")
                found.replacing[row.id] = await self._displaced(row, of_uid)
            of_uid.spooled.append(row)
            found.kept.append(row)
        self._distrusted.difference_update(row.id for row in rows)
        return found

    async def _known(self, uid_digests: set[bytes]) -> Mapping[bytes, _Known]:
        served = await asyncio.to_thread(self._catalog.existing, uid_digests)
        # Of those too that no instance row answers for: a pack that was full before its time can
        # hold a conflict whose first is still in the spool.
        further = await asyncio.to_thread(self._catalog.conflicting, uid_digests)
        return {
            each: _Known(served.get(each), further.get(each, ()), spooled=[], sound={})
            for each in uid_digests
        }

    async def _is_served(self, known: _Known) -> bool:
        """Whether somebody who asks for the UID gets a data set, or will once this batch is
        sealed. What nobody can read is no reason to drop another, nor what nobody is given."""
        if known.spooled:
            return True  # the build of the pack reads it
        return known.served is not None and await self._is_sound(known, known.served)

    async def _is_stored(self, row: SpooledRow, known: _Known) -> bool:
        """Whether one of the data sets under the same UID is this one."""
        if any(other.sha256 == row.sha256 for other in known.spooled):
            return True
        for place in known.packed:
            same = await self._packed_sha256(place) == row.sha256
            if same and await self._is_sound(known, place):
                return True
        ours = await asyncio.to_thread(self._spooled_data_set, row)
        for other in known.spooled:
            theirs = await asyncio.to_thread(self._spooled_data_set, other)
            if await asyncio.to_thread(_same, ours, theirs):
                return True
        for place in known.packed:
            theirs = await self._packed_data_set(place)  # which a cache alone may give
            same = await asyncio.to_thread(_same, ours, theirs)
            if same and await self._is_sound(known, place):
                return True
        return False

    async def _displaced(self, row: SpooledRow, known: _Known) -> list[Moved]:
        """How the data sets in packs stand once this one is served."""
        moved = []
        for place in known.packed:
            if await self._packed_sha256(place) == row.sha256:
                moved.append(Moved(row.uid_digest, place, Standing.REPEATED))
            elif place == known.served:
                moved.append(Moved(row.uid_digest, place, Standing.CONFLICT))
        return moved

    async def _is_sound(self, known: _Known, place: InstancePlace) -> bool:
        if place not in known.sound:
            try:
                await self._packed.check(place)
                known.sound[place] = True
            except IntegrityError:
                known.sound[place] = False
        return known.sound[place]

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

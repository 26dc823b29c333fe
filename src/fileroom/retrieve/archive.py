"""The archive as the doors read it: what is held under a UID, searches, and stored instances."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec

from fileroom.catalog.batch import Intake
from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.moments import Zone, is_within, pair_up, zoned
from fileroom.catalog.port import Catalog
from fileroom.catalog.query import MATCHABLE, Level, Search, SearchRow
from fileroom.catalog.rows import Holdings, InstancePlace, PackRow, SpooledRow
from fileroom.dicom import match
from fileroom.dicom.match import Condition
from fileroom.dicom.uid import digest
from fileroom.errors import FileroomError, IntegrityError, TransientError
from fileroom.retrieve.descriptions import Descriptions
from fileroom.retrieve.opened import OpenedDataSets
from fileroom.retrieve.packs import PackSource, UnavailableError
from fileroom.retrieve.stored import (
    PackedInstance,
    SpooledStored,
    StoredInstance,
)
from fileroom.spool.failure import SegmentGoneError
from fileroom.spool.reader import SpooledInstance, SpoolReader
from fileroom.spool.record import Place

SERIES_A_SEARCH = 10_000  # how many series an instance search may look into
FIRST_PAGE_ROWS = 100  # so that the first match does not wait for many
PAGE_ROWS = 1000
PORTION = 500  # instances in the spool that are opened at once
LOOKED_UP = 50  # instances that are looked up at a time
MOVED_TRIES = 4  # an instance that is sealed while we look is looked for again


class Portion(NamedTuple):
    """Some of the instances of a series.

    Attributes:
        missing: how many there are instead that cannot be told apart now, and `why`.
    """

    instances: Sequence[StoredInstance]
    missing: int = 0
    why: FileroomError | None = None


class Archive:
    """Finds instances and reads them.

    Args:
        complete: whether the catalog knows all there is; until it does, nothing is said to be
            held nowhere.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        intake: Intake,
        packs: PackSource,
        spool: SpoolReader,
        complete: Callable[[], bool],
    ) -> None:
        self._complete = complete
        self._catalog = catalog
        self._intake = intake
        self._packs = packs
        self._spool = spool
        self._descriptions = Descriptions()
        self._data_sets = OpenedDataSets()

    async def holdings(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredInstance]:
        """Instances that are served under these UIDs, each series in reading order.

        Returns:
            An empty list where nothing is held.

        Raises:
            UnavailableError: a provider that has to be asked cannot be reached, or it may lie at
                one that the catalog was not filled from.
        """
        await self._intake.settled()
        for _ in range(MOVED_TRIES):
            try:
                if sop_uid is not None:
                    found = await self._one(study_uid, series_uid, sop_uid)
                else:
                    found = await self._all(study_uid, series_uid)
            except SegmentGoneError:
                continue  # sealed between the look-up and the reading
            if not found:
                await self.assert_complete()
            return found
        raise UnavailableError("the instance moves on faster than it is found", retry_after_s=1)

    async def portions(self, study_uid: str, series_uid: str) -> AsyncIterator[Portion]:
        """Instances of a series, pack by pack in reading order, then those in the spool: never
        all of a large series at once, and no pack that is out of reach holds up another."""
        await self._intake.settled()
        held = await asyncio.to_thread(self._catalog.holdings, study_uid, series_uid)
        for pack in held.packs:
            count = pack.instance_count - pack.conflict_count
            if count <= 0:
                continue
            try:
                yield Portion(await self._served(pack, held))
            except (UnavailableError, IntegrityError) as error:
                yield Portion((), count, error)
        for start in range(0, len(held.spooled), PORTION):
            rows = held.spooled[start : start + PORTION]
            try:
                yield Portion(await asyncio.to_thread(self._spooled, rows))
            except (SegmentGoneError, IntegrityError):
                for row in rows:
                    yield await self._alone(row)

    async def packed(self, number: int, ordinals: Collection[int]) -> dict[int, StoredInstance]:
        """What is served under the UIDs of a pack's instances, by their ordinals there: nearly
        always these, else what has taken their place in the series. Those that nothing is served
        for are left out.

        Raises:
            UnavailableError, IntegrityError: no copy of the pack says now what is in it.
        """
        packs = await asyncio.to_thread(self._catalog.packs, numbers=[number], limit=1)
        if not packs:
            return {}
        metadata = await self._packs.metadata(packs[0])
        found: dict[int, StoredInstance] = {}
        for start in range(0, len(ordinals), LOOKED_UP):
            for each in sorted(ordinals)[start : start + LOOKED_UP]:
                entry = metadata.instances[each]
                held = await self._placed(digest(entry.sop_instance_uid))
                if held is not None and held.series_instance_uid == metadata.series_instance_uid:
                    found[each] = held
            await asyncio.sleep(0)  # each look-up is quick, and there are many
        return found

    async def assert_complete(self) -> None:
        """Raise UnavailableError unless the catalog knows all there is."""
        if not await asyncio.to_thread(self._complete):
            raise UnavailableError("the catalog is incomplete and does not know of it")

    async def search(self, search: Search) -> Sequence[SearchRow]:
        """Patients, studies or series that match."""
        await self._intake.settled()
        if _within_one_study(search):
            # A few rows by an index, at once: it costs less than handing it to a thread.
            return self._catalog.search(search)
        return await asyncio.to_thread(self._catalog.search, search)

    async def count(self, search: Search) -> int | None:
        """How many patients, studies or series match; None where to know it would cost more than
        a search may."""
        await self._intake.settled()
        return await asyncio.to_thread(self._catalog.count, search)

    async def matches(self, search: Search) -> AsyncIterator[SearchRow]:
        """All patients, studies or series that match, a page in memory at a time."""
        limit, after = FIRST_PAGE_ROWS, search.after
        while True:
            page = await self.search(
                msgspec.structs.replace(search, limit=limit, offset=0, after=after)
            )
            for row in page:
                yield row
            if len(page) < limit:
                return
            limit, after = PAGE_ROWS, page[-1].position

    async def instance_matches(
        self, search: Search
    ) -> AsyncIterator[tuple[SearchRow, StoredInstance]]:
        """All instances that match, of the series that match at the SERIES level of `search`.

        Conditions that the catalog does not keep are checked against each instance's own
        attributes.

        Raises:
            SearchTooBroadError: more than 10,000 series would have to be looked into.
        """
        above = MATCHABLE[Level.SERIES]
        own = tuple(each for each in search.conditions if each.keyword not in above)
        pairs, rest = pair_up(own) if search.combined_datetime else ((), own)
        wanted = msgspec.structs.replace(
            search, conditions=tuple(each for each in search.conditions if each.keyword in above)
        )
        looked_into = 0
        async for row, instances in self._looked_into(wanted, _uids_asked(own)):
            if looked_into == SERIES_A_SEARCH:
                # An answer that ended here would look whole.
                raise SearchTooBroadError(f"more than {looked_into} series to look into")
            looked_into += 1
            for instance in instances:
                told = _instance_attributes(row, instance, search.zone)
                if all(each.matches(told.get(each.keyword)) for each in rest) and all(
                    is_within(pair, told) for pair in pairs
                ):
                    yield SearchRow(told, row.study, row.series, row.position), instance

    async def _looked_into(
        self, search: Search, uids: Sequence[str] | None
    ) -> AsyncIterator[tuple[SearchRow, Sequence[StoredInstance]]]:
        """Series that match, with their instances; only those of `uids`, where there are some."""
        if uids is None:
            async for row in self.matches(search):
                named = row.attributes
                yield (
                    row,
                    await self.holdings(named["StudyInstanceUID"], named["SeriesInstanceUID"]),
                )
            return
        for each in uids:
            # The instance tells its study and series, so that no other is looked into.
            held = await self._found(each)
            if held is None or search.study_instance_uid not in (None, held.study_instance_uid):
                continue
            series = match.parse("SeriesInstanceUID", held.series_instance_uid)
            of_it = msgspec.structs.replace(
                search,
                study_instance_uid=held.study_instance_uid,
                conditions=(*search.conditions, series),
            )
            async for row in self.matches(of_it):
                yield row, [held]

    async def _found(self, sop_uid: str) -> StoredInstance | None:
        await self._intake.settled()
        for _ in range(MOVED_TRIES):
            try:
                return await self._find(sop_uid)
            except SegmentGoneError:
                continue  # sealed between the look-up and the reading
        raise UnavailableError("the instance moves on faster than it is found", retry_after_s=1)

    async def _alone(self, row: SpooledRow) -> Portion:
        """One instance, which may have been sealed since its row was read."""
        try:
            found = await self._placed(row.uid_digest)
        except (TransientError, IntegrityError) as error:
            return Portion((), 1, error)
        return Portion(() if found is None else (found,))

    async def _one(
        self, study_uid: str, series_uid: str | None, sop_uid: str
    ) -> list[StoredInstance]:
        found = await self._find(sop_uid)
        if found is None or found.sop_instance_uid != sop_uid:
            return []  # a place that is another instance's serves neither
        if found.study_instance_uid != study_uid:
            return []
        if series_uid not in (None, found.series_instance_uid):
            return []
        return [found]

    async def _find(self, sop_uid: str) -> StoredInstance | None:
        """The instance that is served under a SOP Instance UID."""
        return await self._placed(digest(sop_uid))

    async def _placed(self, uid_digest: bytes) -> StoredInstance | None:
        # A look-up by primary key, at once: it costs less than handing it to a thread.
        located = self._catalog.locate(uid_digest)
        if located.pack is not None:
            metadata = self._packs.held_metadata(located.pack)
            if metadata is None:
                metadata = await self._packs.metadata(located.pack)
            entry = metadata.instances[located.ordinal]
            return PackedInstance(self._packs, self._data_sets, located.pack, metadata, entry)
        if located.spooled is not None:
            return (await asyncio.to_thread(self._spooled, [located.spooled]))[0]
        return None

    async def _all(self, study_uid: str, series_uid: str | None) -> list[StoredInstance]:
        held = await asyncio.to_thread(self._catalog.holdings, study_uid, series_uid)
        found: list[StoredInstance] = []
        for pack in held.packs:
            if pack.conflict_count < pack.instance_count:  # else nobody needs to be able to read it
                found += await self._served(pack, held)
        if held.spooled:
            found += await asyncio.to_thread(self._spooled, held.spooled)
        return found

    async def _served(self, pack: PackRow, held: Holdings) -> list[StoredInstance]:
        metadata = await self._packs.metadata(pack)
        return [
            PackedInstance(self._packs, self._data_sets, pack, metadata, entry)
            for ordinal, entry in enumerate(metadata.instances)
            if InstancePlace(pack.number, ordinal) not in held.conflicts
        ]

    def _spooled(self, rows: Sequence[SpooledRow]) -> list[StoredInstance]:
        return [
            SpooledStored(each, self._data_sets, self._descriptions) for each in self._opened(rows)
        ]

    def _opened(self, rows: Sequence[SpooledRow]) -> Iterator[SpooledInstance]:
        for row in rows:
            yield self._spool.open(Place(*row.place))


def _within_one_study(search: Search) -> bool:
    """Whether a search asks for one study, by its UID, or for what is in it."""
    return search.study_instance_uid is not None or any(
        each.keyword == "StudyInstanceUID"
        and each.kind in ("single", "uid_list")
        and len(each.values) == 1
        for each in search.conditions
    )


def _instance_attributes(
    row: SearchRow, instance: StoredInstance, zone: Zone | None
) -> dict[str, str]:
    said = instance.attributes
    return {
        **row.attributes,
        **(said if zone is None else zoned(said, zone)),
        "SOPClassUID": instance.sop_class_uid,
        "SOPInstanceUID": instance.sop_instance_uid,
        "InstanceAvailability": instance.availability,
        "AvailableTransferSyntaxUID": instance.transfer_syntax_uid,
    }


def _uids_asked(conditions: Sequence[Condition]) -> tuple[str, ...] | None:
    """The SOP Instance UIDs that are asked for; None: any."""
    for each in conditions:
        if each.keyword == "SOPInstanceUID" and each.kind in ("single", "uid_list"):
            return each.values
    return None

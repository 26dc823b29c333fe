"""The archive as the doors read it: what is held under a UID, searches, and stored instances."""

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from fileroom.catalog.batch import Intake
from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.port import Catalog
from fileroom.catalog.query import MATCHABLE, Level, Search, SearchRow
from fileroom.catalog.rows import Holdings, InstancePlace, PackRow, SpooledRow
from fileroom.dicom import match
from fileroom.dicom.match import Condition
from fileroom.dicom.uid import digest
from fileroom.retrieve.descriptions import Descriptions
from fileroom.retrieve.packs import PackSource, UnavailableError
from fileroom.retrieve.stored import (
    PackedInstance,
    SpooledStored,
    StoredInstance,
)
from fileroom.spool.failure import SegmentGoneError
from fileroom.spool.reader import SpooledInstance, SpoolReader
from fileroom.spool.record import Place

SERIES_A_SEARCH = 10_000  # how many series an instance search without a study may look into
MOVED_TRIES = 4  # an instance that is sealed while we look is looked for again


class Archive:
    """Finds instances and reads them."""

    def __init__(
        self, *, catalog: Catalog, intake: Intake, packs: PackSource, spool: SpoolReader
    ) -> None:
        self._catalog = catalog
        self._intake = intake
        self._packs = packs
        self._spool = spool
        self._descriptions = Descriptions()

    async def holdings(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredInstance]:
        """Instances that are served under these UIDs, each series in reading order.

        Returns:
            An empty list where nothing is held.

        Raises:
            UnavailableError: a provider that has to be asked cannot be reached.
        """
        await self._intake.settled()
        for _ in range(MOVED_TRIES):
            try:
                if sop_uid is not None:
                    return await self._one(study_uid, series_uid, sop_uid)
                return await self._all(study_uid, series_uid)
            except SegmentGoneError:
                continue  # sealed between the look-up and the reading
        raise UnavailableError("the instance moves on faster than it is found", retry_after_s=1)

    async def search(self, search: Search) -> Sequence[SearchRow]:
        """Patients, studies or series that match."""
        await self._intake.settled()
        if _within_one_study(search):
            # A few rows by an index, at once: it costs less than handing it to a thread.
            return self._catalog.search(search)
        return await asyncio.to_thread(self._catalog.search, search)

    async def search_instances(self, search: Search) -> list[SearchRow]:
        """Instances that match, of the series that match at the SERIES level of `search`.

        Conditions that the catalog does not keep are checked against each instance's own
        attributes; `limit` and `offset` count instances.

        Raises:
            SearchTooBroadError: more than 10,000 series would have to be looked into.
        """
        above = MATCHABLE[Level.SERIES]
        own = tuple(each for each in search.conditions if each.keyword not in above)
        one = _uid_asked(own)
        wanted = msgspec.structs.replace(
            search,
            conditions=tuple(each for each in search.conditions if each.keyword in above),
            limit=SERIES_A_SEARCH,
            offset=0,
        )
        if one is not None:
            # The one instance tells its study and series, so that no other is looked into.
            held = await self._find(one)
            if held is None or search.study_instance_uid not in (None, held.study_instance_uid):
                return []
            series = match.parse("SeriesInstanceUID", held.series_instance_uid)
            wanted = msgspec.structs.replace(
                wanted,
                study_instance_uid=held.study_instance_uid,
                conditions=(*wanted.conditions, series),
            )
        found: list[SearchRow] = []
        skipped = 0
        rows = await self.search(wanted)
        for row in rows:
            study_uid = row.attributes["StudyInstanceUID"]
            series_uid = row.attributes["SeriesInstanceUID"]
            for instance in await self.holdings(study_uid, series_uid, one):
                attributes = _instance_attributes(row, instance)
                if not all(each.matches(attributes.get(each.keyword)) for each in own):
                    continue
                if skipped < search.offset:
                    skipped += 1
                    continue
                found.append(SearchRow(attributes, row.study, row.series))
                if len(found) >= search.limit:
                    return found
        if len(rows) >= SERIES_A_SEARCH:
            # An answer that ended here would look whole.
            raise SearchTooBroadError(f"{len(found)} instances in the first {len(rows)} series")
        return found

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
        # A look-up by primary key, at once: it costs less than handing it to a thread.
        located = self._catalog.locate(digest(sop_uid))
        if located.pack is not None:
            metadata = self._packs.held_metadata(located.pack)
            if metadata is None:
                metadata = await self._packs.metadata(located.pack)
            entry = metadata.instances[located.ordinal]
            return PackedInstance(self._packs, located.pack, metadata, entry)
        if located.spooled is not None:
            return (await asyncio.to_thread(self._spooled, [located.spooled]))[0]
        return None

    async def _all(self, study_uid: str, series_uid: str | None) -> list[StoredInstance]:
        held = await asyncio.to_thread(self._catalog.holdings, study_uid, series_uid)
        found: list[StoredInstance] = []
        for pack in held.packs:
            found += await self._served(pack, held)
        if held.spooled:
            found += await asyncio.to_thread(self._spooled, held.spooled)
        return found

    async def _served(self, pack: PackRow, held: Holdings) -> list[StoredInstance]:
        metadata = await self._packs.metadata(pack)
        return [
            PackedInstance(self._packs, pack, metadata, entry)
            for ordinal, entry in enumerate(metadata.instances)
            if InstancePlace(pack.number, ordinal) not in held.conflicts
        ]

    def _spooled(self, rows: Sequence[SpooledRow]) -> list[StoredInstance]:
        return [SpooledStored(opened, self._descriptions) for opened in self._opened(rows)]

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


def _instance_attributes(row: SearchRow, instance: StoredInstance) -> dict[str, str]:
    return {
        **row.attributes,
        **instance.attributes,
        "SOPClassUID": instance.sop_class_uid,
        "SOPInstanceUID": instance.sop_instance_uid,
        "InstanceAvailability": instance.availability,
        "AvailableTransferSyntaxUID": instance.transfer_syntax_uid,
    }


def _uid_asked(conditions: Sequence[Condition]) -> str | None:
    """The one SOP Instance UID that is asked for, if it is one."""
    for each in conditions:
        named = each.keyword == "SOPInstanceUID" and each.kind in ("single", "uid_list")
        if named and len(each.values) == 1:
            return each.values[0]
    return None

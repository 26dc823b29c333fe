"""Adopt: a pack that the catalog does not know gets its rows from its own metadata."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import msgspec

from fileroom.catalog.conflicts import said_patients
from fileroom.catalog.errors import AlreadyStoredError
from fileroom.catalog.levels import describe
from fileroom.catalog.lifecycle import PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import (
    InstancePlace,
    Moved,
    NewPack,
    PackRow,
    Sealed,
    SeriesPlace,
    Standing,
)
from fileroom.clock import Clock
from fileroom.dicom.header import Header
from fileroom.dicom.uid import digest
from fileroom.errors import IntegrityError, TransientError
from fileroom.pack.metadata import Instance, Metadata
from fileroom.recovery.found import Opened, is_whole
from fileroom.recovery.standing import OWN, DataSet, standings

EVERYTHING_BYTES = 1 << 62
TRIES = 4

DataSets = dict[bytes, list[DataSet]]  # by the digest of their SOP Instance UID


class NotComparedError(TransientError):
    """A pack with a data set under the same UID is out of reach, so that nobody knows yet
    whether the two are one.

    Attributes:
        pack: its number.
    """

    def __init__(self, message: str, *, pack: int) -> None:
        super().__init__(message)
        self.pack = pack


class Ranked(msgspec.Struct):
    """The data sets of a pack by their standing, and what becomes of those in other packs."""

    members: list[Sealed] = []
    conflicts: list[Sealed] = []
    repeated: list[Sealed] = []
    moved: list[Moved] = []


class Adopter:
    """Records packs. Who is served does not depend on the order of calls; what the catalog says of
    patients and studies does, so call with the oldest first.

    Args:
        metadata: reads a recorded pack's metadata, wherever it lies. Raises TransientError while
            that is out of reach.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        clock: Clock,
        node_id: str,
        metadata: Callable[[PackRow], Awaitable[Metadata]],
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._node_id = node_id
        self._metadata = metadata

    async def adopt(self, opened: Opened, *, providers: Collection[str] = ()) -> int:
        """Record the pack's patient, study, series and instances; return its number.

        Spooled rows of the very same data sets are settled by a pack on this disk that is whole: a
        crash between naming the file and recording it is healed here. One that lies at a provider
        only settles nothing, as nobody has read all of it yet.

        Args:
            providers: those whose listing showed it.

        Raises:
            NotComparedError: call again when the other pack can be reached.
            AlreadyStoredError: the doors' instances are sealed faster than this can look.
        """
        for tries in range(TRIES):
            others = await self._others(
                {digest(each.sop_instance_uid) for each in opened.metadata.instances}
            )
            place = await asyncio.to_thread(self._place, opened)
            ranked = await asyncio.to_thread(self._ranked, opened, place, others)
            try:
                return await asyncio.to_thread(self._record, opened, place, ranked, providers)
            except AlreadyStoredError:  # an instance was sealed meanwhile, while the node runs
                if tries == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _place(self, opened: Opened) -> SeriesPlace:
        metadata = opened.metadata
        oldest: dict[str, Instance] = {}  # of each SOP class
        for each in sorted(metadata.instances, key=lambda instance: instance.received_at):
            oldest.setdefault(each.sop_class_uid, each)
        for each in oldest.values():
            header = header_of(metadata, each)
            place = self._catalog.record_series(metadata.partition, header)
        self._catalog.set_study_key(place.study, opened.found.study_key_id)
        return place

    def _record(
        self, opened: Opened, place: SeriesPlace, ranked: Ranked, providers: Collection[str]
    ) -> int:
        found = opened.found
        start, end = opened.metadata_range
        pack = NewPack(
            study=place.study,
            series=place.series,
            sha256=found.sha256,
            study_key_id=found.study_key_id,
            tink_header=opened.tink_header,
            size_bytes=found.size_bytes,
            plaintext_size_bytes=opened.plaintext_size_bytes,
            metadata_offset=start,
            metadata_size_bytes=end - start,
            received_oldest_ns=opened.received_oldest_ns,
            sealed_at_ns=self._clock.wall_ns(),
            node_id=self._node_id,
            state=PackState.SEALED if found.local else PackState.REPLICATED,
            local=found.local,
            providers=tuple(providers),
            patients=said_patients(
                describe(header_of(opened.metadata, each)) for each in opened.metadata.instances
            ),
        )
        return self._catalog.record_sealed(
            pack,
            members=ranked.members,
            conflicts=ranked.conflicts,
            repeated=ranked.repeated,
            moved=ranked.moved,
            lease=None,
        )

    def _ranked(self, opened: Opened, place: SeriesPlace, others: DataSets) -> Ranked:
        ours: DataSets = {}
        for ordinal, each in enumerate(opened.metadata.instances):
            own = _data_set(InstancePlace(OWN, ordinal), each)
            ours.setdefault(digest(each.sop_instance_uid), []).append(own)
        spooled = self._spooled(opened, place)
        ranked = Ranked()
        own_by_standing = {
            Standing.SERVED: ranked.members,
            Standing.CONFLICT: ranked.conflicts,
            Standing.REPEATED: ranked.repeated,
        }
        for uid_digest, own_sets in ours.items():
            known = others.get(uid_digest, [])
            found = _standings(own_sets, known)
            for own in own_sets:
                row = spooled.get((uid_digest, own.sha256))
                sha256 = bytes.fromhex(own.sha256)
                sealed = Sealed(row, uid_digest, own.place.ordinal, sha256, own.replacement)
                own_by_standing[found[own.place]].append(sealed)
            ranked.moved += [
                Moved(uid_digest, each.place, found[each.place])
                for each in known
                if (each.sha256 or not each.conflict) and found[each.place] is not Standing.SERVED
            ]
        return ranked

    def _spooled(self, opened: Opened, place: SeriesPlace) -> Mapping[tuple[bytes, str], int]:
        """Rows that the pack settles, by UID digest and SHA-256 of the data set."""
        if not opened.found.local:
            return {}
        rows = self._catalog.spooled_of_series(place.series, bytes_max=EVERYTHING_BYTES)
        if rows and not is_whole(opened.found):
            return {}  # the spool has what it lacks
        return {(row.uid_digest, row.sha256.hex()): row.id for row in rows}

    async def _others(self, uid_digests: Collection[bytes]) -> DataSets:
        """What other packs hold under the same UIDs."""
        served = await asyncio.to_thread(self._catalog.existing, uid_digests)
        further = await asyncio.to_thread(self._catalog.conflicting, uid_digests)
        places = [(uid_digest, place, False) for uid_digest, place in served.items()]
        for uid_digest, found in further.items():
            places += [(uid_digest, place, True) for place in found]
        instances = await self._instances_of({place.pack for _, place, _ in places})
        others: DataSets = {}
        for uid_digest, place, conflict in places:
            known = instances[place.pack]
            if place.ordinal < len(known):
                data_set = _data_set(place, known[place.ordinal])
            else:
                data_set = DataSet(place, "", "", conflict)
            others.setdefault(uid_digest, []).append(data_set)
        return others

    async def _instances_of(self, numbers: Collection[int]) -> dict[int, Sequence[Instance]]:
        """What the metadata of those packs say; nothing where no copy can be read."""
        rows = await asyncio.to_thread(self._catalog.packs, numbers=numbers, limit=len(numbers))
        found: dict[int, Sequence[Instance]] = dict.fromkeys(numbers, ())
        for row in rows:
            try:
                found[row.number] = (await self._metadata(row)).instances
            except IntegrityError:
                continue  # what lies there is damaged, so that this one is worth keeping
            except TransientError as error:
                if not await asyncio.to_thread(self._catalog.copies, row.number):
                    continue  # it is lost
                raise NotComparedError(str(error), pack=row.number) from error
        return found


def _standings(ours: Sequence[DataSet], known: Sequence[DataSet]) -> dict[InstancePlace, Standing]:
    """How they stand. What no copy gives makes way for one of ours that may be served."""
    given = [each if each.sha256 else each._replace(conflict=True) for each in known]
    found = standings([*ours, *given])
    if any(found[each.place] is Standing.SERVED for each in ours):
        return found
    return standings([*ours, *known])


def _data_set(place: InstancePlace, instance: Instance) -> DataSet:
    return DataSet(
        place,
        instance.original_sha256,
        instance.received_at,
        instance.conflict,
        instance.replacement,
    )


def header_of(metadata: Metadata, instance: Instance) -> Header:
    """The header that the catalog was told when the instance came."""
    return Header(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        study_instance_uid=metadata.study_instance_uid,
        series_instance_uid=metadata.series_instance_uid,
        attributes=instance.attributes(),
    )

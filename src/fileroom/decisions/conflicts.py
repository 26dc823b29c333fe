"""Conflicts as people look at them and settle them: docs/operations.md says how."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Protocol

import msgspec

from fileroom.access.identity import Principal
from fileroom.audit.decided import ConflictSettled, KnownDataSet
from fileroom.catalog.conflicts import Contested, DoubtedStudy, Settlement
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import InstancePlace, SaidPatient
from fileroom.clock import Clock
from fileroom.decisions.decider import Decider, by
from fileroom.dicom.same import differing_tags
from fileroom.dicom.uid import digest
from fileroom.errors import IntegrityError, RefusedError, TransientError
from fileroom.pack.metadata import Instance, Metadata

COMPARED_BYTES_MAX = 64 << 20
LISTED_MAX = 1000
SHOWN_MAX = 100  # data sets of one UID
REASON_LENGTH_MAX = 1000
_PATIENT = {
    "name": "00100010",
    "patient_id": "00100020",
    "issuer": "00100021",
    "birth_date": "00100030",
}


class NoConflictError(RefusedError):
    """No two data sets are in packs under this SOP Instance UID, or this one is none of them."""


class NoReasonError(RefusedError):
    """A decision without a reason, or with one that cannot be shown, is not taken."""


class UndecidableError(TransientError):
    """It can be decided later: not all that belongs to it is known yet."""


class Packed(Protocol):
    """Reads what packs hold, wherever they lie. Raises TransientError while that is out of reach,
    and IntegrityError where no copy gives it."""

    async def metadata(self, pack: int) -> Metadata:
        """All that a pack says of itself."""
        ...

    async def data_set(
        self, place: InstancePlace, *, size_bytes_max: int
    ) -> tuple[str, bytes | None]:
        """Transfer Syntax UID and bytes, None where they are more than `size_bytes_max`."""
        ...


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided, by whom. `ledger_index` is that of its entry."""

    serves_sha256: str
    by: str
    at_s: float
    reason: str
    ledger_index: int


class ShownDataSet(msgspec.Struct, frozen=True, kw_only=True):
    """One of the data sets under a SOP Instance UID. Texts are empty where its pack cannot be read
    just now, which `problem` then says.

    Attributes:
        number: from 1, in the order in which they came.
        sha256: of the data set as it came, hexadecimal: its name for a decision.
        received_at: UTC, ISO 8601.
        differs: tags in which it is not as the served one; None: not compared.
    """

    number: int
    is_served: bool
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    sha256: str = ""
    size_bytes: int = 0
    received_at: str = ""
    channel: str = ""
    calling_ae_title: str = ""
    address: str = ""
    problem: str = ""
    differs: tuple[str, ...] | None = None


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A SOP Instance UID under which packs hold different data sets.

    Attributes:
        key: names it where its UID cannot be read; a list goes on behind it.
        data_sets: the first SHOWN_MAX of `count`, the served one among them.
    """

    key: str
    sop_instance_uid: str
    is_open: bool
    count: int
    data_sets: tuple[ShownDataSet, ...]
    settled: Decision | None


class OtherPatients(msgspec.Struct, frozen=True, kw_only=True):
    """Instances of a series that say another patient than their study has: in which attributes."""

    series_instance_uid: str
    instances: int
    differs: tuple[str, ...]


class Doubted(msgspec.Struct, frozen=True, kw_only=True):
    """A study that says two patients; kept as it came. A list goes on behind `key`."""

    key: int
    study_instance_uid: str
    others: tuple[OtherPatients, ...]


class _Read(msgspec.Struct):
    """A data set, and what its pack says of it; None: it cannot be read just now."""

    place: InstancePlace
    instance: Instance | None
    shown: ShownDataSet


class ConflictDesk:
    """Shows conflicts, and takes what is decided about them.

    Args:
        complete: whether the catalog knows all there is.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        decider: Decider,
        clock: Clock,
        packed: Packed,
        complete: Callable[[], bool],
    ) -> None:
        self._catalog = catalog
        self._decider = decider
        self._clock = clock
        self._packed = packed
        self._complete = complete
        self._comparing = asyncio.Lock()  # so that two data sets are in memory at a time

    async def listed(self, *, after: bytes, limit: int, settled: bool) -> list[Conflict]:
        """Contested UIDs in order of their keys; as `Catalog.contested`."""
        found = await asyncio.to_thread(
            self._catalog.contested, after=after, limit=min(limit, LISTED_MAX), settled=settled
        )
        return [_conflict(each, await self._read(each)) for each in found]

    async def doubted(self, *, after: int, limit: int) -> list[Doubted]:
        """Studies that say two patients; as `Catalog.doubted_studies`."""
        found = await asyncio.to_thread(
            self._catalog.doubted_studies, after=after, limit=min(limit, LISTED_MAX)
        )
        return [_doubted(each) for each in found]

    async def show(self, sop_instance_uid: str) -> Conflict:
        """One of them, with the tags in which its data sets differ. Raises NoConflictError."""
        contested = await self._contested(sop_instance_uid)
        found = await self._read(contested)
        if contested.served is not None:
            async with self._comparing:
                for each in found:
                    if not each.shown.is_served:
                        each.shown = msgspec.structs.replace(
                            each.shown, differs=await self._differs(contested.served, each.place)
                        )
        return _conflict(contested, found)

    async def values(self, sop_instance_uid: str) -> list[dict[str, msgspec.Raw]]:
        """What each data set says in the tags in which one differs, as the DICOM JSON Model and in
        the order of `Conflict.data_sets`; without bulk data. Raises NoConflictError."""
        shown = await self.show(sop_instance_uid)
        tags = {tag for each in shown.data_sets for tag in each.differs or ()}
        said = [
            {} if each.instance is None else _said(each.instance)
            for each in await self._read(await self._contested(sop_instance_uid))
        ]
        return [{tag: each[tag] for tag in sorted(tags & each.keys())} for each in said]

    async def settle(
        self,
        sop_instance_uid: str,
        serve_sha256: str,
        *,
        who: Principal,
        channel: str,
        reason: str,
    ) -> int:
        """Have one of the data sets served from now on; returns the decision's ledger index.

        Args:
            serve_sha256: which one, as `ShownDataSet` names it.

        Raises:
            NoConflictError: there is none of this UID that can be read.
            NoReasonError: `reason` is not of 1 to REASON_LENGTH_MAX printable characters.
            UndecidableError: the one that is served waits to be sealed, or the catalog is not
                complete.
            EventSizeError: over some 2,500 data sets lie under the UID.
            LedgerWriteError: nothing is known to be decided.
        """
        reason = reason.strip()
        if not (0 < len(reason) <= REASON_LENGTH_MAX and reason.isprintable()):
            raise NoReasonError(f"a reason has 1 to {REASON_LENGTH_MAX} printable characters")

        async def decide() -> ConflictSettled:
            if not await asyncio.to_thread(self._complete):
                raise UndecidableError("the catalog is incomplete: more may lie under this UID")
            contested = await self._contested(sop_instance_uid)
            if contested.served is None:
                raise UndecidableError("the data set that came first is not sealed yet")
            known = await self._known(contested)
            if not serve_sha256 or serve_sha256 not in {each.sha256 for each in known}:
                raise NoConflictError("no data set of this UID is that one")
            return ConflictSettled(
                by=by(who, channel=channel),
                reason=reason,
                decided_at_ns=self._clock.wall_ns(),
                sop_instance_uid=sop_instance_uid,
                served_sha256=serve_sha256,
                known=known,
            )

        return await self._decider.take(decide)

    async def _contested(self, sop_instance_uid: str) -> Contested:
        found = await asyncio.to_thread(self._catalog.contest, digest(sop_instance_uid))
        if found is None:
            raise NoConflictError("no two data sets have this SOP Instance UID")
        return found

    async def _known(self, contested: Contested) -> tuple[KnownDataSet, ...]:
        """All its data sets. Raises TransientError while one is out of reach."""
        places = _places(contested)
        numbers = {each.pack for each in places}
        packs = await asyncio.to_thread(self._catalog.packs, numbers=numbers, limit=len(numbers))
        names = {each.number: each.sha256.hex() for each in packs}
        found = []
        for place in places:
            try:
                instance = (await self._packed.metadata(place.pack)).instances[place.ordinal]
                sha256 = instance.original_sha256
            except (IntegrityError, LookupError):
                sha256 = ""  # no copy gives it
            if place.pack in names:
                named = KnownDataSet(pack=names[place.pack], ordinal=place.ordinal, sha256=sha256)
                found.append(named)
        return tuple(sorted(found))

    async def _read(self, contested: Contested) -> list[_Read]:
        """The first SHOWN_MAX of its data sets, the served one among them, in order of coming."""
        found = [
            await self._read_one(place, is_served=place == contested.served)
            for place in islice(_places(contested), SHOWN_MAX)
        ]
        found.sort(key=lambda each: (each.shown.received_at, each.place))
        for number, each in enumerate(found, 1):
            each.shown = msgspec.structs.replace(each.shown, number=number)
        return found

    async def _read_one(self, place: InstancePlace, *, is_served: bool) -> _Read:
        shown = ShownDataSet(number=0, is_served=is_served)
        try:
            pack = await self._packed.metadata(place.pack)
            instance = pack.instances[place.ordinal]
        except (TransientError, IntegrityError, LookupError):
            problem = "its pack cannot be read just now"
            return _Read(place, None, msgspec.structs.replace(shown, problem=problem))
        origin = instance.received_from
        shown = msgspec.structs.replace(
            shown,
            study_instance_uid=pack.study_instance_uid,
            series_instance_uid=pack.series_instance_uid,
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            sha256=instance.original_sha256,
            size_bytes=instance.size_bytes - instance.dataset_offset,
            received_at=instance.received_at,
            channel=origin.channel,
            calling_ae_title=origin.calling_ae_title,
            address=origin.address,
        )
        return _Read(place, instance, shown)

    async def _differs(self, one: InstancePlace, other: InstancePlace) -> tuple[str, ...] | None:
        read = partial(self._packed.data_set, size_bytes_max=COMPARED_BYTES_MAX)
        try:
            syntax, data = await read(one)
            other_syntax, other_data = await read(other)
        except (TransientError, IntegrityError):
            return None
        if data is None or other_data is None:
            return None
        return await asyncio.to_thread(differing_tags, data, syntax, other_data, other_syntax)


def _places(contested: Contested) -> list[InstancePlace]:
    """Where its data sets lie, that of the served one first."""
    return [*([contested.served] if contested.served else []), *contested.others]


def _conflict(contested: Contested, read: Sequence[_Read]) -> Conflict:
    uids = [each.instance.sop_instance_uid for each in read if each.instance is not None]
    return Conflict(
        key=contested.uid_digest.hex(),
        sop_instance_uid=uids[0] if uids else "",
        is_open=contested.is_open,
        count=len(_places(contested)),
        data_sets=tuple(each.shown for each in read),
        settled=None if contested.settled is None else _decision(contested.settled),
    )


def _said(instance: Instance) -> dict[str, msgspec.Raw]:
    said = msgspec.json.decode(instance.dicom_json, type=dict[str, msgspec.Raw] | None)
    return said or {}


def _decision(settled: Settlement) -> Decision:
    return Decision(
        serves_sha256=settled.served_sha256.hex(),
        by=settled.decided_by,
        at_s=settled.decided_at_ns / 1e9,
        reason=settled.reason,
        ledger_index=settled.ledger_index,
    )


def _doubted(study: DoubtedStudy) -> Doubted:
    return Doubted(
        key=study.study,
        study_instance_uid=study.study_instance_uid,
        others=tuple(
            OtherPatients(
                series_instance_uid=each.series_instance_uid,
                instances=each.said.instances,
                differs=_patient_tags(each.said, study.patient),
            )
            for each in study.others
        ),
    )


def _patient_tags(said: SaidPatient, patient: SaidPatient) -> tuple[str, ...]:
    return tuple(
        tag for name, tag in _PATIENT.items() if getattr(said, name) != getattr(patient, name)
    )

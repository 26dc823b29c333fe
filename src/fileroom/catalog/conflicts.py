"""Data sets that share a SOP Instance UID, and studies that say two patients, as the rest of the
program sees them.

Which of several data sets is served is a projection of the ledger's `conflict.settled`; that a
study says another patient too was found when its instances were sealed. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from fileroom.catalog.levels import Description
from fileroom.catalog.query import folded_groups
from fileroom.catalog.rows import InstancePlace, SaidPatient


class KnownPlace(NamedTuple):
    """A data set in a pack that a decision knew, by names that outlive the catalog.

    Attributes:
        ordinal: its index among the pack's instances, from 0, as `InstancePlace` counts.
        sha256: of the data set as it came; empty where it could not be read.
    """

    pack_sha256: bytes
    ordinal: int
    sha256: bytes


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """A decision about which data set under a SOP Instance UID is served.

    Attributes:
        served_sha256: of that data set as it came, wherever it lies.
        known: all data sets that were in packs when it was taken.
        ledger_index: of the decision. Of two the later one counts.
        decided_by: the principal's name.
    """

    uid_digest: bytes
    served_sha256: bytes
    known: tuple[KnownPlace, ...]
    ledger_index: int
    decided_at_ns: int
    decided_by: str
    reason: str


class Contested(msgspec.Struct, frozen=True, kw_only=True):
    """A SOP Instance UID under which packs hold different data sets.

    Attributes:
        served: None: the one that is served lies in the spool still.
        others: those that are kept and not served, in order.
        is_open: nobody has settled it; or what was decided does not stand any more, since another
            data set came, or took the place of the one that was to be served.
        settled: the decision, if there is one; without `known`.
    """

    uid_digest: bytes
    served: InstancePlace | None
    others: tuple[InstancePlace, ...]
    is_open: bool
    settled: Settlement | None


class OtherPatient(msgspec.Struct, frozen=True, kw_only=True):
    """Whom instances of a series say they show, where that is not the patient of their study."""

    series_instance_uid: str
    said: SaidPatient


class DoubtedStudy(msgspec.Struct, frozen=True, kw_only=True):
    """A study some of whose instances say another patient than it has.

    Attributes:
        study: its row number.
        patient: whom the study has; `instances` is 0.
        others: in order of series and patient, at most OTHERS_MAX.
    """

    study: int
    partition: str
    study_instance_uid: str
    patient: SaidPatient
    others: tuple[OtherPatient, ...]


OTHERS_MAX = 100


class ConflictTotals(msgspec.Struct, frozen=True, kw_only=True):
    """How many SOP Instance UIDs are contested and settled by nobody, and how many studies say
    another patient too."""

    open: int
    doubted_studies: int


class CatalogConflicts(Protocol):
    """What the catalog keeps of conflicts; `port.Catalog` is all of it."""

    def record_settlement(self, settlement: Settlement) -> None:
        """Have a data set served from now on, and whenever a pack with it is recorded. An older
        decision than the one that is known changes nothing.

        A data set that took the place of what could not be read any more, and that the decision
        did not know, stays served. Call it before packs are recorded that are older than it.
        """
        ...

    def contested(self, *, after: bytes = b"", limit: int, settled: bool = True) -> list[Contested]:
        """Contested UIDs in order of their digests, behind `after`; without those that are
        settled where `settled` is False."""
        ...

    def contest(self, uid_digest: bytes) -> Contested | None:
        """One of them; None: at most one data set has this UID."""
        ...

    def doubted_studies(self, *, after: int = 0, limit: int) -> list[DoubtedStudy]:
        """Studies that say another patient too, in order of their row numbers, behind `after`."""
        ...

    def conflict_totals(self) -> ConflictTotals: ...


def said_patients(described: Iterable[Description]) -> tuple[SaidPatient, ...]:
    """Whom instances say that they show, each once, in order."""
    counts: dict[tuple[str, str, str, str], int] = {}
    for each in described:
        name, birth_date = _name_and_birth(each.patient)
        identity = (each.patient_id, each.issuer, name, birth_date)
        counts[identity] = counts.get(identity, 0) + 1
    return tuple(SaidPatient(*identity, count) for identity, count in sorted(counts.items()))


def is_another(said: SaidPatient, patient: SaidPatient) -> bool:
    """Whether two are not one and the same, as far as they say.

    An ID that is missing is another one: who looks for the patient does not find both. An issuer,
    a name or a birth date that one of them does not say tells nothing; names are compared without
    case and what is written differently only.
    """
    if said.patient_id != patient.patient_id:
        return True
    names = (folded_groups(said.name), folded_groups(patient.name))
    return any(
        bool(mine and theirs) and mine != theirs
        for mine, theirs in (
            (said.issuer, patient.issuer),
            (said.birth_date, patient.birth_date),
            names,
        )
    )


def study_patient(patient_id: str, issuer: str, attributes: Mapping[str, str]) -> SaidPatient:
    """The patient of a study's row."""
    return SaidPatient(patient_id, issuer, *_name_and_birth(attributes), 0)


def _name_and_birth(attributes: Mapping[str, str]) -> tuple[str, str]:
    return attributes.get("PatientName", ""), attributes.get("PatientBirthDate", "")

"""Which instances a C-GET or C-MOVE asks for: its identifier, and what the archive has of it.

PS3.4 §C.4.2.2.1 and §C.4.3.2.1: one value in the unique key of each level above, and one or a list
in that of the level; of patients one. Other keys do not count.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.query import SERIES_COUNTS, Search
from fileroom.catalog.query import Level as SearchLevel
from fileroom.dicom import uid
from fileroom.dicom.identifier import Identifier
from fileroom.dicom.match import Condition
from fileroom.dimse.provision import Archive, StoredInstance
from fileroom.dimse.query_keys import (
    LEVELS,
    PATIENT_ID,
    UNIQUE,
    Level,
    MismatchedIdentifierError,
    level_of,
    require_unique,
)
from fileroom.errors import FileroomError, IntegrityError, TransientError
from fileroom.wire.sop_class import PATIENT_ROOT

SERIES_MAX = 10_000  # of one retrieve
ISSUER_OF_PATIENT_ID = 0x00100021
_KEYWORDS = {
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
}


class Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        patient: conditions on the patient.
        above: conditions on study and series.
        instances: SOP Instance UIDs; empty: all.
    """

    patient: tuple[Condition, ...]
    above: tuple[Condition, ...]
    instances: tuple[str, ...]


class Series(NamedTuple):
    """A series that is asked for, wholly or in part.

    Attributes:
        expected: instances of it that are asked for, about.
    """

    study_uid: str
    series_uid: str
    expected: int


class Portion(NamedTuple):
    """Some of the instances that are asked for.

    Attributes:
        missing: how many there are besides that cannot be read now, and `why`.
        missing_uids: which, as far as that is known.
    """

    instances: Sequence[StoredInstance] = ()
    missing: int = 0
    missing_uids: Sequence[str] = ()
    why: FileroomError | None = None


def read(identifier: Identifier, sop_class_uid: str) -> Wanted:
    """What an identifier asks for.

    Raises:
        MismatchedIdentifierError: no such level, or a unique key is missing or cannot be.
    """
    root = Level.PATIENT if sop_class_uid in PATIENT_ROOT else Level.STUDY
    level = level_of(identifier, root)
    within = LEVELS[LEVELS.index(root) : LEVELS.index(level) + 1]
    require_unique(identifier, within if level is Level.PATIENT else within[:-1])
    asked = {each: _values(identifier, each) for each in within}
    patient: tuple[Condition, ...] = ()
    if Level.PATIENT in asked:
        patient = (Condition("PatientID", "single", asked[Level.PATIENT]),)
        issuer = identifier.get(ISSUER_OF_PATIENT_ID)
        if issuer is not None and isinstance(issuer.value, str) and issuer.value:
            patient += (Condition("IssuerOfPatientID", "single", (issuer.value,)),)
    return Wanted(
        patient,
        tuple(
            Condition(keyword, "uid_list", asked[each])
            for each, keyword in _KEYWORDS.items()
            if each in asked
        ),
        asked.get(Level.IMAGE, ()),
    )


def _values(identifier: Identifier, level: Level) -> tuple[str, ...]:
    key = identifier.get(UNIQUE[level])
    text = key.value if key is not None and isinstance(key.value, str) else ""
    values = tuple(dict.fromkeys(each for each in text.split("\\") if each))
    if level is not Level.PATIENT and not all(map(uid.is_safe, values)):
        raise MismatchedIdentifierError(f"no UID of a {level}", tags=(UNIQUE[level],))
    if not values:
        raise MismatchedIdentifierError(f"no {level} is named", tags=(UNIQUE[level],))
    return values


async def series_of(archive: Archive, wanted: Wanted, partition: str) -> list[Series]:
    """The series that are asked for, or hold what is; those of a study stand together.

    Raises:
        MismatchedIdentifierError: several patients have the Patient ID, and would be mixed.
        SearchTooBroadError: more than SERIES_MAX.
        UnavailableError: nothing is found, and the catalog does not know of all there is.
    """
    if wanted.patient:
        of_patient = Search(
            level=SearchLevel.PATIENT,
            partition=partition,
            limit=2,
            conditions=wanted.patient,
            computed=frozenset(),
        )
        if len(await archive.search(of_patient)) > 1:
            raise MismatchedIdentifierError(
                "several patients have this Patient ID; name its issuer", tags=(PATIENT_ID,)
            )
    search = Search(
        level=SearchLevel.SERIES,
        partition=partition,
        limit=1,  # which the archive sets for each page
        conditions=(*wanted.patient, *wanted.above),
        computed=SERIES_COUNTS,
    )
    found: list[Series] = []
    async for row in archive.matches(search):
        if len(found) == SERIES_MAX:
            raise SearchTooBroadError(f"more than {SERIES_MAX} series to retrieve")
        held = row.attributes
        count = len(wanted.instances) or int(held.get("NumberOfSeriesRelatedInstances", "0"))
        found.append(Series(held["StudyInstanceUID"], held["SeriesInstanceUID"], count))
    if not found:
        await archive.assert_complete()
    return found


async def portions(
    archive: Archive, wanted: Wanted, series: Series
) -> AsyncGenerator[Portion, None]:
    """What is asked for of one series, some of it in memory at a time."""
    if not wanted.instances:
        async for found in archive.portions(series.study_uid, series.series_uid):
            yield Portion(found.instances, found.missing, (), found.why)
        return
    for sop_uid in wanted.instances:
        try:
            held = await archive.holdings(series.study_uid, series.series_uid, sop_uid)
        except (TransientError, IntegrityError) as error:
            yield Portion((), 1, (sop_uid,), error)
        else:
            yield Portion(held)

"""What is counted for the matches of a search, and how soon they can be had."""

from collections.abc import Callable
from functools import lru_cache

from fileroom.catalog.query import (
    AVAILABILITY,
    COMPUTED,
    COUNTS,
    PATIENT_COUNTS,
    SERIES_COUNTS,
    STUDY_COUNTS,
    Level,
)
from fileroom.catalog.sqlite_file import Connection, only_row

_STUDY_COUNTS = """
SELECT (SELECT count(*) FROM series WHERE study = ?1),
    (SELECT coalesce(sum(instance_count - conflict_count), 0) FROM pack WHERE study = ?1)
    + (SELECT count(DISTINCT uid_digest)
       FROM series CROSS JOIN unpacked ON unpacked.series = series.id WHERE study = ?1)
"""
_SERIES_COUNT = """
SELECT (SELECT coalesce(sum(instance_count - conflict_count), 0)
        FROM pack WHERE study = ?1 AND series = ?2)
    + (SELECT count(DISTINCT uid_digest) FROM unpacked WHERE series = ?2)
"""
_PATIENT_COUNTS = """
SELECT (SELECT count(*) FROM study WHERE patient = ?1),
    (SELECT count(*)
     FROM study CROSS JOIN series ON series.study = study.id WHERE patient = ?1),
    (SELECT coalesce(sum(instance_count - conflict_count), 0)
     FROM study CROSS JOIN pack ON pack.study = study.id WHERE patient = ?1)
    + (SELECT count(DISTINCT uid_digest)
       FROM study CROSS JOIN series ON series.study = study.id
       CROSS JOIN unpacked ON unpacked.series = series.id WHERE patient = ?1)
"""
# The least available of the packs that hold what is served. What is in the spool is here.
_AVAILABILITY = """
SELECT coalesce(max(CASE
    WHEN local THEN 0
    WHEN EXISTS (SELECT 1 FROM copy WHERE copy.pack = pack.number
                 AND copy.state IN ('REPLICATED', 'VERIFIED')) THEN 1
    ELSE 2 END), 0) FROM {} AND instance_count > conflict_count
"""
_SERIES_AVAILABILITY = _AVAILABILITY.format("pack WHERE study = ?1 AND series = ?2")
_STUDY_AVAILABILITY = _AVAILABILITY.format("pack WHERE study = ?1")
_PATIENT_AVAILABILITY = _AVAILABILITY.format(
    "study CROSS JOIN pack ON pack.study = study.id WHERE patient = ?1"
)
AVAILABILITIES = ("ONLINE", "NEARLINE", "OFFLINE")  # PS3.3 §C.4.23.1.1


class Computed:
    """The attributes of query.COMPUTED for the matches of one search.

    Args:
        wanted: as `Search.computed`; nothing is counted for others.
    """

    def __init__(self, connection: Connection, level: Level, wanted: frozenset[str] | None) -> None:
        self._connection = connection
        self._level = level
        self._wanted = COUNTS[level] if wanted is None else wanted & COMPUTED[level]
        # Rows of one study, and studies of one patient, stand together more often than not.
        self._patient: Callable[[int], dict[str, str]] = lru_cache(maxsize=64)(self._of_patient)
        self._study: Callable[[int], dict[str, str]] = lru_cache(maxsize=64)(self._of_study)

    def of(self, *, patient: int, study: int, series: int) -> dict[str, str]:
        """What is told of the match with these row numbers, 0 above its level."""
        found: dict[str, str] = {}
        if self._wanted & PATIENT_COUNTS:
            found |= self._patient(patient)
        if self._wanted & STUDY_COUNTS:
            found |= self._study(study)
        if self._wanted & SERIES_COUNTS:
            (count,) = only_row(self._connection, _SERIES_COUNT, (study, series))
            found["NumberOfSeriesRelatedInstances"] = str(count)
        if AVAILABILITY in self._wanted:
            found[AVAILABILITY] = self._availability(patient, study, series)
        return {keyword: text for keyword, text in found.items() if keyword in self._wanted}

    def _of_patient(self, patient: int) -> dict[str, str]:
        studies, series, instances = only_row(self._connection, _PATIENT_COUNTS, (patient,))
        return {
            "NumberOfPatientRelatedStudies": str(studies),
            "NumberOfPatientRelatedSeries": str(series),
            "NumberOfPatientRelatedInstances": str(instances),
        }

    def _of_study(self, study: int) -> dict[str, str]:
        series, instances = only_row(self._connection, _STUDY_COUNTS, (study,))
        return {
            "NumberOfStudyRelatedSeries": str(series),
            "NumberOfStudyRelatedInstances": str(instances),
        }

    def _availability(self, patient: int, study: int, series: int) -> str:
        if self._level is Level.PATIENT:
            (found,) = only_row(self._connection, _PATIENT_AVAILABILITY, (patient,))
        elif self._level is Level.STUDY:
            (found,) = only_row(self._connection, _STUDY_AVAILABILITY, (study,))
        else:
            (found,) = only_row(self._connection, _SERIES_AVAILABILITY, (study, series))
        return AVAILABILITIES[found]

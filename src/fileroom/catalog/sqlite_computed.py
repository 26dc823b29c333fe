"""What is counted for the matches of a search, and how soon they can be had.

All matches of one kind are counted by one statement: a statement for each costs more than what it
reads.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from fileroom.catalog.query import AVAILABILITY, COMPUTED, COUNTS, Level
from fileroom.catalog.sqlite_connection import Connection
from fileroom.catalog.sqlite_rejections import hides

# In what follows {0} is empty, or "shown_" where something is rejected: the views of what is left,
# which cost several times what the tables do.
_LISTED = """
WITH listed (place, patient, study, series) AS MATERIALIZED (
    SELECT key, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?))
"""
_PATIENT_COUNTS = """
(SELECT count(*) FROM {0}study AS told WHERE told.patient = listed.patient),
(SELECT count(*) FROM study CROSS JOIN {0}series AS told ON told.study = study.id
 WHERE study.patient = listed.patient),
(SELECT coalesce(sum(instance_count - conflict_count), 0)
 FROM study CROSS JOIN {0}pack AS told ON told.study = study.id
 WHERE study.patient = listed.patient)
+ (SELECT count(DISTINCT uid_digest) FROM study CROSS JOIN series ON series.study = study.id
   CROSS JOIN {0}unpacked AS waiting ON waiting.series = series.id
   WHERE study.patient = listed.patient)
"""
_STUDY_COUNTS = """
(SELECT count(*) FROM {0}series AS told WHERE told.study = listed.study),
(SELECT coalesce(sum(instance_count - conflict_count), 0)
 FROM {0}pack AS told WHERE told.study = listed.study)
+ (SELECT count(DISTINCT uid_digest) FROM series
   CROSS JOIN {0}unpacked AS waiting ON waiting.series = series.id
   WHERE series.study = listed.study)
"""
_SERIES_COUNTS = """
(SELECT coalesce(sum(instance_count - conflict_count), 0)
 FROM {0}pack AS told WHERE told.study = listed.study AND told.series = listed.series)
+ (SELECT count(DISTINCT uid_digest) FROM {0}unpacked AS waiting
   WHERE waiting.series = listed.series)
"""
# The least available of the packs that hold what is served. What is in the spool is here.
_AVAILABILITY = """
(SELECT coalesce(max(CASE
     WHEN local THEN 0
     WHEN EXISTS (SELECT 1 FROM copy WHERE copy.pack = told.number
                  AND copy.state IN ('REPLICATED', 'VERIFIED')) THEN 1
     ELSE 2 END), 0) FROM {1} AND instance_count > conflict_count)
"""
_PACKS = {
    Level.PATIENT: "study CROSS JOIN {0}pack AS told ON told.study = study.id"
    " WHERE study.patient = listed.patient",
    Level.STUDY: "{0}pack AS told WHERE told.study = listed.study",
    Level.SERIES: "{0}pack AS told WHERE told.study = listed.study AND told.series = listed.series",
}
_REJECTED = """
SELECT DISTINCT place FROM listed CROSS JOIN study ON {0}
CROSS JOIN rejection ON rejection.study_uid = study.uid
"""
_OF_STUDY, _OF_PATIENT = "study.id = listed.study", "study.patient = listed.patient"
AVAILABILITIES: Final = ("ONLINE", "NEARLINE", "OFFLINE")  # PS3.3 §C.4.23.1.1

_json = msgspec.json.Encoder()


class Numbers(NamedTuple):
    """The row numbers of one match, 0 below its level."""

    patient: int
    study: int
    series: int


class Kind(NamedTuple):
    """Attributes that are computed together.

    Attributes:
        keywords: in the order of the columns.
        columns: SQL, of one row of `listed`.
        of: of which row they are: Level.STUDY of the study, whatever the level of the match.
    """

    keywords: tuple[str, ...]
    columns: str
    of: Level

    def statement(self, shown: str) -> str:
        """The SQL for all rows of a list; `shown` as above."""
        return f"{_LISTED}SELECT place, {self.columns.format(shown)} FROM listed"  # noqa: S608 constants only

    def rejected(self) -> str:
        """The SQL for the places in the list of which something is rejected."""
        return _LISTED + _REJECTED.format(_OF_PATIENT if self.of is Level.PATIENT else _OF_STUDY)

    def key(self, match: Numbers) -> Numbers:
        """What is counted for a match, so that nothing is counted twice."""
        if self.of is Level.PATIENT:
            return Numbers(match.patient, 0, 0)
        return Numbers(0, match.study, match.series if self.of is Level.SERIES else 0)


_COUNTED: Final = (
    Kind(
        (
            "NumberOfPatientRelatedStudies",
            "NumberOfPatientRelatedSeries",
            "NumberOfPatientRelatedInstances",
        ),
        _PATIENT_COUNTS,
        Level.PATIENT,
    ),
    Kind(
        ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"), _STUDY_COUNTS, Level.STUDY
    ),
    Kind(("NumberOfSeriesRelatedInstances",), _SERIES_COUNTS, Level.SERIES),
)
_AVAILABLE: Final = {
    level: Kind((AVAILABILITY,), _AVAILABILITY.replace("{1}", packs), level)
    for level, packs in _PACKS.items()
}
KINDS: Final = (*_COUNTED, *_AVAILABLE.values())


class Computed:
    """The attributes of query.COMPUTED for the matches of one search.

    Args:
        wanted: as `Search.computed`; nothing is counted for others.
    """

    def __init__(self, connection: Connection, level: Level, wanted: frozenset[str] | None) -> None:
        self._connection = connection
        self._wanted = COUNTS[level] if wanted is None else wanted & COMPUTED[level]
        self._kinds = [
            each for each in (*_COUNTED, _AVAILABLE[level]) if self._wanted & {*each.keywords}
        ]

    def of(self, matches: Sequence[Numbers]) -> list[dict[str, str]]:
        """What is told of each match."""
        found: list[dict[str, str]] = [{} for _ in matches]
        if not matches:
            return found
        hiding = bool(self._kinds) and hides(self._connection)
        for kind in self._kinds:
            told = self._told(kind, dict.fromkeys(map(kind.key, matches)), hiding=hiding)
            for each, match in zip(found, matches, strict=True):
                each.update(told[kind.key(match)])
        return found

    def _told(
        self, kind: Kind, keys: Collection[Numbers], *, hiding: bool
    ) -> Mapping[Numbers, Mapping[str, str]]:
        if not hiding:
            return dict(self._asked(kind, [*keys], ""))
        listed = [*keys]
        rows = self._connection.execute(kind.rejected(), (_json.encode(listed).decode(),))
        rejected = {listed[int(str(place))] for (place,) in rows}
        whole = [each for each in listed if each not in rejected]
        return dict([*self._asked(kind, whole, ""), *self._asked(kind, [*rejected], "shown_")])

    def _asked(
        self, kind: Kind, keys: Sequence[Numbers], shown: str
    ) -> list[tuple[Numbers, dict[str, str]]]:
        if not keys:
            return []
        statement = kind.statement(shown)
        rows = self._connection.execute(statement, (_json.encode(keys).decode(),)).fetchall()
        found = []
        for place, *values in rows:
            told = {
                keyword: AVAILABILITIES[int(str(value))] if keyword == AVAILABILITY else str(value)
                for keyword, value in zip(kind.keywords, values, strict=True)
                if keyword in self._wanted
            }
            found.append((keys[int(str(place))], told))
        return found

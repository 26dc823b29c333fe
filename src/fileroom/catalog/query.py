"""Searches as values, and the plan of one: what an index narrows, what is then checked.

An adapter turns the narrowings into its dialect. They let through every row that matches and may
let through more; the checks decide, with the standard's own matching (PS3.4 §C.2.2.2).

Pure.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from fileroom.catalog.errors import UnmatchableError
from fileroom.catalog.levels import (
    PATIENT_ATTRIBUTES,
    PATIENT_IDENTITY,
    SERIES_ATTRIBUTES,
    STUDY_ATTRIBUTES,
    STUDY_COLUMNS,
    plain_date,
    storable,
)
from fileroom.dicom.match import Condition, fold

ROWS_SCANNED_MAX = 100_000
GLOB_LENGTH_MAX = 128  # longer patterns are matched in linear time, outside of the index


class Level(StrEnum):
    """What a search finds."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"


_PATIENT = frozenset({*PATIENT_IDENTITY, *PATIENT_ATTRIBUTES})
_STUDY = _PATIENT | {*STUDY_COLUMNS, *STUDY_ATTRIBUTES, "ModalitiesInStudy"}
MATCHABLE: Mapping[Level, frozenset[str]] = {
    Level.PATIENT: _PATIENT,
    Level.STUDY: _STUDY,
    Level.SERIES: _STUDY | {*SERIES_ATTRIBUTES, "SeriesInstanceUID"},
}


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """One search. Newest study first, then the later row; `offset` counts matches.

    Attributes:
        study_instance_uid: only below this study (PS3.18 §10.6.1 "Study's Series").
        conditions: all must hold. Every keyword must be in MATCHABLE of the level.
        combined_datetime: Study Date and Study Time ranges are one range of moments
            (PS3.4 §C.2.2.2.5.4); a C-FIND without that negotiation turns it off.
        rows_scanned_max: how many rows may be looked at for conditions without an index.
    """

    level: Level
    partition: str
    limit: int
    offset: int = 0
    study_instance_uid: str | None = None
    conditions: tuple[Condition, ...] = ()
    combined_datetime: bool = True
    rows_scanned_max: int = ROWS_SCANNED_MAX


class SearchRow(msgspec.Struct, frozen=True):
    """One match: attributes of its level and those above, and counts as text.

    `study` and `series` are row numbers, 0 above their level.
    """

    attributes: dict[str, str]
    study: int = 0
    series: int = 0


class Column(StrEnum):
    """What an adapter keeps in columns."""

    PATIENT_ID = "PatientID"
    ISSUER = "IssuerOfPatientID"
    NAME = "PatientName"  # every component group, folded
    STUDY_UID = "StudyInstanceUID"
    STUDY_DATE = "StudyDate"
    ACCESSION_NUMBER = "AccessionNumber"
    STUDY_ID = "StudyID"
    MODALITIES = "ModalitiesInStudy"  # all of a study's, each between backslashes
    SERIES_UID = "SeriesInstanceUID"


_COLUMN_OF: Mapping[str, Column] = {column.value: column for column in Column}


_TEXT = (Column.PATIENT_ID, Column.ISSUER, Column.ACCESSION_NUMBER, Column.STUDY_ID)
_MOST_NARROWING_FIRST = (
    Column.STUDY_UID,
    Column.SERIES_UID,
    Column.ACCESSION_NUMBER,
    Column.STUDY_ID,
    Column.PATIENT_ID,
    Column.NAME,
)


class Operation(StrEnum):
    """How a column is compared. Text compares by code point."""

    EQUAL = "="  # (value,)
    ANY_OF = "in"  # (value, ...)
    FROM = ">="  # (lowest,)
    TO = "<="  # (highest,); an empty column does not pass
    BELOW = "<"  # (bound,)
    GLOB = "glob"  # (pattern,) with * ? and [[] for a bracket
    CONTAINS = "contains"  # (part,)


class Narrowing(NamedTuple):
    """One comparison that every match passes."""

    column: Column
    operation: Operation
    operands: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True):
    """How a search is carried out.

    Attributes:
        first: the column whose index finds the candidates; the study date's if nothing narrows
            more, which also gives them in order.
        checks: conditions that the narrowings do not decide.
        moments: the pair of Study Date and Study Time conditions to check as one.
    """

    narrowings: tuple[Narrowing, ...]
    first: Column
    checks: tuple[Condition, ...]
    moments: tuple[Condition, Condition] | None

    @property
    def exact(self) -> bool:
        """Whether the narrowings alone decide, so that rows can be counted unseen."""
        return not self.checks and self.moments is None

    def admits(self, attributes: Mapping[str, str]) -> bool:
        """Whether a candidate row with these attributes is a match."""
        if self.moments is not None and not _in_moments(self.moments, attributes):
            return False
        return all(check.matches(attributes.get(check.keyword)) for check in self.checks)


def plan(search: Search) -> Plan:
    """Divide a search's conditions into narrowings and checks.

    Raises:
        UnmatchableError: the catalog has no such attribute at that level.
    """
    narrowings: list[Narrowing] = []
    checks: list[Condition] = []
    for condition in search.conditions:
        if condition.keyword not in MATCHABLE[search.level]:
            raise UnmatchableError(f"{condition.keyword} is not kept at {search.level} level")
        if _is_universal(condition):
            continue
        found, decided = _narrow(condition)
        narrowings += found
        if not decided:
            checks.append(condition)
    if search.study_instance_uid is not None:
        if search.level is Level.PATIENT:
            raise UnmatchableError("a patient is not below a study")
        narrowings.append(
            Narrowing(Column.STUDY_UID, Operation.EQUAL, (storable(search.study_instance_uid),))
        )
    moments = _moments(search) if search.combined_datetime else None
    if moments is not None:
        checks = [check for check in checks if check not in moments]
    return Plan(tuple(narrowings), _first(narrowings), tuple(checks), moments)


def _first(narrowings: list[Narrowing]) -> Column:
    """A whole value finds fewer rows than a beginning, and a beginning fewer than a date."""
    for operations in ((Operation.EQUAL, Operation.ANY_OF), (Operation.FROM,)):
        present = {each.column for each in narrowings if each.operation in operations}
        for column in _MOST_NARROWING_FIRST:
            if column in present:
                return column
    return Column.STUDY_DATE


def folded_groups(name: str) -> tuple[str, ...]:
    """The component groups of a PN value, folded, as a name column keeps them (PS3.5 §6.2.1)."""
    groups = (group for value in name.split("\\") for group in value.split("="))
    folded = (fold(group.strip(" ")).rstrip("^ ") for group in groups)
    return tuple(dict.fromkeys(group for group in folded if group))


def _is_universal(condition: Condition) -> bool:
    return condition.kind == "universal" or (
        condition.kind == "wildcard" and all(not value.strip("*") for value in condition.values)
    )


def _narrow(condition: Condition) -> tuple[list[Narrowing], bool]:
    """Narrowings for a condition, and whether they alone decide it."""
    column = _COLUMN_OF.get(condition.keyword)
    values = tuple(storable(value) for value in condition.values)
    if column is None or any("\\" in value for value in values):
        return [], False
    if column is Column.NAME:
        return _narrow_name(condition.kind, values[0]), False
    if condition.kind == "uid_list" and len(values) != 1:
        return [Narrowing(column, Operation.ANY_OF, values)], True
    if condition.kind in ("single", "uid_list"):
        if column is Column.MODALITIES:
            return [Narrowing(column, Operation.CONTAINS, (f"\\{values[0]}\\",))], True
        return [Narrowing(column, Operation.EQUAL, values)], True
    if condition.kind == "range" and column is Column.STUDY_DATE:
        return _narrow_date(*values), True
    if condition.kind == "wildcard" and column in _TEXT:
        return _narrow_pattern(column, values[0]), len(values[0]) <= GLOB_LENGTH_MAX
    return [], False


def _narrow_date(start: str, end: str) -> list[Narrowing]:
    """A date range; an end that is not precise covers all it may mean."""
    found = []
    if start:
        found.append(Narrowing(Column.STUDY_DATE, Operation.FROM, (_padded(start, 8, "0"),)))
    if end:
        found.append(Narrowing(Column.STUDY_DATE, Operation.TO, (_padded(end, 8, "9"),)))
    return found


def _narrow_name(kind: str, name: str) -> list[Narrowing]:
    """Narrow by the first component group that is given; a name's groups match one by one."""
    for group in name.split("="):
        if group.strip("* ^"):
            folded = fold(group).rstrip("^ ")
            if kind == "single":
                return [Narrowing(Column.NAME, Operation.EQUAL, (folded,))]
            return _narrow_pattern(Column.NAME, folded)
    return []


def _narrow_pattern(column: Column, pattern: str) -> list[Narrowing]:
    """A wildcard pattern as a range where it begins with plain text, and as a GLOB."""
    literal = pattern.split("*", 1)[0].split("?", 1)[0]
    found = _prefix(column, literal) if literal else []
    if len(pattern) <= GLOB_LENGTH_MAX:
        found.append(Narrowing(column, Operation.GLOB, (pattern.replace("[", "[[]"),)))
    return found


def _prefix(column: Column, prefix: str) -> list[Narrowing]:
    return [
        Narrowing(column, Operation.FROM, (prefix,)),
        *(Narrowing(column, Operation.BELOW, (above,)) for above in [_above(prefix)] if above),
    ]


def _above(prefix: str) -> str:
    """The least text that is above every text with that prefix; "" where there is none."""
    for end in range(len(prefix), 0, -1):
        following = ord(prefix[end - 1]) + 1
        if following == 0xD800:  # surrogates are no characters
            following = 0xE000
        if following <= 0x10FFFF:
            return prefix[: end - 1] + chr(following)
    return ""


def _moments(search: Search) -> tuple[Condition, Condition] | None:
    """The date and time conditions, if they are ranges of the same form."""
    ranges = {each.keyword: each for each in search.conditions if each.kind == "range"}
    date, time = ranges.get("StudyDate"), ranges.get("StudyTime")
    if date is None or time is None:
        return None
    forms = ([bool(bound) for bound in each.values] for each in (date, time))
    return (date, time) if next(forms) == next(forms) else None


def _in_moments(moments: tuple[Condition, Condition], attributes: Mapping[str, str]) -> bool:
    """Whether the study's moment lies in the range (PS3.4 §C.2.2.2.5.4).

    A study without a date matches none; one without a time counts as its whole day.
    """
    date = plain_date(attributes.get("StudyDate", ""))
    if not date:
        return False
    time = attributes.get("StudyTime", "").replace(":", "")
    (first_date, last_date), (first_time, last_time) = (each.values for each in moments)
    if first_date and date + _padded(time, 12, "9") < _moment(first_date, first_time, "0"):
        return False
    return not last_date or (date + _padded(time, 12, "0") <= _moment(last_date, last_time, "9"))


def _moment(date: str, time: str, digit: str) -> str:
    return _padded(date, 8, digit) + _padded(time, 12, digit)


def _padded(text: str, digits: int, digit: str) -> str:
    """A date or time as that many digits, what it leaves open filled with `digit`."""
    return text.replace(".", "").ljust(digits, digit)[:digits]

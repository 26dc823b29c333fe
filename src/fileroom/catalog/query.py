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
    storable,
)
from fileroom.catalog.moments import (
    Pair,
    Zone,
    days_around,
    is_within,
    padded,
    pair_up,
    zoned,
)
from fileroom.dicom.match import Condition, fold, fuzzy_words

ROWS_SCANNED_MAX = 100_000
ROWS_COUNTED_MAX = 250  # one by one, where no index decides: some 4 ms
GLOB_LENGTH_MAX = 128  # longer patterns are matched in linear time, outside of the index


class Level(StrEnum):
    """What a search finds."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"


_PATIENT = frozenset({*PATIENT_IDENTITY, *PATIENT_ATTRIBUTES})
_STUDY = _PATIENT | {
    *STUDY_COLUMNS,
    *STUDY_ATTRIBUTES,
    "ModalitiesInStudy",
    "SOPClassesInStudy",
}
MATCHABLE: Mapping[Level, frozenset[str]] = {
    Level.PATIENT: _PATIENT,
    Level.STUDY: _STUDY,
    Level.SERIES: _STUDY | {*SERIES_ATTRIBUTES, "SeriesInstanceUID"},
}
PATIENT_COUNTS = frozenset(
    {
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    }
)
STUDY_COUNTS = frozenset({"NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"})
SERIES_COUNTS = frozenset({"NumberOfSeriesRelatedInstances"})
AVAILABILITY = "InstanceAvailability"
COMPUTED: Mapping[Level, frozenset[str]] = {
    Level.PATIENT: PATIENT_COUNTS | {AVAILABILITY},
    Level.STUDY: PATIENT_COUNTS | STUDY_COUNTS | {AVAILABILITY},
    Level.SERIES: PATIENT_COUNTS | STUDY_COUNTS | SERIES_COUNTS | {AVAILABILITY},
}
"""What is computed for a match and not kept, so that nothing can be searched for by it."""
COUNTS: Mapping[Level, frozenset[str]] = {
    Level.PATIENT: PATIENT_COUNTS,
    Level.STUDY: STUDY_COUNTS,
    Level.SERIES: STUDY_COUNTS | SERIES_COUNTS,
}


class Position(NamedTuple):
    """Where a match stands in the order of a search: its study's date (none at PATIENT level),
    the row number of its patient or study, and of its series (0 above)."""

    study_date: str
    number: int
    series: int


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """One search. Newest study first, then the later row; `offset` counts matches.

    Attributes:
        after: only what stands behind this position. Pages that are read so neither repeat nor
            leave out a match because others come in meanwhile.
        study_instance_uid: only below this study (PS3.18 §10.6.1 "Study's Series").
        conditions: all must hold. Every keyword must be in MATCHABLE of the level.
        computed: which attributes of COMPUTED the matches tell; None: those of COUNTS.
        combined_datetime: ranges of a date and its time are one range of moments
            (PS3.4 §C.2.2.2.5.4); a C-FIND without that negotiation turns it off.
        zone: in which dates and times are asked for and told.
        rows_scanned_max: how many rows may be looked at for conditions without an index.
    """

    level: Level
    partition: str
    limit: int
    offset: int = 0
    after: Position | None = None
    study_instance_uid: str | None = None
    conditions: tuple[Condition, ...] = ()
    computed: frozenset[str] | None = None
    combined_datetime: bool = True
    zone: Zone | None = None
    rows_scanned_max: int = ROWS_SCANNED_MAX


class SearchRow(msgspec.Struct, frozen=True):
    """One match: attributes of its level and those above, and counts as text.

    `study` and `series` are row numbers, 0 above their level.
    """

    attributes: dict[str, str]
    study: int = 0
    series: int = 0
    position: Position = Position("", 0, 0)


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
    SOP_CLASSES = "SOPClassesInStudy"  # the same
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
    EMPTY = "empty"  # ("",); no index has it


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
        moments: ranges of a date and its time to check as one.
        zone: in which both are to be read.
    """

    narrowings: tuple[Narrowing, ...]
    first: Column
    checks: tuple[Condition, ...]
    moments: tuple[Pair, ...]
    zone: Zone | None

    @property
    def exact(self) -> bool:
        """Whether the narrowings alone decide, so that rows can be counted unseen."""
        return not self.checks and not self.moments

    def told(self, attributes: Mapping[str, str]) -> Mapping[str, str]:
        """A row's attributes as the asker's clocks have them."""
        return attributes if self.zone is None else zoned(attributes, self.zone)

    def admits(self, told: Mapping[str, str]) -> bool:
        """Whether a candidate row that is told so is a match."""
        if not all(is_within(pair, told) for pair in self.moments):
            return False
        return all(check.matches(told.get(check.keyword)) for check in self.checks)


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
        found, decided = _narrow(condition, search.zone)
        narrowings += found
        if not decided:
            checks.append(condition)
    if search.study_instance_uid is not None:
        if search.level is Level.PATIENT:
            raise UnmatchableError("a patient is not below a study")
        narrowings.append(
            Narrowing(Column.STUDY_UID, Operation.EQUAL, (storable(search.study_instance_uid),))
        )
    moments = pair_up(search.conditions)[0] if search.combined_datetime else ()
    paired = [each for pair in moments for each in pair]
    checks = [check for check in checks if check not in paired]
    return Plan(tuple(narrowings), _first(narrowings), tuple(checks), moments, search.zone)


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


def _narrow(condition: Condition, zone: Zone | None) -> tuple[list[Narrowing], bool]:
    """Narrowings for a condition, and whether they alone decide it."""
    column = _COLUMN_OF.get(condition.keyword)
    values = tuple(storable(value) for value in condition.values)
    if condition.kind == "empty":
        if column is None or column not in _TEXT:
            return [], False
        return [Narrowing(column, Operation.EMPTY, ("",))], True
    if column is None or any("\\" in value for value in values):
        return [], False
    if column is Column.STUDY_DATE and zone is not None:
        return _narrow_date(*days_around(values[0], values[-1])), False
    if column is Column.NAME:
        return _narrow_name(condition.kind, values[0]), False
    if column is Column.SOP_CLASSES and len(values) != 1:
        return [], False
    if condition.kind == "uid_list" and len(values) != 1:
        return [Narrowing(column, Operation.ANY_OF, values)], True
    if condition.kind in ("single", "uid_list"):
        if column in (Column.MODALITIES, Column.SOP_CLASSES):
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
        found.append(Narrowing(Column.STUDY_DATE, Operation.FROM, (padded(start, 8, "0"),)))
    if end:
        found.append(Narrowing(Column.STUDY_DATE, Operation.TO, (padded(end, 8, "9"),)))
    return found


def _narrow_name(kind: str, name: str) -> list[Narrowing]:
    """Narrow by the first component group that is given; a name's groups match one by one."""
    for group in name.split("="):
        if group.strip("* ^"):
            folded = fold(group).rstrip("^ ")
            if kind == "single":
                return [Narrowing(Column.NAME, Operation.EQUAL, (folded,))]
            if kind == "fuzzy":
                # Its letters stand in the name in their order, whatever stands between them.
                patterns = ["*".join(("", *word, "")) for word in fuzzy_words(folded)]
                return [each for pattern in patterns for each in _glob(Column.NAME, pattern)]
            return _narrow_pattern(Column.NAME, folded)
    return []


def _narrow_pattern(column: Column, pattern: str) -> list[Narrowing]:
    """A wildcard pattern as a range where it begins with plain text, and as a GLOB."""
    literal = pattern.split("*", 1)[0].split("?", 1)[0]
    return [*(_prefix(column, literal) if literal else ()), *_glob(column, pattern)]


def _glob(column: Column, pattern: str) -> list[Narrowing]:
    if len(pattern) > GLOB_LENGTH_MAX:
        return []
    return [Narrowing(column, Operation.GLOB, (pattern.replace("[", "[[]"),))]


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

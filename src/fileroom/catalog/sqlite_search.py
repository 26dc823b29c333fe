"""Searches in SQL: candidates by index, checks in Python, details of the matches only."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.query import (
    ROWS_COUNTED_MAX,
    Column,
    Level,
    Narrowing,
    Operation,
    Plan,
    Position,
    Search,
    SearchRow,
    plan,
)
from fileroom.catalog.sqlite_computed import Computed, Numbers
from fileroom.catalog.sqlite_connection import Connection
from fileroom.catalog.sqlite_file import Interrupted, SqliteStore, SQLiteValue, only_int
from fileroom.catalog.sqlite_rejections import hides

_json = msgspec.json.Encoder()
_attributes = msgspec.json.Decoder(dict[str, str])

# Every piece of SQL below is a constant; values are parameters only.
_COLUMNS = {
    Column.PATIENT_ID: "patient.patient_id",
    Column.ISSUER: "patient.issuer",
    Column.NAME: "folded",
    Column.STUDY_UID: "study.uid",
    Column.STUDY_DATE: "study.study_date",
    Column.ACCESSION_NUMBER: "study.accession_number",
    Column.STUDY_ID: "study.study_id",
    Column.MODALITIES: "study.modalities",
    Column.SOP_CLASSES: "study.sop_classes",
    Column.SERIES_UID: "series.uid",
}
_OPERATIONS = {
    Operation.EQUAL: "{} = ?",
    Operation.ANY_OF: "{} IN (SELECT value FROM json_each(?))",
    Operation.FROM: "{} >= ?",
    Operation.TO: "{0} > '' AND {0} <= ?",
    Operation.BELOW: "{} < ?",
    Operation.GLOB: "{} GLOB ?",
    Operation.CONTAINS: "instr({}, ?) > 0",
    Operation.EMPTY: "trim({}, ' \\') = ?",  # as match.Condition has it
}
# An empty number is in no partial index; saying so lets the index be used.
_PATIENT_COLUMNS = {Column.PATIENT_ID, Column.ISSUER}
_INDEXED_IF = {
    Column.ACCESSION_NUMBER: " AND study.accession_number <> ''",
    Column.STUDY_ID: " AND study.study_id <> ''",
}
_STUDY_VALUES = """patient.id, patient.patient_id, patient.issuer, study.id, study.uid,
    study.study_date, study.accession_number, study.study_id, study.modalities,
    study.sop_classes, study.attributes"""
_SELECTED = {
    Level.PATIENT: "patient.id, patient.patient_id, patient.issuer, patient.attributes",
    Level.STUDY: _STUDY_VALUES,
    Level.SERIES: _STUDY_VALUES + ", series.id, series.uid, series.attributes",
}
# The planner has no statistics and would take the index that gives the order. So the tables
# stand in the order in which they are to be read, and a unary plus keeps every index but that
# of the plan's first column from being used.
_OF_PATIENT = " CROSS JOIN patient ON patient.id = study.patient"
_FROM_STUDY = "study" + _OF_PATIENT
_FROM_PATIENT = "patient CROSS JOIN study ON study.patient = patient.id"
_THEN_SERIES = " CROSS JOIN series ON series.study = study.id"
_FROM_SERIES = "series CROSS JOIN study ON study.id = series.study" + _OF_PATIENT
_ORDER = {
    Level.PATIENT: "patient.id DESC",
    Level.STUDY: "study.study_date DESC, study.id DESC",
    Level.SERIES: "study.study_date DESC, study.id DESC, series.id",
}
# What stands behind a position; the date stands alone so that an index can begin with it.
_BEHIND = {
    Level.PATIENT: "patient.id < ?",
    Level.STUDY: "{} <= ? AND (+study.study_date < ? OR +study.id < ?)",
    Level.SERIES: "{} <= ? AND (+study.study_date < ? OR +study.id < ?"
    " OR (+study.id = ? AND +series.id > ?))",
}
_NAMED = {
    Level.PATIENT: "patient.id IN (SELECT patient FROM study WHERE id IN"
    " (SELECT study FROM study_name WHERE {}))",
    Level.STUDY: "study.id IN (SELECT study FROM study_name WHERE {})",
    Level.SERIES: "study.id IN (SELECT study FROM study_name WHERE {})",
}
# What is left of something that was rejected; asked only where anything was.
_SHOWN = {
    Level.PATIENT: "EXISTS (SELECT 1 FROM shown_patient WHERE shown_patient.id = patient.id)",
    Level.STUDY: "EXISTS (SELECT 1 FROM shown_study WHERE shown_study.id = study.id)",
    Level.SERIES: "EXISTS (SELECT 1 FROM shown_series WHERE shown_series.id = series.id)",
}
STEPS_MAX = 100_000_000  # of SQLite's machine, some seconds: the bound of a scan inside SQL
_STEPS_AT_ONCE = 100_000


class SqliteSearch(SqliteStore):
    """`Catalog.search`."""

    def search(self, search: Search) -> list[SearchRow]:
        planned = plan(search)
        if search.limit <= 0:
            return []
        with self._file.reading() as connection, bounded(connection):
            partition = only_int(
                connection, "SELECT number FROM partition WHERE name = ?", (search.partition,)
            )
            hiding = hides(connection)
            sql, values = _candidates(search, planned, partition, hiding=hiding)
            with connection.stream(sql, values) as rows:
                candidates = (_search_row(search.level, row) for row in rows)
                matches = _matches(search, planned, candidates)
            computed = Computed(connection, search.level, search.computed).of(
                [Numbers(each.patient, each.row.study, each.row.series) for each in matches]
            )
            for match, told in zip(matches, computed, strict=True):
                match.row.attributes.update(told)
        return [match.row for match in matches]

    def count(self, search: Search) -> int | None:
        try:
            return self._count(search)
        except SearchTooBroadError:
            return None

    def _count(self, search: Search) -> int | None:
        planned = plan(search)
        with self._file.reading() as connection, bounded(connection):
            partition = only_int(
                connection, "SELECT number FROM partition WHERE name = ?", (search.partition,)
            )
            hiding = hides(connection)
            if planned.exact:
                sql, values = _candidates(search, planned, partition, counted=True, hiding=hiding)
                found = only_int(connection, sql, values)
                return found if found <= search.rows_scanned_max else None
            sql, values = _candidates(search, planned, partition, hiding=hiding)
            with connection.stream(sql, values) as rows:
                found = 0
                for scanned, row in enumerate(rows):
                    if scanned == min(search.rows_scanned_max, ROWS_COUNTED_MAX):
                        return None
                    said = _search_row(search.level, row).row.attributes
                    found += planned.admits(planned.told(said))
        return found


class _Match(msgspec.Struct):
    row: SearchRow
    patient: int


@contextmanager
def bounded(connection: Connection) -> Iterator[None]:
    """Raise SearchTooBroadError in place of going on beyond STEPS_MAX."""
    left = STEPS_MAX // _STEPS_AT_ONCE

    def spend() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(spend, _STEPS_AT_ONCE)
    try:
        yield
    except Interrupted as error:
        raise SearchTooBroadError(f"the search took over {STEPS_MAX} steps") from error
    finally:
        connection.set_progress_handler(None)


def candidates_sql(
    level: Level,
    narrowings: tuple[Narrowing, ...],
    first: Column,
    *,
    behind: bool = False,
    counted: bool = False,
    hiding: bool = False,
) -> str:
    """The statement that finds a search's candidates by the index of the column `first`, or
    counts them; where something is rejected (`hiding`) those of which something is left.

    Its parameters are the partition, the position where it is to be `behind` one, each
    narrowing's operand (a JSON list for ANY_OF; those of the name last), the limit and the
    offset.
    """
    terms = [_partition_term(level, first)]
    if behind:
        date = _COLUMNS[Column.STUDY_DATE]
        terms.append(_BEHIND[level].format(date if first is Column.STUDY_DATE else "+" + date))
    terms += [_term(each, first) for each in narrowings if each.column is not Column.NAME]
    named = [_term(each, Column.NAME) for each in narrowings if each.column is Column.NAME]
    if named:
        terms.append(_NAMED[level].format(" AND ".join(named)))
    if hiding:
        terms.append(_SHOWN[level])
    tables = _tables(level, first)
    if counted and not _PATIENT_COLUMNS & {each.column for each in narrowings}:
        tables = tables.replace(_OF_PATIENT, "")  # every study has one
    found = f"FROM {tables} WHERE {' AND '.join(terms)}"
    if counted:
        return f"SELECT count(*) FROM (SELECT 1 {found} LIMIT ? OFFSET ?)"  # noqa: S608 constants only
    return f"SELECT {_SELECTED[level]} {found} ORDER BY {_ORDER[level]} LIMIT ? OFFSET ?"


def _tables(level: Level, first: Column) -> str:
    if level is Level.PATIENT:
        return "patient"
    if first is Column.SERIES_UID:
        return _FROM_SERIES
    found = _FROM_PATIENT if first is Column.PATIENT_ID else _FROM_STUDY
    return found + _THEN_SERIES if level is Level.SERIES else found


def _partition_term(level: Level, first: Column) -> str:
    if level is Level.PATIENT:
        return "patient.partition = ?"
    return "study.partition = ?" if first is Column.STUDY_DATE else "+study.partition = ?"


def _term(narrowing: Narrowing, first: Column) -> str:
    column = _COLUMNS[narrowing.column]
    if narrowing.column is not first:
        return _OPERATIONS[narrowing.operation].format("+" + column)
    return _OPERATIONS[narrowing.operation].format(column) + _INDEXED_IF.get(first, "")


def _candidates(
    search: Search, planned: Plan, partition: int, *, counted: bool = False, hiding: bool
) -> tuple[str, tuple[SQLiteValue, ...]]:
    after = search.after
    narrowings = [_begun(each, after) for each in planned.narrowings]
    # The name's parameters stand last, as candidates_sql puts its term last.
    narrowings.sort(key=lambda each: each.column is Column.NAME)
    values: list[SQLiteValue] = [partition]
    if after is not None:
        date, number, series = after
        values += {
            Level.PATIENT: (number,),
            Level.STUDY: (date, date, number),
            Level.SERIES: (date, date, number, number, series),
        }[search.level]
    for _, operation, operands in narrowings:
        listed = operation is Operation.ANY_OF
        values.append(_json.encode(operands).decode() if listed else operands[0])
    sql = candidates_sql(
        search.level,
        tuple(narrowings),
        planned.first,
        behind=after is not None,
        counted=counted,
        hiding=hiding,
    )
    window = (search.limit, search.offset)
    if counted or not planned.exact:
        window = (search.rows_scanned_max + 1, 0)
    return sql, (*values, *window)


def _begun(narrowing: Narrowing, after: Position | None) -> Narrowing:
    """A date's upper bound as what is left of it, whichever of the two the index takes."""
    if after is None or narrowing[:2] != (Column.STUDY_DATE, Operation.TO):
        return narrowing
    return narrowing._replace(operands=(min(narrowing.operands[0], after.study_date),))


def _matches(search: Search, planned: Plan, candidates: Iterator[_Match]) -> list[_Match]:
    if planned.exact:
        return [_told(planned, each) for each in candidates]
    found: list[_Match] = []
    skipped = 0
    for scanned, candidate in enumerate(candidates):
        if scanned == search.rows_scanned_max:
            raise SearchTooBroadError(
                f"{scanned} rows were looked at for {len(found)} matches of {search.limit} wanted"
            )
        if not planned.admits(planned.told(candidate.row.attributes)):
            continue
        if skipped < search.offset:
            skipped += 1
            continue
        found.append(_told(planned, candidate))
        if len(found) == search.limit:
            break
    return found


def _told(planned: Plan, match: _Match) -> _Match:
    if planned.zone is not None:
        match.row = msgspec.structs.replace(
            match.row, attributes=dict(planned.told(match.row.attributes))
        )
    return match


def _search_row(level: Level, values: tuple[SQLiteValue, ...]) -> _Match:
    patient = int(str(values[0]))
    found = _present(PatientID=values[1], IssuerOfPatientID=values[2])
    if level is Level.PATIENT:
        found |= _attributes.decode(str(values[3]))
        return _Match(SearchRow(found, position=Position("", patient, 0)), patient)
    study, uid, study_date, accession_number, study_id, modalities, sop_classes, said = values[3:11]
    found |= _attributes.decode(str(said)) | _present(
        StudyInstanceUID=uid,
        StudyDate=study_date,
        AccessionNumber=accession_number,
        StudyID=study_id,
        ModalitiesInStudy=str(modalities).strip("\\"),
        SOPClassesInStudy=str(sop_classes).strip("\\"),
    )
    number, series = int(str(study)), 0
    if level is Level.SERIES:
        series = int(str(values[11]))
        found |= _attributes.decode(str(values[13]))
        found["SeriesInstanceUID"] = str(values[12])
    position = Position(str(study_date), number, series)
    return _Match(SearchRow(found, number, series, position), patient)


def _present(**values: SQLiteValue) -> dict[str, str]:
    return {keyword: str(value) for keyword, value in values.items() if value}

"""Searches in SQL: candidates by index, checks in Python, details of the matches only."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec

from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.query import (
    Column,
    Level,
    Narrowing,
    Operation,
    Plan,
    Search,
    SearchRow,
    plan,
)
from fileroom.catalog.sqlite_file import (
    Connection,
    Interrupted,
    SqliteStore,
    SQLiteValue,
    only_int,
    only_row,
)

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
}
# An empty number is in no partial index; saying so lets the index be used.
_INDEXED_IF = {
    Column.ACCESSION_NUMBER: " AND study.accession_number <> ''",
    Column.STUDY_ID: " AND study.study_id <> ''",
}
_STUDY_VALUES = """study.id, study.uid, study.study_date, study.accession_number, study.study_id,
    study.modalities, study.attributes, patient.patient_id, patient.issuer"""
_SELECTED = {
    Level.PATIENT: "patient.id, patient.patient_id, patient.issuer, patient.attributes",
    Level.STUDY: _STUDY_VALUES,
    Level.SERIES: _STUDY_VALUES + ", series.id, series.uid, series.attributes",
}
# The planner has no statistics and would take the index that gives the order. So the tables
# stand in the order in which they are to be read, and a unary plus keeps every index but that
# of the plan's first column from being used.
_FROM_STUDY = "study CROSS JOIN patient ON patient.id = study.patient"
_FROM_PATIENT = "patient CROSS JOIN study ON study.patient = patient.id"
_THEN_SERIES = " CROSS JOIN series ON series.study = study.id"
_FROM_SERIES = (
    "series CROSS JOIN study ON study.id = series.study"
    " CROSS JOIN patient ON patient.id = study.patient"
)
_ORDER = {
    Level.PATIENT: "patient.id DESC",
    Level.STUDY: "study.study_date DESC, study.id DESC",
    Level.SERIES: "study.study_date DESC, study.id DESC, series.id",
}
_NAMED = {
    Level.PATIENT: "patient.id IN (SELECT patient FROM study WHERE id IN"
    " (SELECT study FROM study_name WHERE {}))",
    Level.STUDY: "study.id IN (SELECT study FROM study_name WHERE {})",
    Level.SERIES: "study.id IN (SELECT study FROM study_name WHERE {})",
}
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
            sql, values = _candidates(search, planned, partition)
            with closing(connection.execute(sql, values)) as rows:
                candidates = (_search_row(search.level, row) for row in rows)
                matches = _matches(search, planned, candidates)
            counts = _Counts(connection)
            for match in matches:
                match.row.attributes.update(counts.of(search.level, match))
        return [match.row for match in matches]


class _Match(msgspec.Struct):
    row: SearchRow
    number: int


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


def candidates_sql(level: Level, narrowings: tuple[Narrowing, ...], first: Column) -> str:
    """The statement that finds a search's candidates by the index of the column `first`.

    Its parameters are the partition, each narrowing's operand (a JSON list for ANY_OF; those of
    the name last), the limit and the offset.
    """
    terms = [_partition_term(level, first)]
    terms += [_term(each, first) for each in narrowings if each.column is not Column.NAME]
    named = [_term(each, Column.NAME) for each in narrowings if each.column is Column.NAME]
    if named:
        terms.append(_NAMED[level].format(" AND ".join(named)))
    return (
        f"SELECT {_SELECTED[level]} FROM {_tables(level, first)}"  # noqa: S608 constants only
        f" WHERE {' AND '.join(terms)} ORDER BY {_ORDER[level]} LIMIT ? OFFSET ?"
    )


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
    search: Search, planned: Plan, partition: int
) -> tuple[str, tuple[SQLiteValue, ...]]:
    # The name's parameters stand last, as candidates_sql puts its term last.
    narrowings = sorted(planned.narrowings, key=lambda each: each.column is Column.NAME)
    values: list[SQLiteValue] = [partition]
    for _, operation, operands in narrowings:
        listed = operation is Operation.ANY_OF
        values.append(_json.encode(operands).decode() if listed else operands[0])
    window = (search.limit, search.offset) if planned.exact else (search.rows_scanned_max + 1, 0)
    return candidates_sql(search.level, tuple(narrowings), planned.first), (*values, *window)


def _matches(search: Search, planned: Plan, candidates: Iterator[_Match]) -> list[_Match]:
    if planned.exact:
        return list(candidates)
    found: list[_Match] = []
    skipped = 0
    for scanned, candidate in enumerate(candidates):
        if scanned == search.rows_scanned_max:
            raise SearchTooBroadError(
                f"{scanned} rows were looked at for {len(found)} matches of {search.limit} wanted"
            )
        if not planned.admits(candidate.row.attributes):
            continue
        if skipped < search.offset:
            skipped += 1
            continue
        found.append(candidate)
        if len(found) == search.limit:
            break
    return found


def _search_row(level: Level, values: tuple[SQLiteValue, ...]) -> _Match:
    if level is Level.PATIENT:
        number, patient_id, issuer, said = values
        found = _attributes.decode(str(said)) | _present(
            PatientID=patient_id, IssuerOfPatientID=issuer
        )
        return _Match(SearchRow(found), int(str(number)))
    study, uid, study_date, accession_number, study_id, modalities, said, patient_id, issuer = (
        values[:9]
    )
    found = _attributes.decode(str(said)) | _present(
        StudyInstanceUID=uid,
        StudyDate=study_date,
        AccessionNumber=accession_number,
        StudyID=study_id,
        ModalitiesInStudy=str(modalities).strip("\\"),
        PatientID=patient_id,
        IssuerOfPatientID=issuer,
    )
    if level is Level.STUDY:
        return _Match(SearchRow(found, int(str(study))), int(str(study)))
    series, series_uid, series_said = values[9:]
    found |= _attributes.decode(str(series_said))
    found["SeriesInstanceUID"] = str(series_uid)
    return _Match(SearchRow(found, int(str(study)), int(str(series))), int(str(series)))


def _present(**values: SQLiteValue) -> dict[str, str]:
    return {keyword: str(value) for keyword, value in values.items() if value}


class _Counts:
    """The counts of PS3.18 Tables 10.6.3-3 and 10.6.3-4 for the matches of one search."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._studies: dict[int, dict[str, str]] = {}

    def of(self, level: Level, match: _Match) -> dict[str, str]:
        if level is Level.PATIENT:
            names = ("Studies", "Series", "Instances")
            found = only_row(self._connection, _PATIENT_COUNTS, (match.number,))
            return {
                f"NumberOfPatientRelated{name}": str(count)
                for name, count in zip(names, found, strict=True)
            }
        study = match.row.study
        if study not in self._studies:
            series, instances = only_row(self._connection, _STUDY_COUNTS, (study,))
            self._studies[study] = {
                "NumberOfStudyRelatedSeries": str(series),
                "NumberOfStudyRelatedInstances": str(instances),
            }
        if level is Level.STUDY:
            return self._studies[study]
        instances = only_int(self._connection, _SERIES_COUNT, (study, match.row.series))
        return self._studies[study] | {"NumberOfSeriesRelatedInstances": str(instances)}

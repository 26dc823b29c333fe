"""Hot queries use an index. SQLite says so itself."""

import re

import pytest

from conform.catalog_samples import NODE, spooled
from fileroom.catalog import (
    sqlite_arrivals,
    sqlite_commitments,
    sqlite_computed,
    sqlite_conflicts,
    sqlite_holdings,
    sqlite_intake,
    sqlite_notes,
    sqlite_packs,
    sqlite_rejections,
    sqlite_seal,
)
from fileroom.catalog import sqlite_search as search
from fileroom.catalog.query import Level, Search, plan
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.dicom.match import parse
from fileroom.disk import Disk


@pytest.fixture
def catalog(tmp_path):
    catalog = SqliteCatalog.create(
        tmp_path / "catalog.db", key=b"k" * 32, clock=ManualClock(), disk=Disk()
    )
    catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)
    yield catalog
    catalog.close()


def explain(catalog: SqliteCatalog, sql: str) -> str:
    count = max([sql.count("?"), *(int(n) for n in re.findall(r"\?(\d)", sql))])
    numbered = re.findall(r"\?(\d+)", sql)
    values = (None,) * (max(map(int, numbered)) if numbered else count)
    with catalog._file.reading() as connection:
        steps = connection.execute("EXPLAIN QUERY PLAN " + sql, values).fetchall()
    return "\n".join(str(step[3]) for step in steps)


def candidates(
    level: Level,
    *,
    behind: bool = False,
    counted: bool = False,
    hiding: bool = False,
    **keys: str,
) -> str:
    conditions = tuple(parse(keyword, text) for keyword, text in keys.items())
    planned = plan(Search(level=level, partition="main", limit=9, conditions=conditions))
    return search.candidates_sql(
        level,
        planned.narrowings,
        planned.first,
        behind=behind,
        counted=counted,
        hiding=hiding,
    )


@pytest.mark.parametrize(
    ("keys", "step"),
    [
        ({}, "study_by_date (partition=?)"),
        ({"StudyInstanceUID": "1.2"}, "study USING INDEX sqlite_autoindex_study_1 (uid=?)"),
        ({"StudyInstanceUID": "1.2\\1.3"}, "study USING INDEX sqlite_autoindex_study_1 (uid=?)"),
        ({"AccessionNumber": "A"}, "study_by_accession_number (accession_number=?)"),
        ({"AccessionNumber": "A*"}, "study_by_accession_number (accession_number>?"),
        ({"StudyID": "S"}, "study_by_study_id (study_id=?)"),
        ({"PatientID": "P"}, "sqlite_autoindex_patient_1 (patient_id=?)"),
        ({"PatientID": "P*"}, "sqlite_autoindex_patient_1 (patient_id>? AND patient_id<?)"),
        ({"PatientID": "P", "StudyDate": "20240101-"}, "study_by_patient (patient=?)"),
        ({"PatientName": "DOE*"}, "study_name USING PRIMARY KEY (folded>? AND folded<?)"),
        ({"PatientName": "DOE^J", "StudyDate": "2024"}, "study USING INTEGER PRIMARY KEY"),
        ({"StudyDate": "20240101"}, "study_by_date (partition=? AND study_date=?)"),
        (
            {"StudyDate": "20240101-20240102"},
            "study_by_date (partition=? AND study_date>? AND study_date<?)",
        ),
    ],
)
@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES])
@pytest.mark.parametrize("hiding", [False, True])
def test_a_search_begins_with_the_index_of_its_most_narrowing_key(
    catalog, level, hiding, keys, step
):
    steps = explain(catalog, candidates(level, hiding=hiding, **keys))
    assert step in steps
    assert "SCAN study" not in steps
    assert "SCAN patient" not in steps
    assert "SCAN series" not in steps


def test_a_search_by_date_needs_no_sorting(catalog):
    for keys in ({}, {"StudyDate": "20240101-20240102"}, {"ModalitiesInStudy": "CT"}):
        for level in (Level.STUDY, Level.SERIES):
            for hiding in (False, True):
                steps = explain(catalog, candidates(level, hiding=hiding, **keys))
                assert "TEMP B-TREE" not in steps


def test_a_further_page_begins_where_the_last_one_ended(catalog):
    for keys in ({}, {"StudyDate": "20240101-"}, {"ModalitiesInStudy": "CT"}):
        for level in (Level.STUDY, Level.SERIES):
            steps = explain(catalog, candidates(level, behind=True, **keys))
            assert re.search(r"study_by_date \(partition=\? AND study_date[<>]\?", steps), steps
            assert "TEMP B-TREE" not in steps
    steps = explain(catalog, candidates(Level.PATIENT, behind=True))
    assert "patient USING INTEGER PRIMARY KEY (rowid<?)" in steps
    steps = explain(catalog, candidates(Level.STUDY, behind=True, PatientName="DOE*"))
    assert "study_name USING PRIMARY KEY (folded>? AND folded<?)" in steps


def test_matches_are_counted_in_the_index_alone(catalog):
    for keys in ({}, {"StudyDate": "20240101-20240102"}):
        for behind in (False, True):
            sql = candidates(Level.STUDY, behind=behind, counted=True, **keys)
            steps = explain(catalog, sql)
            assert "study USING COVERING INDEX study_by_date" in steps
            assert "patient" not in steps
    steps = explain(catalog, candidates(Level.STUDY, counted=True, PatientID="P"))
    assert "sqlite_autoindex_patient_1 (patient_id=?)" in steps


def test_a_series_search_begins_with_the_series(catalog):
    steps = explain(catalog, candidates(Level.SERIES, SeriesInstanceUID="1.2"))
    assert "series USING INDEX sqlite_autoindex_series_1 (uid=?)" in steps.split("\n")[0]


@pytest.mark.parametrize(
    ("sql", "allowed_scans"),
    [
        *(
            (sql, {"listed", "json_each"})
            for kind in sqlite_computed.KINDS
            for sql in (kind.statement(""), kind.statement("shown_"), kind.rejected())
        ),
        (sqlite_intake._INSERT_SPOOLED, {"json_each"}),
        (sqlite_intake._RECOUNT_PENDING, set()),
        (sqlite_intake._SPOOLED_OF_SERIES, set()),
        (sqlite_intake._HELD_FROM, set()),
        (sqlite_seal._SERIES_TO_SEAL, {"pending"}),
        (sqlite_seal._EXISTING, {"json_each"}),
        (sqlite_seal._CONFLICTING, {"json_each"}),
        (sqlite_seal._SETTLE, {"json_each"}),
        (sqlite_seal._SERIES_OF, {"json_each"}),
        (sqlite_holdings._LOCATE_SPOOLED, {"pending"}),
        (sqlite_holdings._ALL_UNPACKED, set()),
        (sqlite_holdings._SHOWN_UNPACKED, set()),
        (sqlite_holdings._SHOWN_PACKS, set()),
        (sqlite_holdings._REJECTED_PLACES, set()),
        (sqlite_notes._QUEUE, {"json_each"}),
        (sqlite_rejections._IS_HIDDEN, set()),
        (sqlite_rejections._TAKE_OVER, {"json_each"}),
        *((sql, {"json_each"}) for sql in sqlite_rejections._KEPT),
        *((f"SELECT 1 FROM shown_{each} WHERE id = ?", set()) for each in ("series", "study")),
        ("SELECT 1 FROM shown_patient WHERE id = ?", set()),
        (sqlite_holdings._CONFLICTS_OF_STUDY, set()),
        (sqlite_packs._PACKS_OF_NUMBERS, {"json_each"}),
        (sqlite_packs._PACKS_IN_STATE, set()),
        (sqlite_packs._PACKS_AFTER, set()),
        (sqlite_packs._EVICTABLE, set()),
        (sqlite_packs._UNVERIFIED, set()),
        (sqlite_arrivals._OF_STUDY, set()),
        (sqlite_arrivals._IN_STATE, set()),
        (sqlite_arrivals._TO_ASK, set()),
        (sqlite_arrivals._FORGET, set()),
        (sqlite_arrivals._HELD, set()),
        (sqlite_arrivals._FIND, {"pending"}),
        (sqlite_conflicts._SETTLED_AMONG, {"json_each"}),
        (sqlite_conflicts._TO_SERVE, set()),
        (sqlite_conflicts._SERVED, set()),
        (sqlite_conflicts._OTHERS, set()),
        (sqlite_conflicts._STUDY_PATIENT, set()),
        (sqlite_conflicts._OTHER_PATIENTS, set()),
        ("DELETE FROM other_patient WHERE pack = ?", set()),
        (sqlite_commitments._BY_TRANSACTION, set()),
        (sqlite_commitments._TO_REPORT, set()),
        (sqlite_commitments._FORGET_REPORTED, set()),
        (sqlite_commitments._SERVED, {"json_each"}),
        (sqlite_commitments._CONFLICTS, {"json_each"}),
        (sqlite_commitments._SPOOLED, {"json_each", "spooled"}),
        ("SELECT min(received_oldest_ns) FROM pack WHERE state = ?", set()),
    ],
)
def test_a_stages_query_scans_no_table(catalog, sql, allowed_scans):
    steps = explain(catalog, sql)
    scans = set(re.findall(r"SCAN (?!CONSTANT ROW)(\S+)", steps))
    assert scans <= allowed_scans, steps


def test_spooled_rows_of_a_series_are_found_by_the_series(catalog):
    steps = explain(catalog, sqlite_holdings._ALL_UNPACKED)
    assert "spooled_by_series (series=?)" in steps
    assert "instance USING PRIMARY KEY (uid_digest=?)" in steps


def test_studies_that_come_are_found_without_those_that_have_come(catalog):
    for sql, index in (
        (sqlite_arrivals._IN_STATE, "arrival_by_state (state=?)"),
        (sqlite_arrivals._TO_ASK, "arrival_to_ask (ask_at_ns>? AND ask_at_ns<?)"),
    ):
        steps = explain(catalog, sql)
        assert index in steps
        assert "TEMP B-TREE" not in steps


def test_commitments_are_found_without_those_that_are_over(catalog):
    for sql, index in (
        (sqlite_commitments._WAITING, "commitment_waiting"),
        (sqlite_commitments._COUNT_WAITING, "commitment_waiting"),
        (sqlite_commitments._COUNT_JUDGED, "commitment_judged"),
        (sqlite_commitments._TO_REPORT, "commitment_judged"),
    ):
        steps = explain(catalog, sql)
        assert index in steps
        assert "TEMP B-TREE" not in steps


def test_looking_for_spooled_instances_reads_their_index_only(catalog):
    assert "COVERING INDEX spooled_by_series" in explain(catalog, sqlite_commitments._SPOOLED)

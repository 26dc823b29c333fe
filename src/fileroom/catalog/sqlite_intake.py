"""Instances on their way in: spooled rows, and the series, studies and patients they tell of."""

from collections.abc import Collection, Sequence

import msgspec

from fileroom.catalog.errors import SegmentInUseError, SpoolPlaceError
from fileroom.catalog.levels import Description, describe, storable
from fileroom.catalog.query import folded_groups
from fileroom.catalog.rows import HeldRecord, NewSpooled, SeriesPlace, SpooledRow, SpoolPlace
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.catalog.sqlite_file import SqliteFile, SqliteStore, node_number, only_int
from fileroom.catalog.sqlite_notes import may_reject, queue_notes
from fileroom.dicom.header import Header
from fileroom.dicom.uid import digest

_HELD_FROM = "SELECT id FROM held WHERE id >= ? ORDER BY id LIMIT 1"
_HELD_IN = """
SELECT id, 0 FROM spooled WHERE id >= ?1 AND id < ?2
UNION ALL SELECT id, 1 FROM set_aside WHERE id >= ?1 AND id < ?2 ORDER BY 1
"""

# A move of rows between the queue and what was set aside: whose counts change, and two steps.
_SET_ASIDE = (
    """
SELECT DISTINCT series FROM json_each(?) CROSS JOIN spooled ON spooled.id = value
""",
    """
INSERT OR REPLACE INTO set_aside
SELECT spooled.* FROM json_each(?) CROSS JOIN spooled ON spooled.id = value
""",
    """
DELETE FROM spooled WHERE id IN (SELECT value FROM json_each(?))
""",
)
_TAKE_UP = (
    """
SELECT DISTINCT series FROM json_each(?) CROSS JOIN set_aside ON set_aside.id = value
""",
    """
INSERT OR IGNORE INTO spooled
SELECT set_aside.* FROM json_each(?) CROSS JOIN set_aside ON set_aside.id = value
""",
    """
DELETE FROM set_aside WHERE id IN (SELECT value FROM json_each(?)) AND EXISTS
    (SELECT 1 FROM spooled WHERE spooled.id = set_aside.id AND spooled.sha256 = set_aside.sha256)
""",
)

OFFSET_BITS = 40
SEGMENT_MAX = (1 << 23) - 1
SERIES_REMEMBERED_MAX = 4096
# Partition, Study and Series Instance UID, and the SOP class, which the study's row tells too.
SeriesKey = tuple[str, str, str, str]

_json = msgspec.json.Encoder()
_attributes = msgspec.json.Decoder(dict[str, str])

# The whole batch is one statement, so the interpreter lock changes hands once and not per row.
_INSERT_SPOOLED = """
INSERT OR IGNORE INTO spooled (id, series, uid_digest, size_bytes, sha256, received_at_ns, node)
SELECT value ->> 0 AS place, value ->> 1, unhex(value ->> 2), value ->> 3,
       unhex(value ->> 4), value ->> 5, ?2
FROM json_each(?1)
WHERE NOT EXISTS (SELECT 1 FROM settled WHERE settled.id = place
                  AND sha256_head = unhex(substr(value ->> 4, 1, 16)))
  AND NOT EXISTS (SELECT 1 FROM set_aside WHERE set_aside.id = place
                  AND set_aside.sha256 = unhex(value ->> 4))
"""
_COUNT_MISPLACED = """
SELECT count(*) FROM json_each(?) JOIN spooled ON spooled.id = value ->> 0
WHERE spooled.sha256 <> unhex(value ->> 4)
"""
_ADD_PENDING = """
INSERT INTO pending VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (series) DO UPDATE SET spooled_count = spooled_count + ?2,
    spooled_bytes = spooled_bytes + ?3, oldest_ns = min(oldest_ns, ?4),
    newest_ns = max(newest_ns, ?5)
"""
_RECOUNT_PENDING = """
INSERT OR REPLACE INTO pending
SELECT series, count(*), sum(size_bytes), min(received_at_ns), max(received_at_ns)
FROM spooled WHERE series = ? GROUP BY series
"""
_SPOOLED_OF_SERIES = """
SELECT id, series, uid_digest, size_bytes, sha256, received_at_ns
FROM spooled WHERE series = ? ORDER BY id
"""


def spool_id(segment: int, offset: int) -> int:
    """The row number of the spool record at a place."""
    assert 0 <= segment <= SEGMENT_MAX
    assert 0 <= offset < 1 << OFFSET_BITS
    return segment << OFFSET_BITS | offset


def spool_place(id: int) -> SpoolPlace:
    """The reverse of `spool_id`."""
    return SpoolPlace(id >> OFFSET_BITS, id & (1 << OFFSET_BITS) - 1)


def spooled_row(
    id: int, series: int, uid_digest: bytes, size_bytes: int, sha256: bytes, received_at_ns: int
) -> SpooledRow:
    return SpooledRow(id, spool_place(id), series, uid_digest, size_bytes, sha256, received_at_ns)


class SqliteIntake(SqliteStore):
    """The methods of `Catalog` that record spooled instances and their descriptions."""

    def __init__(self, file: SqliteFile) -> None:
        super().__init__(file)
        # Committed row numbers of series lately received; numbers are never reused.
        self._series: dict[SeriesKey, SeriesPlace] = {}

    def record_spooled(self, rows: Sequence[NewSpooled], *, node_id: str) -> None:
        if not rows:
            return
        found: dict[SeriesKey, SeriesPlace] = {}
        with self._file.writing() as connection:
            records, sums = self._take_apart(connection, rows, found)
            batch = _json.encode(records).decode()
            connection.execute(_INSERT_SPOOLED, (batch, node_number(connection, node_id)))
            if connection.changes() == len(records):
                for series, values in sums.items():
                    connection.execute(_ADD_PENDING, (series, *values))
            else:  # a replay: some of these were recorded before, in this batch or another
                if only_int(connection, _COUNT_MISPLACED, (batch,)):
                    raise SpoolPlaceError("a spool place already names another instance")
                for series in sums:
                    recount_pending(connection, series)
            notes = [spool_id(each.segment, each.offset) for each in rows if may_reject(each)]
            queue_notes(connection, notes)
        if len(self._series) + len(found) > SERIES_REMEMBERED_MAX:
            self._series.clear()
        self._series.update(found)

    def record_series(self, partition: str, header: Header) -> SeriesPlace:
        with self._file.writing() as connection:
            return _upsert(connection, partition, header)

    def spooled_of_series(self, series: int, *, bytes_max: int) -> list[SpooledRow]:
        taken: list[SpooledRow] = []
        taken_bytes = 0
        with (
            self._file.reading() as connection,
            connection.stream(_SPOOLED_OF_SERIES, (series,)) as found,
        ):
            for values in found:
                row = spooled_row(*values)
                taken_bytes += row.size_bytes
                if taken and taken_bytes > bytes_max:
                    break
                taken.append(row)
        return taken

    def set_aside(self, spooled_ids: Collection[int]) -> None:
        self._move(spooled_ids, *_SET_ASIDE)

    def take_up(self, spooled_ids: Collection[int]) -> None:
        self._move(spooled_ids, *_TAKE_UP)

    def segments_in_use(self) -> set[int]:
        found: set[int] = set()
        with self._file.reading() as connection:
            while True:  # from each segment's first record over to the next segment
                first = max(found, default=-1) + 1 << OFFSET_BITS
                row = connection.execute(_HELD_FROM, (first,)).fetchone()
                if row is None:
                    return found
                found.add(row[0] >> OFFSET_BITS)

    def held(self, segment: int) -> list[HeldRecord]:
        bounds = (segment << OFFSET_BITS, segment + 1 << OFFSET_BITS)
        with self._file.reading() as connection:
            return [
                HeldRecord(id, spool_place(id), bool(aside))
                for id, aside in connection.execute(_HELD_IN, bounds)
            ]

    def settled_count(self, segment: int) -> int:
        bounds = (segment << OFFSET_BITS, segment + 1 << OFFSET_BITS)
        with self._file.reading() as connection:
            return only_int(
                connection, "SELECT count(*) FROM settled WHERE id >= ? AND id < ?", bounds
            )

    def forget_segment(self, segment: int) -> None:
        bounds = (segment << OFFSET_BITS, segment + 1 << OFFSET_BITS)
        with self._file.writing() as connection:
            held = only_int(
                connection,
                "SELECT count(*) FROM held WHERE id >= ? AND id < ?",
                bounds,
            )
            if held:
                raise SegmentInUseError(f"segment {segment} holds {held} instances")
            connection.execute("DELETE FROM settled WHERE id >= ? AND id < ?", bounds)

    def _move(self, spooled_ids: Collection[int], touched: str, insert: str, delete: str) -> None:
        listed = _json.encode(list(spooled_ids)).decode()
        with self._file.writing() as connection:
            series: list[Row] = connection.execute(touched, (listed,)).fetchall()
            connection.execute(insert, (listed,))
            connection.execute(delete, (listed,))
            for (number,) in series:
                recount_pending(connection, number)

    def _take_apart(
        self,
        connection: Connection,
        rows: Sequence[NewSpooled],
        found: dict[SeriesKey, SeriesPlace],
    ) -> tuple[list[tuple[int | str, ...]], dict[int, list[int]]]:
        """The batch as records of _INSERT_SPOOLED, and what it adds to each series.

        Rows of series that are not remembered are looked up or made, and put into `found`.
        """
        records: list[tuple[int | str, ...]] = []
        sums: dict[int, list[int]] = {}
        for row in rows:
            header = row.header
            key = (
                row.partition,
                header.study_instance_uid,
                header.series_instance_uid,
                header.sop_class_uid,
            )
            place = self._series.get(key) or found.get(key)
            if place is None:
                place = found[key] = _upsert(connection, row.partition, header)
            at_ns = row.received_at_ns
            records.append(
                (
                    spool_id(row.segment, row.offset),
                    place.series,
                    digest(header.sop_instance_uid).hex(),
                    row.size_bytes,
                    row.sha256.hex(),
                    at_ns,
                )
            )
            added = sums.setdefault(place.series, [0, 0, at_ns, at_ns])
            added[0] += 1
            added[1] += row.size_bytes
            added[2] = min(added[2], at_ns)
            added[3] = max(added[3], at_ns)
        return records, sums


def recount_pending(connection: Connection, series: int) -> None:
    """Bring the sealing queue's row of a series in line with its spooled rows."""
    connection.execute("DELETE FROM pending WHERE series = ?", (series,))
    connection.execute(_RECOUNT_PENDING, (series,))


def _upsert(connection: Connection, partition: str, header: Header) -> SeriesPlace:
    """Find or make the rows of an instance's series, study and patient.

    What the rows say was said by the first instance; attributes that it lacked are filled in.
    """
    described = describe(header)
    part = _partition_number(connection, partition)
    study_uid = storable(header.study_instance_uid)
    row = connection.execute(
        "SELECT id, attributes, modalities, sop_classes FROM study WHERE uid = ? AND partition = ?",
        (study_uid, part),
    ).fetchone()
    if row is None:
        study, modalities = _insert_study(connection, part, study_uid, described), "\\"
        sop_classes = modalities
    else:
        study, said, modalities, sop_classes = row
        _fill_in_study(connection, study, said, described)
    modalities_now = _with(modalities, described.modality)
    sop_classes_now = _with(sop_classes, storable(header.sop_class_uid))
    if (modalities_now, sop_classes_now) != (modalities, sop_classes):
        connection.execute(
            "UPDATE study SET modalities = ?, sop_classes = ? WHERE id = ?",
            (modalities_now, sop_classes_now, study),
        )
    series_uid = storable(header.series_instance_uid)
    row = connection.execute(
        "SELECT id, attributes FROM series WHERE uid = ? AND study = ?", (series_uid, study)
    ).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO series (study, uid, attributes) VALUES (?, ?, ?)",
            (study, series_uid, _json.encode(described.series).decode()),
        )
        return SeriesPlace(study, connection.last_insert_rowid())
    series, said = row
    merged = _filled_in(said, described.series)
    if merged:
        connection.execute("UPDATE series SET attributes = ? WHERE id = ?", (merged, series))
    return SeriesPlace(study, series)


def _with(values: str, value: str) -> str:
    """A list of values, each between backslashes, with one more if that is new."""
    return values if not value or f"\\{value}\\" in values else f"{values}{value}\\"


def _insert_study(
    connection: Connection, partition: int, study_uid: str, described: Description
) -> int:
    connection.execute(
        "INSERT INTO study (partition, patient, uid, study_date, accession_number, study_id,"
        " modalities, attributes) VALUES (?, ?, ?, ?, ?, ?, '\\', ?)",
        (
            partition,
            _patient(connection, partition, study_uid, described),
            study_uid,
            described.study_date,
            described.accession_number,
            described.study_id,
            _json.encode(described.study).decode(),
        ),
    )
    study = connection.last_insert_rowid()
    _insert_name(connection, study, described)
    return study


def _insert_name(connection: Connection, study: int, described: Description) -> None:
    for folded in folded_groups(described.study.get("PatientName", "")):
        connection.execute("INSERT OR IGNORE INTO study_name VALUES (?, ?)", (folded, study))


def _fill_in_study(connection: Connection, study: int, said: str, described: Description) -> None:
    merged = _filled_in(said, described.study)
    if merged:
        if "PatientName" not in _attributes.decode(said):
            _insert_name(connection, study, described)
        connection.execute("UPDATE study SET attributes = ? WHERE id = ?", (merged, study))
    for update, value in (
        ("UPDATE study SET study_date = ? WHERE id = ? AND study_date = ''", described.study_date),
        (
            "UPDATE study SET accession_number = ? WHERE id = ? AND accession_number = ''",
            described.accession_number,
        ),
        ("UPDATE study SET study_id = ? WHERE id = ? AND study_id = ''", described.study_id),
    ):
        if value:
            connection.execute(update, (value, study))


def _patient(connection: Connection, partition: int, study_uid: str, described: Description) -> int:
    lone_study = "" if described.patient_id else study_uid
    row = connection.execute(
        "SELECT id, attributes FROM patient"
        " WHERE patient_id = ? AND issuer = ? AND lone_study = ? AND partition = ?",
        (described.patient_id, described.issuer, lone_study, partition),
    ).fetchone()
    if row is not None:
        patient, said = row
        merged = _filled_in(said, described.patient)
        if merged:
            connection.execute("UPDATE patient SET attributes = ? WHERE id = ?", (merged, patient))
        return int(patient)
    connection.execute(
        "INSERT INTO patient (partition, patient_id, issuer, lone_study, attributes)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            partition,
            described.patient_id,
            described.issuer,
            lone_study,
            _json.encode(described.patient).decode(),
        ),
    )
    return connection.last_insert_rowid()


def _partition_number(connection: Connection, name: str) -> int:
    number = only_int(connection, "SELECT number FROM partition WHERE name = ?", (name,))
    if not number:
        connection.execute("INSERT INTO partition (name) VALUES (?)", (name,))
        number = connection.last_insert_rowid()
    return number


def _filled_in(said: str, described: dict[str, str]) -> str:
    """A row's attributes with those it did not have before; "" if there are none to add."""
    known = _attributes.decode(said)
    if described.keys() <= known.keys():
        return ""
    return _json.encode(described | known).decode()

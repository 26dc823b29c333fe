"""Which of several data sets under one UID is served, and studies that say two patients."""

from collections.abc import Sequence

import msgspec

from fileroom.catalog.conflicts import (
    OTHERS_MAX,
    ConflictTotals,
    Contested,
    DoubtedStudy,
    OtherPatient,
    Settlement,
    is_another,
    study_patient,
)
from fileroom.catalog.rows import InstancePlace, NewPack, SaidPatient, Sealed
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.catalog.sqlite_file import SqliteStore, only_int, only_row

_json = msgspec.json.Encoder()
_attributes = msgspec.json.Decoder(dict[str, str])

_SETTLE = """
INSERT INTO settlement VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (uid_digest) DO UPDATE SET served_sha256 = ?2, ledger_index = ?3,
    decided_at_ns = ?4, decided_by = ?5, reason = ?6
WHERE ledger_index < ?3
"""
_PLACE_KNOWN = """
INSERT OR REPLACE INTO settled_place SELECT number, ?2, ?3, 0 FROM pack WHERE sha256 = ?1
"""
_IS_KNOWN = "SELECT count(*) FROM settled_data_set WHERE pack_sha256 = ? AND ordinal = ?"
_SETTLED_AMONG = """
SELECT uid_digest FROM json_each(?) CROSS JOIN settlement ON uid_digest = unhex(value)
"""
# A place of the data set that was decided on, where another one is served: the first that is no
# repeated one.
_TO_SERVE = """
SELECT conflict.pack, conflict.ordinal FROM settlement
CROSS JOIN conflict ON conflict.uid_digest = settlement.uid_digest
CROSS JOIN settled_place ON settled_place.pack = conflict.pack
    AND settled_place.ordinal = conflict.ordinal AND sha256 = served_sha256
WHERE settlement.uid_digest = ? ORDER BY same, conflict.pack, conflict.ordinal LIMIT 1
"""
_SERVED = """
SELECT instance.pack, instance.ordinal, coalesce(sha256 = served_sha256, 0),
    coalesce(replacement, 1)
FROM settlement CROSS JOIN instance ON instance.uid_digest = settlement.uid_digest
LEFT JOIN settled_place
    ON settled_place.pack = instance.pack AND settled_place.ordinal = instance.ordinal
WHERE settlement.uid_digest = ?
"""
_CONTESTED = """
SELECT DISTINCT uid_digest FROM conflict
WHERE same = 0 AND uid_digest > ?1
  AND (?3 OR uid_digest NOT IN (SELECT uid_digest FROM standing_settlement))
ORDER BY uid_digest LIMIT ?2
"""
_OTHERS = """
SELECT pack, ordinal FROM conflict WHERE uid_digest = ? AND same = 0 ORDER BY pack, ordinal
"""
_STANDING = "SELECT count(*) FROM standing_settlement WHERE uid_digest = ?"
_COUNT_OPEN = """
SELECT count(DISTINCT uid_digest) FROM conflict
WHERE same = 0 AND uid_digest NOT IN (SELECT uid_digest FROM standing_settlement)
"""
_STUDY_PATIENT = """
SELECT patient_id, issuer, study.attributes
FROM study CROSS JOIN patient ON patient.id = study.patient WHERE study.id = ?
"""
_DOUBTED = """
SELECT study.id, partition.name, study.uid, patient_id, issuer, study.attributes
FROM (SELECT DISTINCT study FROM other_patient WHERE study > ?1 ORDER BY study LIMIT ?2) AS doubted
CROSS JOIN study ON study.id = doubted.study
CROSS JOIN patient ON patient.id = study.patient
CROSS JOIN partition ON partition.number = study.partition
ORDER BY study.id
"""
_OTHER_PATIENTS = """
SELECT series.uid, patient_id, issuer, name, birth_date, sum(instance_count)
FROM other_patient CROSS JOIN series ON series.id = other_patient.series
WHERE other_patient.study = ?
GROUP BY series.uid, patient_id, issuer, name, birth_date
ORDER BY series.uid, patient_id, issuer, name, birth_date LIMIT ?
"""


class SqliteConflicts(SqliteStore):
    """The methods of `Catalog` about conflicts."""

    def record_settlement(self, settlement: Settlement) -> None:
        uid_digest = settlement.uid_digest
        with self._file.writing() as connection:
            connection.execute(
                _SETTLE,
                (
                    uid_digest,
                    settlement.served_sha256,
                    settlement.ledger_index,
                    settlement.decided_at_ns,
                    settlement.decided_by,
                    settlement.reason,
                ),
            )
            for pack_sha256, ordinal, sha256 in settlement.known:
                connection.execute(
                    "INSERT OR IGNORE INTO settled_data_set VALUES (?, ?, ?, ?)",
                    (pack_sha256, ordinal, uid_digest, sha256),
                )
                connection.execute(_PLACE_KNOWN, (pack_sha256, ordinal, sha256))
            _serve_as_settled(connection, uid_digest)

    def contested(self, *, after: bytes = b"", limit: int, settled: bool = True) -> list[Contested]:
        with self._file.reading() as connection:
            found: list[Row] = connection.execute(_CONTESTED, (after, limit, settled)).fetchall()
            return [_contested(connection, uid_digest) for (uid_digest,) in found]

    def contest(self, uid_digest: bytes) -> Contested | None:
        with self._file.reading() as connection:
            found = _contested(connection, uid_digest)
        return found if found.others else None

    def doubted_studies(self, *, after: int = 0, limit: int) -> list[DoubtedStudy]:
        with self._file.reading() as connection:
            found: list[Row] = connection.execute(_DOUBTED, (after, limit)).fetchall()
            return [
                DoubtedStudy(
                    study=study,
                    partition=partition,
                    study_instance_uid=uid,
                    patient=study_patient(patient_id, issuer, _attributes.decode(attributes)),
                    others=tuple(
                        OtherPatient(series_instance_uid=series_uid, said=SaidPatient(*said))
                        for series_uid, *said in connection.execute(
                            _OTHER_PATIENTS, (study, OTHERS_MAX)
                        )
                    ),
                )
                for study, partition, uid, patient_id, issuer, attributes in found
            ]

    def conflict_totals(self) -> ConflictTotals:
        with self._file.reading() as connection:
            return ConflictTotals(
                open=only_int(connection, _COUNT_OPEN),
                doubted_studies=only_int(
                    connection, "SELECT count(DISTINCT study) FROM other_patient"
                ),
            )


def serve_as_settled(
    connection: Connection, number: int, pack: NewPack, sealed: Sequence[Sealed]
) -> None:
    """Serve what was decided, now that a pack is recorded with these data sets."""
    if not only_int(connection, "SELECT EXISTS (SELECT 1 FROM settlement)"):
        return
    listed = _json.encode([each.uid_digest.hex() for each in sealed]).decode()
    settled = {row[0] for row in connection.execute(_SETTLED_AMONG, (listed,))}
    for each in sealed:
        if each.uid_digest in settled:
            known = only_int(connection, _IS_KNOWN, (pack.sha256, each.ordinal))
            connection.execute(
                "INSERT OR REPLACE INTO settled_place VALUES (?, ?, ?, ?)",
                (number, each.ordinal, each.sha256, each.replacement and not known),
            )
    for uid_digest in sorted(settled):
        _serve_as_settled(connection, uid_digest)


def record_other_patients(connection: Connection, number: int, pack: NewPack) -> None:
    """Note whom a pack's instances say that they show, where its study has another patient."""
    if not pack.patients:
        return
    patient_id, issuer, attributes = only_row(connection, _STUDY_PATIENT, (pack.study,))
    patient = study_patient(patient_id, issuer, _attributes.decode(attributes))
    for said in pack.patients:
        if is_another(said, patient):
            connection.execute(
                "INSERT INTO other_patient VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (pack.study, pack.series, number, *said),
            )


def _serve_as_settled(connection: Connection, uid_digest: bytes) -> None:
    place = connection.execute(_TO_SERVE, (uid_digest,)).fetchone()
    served = connection.execute(_SERVED, (uid_digest,)).fetchone()
    if place is None or (served is not None and (served[2] or served[3])):
        return  # it is served, or makes way for what was sealed in place of the unreadable
    if served is not None:
        connection.execute("INSERT INTO conflict VALUES (?, ?, ?, 0)", (uid_digest, *served[:2]))
        _count_conflicts(connection, served[0], +1)
    connection.execute(
        "DELETE FROM conflict WHERE uid_digest = ? AND pack = ? AND ordinal = ?",
        (uid_digest, *place),
    )
    _count_conflicts(connection, place[0], -1)
    connection.execute("INSERT OR REPLACE INTO instance VALUES (?, ?, ?)", (uid_digest, *place))


def _count_conflicts(connection: Connection, pack: int, more: int) -> None:
    connection.execute(
        "UPDATE pack SET conflict_count = conflict_count + ? WHERE number = ?", (more, pack)
    )


def _contested(connection: Connection, uid_digest: bytes) -> Contested:
    served: Row | None = connection.execute(
        "SELECT pack, ordinal FROM instance WHERE uid_digest = ?", (uid_digest,)
    ).fetchone()
    others: list[Row] = connection.execute(_OTHERS, (uid_digest,)).fetchall()
    row: Row | None = connection.execute(
        "SELECT * FROM settlement WHERE uid_digest = ?", (uid_digest,)
    ).fetchone()
    return Contested(
        uid_digest=uid_digest,
        served=InstancePlace(*served) if served else None,
        others=tuple(InstancePlace(*place) for place in others),
        is_open=not only_int(connection, _STANDING, (uid_digest,)),
        settled=_settlement(row) if row else None,
    )


def _settlement(row: Row) -> Settlement:
    uid_digest, served_sha256, ledger_index, decided_at_ns, decided_by, reason = row
    return Settlement(
        uid_digest=uid_digest,
        served_sha256=served_sha256,
        known=(),
        ledger_index=ledger_index,
        decided_at_ns=decided_at_ns,
        decided_by=decided_by,
        reason=reason,
    )

"""Rejections in SQL. What they hide is left out by the views shown_* of the schema."""

from collections.abc import Collection
from typing import Final

import msgspec

from fileroom.catalog.rejections import Rejection, RejectionTotals, Scope, WaitingNote
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.catalog.sqlite_file import SqliteStore, only_int, only_row
from fileroom.catalog.sqlite_intake import spool_place
from fileroom.dicom.uid import digest

_json = msgspec.json.Encoder()

# What a series has of a decision about instances goes over to a later one about the same.
_TAKE_OVER = """
DELETE FROM rejected_instance WHERE uid_digest IN (SELECT unhex(value) FROM json_each(?3))
AND rejection IN (SELECT ledger_index FROM rejection WHERE study_uid = ?1 AND series_uid = ?2)
"""
_EMPTIED = """
DELETE FROM rejection WHERE study_uid = ?1 AND series_uid = ?2 AND named > 0 AND NOT EXISTS
    (SELECT 1 FROM rejected_instance WHERE rejected_instance.rejection = ledger_index)
"""
_RECOUNT = """
UPDATE rejection SET named =
    (SELECT count(*) FROM rejected_instance WHERE rejected_instance.rejection = ledger_index)
WHERE study_uid = ?1 AND series_uid = ?2 AND named > 0
"""
_UNDO_WHOLE = "DELETE FROM rejection WHERE study_uid = ?1 AND series_uid = ?2 AND named = 0"
_BELOW = "study_uid = ?1 AND (?2 = '' OR series_uid = ?2)"
_UNDO_BELOW = (
    "DELETE FROM rejected_instance WHERE rejection IN"  # noqa: S608 constants only
    f" (SELECT ledger_index FROM rejection WHERE {_BELOW})",
    f"DELETE FROM rejection WHERE {_BELOW}",  # noqa: S608 constants only
)
_INSERT = "INSERT OR REPLACE INTO rejection VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NAME = """
INSERT OR REPLACE INTO rejected_instance
SELECT ?1, unhex(value ->> 0), value ->> 1 FROM json_each(?2)
"""
_STANDING = """
SELECT ledger_index, study_uid, series_uid, code, reason, decided_by, decided_at_ns, note_uid,
    EXISTS (SELECT 1 FROM outgrown WHERE outgrown.rejection = ledger_index)
FROM rejection WHERE (?1 IS NULL OR study_uid = ?1) AND (?2 IS NULL OR ledger_index < ?2)
ORDER BY ledger_index DESC LIMIT ?3
"""
_NAMED = "SELECT uid FROM rejected_instance WHERE rejection = ? ORDER BY uid"
_TOTALS = """
SELECT coalesce(sum(named = 0 AND series_uid = ''), 0),
    coalesce(sum(named = 0 AND series_uid <> ''), 0), coalesce(sum(named), 0),
    (SELECT count(*) FROM outgrown) FROM rejection
"""
_SERIES = """
SELECT series.uid FROM study CROSS JOIN series ON series.study = study.id WHERE study.uid = ?
"""
_PACKED = """
SELECT series.uid, {0}.uid_digest FROM json_each(?2) CROSS JOIN {0} ON uid_digest = unhex(value)
CROSS JOIN pack ON pack.number = {0}.pack CROSS JOIN series ON series.id = pack.series
CROSS JOIN study ON study.id = series.study AND study.uid = ?1
"""
_SPOOLED = """
SELECT series.uid, uid_digest FROM study CROSS JOIN series ON series.study = study.id
CROSS JOIN {0} ON {0}.series = series.id WHERE study.uid = ?1
AND uid_digest IN (SELECT unhex(value) FROM json_each(?2))
"""
_KEPT: Final = tuple(
    [_PACKED.format(each) for each in ("instance", "conflict")]
    + [_SPOOLED.format(each) for each in ("spooled", "set_aside")]
)
_WAITING = """
SELECT id, EXISTS (SELECT 1 FROM followed_note
    WHERE followed_note.uid_digest = note_waiting.uid_digest)
FROM note_waiting ORDER BY id LIMIT ?
"""
_IS_HIDDEN = """
SELECT EXISTS (SELECT 1 FROM rejecting WHERE series = ?1 AND (named = 0 OR EXISTS (
    SELECT 1 FROM rejected_instance WHERE rejected_instance.rejection = rejecting.rejection
        AND uid_digest = ?2)))
"""


def hides(connection: Connection) -> bool:
    """Whether anything is rejected at all; where nothing is, the views shown_* need not be
    asked."""
    return bool(only_int(connection, "SELECT EXISTS (SELECT 1 FROM rejection)"))


def is_hidden(connection: Connection, series: int, uid_digest: bytes) -> bool:
    """Whether an instance of a series is rejected."""
    return bool(only_int(connection, _IS_HIDDEN, (series, uid_digest)))


class SqliteRejections(SqliteStore):
    """The methods of `Catalog` about rejections."""

    def record_rejected(self, rejection: Rejection) -> None:
        study_uid, series_uid, uids = rejection.scope
        digests = [digest(uid).hex() for uid in uids]
        index = rejection.ledger_index
        with self._file.writing() as connection:
            if uids:
                _undo_named(connection, rejection.scope)
            else:
                connection.execute(_UNDO_WHOLE, (study_uid, series_uid))
            connection.execute(
                _INSERT,
                (
                    index,
                    study_uid,
                    series_uid,
                    len(set(digests)),
                    rejection.code,
                    rejection.reason,
                    rejection.decided_by,
                    rejection.decided_at_ns,
                    rejection.note_uid,
                ),
            )
            listed = _json.encode(list(zip(digests, uids, strict=True))).decode()
            connection.execute(_NAME, (index, listed))
            if rejection.ends_note:
                connection.execute(
                    "INSERT OR IGNORE INTO followed_note VALUES (?)", (digest(rejection.note_uid),)
                )

    def record_restored(self, scope: Scope, *, everything: bool) -> None:
        with self._file.writing() as connection:
            if scope.sop_instance_uids:
                _undo_named(connection, scope)
            elif everything:
                for statement in _UNDO_BELOW:
                    connection.execute(statement, scope[:2])
            else:
                connection.execute(_UNDO_WHOLE, scope[:2])

    def rejections(
        self, *, study_instance_uid: str | None = None, before: int | None = None, limit: int
    ) -> list[Rejection]:
        with self._file.reading() as connection:
            rows: list[Row] = connection.execute(
                _STANDING, (study_instance_uid, before, limit)
            ).fetchall()
            return [_rejection(connection, row) for row in rows]

    def rejection_totals(self) -> RejectionTotals:
        with self._file.reading() as connection:
            studies, series, instances, outgrown = only_row(connection, _TOTALS)
        return RejectionTotals(
            studies=studies, series=series, instances=instances, outgrown=outgrown
        )

    def kept(
        self, study_instance_uid: str, uid_digests: Collection[bytes]
    ) -> dict[str, set[bytes]]:
        listed = _json.encode([each.hex() for each in uid_digests]).decode()
        with self._file.reading() as connection:
            found: dict[str, set[bytes]] = {
                uid: set() for (uid,) in connection.execute(_SERIES, (study_instance_uid,))
            }
            for statement in _KEPT:
                for uid, uid_digest in connection.execute(statement, (study_instance_uid, listed)):
                    found[uid].add(uid_digest)
        return found

    def waiting_notes(self, *, limit: int) -> list[WaitingNote]:
        with self._file.reading() as connection:
            return [
                WaitingNote(id, spool_place(id), bool(followed))
                for id, followed in connection.execute(_WAITING, (limit,))
            ]

    def forget_note(self, id: int) -> None:
        with self._file.writing() as connection:
            connection.execute("DELETE FROM note_waiting WHERE id = ?", (id,))


def _undo_named(connection: Connection, scope: Scope) -> None:
    """Take instances out of whatever decision about some of their series names them."""
    study_uid, series_uid, uids = scope
    listed = _json.encode([digest(uid).hex() for uid in uids]).decode()
    connection.execute(_TAKE_OVER, (study_uid, series_uid, listed))
    connection.execute(_EMPTIED, (study_uid, series_uid))
    connection.execute(_RECOUNT, (study_uid, series_uid))


def _rejection(connection: Connection, row: Row) -> Rejection:
    index, study_uid, series_uid, code, reason, decided_by, decided_at_ns, note_uid, outgrown = row
    uids = tuple(uid for (uid,) in connection.execute(_NAMED, (index,)))
    return Rejection(
        ledger_index=index,
        scope=Scope(study_uid, series_uid, uids),
        code=code,
        reason=reason,
        decided_by=decided_by,
        decided_at_ns=decided_at_ns,
        note_uid=note_uid,
        outgrown=bool(outgrown),
    )

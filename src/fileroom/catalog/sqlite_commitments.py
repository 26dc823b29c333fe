"""Storage commitments that peers asked for, and where all that they may mean lies."""

from collections.abc import Collection
from typing import Any

import msgspec

from fileroom.catalog.commitments import (
    REPORTED_KEPT_NS,
    CommitmentRow,
    CommitmentTotals,
    NewCommitment,
    ReportedCommitment,
    Whereabouts,
)
from fileroom.catalog.errors import NotInCatalogError, StateMovedError
from fileroom.catalog.lifecycle import CommitmentState, PackState
from fileroom.catalog.references import Folded, folded, unfolded
from fileroom.catalog.rows import InstancePlace
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.catalog.sqlite_file import SqliteStore, only_row
from fileroom.catalog.sqlite_intake import spool_place
from fileroom.dicom.commitment import Reference

_json = msgspec.json.Encoder()
_folded = msgspec.json.Decoder(Folded)

_BY_TRANSACTION = "SELECT * FROM commitment WHERE ae_title = ? AND transaction_uid = ?"
_WAITING = """
SELECT * FROM commitment WHERE state = 'WAITING' AND number > ? ORDER BY number LIMIT ?
"""
_TO_REPORT = """
SELECT * FROM commitment WHERE state = 'JUDGED' AND ae_title = ? ORDER BY tries, number LIMIT 1
"""
_COUNT_WAITING = """
SELECT count(*), min(requested_at_ns) FROM commitment WHERE state = 'WAITING'
"""
_COUNT_JUDGED = """
SELECT ae_title, count(*), min(requested_at_ns) FROM commitment WHERE state = 'JUDGED'
GROUP BY ae_title
"""
_PUT = """
INSERT INTO commitment (ae_title, transaction_uid, referenced_sha256, requested_at_ns, state,
    cursor, awaits, tries, since_ns)
VALUES (?1, ?2, ?3, ?4, ?5, 0, x'', 0, ?6)
ON CONFLICT (ae_title, transaction_uid) DO UPDATE SET referenced_sha256 = ?3,
    requested_at_ns = ?4, state = ?5, cursor = 0, awaits = x'', tries = 0, since_ns = ?6
RETURNING number
"""
_FORGET_REPORTED = "DELETE FROM commitment WHERE state = 'REPORTED' AND since_ns < ?"
_SERVED = """
SELECT uid_digest, pack, ordinal, state
FROM json_each(?) CROSS JOIN instance ON uid_digest = unhex(value)
CROSS JOIN pack ON pack.number = instance.pack
"""
_CONFLICTS = """
SELECT uid_digest, pack, ordinal, state
FROM json_each(?) CROSS JOIN conflict ON uid_digest = unhex(value) AND same = 0
CROSS JOIN pack ON pack.number = conflict.pack
"""
# The index is by series. It holds all that is asked for, and the spool is small: one walk over it
# costs less than asking each series for each digest.
_SPOOLED = """
SELECT uid_digest, id FROM spooled WHERE uid_digest IN (SELECT unhex(value) FROM json_each(?))
"""
_SET_ASIDE = """
SELECT uid_digest, sha256 FROM set_aside
WHERE uid_digest IN (SELECT unhex(value) FROM json_each(?))
"""


class SqliteCommitments(SqliteStore):
    """The methods of `Catalog` about storage commitments."""

    def record_commitment(self, asked: NewCommitment) -> None:
        with self._file.writing() as connection:
            known = _one(connection, _BY_TRANSACTION, asked.ae_title, asked.transaction_uid)
            if known is not None and _covers(known, asked):
                return
            number = _put(connection, asked, CommitmentState.WAITING, asked.requested_at_ns)
            connection.execute(
                "INSERT OR REPLACE INTO commitment_references VALUES (?, ?)",
                (number, _json.encode(folded(asked.references)).decode()),
            )

    def record_reported(self, reported: ReportedCommitment) -> None:
        with self._file.writing() as connection:
            number = _put(connection, reported, CommitmentState.REPORTED, reported.reported_at_ns)
            connection.execute("DELETE FROM commitment_references WHERE commitment = ?", (number,))
            since_ns = self._file.clock.wall_ns() - REPORTED_KEPT_NS
            connection.execute(_FORGET_REPORTED, (since_ns,))

    def commitment(self, ae_title: str, transaction_uid: str) -> CommitmentRow | None:
        with self._file.reading() as connection:
            return _one(connection, _BY_TRANSACTION, ae_title, transaction_uid)

    def commitments_waiting(self, *, after: int = 0, limit: int) -> list[CommitmentRow]:
        with self._file.reading() as connection:
            return [_row(each) for each in connection.execute(_WAITING, (after, limit))]

    def commitment_to_report(self, ae_title: str) -> CommitmentRow | None:
        with self._file.reading() as connection:
            return _one(connection, _TO_REPORT, ae_title)

    def references(self, commitment: int) -> tuple[Reference, ...]:
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT folded FROM commitment_references WHERE commitment = ?", (commitment,)
            ).fetchone()
        if row is None:
            raise NotInCatalogError(f"there are no references of commitment {commitment}")
        return unfolded(_folded.decode(row[0]))

    def move_commitment(
        self,
        commitment: int,
        from_: CommitmentState,
        to: CommitmentState,
        *,
        cursor: int = 0,
        awaits: bytes = b"",
    ) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE commitment SET state = ?3, cursor = ?4, awaits = ?5,"
                " since_ns = CASE WHEN state = ?3 THEN since_ns ELSE ?6 END"
                " WHERE number = ?1 AND state = ?2",
                (commitment, from_, to, cursor, awaits, self._file.clock.wall_ns()),
            )
            if not connection.changes():
                raise StateMovedError(f"commitment {commitment} is no longer {from_}")

    def put_off_commitment(self, commitment: int) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE commitment SET tries = tries + 1 WHERE number = ?", (commitment,)
            )

    def commitment_totals(self) -> CommitmentTotals:
        with self._file.reading() as connection:
            waiting, oldest_ns = only_row(connection, _COUNT_WAITING)
            judged: list[Row] = connection.execute(_COUNT_JUDGED).fetchall()
        oldest = [each for each in (oldest_ns, *(row[2] for row in judged)) if each is not None]
        return CommitmentTotals(
            waiting=waiting,
            judged={ae_title: count for ae_title, count, _ in judged},
            oldest_ns=min(oldest, default=None),
        )

    def whereabouts(self, uid_digests: Collection[bytes]) -> dict[bytes, Whereabouts]:
        listed = (_json.encode([each.hex() for each in uid_digests]).decode(),)
        found: dict[bytes, Whereabouts] = {}
        with self._file.reading() as connection:
            for sql in (_SERVED, _CONFLICTS):
                for uid_digest, pack, ordinal, state in connection.execute(sql, listed):
                    packed = found.setdefault(uid_digest, Whereabouts()).packed
                    packed[InstancePlace(pack, ordinal)] = PackState(state)
            for uid_digest, id in connection.execute(_SPOOLED, listed):
                found.setdefault(uid_digest, Whereabouts()).spooled.append(spool_place(id))
            for uid_digest, sha256 in connection.execute(_SET_ASIDE, listed):
                found.setdefault(uid_digest, Whereabouts()).set_aside.append(sha256)
        return found


def _covers(known: CommitmentRow, asked: NewCommitment) -> bool:
    """Whether nothing new is asked for."""
    if known.requested_at_ns >= asked.requested_at_ns:
        return True
    is_open = known.state is not CommitmentState.REPORTED
    return is_open and known.referenced_sha256 == asked.referenced_sha256


def _put(
    connection: Connection,
    told: NewCommitment | ReportedCommitment,
    state: CommitmentState,
    since_ns: int,
) -> int:
    row = connection.execute(
        _PUT,
        (
            told.ae_title,
            told.transaction_uid,
            told.referenced_sha256,
            told.requested_at_ns,
            state,
            since_ns,
        ),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _one(connection: Connection, sql: str, *values: str) -> CommitmentRow | None:
    row: Row | None = connection.execute(sql, values).fetchone()
    return None if row is None else _row(row)


def _row(row: tuple[Any, ...]) -> CommitmentRow:
    named = dict(zip(CommitmentRow.__struct_fields__, row, strict=True))
    return CommitmentRow(**named | {"state": CommitmentState(named["state"])})

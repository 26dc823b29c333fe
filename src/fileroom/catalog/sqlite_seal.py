"""Sealing's side of the catalog, and leases: whose turn it is and what came of it."""

from collections.abc import Collection, Sequence

import msgspec

from fileroom.catalog.errors import AlreadyStoredError, NotInCatalogError, StaleLeaseError
from fileroom.catalog.lifecycle import SEAL, check_pack_move
from fileroom.catalog.rows import (
    InstancePlace,
    Lease,
    Moved,
    NewPack,
    Sealed,
    SeriesToSeal,
    Standing,
)
from fileroom.catalog.sqlite_conflicts import record_other_patients, serve_as_settled
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.catalog.sqlite_file import DuplicateKey, SqliteStore, node_number, only_int
from fileroom.catalog.sqlite_intake import recount_pending

_json = msgspec.json.Encoder()

_SERIES_TO_SEAL = """
SELECT pending.series, study.id, study.uid, series.uid, partition.name, study.study_key_id,
       spooled_count, spooled_bytes, oldest_ns, newest_ns
FROM pending CROSS JOIN series ON series.id = pending.series
CROSS JOIN study ON study.id = series.study
CROSS JOIN partition ON partition.number = study.partition
WHERE (newest_ns <= ?1 OR spooled_bytes >= ?2 OR newest_ns > ?4)
  AND NOT EXISTS (SELECT 1 FROM lease WHERE kind = ?3 AND subject = CAST(pending.series AS TEXT)
                  AND expires_at_ns > ?4)
ORDER BY oldest_ns, pending.series LIMIT ?5
"""
_EXISTING = """
SELECT uid_digest, pack, ordinal
FROM json_each(?) CROSS JOIN instance ON uid_digest = unhex(value)
"""
_CONFLICTING = """
SELECT uid_digest, pack, ordinal
FROM json_each(?) CROSS JOIN conflict ON uid_digest = unhex(value) ORDER BY pack, ordinal
"""
_INSERT_PACK = """
INSERT INTO pack (study, series, sha256, study_key_id, tink_header, size_bytes,
    plaintext_size_bytes, metadata_offset, metadata_size_bytes, instance_count, conflict_count,
    state, local, node, received_oldest_ns, sealed_at_ns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_INSTANCES = """
INSERT INTO instance SELECT unhex(value ->> 0), ?2, value ->> 1 FROM json_each(?1)
"""
_INSERT_CONFLICTS = """
INSERT INTO conflict SELECT unhex(value ->> 0), ?2, value ->> 1, ?3 FROM json_each(?1)
"""
_INSERT_COPIES = """
INSERT INTO copy SELECT ?2, value, 'REPLICATED', ?3, '', '', '', 0 FROM json_each(?1)
"""
_UNSERVE = "DELETE FROM instance WHERE uid_digest = ? AND pack = ? AND ordinal = ?"
_SERIES_OF = """
SELECT DISTINCT series FROM json_each(?) CROSS JOIN spooled ON spooled.id = value
"""
_SETTLE = """
INSERT OR REPLACE INTO settled
SELECT spooled.id, substr(sha256, 1, 8) FROM json_each(?) CROSS JOIN spooled ON spooled.id = value
"""


class SqliteSeal(SqliteStore):
    """The methods of `Catalog` for sealing and for leases."""

    def series_to_seal(
        self, *, quiet_before_ns: int, target_bytes: int, limit: int
    ) -> list[SeriesToSeal]:
        values = (quiet_before_ns, target_bytes, SEAL, self._file.clock.wall_ns(), limit)
        with self._file.reading() as connection:
            return [SeriesToSeal(*row) for row in connection.execute(_SERIES_TO_SEAL, values)]

    def set_study_key(self, study: int, study_key_id: bytes) -> bytes:
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE study SET study_key_id = ? WHERE id = ? AND study_key_id IS NULL",
                (study_key_id, study),
            )
            row = connection.execute(
                "SELECT study_key_id FROM study WHERE id = ?", (study,)
            ).fetchone()
        if row is None:
            raise NotInCatalogError(f"there is no study {study}")
        return bytes(row[0])

    def existing(self, uid_digests: Collection[bytes]) -> dict[bytes, InstancePlace]:
        with self._file.reading() as connection:
            return {
                uid_digest: InstancePlace(pack, ordinal)
                for uid_digest, pack, ordinal in connection.execute(
                    _EXISTING, (_hex_list(uid_digests),)
                )
            }

    def conflicting(self, uid_digests: Collection[bytes]) -> dict[bytes, list[InstancePlace]]:
        found: dict[bytes, list[InstancePlace]] = {}
        with self._file.reading() as connection:
            for uid_digest, pack, ordinal in connection.execute(
                _CONFLICTING, (_hex_list(uid_digests),)
            ):
                found.setdefault(uid_digest, []).append(InstancePlace(pack, ordinal))
        return found

    def record_sealed(
        self,
        pack: NewPack,
        *,
        members: Sequence[Sealed],
        conflicts: Sequence[Sealed] = (),
        repeated: Sequence[Sealed] = (),
        moved: Sequence[Moved] = (),
        duplicates: Collection[int] = (),
        lease: Lease | None,
    ) -> int:
        check_pack_move(None, pack.state)
        with self._file.writing() as connection:
            self._fence(connection, lease)
            number = only_int(
                connection, "SELECT number FROM pack WHERE sha256 = ?", (pack.sha256,)
            )
            if not number:
                _require_series(connection, pack.study, pack.series)
                _move(connection, moved)
                number = _insert_pack(connection, pack, members, conflicts, repeated)
                record_other_patients(connection, number, pack)
                serve_as_settled(connection, number, pack, [*members, *conflicts, *repeated])
            spooled = [each.spooled_id for each in (*members, *conflicts, *repeated)]
            _settle(connection, [id for id in (*spooled, *duplicates) if id is not None])
            return number

    def record_duplicates(self, spooled_ids: Collection[int], *, lease: Lease | None) -> None:
        with self._file.writing() as connection:
            self._fence(connection, lease)
            _settle(connection, spooled_ids)

    def lease(self, kind: str, subject: str, *, holder: str, ttl_s: float) -> Lease | None:
        now_ns = self._file.clock.wall_ns()
        with self._file.writing() as connection:
            row = connection.execute(
                "SELECT expires_at_ns FROM lease WHERE kind = ? AND subject = ?", (kind, subject)
            ).fetchone()
            if row is not None and row[0] > now_ns:
                return None
            connection.execute(
                "INSERT INTO counter VALUES ('lease', 1)"
                " ON CONFLICT (name) DO UPDATE SET value = value + 1"
            )
            token = only_int(connection, "SELECT value FROM counter WHERE name = 'lease'")
            connection.execute(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?)",
                (kind, subject, holder, token, now_ns + round(ttl_s * 1e9)),
            )
        return Lease(kind, subject, holder, token)

    def renew(self, lease: Lease, *, ttl_s: float) -> None:
        with self._file.writing() as connection:
            self._fence(connection, lease)
            connection.execute(
                "UPDATE lease SET expires_at_ns = ? WHERE kind = ? AND subject = ?",
                (self._file.clock.wall_ns() + round(ttl_s * 1e9), lease.kind, lease.subject),
            )

    def release(self, lease: Lease) -> None:
        with self._file.writing() as connection:
            connection.execute(
                "DELETE FROM lease WHERE kind = ? AND subject = ? AND token = ?",
                (lease.kind, lease.subject, lease.token),
            )

    def void_leases(self) -> None:
        with self._file.writing() as connection:
            connection.execute("DELETE FROM lease")

    def _fence(self, connection: Connection, lease: Lease | None) -> None:
        """Raise StaleLeaseError unless the lease is still the subject's newest.

        One that has run out and that nobody else took yet still counts: what keeps two workers
        apart is the token, not the clock.
        """
        if lease is None:
            return
        token = only_int(
            connection,
            "SELECT token FROM lease WHERE kind = ? AND subject = ?",
            (lease.kind, lease.subject),
        )
        if token != lease.token:
            raise StaleLeaseError(f"the lease has token {token}, the holder's is {lease.token}")


def _require_series(connection: Connection, study: int, series: int) -> None:
    if not only_int(
        connection, "SELECT count(*) FROM series WHERE id = ? AND study = ?", (series, study)
    ):
        raise NotInCatalogError(f"study {study} has no series {series}")


def _insert_pack(
    connection: Connection,
    pack: NewPack,
    members: Sequence[Sealed],
    conflicts: Sequence[Sealed],
    repeated: Sequence[Sealed],
) -> int:
    connection.execute(
        _INSERT_PACK,
        (
            pack.study,
            pack.series,
            pack.sha256,
            pack.study_key_id,
            pack.tink_header,
            pack.size_bytes,
            pack.plaintext_size_bytes,
            pack.metadata_offset,
            pack.metadata_size_bytes,
            len(members) + len(conflicts) + len(repeated),
            len(conflicts) + len(repeated),
            pack.state,
            pack.local,
            node_number(connection, pack.node_id),
            pack.received_oldest_ns,
            pack.sealed_at_ns,
        ),
    )
    number = connection.last_insert_rowid()
    try:
        connection.execute(_INSERT_INSTANCES, (_listed(members), number))
    except DuplicateKey as error:
        raise AlreadyStoredError("a member has an instance row already") from error
    connection.execute(_INSERT_CONFLICTS, (_listed(conflicts), number, False))
    connection.execute(_INSERT_CONFLICTS, (_listed(repeated), number, True))
    providers = _json.encode(pack.providers).decode()
    connection.execute(_INSERT_COPIES, (providers, number, pack.size_bytes))
    return number


def _move(connection: Connection, moved: Sequence[Moved]) -> None:
    for uid_digest, (pack, ordinal), standing in moved:
        connection.execute(_UNSERVE, (uid_digest, pack, ordinal))
        if connection.changes():
            connection.execute(
                "UPDATE pack SET conflict_count = conflict_count + 1 WHERE number = ?", (pack,)
            )
        connection.execute(
            "INSERT OR REPLACE INTO conflict VALUES (?, ?, ?, ?)",
            (uid_digest, pack, ordinal, standing is Standing.REPEATED),
        )


def _settle(connection: Connection, spooled_ids: Collection[int]) -> None:
    """Take spooled rows out of the queue; their places stay known until their segment goes."""
    if not spooled_ids:
        return
    listed = _json.encode(list(spooled_ids)).decode()
    touched: list[Row] = connection.execute(_SERIES_OF, (listed,)).fetchall()
    connection.execute(_SETTLE, (listed,))
    connection.execute(
        "DELETE FROM spooled WHERE id IN (SELECT value FROM json_each(?))", (listed,)
    )
    for (series,) in touched:
        recount_pending(connection, series)


def _listed(instances: Sequence[Sealed]) -> str:
    """(digest, ordinal) pairs in the order of the index, so that its pages are met in turn."""
    return _json.encode(
        sorted((each.uid_digest.hex(), each.ordinal) for each in instances)
    ).decode()


def _hex_list(uid_digests: Collection[bytes]) -> str:
    return _json.encode(sorted(each.hex() for each in uid_digests)).decode()

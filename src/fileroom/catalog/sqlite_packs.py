"""Packs, their copies and the copies of their keys: states, and who moves them."""

from collections.abc import Collection, Mapping

import msgspec

from fileroom.catalog.errors import NotInCatalogError, StateMovedError
from fileroom.catalog.lifecycle import (
    CopyState,
    PackState,
    check_copy_move,
    check_pack_move,
)
from fileroom.catalog.rows import CopyRow, KeyCopyRow, PackRow, SpoolPlace
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.catalog.sqlite_file import SqliteStore, SQLiteValue, only_int
from fileroom.catalog.sqlite_intake import spool_id, spool_place

_json = msgspec.json.Encoder()

_PACKS_OF_NUMBERS = """
SELECT * FROM pack_row
WHERE number IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR state = ?2)
ORDER BY number LIMIT ?3
"""
_PACKS_IN_STATE = """
SELECT * FROM pack_row
WHERE state = ? AND number > ? ORDER BY received_oldest_ns, number LIMIT ?
"""
_PACKS_AFTER = """
SELECT * FROM pack_row WHERE number > ? ORDER BY number LIMIT ?
"""
_EVICTABLE = """
SELECT * FROM pack_row WHERE state = 'COMMITTED' AND local = 1 ORDER BY number LIMIT ?
"""
_SELECT_COPIES = """
SELECT pack, provider, state, checksum_kind, version_id, storage_class, verified_at_ns FROM copy
"""
# Saying so twice lets the partial index be used.
_UNVERIFIED = (
    _SELECT_COPIES
    + "WHERE provider = ? AND state = ? AND state <> 'VERIFIED' ORDER BY pack LIMIT ?"
)
_SELECT_KEY_COPIES = """
SELECT study_key_id, generation, provider, state, verified_at_ns FROM key_copy
"""


def pack_row(values: Row) -> PackRow:
    """A row of the view pack_row."""
    named = dict(zip(PackRow.__struct_fields__, values, strict=True))
    converted = {"state": PackState(named["state"]), "local": bool(named["local"])}
    return PackRow(**named | converted)


_UID_DIGESTS = """
SELECT uid_digest FROM instance WHERE pack = ?1
UNION SELECT uid_digest FROM conflict WHERE pack = ?1
"""
_FORGET_PACK = (
    "DELETE FROM instance WHERE pack = ?",
    "DELETE FROM conflict WHERE pack = ?",
    "DELETE FROM copy WHERE pack = ?",
    "DELETE FROM other_patient WHERE pack = ?",
    "DELETE FROM settled_place WHERE pack = ?",
    "DELETE FROM pack WHERE number = ?",
)
_SETTLED = """
SELECT settled.id FROM json_each(?) CROSS JOIN settled
ON settled.id = value ->> 0 AND sha256_head = unhex(substr(value ->> 1, 1, 16))
"""


class SqlitePacks(SqliteStore):
    """The methods of `Catalog` about packs and copies."""

    def packs(
        self,
        *,
        state: PackState | None = None,
        numbers: Collection[int] | None = None,
        after: int = 0,
        limit: int,
    ) -> list[PackRow]:
        values: tuple[SQLiteValue, ...]
        if numbers is not None:
            sql = _PACKS_OF_NUMBERS
            values = (_json.encode(list(numbers)).decode(), state)
        elif state is not None:
            sql, values = _PACKS_IN_STATE, (state, after)
        else:
            sql, values = _PACKS_AFTER, (after,)
        with self._file.reading() as connection:
            return [pack_row(row) for row in connection.execute(sql, (*values, limit))]

    def set_pack_state(self, pack: int, from_: PackState, to: PackState) -> None:
        check_pack_move(from_, to)
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE pack SET state = ? WHERE number = ? AND state = ?", (to, pack, from_)
            )
            if not connection.changes():
                _require_pack(connection, pack)
                raise StateMovedError(f"pack {pack} is no longer {from_}")

    def uid_digests(self, pack: int) -> set[bytes]:
        with self._file.reading() as connection:
            return {row[0] for row in connection.execute(_UID_DIGESTS, (pack,))}

    def forget_pack(self, pack: int, *, places: Collection[SpoolPlace]) -> None:
        with self._file.writing() as connection:
            _require_pack(connection, pack)
            for statement in _FORGET_PACK:
                connection.execute(statement, (pack,))
            _unsettle(connection, places)

    def settled_among(self, records: Mapping[SpoolPlace, bytes]) -> set[SpoolPlace]:
        listed = [(spool_id(*place), sha256.hex()) for place, sha256 in records.items()]
        with self._file.reading() as connection:
            found = connection.execute(_SETTLED, (_json.encode(listed).decode(),))
            return {spool_place(id) for (id,) in found}

    def unsettle(self, places: Collection[SpoolPlace]) -> None:
        with self._file.writing() as connection:
            _unsettle(connection, places)

    def evictable(self, limit: int) -> list[PackRow]:
        with self._file.reading() as connection:
            return [pack_row(row) for row in connection.execute(_EVICTABLE, (limit,))]

    def set_local(self, pack: int, local: bool) -> None:
        with self._file.writing() as connection:
            connection.execute("UPDATE pack SET local = ? WHERE number = ?", (local, pack))
            _require_pack(connection, pack)

    def copies(self, pack: int) -> list[CopyRow]:
        with self._file.reading() as connection:
            found = connection.execute(_SELECT_COPIES + "WHERE pack = ? ORDER BY provider", (pack,))
            return [_copy_row(row) for row in found]

    def unverified_copies(self, provider: str, state: CopyState, *, limit: int) -> list[CopyRow]:
        assert state is not CopyState.VERIFIED  # those are found by pack only
        with self._file.reading() as connection:
            found = connection.execute(_UNVERIFIED, (provider, state, limit))
            return [_copy_row(row) for row in found]

    def set_copy(
        self,
        pack: int,
        provider: str,
        from_: CopyState | None,
        to: CopyState,
        *,
        checksum_kind: str | None = None,
        version_id: str | None = None,
        storage_class: str | None = None,
        verified_at_ns: int | None = None,
    ) -> None:
        check_copy_move(from_, to)
        facts = (checksum_kind, version_id, storage_class, verified_at_ns)
        with self._file.writing() as connection:
            if from_ is None:
                _require_pack(connection, pack)
                connection.execute(
                    "INSERT OR IGNORE INTO copy SELECT number, ?2, ?3, size_bytes,"
                    " coalesce(?4, ''), coalesce(?5, ''), coalesce(?6, ''), coalesce(?7, 0)"
                    " FROM pack WHERE number = ?1",
                    (pack, provider, to, *facts),
                )
            else:
                connection.execute(
                    "UPDATE copy SET state = ?4, checksum_kind = coalesce(?5, checksum_kind),"
                    " version_id = coalesce(?6, version_id),"
                    " storage_class = coalesce(?7, storage_class),"
                    " verified_at_ns = coalesce(?8, verified_at_ns)"
                    " WHERE pack = ?1 AND provider = ?2 AND state = ?3",
                    (pack, provider, from_, to, *facts),
                )
            if not connection.changes():
                raise StateMovedError(f"the copy of pack {pack} is no longer {from_}")

    def key_copies(self, study_key_id: bytes) -> list[KeyCopyRow]:
        with self._file.reading() as connection:
            found = connection.execute(
                _SELECT_KEY_COPIES + "WHERE study_key_id = ? ORDER BY generation, provider",
                (study_key_id,),
            )
            return [_key_copy_row(row) for row in found]

    def set_key_copy(
        self,
        study_key_id: bytes,
        generation: int,
        provider: str,
        from_: CopyState | None,
        to: CopyState,
        *,
        verified_at_ns: int | None = None,
    ) -> None:
        check_copy_move(from_, to)
        key = (study_key_id, generation, provider)
        with self._file.writing() as connection:
            if from_ is None:
                connection.execute(
                    "INSERT OR IGNORE INTO key_copy VALUES (?, ?, ?, ?, ?)",
                    (*key, to, verified_at_ns or 0),
                )
            else:
                connection.execute(
                    "UPDATE key_copy SET state = ?5,"
                    " verified_at_ns = coalesce(?6, verified_at_ns) WHERE study_key_id = ?1"
                    " AND generation = ?2 AND provider = ?3 AND state = ?4",
                    (*key, from_, to, verified_at_ns),
                )
            if not connection.changes():
                raise StateMovedError(f"the key's copy is no longer {from_}")


def _copy_row(values: Row) -> CopyRow:
    named = dict(zip(CopyRow.__struct_fields__, values, strict=True))
    return CopyRow(**named | {"state": CopyState(named["state"])})


def _key_copy_row(values: Row) -> KeyCopyRow:
    named = dict(zip(KeyCopyRow.__struct_fields__, values, strict=True))
    return KeyCopyRow(**named | {"state": CopyState(named["state"])})


def _unsettle(connection: Connection, places: Collection[SpoolPlace]) -> None:
    listed = _json.encode([spool_id(*place) for place in places]).decode()
    connection.execute(
        "DELETE FROM settled WHERE id IN (SELECT value FROM json_each(?))", (listed,)
    )


def _require_pack(connection: Connection, pack: int) -> None:
    if not only_int(connection, "SELECT count(*) FROM pack WHERE number = ?", (pack,)):
        raise NotInCatalogError(f"there is no pack {pack}")

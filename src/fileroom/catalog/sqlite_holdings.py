"""Where instances lie, what makes up a study, and how much there is of everything."""

import msgspec

from fileroom.catalog.lifecycle import UNCOMMITTED, CopyState, PackState
from fileroom.catalog.rows import (
    Holdings,
    InstancePlace,
    Located,
    PackRow,
    SeriesRow,
    SpooledRow,
    Tally,
    Totals,
)
from fileroom.catalog.sqlite_connection import Connection
from fileroom.catalog.sqlite_file import SqliteStore, SQLiteValue, only_int, only_row
from fileroom.catalog.sqlite_intake import spooled_row
from fileroom.catalog.sqlite_packs import pack_row
from fileroom.catalog.sqlite_rejections import hides, is_hidden

_attributes = msgspec.json.Decoder(dict[str, str])

# The index is by series, so each series that has spooled rows is asked for the digest.
_LOCATE_SPOOLED = """
SELECT id, spooled.series, uid_digest, size_bytes, sha256, received_at_ns
FROM pending CROSS JOIN spooled ON spooled.series = pending.series AND uid_digest = ?
ORDER BY id LIMIT 1
"""
_UNPACKED = """
SELECT id, series, uid_digest, size_bytes, sha256, received_at_ns
FROM {} WHERE series = ? ORDER BY id
"""
_ALL_UNPACKED = _UNPACKED.format("unpacked")
_SHOWN_UNPACKED = _UNPACKED.format("shown_unpacked")
_SHOWN_PACKS = """
SELECT number, conflict_count FROM shown_pack WHERE study = ? AND series = ?
"""
_REJECTED_PLACES = """
SELECT pack, ordinal FROM rejecting
CROSS JOIN rejected_instance ON rejected_instance.rejection = rejecting.rejection
CROSS JOIN instance ON instance.uid_digest = rejected_instance.uid_digest
CROSS JOIN pack ON pack.number = instance.pack AND pack.series = rejecting.series
WHERE rejecting.series = ?
"""
_CONFLICTS_OF_STUDY = """
SELECT conflict.pack, conflict.ordinal
FROM pack CROSS JOIN conflict ON conflict.pack = pack.number WHERE pack.study = ?
"""


class SqliteHoldings(SqliteStore):
    """The methods of `Catalog` that find instances, and those that count."""

    def locate(self, uid_digest: bytes) -> Located:
        with self._file.reading(at_once=True) as connection:
            spooled = connection.execute(_LOCATE_SPOOLED, (uid_digest,)).fetchone()
            place = connection.execute(
                "SELECT pack, ordinal FROM instance WHERE uid_digest = ?", (uid_digest,)
            ).fetchone()
            pack = None
            if place is not None:
                pack = connection.execute(
                    "SELECT * FROM pack_row WHERE number = ?", (place[0],)
                ).fetchone()
            series = pack_row(pack).series if pack else spooled[1] if spooled else 0
            if series and is_hidden(connection, series, uid_digest):
                return Located()
        return Located(
            spooled_row(*spooled) if spooled else None,
            pack_row(pack) if pack else None,
            place[1] if place and pack else 0,
        )

    def holdings(
        self,
        study_instance_uid: str,
        series_instance_uid: str | None = None,
        *,
        partition: str | None = None,
    ) -> Holdings:
        with self._file.reading() as connection:
            rows = _series_rows(connection, study_instance_uid, series_instance_uid, partition)
            hiding = hides(connection)
            if hiding:
                rows = [row for row in rows if _is_shown(connection, row.series)]
            packs: list[PackRow] = []
            spooled: list[SpooledRow] = []
            conflicts: set[InstancePlace] = set()
            for row in rows:
                found = connection.execute(
                    "SELECT * FROM pack_row WHERE study = ? AND series = ? ORDER BY number",
                    (row.study, row.series),
                )
                packs += [pack_row(each) for each in found]
                spooled += _unpacked(connection, row.series, shown=hiding)
            for study in {row.study for row in rows}:
                conflicts |= {
                    InstancePlace(*place)
                    for place in connection.execute(_CONFLICTS_OF_STUDY, (study,))
                }
            if hiding:
                packs = _without_rejected(connection, rows, packs, conflicts)
        return Holdings(rows, packs, frozenset(conflicts), spooled)

    def totals(self) -> Totals:
        with self._file.reading() as connection:
            states: dict[PackState, Tally] = {}
            local = Tally()
            for state, is_local, *counts in connection.execute(
                "SELECT state, local, packs, instances, size_bytes FROM pack_total"
            ):
                tally = Tally(*counts)
                states[PackState(state)] = _sum(states.get(PackState(state), Tally()), tally)
                local = _sum(local, tally) if is_local else local
            copies: dict[str, dict[CopyState, Tally]] = {}
            for provider, state, packs, size_bytes in connection.execute(
                "SELECT provider, state, packs, size_bytes FROM copy_total WHERE packs > 0"
            ):
                copies.setdefault(provider, {})[CopyState(state)] = Tally(packs, 0, size_bytes)
            return Totals(
                patients=only_int(connection, "SELECT count(*) FROM patient"),
                studies=only_int(connection, "SELECT count(*) FROM study"),
                series=only_int(connection, "SELECT count(*) FROM series"),
                conflicts=only_int(connection, "SELECT count(*) FROM conflict WHERE same = 0"),
                received=_tally(
                    connection, "SELECT sum(spooled_count), sum(spooled_bytes) FROM pending"
                ),
                set_aside=_tally(connection, "SELECT count(*), sum(size_bytes) FROM set_aside"),
                states={state: tally for state, tally in states.items() if tally.packs},
                local=local,
                copies=copies,
                oldest_uncommitted_ns=_oldest_uncommitted_ns(connection),
            )


def _series_rows(
    connection: Connection, study_uid: str, series_uid: str | None, partition: str | None
) -> list[SeriesRow]:
    wanted = (
        "SELECT series.id, study.id, series.uid, series.attributes FROM study"
        " CROSS JOIN series ON series.study = study.id"
        " CROSS JOIN partition ON partition.number = study.partition WHERE study.uid = ?"
    )
    values: tuple[SQLiteValue, ...] = (study_uid,)
    if series_uid is not None:
        wanted, values = wanted + " AND series.uid = ?", (*values, series_uid)
    if partition is not None:
        wanted, values = wanted + " AND partition.name = ?", (*values, partition)
    return [
        SeriesRow(series, study, uid, _attributes.decode(attributes))
        for series, study, uid, attributes in connection.execute(
            wanted + " ORDER BY series.id", values
        )
    ]


def _is_shown(connection: Connection, series: int) -> bool:
    return bool(only_int(connection, "SELECT count(*) FROM shown_series WHERE id = ?", (series,)))


def _without_rejected(
    connection: Connection,
    rows: list[SeriesRow],
    packs: list[PackRow],
    conflicts: set[InstancePlace],
) -> list[PackRow]:
    """The packs with what is rejected of them counted among what is not served, and added to the
    `conflicts`."""
    counts: dict[int, int] = {}
    for row in rows:
        counts |= dict(connection.execute(_SHOWN_PACKS, (row.study, row.series)))
        rejected = connection.execute(_REJECTED_PLACES, (row.series,))
        conflicts |= {InstancePlace(*place) for place in rejected}
    return [msgspec.structs.replace(each, conflict_count=counts[each.number]) for each in packs]


def _unpacked(connection: Connection, series: int, *, shown: bool) -> list[SpooledRow]:
    """The spooled rows of a series that no pack answers for, the first of each UID."""
    first: dict[bytes, SpooledRow] = {}
    sql = _SHOWN_UNPACKED if shown else _ALL_UNPACKED
    for values in connection.execute(sql, (series,)):
        row = spooled_row(*values)
        first.setdefault(row.uid_digest, row)
    return list(first.values())


def _oldest_uncommitted_ns(connection: Connection) -> int | None:
    in_state = "SELECT min(received_oldest_ns) FROM pack WHERE state = ?"
    oldest = [
        only_row(connection, "SELECT min(oldest_ns) FROM pending"),
        only_row(connection, "SELECT min(received_at_ns) FROM set_aside"),
        *(only_row(connection, in_state, (state,)) for state in UNCOMMITTED),
    ]
    return min((at_ns for (at_ns,) in oldest if at_ns is not None), default=None)


def _tally(connection: Connection, sql: str) -> Tally:
    instances, size_bytes = only_row(connection, sql)
    return Tally(0, instances or 0, size_bytes or 0)


def _sum(a: Tally, b: Tally) -> Tally:
    return Tally(a.packs + b.packs, a.instances + b.instances, a.size_bytes + b.size_bytes)

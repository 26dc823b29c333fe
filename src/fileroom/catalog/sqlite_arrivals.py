"""Studies that have lately come: when, from whom, and how much of them there should be."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fileroom.catalog.arrivals import (
    ArrivalRow,
    ArrivalState,
    ArrivalTotals,
    Hints,
    NewArrival,
    Told,
)
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.catalog.sqlite_file import SqliteStore, SQLiteValue, only_row

HINTS_MAX = 1000  # acquisitions of one study that are told apart

_json = msgspec.json.Encoder()
_hints = msgspec.json.Decoder(Hints)
_told = msgspec.json.Decoder(Told)

_COLUMNS = """
SELECT study_uid, state, ae_title, first_at_ns, last_at_ns, hints, told, asked_at_ns, asks
FROM arrival
"""
_OF_STUDY = _COLUMNS + "WHERE study_uid = ?"
_IN_STATE = _COLUMNS + "WHERE state = ? ORDER BY last_at_ns LIMIT ?"
_TO_ASK = _COLUMNS + "WHERE ask_at_ns > 0 AND ask_at_ns <= ? ORDER BY ask_at_ns LIMIT ?"
_PUT = """
INSERT INTO arrival VALUES (?1, 'arriving', ?2, ?3, ?4, ?5, '', 0, 0, ?3)
ON CONFLICT (study_uid) DO UPDATE SET state = 'arriving', ae_title = ?2,
    first_at_ns = CASE WHEN state = 'arriving' THEN min(first_at_ns, ?3) ELSE ?3 END,
    last_at_ns = max(last_at_ns, ?4), hints = ?5,
    ask_at_ns = CASE WHEN ask_at_ns = 0 THEN ?4 ELSE ask_at_ns END
"""
_FIND = """
INSERT OR IGNORE INTO arrival
SELECT study.uid, 'arriving', '', min(oldest_ns), max(newest_ns), '{}', '', 0, 0, 0
FROM pending CROSS JOIN series ON series.id = pending.series
CROSS JOIN study ON study.id = series.study GROUP BY study.uid
"""
_JUDGE = """
UPDATE arrival SET state = ?2, ask_at_ns = ?4 WHERE study_uid = ?1 AND last_at_ns = ?3
"""
_RECONSIDER = """
UPDATE arrival SET ask_at_ns = last_at_ns WHERE ask_at_ns = 0 AND state <> 'complete'
"""
_ASKED = """
UPDATE arrival SET told = coalesce(?2, told), asked_at_ns = ?3, asks = ?4 WHERE study_uid = ?1
"""
_FORGET = "DELETE FROM arrival WHERE state = ? AND last_at_ns < ?"
_HELD = """
SELECT series.uid,
    (SELECT coalesce(sum(instance_count - conflict_count), 0) FROM pack
     WHERE pack.study = study.id AND pack.series = series.id)
    + (SELECT count(DISTINCT uid_digest) FROM unpacked WHERE unpacked.series = series.id)
FROM study CROSS JOIN series ON series.study = study.id WHERE study.uid = ?
"""


class SqliteArrivals(SqliteStore):
    """The methods of `Catalog` about how studies came."""

    def record_arrivals(self, arrivals: Sequence[NewArrival]) -> None:
        with self._file.writing() as connection:
            for each in arrivals:
                uid = each.study_instance_uid
                known = connection.execute(
                    "SELECT hints FROM arrival WHERE study_uid = ?", (uid,)
                ).fetchone()
                hints = merged(_hints.decode(known[0]) if known else {}, each.hints)
                values = (uid, each.ae_title, each.first_at_ns, each.last_at_ns)
                connection.execute(_PUT, (*values, _json.encode(hints).decode()))

    def find_arrivals(self) -> None:
        with self._file.writing() as connection:
            connection.execute(_FIND)

    def arrival(self, study_instance_uid: str) -> ArrivalRow | None:
        with self._file.reading() as connection:
            found = _rows(connection, _OF_STUDY, study_instance_uid)
        return found[0] if found else None

    def arrivals(self, state: ArrivalState, *, limit: int) -> list[ArrivalRow]:
        with self._file.reading() as connection:
            return _rows(connection, _IN_STATE, state, limit)

    def arrivals_to_ask(self, *, now_ns: int, limit: int) -> list[ArrivalRow]:
        with self._file.reading() as connection:
            return _rows(connection, _TO_ASK, now_ns, limit)

    def judge_arrival(
        self,
        study_instance_uid: str,
        state: ArrivalState,
        *,
        last_at_ns: int,
        ask_at_ns: int | None,
    ) -> None:
        values = (study_instance_uid, state, last_at_ns, ask_at_ns or 0)
        with self._file.writing() as connection:
            connection.execute(_JUDGE, values)

    def reconsider_asking(self) -> None:
        with self._file.writing() as connection:
            connection.execute(_RECONSIDER)

    def note_asked(
        self, study_instance_uid: str, told: Told | None, *, asked_at_ns: int, asks: int
    ) -> None:
        said = None if told is None else _json.encode(told).decode()
        with self._file.writing() as connection:
            connection.execute(_ASKED, (study_instance_uid, said, asked_at_ns, asks))

    def forget_arrivals(self, *, before_ns: int, incomplete_before_ns: int) -> None:
        with self._file.writing() as connection:
            for state, at_ns in (
                (ArrivalState.COMPLETE, before_ns),
                (ArrivalState.QUIET, before_ns),
                (ArrivalState.INCOMPLETE, incomplete_before_ns),
            ):
                connection.execute(_FORGET, (state, at_ns))

    def held_of_study(self, study_instance_uid: str) -> dict[str, int]:
        held: dict[str, int] = {}
        with self._file.reading() as connection:
            for uid, count in connection.execute(_HELD, (study_instance_uid,)):
                held[uid] = held.get(uid, 0) + count
        return held

    def arrival_totals(self) -> ArrivalTotals:
        with self._file.reading() as connection:
            counted: list[Row] = connection.execute(
                "SELECT state, count(*) FROM arrival GROUP BY state"
            ).fetchall()
            (oldest_ns,) = only_row(
                connection, "SELECT min(first_at_ns) FROM arrival WHERE state = 'arriving'"
            )
        return ArrivalTotals(
            states={ArrivalState(state): count for state, count in counted},
            oldest_arriving_ns=oldest_ns,
        )


def merged(known: Hints, more: Hints) -> Hints:
    """Both; of one acquisition the larger number, and of too many the first."""
    found = {series: dict(images) for series, images in known.items()}
    room = HINTS_MAX - sum(map(len, found.values()))
    for series, images in more.items():
        of_series = found.get(series, {})
        for acquisition, count in images.items():
            if acquisition not in of_series:
                if room <= 0:
                    continue
                room -= 1
            of_series[acquisition] = max(count, of_series.get(acquisition, 0))
        if of_series:
            found[series] = of_series
    return found


def _rows(connection: Connection, sql: str, *values: SQLiteValue) -> list[ArrivalRow]:
    return [_row(*each) for each in connection.execute(sql, values)]


def _row(uid: str, state: str, ae_title: str, *rest: Any) -> ArrivalRow:
    first_at_ns, last_at_ns, hints, told, asked_at_ns, asks = rest
    return ArrivalRow(
        study_instance_uid=uid,
        state=ArrivalState(state),
        ae_title=ae_title,
        first_at_ns=first_at_ns,
        last_at_ns=last_at_ns,
        hints=_hints.decode(hints),
        told=_told.decode(told) if told else None,
        asked_at_ns=asked_at_ns,
        asks=asks,
    )

"""What is forwarded: packs to ask rules about, what waits for a destination, what came of it."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from fileroom.catalog.errors import StateMovedError
from fileroom.catalog.forwards import (
    FORWARDED_KEPT_NS,
    DestinationTotals,
    ForwardCounts,
    ForwardedPack,
    ForwardRow,
    NewForward,
    PackToRoute,
    Progress,
    RefusedForward,
    StudyForward,
    numbers,
    runs,
)
from fileroom.catalog.levels import storable
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.catalog.sqlite_file import SqliteStore, only_int, only_row

_json = msgspec.json.Encoder()
_attributes = msgspec.json.Decoder(dict[str, str])

_TO_ROUTE = """
SELECT forward_unrouted.pack, rule, instance_count, series.attributes, study.attributes
FROM forward_unrouted CROSS JOIN pack ON pack.number = forward_unrouted.pack
CROSS JOIN series ON series.id = pack.series CROSS JOIN study ON study.id = pack.study
WHERE forward_unrouted.pack IN (SELECT DISTINCT pack FROM forward_unrouted WHERE pack > ?
    ORDER BY pack LIMIT ?)
ORDER BY forward_unrouted.pack, rule
"""
_STUDY_OF_PACK = """
SELECT study.uid FROM pack CROSS JOIN study ON study.id = pack.study WHERE pack.number = ?
"""
_WAIT = """
INSERT OR IGNORE INTO forward_waiting VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, '', ?)
"""
_OWE = """
INSERT OR IGNORE INTO forward_unrouted
SELECT pack.number, ?2 FROM json_each(?1) CROSS JOIN pack ON pack.sha256 = unhex(value)
"""
_NEXT = """
SELECT destination, rule, forward_waiting.pack, sha256, study_key_id, study_uid, left_over,
    stored, warned, withdrawn, tries, turn, last_error, since_ns
FROM forward_waiting CROSS JOIN pack ON pack.number = forward_waiting.pack
WHERE destination = ? AND rule = ? ORDER BY turn, forward_waiting.pack LIMIT 1
"""
_PUT_OFF = """
UPDATE forward_waiting SET left_over = ?5, left_count = ?6, stored = stored + ?7,
    warned = warned + ?8, withdrawn = withdrawn + ?9, tries = tries + 1, last_error = ?10,
    turn = 1 + (SELECT max(turn) FROM forward_waiting AS other WHERE other.destination = ?1)
WHERE destination = ?1 AND rule = ?2 AND pack = ?3 AND left_over = ?4
"""
_LEFT_OF = """
SELECT left_over FROM forward_waiting WHERE destination = ? AND rule = ? AND pack = ?
"""
_REFUSED_OF = """
SELECT reason, ordinals FROM forward_refused WHERE destination = ? AND rule = ? AND pack = ?
"""
_REFUSED_OF_STUDY = """
SELECT destination, rule, pack, reason, ordinals FROM forward_refused WHERE study_uid = ?
ORDER BY destination, rule, pack, reason LIMIT ?
"""
_PUT_REFUSED = """
INSERT INTO forward_refused VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (destination, rule, pack, reason) DO UPDATE SET ordinals = ?6, ordinal_count = ?7
"""
_COUNTS = """
SELECT
    (SELECT sum(left_count + stored + withdrawn) FROM forward_waiting
        WHERE study_uid = ?1 AND destination = ?2),
    (SELECT sum(ordinal_count) FROM forward_refused WHERE study_uid = ?1 AND destination = ?2),
    (SELECT stored FROM forward_study WHERE study_uid = ?1 AND destination = ?2),
    (SELECT warned FROM forward_study WHERE study_uid = ?1 AND destination = ?2),
    (SELECT withdrawn FROM forward_study WHERE study_uid = ?1 AND destination = ?2)
"""
_PUT_STUDY = """
INSERT INTO forward_study VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (study_uid, destination) DO UPDATE SET stored = ?3, warned = ?4, withdrawn = ?5,
    changed_at_ns = ?6
"""
_FORGET_STUDIES = "DELETE FROM forward_study WHERE changed_at_ns < ?"
_WAIT_AGAIN = """
INSERT INTO forward_waiting VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, 0, 0, '', ?7)
ON CONFLICT (destination, rule, pack) DO UPDATE SET left_over = ?5, left_count = ?6
"""
_TO_RETRY = """
SELECT rule, pack, study_uid, ordinals FROM forward_refused
WHERE destination = ?1 AND (?2 = '' OR study_uid = ?2) ORDER BY rule, pack
"""
_TOTALS = """
SELECT destination, rule, sum(left_count), min(since_ns) FROM forward_waiting
GROUP BY destination, rule
"""
_COUNT_REFUSED = """
SELECT destination, sum(ordinal_count) FROM forward_refused GROUP BY destination
"""
_LAST_ERROR = """
SELECT last_error FROM forward_waiting WHERE destination = ? AND turn > 0
ORDER BY turn DESC LIMIT 1
"""
_UNDONE = """
SELECT destination, study_uid, min(since_ns) AS since_ns FROM (
    SELECT destination, study_uid, since_ns FROM forward_waiting
    UNION ALL SELECT destination, study_uid, ?4 FROM forward_refused
    UNION ALL SELECT destination, study_uid, ?4 FROM forward_study
        WHERE ?2 <> '' AND study_uid = ?2
) WHERE (?1 = '' OR destination = ?1) AND (?2 = '' OR study_uid = ?2)
GROUP BY destination, study_uid ORDER BY since_ns, destination, study_uid LIMIT ?3
"""
_REASONS = """
SELECT reason, sum(ordinal_count) FROM forward_refused
WHERE study_uid = ? AND destination = ? GROUP BY reason
"""
_ERROR_OF_STUDY = """
SELECT last_error FROM forward_waiting WHERE study_uid = ? AND destination = ? AND turn > 0
ORDER BY turn DESC LIMIT 1
"""
NEVER_NS = (1 << 63) - 1


class SqliteForwards(SqliteStore):
    """The methods of `Catalog` about forwarding."""

    def packs_to_route(self, *, after: int = 0, limit: int) -> list[PackToRoute]:
        found = []
        with self._file.reading() as connection:
            rows: list[Row] = connection.execute(_TO_ROUTE, (after, limit)).fetchall()
            for pack, group in groupby(rows, lambda row: row[0]):
                told = list(group)
                asked = {row[1] for row in told}
                series, study = (_attributes.decode(each) for each in told[0][3:5])
                found.append(
                    PackToRoute(
                        pack=pack,
                        rules=None if "" in asked else frozenset(asked),
                        ordinals=_served(connection, pack, told[0][2]),
                        modality=series.get("Modality", ""),
                        description=series.get("SeriesDescription", ""),
                        study_description=study.get("StudyDescription", ""),
                    )
                )
        return found

    def route(self, pack: int, forwards: Sequence[NewForward]) -> None:
        now_ns = self._file.clock.wall_ns()
        with self._file.writing() as connection:
            connection.execute("DELETE FROM forward_unrouted WHERE pack = ?", (pack,))
            studies: list[Row] = connection.execute(_STUDY_OF_PACK, (pack,)).fetchall()
            for (study_uid,) in studies:  # of a pack that is gone there is none
                for each in forwards:
                    where = (each.destination, each.rule, pack, study_uid)
                    left = (runs(each.ordinals), len(each.ordinals))
                    connection.execute(_WAIT, (*where, *left, now_ns))

    def owe_route(self, owed: Mapping[str, Collection[bytes]]) -> None:
        with self._file.writing() as connection:
            for rule, packs in owed.items():
                listed = _json.encode(sorted(each.hex() for each in packs)).decode()
                connection.execute(_OWE, (listed, rule))

    def forward_next(self, destination: str, rules: Collection[str]) -> ForwardRow | None:
        found = []
        with self._file.reading() as connection:
            for rule in rules:
                row = connection.execute(_NEXT, (destination, rule)).fetchone()
                if row is not None:
                    found.append(_row(row))
        return min(found, key=lambda row: (row.turn, row.pack, row.rule), default=None)

    def put_off_forward(self, row: ForwardRow, progress: Progress, *, error: str) -> None:
        with self._file.writing() as connection:
            connection.execute(
                _PUT_OFF,
                (
                    *(row.destination, row.rule, row.pack, runs(row.left)),
                    *(runs(progress.left), len(progress.left)),
                    *(progress.stored, progress.warned, progress.withdrawn),
                    error,
                ),
            )
            if not connection.changes():
                raise StateMovedError(f"what waits of pack {row.pack} is not what it was")
            refused = _refused(connection, row.destination, row.rule, row.pack)
            by_reason: dict[str, list[int]] = {}
            for ordinal, reason in progress.refused.items():
                by_reason.setdefault(reason, list(refused.get(reason, ()))).append(ordinal)
            for reason, ordinals in by_reason.items():
                where = (row.destination, row.rule, row.pack, reason, row.study_instance_uid)
                connection.execute(_PUT_REFUSED, (*where, runs(ordinals), len(ordinals)))

    def forward_counts(self, destination: str, study_instance_uid: str) -> ForwardCounts:
        with self._file.reading() as connection:
            return _counts(connection, destination, storable(study_instance_uid))

    def forward_refused(self, row: ForwardRow) -> dict[str, tuple[int, ...]]:
        where = (row.destination, row.rule, row.pack)
        with self._file.reading() as connection:
            waiting = connection.execute(_LEFT_OF, where).fetchone()
            if waiting is None or numbers(waiting[0]) != row.left:
                raise StateMovedError(f"what waits of pack {row.pack} is not what it was")
            return _refused(connection, *where)

    def record_forwarded(self, forwarded: ForwardedPack) -> None:
        told = forwarded
        study_uid = storable(told.study_instance_uid)
        with self._file.writing() as connection:
            pack = only_int(
                connection, "SELECT number FROM pack WHERE sha256 = ?", (told.pack_sha256,)
            )
            where = (told.destination, told.rule, pack)
            for table in ("forward_waiting", "forward_refused"):
                connection.execute(
                    f"DELETE FROM {table} WHERE destination = ? AND rule = ? AND pack = ?",  # noqa: S608
                    where,
                )
            for reason, ordinals in told.refused.items() if pack else ():
                values = (*where, reason, study_uid, runs(ordinals), len(ordinals))
                connection.execute(_PUT_REFUSED, values)
            counts = (told.study.stored, told.study.warned, told.study.withdrawn)
            connection.execute(
                _PUT_STUDY, (study_uid, told.destination, *counts, told.forwarded_at_ns)
            )
            since_ns = self._file.clock.wall_ns() - FORWARDED_KEPT_NS
            connection.execute(_FORGET_STUDIES, (since_ns,))

    def retry_refused(self, destination: str, study_instance_uid: str = "") -> int:
        now_ns, count = self._file.clock.wall_ns(), 0
        with self._file.writing() as connection:
            rows: list[Row] = connection.execute(
                _TO_RETRY, (destination, storable(study_instance_uid))
            ).fetchall()
            for (rule, pack, study_uid), group in groupby(rows, lambda row: row[:3]):
                again = {number for row in group for number in numbers(row[3])}
                count += len(again)
                where = (destination, rule, pack)
                waiting = connection.execute(_LEFT_OF, where).fetchone()
                left = again | set(numbers(waiting[0]) if waiting is not None else ())
                values = (*where, study_uid, runs(left), len(left), now_ns)
                connection.execute(_WAIT_AGAIN, values)
                connection.execute(
                    "DELETE FROM forward_refused WHERE destination = ? AND rule = ? AND pack = ?",
                    where,
                )
        return count

    def forward_totals(self) -> dict[str, DestinationTotals]:
        waiting: dict[str, dict[str, int]] = {}
        oldest: dict[str, int] = {}
        errors: dict[str, str] = {}
        with self._file.reading() as connection:
            for destination, rule, count, since_ns in connection.execute(_TOTALS):
                waiting.setdefault(destination, {})[rule] = count
                oldest[destination] = min(oldest.get(destination, since_ns), since_ns)
            for destination in waiting:
                row = connection.execute(_LAST_ERROR, (destination,)).fetchone()
                errors[destination] = "" if row is None else row[0]
            refused = _counted(connection, _COUNT_REFUSED)
        return {
            each: DestinationTotals(
                waiting=waiting.get(each, {}),
                oldest_ns=oldest.get(each),
                refused=refused.get(each, 0),
                last_error=errors.get(each, ""),
            )
            for each in sorted({*waiting, *refused})
        }

    def study_forwards(
        self, destination: str = "", study_instance_uid: str = "", *, limit: int
    ) -> list[StudyForward]:
        asked = (destination, storable(study_instance_uid), limit, NEVER_NS)
        found = []
        with self._file.reading() as connection:
            rows: list[Row] = connection.execute(_UNDONE, asked).fetchall()
            for to, study_uid, since_ns in rows:
                of = (study_uid, to)
                error = connection.execute(_ERROR_OF_STUDY, of).fetchone()
                changed_at_ns = only_int(
                    connection,
                    "SELECT changed_at_ns FROM forward_study"
                    " WHERE study_uid = ? AND destination = ?",
                    of,
                )
                found.append(
                    StudyForward(
                        destination=to,
                        study_instance_uid=study_uid,
                        counts=_counts(connection, to, study_uid),
                        since_ns=0 if since_ns == NEVER_NS else since_ns,
                        reasons=_counted(connection, _REASONS, of),
                        last_error="" if error is None else error[0],
                        changed_at_ns=changed_at_ns,
                    )
                )
        return found

    def refused_forwards(self, study_instance_uid: str, *, limit: int) -> list[RefusedForward]:
        asked = (storable(study_instance_uid), limit)
        with self._file.reading() as connection:
            return [
                RefusedForward(
                    destination=destination,
                    rule=rule,
                    pack=pack,
                    reason=reason,
                    ordinals=numbers(ordinals),
                )
                for destination, rule, pack, reason, ordinals in connection.execute(
                    _REFUSED_OF_STUDY, asked
                )
            ]

    def forward_rules(self) -> dict[str, str]:
        with self._file.reading() as connection:
            rows = connection.execute("SELECT name, destination FROM forward_rule")
            return {str(name): str(destination) for name, destination in rows}

    def set_forward_rules(self, rules: Mapping[str, str]) -> None:
        with self._file.writing() as connection:
            connection.execute("DELETE FROM forward_rule")
            connection.executemany("INSERT INTO forward_rule VALUES (?, ?)", list(rules.items()))

    def paused_destinations(self) -> set[str]:
        with self._file.reading() as connection:
            return {str(each) for (each,) in connection.execute("SELECT * FROM forward_paused")}

    def set_destination_paused(self, destination: str, paused: bool) -> None:
        sql = (
            "INSERT OR IGNORE INTO forward_paused VALUES (?)"
            if paused
            else "DELETE FROM forward_paused WHERE destination = ?"
        )
        with self._file.writing() as connection:
            connection.execute(sql, (destination,))


def _served(connection: Connection, pack: int, instance_count: int) -> tuple[int, ...]:
    """The ordinals of a pack's instances that are served from it."""
    further = {
        ordinal
        for (ordinal,) in connection.execute("SELECT ordinal FROM conflict WHERE pack = ?", (pack,))
    }
    return tuple(each for each in range(instance_count) if each not in further)


def _refused(
    connection: Connection, destination: str, rule: str, pack: int
) -> dict[str, tuple[int, ...]]:
    rows = connection.execute(_REFUSED_OF, (destination, rule, pack))
    return {reason: numbers(ordinals) for reason, ordinals in rows}


def _counted(connection: Connection, sql: str, values: tuple[str, ...] = ()) -> dict[str, int]:
    rows: list[Row] = connection.execute(sql, values).fetchall()
    return dict(rows)


def _counts(connection: Connection, destination: str, study_uid: str) -> ForwardCounts:
    row = only_row(connection, _COUNTS, (study_uid, destination))
    waiting, refused, stored, warned, withdrawn = (each or 0 for each in row)
    return ForwardCounts(
        stored=stored, warned=warned, withdrawn=withdrawn, refused=refused, waiting=waiting
    )


def _row(row: tuple[Any, ...]) -> ForwardRow:
    values = dict(zip(ForwardRow.__struct_fields__, row, strict=True))
    return ForwardRow(**values | {"left": numbers(values["left"])})

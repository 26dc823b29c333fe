"""The node's own records: tasks, settings, the applied ledger index, callers turned away."""

from typing import Any

from fileroom.catalog.errors import StateMovedError
from fileroom.catalog.levels import storable
from fileroom.catalog.lifecycle import FINISHED, TaskState
from fileroom.catalog.rows import RefusedCaller, Task
from fileroom.catalog.sqlite_file import SqliteStore, only_int

FINISHED_TASKS_KEPT = 1000
REFUSED_CALLERS_KEPT = 1000
CALLER_TEXT_LENGTH_MAX = 64

_PUT_TASK = """
INSERT INTO task VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13)
ON CONFLICT (id) DO UPDATE SET kind = ?2, subject = ?3, state = ?4, percent = ?5,
    bytes_done = ?6, bytes_total = ?7, rate_bytes_per_s = ?8, eta_s = ?9, cursor = ?10,
    last_error = ?11, ledger_index = ?12, updated_at_ns = ?13
"""
_FORGET_FINISHED = """
DELETE FROM task WHERE state IN (?1, ?2, ?3) AND id NOT IN (
    SELECT id FROM task WHERE state IN (?1, ?2, ?3) ORDER BY updated_at_ns DESC, id LIMIT ?4)
"""
_REFUSED = """
INSERT INTO refused_caller VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
ON CONFLICT (address, calling_ae_title, called_ae_title, reason)
DO UPDATE SET count = count + ?5, last_at_ns = ?6
"""
_FORGET_REFUSED = """
DELETE FROM refused_caller WHERE (address, calling_ae_title, called_ae_title, reason) IN (
    SELECT address, calling_ae_title, called_ae_title, reason FROM refused_caller
    ORDER BY last_at_ns DESC LIMIT -1 OFFSET ?)
"""


class SqliteRecords(SqliteStore):
    """The methods of `Catalog` about the node itself."""

    def put_task(self, task: Task) -> None:
        now_ns = self._file.clock.wall_ns()
        with self._file.writing() as connection:
            connection.execute(
                _PUT_TASK,
                (
                    task.id,
                    task.kind,
                    task.subject,
                    task.state,
                    task.percent,
                    task.bytes_done,
                    task.bytes_total,
                    task.rate_bytes_per_s,
                    task.eta_s,
                    task.cursor,
                    task.last_error,
                    task.ledger_index,
                    now_ns,
                ),
            )
            if task.state in FINISHED:
                connection.execute(_FORGET_FINISHED, (*FINISHED, FINISHED_TASKS_KEPT))

    def tasks(self, *, kind: str | None = None, limit: int = 100) -> list[Task]:
        with self._file.reading() as connection:
            found = connection.execute(
                "SELECT * FROM task WHERE ?1 IS NULL OR kind = ?1"
                " ORDER BY updated_at_ns DESC, id LIMIT ?2",
                (kind, limit),
            )
            return [_task(row) for row in found]

    def task(self, id: str) -> Task | None:
        with self._file.reading() as connection:
            row = connection.execute("SELECT * FROM task WHERE id = ?", (id,)).fetchone()
        return None if row is None else _task(row)

    def setting(self, name: str) -> str | None:
        with self._file.reading() as connection:
            row = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_setting(self, name: str, value: str) -> None:
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

    def applied_index(self) -> int:
        with self._file.reading() as connection:
            return only_int(connection, "SELECT value FROM counter WHERE name = 'applied_index'")

    def set_applied_index(self, index: int) -> None:
        with self._file.writing() as connection:
            applied = only_int(connection, "SELECT value FROM counter WHERE name = 'applied_index'")
            if index < applied:
                raise StateMovedError(f"{applied} ledger entries are applied, not {index}")
            connection.execute(
                "INSERT OR REPLACE INTO counter VALUES ('applied_index', ?)", (index,)
            )

    def record_refused(
        self,
        *,
        address: str,
        calling_ae_title: str,
        called_ae_title: str,
        reason: str,
        count: int = 1,
    ) -> None:
        texts = (address, calling_ae_title, called_ae_title, reason)
        with self._file.writing() as connection:
            connection.execute(
                _REFUSED,
                (
                    *(storable(text[:CALLER_TEXT_LENGTH_MAX]) for text in texts),
                    count,
                    self._file.clock.wall_ns(),
                ),
            )
            connection.execute(_FORGET_REFUSED, (REFUSED_CALLERS_KEPT,))

    def refused_callers(self, *, limit: int = REFUSED_CALLERS_KEPT) -> list[RefusedCaller]:
        with self._file.reading() as connection:
            return [
                RefusedCaller(
                    address=address,
                    calling_ae_title=calling_ae_title,
                    called_ae_title=called_ae_title,
                    reason=reason,
                    count=count,
                    first_at_ns=first_at_ns,
                    last_at_ns=last_at_ns,
                )
                for (
                    address,
                    calling_ae_title,
                    called_ae_title,
                    reason,
                    count,
                    first_at_ns,
                    last_at_ns,
                ) in connection.execute(
                    "SELECT * FROM refused_caller ORDER BY last_at_ns DESC LIMIT ?", (limit,)
                )
            ]


def _task(row: tuple[Any, ...]) -> Task:
    names = Task.__struct_fields__
    return Task(**dict(zip(names, row, strict=True)) | {"state": TaskState(row[3])})

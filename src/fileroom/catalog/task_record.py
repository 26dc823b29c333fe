"""The one record of a long task: how far it is, how fast it goes, how long it will take still."""

import logging

from fileroom.catalog.lifecycle import FINISHED, TaskState
from fileroom.catalog.port import CatalogRecords
from fileroom.catalog.rows import Task
from fileroom.clock import Clock

NOTED_EVERY_S = 1.0
LOGGED_EVERY_S = 30.0

log = logging.getLogger(__name__)


class TaskRecord:
    """Keeps a task's row in the catalog. Call it from one thread at a time.

    The row appears with the first `note`, and a task of the same id takes it over: what is begun
    again goes on in its own record. It is written once a second, and when the state changes; the
    log hears of it twice a minute.
    """

    def __init__(self, catalog: CatalogRecords, clock: Clock, *, id: str, kind: str) -> None:
        self._catalog = catalog
        self._clock = clock
        self._task = Task(id=id, kind=kind)
        self._began: tuple[float, int] | None = None  # when it was noted first, and the bytes then
        self._noted_at_s = 0.0
        self._logged_at_s = clock.monotonic_s()

    def note(
        self,
        bytes_done: int,
        bytes_total: int,
        *,
        state: TaskState = TaskState.RUNNING,
        cursor: str = "",
        last_error: str = "",
    ) -> None:
        """Say how far it is.

        Args:
            bytes_total: 0 where nobody has counted.
        """
        now_s = self._clock.monotonic_s()
        first = self._began is None
        began_s, before = self._began = self._began or (now_s, bytes_done)
        rate = (bytes_done - before) / (now_s - began_s) if now_s > began_s else 0.0
        left = max(0, bytes_total - bytes_done)
        due = first or state is not self._task.state or now_s - self._noted_at_s >= NOTED_EVERY_S
        self._task = Task(
            id=self._task.id,
            kind=self._task.kind,
            state=state,
            percent=_percent(bytes_done, bytes_total, state),
            bytes_done=bytes_done,
            bytes_total=bytes_total,
            rate_bytes_per_s=rate,
            eta_s=left / rate if rate and bytes_total and state not in FINISHED else None,
            cursor=cursor,
            last_error=last_error,
        )
        if due:
            self._noted_at_s = now_s
            self._catalog.put_task(self._task)
        if now_s - self._logged_at_s >= LOGGED_EVERY_S:
            self._logged_at_s = now_s
            log.info("%s: %d of %d B are done", self._task.kind, bytes_done, bytes_total)

    def end(self, state: TaskState, *, last_error: str = "") -> None:
        """Say how it ended. What had nothing to do, and did it, leaves no record."""
        if self._began is None and state is TaskState.DONE:
            return
        done, total = self._task.bytes_done, self._task.bytes_total
        self.note(
            total if state is TaskState.DONE else done,
            total,
            state=state,
            cursor=self._task.cursor,
            last_error=last_error,
        )


def _percent(bytes_done: int, bytes_total: int, state: TaskState) -> float:
    if state is TaskState.DONE:
        return 100.0
    return min(100.0, 100.0 * bytes_done / bytes_total) if bytes_total else 0.0

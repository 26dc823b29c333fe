"""Long tasks of a node: their records, and what a status shows of them."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from fileroom.catalog.lifecycle import TaskState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import Task
from fileroom.catalog.task_record import TaskRecord
from fileroom.clock import Clock
from fileroom.errors import FileroomError
from fileroom.http.task_note import TaskNote
from fileroom.node.health import TaskStatus
from fileroom.recovery.rebuild import Rebuilder
from fileroom.recovery.report import Report

REBUILD = "rebuild"
RECORDS_MAX = 16
SHOWN_MAX = 10


class Tasks:
    """The records of a node's long tasks."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._noted: OrderedDict[str, TaskRecord] = OrderedDict()

    def note(self, id: str, noted: TaskNote) -> None:
        """Take a note about a task that runs elsewhere."""
        record = self._noted.get(id)
        if record is None:
            record = TaskRecord(self._catalog, self._clock, id=id, kind=noted.kind)
            self._noted[id] = record
            if len(self._noted) > RECORDS_MAX:
                self._noted.popitem(last=False)
        self._noted.move_to_end(id)
        record.note(
            noted.bytes_done,
            noted.bytes_total,
            state=TaskState(noted.state),
            cursor=noted.cursor,
            last_error=noted.last_error,
        )

    async def rebuild(self, rebuilder: Rebuilder) -> Report:
        """Rebuild the catalog, or go on with it, and keep the record of it. Raises as
        `Rebuilder.rebuild`."""
        record = TaskRecord(self._catalog, self._clock, id=REBUILD, kind=REBUILD)
        if await asyncio.to_thread(self._catalog.task, REBUILD) is not None:
            # It goes on, and says how that ends even where nothing is left to do.
            await asyncio.to_thread(record.note, 0, 0)
        try:
            report = await rebuilder.rebuild(record.note)
        except FileroomError as error:
            await asyncio.to_thread(record.end, TaskState.FAILED, last_error=str(error))
            raise
        if report.unreadable or report.absent:
            failed = f"packs unreadable: {report.unreadable}, not found: {report.absent}"
            await asyncio.to_thread(record.end, TaskState.FAILED, last_error=failed)
        elif report.awaited:
            away = f"providers that were away: {', '.join(report.awaited)}"
            await asyncio.to_thread(record.end, TaskState.WAITING, last_error=away)
        else:
            await asyncio.to_thread(record.end, TaskState.DONE)
        return report

    def interrupted(self) -> None:
        """Let what was running when the node ended wait, until it is begun again."""
        for task in self._catalog.tasks(limit=RECORDS_MAX):
            if task.state is TaskState.RUNNING:
                record = TaskRecord(self._catalog, self._clock, id=task.id, kind=task.kind)
                record.note(
                    task.bytes_done,
                    task.bytes_total,
                    state=TaskState.WAITING,
                    cursor=task.cursor,
                    last_error="the node ended meanwhile",
                )

    def latest(self) -> Sequence[Task]:
        """Those that changed last."""
        return self._catalog.tasks(limit=SHOWN_MAX)


def shown(tasks: Sequence[Task]) -> list[TaskStatus]:
    """Tasks as a status shows them."""
    return [
        TaskStatus(
            id=each.id,
            kind=each.kind,
            state=str(each.state),
            percent=each.percent,
            bytes_done=each.bytes_done,
            bytes_total=each.bytes_total,
            rate_bytes_per_s=each.rate_bytes_per_s,
            eta_s=each.eta_s,
            cursor=each.cursor,
            last_error=each.last_error,
            updated_at_s=each.updated_at_ns / 1e9,
        )
        for each in tasks
    ]


def failures(tasks: Sequence[Task]) -> list[str]:
    """A sentence about each that failed; it stands until the same task goes well."""
    return [
        f"{each.kind} failed: {each.last_error}" for each in tasks if each.state is TaskState.FAILED
    ]

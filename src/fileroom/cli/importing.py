"""`fileroom import`: stores what lies on media and disks, goes on where it was stopped."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from fileroom.cli.client import (
    READ_ERRORS,
    NodeClient,
    NodeUnavailableError,
    Part,
    Stored,
    UnreadableError,
)
from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.journal import Journal
from fileroom.cli.media import Item, Passed, items
from fileroom.cli.noting import Noting
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import complain, in_bytes, in_time, tell
from fileroom.cli.progress import Progress
from fileroom.errors import FileroomError, RefusedError, TransientError

BATCH_FILES_MAX = 64
BATCH_BYTES_MAX = 32 << 20
SHOWN_MAX = 20
RETRY_AFTER_S = (1, 2, 4, 8, 16)
HEAD_BYTES = 4096
NOT_DICOM = "not a DICOM file"
INDEX = "index of a medium, not an instance"
SKIPPED = {NOT_DICOM, INDEX}
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"  # PS3.6 Table A-1: a DICOMDIR, whatever its name
WHY_FAILED = {  # Failure Reason (0008,1197): PS3.18 §I.2.2 and PS3.4 Table B.2-1
    0x0110: "processing failure at the node",
    0x0122: "SOP class not supported",
    0x0124: "not allowed",
    0xA700: "the node is out of room",
    0xA900: "the data set has no SOP Class, SOP Instance, Study or Series Instance UID",
    0xC000: "it cannot be read",
    0xC122: "transfer syntax not supported",
}


class ImportReport(msgspec.Struct, kw_only=True):
    """What became of every file. `skipped` are files that were no instances in the first place."""

    stored: int = 0
    stored_bytes: int = 0
    stored_before: int = 0
    skipped: list[Passed] = []
    refused: list[Passed] = []
    took_s: float = 0.0

    @property
    def files(self) -> int:
        return self.stored + self.stored_before + len(self.skipped) + len(self.refused)


def import_paths(
    *paths: Path,
    report: Annotated[
        Path | None, Parameter(help="Write what was refused and skipped, and why, as JSON.")
    ] = None,
    again: Annotated[
        bool, Parameter(help="Send also what an earlier import has stored.", negative="")
    ] = False,
    shared: Shared = SHARED,
) -> ExitCode:
    """Store folders, ZIP files and DICOMDIR media.

    Stopped or broken off, the same command goes on where it ended. Folders are searched to
    their depth; a folder with a DICOMDIR is imported whole, and what the DICOMDIR names and the
    folder lacks is reported. Given the DICOMDIR file itself, only the files that it names are.
    """
    from fileroom.cli.connection import node_of

    if not paths:
        raise RefusedError("nothing to import: name a folder, a ZIP file or a DICOMDIR")
    settings = shared.settings()
    stopped = ""
    code = ExitCode.OK
    with node_of(settings) as node:
        noting = Noting(node, paths)
        shown = sys.stderr.isatty() and not shared.json
        progress = Progress(paths, shown=shown, heard=noting.note)
        importer = Importer(node, Journal(settings.data_directory), again=again, progress=progress)
        try:
            with progress:
                importer.run(paths)
        except TransientError as error:
            stopped, code = str(error), ExitCode.UNAVAILABLE
            noting.end("WAITING", stopped)
        except KeyboardInterrupt:
            stopped, code = "Ctrl-C", ExitCode.INTERRUPTED
            noting.end("CANCELLED", stopped)
        except FileroomError as error:
            noting.end("WAITING", str(error))
            raise
        else:
            refused = len(importer.report.refused)
            noting.end("DONE", f"{refused} files were refused" if refused else "")
    found = importer.finish()
    if report is not None:
        report.write_text(json.dumps(_document(found, whole=True), indent=2))
    document = _document(found, whole=False) | ({"stopped": stopped} if stopped else {})
    tell(document, report_lines(found), as_json=shared.json)
    if stopped:
        complain(f"stopped: {stopped}; the same command goes on from here")
        return code
    return ExitCode.PARTIAL if found.refused else ExitCode.OK


class Importer:
    """Sends files to a node in batches and keeps account of each."""

    def __init__(
        self,
        node: NodeClient,
        journal: Journal,
        *,
        again: bool,
        progress: Progress,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.report = ImportReport()
        self._node = node
        self._journal = journal
        self._again = again
        self._progress = progress
        self._sleep = sleep
        self._batch: dict[str, Item] = {}  # by the SOP Instance UID in the file's header
        self._batch_bytes = 0
        self._started_s = time.monotonic()

    def run(self, paths: Sequence[Path]) -> None:
        """Store everything below `paths`.

        Raises:
            NodeUnavailableError, NoRoomError: what is left is not stored; a later run goes on.
        """
        for each in items(paths):
            if isinstance(each, Passed):
                self._pass(each)
            elif not self._again and each.fingerprint in self._journal:
                self.report.stored_before += 1
                self._progress.advance(each.size_bytes)
            else:
                self._take(each)
        self._send()

    def finish(self) -> ImportReport:
        """Close the journal and return the account."""
        self._journal.close()
        self.report.took_s = time.monotonic() - self._started_s
        return self.report

    def _take(self, item: Item) -> None:
        try:
            uid = sop_instance_uid_of(item)
        except RefusedError as error:
            self._pass(Passed(item.name, str(error), refused=str(error) not in SKIPPED))
            self._progress.advance(item.size_bytes)
            return
        full = len(self._batch) >= BATCH_FILES_MAX
        if full or self._batch_bytes + item.size_bytes > BATCH_BYTES_MAX or uid in self._batch:
            self._send()
        self._batch[uid] = item
        self._batch_bytes += item.size_bytes
        if not uid:  # its answer can be told from others' only if it is alone
            self._send()

    def _send(self) -> None:
        """Send the batch; every file of it is then stored, refused, or the reason to stop."""
        batch, self._batch, self._batch_bytes = self._batch, {}, 0
        while batch:
            try:
                answer = self._store(list(batch.values()))
            except UnreadableError as error:
                uid = list(batch)[error.number]
                self._refuse(batch.pop(uid), str(error))
                continue
            self._account(batch, answer)
            return

    def _store(self, batch: list[Item]) -> Stored:
        parts = [Part(each.open, each.size_bytes) for each in batch]
        for wait_s in RETRY_AFTER_S:
            try:
                return self._node.store(parts)
            except NodeUnavailableError:
                self._sleep(wait_s)
        return self._node.store(parts)

    def _account(self, batch: dict[str, Item], answer: Stored) -> None:
        alone = len(batch) == 1
        done = []
        for uid, item in batch.items():
            failures = [*answer.failed.values(), *answer.failed_without_uid]
            if alone and failures:
                self._refuse(item, why_failed(failures[0]))
            elif alone and not answer.accepted:
                self._refuse(item, "the node did not say what became of it")
            elif alone or (uid in answer.accepted and uid not in answer.failed):
                done.append(item)
            elif uid in answer.failed and uid not in answer.accepted:
                self._refuse(item, why_failed(answer.failed[uid]))
            else:  # a data set has another UID than its header: ask for this file alone
                self._batch = {uid: item}
                self._send()
        self._journal.add([item.fingerprint for item in done])
        self.report.stored += len(done)
        for item in done:
            self.report.stored_bytes += item.size_bytes
            self._progress.advance(item.size_bytes)

    def _refuse(self, item: Item, reason: str) -> None:
        self._pass(Passed(item.name, reason, refused=True))
        self._progress.advance(item.size_bytes)

    def _pass(self, passed: Passed) -> None:
        (self.report.refused if passed.refused else self.report.skipped).append(passed)


def sop_instance_uid_of(item: Item) -> str:
    """The SOP Instance UID in a file's header; "" if the header has none.

    Raises:
        RefusedError: not a DICOM file, a medium's index, or it cannot be read.
    """
    from fileroom.dicom.part10 import Part10Splitter

    splitter = Part10Splitter()
    try:
        with item.open() as stream:
            head = stream.read(132)
            if len(head) < 132 or head[128:] != b"DICM":
                raise RefusedError(NOT_DICOM)
            start = splitter.feed(head)
            while start is None and (piece := stream.read(HEAD_BYTES)):
                start = splitter.feed(piece)
    except READ_ERRORS as error:
        raise RefusedError(f"it cannot be read ({type(error).__name__})") from error
    begun = start or splitter.finish()
    if begun.sop_class_uid == MEDIA_STORAGE_DIRECTORY:
        raise RefusedError(INDEX)
    return begun.sop_instance_uid or ""


def why_failed(reason: int) -> str:
    """A Failure Reason in words."""
    if reason in WHY_FAILED:
        return WHY_FAILED[reason]
    family = WHY_FAILED.get(0xC000 if reason >> 12 == 0xC else reason & 0xFF00)
    return f"{family or 'refused by the node'} ({reason:04X}H)"


def report_lines(report: ImportReport) -> Iterator[str]:
    """The report as a page of text: counts, then the refused files, the first of them by name."""
    rate = report.stored_bytes / report.took_s if report.took_s else 0
    yield (
        f"{report.stored} stored ({in_bytes(report.stored_bytes)} in {in_time(report.took_s)}, "
        f"{in_bytes(rate)}/s), {report.stored_before} stored before"
    )
    for word, passed in (("refused", report.refused), ("skipped", report.skipped)):
        for reason, count in Counter(each.reason for each in passed).most_common():
            yield f"{count} {word}: {reason}"
    for each in report.refused[:SHOWN_MAX]:
        yield f"  {each.name}: {each.reason}"
    if len(report.refused) > SHOWN_MAX:
        yield f"  and {len(report.refused) - SHOWN_MAX} more; --report FILE lists all"


def _document(report: ImportReport, *, whole: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "files": report.files,
        "stored": report.stored,
        "stored_bytes": report.stored_bytes,
        "stored_before": report.stored_before,
        "took_s": round(report.took_s, 3),
        "refused": len(report.refused),
        "skipped": len(report.skipped),
        "refused_by_reason": Counter(each.reason for each in report.refused),
        "skipped_by_reason": Counter(each.reason for each in report.skipped),
    }
    lists = [("refused_files", report.refused)]
    lists += [("skipped_files", report.skipped)] if whole else []
    for key, passed in lists:
        document[key] = [{"name": each.name, "reason": each.reason} for each in passed]
    return document

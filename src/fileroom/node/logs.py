"""What the program writes to standard error: lines for journald or JSON, without patient data.

A filter cannot know a patient's name. So the rule is about where text comes from: a line of ours
is written as it is (house rule: numbers, tags and lengths only); of another library's line only
the fixed part is, without its arguments; of an exception that is not ours the type and the places
in the code are, without its text; of a Python warning the category and the place. pydicom, for one,
puts the values that it complains about into all three.
"""

import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from fileroom.errors import FileroomError
from fileroom.node.settings import Log

OURS = "fileroom"
PRIORITIES = {  # syslog severities, as journald reads them from "<n>" at the start of a line
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
MESSAGE_CHARACTERS_MAX = 2000
QUIET = ("uvicorn.access", "pydicom")  # request lines hold queries, pydicom's lines hold values


def configure(
    log: Log, *, stream: TextIO | None = None, environment: Mapping[str, str] | None = None
) -> None:
    """Send every line of the process to `stream` (standard error) in our form."""
    target = stream or sys.stderr
    variables = os.environ if environment is None else environment
    handler = logging.StreamHandler(target)
    handler.setFormatter(LineFormatter(as_json=log.json, journal=_is_journal(target, variables)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    set_level(log.level)
    for name in QUIET:
        logging.getLogger(name).disabled = True
    logging.raiseExceptions = False  # a mistake in a log call must not print its arguments
    warnings.showwarning = _show_warning
    sys.excepthook = _show_exception


def set_level(level: str) -> None:
    """Change the least important level of our own lines; others stay at warnings."""
    logging.getLogger(OURS).setLevel(level.upper())


class LineFormatter(logging.Formatter):
    """One record as one line, whatever is in it: control characters are escaped."""

    def __init__(self, *, as_json: bool, journal: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        fields = (
            {name: value for name, value in vars(record).items() if name not in STANDARD}
            if is_ours(record.name)
            else {}
        )
        text = message_of(record)
        error = error_of(record.exc_info[1]) if record.exc_info and record.exc_info[1] else None
        when = _timestamp(record.created)
        if self._as_json:
            document = {"time": when, "level": record.levelname.lower(), "logger": record.name}
            document |= {"message": text} | ({"error": error} if error else {}) | fields
            line = json.dumps(document, default=str, ensure_ascii=True)
        else:
            words = [record.levelname, record.name, text]
            words += [f"{name}={value}" for name, value in fields.items()]
            words += [f"error={error}"] if error else []
            line = _one_line(" ".join(words))
            line = line if self._journal else f"{when} {line}"
        return f"<{PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


def is_ours(logger: str) -> bool:
    return logger == OURS or logger.startswith(OURS + ".")


def message_of(record: logging.LogRecord) -> str:
    """The text of our own record; of another library's only the first line of its template."""
    if is_ours(record.name):
        return record.getMessage()[:MESSAGE_CHARACTERS_MAX]
    template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
    first = template.splitlines()[0] if template else ""
    return first[:MESSAGE_CHARACTERS_MAX]


def error_of(error: BaseException) -> str:
    """Type and places of an exception and of what caused it; the text only if it is ours."""
    told = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = traceback.extract_tb(current.__traceback__)
        places = " < ".join(
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in frames[-8:][::-1]
        )
        text = type(current).__qualname__
        if isinstance(current, FileroomError):
            text += f": {current}"
        elif isinstance(current, OSError) and current.errno is not None:
            text += f": errno {current.errno}"
        told.append(f"{text} ({places})" if places else text)
        current = current.__cause__ or current.__context__
    return "; from ".join(told)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    place = f"{Path(filename).name}:{lineno}"
    logging.getLogger(f"{OURS}.warnings").debug("%s at %s", category.__name__, place)


def _show_exception(_kind: type[BaseException], error: BaseException, _trace: object) -> None:
    logging.getLogger(OURS).critical(
        "the program ends", exc_info=(type(error), error, error.__traceback__)
    )


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _timestamp(created: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    return f"{whole}.{int(created % 1 * 1000):03d}Z"


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether systemd says that `stream` is its journal (JOURNAL_STREAM=device:inode)."""
    told = environment.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return told == f"{status.st_dev}:{status.st_ino}"

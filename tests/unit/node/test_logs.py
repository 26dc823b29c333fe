"""Log lines: their form, and that no patient's value gets into one, whoever wrote it."""

import io
import json
import logging
import os
import sys
import warnings

import pydicom
import pytest
from pydicom.dataset import Dataset

from fileroom.errors import RefusedError
from fileroom.node import logs
from fileroom.node.settings import Log

PATIENT = "DOE^JOHN"


@pytest.fixture
def written():
    """Configure logging into a string, and put the process's own back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("fileroom")
    before = (root.handlers[:], root.level, ours.level, warnings.showwarning, sys.excepthook)
    raising = logging.raiseExceptions
    stream = io.StringIO()

    def configure(**log):
        logs.configure(Log(**log), stream=stream, environment={})
        return stream

    yield configure
    root.handlers[:], root.level, ours.level, warnings.showwarning, sys.excepthook = before
    logging.raiseExceptions = raising
    for name in logs.QUIET:
        logging.getLogger(name).disabled = False


def test_a_line_has_time_level_logger_and_text(written):
    stream = written()
    logging.getLogger("fileroom.spool").info("segment %d is full", 7, extra={"size_bytes": 9})
    line = stream.getvalue()
    assert line.endswith("Z INFO fileroom.spool segment 7 is full size_bytes=9\n")
    assert line.count("\n") == 1


def test_a_json_line_has_the_same_fields(written):
    stream = written(json=True)
    logging.getLogger("fileroom.spool").warning("segment %d", 7, extra={"size_bytes": 9})
    document = json.loads(stream.getvalue())
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "warning",
        "logger": "fileroom.spool",
        "message": "segment 7",
        "size_bytes": 9,
    }


def test_under_systemd_a_line_begins_with_its_priority_and_has_no_time(tmp_path):
    formatter = logs.LineFormatter(as_json=False, journal=True)
    record = logging.makeLogRecord({"name": "fileroom", "levelno": 40, "levelname": "ERROR"})
    record.msg = "no room"
    assert formatter.format(record) == "<3>ERROR fileroom no room"


def test_the_journal_is_known_by_the_device_and_inode_that_systemd_says(tmp_path):
    with (tmp_path / "err").open("w") as stream:
        status = os.fstat(stream.fileno())
        told = f"{status.st_dev}:{status.st_ino}"
        assert logs._is_journal(stream, {"JOURNAL_STREAM": told})
        assert not logs._is_journal(stream, {"JOURNAL_STREAM": "8:1"})
        assert not logs._is_journal(stream, {})
    assert not logs._is_journal(io.StringIO(), {"JOURNAL_STREAM": told})


def test_a_line_cannot_be_forged_by_what_is_in_it(written):
    stream = written()
    logging.getLogger("fileroom").info("AE title %r and %s", "A\nB", "C\n<0>D\x1b[2J")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_another_librarys_line_is_written_without_its_arguments(written):
    stream = written()
    logging.getLogger("asyncio").error("failed for %s\nfuture: <%s>", PATIENT, PATIENT)
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\n{PATIENT}")
    assert PATIENT not in stream.getvalue()
    assert "asyncio failed for %s" in stream.getvalue()
    assert "Task exception was never retrieved" in stream.getvalue()


def test_the_text_of_an_exception_that_is_not_ours_is_left_out_and_its_place_is_told(written):
    stream = written()
    try:
        raise ValueError(f"Invalid value {PATIENT!r}")
    except ValueError:
        logging.getLogger("fileroom.ingest").exception("a stage failed")
    assert PATIENT not in stream.getvalue()
    assert "ValueError (test_logs.py:" in stream.getvalue()


def test_the_text_of_our_own_exception_is_kept_and_so_is_its_cause(written):
    stream = written()
    try:
        try:
            raise OSError(28, PATIENT)
        except OSError as error:
            raise RefusedError("no room for 7 B") from error
    except RefusedError:
        logging.getLogger("fileroom.spool").exception("refused")
    assert "RefusedError: no room for 7 B" in stream.getvalue()
    assert "OSError: errno 28" in stream.getvalue()
    assert PATIENT not in stream.getvalue()


def test_what_pydicom_says_of_a_wrong_value_does_not_reach_the_log(written):
    stream = written(level="debug")
    dataset = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = logs._show_warning
        dataset.PatientBirthDate = PATIENT
        dataset.PatientID = PATIENT * 20
    logging.getLogger("pydicom").warning("bad value %s", PATIENT)
    assert pydicom.__version__
    assert PATIENT not in stream.getvalue()
    assert "UserWarning at valuerep.py" in stream.getvalue()


def test_an_exception_that_ends_the_program_is_told_without_its_text(written):
    stream = written()
    error = KeyError(PATIENT)
    sys.excepthook(KeyError, error, None)
    assert PATIENT not in stream.getvalue()
    assert "KeyError" in stream.getvalue()


def test_a_wrong_call_of_the_log_prints_nothing_of_its_arguments(written, capsys):
    written()
    logging.getLogger("fileroom").info("%d instances", PATIENT)
    assert PATIENT not in capsys.readouterr().err


def test_the_level_can_change_while_running(written):
    stream = written()
    logging.getLogger("fileroom.x").debug("unseen")
    logs.set_level("debug")
    logging.getLogger("fileroom.x").debug("seen")
    assert "unseen" not in stream.getvalue()
    assert "seen" in stream.getvalue()

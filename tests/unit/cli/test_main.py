"""The command: which exit code an error becomes, and how it is told."""

import json

import pytest

from fileroom.cli import looking, main
from fileroom.cli.exit_codes import ExitCode, NotFoundError, exit_code_of
from fileroom.cli.options import split_address
from fileroom.cli.output import in_bytes, in_time
from fileroom.errors import (
    IntegrityError,
    PeerError,
    RefusedError,
    TransientError,
    UncertainError,
)
from fileroom.node.config import ConfigError
from fileroom.node.lock import LockedError

EXPECTED = [
    (RefusedError("x"), ExitCode.REFUSED),
    (NotFoundError("x"), ExitCode.NOT_FOUND),
    (ConfigError(["x"]), ExitCode.SETTINGS),
    (TransientError("x"), ExitCode.UNAVAILABLE),
    (LockedError("x", holder=None), ExitCode.UNAVAILABLE),
    (IntegrityError("x"), ExitCode.INTEGRITY),
    (PeerError("x"), ExitCode.PEER),
    (UncertainError("x"), ExitCode.PEER),
]


@pytest.fixture
def failing(monkeypatch):
    """Make `fileroom status` end in an error."""

    def fail_with(error):
        def status(*, shared=looking.SHARED):
            raise error

        monkeypatch.setattr(looking, "status", status)

    return fail_with


@pytest.mark.parametrize(("error", "code"), EXPECTED, ids=lambda each: type(each).__name__)
def test_an_error_ends_in_the_code_of_its_family(error, code, failing, capsys):
    failing(error)
    assert exit_code_of(error) == code
    assert main.main(["status"]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "fileroom: x\n"


def test_with_json_an_error_is_a_document(failing, capsys):
    failing(TransientError("not now"))
    assert main.main(["status", "--json"]) == ExitCode.UNAVAILABLE
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert (document["error"], document["exit_code"]) == ("not now", 6)
    assert told.err == ""


def test_a_mistake_of_ours_is_told_without_its_values(failing, capsys):
    failing(KeyError("DOE^JOHN"))
    assert main.main(["status"]) == ExitCode.BUG
    told = capsys.readouterr().err
    assert "KeyError" in told
    assert "DOE" not in told
    assert "Traceback" not in told


def test_ctrl_c_has_the_code_that_shells_expect(failing):
    failing(KeyboardInterrupt())
    assert main.main(["status"]) == 130


@pytest.mark.parametrize(
    "words",
    [
        ["statu"],
        ["status", "--jsno"],
        ["get"],
        ["peer", "ad"],
        ["status", "--data"],
        ["peer", "test"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_understood_is_told_in_one_line(words, capsys):
    assert main.main(words) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("fileroom: ")
    assert told.err.count("\n") == 1


def test_wrong_settings_have_a_code_of_their_own(tmp_path, capsys):
    (tmp_path / "fileroom.toml").write_text("[dimse]\nprot = 1\n")
    assert main.main(["status", "--config", str(tmp_path / "fileroom.toml")]) == ExitCode.SETTINGS
    assert "did you mean 'port'?" in capsys.readouterr().err


def test_the_version_is_printed(capsys):
    assert main.main(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out.strip() == main.__version__


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:104", ("127.0.0.1", "104")),
        ("[::1]:104", ("::1", "104")),
        (":104", ("127.0.0.1", "104")),
        ("localhost:0", ("localhost", "0")),
    ],
)
def test_an_address_is_host_and_port(text, address):
    assert split_address(text, flag="--http") == address


@pytest.mark.parametrize("text", ["104", "::1:104", "host:", "host:http", "", "[::1]"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError, match="--http wants HOST:PORT"):
        split_address(text, flag="--http")


def test_sizes_and_times_are_told_in_units_that_people_use():
    assert [in_bytes(n) for n in (0, 999, 1000, 1_234_567, 48e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "48.0 TB",
    ]
    assert [in_time(s) for s in (0, 59.4, 60, 3661, 93_784)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 1 min",
        "1 d 2 h",
    ]

"""A node whose passphrase is missing or wrong: up, refusing, and at work once it is mended."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.sop_class import CTImageStorage, Verification

from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import main
from fileroom.node.resources import TABLE
from instances import EXPLICIT_LITTLE, part10, uids
from nodes import PASSPHRASE, WAIT_S, NodeProcess, Reached, made, running
from peers import program, run

DICOM = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
FAR = {"FILEROOM_KEYS_RETRY_S": "3600"}  # so that only SIGHUP has the passphrase read again
STUDY, SERIES, INSTANCE = uids(1, 0, 0)
STORED = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A data folder that holds one instance."""
    folder = tmp_path_factory.mktemp("stored") / "data"
    with running(folder, in_process=True, seal__quiet_s="0") as reached:
        assert reached.request("POST", "/dicomweb/studies", DICOM, part10(1, 0, 0))[0] == 200
        reached.wait_committed(1)
    return folder


@pytest.fixture
def data(stored, tmp_path) -> Path:
    """The same, and its passphrase is away."""
    folder = Path(shutil.copytree(stored, tmp_path / "data"))
    (folder / "passphrase").unlink()
    return folder


@pytest.fixture
def start(data) -> Iterator[type[NodeProcess]]:
    nodes = []

    def begun(**environment: str) -> NodeProcess:
        nodes.append(NodeProcess(made(data, seal__quiet_s="0"), **environment))
        return nodes[-1]

    yield begun
    for node in nodes:
        if node.process.poll() is None:
            node.kill()


def give(data: Path, passphrase: str) -> None:
    """Put a passphrase in its place at once, so that no half of it is read."""
    (data / "passphrase.new").write_text(passphrase + "\n")
    (data / "passphrase.new").rename(data / "passphrase")


def contents(data: Path) -> dict[str, bytes]:
    """Every file of the data folder but its lock."""
    files = (each for each in data.rglob("*") if each.is_file() and each.name != "lock")
    return {str(each.relative_to(data)): each.read_bytes() for each in files}


def keyring_of(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {name: bytes_ for name, bytes_ in contents.items() if name.startswith("keyring/")}


def wait_until_running(reached: Reached) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while reached.request("GET", "/healthz", {})[0] != 200:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def wait_for_line(node: NodeProcess, text: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while text not in node.log.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def associated(reached: Reached):
    entity = AE(ae_title="MODALITY")
    contexts = [build_context(Verification), build_context(CTImageStorage, EXPLICIT_LITTLE)]
    association = entity.associate(*reached.dimse, contexts=contexts, ae_title="FILEROOM")
    assert association.is_established
    return association


# --- what is refused, and how


def test_dicom_callers_are_let_in_and_their_instances_are_refused_as_out_of_resources(
    start, tmp_path
):
    node = start(**FAR)
    association = associated(node.reached)
    assert association.send_c_echo().Status == 0
    for number in range(3):
        answer = association.send_c_store(dcmread(BytesIO(part10(2, 0, number))))
        assert answer.Status == 0xA700  # PS3.4 Table B.2-1
        assert answer.ErrorComment == "keys locked"
    assert association.send_c_echo().Status == 0
    association.release()
    storescu = program("storescu", package="dcmtk")
    (tmp_path / "one.dcm").write_bytes(part10(2, 0, 0))
    where = (node.reached.dimse[0], str(node.reached.dimse[1]))
    code, said = asyncio.run(
        run(storescu, "-v", "-aec", "FILEROOM", *where, str(tmp_path / "one.dcm"))
    )
    assert "Refused: OutOfResources" in said, (code, said)
    assert node.terminate() == 0


def test_every_web_request_is_answered_503_with_a_time_but_those_about_the_node(start, tmp_path):
    node = start(**FAR)
    parameters = {
        "study": STUDY,
        "series": SERIES,
        "instance": INSTANCE,
        "frames": "1",
        "element*": "7FE00010",
        "task": "0" * 32,
    }
    for route in TABLE.routes:
        path = route.template
        for name, text in parameters.items():
            path = path.replace(f"{{{name}}}", text)
        code, body, fields = node.reached.request(route.method, path, {})
        if route.handler in ("healthz", "metrics", "status"):
            continue
        assert (code, int(fields["retry-after"]) > 0) == (503, True), route
        if route.method != "HEAD":
            assert json.loads(body) == {"status": 503, "reason": "keys locked"}
    code, body, _ = node.reached.request("GET", "/healthz", {})
    assert (code, json.loads(body)["reasons"]) == (503, ["keys locked"])
    code, body, _ = node.reached.request("GET", "/metrics", {})
    assert (code, b"\nfileroom_keys_locked 1.0\n" in body) == (200, True)
    assert b"fileroom_instances" not in body
    assert node.reached.status()["state"] == "keys locked"
    (tmp_path / "large.dcm").write_bytes(part10(2, 0, 0, size_bytes=8 << 20))
    curl = program("curl", package="curl")
    code, said = asyncio.run(
        run(
            *(curl, "-sS", "-i", "-H", "Content-Type: application/dicom"),
            *("--data-binary", f"@{tmp_path / 'large.dcm'}", f"{node.reached.web}/studies"),
        )
    )
    assert " 503 " in said, (code, said)
    assert '"keys locked"' in said
    assert node.terminate() == 0


VERBS = {
    "status": (["status"], ExitCode.UNAVAILABLE),
    "get": (["get", STUDY, "-o", "OUT"], ExitCode.UNAVAILABLE),
    "import": (["import", "FILE"], ExitCode.UNAVAILABLE),
    "rebuild": (["rebuild"], ExitCode.UNAVAILABLE),
    "peer list": (["peer", "list", "--refused"], ExitCode.UNAVAILABLE),
    "doctor": (["doctor"], ExitCode.UNFIT),
}


@pytest.fixture
def verb(data, tmp_path, monkeypatch, capsys):
    """Run a verb on the data folder with --json: its exit code and all that it said."""
    monkeypatch.setenv("FILEROOM_SITE_NAME", "test-site")
    monkeypatch.setenv("FILEROOM_SPOOL_RESERVE_BYTES", "0")
    monkeypatch.setenv("FILEROOM_KEYS_PASSPHRASE_FILE", str(data / "passphrase"))
    (tmp_path / "one.dcm").write_bytes(part10(2, 0, 0))
    places = {"OUT": str(tmp_path / "out"), "FILE": str(tmp_path / "one.dcm")}

    def done(*words: str) -> tuple[int, str]:
        code = main([*(places.get(each, each) for each in words), "--data", str(data), "--json"])
        said = capsys.readouterr()
        return code, said.out + said.err

    return done


def test_the_verbs_say_it_while_the_locked_node_runs(start, verb):
    node = start(**FAR)
    for name, (words, code) in VERBS.items():
        found, said = verb(*words)
        assert (found, "keys locked" in said) == (code, True), (name, said)
    assert node.reached.status()["state"] == "keys locked"
    assert node.terminate() == 0


@pytest.mark.parametrize("passphrase", [None, "another"])
def test_the_verbs_say_it_where_no_node_runs_and_leave_all_as_it_was(passphrase, data, verb):
    if passphrase is not None:
        give(data, passphrase)
    before = contents(data)
    for name, (words, code) in VERBS.items():
        wrong = passphrase is not None and code is ExitCode.UNAVAILABLE
        found, said = verb(*words)
        assert found == (ExitCode.REFUSED if wrong else code), (name, said)
        assert "keys locked" in said, (name, said)
    assert contents(data) == before


# --- how it goes on


def test_a_node_goes_on_in_its_place_when_its_keys_open(start, data):
    node = start(FILEROOM_KEYS_RETRY_S="0.1")
    reached = node.reached
    association = associated(reached)
    assert association.send_c_store(dcmread(BytesIO(part10(2, 0, 0)))).Status == 0xA700
    before = contents(data)
    turned_away, done = [], threading.Event()

    def knock() -> None:
        while not done.is_set():
            for address in (reached.http, reached.dimse):
                try:
                    socket.create_connection(address, timeout=WAIT_S).close()
                except OSError as error:
                    turned_away.append(error)

    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        assert contents(data) == before
        give(data, PASSPHRASE)
        wait_until_running(reached)
    finally:
        done.set()
        knocking.join()
    assert turned_away == []
    assert association.send_c_store(dcmread(BytesIO(part10(2, 0, 0)))).Status == 0
    association.release()
    code, body, _ = reached.get(STORED, "application/dicom; transfer-syntax=*")
    assert (code, body) == (200, part10(1, 0, 0))
    reached.wait_committed(2)
    assert reached.status()["state"] == "running"
    assert node.terminate() == 0
    said = node.log.read_text()
    assert said.count("keys locked") == 1
    assert said.count("the keys are open") == 1


def test_a_wrong_passphrase_locks_too_and_sighup_reads_a_mended_one_at_once(start, data):
    give(data, "another")
    before = contents(data)
    node = start(**FAR)
    reached = node.reached
    (warning,) = reached.status()["warnings"]
    assert "does not open the site key" in warning
    assert contents(data) == before
    (data / "passphrase").write_text("\n")
    node.process.send_signal(signal.SIGHUP)
    wait_for_line(node, "is empty")
    assert reached.get("/studies")[0] == 503
    give(data, PASSPHRASE)
    assert reached.get("/studies")[0] == 503
    node.process.send_signal(signal.SIGHUP)
    wait_until_running(reached)
    assert keyring_of(contents(data)) == keyring_of(before)
    assert len(reached.json("/studies")) == 1
    assert node.terminate() == 0


def test_a_credential_that_comes_late_opens_the_keys(start, tmp_path):
    node = start(CREDENTIALS_DIRECTORY=str(tmp_path), **FAR)
    (tmp_path / "fileroom-passphrase").write_text(PASSPHRASE)
    node.process.send_signal(signal.SIGHUP)
    wait_until_running(node.reached)
    assert node.terminate() == 0


def test_the_service_manager_is_told_once_that_it_is_up_and_of_each_state(start, data, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(WAIT_S)
        node = start(NOTIFY_SOCKET=str(tmp_path / "notify"), FILEROOM_KEYS_RETRY_S="0.1")
        assert [manager.recv(999) for _ in range(2)] == [b"STATUS=keys locked", b"READY=1"]
        give(data, PASSPHRASE)
        assert [manager.recv(999) for _ in range(2)] == [b"STATUS=starting", b"STATUS=running"]
        assert node.terminate() == 0
        assert manager.recv(999) == b"STOPPING=1"


def test_a_locked_node_ends_in_order_and_the_next_start_has_the_folder(start, data):
    assert start(**FAR).terminate() == 0
    give(data, PASSPHRASE)
    node = start()
    assert len(node.reached.json("/studies")) == 1
    assert node.terminate() == 0


# --- what still ends a start


def refused_start(data: Path, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fileroom.cli.main", "serve", "--json"),
            *("--data", str(data), "--http", "127.0.0.1:0", "--dimse", "127.0.0.1:0"),
        ],
        capture_output=True,
        timeout=WAIT_S,
        check=False,
        env={**os.environ, "FILEROOM_SITE_NAME": "test-site", **environment},
    )
    return done.returncode, json.loads(done.stdout)["error"]


def test_a_first_start_without_the_passphrase_that_is_configured_ends_and_makes_nothing(tmp_path):
    missing = {"FILEROOM_KEYS_PASSPHRASE_FILE": str(tmp_path / "secret")}
    code, told = refused_start(tmp_path / "new", **missing)
    assert (code, "No such file" in told) == (ExitCode.SETTINGS, True), told
    assert not (tmp_path / "new").exists()


def test_a_folder_without_its_keyring_is_refused_and_gets_no_other(data):
    (data / "keyring").rename(data.parent / "keyring")
    before = contents(data)
    code, told = refused_start(data)
    assert (code, "holds an archive" in told) == (ExitCode.REFUSED, True), told
    assert contents(data) == before
    (data / "keyring").mkdir()
    code, told = refused_start(data)
    assert (code, "no site object" in told) == (ExitCode.INTEGRITY, True), told
    assert contents(data) == before


def test_a_passphrase_for_a_keyring_that_is_damaged_meanwhile_ends_the_node(start, data):
    node = start(**FAR)
    (site,) = (data / "keyring" / "site").iterdir()
    site.write_bytes(b"{}")
    give(data, PASSPHRASE)
    node.process.send_signal(signal.SIGHUP)
    assert node.wait() == ExitCode.INTEGRITY

"""The command line as its user has it: real processes, a real node, files that come back."""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread

from fileroom.dicom.part10 import Part10Splitter

ROOT = Path(__file__).resolve().parents[2]
FILES = Path(pydicom.data.__file__).parent / "test_files"
MEDIUM = FILES / "dicomdirtests" / "98892001"  # a real study: two series of CT
SETTINGS = """\
[site]
name = "test"
[dimse]
port = 0
[http]
port = 0
[spool]
segment_size_bytes = 16777216
reserve_bytes = 1048576
[seal]
quiet_s = 0.2
[data]
directory = "."
"""
START_S = 60


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "fileroom.toml").write_text(SETTINGS)
    return folder


def command(*words):
    return [sys.executable, "-m", "fileroom.cli.main", *map(str, words)]


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FILEROOM_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "100", **more}


def run(*words, code=0, **more):
    """Run a verb with --json and return its document."""
    done = subprocess.run(
        command(*words, "--json"),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(**more),
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def serve(data):
    """Start `fileroom serve`; returns the process and what it said of itself."""
    started = []

    def start(*words):
        with (data.parent / "log").open("ab") as log:
            process = subprocess.Popen(
                command("serve", "--data", data, "--json", *words),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )
        started.append(process)
        told = ""
        for line in process.stdout:
            told += line
            if line == "}\n":
                return process, json.loads(told)
        raise AssertionError((data.parent / "log").read_text())

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def told_port(data):
    """The web port that the node of a data folder tells in its lock."""
    return json.loads((data / "lock").read_text())["http"][1]


def end(process):
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def datasets(folder):
    """SOP Instance UID to the bytes of the data set, of every file below a folder."""
    found = {}
    for path in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
        whole = path.read_bytes()
        start = Part10Splitter().feed(whole)
        assert start is not None, path
        found[start.sop_instance_uid] = whole[start.dataset_offset :]
    return found


def get_all(data, output):
    """Every study of the medium, got back; the number of files."""
    files = [each for each in MEDIUM.rglob("*") if each.is_file()]
    studies = {str(dcmread(each, stop_before_pixels=True).StudyInstanceUID) for each in files}
    got = [run("get", study, "-o", output / study, "--data", data) for study in sorted(studies)]
    return sum(each["files"] for each in got)


def test_what_is_imported_into_a_running_node_comes_back_bit_for_bit(data, serve, tmp_path):
    process, told = serve()
    assert told["http"][1] > 0
    sent = datasets(MEDIUM)
    report = run("import", MEDIUM, "--data", data, "--report", tmp_path / "report.json")
    assert report["stored"] == len(sent) > 5
    assert json.loads((tmp_path / "report.json").read_text())["refused"] == 0
    assert run("import", MEDIUM, "--data", data)["stored_before"] == len(sent)
    status = run("status", "--data", data)
    assert sum(each["instances"] for each in status["states"].values()) == len(sent), status
    (task,) = status["tasks"]
    assert (task["kind"], task["state"], task["percent"]) == ("import", "DONE", 100)
    assert task["bytes_done"] > 0
    assert "one copy, same disk" in status["warnings"]
    assert get_all(data, tmp_path / "out") == len(sent)
    assert datasets(tmp_path / "out") == sent
    assert end(process) == 0
    assert "DOE" not in (tmp_path / "log").read_text().upper()


def test_the_same_verbs_work_while_no_node_runs(data, tmp_path):
    sent = datasets(MEDIUM)
    archive = tmp_path / "old.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as into:
        for path in MEDIUM.rglob("*"):
            if path.is_file():
                into.write(path, path.relative_to(MEDIUM))
        into.writestr("README.TXT", "how to view")
    run("init", "--data", data, "--yes")
    report = run("import", archive, "--data", data)
    assert (report["stored"], report["skipped"]) == (len(sent), 1)
    assert run("status", "--data", data)["state"] == "closed"
    get_all(data, tmp_path / "out")
    assert datasets(tmp_path / "out") == sent


def test_a_catalog_that_is_made_again_knows_everything(data, tmp_path):
    run("init", "--data", data, "--yes")
    run("import", MEDIUM, "--data", data)
    before = run("status", "--data", data)
    report = run("rebuild", "--data", data)
    assert report["old_catalog"].endswith("catalog.db.before-rebuild-1")
    after = run("status", "--data", data)
    for key in ("patients", "studies", "series"):
        assert after[key] == before[key] > 0
    get_all(data, tmp_path / "out")
    assert datasets(tmp_path / "out") == datasets(MEDIUM)


def test_init_makes_a_folder_once_and_tells_the_recovery_key_once(tmp_path):
    words = [
        *("init", "--data", tmp_path / "new", "--site", "north", "--ae-title", "NORTH", "--yes"),
        *("--passphrase-file", tmp_path / "secret", "--provider", tmp_path / "copies"),
        *("--dimse", "[::1]:0", "--http", "127.0.0.1:0"),
    ]
    told = run(*words)
    assert re.fullmatch("[0-9a-f]{64}", told["recovery_key"])
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    settings = (tmp_path / "new" / "fileroom.toml").read_text()
    assert '\nae_title = "NORTH"\n' in settings
    assert '\nhost = "::1"\n' in settings
    secrets = told["recovery_key"], (tmp_path / "secret").read_text().strip()
    for path in (each for each in (tmp_path / "new").rglob("*") if each.is_file()):
        assert not any(each.encode() in path.read_bytes() for each in secrets), path
    assert run(*words, code=4)["exit_code"] == 4
    assert run("status", "--data", tmp_path / "new")["site"] == "north"


def test_a_second_node_on_the_same_folder_is_refused(data, serve):
    process, _ = serve()
    told = run("serve", "--data", data, code=6)
    assert str(process.pid) in told["error"]
    elsewhere = data.parent / "elsewhere"
    taken = f"127.0.0.1:{told_port(data)}"
    told = run("serve", "--data", elsewhere, "--http", taken, "--dimse", "127.0.0.1:0", code=6)
    assert "cannot listen" in told["error"]
    assert "rebuild" not in run("rebuild", "--data", data, code=6)["error"]
    assert end(process) == 0


def test_a_pack_is_opened_with_the_folders_own_keys(data, tmp_path):
    run("init", "--data", data, "--yes")
    run("import", MEDIUM, "--data", data)
    packs = wait_for_packs(data)
    written = tmp_path / "files"
    for number, pack in enumerate(packs):
        told = run("unpack", pack, "-o", written / str(number), "--data", data)
        assert told["files"] > 0
    assert datasets(written).items() <= datasets(MEDIUM).items()


def wait_for_packs(data):
    """Packs of the data folder's provider; a short-lived node seals what is there."""
    for _ in range(10):
        packs = [each for each in (data / "bucket" / "packs").rglob("*") if each.is_file()]
        if packs:
            return packs
        run("import", FILES / "CT_small.dcm", "--again", "--data", data)
    raise AssertionError("nothing was sealed")


def test_the_demo_ends_by_itself_when_everything_is_committed(tmp_path):
    done = subprocess.run(
        command("demo", "--data", tmp_path / "demo"),
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(DEMO_EXIT="1"),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"COMMITTED +[1-9]\d", done.stdout)
    for told in ("storescu -aec FILEROOM", "curl", "/packs", "http://", "viewer install"):
        assert told in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r" +a CT, its picture +http://[0-9.:]+/studies/[0-9.]+", last)


def test_settings_are_read_again_on_sighup(data, serve):
    process, _ = serve()
    (data / "fileroom.toml").write_text(SETTINGS.replace("0.2", "0.3") + "[dimse2]\n")
    process.send_signal(signal.SIGHUP)
    log = data.parent / "log"
    wait_until(lambda: "dimse2" in log.read_text())
    (data / "fileroom.toml").write_text(
        SETTINGS.replace("port = 0\n", "port = 0\nassociations_max = 3\n", 1)
    )
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: "dimse.associations_max" in log.read_text())
    assert end(process) == 0


def wait_until(holds, *, patience_s=20.0):
    import time

    deadline_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)

"""Whether all of a study has come: a whole node, Orthanc as the sender that is asked, DCMTK as one
that is not."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from conform.test_audit_node import told
from conform.test_commitment_peers import served
from conform.test_node_peers import Orthanc, until_it_answers
from fileroom.cli.main import main
from fileroom.node.config import PeerSettings
from instances import part10, uids
from nodes import WAIT_S, Reached, made, running
from peers import free_port, program, run

STUDY = uids(1, 1, 1)[0]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Nobody has minutes here."""
    for name, value in {
        "FIRST_ASK_S": 0.2,
        "SILENCE_S": 0.3,
        "ASK_AGAIN_S": 0.2,
        "ASK_AGAIN_S_MAX": 0.4,
        "ASKS_MAX": 1000,
    }.items():
        monkeypatch.setattr(f"fileroom.policy.completeness.{name}", value)
    monkeypatch.setattr("fileroom.node.completeness.EVERY_S", 0.1)


@pytest.fixture
def orthanc(tmp_path) -> Iterator[Orthanc]:
    """Orthanc with a DICOM door. Where the node listens it is told later."""
    tool = program("Orthanc", package="orthanc")
    port, dicom, folder = free_port(), free_port(), tmp_path / "orthanc"
    folder.mkdir()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": True,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowFind": True,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [tool, str(folder / "orthanc.json")],
            stdout=log,
            stderr=log,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
    started = Orthanc(f"http://127.0.0.1:{port}", folder)
    started.dicom_port = dicom
    try:
        until_it_answers(process, started)
        yield started
    finally:
        process.terminate()
        process.wait()


def settings_of(data: Path, orthanc: Orthanc, *, quiet_s: str = "2"):
    settings = made(data, completeness__quiet_s=quiet_s)
    peer = PeerSettings(ae_title="ORTHANC", host="127.0.0.1", port=orthanc.dicom_port, find=True)
    return msgspec.structs.replace(settings, peers={"orthanc": peer})


def sends(orthanc: Orthanc, node: Reached, *instances: str) -> None:
    modality = {"AET": "FILEROOM", "Host": node.dimse[0], "Port": node.dimse[1]}
    orthanc.ask("PUT", "/modalities/node", json.dumps(modality).encode())
    asked = {"Resources": list(instances), "Synchronous": True}
    assert orthanc.json("POST", "/modalities/node/store", asked)["FailedInstancesCount"] == 0


def until(node: Reached, reason: str, study: str = STUDY) -> dict:
    """What the node says of the study, once it says that."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        code, body, _ = node.request("GET", f"/studies/{study}/completeness", {})
        if code == 200 and reason in json.loads(body)["reason"]:
            return json.loads(body)
        assert time.monotonic() < deadline_s, (code, body)
        time.sleep(0.05)


def until_counted(node: Reached, **arrivals) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while (found := node.status()["arrivals"]) != arrivals:
        assert time.monotonic() < deadline_s, found
        time.sleep(0.05)


def test_orthanc_is_asked_how_much_it_has_and_the_study_is_shown_against_that(
    tmp_path, orthanc, capsys
):
    held = [orthanc.add(part10(1, series, n)) for series in (1, 2) for n in (1, 2, 3)]
    data = tmp_path / "data"
    with served(settings_of(data, orthanc)) as node:
        sends(orthanc, node, *held[:4])
        found = until(node, "4 of 6, and nothing came for 2 s")
        assert (found["state"], found["source"], found["ae_title"]) == (
            "incomplete",
            "sender",
            "ORTHANC",
        )
        assert sorted(found["series"].values()) == [[1, 3], [3, 3]]
        until_counted(node, arriving=0, oldest_s=None, incomplete=1)
        metrics = node.request("GET", "/metrics", {})[1].decode()
        assert 'fileroom_studies_not_whole{state="incomplete"} 1.0' in metrics
        assert main(["study", STUDY, "--data", str(data)]) == 0
        assert "incomplete: 4 of 6" in capsys.readouterr().out
    # A restart in the middle loses nothing of it.
    with served(settings_of(data, orthanc)) as node:
        until(node, "4 of 6")
        sends(orthanc, node, *held[4:])
        found = until(node, "all 6 that the sender has are here")
        assert found["state"] == "complete"
        node.wait_committed(6)
        until_counted(node, arriving=0, oldest_s=None, incomplete=0)
        assert main(["study", STUDY, "--json", "--data", str(data)]) == 0
        assert json.loads(capsys.readouterr().out)["state"] == "complete"


def test_storescu_that_is_no_peer_is_not_asked_and_its_study_becomes_quiet(tmp_path):
    file = tmp_path / "one.dcm"
    file.write_bytes(part10(1, 1, 1))
    with running(tmp_path / "data", completeness__quiet_s="0.5") as node:
        tool = program("storescu", package="dcmtk")
        target = ("-aec", "FILEROOM", node.dimse[0], str(node.dimse[1]))
        code, said = asyncio.run(run(tool, *target, str(file)))
        assert code == 0, said
        found = until(node, "1, and nothing came for 0.5 s; nobody says that any is missing")
        assert (found["state"], found["expected"], found["ae_title"]) == ("quiet", None, "STORESCU")
        assert found["asked_at_s"] is None


def test_a_peer_that_is_away_keeps_nothing_back(tmp_path):
    settings = made(tmp_path / "data", completeness__quiet_s="1")
    peer = PeerSettings(ae_title="STORESCU", host="127.0.0.1", port=free_port(), find=True)
    settings = msgspec.structs.replace(settings, peers={"ct": peer})
    file = tmp_path / "one.dcm"
    file.write_bytes(part10(1, 1, 1))
    with served(settings) as node:
        tool = program("storescu", package="dcmtk")
        target = ("-aec", "FILEROOM", node.dimse[0], str(node.dimse[1]))
        code, said = asyncio.run(run(tool, *target, str(file)))
        assert code == 0, said
        found = until(node, "nothing came for 1 s")
        assert (found["state"], found["expected"]) == ("quiet", None)
        node.wait_committed(1)


def test_whoever_asks_about_a_study_is_on_record(tmp_path):
    data = tmp_path / "data"
    with running(data) as node:
        assert node.request("GET", "/studies/1.2.3/completeness", {})[0] == 404
        assert node.request("GET", "/studies/x/completeness", {})[0] == 400
        headers = {"Content-Type": "application/dicom"}
        code, _, _ = node.request("POST", "/dicomweb/studies", headers, part10(1, 1, 1))
        assert code == 200
        assert until(node, "1, the last came")["ae_title"] == ""
    (read,) = told(data, "access.opened")
    assert (read["study_instance_uid"], read["purpose"], read["channel"]) == (
        STUDY,
        "search",
        "http",
    )

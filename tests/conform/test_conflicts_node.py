"""A whole node with two data sets under one UID and two patients in one study: what the command
line says and decides, and what curl, dicomweb-client, getscu and findscu are given."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread

from conform.test_audit_node import told
from conform.test_retrieve_peers import asked, counted, data_set_of, getscu, store
from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import main
from golden.make_folder import other_pixels
from instances import PATIENT_ID, PATIENT_NAME, part10, uids
from nodes import Reached, running
from peers import program

STUDY, SERIES, UID = uids(1, 1, 1)
FIRST = part10(1, 1, 1, size_bytes=512)
SECOND = other_pixels(FIRST)
OTHER_ID = PATIENT_ID[::-1]


@contextmanager
def holding(folder: Path, *files: bytes) -> Iterator[Reached]:
    """A node that has sealed these one after the other."""
    with running(folder / "data", in_process=True) as node:
        for file in files:
            store(node, file)
            node.wait_committed()
        yield node


@pytest.fixture
def contested(tmp_path: Path) -> Iterator[Reached]:
    with holding(tmp_path, FIRST, SECOND) as node:
        yield node


def verb(node: Reached, capsys, *words: str, code: ExitCode = ExitCode.OK) -> dict:
    capsys.readouterr()
    assert main(["conflicts", *words, "--data", str(node.data), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def lines(node: Reached, capsys, *words: str) -> str:
    capsys.readouterr()
    assert main(["conflicts", *words, "--data", str(node.data)]) == ExitCode.OK
    return capsys.readouterr().out


def settle(node: Reached, capsys, number: int) -> int:
    words = ("settle", UID, "--serve", str(number), "--reason", "the last pixel is right")
    return verb(node, capsys, *words)["ledger_index"]


def curl(node: Reached, folder: Path) -> tuple[bytes, str]:
    """What curl is given of the instance, and its entity tag."""
    url = f"{node.web}/studies/{STUDY}/series/{SERIES}/instances/{UID}"
    head, file = folder / "head", folder / "file"
    wanted = ("-H", "Accept: application/dicom")
    subprocess.run(
        [program("curl", package="curl"), "-sf", "-D", head, "-o", file, *wanted, url],
        check=True,
    )
    fields = dict(line.split(": ", 1) for line in head.read_text().splitlines() if ": " in line)
    return file.read_bytes(), fields["etag"]


def test_what_is_decided_is_what_every_service_gives(contested, tmp_path, capsys):
    node = contested
    client = DICOMwebClient(node.web)
    tags = {}
    for turn, (number, served) in enumerate([(1, FIRST), (2, SECOND), (1, FIRST)]):
        if turn:
            settle(node, capsys, number)
        file, tags[turn] = curl(node, tmp_path)
        assert data_set_of(file) == data_set_of(served)
        got = client.retrieve_instance(STUDY, SERIES, UID)
        assert got.PixelData == dcmread(BytesIO(served)).PixelData
        said = getscu(node, tmp_path / "got", "-S", *asked(study=STUDY))
        assert counted(said) == (1, 0, 0)
        (one,) = (tmp_path / "got").iterdir()
        assert data_set_of(one.read_bytes()) == data_set_of(served)
        assert "NumberOfStudyRelatedInstances: 1" in found(node)
        (row,) = client.search_for_instances(STUDY)
        assert row["00080018"]["Value"] == [UID]
    assert tags[0] == tags[2] != tags[1]


def found(node: Reached) -> str:
    """What findscu finds of the study."""
    keys = ("-k", "0008,0052=STUDY", "-k", f"0020,000d={STUDY}", "-k", "0020,1208")
    done = subprocess.run(
        [
            program("findscu", package="dcmtk"),
            "-S",
            "-aec",
            "FILEROOM",
            *map(str, node.dimse),
            *keys,
        ],
        check=True,
        capture_output=True,
    )
    said = done.stdout.decode() + done.stderr.decode()
    (line,) = [each for each in said.splitlines() if "(0020,1208) IS [" in each]
    return f"NumberOfStudyRelatedInstances: {line.split('[')[1].split(']')[0].strip()}"


def test_the_command_line_lists_shows_and_settles_and_the_ledger_has_it(tmp_path, capsys):
    with holding(tmp_path, FIRST, SECOND) as node:
        assert node.status()["unsettled_conflicts"] == 1
        (listed,) = verb(node, capsys, "list")["conflicts"]
        assert (listed["sop_instance_uid"], listed["is_open"]) == (UID, True)
        shown = verb(node, capsys, "show", UID)
        assert [each["is_served"] for each in shown["data_sets"]] == [True, False]
        assert [each["differs"] for each in shown["data_sets"]] == [None, ["7FE00010"]]
        assert [each["channel"] for each in shown["data_sets"]] == ["stow", "stow"]
        text = lines(node, capsys, "show", UID)
        assert "2 differs in (7FE0,0010)" in text
        assert PATIENT_NAME not in text
        index = settle(node, capsys, 2)
        assert node.status()["unsettled_conflicts"] == 0
        assert lines(node, capsys, "list") == "no conflicts\n"
        (listed,) = verb(node, capsys, "list", "--settled")["conflicts"]
        assert listed["settled"]["ledger_index"] == index
        assert listed["settled"]["reason"] == "the last pixel is right"
    (decided,) = told(tmp_path / "data", "conflict.settled")
    assert (decided["sop_instance_uid"], decided["by"]["channel"]) == (UID, "http")


def test_values_are_shown_when_they_are_asked_for_and_on_record(tmp_path, capsys):
    stranger = SECOND.replace(PATIENT_ID.encode(), OTHER_ID.encode())
    with holding(tmp_path, FIRST, stranger) as node:
        assert OTHER_ID not in lines(node, capsys, "show", UID)
        text = lines(node, capsys, "show", UID, "--values")
        assert f"1 (0010,0020) {PATIENT_ID}" in text
        assert f"2 (0010,0020) {OTHER_ID}" in text
    opened = told(tmp_path / "data", "access.opened")
    read = {each["study_instance_uid"] for each in opened if each["purpose"] == "conflict"}
    assert read == {STUDY}


def test_what_cannot_be_decided_is_refused(contested, capsys):
    node = contested
    why = ("--reason", "why not")
    assert verb(node, capsys, "show", "1.2.3", code=ExitCode.NOT_FOUND)
    assert verb(node, capsys, "show", "../x", code=ExitCode.NOT_FOUND)
    assert verb(node, capsys, "settle", UID, "--serve", "3", *why, code=ExitCode.NOT_FOUND)
    unreasoned = ("settle", UID, "--serve", "2", "--reason", " ")
    assert "400" in verb(node, capsys, *unreasoned, code=ExitCode.REFUSED)["error"]
    assert node.status()["unsettled_conflicts"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}",
        b'{"serve": "00"}',
        b'{"serve": 0, "reason": "x"}',
        b'{"serve": "00", "reason": "x", "more": 1}',
    ],
)
def test_a_decision_that_is_none_is_refused(contested, body):
    fields = {"Content-Type": "application/json"}
    code, _, _ = contested.request("POST", f"/conflicts/{UID}/settle", fields, body)
    assert code == 400
    fields = {"Content-Type": "text/plain"}
    code, _, _ = contested.request("POST", f"/conflicts/{UID}/settle", fields, body)
    assert code == 415


def test_lists_go_on_behind_a_key(contested):
    node = contested
    store(node, part10(1, 1, 2, size_bytes=512), other_pixels(part10(1, 1, 2, size_bytes=512)))
    node.wait_committed()
    seen, after = [], ""
    while True:
        code, body, _ = node.request("GET", f"/conflicts?limit=1&after={after}", {})
        assert code == 200
        page = json.loads(body)["conflicts"]
        if not page:
            break
        after = page[0]["key"]
        seen.append(page[0]["sop_instance_uid"])
    assert sorted(seen) == sorted(uids(1, 1, n)[2] for n in (1, 2))
    for query in ("after=x", "limit=-1", "limit=many"):
        assert node.request("GET", f"/conflicts?{query}", {})[0] == 400


def test_a_study_of_two_patients_is_kept_and_flagged(tmp_path, capsys):
    stranger = part10(1, 2, 1, size_bytes=512).replace(PATIENT_ID.encode(), OTHER_ID.encode())
    with holding(tmp_path, FIRST, part10(1, 2, 2, size_bytes=512), stranger) as node:
        assert node.status()["studies_of_two_patients"] == 1
        (study,) = verb(node, capsys, "list")["studies"]
        assert study["study_instance_uid"] == STUDY
        (other,) = study["others"]
        assert other == {
            "series_instance_uid": uids(1, 2, 1)[1],
            "instances": 1,
            "differs": ["00100020"],
        }
        text = lines(node, capsys, "list")
        assert "1 instances say another patient in (0010,0020)" in text
        assert OTHER_ID not in text
        got = DICOMwebClient(node.web).retrieve_instance(STUDY, *uids(1, 2, 1)[1:])
        assert got.PatientID == OTHER_ID

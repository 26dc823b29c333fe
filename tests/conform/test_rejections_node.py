"""What is rejected is gone for everybody who asks a whole node, and comes back: DCMTK, curl,
pynetdicom and our own verbs; before and after sealing, a restart, and the loss of the catalog.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    KeyObjectSelectionDocumentStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from crash.test_node_crashes import Outcome, store
from fileroom.access.identity import of_address
from fileroom.catalog.rejections import Scope
from fileroom.cli.connection import LocalNode
from fileroom.cli.main import main
from fileroom.node.assemble import open_node
from fileroom.node.entity_settings import Right
from fileroom.node.settings import PeerSettings
from instances import part10, uids
from nodes import Reached, made, running
from peers import program, run
from rejection_parts import file_of, note_of

WAIT_S = 30.0
STUDY, SERIES, FIRST = uids(1, 1, 1)
SECOND, OTHER_SERIES, THIRD = uids(1, 1, 2)[2], *uids(1, 2, 1)[1:]
LONER = uids(2, 1, 1)[0]


def fill(node: Reached) -> None:
    """Two instances in a series of a study, one in another; one more study of the patient."""
    for key in ((1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)):
        stow(node, part10(*key, size_bytes=512))


def stow(node: Reached, file: bytes) -> None:
    code, said, _ = node.request(
        "POST", "/dicomweb/studies", {"Content-Type": "application/dicom"}, file
    )
    assert code == 200, said


def verb(data: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    code = main([*words, "--data", str(data), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0, told
    return told


@contextmanager
def association(node: Reached, *, title: str = "QA") -> Iterator[Any]:
    ae = AE(ae_title=title)
    ae.add_requested_context(KeyObjectSelectionDocumentStorage, ExplicitVRLittleEndian)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    got: list[str] = []
    peer = ae.associate(
        *node.dimse,
        ae_title="FILEROOM",
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, lambda event: taken(event, got))],
    )
    assert peer.is_established
    try:
        yield peer, got
    finally:
        peer.release()


def taken(event: Any, got: list[str]) -> int:
    got.append(str(event.dataset.SOPInstanceUID))
    return 0


def found_by_pynetdicom(node: Reached, level: str, *asked: str, **keys: str) -> list[Dataset]:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in asked:
        setattr(query, keyword, "")
    for keyword, text in keys.items():
        setattr(query, keyword, text)
    with association(node) as (peer, _):
        answers = list(peer.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
    assert answers[-1][0].Status == 0
    return [identifier for status, identifier in answers[:-1]]


def got_by_pynetdicom(node: Reached, study: str) -> list[str]:
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study
    with association(node) as (peer, got):
        answers = list(peer.send_c_get(query, StudyRootQueryRetrieveInformationModelGet))
        assert answers[-1][0].Status == 0
        assert answers[-1][0].NumberOfCompletedSuboperations == len(got)
    return sorted(got)


def sees(node: Reached) -> set[str]:
    """The instances that a reader over the web gets of the first study, in each way there is."""
    found = {
        row["00080018"]["Value"][0] for row in node.json("/instances?limit=100")
        if row["0020000D"]["Value"] == [STUDY]
    }  # fmt: skip
    studies = {row["0020000D"]["Value"][0]: row for row in node.json("/studies")}
    assert (STUDY in studies) == bool(found)
    code, body, _ = node.get(f"/studies/{STUDY}/metadata", "application/dicom+json")
    assert code == (200 if found else 404)
    if found:
        assert {each["00080018"]["Value"][0] for each in json.loads(body)} == found
        assert studies[STUDY]["00201208"]["Value"] == [len(found)]
    for series, uid in ((SERIES, FIRST), (SERIES, SECOND), (OTHER_SERIES, THIRD)):
        path = f"/studies/{STUDY}/series/{series}/instances/{uid}"
        code, body, _ = node.get(path, "application/dicom; transfer-syntax=*")
        assert code == (200 if uid in found else 404)
        if uid in found:
            assert dcmread(BytesIO(body)).SOPInstanceUID == uid
        for further in ("/metadata", "/frames/1", "/rendered", "/thumbnail"):
            assert (node.get(path + further)[0] == 404) == (uid not in found), further
        uri = f"/wado?requestType=WADO&studyUID={STUDY}&seriesUID={series}&objectUID={uid}"
        assert (node.get(uri)[0] == 404) == (uid not in found)
    for address in (f"/dicomweb/studies/{STUDY}/thumbnail", f"/studies/{STUDY}"):
        code, _, _ = node.request("GET", address, {"Accept": "*/*"})
        assert (code == 404) == (not found), address
    counted = {
        each.StudyInstanceUID: int(each.NumberOfStudyRelatedInstances)
        for each in found_by_pynetdicom(
            node, "STUDY", "StudyInstanceUID", "NumberOfStudyRelatedInstances"
        )
    }
    assert counted.get(STUDY, 0) == len(found)
    assert counted[LONER] == 1
    assert got_by_pynetdicom(node, STUDY) == sorted(found)
    return found


ALL = {FIRST, SECOND, THIRD}


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_rejected_is_gone_for_everybody_and_comes_back(tmp_path, capsys, sealed):
    data = tmp_path / "data"
    with running(data, in_process=True, seal__quiet_s="0.2" if sealed else "3600") as node:
        fill(node)
        if sealed:
            node.wait_committed(4)
        assert sees(node) == ALL
        held = node.status()["states"]
        for scope, left in (
            ((STUDY,), set()),
            ((STUDY, "--series", SERIES), {THIRD}),
            ((STUDY, "--instance", FIRST, "--instance", THIRD), {SECOND}),
        ):
            verb(data, capsys, "reject", *scope, "--reason", "113001", "--note", "blurred")
            assert sees(node) == left
            stow(node, part10(1, 1, 1, size_bytes=512))
            assert sees(node) == left, "what comes again stays hidden"
            told = verb(data, capsys, "rejected", STUDY)["rejections"]
            assert {each["code"] for each in told} == {"113001"}
            assert {each["reason"] for each in told} == {"blurred"}
            verb(data, capsys, "restore", *scope)
            assert sees(node) == ALL
            assert verb(data, capsys, "rejected") == {"rejections": []}
        if sealed:
            assert node.wait_committed()["states"] == held, "packs are as they were"


async def test_dcmtk_and_curl_see_nothing_of_it(tmp_path, capsys):
    findscu, getscu = (program(name, package="dcmtk") for name in ("findscu", "getscu"))
    curl = program("curl", package="curl")
    data = tmp_path / "data"
    with running(data, in_process=True) as node:
        fill(node)
        node.wait_committed(4)
        door = ("-aec", "FILEROOM", node.dimse[0], str(node.dimse[1]))
        series = ("-k", "SeriesInstanceUID", "-k", f"StudyInstanceUID={STUDY}")
        wanted = ("-S", "-k", "QueryRetrieveLevel=SERIES", *series)
        verb(data, capsys, "reject", STUDY, "--series", SERIES, "--reason", "113037")
        code, said = await run(findscu, *wanted, *door)
        assert (code, OTHER_SERIES in said, SERIES in said) == (0, True, False), said
        folder = tmp_path / "got"
        folder.mkdir()
        study = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
        code, said = await run(getscu, "-od", str(folder), *study, *door)
        assert [dcmread(each).SOPInstanceUID for each in folder.iterdir()] == [THIRD], said
        address = f"{node.web}/studies/{STUDY}/series/{SERIES}"
        code, said = await run(curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", address)
        assert (code, said) == (0, "404")
        verb(data, capsys, "restore", STUDY, "--series", SERIES)
        code, said = await run(findscu, *wanted, *door)
        assert SERIES in said
        code, said = await run(curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", address)
        assert (code, said) == (0, "200")


def test_the_verbs_say_what_is_hidden_and_what_they_refuse(tmp_path, capsys):
    data = tmp_path / "data"
    with running(data, in_process=True) as node:
        fill(node)
        verb(data, capsys, "reject", STUDY, "--instance", FIRST, "--reason", "113037")
        assert main(["rejected", "--data", str(data)]) == 0
        said = capsys.readouterr().out
        assert FIRST in said
        assert "113037 Rejected for Patient Safety Reasons, since " in said
        assert main(["status", "--data", str(data)]) == 0
        assert "0 studies, 0 series, 1 instances are kept and hidden" in capsys.readouterr().out
        for words, told in (
            (["reject", STUDY, "--reason", "1"], "a reason is one of 113001"),
            (["reject", uids(7, 1, 1)[0], "--reason", "113001"], "no such study or series"),
            (["restore", STUDY], "it is not rejected as a whole"),
        ):
            assert main([*words, "--data", str(data)]) != 0
            assert told in capsys.readouterr().err


def test_what_comes_for_a_rejected_study_is_hidden_and_warned_of(tmp_path, capsys):
    data = tmp_path / "data"
    with running(data, in_process=True) as node:
        fill(node)
        node.wait_committed(4)
        verb(data, capsys, "reject", STUDY, "--reason", "113001")
        assert not any("rejected studies" in each for each in node.status()["warnings"])
        stow(node, part10(1, 3, 1, size_bytes=512))
        node.wait_committed(5)
        assert sees(node) == set()
        (told,) = (each for each in node.status()["warnings"] if "rejected studies" in each)
        assert told.startswith("for 1 rejected studies or series more has come since")
        assert [each["outgrown"] for each in verb(data, capsys, "rejected")["rejections"]] == [True]


def test_a_decision_outlasts_a_restart_and_the_catalog(tmp_path, capsys):
    data = tmp_path / "data"
    with running(data, in_process=True) as node:
        fill(node)
        node.wait_committed(4)
        verb(data, capsys, "reject", STUDY, "--series", SERIES, "--reason", "113001")
        verb(data, capsys, "reject", LONER, "--reason", "113039")
        verb(data, capsys, "restore", LONER)
        told = verb(data, capsys, "rejected")
    with running(data, in_process=True) as node:
        assert sees(node) == {THIRD}
    for name in ("catalog.db", "catalog.db-wal", "catalog.db-shm"):
        (data / name).unlink(missing_ok=True)
    with running(data, in_process=True) as node:
        assert sees(node) == {THIRD}
        assert verb(data, capsys, "rejected") == told
        verb(data, capsys, "restore", STUDY, "--series", SERIES)
        assert sees(node) == ALL


async def test_what_is_rejected_is_nothing_to_forward(tmp_path):
    async with open_node(made(tmp_path / "data"), in_process=True) as node:
        await store(node, Outcome(), [(1, 1, 1), (1, 1, 2)], size_bytes=256)
        await node.drain(WAIT_S)
        (pack,) = node.catalog.packs(limit=9)
        assert len(await node.archive.packed(pack.number, [0, 1])) == 2
        await node.decisions.rejections.reject(
            Scope(STUDY, "", (SECOND,)),
            code="113001",
            reason="",
            who=of_address("127.0.0.1"),
            channel="http",
        )
        (left,) = (await node.archive.packed(pack.number, [0, 1])).values()
        assert left.sop_instance_uid == FIRST


# Rejection notes


@contextmanager
def running_with_peer(data: Path, *rights: Right, reject: bool = False) -> Iterator[Reached]:
    """A node whose settings have a peer QA with these rights; with none, there is no peer."""
    qa = PeerSettings(ae_title="QA", host="127.0.0.1", port=104, rights=list(rights), reject=reject)
    settings = msgspec.structs.replace(made(data), peers={"qa": qa} if rights else {})
    with LocalNode(settings, in_process=True) as node:
        yield Reached(settings, node.addresses.http, node.addresses.dimse)


def rejections(node: Reached) -> list[Any]:
    code, body, _ = node.request("GET", "/rejections", {})
    assert code == 200
    found: list[Any] = json.loads(body)["rejections"]
    return found


def until_rejected(node: Reached, count: int) -> list[Any]:
    deadline = time.monotonic() + WAIT_S
    while len(found := rejections(node)) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def until_looked_at(node: Reached) -> None:
    """Return when a note that was stored behind all others was followed."""
    uid = "1.2.826.0.1.3680043.10.999.9.77"
    note = note_of({(uid, f"{uid}.2"): [f"{uid}.3"]}, uid=uid)
    send(node, note)
    deadline = time.monotonic() + WAIT_S
    while uid not in {each["note_sop_instance_uid"] for each in rejections(node)}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def send(node: Reached, note: Dataset, *, title: str = "QA") -> None:
    with association(node, title=title) as (peer, _):
        assert peer.send_c_store(note).Status == 0


def test_a_note_from_who_may_reject_hides_what_it_references(tmp_path):
    with running_with_peer(tmp_path / "data", "store", "find", "get", reject=True) as node:
        fill(node)
        note = note_of({(STUDY, SERIES): [FIRST], (STUDY, OTHER_SERIES): [THIRD]}, title="113037")
        send(node, note)
        told = until_rejected(node, 2)
        assert {each["by"] for each in told} == {"qa"}
        assert {each["note_sop_instance_uid"] for each in told} == {note.SOPInstanceUID}
        assert {each["meaning"] for each in told} == {"Rejected for Patient Safety Reasons"}
        got = got_by_pynetdicom_with_notes(node, STUDY)
        assert got == sorted([SECOND, note.SOPInstanceUID]), "the note itself is served"
        node.wait_committed(5)
        assert got_by_pynetdicom_with_notes(node, STUDY) == got
        restored = {"study_instance_uid": STUDY, "everything": True}
        code, body, _ = node.request(
            "POST",
            "/rejections/restore",
            {"Content-Type": "application/json"},
            json.dumps(restored).encode(),
        )
        assert code == 200, body
        send(node, note)  # its sender tries again
        until_looked_at(node)
        assert len(rejections(node)) == 1, "what a person undid stays undone"


def test_a_note_may_come_before_what_it_references(tmp_path):
    with running_with_peer(tmp_path / "data", "store", "find", "get", reject=True) as node:
        send(node, note_of({(STUDY, SERIES): [FIRST, SECOND]}))
        until_rejected(node, 1)
        fill(node)
        found = [row["00080018"]["Value"][0] for row in node.json(f"/studies/{STUDY}/instances")]
        assert FIRST not in found
        assert SECOND not in found
        assert THIRD in found


@pytest.mark.parametrize("rights", [(), ("store", "find", "get")])
def test_a_note_from_who_may_not_reject_is_stored_and_changes_nothing(tmp_path, rights):
    with running_with_peer(tmp_path / "data", *rights) as node:
        fill(node)
        note = note_of({(STUDY, SERIES): [FIRST]})
        send(node, note)
        node.wait_committed(5)
        assert rejections(node) == []
        assert FIRST in got_by_pynetdicom_with_notes(node, STUDY)


def test_a_note_comes_over_the_web_too_where_anyone_may_reject(tmp_path):
    with running(tmp_path / "data", in_process=True, reject__notes="anyone") as node:
        fill(node)
        stow(node, file_of(note_of({(STUDY, SERIES): [FIRST]})))
        (told,) = until_rejected(node, 1)
        assert told["by"] == "127.0.0.1"


def got_by_pynetdicom_with_notes(node: Reached, study: str) -> list[str]:
    ae = AE(ae_title="QA")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    roles = []
    for each in (CTImageStorage, KeyObjectSelectionDocumentStorage):
        ae.add_requested_context(each, ExplicitVRLittleEndian)
        roles.append(build_role(each, scp_role=True))
    got: list[str] = []
    peer = ae.associate(
        *node.dimse,
        ae_title="FILEROOM",
        ext_neg=roles,
        evt_handlers=[(evt.EVT_C_STORE, lambda event: taken(event, got))],
    )
    query = Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study
    answers = list(peer.send_c_get(query, StudyRootQueryRetrieveInformationModelGet))
    peer.release()
    assert answers[-1][0].Status == 0
    return sorted(got)

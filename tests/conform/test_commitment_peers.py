"""Storage commitment between a whole node and programs of others: pynetdicom and Orthanc as SCU.

A report may come over the association that asked, or over one that the node opens; and the node may
be stopped, its peer away or its provider gone in between.
"""

import json
import os
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    CTImageStorage,
    MRImageStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from conform.test_node_peers import Orthanc, until_it_answers
from fileroom.cli.connection import LocalNode
from fileroom.node.config import PeerSettings, ProviderSettings, Settings
from fileroom.node.settings import Commitment
from instances import part10, uids
from nodes import Reached, made
from peers import free_port, program

WAIT_S = 30.0
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


@dataclass
class Told:
    """One N-EVENT-REPORT as the peer got it.

    `scp`: whether its sender opened the association and proposed to be the SCP and nothing else.
    """

    event_type: int
    information: Dataset
    requestor: str
    scp: bool

    @property
    def failed(self) -> dict[str, int]:
        sequence = self.information.get("FailedSOPSequence", [])
        return {each.ReferencedSOPInstanceUID: each.FailureReason for each in sequence}

    @property
    def safe(self) -> set[str]:
        sequence = self.information.get("ReferencedSOPSequence", [])
        return {each.ReferencedSOPInstanceUID for each in sequence}


@dataclass
class Modality:
    """pynetdicom as a modality: stores, asks, and listens for what is told."""

    node: Reached
    title: str = "MODALITY"
    port: int = 0
    told: list[Told] = field(default_factory=list)
    status: int = 0
    heard: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def listening(self, *, roles: bool | None = True) -> Iterator[None]:
        """Take associations.

        Args:
            roles: whether the caller may be the SCP; None: it is not answered about roles.
        """
        entity = AE(self.title)
        entity.add_supported_context(
            StorageCommitmentPushModel,
            SYNTAXES,
            scu_role=None if roles is None else False,
            scp_role=roles,
        )
        server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._on)]
        )
        try:
            yield
        finally:
            server.shutdown()

    def _on(self, event: Any) -> tuple[int, None]:
        proposed = event.assoc.requestor.role_selection
        role = proposed.get(StorageCommitmentPushModel)
        told = Told(
            event.event_type,
            event.event_information,
            str(event.assoc.requestor.ae_title).strip(),
            role is not None and (role.scu_role, role.scp_role) == (False, True),
        )
        with self.heard:
            self.told.append(told)
            self.heard.notify_all()
        return self.status, None

    def wait(self, count: int = 1) -> Told:
        """The latest of `count` reports."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.told) >= count, WAIT_S), "nothing was told"
            assert len(self.told) == count
            return self.told[-1]

    @contextmanager
    def association(self) -> Iterator[Association]:
        entity = AE(self.title)
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        entity.add_requested_context(StorageCommitmentPushModel, SYNTAXES)
        association = entity.associate(
            *self.node.dimse, ae_title="FILEROOM", evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._on)]
        )
        assert association.is_established
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def store(self, *keys: tuple[int, int, int], size_bytes: int = 256) -> None:
        with self.association() as association:
            for key in keys:
                data_set = dcmread(BytesIO(part10(*key, size_bytes=size_bytes)))
                assert association.send_c_store(data_set).Status == 0

    def ask(self, *keys: tuple[int, int, int], transaction: str = "", **asked: Any) -> str:
        """Ask over an association of its own, which is then released; the Transaction UID."""
        transaction = transaction or str(generate_uid())
        with self.association() as association:
            assert ask_in(association, transaction, keys, **asked) == 0
        return transaction


def action_information(transaction: str, keys: Any, sop_class: str = CTImageStorage) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction
    information.ReferencedSOPSequence = []
    for key in keys:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = uids(*key)[2]
        information.ReferencedSOPSequence.append(item)
    return information


def ask_in(association: Association, transaction: str, keys: Any, **asked: Any) -> int:
    """N-ACTION; the status of its answer."""
    status, _ = association.send_n_action(
        action_information(transaction, keys, **asked),
        1,
        StorageCommitmentPushModel,
        StorageCommitmentPushModelInstance,
    )
    return int(status.Status)


def sop(*keys: tuple[int, int, int]) -> set[str]:
    return {uids(*key)[2] for key in keys}


def settings_with(data: Path, *, port: int, commit: str = "placement", **keys: str) -> Settings:
    """Settings of a node that knows the modality."""
    peer = PeerSettings(ae_title="MODALITY", host="127.0.0.1", port=port, commit=commit)
    return msgspec.structs.replace(made(data, **keys), peers={"modality": peer})


@contextmanager
def served(settings: Settings) -> Iterator[Reached]:
    with LocalNode(settings, in_process=True) as node:
        yield Reached(settings, node.addresses.http, node.addresses.dimse)


A, B, C = (1, 1, 1), (1, 1, 2), (1, 1, 3)


def test_a_modality_is_told_over_an_association_in_which_the_node_is_the_scp(tmp_path):
    port = free_port()
    with served(settings_with(tmp_path / "data", port=port)) as node:
        modality = Modality(node, port=port)
        with modality.listening():
            modality.store(A, B)
            transaction = modality.ask(A, B)
            told = modality.wait()
    assert (told.event_type, told.requestor, told.scp) == (1, "FILEROOM", True)
    assert told.information.TransactionUID == transaction
    assert told.information.RetrieveAETitle == "FILEROOM"
    assert (told.safe, told.failed) == (sop(A, B), {})


def test_what_is_committed_already_is_told_over_the_association_that_asks(tmp_path):
    with served(settings_with(tmp_path / "data", port=free_port())) as node:
        modality = Modality(node)
        modality.store(A)
        node.wait_committed(1)
        with modality.association() as association:
            assert ask_in(association, "1.2.3.4", [A]) == 0
            told = modality.wait()
            assert association.is_established
    assert (told.event_type, told.safe, told.requestor) == (1, sop(A), "MODALITY")


def until(node: Reached, holds: Any) -> Any:
    """The first status for which `holds`."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        status = node.status()
        if holds(status):
            return status
        time.sleep(0.02)
    raise AssertionError(status)


def waits(status: Any) -> bool:
    return bool(status["commitments"]["waiting"])


def nothing_open(status: Any) -> bool:
    return status["commitments"] == {"waiting": 0, "untold": 0, "oldest_s": None}


def with_provider(data: Path, **keys: Any) -> Settings:
    """As `settings_with`, and copies go to a folder beside the data folder."""
    provider = ProviderSettings(kind="directory", path=str(data.parent / "copies"))
    return msgspec.structs.replace(settings_with(data, **keys), providers={"copies": provider})


@contextmanager
def provider_away(data: Path) -> Iterator[None]:
    (data.parent / "copies").rename(data.parent / "away")
    try:
        yield
    finally:
        (data.parent / "away").rename(data.parent / "copies")


def test_why_there_is_no_commitment_is_told_for_each_instance(tmp_path):
    port = free_port()
    settings = settings_with(tmp_path / "data", port=port, commitment__grace_s="0")
    with served(settings) as node:
        modality = Modality(node, port=port)
        with modality.listening():
            modality.store(A, B)
            node.wait_committed(2)
            modality.ask(A, C, A)
            told = modality.wait()
            assert (told.event_type, told.safe, told.failed) == (2, sop(A), {uids(*C)[2]: 0x0112})
            modality.ask(A, B, sop_class=MRImageStorage)
            told = modality.wait(2)
            assert (told.event_type, told.safe) == (2, set())
            assert told.failed == dict.fromkeys(sop(A, B), 0x0119)
            assert "RetrieveAETitle" not in told.information


def test_a_request_may_come_before_its_instances(tmp_path):
    port = free_port()
    with served(settings_with(tmp_path / "data", port=port)) as node:
        modality = Modality(node, port=port)
        with modality.listening():
            modality.ask(A, B)
            until(node, waits)
            modality.store(A)
            node.wait_committed(1)
            assert modality.told == []
            modality.store(B)
            assert modality.wait().safe == sop(A, B)
        until(node, nothing_open)


def test_the_same_request_again_is_the_same_and_another_under_its_uid_is_refused(tmp_path):
    port = free_port()
    with served(settings_with(tmp_path / "data", port=port)) as node:
        modality = Modality(node, port=port)
        with modality.listening():
            transaction = modality.ask(A)
            for _ in range(2):
                modality.ask(A, transaction=transaction)
            assert until(node, waits)["commitments"]["waiting"] == 1
            with modality.association() as association:
                assert ask_in(association, transaction, [A, B]) == 0x0115
            modality.store(A)
            modality.wait()
            until(node, nothing_open)
            modality.ask(A, transaction=transaction)
            assert modality.wait(2).information.TransactionUID == transaction
            with modality.association() as association:
                assert ask_in(association, transaction, [B]) == 0x0115


def test_a_peer_that_is_down_is_told_when_it_is_up_and_holds_up_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr("fileroom.ingest.report.REST_S", 0.1)
    monkeypatch.setattr("fileroom.node.commitments.EVERY_S", 0.1)
    down, up = free_port(), free_port()
    settings = settings_with(tmp_path / "data", port=down)
    other = PeerSettings(ae_title="OTHER", host="127.0.0.1", port=up)
    settings = msgspec.structs.replace(settings, peers={**settings.peers, "other": other})
    with served(settings) as node:
        modality, second = Modality(node, port=down), Modality(node, "OTHER", up)
        modality.store(A)
        with second.listening():
            modality.ask(A)
            warning = "storage commitment for AE MODALITY cannot be reported: no connection"
            until(node, lambda status: any(warning in each for each in status["warnings"]))
            second.ask(A)
            assert second.wait().safe == sop(A)
        with modality.listening():
            assert modality.wait().safe == sop(A)
        status = until(node, nothing_open)
        assert not any("AE MODALITY" in each for each in status["warnings"])


def test_a_peer_that_answers_with_failure_is_told_again(tmp_path, monkeypatch):
    monkeypatch.setattr("fileroom.ingest.report.REST_S", 0.1)
    monkeypatch.setattr("fileroom.node.commitments.EVERY_S", 0.1)
    port = free_port()
    with served(settings_with(tmp_path / "data", port=port)) as node:
        modality = Modality(node, port=port, status=0x0110)
        with modality.listening():
            modality.store(A)
            modality.ask(A)
            until(node, lambda status: any("0110H" in each for each in status["warnings"]))
            modality.status = 0
            until(node, nothing_open)
    assert all(each.safe == sop(A) for each in modality.told)
    assert len(modality.told) > 1


@pytest.mark.parametrize(("roles", "told"), [(None, True), (False, False)])
def test_a_peer_that_is_silent_about_roles_is_told_and_one_that_refuses_them_is_not(
    roles, told, tmp_path
):
    port = free_port()
    with served(settings_with(tmp_path / "data", port=port)) as node:
        modality = Modality(node, port=port)
        with modality.listening(roles=roles):
            modality.store(A)
            modality.ask(A)
            if told:
                modality.wait()
                return
            until(node, lambda status: any("does not take" in each for each in status["warnings"]))
    assert modality.told == []


def test_a_provider_that_is_away_is_waited_for_over_a_restart(tmp_path):
    port = free_port()
    settings = with_provider(tmp_path / "data", port=port)
    with served(settings) as node:
        modality = Modality(node, port=port)
        with provider_away(tmp_path / "data"):
            modality.store(A)
            modality.ask(A)
            until(node, lambda status: "SEALED" in status["states"])
            assert waits(node.status())
    with provider_away(tmp_path / "data"), served(settings) as node:
        assert waits(node.status())
    with modality.listening(), served(settings) as node:
        assert modality.wait().safe == sop(A)
        until(node, nothing_open)
    assert len(modality.told) == 1


def test_a_result_that_nobody_took_is_told_after_a_restart(tmp_path):
    port = free_port()
    settings = settings_with(tmp_path / "data", port=port)
    with served(settings) as node:
        modality = Modality(node, port=port)
        modality.store(A)
        modality.ask(A)
        until(node, lambda status: status["commitments"]["untold"] == 1)
    with modality.listening(), served(settings) as node:
        assert modality.wait().safe == sop(A)
        until(node, nothing_open)


def test_a_catalog_that_is_lost_loses_no_request_and_brings_back_none_that_is_over(tmp_path):
    port = free_port()
    settings = settings_with(tmp_path / "data", port=port)
    many = [(2, 1, number) for number in range(1, 4001)]
    with served(settings) as node:
        modality = Modality(node, port=port)
        with modality.listening():
            modality.store(A)
            modality.ask(A)
            modality.wait()
            until(node, nothing_open)
        modality.ask(*many)
        waiting = modality.ask(A, B)
        assert until(node, waits)["commitments"]["waiting"] == 2
    for each in (tmp_path / "data").glob("catalog.db*"):
        each.unlink()
    settings = msgspec.structs.replace(settings, commitment=Commitment(grace_s=0.1))
    with modality.listening(), served(settings) as node:
        until(node, nothing_open)
        told = {each.information.TransactionUID: each for each in modality.told[1:]}
    assert len(told) == 2
    assert (told[waiting].safe, told[waiting].failed) == (sop(A), dict.fromkeys(sop(B), 0x0112))
    (other,) = (each for uid, each in told.items() if uid != waiting)
    assert other.failed == dict.fromkeys(sop(*many), 0x0112)


def test_a_peer_with_local_commitment_is_told_at_once_and_status_warns_of_it(tmp_path):
    port = free_port()
    settings = with_provider(
        tmp_path / "data", port=port, commit="local", seal__quiet_s="60", commitment__grace_s="0"
    )
    with served(settings) as node, provider_away(tmp_path / "data"):
        modality = Modality(node, port=port)
        with modality.listening():
            modality.store(A)
            modality.ask(A, sop_class=MRImageStorage)
            assert modality.wait().failed == dict.fromkeys(sop(A), 0x0119)
            modality.ask(A, B)
            told = modality.wait(2)
            assert (told.safe, told.failed) == (sop(A), dict.fromkeys(sop(B), 0x0112))
        status = until(node, nothing_open)
        assert status["states"]["RECEIVED"]["instances"] == 1
        warning = "peer modality is told 'safe' when only this node's disk holds it"
        assert any(warning in each for each in status["warnings"])


def test_other_data_under_a_known_uid_is_waited_for_too(tmp_path):
    port = free_port()
    settings = with_provider(tmp_path / "data", port=port)
    with served(settings) as node:
        modality = Modality(node, port=port)
        modality.store(A)
        node.wait_committed(1)
        with provider_away(tmp_path / "data"):
            modality.store(A, size_bytes=512)
            modality.ask(A)
            until(node, lambda status: status["conflicts"] == 1)
            assert waits(node.status())
        with modality.listening():
            assert modality.wait().safe == sop(A)


def test_a_caller_without_a_peer_entry_waits_for_one_and_status_says_so(tmp_path):
    settings = settings_with(tmp_path / "data", port=free_port())
    port = free_port()
    with served(settings) as node:
        stranger = Modality(node, "STRANGER", port)
        stranger.store(A)
        stranger.ask(A)
        warning = "storage commitment for AE STRANGER cannot be reported: no peer has this AE title"
        until(node, lambda status: warning in status["warnings"])
    entry = PeerSettings(ae_title="STRANGER", host="127.0.0.1", port=port)
    settings = msgspec.structs.replace(settings, peers={"stranger": entry})
    with stranger.listening(), served(settings):
        assert stranger.wait().safe == sop(A)


def without(keyword: str, information: Dataset) -> Dataset:
    del information[keyword]
    return information


def asked_of_two(information: Dataset) -> Dataset:
    del information.ReferencedSOPSequence[0].ReferencedSOPClassUID
    return information


def of_no_uid(information: Dataset) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        information.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "../../etc/passwd"
    return information


@pytest.mark.parametrize(
    ("information", "status"),
    [
        (lambda information: without("TransactionUID", information), 0x0115),
        (lambda information: without("ReferencedSOPSequence", information), 0x0115),
        (asked_of_two, 0x0115),
        (of_no_uid, 0x0115),
        (lambda information: None, 0x0115),
        (lambda information: information, 0),
    ],
)
def test_a_request_that_does_not_say_what_it_must_is_refused(information, status, door_of):
    with door_of.association() as association:
        answer, _ = association.send_n_action(
            information(action_information("1.2.3", [A])),
            1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        assert answer.Status == status
    assert door_of.node.status()["commitments"]["waiting"] == (status == 0)


@pytest.mark.parametrize(
    ("action", "sop_class", "instance", "status"),
    [
        (2, StorageCommitmentPushModel, StorageCommitmentPushModelInstance, 0x0123),
        (1, StorageCommitmentPushModel, "1.2.3", 0x0112),
        (1, StorageCommitmentPushModel, "1.2.840.10008.1.20.1", 0x0112),
    ],
)
def test_an_action_that_there_is_not_is_refused(action, sop_class, instance, status, door_of):
    with door_of.association() as association:
        answer, _ = association.send_n_action(
            action_information("1.2.3", [A]), action, sop_class, instance
        )
        assert answer.Status == status


@pytest.fixture
def door_of(tmp_path) -> Iterator[Modality]:
    with served(settings_with(tmp_path / "data", port=free_port())) as node:
        yield Modality(node)


# --- Orthanc


@pytest.fixture
def orthanc_port() -> int:
    return free_port()


@pytest.fixture
def node(tmp_path, orthanc_port) -> Iterator[Reached]:
    settings = made(tmp_path / "data", commitment__grace_s="1")
    peer = PeerSettings(ae_title="ORTHANC", host="127.0.0.1", port=orthanc_port)
    with served(msgspec.structs.replace(settings, peers={"orthanc": peer})) as reached:
        yield reached


@pytest.fixture
def orthanc(tmp_path, node, orthanc_port) -> Iterator[Orthanc]:
    """Orthanc with a DICOM door, where it is told."""
    tool = program("Orthanc", package="orthanc")
    port, folder = free_port(), tmp_path / "orthanc"
    folder.mkdir()
    settings = {
        "Name": "peer",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": True,
        "DicomPort": orthanc_port,
        "DicomAet": "ORTHANC",
        "DicomModalities": {
            "node": {"AET": "FILEROOM", "Host": node.dimse[0], "Port": node.dimse[1]}
        },
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [tool, "--verbose", str(folder / "orthanc.json")],
            stdout=log,
            stderr=log,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
    started = Orthanc(f"http://127.0.0.1:{port}", folder)
    try:
        until_it_answers(process, started)
        yield started
    finally:
        process.terminate()
        process.wait()


def report_of(orthanc: Orthanc, transaction: str) -> Any:
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        report = orthanc.json("GET", f"/storage-commitment/{transaction}")
        if report["Status"] != "Pending":
            return report
        time.sleep(0.05)
    raise AssertionError((orthanc.folder / "log").read_text()[-3000:])


def test_orthanc_is_told_of_what_it_has_stored(node, orthanc):
    instance = orthanc.add(part10(*A))
    stored = {"Resources": [instance], "Synchronous": True, "StorageCommitment": True}
    job = orthanc.json("POST", "/modalities/node/store", stored)
    assert job["FailedInstancesCount"] == 0
    report = report_of(orthanc, job["StorageCommitmentTransactionUID"])
    assert report["Status"] == "Success"
    assert {each["SOPInstanceUID"] for each in report["Success"]} == sop(A)
    assert report["RemoteAET"] == "FILEROOM"


def test_orthanc_is_told_of_what_it_has_not_stored(node, orthanc):
    asked = {"DicomInstances": [{"SOPClassUID": CTImageStorage, "SOPInstanceUID": uids(*B)[2]}]}
    answer = orthanc.json("POST", "/modalities/node/storage-commitment", asked)
    report = report_of(orthanc, answer["ID"])
    assert report["Status"] == "Failure"
    (failure,) = report["Failures"]
    assert (failure["SOPInstanceUID"], failure["FailureReason"]) == (uids(*B)[2], 0x0112)

"""Programs of others as senders and readers of a whole node: DCMTK, pynetdicom, Orthanc, curl.

A sender that keeps bytes gets the same bytes back. DCMTK and Orthanc write a data set anew when
they send it (trailing padding and group lengths go, undefined lengths become others), so there
pydicom compares element by element.
"""

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, _config

from fileroom.dicom.part10 import Part10Splitter
from nodes import Reached, running
from peers import free_port, program, run

# One file an instance, in as many transfer syntaxes as pydicom has files of.
NAMES = (
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "rtdose_1frame.dcm",
    "image_dfl.dcm",
    "JPEG-lossy.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "SC_rgb_rle_2frame.dcm",
    "examples_jpeg2k.dcm",
    "examples_ybr_color.dcm",
    "examples_palette.dcm",
    "liver_1frame.dcm",
    "reportsi.dcm",
    "test-SR.dcm",
    "rtplan.dcm",
    "waveform_ecg.dcm",
)
UNCOMPRESSED = (  # with the transfer syntaxes that storescu is to propose
    ("-xe", "CT_small.dcm"),
    ("-xb", "MR_small_bigendian.dcm"),
    ("-xi", "rtdose_1frame.dcm"),
    ("-xe", "test-SR.dcm"),
    ("-xe", "waveform_ecg.dcm"),
)
UNCOMPRESSED_TRANSFER_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
LEFT_OUT = 0xFFFCFFFC  # Data Set Trailing Padding
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ACCEPT = "Accept: application/dicom"
START_S = 30.0


def shipped(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def data_set_bytes(file: bytes) -> bytes:
    splitter = Part10Splitter()
    start = splitter.feed(file) or splitter.finish()
    return file[start.dataset_offset :]


def path_of(file: bytes) -> str:
    """The resource of an instance, below /dicomweb."""
    found = dcmread(BytesIO(file), stop_before_pixels=True)
    return (
        f"/studies/{found.StudyInstanceUID}/series/{found.SeriesInstanceUID}"
        f"/instances/{found.SOPInstanceUID}"
    )


def served(node: Reached, file: bytes) -> bytes:
    code, body, _ = node.get(path_of(file), "application/dicom; transfer-syntax=*")
    assert code == 200, body[:300]
    return body


def elements(data_set: Dataset) -> dict[str, Any]:
    """What a data set says, without what only says how it is written."""
    found = {}
    for element in data_set:
        if element.tag.element == 0 or element.tag == LEFT_OUT:
            continue
        if element.VR == "SQ":
            found[str(element.tag)] = [elements(item) for item in element.value]
        elif isinstance(element.value, bytes):
            found[str(element.tag)] = element.value.rstrip(b"\0")
        else:
            found[str(element.tag)] = element.value
    return found


def names_itself(file: FileDataset) -> bool:
    return bool(file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID)


def assert_same_elements(node: Reached, name: str) -> None:
    """The node serves what the file says, in the file's transfer syntax unless that is one of the
    uncompressed, which senders change into one another."""
    file = shipped(name).read_bytes()
    ours, theirs = dcmread(BytesIO(served(node, file))), dcmread(BytesIO(file))
    syntax = theirs.file_meta.TransferSyntaxUID
    if syntax not in UNCOMPRESSED_TRANSFER_SYNTAXES:
        assert ours.file_meta.TransferSyntaxUID == syntax, name
    assert elements(ours) == elements(theirs), name


# --- DCMTK


def test_what_storescu_stores_is_served_before_and_after_it_is_sealed(tmp_path):
    tool = program("storescu", package="dcmtk")
    with running(tmp_path / "data", in_process=True, seal__quiet_s="1.5") as node:
        for option, name in UNCOMPRESSED:
            target = ("-aec", "FILEROOM", "-pdu", "4096", node.dimse[0])
            code, said = asyncio.run(
                run(tool, option, *target, str(node.dimse[1]), str(shipped(name)))
            )
            assert code == 0, said
        for _, name in UNCOMPRESSED:
            assert_same_elements(node, name)
        node.wait_committed(len(UNCOMPRESSED))
        for _, name in UNCOMPRESSED:
            assert_same_elements(node, name)


def test_what_dcmsend_stores_in_many_transfer_syntaxes_is_served(tmp_path):
    tool = program("dcmsend", package="dcmtk")
    with running(tmp_path / "data", in_process=True) as node:
        target = ("-v", "-aec", "FILEROOM", node.dimse[0], str(node.dimse[1]))
        code, said = asyncio.run(run(tool, *target, *(str(shipped(name)) for name in NAMES)))
        assert code == 0, said
        node.wait_committed(len(NAMES))
        for name in NAMES:
            assert_same_elements(node, name)
        code, said = asyncio.run(run(tool, *target, *(str(shipped(name)) for name in NAMES)))
        assert code == 0, said
        node.wait_committed(len(NAMES))
        assert node.status()["conflicts"] == 0


# --- pynetdicom, which streams a file as it is


def test_what_pynetdicom_stores_comes_back_to_dicomweb_client_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    files = {name: shipped(name) for name in NAMES}
    entity = AE("PYNETDICOM")
    for path in files.values():
        meta = dcmread(path, stop_before_pixels=True).file_meta
        entity.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    with running(tmp_path / "data", in_process=True) as node:
        association = entity.associate(*node.dimse, ae_title="FILEROOM")
        assert association.is_established
        # Two files name another instance in their file meta group, which pynetdicom announces.
        other = {name for name, path in files.items() if not names_itself(dcmread(path))}
        for name, path in files.items():
            expected = 0xA900 if name in other else 0
            assert association.send_c_store(path).Status == expected, name
        association.release()
        files = {name: path for name, path in files.items() if name not in other}
        node.wait_committed(len(files))
        assert len(files) == len(NAMES) - 2
        client = DICOMwebClient(node.web)
        for name, path in files.items():
            file = path.read_bytes()
            assert data_set_bytes(served(node, file)) == data_set_bytes(file), name
            wanted = dcmread(path)
            read = client.retrieve_instance(
                wanted.StudyInstanceUID,
                wanted.SeriesInstanceUID,
                wanted.SOPInstanceUID,
                media_types=(("application/dicom", "*"),),
            )
            assert elements(read) == elements(wanted), name
        studies = {row["0020000D"]["Value"][0] for row in client.search_for_studies()}
        assert studies == {dcmread(each).StudyInstanceUID for each in files.values()}


# --- curl


def test_curl_stores_and_reads_with_nothing_but_its_flags(tmp_path):
    tool = program("curl", package="curl")
    path, got = shipped("CT_small.dcm"), tmp_path / "got.dcm"
    with running(tmp_path / "data", in_process=True) as node:
        code, said = asyncio.run(
            run(
                *(tool, "-sS", "-f", "-H", "Content-Type: application/dicom"),
                *("--data-binary", f"@{path}", f"{node.web}/studies"),
            )
        )
        assert code == 0, said
        assert json.loads(said)["00081199"]["Value"]
        node.wait_committed(1)
        url = f"{node.web}{path_of(path.read_bytes())}"
        code, said = asyncio.run(run(tool, "-sS", "-f", "-H", ACCEPT, "-o", str(got), url))
        assert code == 0, said
        assert got.read_bytes() == path.read_bytes()  # which is a TIFF file too
        code, said = asyncio.run(run(tool, "-sS", "-r", "0-131", "-H", ACCEPT, "-o", str(got), url))
        assert (code, got.read_bytes()) == (0, path.read_bytes()[:132]), said


# --- Orthanc


@dataclass
class Orthanc:
    """A running one; its files lie below `folder`."""

    url: str
    folder: Path

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        asked = urllib.request.Request(f"{self.url}{path}", data=body, method=method)
        with urllib.request.urlopen(asked, timeout=START_S) as answer:
            return bytes(answer.read())

    def json(self, method: str, path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        return json.loads(self.ask(method, path, sent))

    def add(self, file: bytes) -> str:
        """Upload a file; Orthanc's name for the instance."""
        return str(json.loads(self.ask("POST", "/instances", file))["ID"])


@pytest.fixture
def node(tmp_path) -> Iterator[Reached]:
    with running(tmp_path / "data", in_process=True) as reached:
        yield reached


@pytest.fixture
def orthanc(tmp_path, node) -> Iterator[Orthanc]:
    """Orthanc on free loopback ports, which knows the node."""
    tool = program("Orthanc", package="orthanc")
    port, folder = free_port(), tmp_path / "orthanc"
    folder.mkdir()
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "Name": "peer",
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "index"),
                "HttpPort": port,
                "RemoteAccessAllowed": False,
                "DicomServerEnabled": False,
                "DicomAet": "ORTHANC",
                "DicomModalities": {"node": ["FILEROOM", *node.dimse]},
                "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
                "DicomWeb": {"Servers": {"node": [f"{node.web}/"]}},
            }
        )
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [tool, str(folder / "orthanc.json")],
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


def until_it_answers(process: subprocess.Popen[bytes], started: Orthanc) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            started.json("GET", "/system")
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError((started.folder / "log").read_text()[-2000:])


def test_what_orthanc_stores_is_served_and_orthanc_can_read_it(node, orthanc):
    ids = {name: orthanc.add(shipped(name).read_bytes()) for name in NAMES}
    report = orthanc.json(
        "POST", "/modalities/node/store", {"Resources": list(ids.values()), "Synchronous": True}
    )
    assert report["InstancesCount"] == len(NAMES)
    assert report["FailedInstancesCount"] == 0
    node.wait_committed(len(NAMES))
    for name in NAMES:
        assert_same_elements(node, name)
    for name, instance in ids.items():
        before = orthanc.json("GET", f"/instances/{instance}/tags")
        orthanc.ask("DELETE", f"/instances/{instance}")
        assert orthanc.add(served(node, shipped(name).read_bytes())) == instance
        assert orthanc.json("GET", f"/instances/{instance}/tags") == before, name


def test_orthanc_fetches_a_study_over_dicomweb_and_sends_one_back(node, orthanc):
    if not PLUGIN.exists():
        program("libOrthancDicomWeb.so", package="orthanc-dicomweb")
    file = shipped("CT_small.dcm").read_bytes()
    headers = {"Content-Type": "application/dicom"}
    assert node.request("POST", "/dicomweb/studies", headers, file)[0] == 200
    node.wait_committed(1)
    study = str(dcmread(BytesIO(file)).StudyInstanceUID)
    asked = {"Resources": [{"Study": study}], "Synchronous": True}
    orthanc.json("POST", "/dicom-web/servers/node/retrieve", asked)
    (instance,) = orthanc.json("GET", "/instances")
    fetched = orthanc.ask("GET", f"/instances/{instance}/file")
    assert data_set_bytes(fetched) == data_set_bytes(file)
    other = orthanc.add(shipped("examples_palette.dcm").read_bytes())
    sent = {"Resources": [other], "Synchronous": True}
    orthanc.json("POST", "/dicom-web/servers/node/stow", sent)
    node.wait_committed(2)
    assert_same_elements(node, "examples_palette.dcm")


def test_orthanc_searches_a_node_and_reads_its_metadata_over_dicomweb(node, orthanc):
    if not PLUGIN.exists():
        program("libOrthancDicomWeb.so", package="orthanc-dicomweb")
    names = ("CT_small.dcm", "MR_small_jpeg_ls_lossless.dcm", "reportsi.dcm")
    headers = {"Content-Type": "application/dicom"}
    files = [dcmread(shipped(name)) for name in names]
    for name in names:
        file = shipped(name).read_bytes()
        assert node.request("POST", "/dicomweb/studies", headers, file)[0] == 200

    def search(path: str, **arguments: str) -> list[Any]:
        asked = {"Uri": path, "Arguments": arguments}
        return list(orthanc.json("POST", "/dicom-web/servers/node/qido", asked))

    found = {each["0020000D"]["Value"] for each in search("/studies")}
    assert found == {str(each.StudyInstanceUID) for each in files}
    ct = files[0]
    (study,) = search("/studies", PatientID=str(ct.PatientID), includefield="StudyDescription")
    assert study["00100010"]["Value"] == str(ct.PatientName)
    assert study["00081030"]["Value"] == ct.StudyDescription
    (series,) = search(f"/studies/{ct.StudyInstanceUID}/series", Modality="CT")
    assert series["0020000E"]["Value"] == ct.SeriesInstanceUID
    (instance,) = search(f"/studies/{ct.StudyInstanceUID}/instances", limit="5")
    assert instance["00080018"]["Value"] == ct.SOPInstanceUID
    (name,) = search("/studies", PatientName="compressed", fuzzymatching="true")[:1]
    assert name["0020000D"]["Value"] in found

    for accept in ("application/dicom+json", 'multipart/related; type="application/dicom+xml"'):
        asked = {
            "Uri": f"/studies/{ct.StudyInstanceUID}/metadata",
            "HttpHeaders": {"Accept": accept},
        }
        read = orthanc.ask("POST", "/dicom-web/servers/node/get", json.dumps(asked).encode())
        assert str(ct.SOPInstanceUID).encode() in read

    everything = {"Resources": [{"Study": str(each.StudyInstanceUID)} for each in files]}
    orthanc.json("POST", "/dicom-web/servers/node/retrieve", everything | {"Synchronous": True})
    stored = orthanc.json("GET", "/instances?expand")
    assert {each["MainDicomTags"]["SOPInstanceUID"] for each in stored} == {
        str(each.SOPInstanceUID) for each in files
    }

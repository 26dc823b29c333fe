"""Programs of others that query: DCMTK's findscu, pynetdicom, Orthanc.

What they ask about are the names of PS3.5 Annexes H to K, each in its own character set.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dimse_door import OpenDoor, door
from pydicom import Dataset, dcmread
from pydicom.data import get_charset_files
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.disk import Disk
from nodes import running
from peers import free_port, program, run
from query_parts import Coverage, Library, provision_of

JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"  # PS3.5 §H.3.1
KATAKANA = "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"  # PS3.5 §H.3.2
KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"  # PS3.5 §I.2
ARABIC = "قباني^لنزار"
GERMAN = "Äneas^Rüdiger"
CHINESE = "Wang^XiaoDong=王^小东"  # PS3.5 §K.3
NAMES = {
    "1": (JAPANESE, ["", "ISO 2022 IR 87"]),
    "2": (KATAKANA, ["ISO 2022 IR 13", "ISO 2022 IR 87"]),
    "3": (KOREAN, ["", "ISO 2022 IR 149"]),
    "4": (ARABIC, "ISO_IR 127"),
    "5": (GERMAN, "ISO_IR 100"),
    "6": (CHINESE, "GB18030"),
}
CT = "1.2.840.10008.5.1.4.1.1.2"
START_S = 30.0
MANY = 3000


def image(study: str, series: int = 1, number: int = 1, **said: Any) -> Dataset:
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = CT, f"1.2.{study}.{series}.{number}"
    data_set.StudyDate, data_set.StudyTime = f"2024010{study[:1]}", "101530"
    data_set.AccessionNumber, data_set.Modality = f"A{study}", "CT"
    data_set.PatientID = f"P{study}"
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = f"1.2.{study}", f"1.2.{study}.{series}"
    data_set.SeriesNumber, data_set.InstanceNumber = series, number
    for keyword, value in said.items():
        setattr(data_set, keyword, value)
    return data_set


def images() -> list[Dataset]:
    named = {
        study: {"PatientName": name, "SpecificCharacterSet": told}
        for study, (name, told) in NAMES.items()
    }
    found = [image(study, **said) for study, said in named.items()]
    return [*found, image("1", 2, 1, **named["1"]), image("1", 2, 2, ImageType="X", **named["1"])]


@asynccontextmanager
async def archive(folder: Path, data_sets: list[Dataset] | None = None):
    catalog = SqliteCatalog.create(
        folder / "catalog.db", key=b"k" * 32, clock=ManualClock(), disk=Disk()
    )
    library = Library(catalog, images() if data_sets is None else data_sets)
    provision = provision_of(library, coverage=AnyonesCoverage())
    try:
        async with door(provision=lambda: provision) as opened:
            yield opened
    finally:
        catalog.close()


class AnyonesCoverage(Coverage):
    async def covers(self, principal, study_instance_uid, *, purpose, channel, destination=""):
        return self


def asked(level: str, *, character_set: Any = "ISO_IR 192", **keys: Any) -> Dataset:
    query = Dataset()
    query.SpecificCharacterSet = character_set
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


# --- DCMTK


async def findscu(opened: OpenDoor, folder: Path, query: Dataset, *options: str):
    """Its exit code, what it said, and the identifiers that it was answered."""
    tool = program("findscu", package="dcmtk")
    folder.mkdir()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.3", generate_uid()
    file = FileDataset(str(folder / "query"), query, file_meta=meta, preamble=bytes(128))
    file.save_as(folder / "query", enforce_file_format=True)
    code, said = await run(
        tool, "-v", "-X", "-od", str(folder), *options, "-aec", "FILEROOM",
        "127.0.0.1", str(opened.port), str(folder / "query"),
    )  # fmt: skip
    found = [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]
    for each in found:
        each.decode()
    return code, said, found


@pytest.mark.parametrize(("study", "named"), NAMES.items())
@pytest.mark.parametrize("syntax", ["-xi", "-xe", "-xb"])
async def test_findscu_finds_a_name_by_each_group_in_its_own_character_set(
    tmp_path, study, named, syntax
):
    name, told = named
    async with archive(tmp_path) as opened:
        for number, group in enumerate(name.split("=")):
            query = asked("STUDY", character_set=told, PatientName=f"{group}*", PatientID="")
            code, said, found = await findscu(opened, tmp_path / str(number), query, "-S", syntax)
            assert code == 0, said
            assert f"P{study}" in [each.PatientID for each in found], said
            assert name in [str(each.PatientName) for each in found]


async def test_findscu_asks_at_every_level_of_both_roots(tmp_path):
    patient = {"PatientID": "P1"}
    study = {"StudyInstanceUID": "1.2.1"}
    series = {"SeriesInstanceUID": "1.2.1.2"}
    asked_of = [
        ("-P", asked("PATIENT", PatientName="", NumberOfPatientRelatedInstances="", **patient), 1),
        ("-P", asked("STUDY", StudyInstanceUID="", ModalitiesInStudy="", **patient), 1),
        ("-P", asked("SERIES", SeriesInstanceUID="", **patient, **study), 2),
        ("-P", asked("IMAGE", SOPInstanceUID="", **patient, **study, **series), 2),
        ("-S", asked("STUDY", StudyInstanceUID="", StudyDate="20240102-20240104"), 3),
        ("-S", asked("SERIES", SeriesInstanceUID="", SeriesNumber="2", **study), 1),
        ("-S", asked("IMAGE", SOPInstanceUID="", ImageType="X", **study, **series), 1),
    ]
    async with archive(tmp_path) as opened:
        for number, (root, query, count) in enumerate(asked_of):
            code, said, found = await findscu(opened, tmp_path / str(number), query, root)
            assert (code, len(found)) == (0, count), said
            for each in found:
                assert each.RetrieveAETitle == "FILEROOM"  # the title that was called
                assert each.InstanceAvailability == "ONLINE"
                assert query.keys() <= each.keys()
            assert "Received Final Find Response (Success)" in said


async def test_findscu_is_told_which_key_does_not_fit(tmp_path):
    async with archive(tmp_path) as opened:
        query = asked("SERIES", StudyInstanceUID="")
        _, said, found = await findscu(opened, tmp_path / "one", query, "-S", "-d")
        assert found == []
        assert "DIMSE Status                  : 0xa900" in said, said
        assert "(0000,0901) AT (0020,000d)" in said
        _, said, found = await findscu(opened, tmp_path / "two", asked("PATIENT"), "-S", "-d")
        assert "(0000,0901) AT (0008,0052)" in said, said


async def test_findscu_that_cancels_gets_no_more_than_was_under_way(tmp_path):
    many = [image(str(n)) for n in range(100, 100 + MANY)]
    async with archive(tmp_path, many) as opened:
        query = asked("STUDY", StudyInstanceUID="")
        code, said, _ = await findscu(
            opened, tmp_path / "some", query, "-S", "--cancel", "5", "-Xlo", "1"
        )
        assert code == 0, said
        assert "Received Final Find Response (Cancel" in said, said[-500:]
        assert 5 <= said.count("(Pending)") < MANY
        code, said, _ = await findscu(opened, tmp_path / "all", query, "-S", "-Xlo", "1")
        assert said.count("(Pending)") == MANY
        assert "Received Final Find Response (Success)" in said


# --- pynetdicom


def associated(opened: OpenDoor, root: str, extended: bytes = b""):
    entity = AE(ae_title="PYNETDICOM")
    entity.dimse_timeout = entity.acse_timeout = entity.network_timeout = 20
    entity.add_requested_context(root)
    items = []
    if extended:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid, item.service_class_application_information = root, extended
        items.append(item)
    link = entity.associate("127.0.0.1", opened.port, ae_title="FILEROOM", ext_neg=items)
    assert link.is_established
    return link


def put(opened: OpenDoor, root: str, query: Dataset, extended: bytes = b""):
    """Statuses and identifiers of all responses."""
    link = associated(opened, root, extended)
    try:
        return [(status.Status, found) for status, found in link.send_c_find(query, root)]
    finally:
        link.release()


async def test_pynetdicom_gets_what_it_negotiated(tmp_path):
    root = StudyRootQueryRetrieveInformationModelFind
    relational = asked("IMAGE", SOPInstanceUID="1.2.3.1.1", StudyInstanceUID="", PatientName="")
    async with archive(tmp_path) as opened:
        [(status, found)] = await asyncio.to_thread(put, opened, root, relational)
        assert (status, found) == (0xA900, None)
        answered = await asyncio.to_thread(put, opened, root, relational, bytes([1]))
        assert [status for status, _ in answered] == [0xFF00, 0x0000]
        assert (answered[0][1].StudyInstanceUID, answered[0][1].PatientName) == ("1.2.3", KOREAN)
        fuzzy = asked("STUDY", PatientName="gildong hong")
        assert len(await asyncio.to_thread(put, opened, root, fuzzy)) == 1
        assert len(await asyncio.to_thread(put, opened, root, fuzzy, bytes([0, 0, 1, 0]))) == 2


def test_the_answer_to_extended_negotiation_is_what_we_have(tmp_path):
    async def negotiated() -> bytes:
        root = StudyRootQueryRetrieveInformationModelFind
        async with archive(tmp_path) as opened:
            link = await asyncio.to_thread(associated, opened, root, bytes([1] * 7))
            answered = link.acceptor.sop_class_extended
            await asyncio.to_thread(link.release)
            return answered[root]

    assert asyncio.run(negotiated()) == bytes([1, 1, 1, 1])


async def test_pynetdicom_that_cancels_is_answered_so(tmp_path):
    root = PatientRootQueryRetrieveInformationModelFind
    many = [image(str(n)) for n in range(100, 100 + MANY)]

    def cancelled(opened: OpenDoor) -> list[int]:
        link = associated(opened, root)
        statuses = []
        for status, _ in link.send_c_find(asked("PATIENT", PatientName=""), root, msg_id=7):
            statuses.append(status.Status)
            if len(statuses) == 3:
                link.send_c_cancel(7, query_model=root)
        link.release()
        return statuses

    async with archive(tmp_path, many) as opened:
        statuses = await asyncio.to_thread(cancelled, opened)
        assert statuses[-1] == 0xFE00
        assert set(statuses[:-1]) == {0xFF00}
        assert 3 <= len(statuses) < MANY


async def test_pynetdicoms_findscu_is_answered(tmp_path):
    async with archive(tmp_path) as opened:
        keys = ("QueryRetrieveLevel=STUDY", "PatientName=hong*", "StudyInstanceUID=", "StudyDate=")
        options = [option for key in keys for option in ("-k", key)]
        code, said = await run(
            sys.executable, "-m", "pynetdicom", "findscu", "127.0.0.1", str(opened.port),
            "-v", "-S", "-aec", "FILEROOM", *options,
        )  # fmt: skip
        assert code == 0, said
        assert "1.2.3" in said
        assert "0x0000 (Success)" in said


# --- Orthanc


@pytest.fixture
def orthanc(tmp_path) -> Iterator[tuple[str, int]]:
    """Its URL, and the port at which it looks for the archive."""
    tool = program("Orthanc", package="orthanc")
    port, ours, folder = free_port(), free_port(), tmp_path / "orthanc"
    folder.mkdir()
    settings = {
        "Name": "peer",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "DicomAet": "ORTHANC",
        "DefaultEncoding": "Utf8",
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [tool, str(folder / "orthanc.json")],
            stdout=log,
            stderr=log,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s and process.poll() is None:
            try:
                rest(url, "GET", "/system")
                break
            except OSError:
                time.sleep(0.05)
        yield url, ours
    finally:
        process.terminate()
        process.wait()


def rest(url: str, method: str, path: str, body: Any = None) -> Any:
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}{path}", data=sent, method=method)
    with urllib.request.urlopen(request, timeout=START_S) as answer:
        content = answer.read()
    return json.loads(content) if content else None


async def test_orthanc_finds_patients_studies_series_and_instances(tmp_path, orthanc):
    url, _ = orthanc

    def put(level: str, **keys: str) -> list[dict[str, str]]:
        told = rest(url, "POST", "/modalities/node/query", {"Level": level, "Query": keys})
        return [
            rest(url, "GET", f"/queries/{told['ID']}/answers/{each}/content?simplify")
            for each in rest(url, "GET", f"/queries/{told['ID']}/answers")
        ]

    async with archive(tmp_path) as opened:
        modality = {"AET": "FILEROOM", "Host": "127.0.0.1", "Port": opened.port}
        await asyncio.to_thread(rest, url, "PUT", "/modalities/node", modality)
        for name in (JAPANESE, KOREAN, ARABIC, GERMAN, CHINESE):
            for group in name.split("="):
                found = await asyncio.to_thread(put, "Study", PatientName=f"{group}*")
                assert name in [each["PatientName"] for each in found]
        found = await asyncio.to_thread(put, "Patient", PatientID="P*")
        assert sorted(each["PatientID"] for each in found) == ["P1", "P2", "P3", "P4", "P5", "P6"]
        found = await asyncio.to_thread(put, "Series", PatientID="P1", StudyInstanceUID="1.2.1")
        assert {each["SeriesInstanceUID"] for each in found} == {"1.2.1.1", "1.2.1.2"}
        found = await asyncio.to_thread(
            put,
            "Instance",
            PatientID="P1",
            StudyInstanceUID="1.2.1",
            SeriesInstanceUID="1.2.1.2",
        )
        assert {each["SOPInstanceUID"] for each in found} == {"1.2.1.2.1", "1.2.1.2.2"}


# --- a whole node


def test_pydicoms_files_are_found_in_a_node_by_their_names(tmp_path):
    files = [dcmread(path) for path in get_charset_files("*.dcm")]
    named = [each for each in files if "PatientName" in each and "StudyInstanceUID" in each]
    assert len(named) > 5
    root = StudyRootQueryRetrieveInformationModelFind
    with running(tmp_path / "data", in_process=True) as node:
        sender = AE(ae_title="SENDER")
        for each in named:
            each.SOPInstanceUID = each.StudyInstanceUID = each.SeriesInstanceUID = generate_uid()
            sender.add_requested_context(each.SOPClassUID, each.file_meta.TransferSyntaxUID)
        link = sender.associate(*node.dimse, ae_title="FILEROOM")
        for each in named:
            each.file_meta.MediaStorageSOPInstanceUID = each.SOPInstanceUID
            assert link.send_c_store(each).Status == 0
        link.release()
        asker = AE(ae_title="ASKER")
        asker.add_requested_context(root)
        link = asker.associate(*node.dimse, ae_title="FILEROOM")
        for each in named:
            query = asked("STUDY", PatientName=str(each.PatientName), StudyInstanceUID="")
            answers = [found for _, found in link.send_c_find(query, root) if found is not None]
            assert each.StudyInstanceUID in [found.StudyInstanceUID for found in answers]
            for found in answers:
                assert found.RetrieveAETitle == node.settings.dimse.ae_title
        link.release()

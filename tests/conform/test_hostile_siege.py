"""Every class of docs/hostile-input.md at the real doors of one node, while an honest sender goes
on storing and reading at both: nothing of its work fails, what is refused is refused by type and
counted, and memory stays under a number.
"""

import asyncio
import gzip
import io
import itertools
import json
import socket
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import MediaStorageDirectoryStorage
from pynetdicom import AE, evt
from pynetdicom.presentation import build_role
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from conform.test_audit_node import told
from fileroom.cli.main import main
from fileroom.dicom.part10 import Part10Splitter
from fileroom.peer.association import associate
from fileroom.wire import message
from fileroom.wire.transfer_syntax import STORABLE
from hostile import ATTACKS as FILES
from hostile import STUDY, Hostile
from hostile_images import ATTACKS as IMAGES
from hostile_images import HOSTILE_TEXTS
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, part10, uids
from siege import STUDY as HONEST_STUDY
from siege import Siege, besieged, until

ATTACKS = [*FILES, *IMAGES]
CLASSES = sorted({each.name.split()[0] for each in ATTACKS}, key=int)
NODE_BYTES_MAX = 768 << 20
WORKER_BYTES_MAX = 512 << 20
REFUSED_BY_C_STORE = {0x0110, 0x0117, 0x0122, 0xA900, 0xC000}
REFUSED_BY_STOW = {400, 409}
TYPED = {200, 202, 204, 206, 304, 400, 404, 406, 409, 410, 413, 415, 416, 422}
# Below an instance, with what is accepted.
READINGS = (
    ("", "application/dicom; transfer-syntax=*"),
    ("", f"application/dicom; transfer-syntax={EXPLICIT_LITTLE}"),
    ("/metadata", "application/dicom+json"),
    ("/metadata", 'multipart/related; type="application/dicom+xml"'),
    ("/frames/1", "*/*"),
    ("/frames/1", "application/octet-stream"),
    ("/frames/2147483648", "*/*"),
    ("/frames/1,1,1,1", "multipart/related; transfer-syntax=*"),
    ("/bulkdata/7FE00010", "*/*"),
    ("/bulkdata/00420011", "*/*"),
    ("/rendered", "image/jpeg"),
    ("/rendered", "image/png"),
    ("/frames/1/rendered", "image/png"),
    ("/thumbnail", "image/jpeg"),
    ("/rendered?window=1e308,-1e308,linear&viewport=99999,99999", "image/png"),
)


@pytest.fixture(scope="module")
def siege_of_all(tmp_path_factory) -> Iterator[Siege]:
    with besieged(
        tmp_path_factory.mktemp("siege"),
        FILEROOM_DIMSE_IDLE_TIMEOUT_S="20",
        FILEROOM_HTTP_IDLE_TIMEOUT_S="3",
    ) as siege:
        yield siege


@pytest.fixture
def siege(siege_of_all: Siege) -> Iterator[Siege]:
    """After each attack the honest one goes on, and no process has grown over its number."""
    yield siege_of_all
    siege_of_all.honest.goes_on()
    assert siege_of_all.node.process.poll() is None
    assert siege_of_all.node_peak_bytes() <= NODE_BYTES_MAX
    assert siege_of_all.worker_peak_bytes() <= WORKER_BYTES_MAX
    assert "Traceback" not in siege_of_all.log()


# --- instances, and whatever reads them


async def c_stored(siege: Siege, attacks: list[Hostile]) -> dict[str, int]:
    """The status of each, by its name; all of them over one association."""
    kinds = sorted({(each.sop_class, each.transfer_syntax) for each in attacks})
    async with associate(
        *siege.reached.dimse,
        calling="HOSTILE",
        called="FILEROOM",
        contexts=[(sop_class, (syntax,)) for sop_class, syntax in kinds],
        timeout_s=60,
    ) as association:
        statuses = {}
        for number, each in enumerate(attacks):
            announced = each.announced
            uid = announced if isinstance(announced, bytes) else announced.encode()
            command = message.store_request(
                number + 1, sop_class_uid=each.sop_class, sop_instance_uid=uid.decode("latin-1")
            )
            context_id = 2 * kinds.index((each.sop_class, each.transfer_syntax)) + 1
            answer = await association.ask(context_id, command, [each.data_set])
            statuses[each.name] = answer.number("Status")
        return statuses


def stowed(siege: Siege, file: bytes, content_type: str = "application/dicom") -> int:
    headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
    return siege.reached.request("POST", "/dicomweb/studies", headers, file)[0]


def path_of(attack: Hostile) -> str:
    return "/studies/{}/series/{}/instances/{}".format(*uids(STUDY, 0, 0)[:2], attack.uid)


def assert_every_reading_is_an_answer(siege: Siege, attack: Hostile) -> None:
    is_bomb = attack.name.startswith("5 ")  # which takes seconds to inflate, each time
    for below, accept in READINGS[:: 4 if is_bomb else 1]:
        code, body, fields = siege.reached.get(path_of(attack) + below, accept)
        assert code in TYPED, (attack.name, below, accept, code, body[:300])
        assert fields["x-content-type-options"] == "nosniff"
    code, file, _ = siege.reached.get(path_of(attack), READINGS[0][1])
    assert code == 200, attack.name
    start = Part10Splitter().feed(file)
    assert start is not None
    assert file[start.dataset_offset :] == attack.data_set, attack.name


@pytest.mark.parametrize("number", CLASSES)
def test_instances_are_refused_or_kept_and_read_by_every_way(number, siege):
    attacks = [each for each in ATTACKS if each.name.split()[0] == number]
    by_dimse = [each for each in attacks if each.whole is None and each.transfer_syntax in STORABLE]
    kept_by_name = {each.name: each.kept for each in attacks}
    before = sum(siege.refusals().values())
    refused = 0
    for each in attacks:  # by STOW-RS first: what is kept of a file's head came with the first
        code = stowed(siege, each.file)
        assert code in ({200} if each.kept else REFUSED_BY_STOW), (each.name, code)
        refused += not each.kept
        if each.kept:
            assert_every_reading_is_an_answer(siege, each)
    for name, status in asyncio.run(c_stored(siege, by_dimse)).items():
        assert status in REFUSED_BY_C_STORE | {0}, (name, hex(status))
        refused += status != 0
        assert status == 0 or number == "18" or not kept_by_name[name], (name, hex(status))
    assert sum(siege.refusals().values()) >= before + refused
    kept = [each.uid for each in attacks if each.kept]
    if kept:
        assert_gets_all_or_is_told(siege, kept)


def assert_gets_all_or_is_told(siege: Siege, sop_instance_uids: list[str]) -> None:
    """A C-GET of them, as a viewer that takes the uncompressed syntaxes only."""
    entity = AE("VIEWER")
    entity.dimse_timeout = entity.network_timeout = 120
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet, EXPLICIT_LITTLE)
    entity.add_requested_context(CTImageStorage, EXPLICIT_LITTLE)
    association = entity.associate(
        *siege.reached.dimse,
        ae_title="FILEROOM",
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)],
    )
    assert association.is_established
    asking = Dataset()
    asking.QueryRetrieveLevel = "IMAGE"
    asking.StudyInstanceUID, asking.SeriesInstanceUID = uids(STUDY, 0, 0)[:2]
    asking.SOPInstanceUID = sop_instance_uids
    try:
        *_, (last, _) = association.send_c_get(asking, StudyRootQueryRetrieveInformationModelGet)
        assert last.Status in (0x0000, 0xB000, 0xA702)
        counts = (last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations)
        counts += (last.NumberOfWarningSuboperations,)
        assert sum(each or 0 for each in counts) == len(sop_instance_uids)
    finally:
        association.release()


def test_all_that_is_kept_is_sealed_and_committed(siege):
    """By the worker, which describes every instance; what it cannot describe spoils no other."""
    for each in ATTACKS:
        if each.kept:
            stowed(siege, each.file)
    siege.honest.goes_on()

    def none_waits_of_the_study() -> bool:
        code, body, _ = siege.reached.get(f"/studies/{uids(STUDY, 0, 0)[0]}/instances?limit=1")
        assert code == 200, body[:300]
        states = siege.reached.status()["states"]
        return bool(states["COMMITTED"]["instances"] >= sum(each.kept for each in ATTACKS))

    until(none_waits_of_the_study, what="sealing does not come to its end")
    assert siege.worker_peak_bytes() > 0
    for each in ATTACKS:
        if each.kept and not each.name.startswith("5 "):  # each of which takes seconds to inflate
            assert_every_reading_is_an_answer(siege, each)


# --- 6: what is packed, and how


def archives() -> dict[str, bytes]:
    """A DICOM file in archives that are more than they seem."""
    file, zipped, tarred = part10(STUDY, 6, 1), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../../evil.dcm", "/etc/evil.dcm", "same.dcm", "same.dcm"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a name that is there already
                archive.writestr(name, file)
        archive.writestr("bomb.dcm", bytes(64 << 20))
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    forged = zipped.getvalue().replace(struct.pack("<I", 64 << 20), struct.pack("<I", 100))
    return {
        "zip": zipped.getvalue(),
        "zip with forged sizes": forged,
        "tar": tarred.getvalue(),
        "gzip": gzip.compress(file),
        "gzip of a gibibyte": gzip.compress(gzip.compress(bytes(64 << 20)) * 16),
        "zlib": zlib.compress(file),
    }


def test_an_archive_is_no_instance_and_no_coding_is_taken_off(siege):
    for name, data in archives().items():
        for content_type in ("application/dicom", "application/zip", "application/gzip"):
            assert stowed(siege, data, content_type) in REFUSED_BY_STOW | {415}, name
    for coding in ("gzip", "deflate", "br", "x-gzip", "gzip, identity"):
        headers = {"Content-Type": "application/dicom", "Content-Encoding": coding}
        body = gzip.compress(part10(STUDY, 6, 1))
        code, said, _ = siege.reached.request("POST", "/dicomweb/studies", headers, body)
        assert code == 415, said


def test_a_medium_that_points_elsewhere_is_imported_without_leaving_it(siege, tmp_path, capsys):
    """Classes 6 and 16: links, loops, archives of all kinds, a DICOMDIR that names other files."""
    medium = tmp_path / "medium"
    medium.mkdir()
    secret = tmp_path / "secret.dcm"
    secret.write_bytes(part10(STUDY, 16, 1))
    (medium / "link.dcm").symlink_to(secret)
    (medium / "loop").symlink_to(medium)
    for name, data in archives().items():
        (medium / f"{name}.bin").write_bytes(data)
    for attack in FILES:
        if attack.name.startswith("2 "):
            (medium / f"{len(list(medium.iterdir()))}").write_bytes(attack.file)
    (medium / "DICOMDIR").write_bytes(dicomdir("..", "secret.dcm"))
    main(["import", str(medium), "--data", str(siege.reached.data), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["refused"], report
    code, body, _ = siege.reached.get("/series?SeriesInstanceUID=" + uids(STUDY, 16, 1)[1])
    assert (code, json.loads(body or b"[]")) == (200, []), "a file outside the medium was read"


def dicomdir(*reference: str) -> bytes:
    """A directory of one image, whose file it names by `reference`."""
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord = 0
    record.RecordInUseFlag = 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType = "IMAGE"
    record.ReferencedFileID = list(reference)
    directory = Dataset()
    directory.FileSetID = "HOSTILE"
    directory.DirectoryRecordSequence = [record]
    out = io.BytesIO()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    directory.file_meta.TransferSyntaxUID = EXPLICIT_LITTLE
    directory.save_as(out, enforce_file_format=True)
    return out.getvalue()


# --- 7: bodies that are not what they say


def said(siege: Siege, request: bytes, *, ends: bool = True) -> bytes:
    """Send bytes over a connection of their own; all that is answered until it is closed."""
    with socket.create_connection(siege.reached.http, timeout=60) as link:
        with suppress(ConnectionError):
            link.sendall(request)
            if ends:
                link.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionError):
            while data := link.recv(1 << 16):
                answer += data
        return answer


def post(siege: Siege, body: bytes, *fields: str, content_type: str) -> bytes:
    head = [
        "POST /dicomweb/studies HTTP/1.1",
        "Host: {}:{}".format(*siege.reached.http),
        f"Content-Type: {content_type}",
        *fields,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


RELATED = 'multipart/related; type="application/dicom"; boundary='


@pytest.mark.parametrize(
    ("boundary", "body"),
    [
        ("", b"----"),
        ("b" * 1000, b"--b--"),
        ('"b\r\nX-Evil: 1"', b"--b--"),
        ("b", b"--c\r\n\r\nx\r\n--c--"),
        ("b", b"--b\r\n" + b"X: y\r\n" * 10_000),
        ("b", b"--b\r\n" + b"x" * (1 << 20)),
        ("b", b"--b\r\n\r\n" * 3),
        ("b", b"\r\n" * 100_000 + b"--b--"),
        ("b", b"--b--"),
        ("b", b"--b\r\n\r\n\r\n--b-" * 10_000),
    ],
    ids=repr,
)
def test_a_body_that_is_not_multipart_is_refused(boundary, body, siege):
    length = f"Content-Length: {len(body)}"
    request = post(siege, body, length, "Connection: close", content_type=RELATED + boundary)
    assert said(siege, request, ends=False).split(b" ")[1][:1] == b"4"


def test_a_hundred_thousand_parts_are_refused_at_their_limit(siege):
    body = b"--b\r\n\r\nx\r\n" * 100_000 + b"--b--"
    assert stowed(siege, body, RELATED + "b") == 413


@pytest.mark.parametrize(
    "fields",
    [
        ["Content-Length: 4294967296"],
        ["Content-Length: 99999999999999999999"],
        ["Content-Length: -1"],
        ["Content-Length: 10", "Content-Length: 20"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: chunked"],
        ["Content-Length: 1e3"],
        [f"X-{n}: {'y' * 60}" for n in range(5_000)],
        [f"Accept: {'a/b;q=0.1,' * 3_000}"],
        ["Range: bytes=" + "0-1," * 3_000 + "5-6", "Content-Length: 0"],
    ],
    ids=lambda fields: fields[0][:40],
)
def test_header_fields_that_lie_end_in_a_refusal(fields, siege):
    request = post(siege, b"short", *fields, "Connection: close", content_type="application/dicom")
    answer = said(siege, request)
    assert answer == b"" or answer.split(b" ")[1][:1] in (b"4", b"5")
    assert b" 500 " not in answer[:40]


def test_who_sends_a_byte_and_then_nothing_is_given_up(siege):
    """Slow-loris: in the header fields, in a body, in a part; three seconds of silence are over."""
    whole = post(siege, b"", "Content-Length: 100000", content_type=RELATED + "b")
    beginnings = (b"G", b"POST /dicomweb/stu", whole[:-3], whole, whole + b"--b\r\n\r\nDICM")
    with ExitStack() as stack:
        links = []
        for beginning in itertools.islice(itertools.cycle(beginnings), 150):
            link = stack.enter_context(socket.create_connection(siege.reached.http, timeout=60))
            with suppress(ConnectionError):
                link.sendall(beginning)
            links.append(link)
        siege.honest.goes_on()  # while they wait
        for link in links:
            with suppress(ConnectionError):
                while link.recv(1 << 16):
                    pass


# --- 8, 19: what is asked


@pytest.mark.parametrize(
    "query",
    [
        "PatientName=" + "*a" * 60,
        "PatientName=" + "*" * 2_000,
        "PatientName=" + "?" * 64 + "*",
        "PatientName=" + quote("(a+)+$"),
        "PatientName=" + quote("%_%_%_%"),
        "PatientName=" + quote("' OR '1'='1"),
        "PatientName=" + "a" * 9_000,
        "PatientName=" + quote(" ".join(["ab"] * 200)) + "&fuzzymatching=true",
        "includefield=all&limit=10000",
        "includefield=" + ",".join(["00081115.00081199.00081155"] * 500),
        "limit=99999999999999999999",
        "limit=-1&offset=-1",
        "offset=9223372036854775807",
        "StudyDate=00010101-99991231",
        "StudyDate=99999999-00000000",
        "StudyDate=-",
        "StudyTime=246060-",
        "StudyInstanceUID=" + ",".join(["1.2.3"] * 1_000),
        "&".join(f"PatientID={n}" for n in range(200)),
        "%00=%ff&%zz",
        "=" * 5_000,
    ],
    ids=lambda query: query[:30],
)
@pytest.mark.parametrize("level", ["studies", "series", "instances"])
def test_a_search_of_any_shape_is_answered_or_refused(query, level, siege):
    code, body, _ = siege.reached.get(f"/{level}?{query}", "application/dicom+json")
    assert code in TYPED | {414, 431}, body[:300]
    if code == 200:
        json.loads(body)


@pytest.mark.parametrize("name", ["*a" * 30 + "*b", "?" * 64, "*" * 64, "[a-z]*{9}", "' OR 1=1"])
def test_a_c_find_of_any_shape_is_answered(name, siege):
    entity = AE("HOSTILE")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = entity.associate(*siege.reached.dimse, ae_title="FILEROOM")
    assert association.is_established
    asking = Dataset()
    asking.QueryRetrieveLevel = "STUDY"
    asking.PatientName, asking.StudyDate = name, "00010101-99991231"
    statuses = [
        status.Status
        for status, _ in association.send_c_find(asking, StudyRootQueryRetrieveInformationModelFind)
    ]
    association.release()
    assert statuses[-1] in (0x0000, 0xA900, 0xC000)


# --- 14: texts


def test_names_are_data_wherever_they_are_shown(siege):
    """In JSON, in XML, in the answers to a C-FIND; and in no line of the log."""
    for attack in IMAGES:
        if attack.name.startswith("14 "):
            stowed(siege, attack.file)
    below = f"/studies/{uids(STUDY, 0, 0)[0]}/instances?includefield=all"
    code, body, fields = siege.reached.get(below, "application/dicom+json")
    assert code == 200
    assert fields["content-type"].startswith("application/dicom+json")
    names = [
        group
        for each in json.loads(body.decode("utf-8"))
        for value in each.get("00100010", {}).get("Value", [])
        for group in (value or {}).values()
    ]
    assert any("<script>" in each for each in names)
    code, body, _ = siege.reached.get(below, 'multipart/related; type="application/dicom+xml"')
    assert code == 200
    assert b"<script>" not in body
    log = siege.log()
    for text in HOSTILE_TEXTS:
        assert text.decode("latin-1")[:12] not in log
    assert not any(each in log for each in "\0\x1b\r")


# --- 15: under another's UID


def test_other_bytes_under_a_known_uid_take_nobodys_place(siege):
    """Invariant 8: the first is served; the same again is one instance."""
    number = 9_990
    names = uids(HONEST_STUDY, 0, number)
    path = "/studies/{}/series/{}/instances/{}".format(*names)
    first = part10(HONEST_STUDY, 0, number)
    assert stowed(siege, first) == 200
    for _ in range(3):
        assert stowed(siege, first) == 200
    other = first[:-1] + bytes([first[-1] ^ 1])
    moved = first.replace(names[0].encode(), uids(STUDY, 15, 1)[0].encode(), 1)
    for forged in (other, first[:-64], moved):
        assert stowed(siege, forged) in (200, 202, 409)
    code, file, _ = siege.reached.get(path, "application/dicom")
    assert code == 200
    assert file.endswith(dataset(HONEST_STUDY, 0, number))


# --- 17: associations


def test_a_flood_of_associations_leaves_room_for_who_was_there_before(siege):
    request = associate_request()
    with ExitStack() as stack:
        for said_first in itertools.islice(itertools.cycle((b"", request[:50], request)), 400):
            link = stack.enter_context(socket.create_connection(siege.reached.dimse, timeout=60))
            with suppress(ConnectionError):
                link.sendall(said_first)
        siege.honest.goes_on()
    for _ in range(2_000):
        with suppress(ConnectionError), socket.create_connection(siege.reached.dimse) as link:
            link.sendall(request[:7])


def associate_request() -> bytes:
    """An A-ASSOCIATE-RQ as PS3.8 §9.3.2 lays it out, for CT images."""

    def item(kind: int, value: bytes) -> bytes:
        return bytes([kind, 0]) + len(value).to_bytes(2, "big") + value

    syntaxes = item(0x30, CT_IMAGE_STORAGE.encode()) + item(0x40, EXPLICIT_LITTLE.encode())
    user = item(0x51, (16384).to_bytes(4, "big")) + item(0x52, b"1.2.3")
    body = b"\0\1\0\0" + b"FILEROOM".ljust(16) + b"HOSTILE".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, b"\1\0\0\0" + syntaxes)
    body += item(0x50, user)
    return b"\1\0" + len(body).to_bytes(4, "big") + body


# --- the ledger


def test_what_was_refused_stands_in_the_ledger_by_its_reason(tmp_path):
    """One of each kind, to a node that is then asked what it recorded."""
    with besieged(tmp_path) as siege:
        for each in FILES:
            if not each.kept or each.name.startswith("1 "):
                stowed(siege, each.file)
        data = siege.reached.data
    bodies = told(data, "refused")
    reasons = {(each["action"], each["reason"]) for each in bodies if each["channel"] == "stow"}
    assert {
        ("store", "the data set cannot be read"),
        ("store", "the data set lacks one of its UIDs"),
        ("serve preamble", "the file begins as a program for Windows does"),
        ("serve preamble", "the file begins as a script does"),
        ("serve preamble", "the file begins as a document that may run scripts does"),
    } <= reasons
    assert sum(each["count"] for each in bodies) >= sum(not each.kept for each in FILES)
    written = json.dumps(bodies)
    assert not any(word in written for word in ("Henrietta", "H-1", "script>"))


def test_programs_are_not_taken_where_that_is_the_rule(tmp_path):
    with besieged(tmp_path, FILEROOM_RECEIVE_PROGRAMS="refuse") as siege:
        for each in FILES:
            if not each.name.startswith("1 "):
                continue
            taken = "TIFF" in each.name or "all ones" in each.name
            assert stowed(siege, each.file) == (200 if taken else 409), each.name
        assert siege.refusals()["store: the file begins as a program does"] == 7


def test_a_tiff_file_comes_back_byte_for_byte_and_other_preambles_as_zeros(siege):
    for each in FILES:
        if not each.name.startswith("1 "):
            continue
        assert stowed(siege, each.file) == 200
        code, file, _ = siege.reached.get(path_of(each), "application/dicom")
        assert code == 200
        assert file[:128] == (each.preamble if "TIFF" in each.name else bytes(128))
        assert ("TIFF" not in each.name) or file == each.file


def test_paths_are_found_by_no_name_of_an_instance(siege):
    """Class 8: nothing that was sent became the name of a file."""
    names = [str(each) for each in siege.reached.data.rglob("*")]
    assert not any(word in name for name in names for word in ("Hostile", "evil", "passwd", ".."))
    assert not Path("/etc/evil.dcm").exists()

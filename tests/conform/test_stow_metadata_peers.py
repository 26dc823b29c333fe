"""Metadata and bulk data of others stored in a whole node: pydicom's DICOM JSON, DCMTK's XML of the
Native DICOM Model, sent by hand and by curl, read back through WADO-RS and by pydicom."""

import json
import re
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from fileroom.dicom.xml_reading import native_elements
from nodes import NodeProcess, Reached, made, running
from peers import program

JSON, XML, OCTETS = "application/dicom+json", "application/dicom+xml", "application/octet-stream"
NAMES = (  # of several modalities, character sets and kinds of pixel data
    "CT_small.dcm",
    "MR_small_bigendian.dcm",
    "rtdose.dcm",
    "liver_1frame.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_rle_2frame.dcm",
    "JPEG2000.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "waveform_ecg.dcm",
    "rtplan.dcm",
    "test-SR.dcm",
    "reportsi.dcm",
)
MEDIA_TYPES = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
BULK_BYTES_MIN = 200

Part = tuple[dict[str, str], bytes]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    folder = tmp_path_factory.mktemp("node") / "data"
    with running(folder, in_process=True, seal__quiet_s="3600") as reached:
        yield reached


def shipped(name: str) -> FileDataset:
    """A file of pydicom with the bytes of its values in little endian."""
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not ship {name}")
    found = dcmread(path)
    found.pop("DataSetTrailingPadding", None)
    if found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.2":
        pixels = bytearray(found.PixelData)
        pixels[0::2], pixels[1::2] = pixels[1::2], pixels[0::2]
        found.PixelData = bytes(pixels)
    return found


def under_another_uid(data_set: FileDataset, number: int) -> FileDataset:
    data_set.SOPInstanceUID = f"1.2.826.0.1.3680043.10.999.77.{number}"
    return data_set


def json_of(data_set: FileDataset) -> tuple[dict[str, Any], list[Part]]:
    """Metadata as pydicom says it, and the parts that it refers to."""
    parts: list[Part] = []

    def apart(element: Any) -> str:
        location = f"bulk/{data_set.SOPInstanceUID}/{element.tag:08X}/{len(parts)}"
        if element.tag != 0x7FE00010 or is_native(data_set):
            parts.append(({"Content-Type": OCTETS, "Content-Location": location}, element.value))
        return location

    said = data_set.to_json_dict(
        bulk_data_threshold=BULK_BYTES_MIN, bulk_data_element_handler=apart
    )
    if "7FE00010" in said and not is_native(data_set):
        location = f"bulk/{data_set.SOPInstanceUID}/7FE00010"
        said["7FE00010"] = {"vr": "OB", "BulkDataURI": location}
        parts += frames_of(data_set, location)
    return said, parts


def is_native(data_set: FileDataset) -> bool:
    return data_set.file_meta.TransferSyntaxUID in UNCOMPRESSED


def frames_of(data_set: FileDataset, location: str) -> list[Part]:
    syntax = data_set.file_meta.TransferSyntaxUID
    kind = f"{MEDIA_TYPES[syntax]}; transfer-syntax={syntax}"
    count = int(data_set.get("NumberOfFrames", 1))
    return [
        ({"Content-Type": kind, "Content-Location": location}, frame)
        for frame in generate_frames(data_set.PixelData, number_of_frames=count)
    ]


def multipart(parts: list[Part]) -> bytes:
    body = b""
    for headers, data in parts:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body += b"--BOUND\r\n" + fields.encode() + b"\r\n" + data + b"\r\n"
    return body + b"--BOUND--\r\n"


def content_type(kind: str) -> str:
    return f'multipart/related; type="{kind}"; boundary=BOUND'


def stow(node: Reached, kind: str, parts: list[Part], *, accept: str = JSON) -> tuple[int, bytes]:
    headers = {"Content-Type": content_type(kind), "Accept": accept}
    code, body, _ = node.request("POST", "/dicomweb/studies", headers, multipart(parts))
    return code, body


def path_of(data_set: Dataset) -> str:
    return (
        f"/studies/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}"
        f"/instances/{data_set.SOPInstanceUID}"
    )


def served(node: Reached, data_set: Dataset) -> FileDataset:
    code, body, _ = node.get(path_of(data_set), "application/dicom; transfer-syntax=*")
    assert code == 200, body[:300]
    return dcmread(BytesIO(body))


def elements(data_set: Dataset) -> dict[str, Any]:
    """What a data set says, without what only says how it is written."""
    found: dict[str, Any] = {}
    for element in data_set:
        if element.tag.element == 0:
            continue
        if element.VR == "SQ":
            found[str(element.tag)] = [elements(item) for item in element.value]
        elif isinstance(element.value, bytes):
            found[str(element.tag)] = element.value.rstrip(b"\0")
        else:
            found[str(element.tag)] = element.value
    return found


def pixels_apart(data_set: FileDataset) -> list[bytes]:
    if "PixelData" not in data_set or is_native(data_set):
        return []
    count = int(data_set.get("NumberOfFrames", 1))
    found = list(generate_frames(data_set.PixelData, number_of_frames=count))
    del data_set.PixelData
    return found


def assert_same(ours: FileDataset, theirs: FileDataset) -> None:
    compressed = not is_native(theirs)
    if compressed:
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
    else:
        assert ours.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert pixels_apart(ours) == pixels_apart(theirs)
    assert elements(ours) == elements(theirs)


# --- DICOM JSON by pydicom


@pytest.mark.parametrize("name", NAMES)
def test_what_pydicom_says_in_json_is_what_pydicom_reads_back(node, name):
    sent = under_another_uid(shipped(name), 1000 + NAMES.index(name))
    said, parts = json_of(sent)
    metadata = ({"Content-Type": JSON}, json.dumps([said]).encode())
    code, body = stow(node, JSON, [metadata, *parts])
    assert code == 200, body
    assert_same(served(node, sent), sent)


def test_what_was_stored_is_what_metadata_is_retrieved(node):
    """pydicom's JSON in, the same JSON out: what is stored apart is a reference on both sides."""
    sent = under_another_uid(shipped("CT_small.dcm"), 2000)
    said, parts = json_of(sent)
    code, _ = stow(node, JSON, [({"Content-Type": JSON}, json.dumps([said]).encode()), *parts])
    assert code == 200
    (told,) = node.json(f"{path_of(sent)}/metadata")
    assert told.keys() == said.keys()
    for tag, element in said.items():
        if "BulkDataURI" in element:
            assert told[tag].keys() & {"BulkDataURI", "InlineBinary"}
        else:
            assert told[tag] == element, tag
    bulk = told["7FE00010"]["BulkDataURI"].split("/dicomweb", 1)[1]
    code, body, _ = node.get(bulk, OCTETS)
    assert (code, body) == (200, sent.PixelData)


def test_a_node_that_is_restored_from_its_pack_serves_the_same(tmp_path):
    with running(tmp_path / "data", in_process=True, seal__quiet_s="0.2") as node:
        sent = [under_another_uid(shipped(name), 3000 + n) for n, name in enumerate(NAMES)]
        described = [json_of(each) for each in sent]
        metadata = json.dumps([said for said, _ in described]).encode()
        parts = [part for _, its_parts in described for part in its_parts]
        code, body = stow(node, JSON, [*parts, ({"Content-Type": JSON}, metadata)])
        assert code == 200, body
        before = [served(node, each) for each in sent]
        node.wait_committed(len(sent))
        for each, spooled in zip(sent, before, strict=True):
            packed = served(node, each)
            assert packed == spooled
            assert_same(packed, each)


# --- XML by DCMTK


def document_of(path: str, *options: str) -> bytes:
    tool = program("dcm2xml", package="dcmtk")
    done = subprocess.run(
        [tool, "--native-format", *options, path], capture_output=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("name", ["rtplan.dcm", "reportsi.dcm", "test-SR.dcm"])
def test_a_document_of_dcm2xml_is_what_pydicom_reads(node, name):
    path = str(get_testdata_file(name, download=False))
    document = document_of(path, "--use-xml-namespace")
    code, body = stow(node, XML, [({"Content-Type": XML}, document)])
    assert code == 200, body
    assert_as_dcmtk_says(served(node, dcmread(path)), dcmread(path))


def assert_as_dcmtk_says(ours: FileDataset, theirs: FileDataset) -> None:
    """DCMTK says floating-point numbers in nine digits, and drops carets at the end of a name."""

    def said(value: Any) -> Any:
        if isinstance(value, list):
            return [said(each) for each in value]
        if isinstance(value, dict):
            return {name: said(each) for name, each in value.items()}
        if isinstance(value, float):
            return f"{value:.6g}"
        return str(value).rstrip("^ ") if not isinstance(value, bytes) else value

    assert said(elements(ours)) == said(elements(theirs))


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_palette.dcm"])
def test_values_that_dcm2xml_names_by_a_uuid_are_parts_of_that_name(node, name):
    """Its inline values are no test: their words are big-endian, against PS3.19 §A.1.5."""
    path = str(get_testdata_file(name, download=False))
    sent, document = dcmread(path), document_of(path)
    new = f"1.2.826.0.1.3680043.10.999.77.{4000 + NAMES.index(name) if name in NAMES else 4999}"
    document = document.replace(f">{sent.SOPInstanceUID}<".encode(), f">{new}<".encode())
    sent.SOPInstanceUID = new
    names = re.findall(rb'<BulkData uuid="([^"]+)"/>', document)
    values = [each.value for each in sent.iterall() if isinstance(each.value, bytes) and each.value]
    parts = [
        ({"Content-Type": OCTETS, "Content-Location": uuid.decode()}, value)
        for uuid, value in zip(names, values, strict=True)
    ]
    code, body = stow(node, XML, [*parts, ({"Content-Type": XML}, document)], accept=XML)
    assert code == 200, body
    (item,) = native_elements(body)["00081199"]["Value"]
    assert item["00081155"]["Value"] == [sent.SOPInstanceUID]
    assert_as_dcmtk_says(served(node, sent), sent)


# --- curl


def test_curl_sends_metadata_and_a_large_value(node, tmp_path: Path):
    tool = program("curl", package="curl")
    sent = under_another_uid(shipped("CT_small.dcm"), 5000)
    sent.Rows = sent.Columns = 2048
    sent.PixelData = bytes(range(256)) * (2048 * 2048 * 2 // 256)
    said, parts = json_of(sent)
    body = tmp_path / "body"
    body.write_bytes(multipart([({"Content-Type": JSON}, json.dumps([said]).encode()), *parts]))
    done = subprocess.run(
        [
            *(tool, "-sS", "--max-time", "30", "-H", f"Content-Type: {content_type(JSON)}"),
            *("-H", "Expect: 100-continue", "--data-binary", f"@{body}", f"{node.web}/studies"),
            *("-w", "\n%{http_code}"),
        ],
        capture_output=True,
        check=False,
    )
    assert done.stdout.endswith(b"200"), (done.stdout, done.stderr)
    assert_same(served(node, sent), sent)


# --- memory


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) << 10
    raise AssertionError


@pytest.mark.slow
def test_a_value_of_a_gigabyte_is_stored_without_being_held(tmp_path):
    size_bytes = 1 << 30
    program = NodeProcess(made(tmp_path / "data"), FILEROOM_SEAL_QUIET_S="3600")
    node = program.reached
    try:
        small = under_another_uid(shipped("CT_small.dcm"), 6000)
        said, parts = json_of(small)
        metadata = ({"Content-Type": JSON}, json.dumps([said]).encode())
        assert stow(node, JSON, [metadata, *parts])[0] == 200
        before_bytes = resident_bytes(program.process.pid)
        sent = under_another_uid(shipped("CT_small.dcm"), 6001)
        sent.NumberOfFrames = size_bytes // (128 * 128 * 2)
        said, parts = json_of(sent)
        (pixels,) = (part for part in parts if part[0]["Content-Location"].count("7FE00010"))
        parts.remove(pixels)
        metadata = ({"Content-Type": JSON}, json.dumps([said]).encode())
        front, back = multipart([metadata, *parts, (pixels[0], b"PIXELS")]).split(b"PIXELS")

        def body() -> Iterator[bytes]:
            yield front
            for number in range(size_bytes >> 20):
                yield bytes([number % 256]) * (1 << 20)
            yield back

        headers = {"Content-Type": content_type(JSON)}
        code, answer, _ = node.request("POST", "/dicomweb/studies", headers, body())
        assert code == 200, answer
        assert resident_bytes(program.process.pid) - before_bytes < 64 << 20
        code, frame, _ = node.get(f"{path_of(sent)}/frames/{sent.NumberOfFrames}", OCTETS)
        assert (code, frame) == (200, bytes([1023 % 256]) * (128 * 128 * 2))
    finally:
        program.terminate()

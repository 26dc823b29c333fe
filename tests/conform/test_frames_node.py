"""Frames and values that are no ranges of stored bytes, from a whole node: deflated data sets and
frames of one bit a pixel. dicomweb-client asks, pydicom knows the pixels; from the spool and from
packs."""

import json
import threading
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import write_file_meta_info
from pydicom.pixels import pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

import corpus
from dicomweb_fakes import data_set_of
from nodes import Reached, running

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
MULTI_FRAME_WORD = "1.2.840.10008.5.1.4.1.1.7.3"
ROOT = "1.2.826.0.1.3680043.10.999.77"
PROFILE = b"not really a profile" * 500
ICON = b"\1\2\3\4" * 1024


def made(number: int, syntax: str, *, rows: int, columns: int, frames: int, bits: int) -> Dataset:
    """An image of random pixels."""
    d = Dataset()
    d.SOPClassUID = SEGMENTATION if bits == 1 else MULTI_FRAME_WORD
    d.StudyInstanceUID, d.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.1.{number}"
    d.SOPInstanceUID = f"{ROOT}.1.{number}.1"
    d.PatientID, d.Modality = "P", "OT"
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.NumberOfFrames, d.Rows, d.Columns = frames, rows, columns
    d.BitsAllocated = d.BitsStored = bits
    d.HighBit, d.PixelRepresentation = bits - 1, 0
    d.ICCProfile = PROFILE
    icon = Dataset()
    icon.Rows, icon.Columns, icon.PixelData = 64, 64, ICON
    icon["PixelData"].VR = "OB" if syntax != ImplicitVRLittleEndian else "OW"
    d.IconImageSequence = [icon]
    pixels = Random(number).randbytes((rows * columns * frames * bits + 7) // 8)
    d.PixelData = pixels + b"\xff" * (len(pixels) % 2)
    d["PixelData"].VR = "OW" if bits == 16 or syntax == ImplicitVRLittleEndian else "OB"
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = syntax
    return d


def file_of(data_set: Dataset) -> bytes:
    out = BytesIO()
    dcmwrite(out, data_set, enforce_file_format=True)
    return out.getvalue()


def meta_of(file: bytes) -> FileMetaDataset:
    return dcmread(BytesIO(file[: len(file) - len(data_set_of(file))])).file_meta


def shipped(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def images() -> dict[str, bytes]:
    small = {"rows": 3, "columns": 5, "frames": 7, "bits": 1}
    larger = {"rows": 333, "columns": 257, "frames": 9}
    found = {
        "bits": file_of(made(1, ExplicitVRLittleEndian, **small)),
        "bits, implicit": file_of(made(2, ImplicitVRLittleEndian, **small)),
        "bits, deflated": file_of(made(3, DeflatedExplicitVRLittleEndian, **small)),
        "many bits": file_of(made(4, ExplicitVRLittleEndian, **larger, bits=1)),
        "words, deflated": file_of(made(5, DeflatedExplicitVRLittleEndian, **larger, bits=16)),
        "image_dfl": shipped("image_dfl.dcm"),
        "liver_1frame": shipped("liver_1frame.dcm"),
    }
    for each in corpus.beside_files():
        if each.path.name == "liver_nonbyte_aligned.dcm":
            found["liver_nonbyte_aligned"] = each.path.read_bytes()
    return found


IMAGES = images()


def cut_off() -> bytes:
    """A deflated data set of which the last bytes did not come; frames 1 to 4 are in it."""
    keys = {"rows": 100, "columns": 100, "frames": 9, "bits": 8}
    file = file_of(made(11, DeflatedExplicitVRLittleEndian, **keys))
    return file[: len(file) - 45_000]


def bomb() -> bytes:
    """A deflated data set with 300 MiB of zeros before its pixels."""
    d = made(12, ExplicitVRLittleEndian, rows=8, columns=8, frames=1, bits=8)
    d.add_new(0x00710010, "LO", "FILLING")
    d.add_new(0x00711001, "OB", b"FILLING HERE")
    head, tail = data_set_of(file_of(d)).split(b"\x0c\0\0\0FILLING HERE")
    stream = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = stream.compress(head + (300 << 20).to_bytes(4, "little"))
    for _ in range(300):
        packed += stream.compress(bytes(1 << 20))
    packed += stream.compress(tail) + stream.flush()
    d.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = file_of(d)
    return file[: len(file) - len(data_set_of(file))] + packed + b"\0" * (len(packed) % 2)


def encapsulated(number: int, syntax: str) -> bytes:
    """Pixel data in fragments, whatever the transfer syntax."""
    d = made(number, JPEGBaseline8Bit, rows=8, columns=8, frames=1, bits=8)
    d.PixelData = encapsulate([b"\xff\xd8\xff\xe0" + bytes(64) + b"\xff\xd9"])
    d["PixelData"].is_undefined_length = True
    return under(syntax, file_of(d))


def under(syntax: str, file: bytes) -> bytes:
    """A file with the name of another transfer syntax over its data set; deflated if that is."""
    data = data_set_of(file)
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        data = stream.compress(data) + stream.flush()
    named = meta_of(file)
    named.TransferSyntaxUID = syntax
    out = BytesIO()
    write_file_meta_info(out, named)
    return bytes(128) + b"DICM" + out.getvalue() + data


REFUSED = {
    "cut off": (cut_off(), "9", 404, "ends after"),
    "a bomb": (bomb(), "1", 413, "before pixel data"),
    "encapsulated, deflated": (
        encapsulated(13, DeflatedExplicitVRLittleEndian), "1", 404, "encapsulated",
    ),
    "encapsulated, explicit": (
        encapsulated(14, ExplicitVRLittleEndian), "1", 404, "not encoded as",
    ),
    "native, JPEG": (
        under(JPEGBaseline8Bit, file_of(
            made(15, ExplicitVRLittleEndian, rows=8, columns=8, frames=2, bits=8)
        )), "1", 404, "not encoded as",
    ),
    "no pixels, deflated": (
        under(DeflatedExplicitVRLittleEndian, shipped("reportsi.dcm")), "1", 404, "no pixel data",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=["spool", "packs"])
def node(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    quiet_s = "3600" if request.param == "spool" else "0.2"
    files = [*IMAGES.values(), *(each[0] for each in REFUSED.values())]
    with running(tmp_path_factory.mktemp("node") / "data", seal__quiet_s=quiet_s) as reached:
        for file in files:
            code, body, _ = reached.request(
                "POST", "/dicomweb/studies", {"Content-Type": "application/dicom"}, file
            )
            assert code == 200, body[:500]
        if request.param == "packs":
            reached.wait_committed(len(files))
        yield reached
        if request.param == "spool":
            assert reached.status()["states"]["RECEIVED"]["instances"] == len(files)


def path_of(file: bytes) -> str:
    uid = str(meta_of(file).MediaStorageSOPInstanceUID)
    if uid.startswith(ROOT):  # and may be one that pydicom does not read
        return f"/studies/{ROOT}.1/series/{uid.removesuffix('.1')}/instances/{uid}"
    d = dcmread(BytesIO(file))
    return f"/studies/{d.StudyInstanceUID}/series/{d.SeriesInstanceUID}/instances/{uid}"


def bare(reached: Reached, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    fields = {"Accept": "application/octet-stream", **headers}
    return reached.request("GET", "/dicomweb" + path, fields)


def expected(file: bytes) -> list[bytes]:
    """The frames of a file by pydicom; of one bit a pixel, packed again by numpy."""
    d = dcmread(BytesIO(file))
    frames = pixel_array(d).reshape(int(d.get("NumberOfFrames", 1)), -1)
    if d.BitsAllocated == 1:
        return [np.packbits(each, bitorder="little").tobytes() for each in frames]
    return [each.tobytes() for each in frames]


@pytest.mark.parametrize("name", IMAGES)
def test_every_frame_is_what_pydicom_reads(name: str, node: Reached) -> None:
    file, client = IMAGES[name], DICOMwebClient(node.web)
    uids = path_of(file).split("/")[2::2]
    frames = expected(file)
    for numbers in (range(1, len(frames) + 1), range(len(frames), 0, -1), [1]):
        given = client.retrieve_instance_frames(*uids, frame_numbers=list(numbers))
        assert given == [frames[number - 1] for number in numbers]
    code, _, _ = node.get(f"{path_of(file)}/frames/{len(frames) + 1}")
    assert code == 404


@pytest.mark.parametrize("name", IMAGES)
def test_a_frame_is_explicit_little_endian_and_can_be_had_in_parts(
    name: str, node: Reached
) -> None:
    file = IMAGES[name]
    frame = expected(file)[-1]
    path = f"{path_of(file)}/frames/{len(expected(file))}"
    code, body, fields = bare(node, path)
    assert (code, body) == (200, frame)
    assert fields["content-type"] == (
        f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    )
    assert int(fields["content-length"]) == len(frame)
    for start, end in ((0, 1), (1, 2), (len(frame) // 3, len(frame)), (len(frame) - 1, None)):
        last = "" if end is None else end - 1
        code, body, fields = bare(node, path, Range=f"bytes={start}-{last}")
        assert (code, body) == (206, frame[start:end])
        assert fields["content-range"].endswith(f"/{len(frame)}")
    code, body, _ = bare(node, path, Range="bytes=0-0,-1")
    assert code == 206
    assert b"\r\n\r\n" + frame[:1] + b"\r\n" in body
    assert b"\r\n\r\n" + frame[-1:] + b"\r\n" in body
    code, body, _ = node.request("HEAD", "/dicomweb" + path, {"Accept": "*/*"})
    assert (code, body) == (200, b"")
    for refused in ("image/jxl", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.2"):
        assert node.get(path, refused)[0] == 406


@pytest.mark.parametrize("name", IMAGES)
def test_every_value_that_the_metadata_leaves_out_is_given(name: str, node: Reached) -> None:
    file = IMAGES[name]
    (described,) = node.json(f"{path_of(file)}/metadata")
    data_set = dcmread(BytesIO(file))

    def compare(items: dict, elements: Dataset) -> int:
        count = 0
        for tag, element in items.items():
            if element["vr"] == "SQ":
                inside = zip(element.get("Value", []), elements[tag].value, strict=True)
                count += sum(compare(*each) for each in inside)
            elif "BulkDataURI" in element:
                path = element["BulkDataURI"].split("/dicomweb")[1]
                code, body, fields = bare(node, path)
                assert (code, body) == (200, elements[tag].value), path
                assert fields["content-type"].endswith(ExplicitVRLittleEndian)
                code, body, _ = bare(node, path, Range="bytes=5-13")
                assert (code, body) == (206, elements[tag].value[5:14])
                count += 1
        return count

    assert compare(described, data_set) >= (3 if "ICCProfile" in data_set else 1)
    for wrong in ("00880200/2/7FE00010", "00282001", "x", "7FE00010/1"):
        assert bare(node, f"{path_of(file)}/bulkdata/{wrong}")[0] == 404


@pytest.mark.parametrize("name", [*IMAGES, *REFUSED])
def test_the_instance_itself_stays_as_it_was_sent(name: str, node: Reached) -> None:
    file = IMAGES[name] if name in IMAGES else REFUSED[name][0]
    code, body, _ = node.get(path_of(file), "application/dicom; transfer-syntax=*")
    assert code == 200
    assert data_set_of(body) == data_set_of(file)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_given_is_refused_with_the_reason(name: str, node: Reached) -> None:
    file, frame, status, reason = REFUSED[name]
    code, body, _ = node.get(f"{path_of(file)}/frames/{frame}")
    assert code == status, body[:500]
    assert reason in json.loads(body)["reason"]
    (described,) = node.json(f"{path_of(file)}/metadata")
    assert "00080018" in described


def test_a_data_set_that_was_cut_off_gives_the_frames_that_it_has(node: Reached) -> None:
    file, pixels = cut_off(), Random(11).randbytes(90_000)
    for number in (1, 4, 2):
        code, body, _ = bare(node, f"{path_of(file)}/frames/{number}")
        assert (code, body) == (200, pixels[(number - 1) * 10_000 :][:10_000])
    assert node.get(f"{path_of(file)}/frames/4,9")[0] == 404


def test_many_who_ask_at_once_are_all_answered(node: Reached) -> None:
    """More than a node has threads: who walks a data set waits for reads, which need some too."""
    answers: list[int] = []
    paths = [f"{path_of(file)}/bulkdata/7FE00010" for file in IMAGES.values()]
    paths += [f"{path_of(file)}/frames/1" for file in IMAGES.values()]
    threads = [
        threading.Thread(target=lambda path=path: answers.append(node.get(path)[0]), daemon=True)
        for path in paths * 5
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert answers == [200] * len(threads)

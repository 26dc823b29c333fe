"""dciodvfy, the validator of dicom3tools, on whatever a node writes: it may complain of nothing
that it does not find in what was sent."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from conform.test_stow_metadata_peers import JSON, json_of, stow
from conform.test_stow_metadata_peers import shipped as opened
from fileroom.cli.main import main
from fileroom.dicom.part10 import Part10Splitter, write_header
from fileroom.pixels.transcoding import Transcoding, can_transcode
from nodes import PASSPHRASE, Reached, running
from peers import program, run

DAMAGED = "JPEG2000-embedded-sequence-delimiter.dcm"  # whose frame is none
# One file an instance, in as many transfer syntaxes as pydicom has files of.
NAMES = (
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "rtdose_1frame.dcm",
    "image_dfl.dcm",
    "JPEG-lossy.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    DAMAGED,
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
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def shipped(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def complaints(path: Path) -> set[str]:
    """What dciodvfy calls an error."""
    tool = program("dciodvfy", package="dicom3tools")
    _, said = asyncio.run(run(tool, str(path)))
    return {line for line in said.splitlines() if line.startswith("Error")}


def path_of(name: str) -> str:
    found = dcmread(shipped(name), stop_before_pixels=True)
    series = f"/studies/{found.StudyInstanceUID}/series/{found.SeriesInstanceUID}"
    return f"{series}/instances/{found.SOPInstanceUID}"


def readable(name: str, folder: Path) -> Path:
    """The file, or what pydicom makes of it where dciodvfy cannot inflate it."""
    if name != "image_dfl.dcm":
        return shipped(name)
    written = folder / "inflated.dcm"
    found = dcmread(shipped(name))
    found.file_meta.TransferSyntaxUID = EXPLICIT
    found.save_as(written, implicit_vr=False, little_endian=True)
    return written


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """A node that has them all, in packs."""
    with running(tmp_path_factory.mktemp("node") / "data", in_process=True) as reached:
        for name in NAMES:
            headers = {"Content-Type": "application/dicom"}
            code, answer, _ = reached.request(
                "POST", "/dicomweb/studies", headers, shipped(name).read_bytes()
            )
            assert code == 200, answer
        reached.wait_committed(len(NAMES))
        yield reached


@pytest.mark.parametrize("name", NAMES)
def test_a_served_file_has_no_error_that_the_stored_one_had_not(name, node, tmp_path):
    code, file, _ = node.get(path_of(name), "application/dicom; transfer-syntax=*")
    assert code == 200
    got = tmp_path / "got.dcm"
    got.write_bytes(file)
    assert complaints(got) <= complaints(shipped(name))


@pytest.mark.parametrize("name", sorted({*NAMES, "JPEG2000.dcm"} - {DAMAGED}))
@pytest.mark.parametrize("wanted", [EXPLICIT, IMPLICIT])
def test_a_transcoded_file_has_none_either(name, wanted, tmp_path):
    start = Part10Splitter().feed(shipped(name).read_bytes())
    assert start is not None
    data = shipped(name).read_bytes()[start.dataset_offset :]
    stored = start.transfer_syntax_uid
    if stored == wanted or not can_transcode(stored, wanted):
        pytest.skip("it stays as it is")
    made = Transcoding(lambda begin, end: data[begin:end], len(data), stored, wanted)
    list(made.check())
    found = dcmread(shipped(name), stop_before_pixels=True)
    head = write_header(found.SOPClassUID, found.SOPInstanceUID, wanted, source_ae_title=None)
    got = tmp_path / "got.dcm"
    got.write_bytes(head + b"".join(made.pieces()))
    assert complaints(got) <= complaints(readable(name, tmp_path))


@pytest.mark.parametrize("name", ["CT_small.dcm", "liver_1frame.dcm", "test-SR.dcm", "rtplan.dcm"])
def test_what_get_writes_has_none_either(name, node, tmp_path, capsys):
    study = dcmread(shipped(name), stop_before_pixels=True).StudyInstanceUID
    out = tmp_path / "got"
    assert main(["get", study, "-o", str(out), "--data", str(node.data)]) == 0
    capsys.readouterr()
    written = [each for each in out.rglob("*.dcm") if each.is_file()]
    uid = dcmread(shipped(name), stop_before_pixels=True).SOPInstanceUID
    (file,) = [each for each in written if dcmread(each).SOPInstanceUID == uid]
    assert complaints(file) <= complaints(shipped(name))


def test_what_a_bucket_gives_without_a_node_has_none_either(node, tmp_path):
    """By the unpack.py that lies in the bucket itself."""
    bucket, out, secret = tmp_path / "bucket", tmp_path / "out", tmp_path / "passphrase"
    shutil.copytree(node.data / "bucket", bucket)
    secret.write_text(PASSPHRASE + "\n")
    for number, pack in enumerate(sorted(bucket.glob("packs/*/*"))):
        command = [sys.executable, "unpack.py", str(pack.relative_to(bucket))]
        command += ["--keyring", "keyring", "--passphrase-file", str(secret)]
        command += ["-o", str(out / str(number))]
        subprocess.run(command, cwd=bucket, check=True, capture_output=True)
    by_uid = {
        str(dcmread(each, stop_before_pixels=True).SOPInstanceUID): each
        for each in out.rglob("*.dcm")
    }
    for name in NAMES:
        uid = str(dcmread(shipped(name), stop_before_pixels=True).SOPInstanceUID)
        assert complaints(by_uid[uid]) <= complaints(shipped(name)), name


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "liver_1frame.dcm", "SC_rgb_rle_2frame.dcm", "JPEG2000.dcm", "test-SR.dcm"],
)
def test_what_is_made_of_metadata_has_none_either(name, tmp_path):
    sent = opened(name)
    said, parts = json_of(sent)
    with running(tmp_path / "data", in_process=True) as node:
        code, answer = stow(
            node, JSON, [({"Content-Type": JSON}, json.dumps([said]).encode()), *parts]
        )
        assert code == 200, answer
        code, file, _ = node.get(path_of(name), "application/dicom; transfer-syntax=*")
        assert code == 200
    got = tmp_path / "got.dcm"
    got.write_bytes(file)
    assert without_places(complaints(got)) <= without_places(complaints(shipped(name)))


def without_places(found: set[str]) -> set[str]:
    """Complaints without where in the file they were found: it was written anew."""
    return {re.sub(r"0x[0-9a-f]+|@\d+", "", each) for each in found}

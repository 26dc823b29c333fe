"""dicomweb_client, the command of dicomweb-client, against a node: store, search, retrieve."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from nodes import Reached, running

NAMES = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "test-SR.dcm")
COMMAND = (
    "import sys; from dicomweb_client.cli import _main; sys.argv[0] = 'dicomweb_client'; _main()"
)


def shipped(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """A node to which the command has stored all of them."""
    with running(tmp_path_factory.mktemp("node") / "data", in_process=True) as reached:
        client(reached, "store", "instances", *(str(shipped(name)) for name in NAMES))
        reached.wait_committed(len(NAMES))
        yield reached


def client(node: Reached, *words: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMMAND, "--url", node.web, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout


def uids(name: str) -> tuple[str, str, str]:
    found = dcmread(shipped(name), stop_before_pixels=True)
    return found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID


def below(name: str) -> list[str]:
    study, series, instance = uids(name)
    return ["--study", study, "--series", series, "--instance", instance]


def test_the_command_searches_at_every_level(node):
    study, series, instance = uids("CT_small.dcm")
    (found,) = json.loads(
        client(node, "search", "studies", "--filter", f"StudyInstanceUID={study}", "--limit", "5")
    )
    assert found["0020000D"]["Value"] == [study]
    (found,) = json.loads(client(node, "search", "series", "--study", study))
    assert found["0020000E"]["Value"] == [series]
    words = ["--study", study, "--series", series, "--field", "Rows"]
    (found,) = json.loads(client(node, "search", "instances", *words))
    assert found["00080018"]["Value"] == [instance]
    assert found["00280010"]["Value"] == [dcmread(shipped("CT_small.dcm")).Rows]
    name = str(dcmread(shipped("CT_small.dcm")).PatientName).split("^")[0].lower()
    words = ["--filter", f"PatientName={name}", "--fuzzy"]
    assert study in client(node, "search", "studies", *words)
    client(node, "search", "studies", "--filter", "NoSuchName=1", fails=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_retrieves_instances_and_metadata(name, node, tmp_path):
    sent = dcmread(shipped(name))
    save = ["--save", "--output-dir", str(tmp_path)]
    client(node, "retrieve", "instances", *below(name), "full", *save)
    got = dcmread(tmp_path / f"{uids(name)[2]}.dcm")
    assert got == sent
    assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
    client(node, "retrieve", "instances", *below(name), "metadata", *save)
    told = json.loads((tmp_path / f"{uids(name)[2]}.json").read_text())
    assert told["00080018"]["Value"] == [uids(name)[2]]
    study = ["--study", uids(name)[0]]
    client(node, "retrieve", "studies", *study, "full", *save)
    text = client(node, "retrieve", "studies", *study, "metadata", "--dicomize")
    assert uids(name)[2] in text


def test_the_command_retrieves_frames(node, tmp_path):
    save = ["--save", "--output-dir", str(tmp_path)]
    client(
        node,
        *("retrieve", "instances", *below("CT_small.dcm"), "frames", "--numbers", "1", *save),
        *("--media-type", "application/octet-stream", "1.2.840.10008.1.2.1"),
    )
    (file,) = tmp_path.glob("*_1.dat")
    assert file.read_bytes() == dcmread(shipped("CT_small.dcm")).PixelData
    words = ["--media-type", "image/jp2", "1.2.840.10008.1.2.4.91"]
    client(
        node,
        *("retrieve", "instances", *below("JPEG2000.dcm"), "frames", "--numbers", "1"),
        *save,
        *words,
    )
    assert list(tmp_path.glob("*.jp2"))


def test_the_command_sees_what_is_refused(node, tmp_path):
    broken = tmp_path / "broken.dcm"
    found = dcmread(shipped("CT_small.dcm"))
    del found.StudyInstanceUID
    found.save_as(broken)
    client(node, "store", "instances", str(broken), fails=True)
    client(node, "retrieve", "studies", "--study", "1.2.3", "metadata", fails=True)

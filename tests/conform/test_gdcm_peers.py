"""gdcmscu, GDCM's command, against a node: echo, store, find, move.

gdcmscu 3.0.21 ends by SIGABRT whenever a peer answers its A-RELEASE-RQ, DCMTK's programs too; what
it was asked for is done by then, and `-D` has printed it. Its storage SCP, which a move needs, dies
of the first data set.
"""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from fileroom.cli.connection import LocalNode
from fileroom.node.config import PeerSettings
from nodes import Reached, made
from peers import free_port, program, run

OURS, THEIRS = "FILEROOM", "GDCMSCU"
NAMES = ("CT_small.dcm", "MR_small.dcm", "rtdose_1frame.dcm", "liver_1frame.dcm")
SCU = "gdcmscu"
PENDING = "(0000,0900) ?? (US) 65280"
RELEASED = "Process: Event:12, State:6"  # A-RELEASE-RP in Sta7, as it counts them


def shipped(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


@pytest.fixture
def own_port() -> int:
    return free_port()


@pytest.fixture
def node(tmp_path: Path, own_port: int) -> Iterator[Reached]:
    peer = PeerSettings(ae_title=THEIRS, host="127.0.0.1", port=own_port)
    settings = msgspec.structs.replace(made(tmp_path / "data"), peers={"gdcm": peer})
    with LocalNode(settings, in_process=True) as reached:
        yield Reached(settings, reached.addresses.http, reached.addresses.dimse)


def scu(node: Reached, *arguments: str, named: str = OURS) -> tuple[bool, str]:
    """Whether it came to the release of its association, and what it said."""
    tool = program(SCU, package="libgdcm-tools")
    host, port = node.dimse
    titles = ("--aetitle", THEIRS, "--call", named)
    code, said = asyncio.run(run(tool, "-D", *arguments, *titles, host, str(port), timeout_s=60))
    return code == 0 or (code == -signal.SIGABRT and RELEASED in said), said


def stored(node: Reached) -> None:
    for name in NAMES:
        well, said = scu(node, "--store", "-i", str(shipped(name)))
        assert well, said[-2000:]


def test_gdcmscu_is_answered_and_sees_a_refusal(node):
    assert scu(node, "--echo")[0]
    assert not scu(node, "--echo", named="NOBODY")[0]


def test_what_gdcmscu_stores_is_served(node):
    stored(node)
    for name in NAMES:
        sent = dcmread(shipped(name))
        path = f"/studies/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}"
        path += f"/instances/{sent.SOPInstanceUID}"
        code, file, _ = node.get(path, "application/dicom; transfer-syntax=*")
        assert code == 200
        found = dcmread(path_in(node, name, file))
        assert found.SOPInstanceUID == sent.SOPInstanceUID
        assert found.PixelData == sent.PixelData


def path_in(node: Reached, name: str, file: bytes) -> Path:
    path = node.data.parent / f"got-{name}"
    path.write_bytes(file)
    return path


def test_gdcmscu_finds_at_every_level_what_is_there_and_nothing_else(node):
    stored(node)
    sent = dcmread(shipped("CT_small.dcm"))
    study = f"20,d={sent.StudyInstanceUID}"
    for level, keys in (
        ("--patient", ["10,10=", f"10,20={sent.PatientID}"]),
        ("--study", ["10,20=", study]),
        ("--series", [study, "20,e="]),
        ("--image", [study, f"20,e={sent.SeriesInstanceUID}", "8,18="]),
    ):
        root = "--patientroot" if level == "--patient" else "--studyroot"
        for found in (True, False):
            given = [part for key in keys for part in ("--key", key if found else f"{key}9")]
            well, said = scu(node, "--find", root, level, *given)
            assert well, (level, said[-2000:])
            assert "C-Find was successful." in said, level
            assert (PENDING in said) == found, level


def test_a_move_to_gdcmscu_that_dies_of_it_leaves_the_node_well(node, own_port, tmp_path):
    stored(node)
    sent = dcmread(shipped("CT_small.dcm"))
    out = tmp_path / "moved"
    out.mkdir()
    _, said = scu(
        node,
        *("--move", "--studyroot", "--study", "--port-scp", str(own_port), "-o", str(out)),
        *("--key", f"20,d={sent.StudyInstanceUID}"),
    )
    assert f"[{sent.SOPInstanceUID}" in said, "the C-STORE-RQ came"
    assert f"[{THEIRS} ]" in said, "with its originator"
    assert scu(node, "--echo")[0]

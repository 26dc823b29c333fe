"""A bucket, and a passphrase or the recovery key, are the archive: whatever else is lost."""

import shutil
import subprocess
import sys
from pathlib import Path

import pydicom.data

from fileroom.cli.client import NodeClient, Part
from fileroom.dicom.part10 import Part10Splitter
from fileroom.policy.placement import ONE_COPY_SAME_DISK
from nodes import PASSPHRASE, Reached, running

FILES = Path(pydicom.data.__file__).parent / "test_files"
NAMES = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm")
MARK = '{"format": 1, "node_id": "00000001", "writer": "by hand"}'


def dataset_of(whole: bytes) -> bytes:
    start = Part10Splitter().feed(whole)
    assert start is not None
    return whole[start.dataset_offset :]


SENT = {dataset_of((FILES / name).read_bytes()) for name in NAMES}


def store(node: Reached) -> None:
    client = NodeClient(*node.http)
    try:
        parts = [
            Part(lambda path=FILES / name: path.open("rb"), (FILES / name).stat().st_size)
            for name in NAMES
        ]
        assert len(client.store(parts).accepted) == len(NAMES)
    finally:
        client.close()


def served(node: Reached) -> set[bytes]:
    found = set()
    for study in node.json("/studies"):
        uid = study["0020000D"]["Value"][0]
        for row in node.json(f"/studies/{uid}/instances"):
            series, sop = row["0020000E"]["Value"][0], row["00080018"]["Value"][0]
            path = f"/studies/{uid}/series/{series}/instances/{sop}"
            code, body, _ = node.get(path, "application/dicom; transfer-syntax=*")
            assert code == 200
            found.add(dataset_of(body))
    return found


def lost_site(tmp_path: Path) -> Path:
    """Store, wait until all is COMMITTED, and leave nothing but the bucket."""
    with running(tmp_path / "data", in_process=True) as node:
        store(node)
        node.wait_committed(len(NAMES))
    bucket = tmp_path / "saved"
    (tmp_path / "data" / "bucket").rename(bucket)
    shutil.rmtree(tmp_path / "data")
    return bucket


def test_every_pack_of_a_bucket_opens_with_the_program_and_the_keys_that_lie_in_it(tmp_path):
    bucket = lost_site(tmp_path)
    (tmp_path / "secret").write_text(PASSPHRASE + "\n")
    packs = sorted(bucket.glob("packs/*/*"))
    assert packs
    for number, pack in enumerate(packs):
        words = ["unpack.py", pack.relative_to(bucket), "--keyring", "keyring"]
        words += ["--passphrase-file", tmp_path / "secret", "-o", tmp_path / "out" / str(number)]
        subprocess.run([sys.executable, *map(str, words)], cwd=bucket, check=True)
    assert {dataset_of(each.read_bytes()) for each in tmp_path.glob("out/*/*.dcm")} == SENT


def test_a_lost_node_is_made_again_from_its_bucket_as_operations_md_says(tmp_path):
    bucket = lost_site(tmp_path)
    data = tmp_path / "again"
    data.mkdir(mode=0o700)
    bucket.rename(data / "bucket")
    shutil.copytree(data / "bucket" / "keyring", data / "keyring")
    (data / "fileroom.json").write_text(MARK)
    (data / "passphrase").write_text(PASSPHRASE + "\n")
    with running(data, in_process=True) as node:
        assert node.wait_committed(len(NAMES))["conflicts"] == 0
        assert served(node) == SENT
        store(node)  # the same again, and work goes on
        assert node.wait_committed(len(NAMES))["warnings"] == [ONE_COPY_SAME_DISK]

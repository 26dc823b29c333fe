"""What comes back is what came in: every readable file, through both doors, to the last byte."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from corpus import dicom_files
from fileroom.dicom import uid
from fileroom.dicom.header import Header, HeaderScanner
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import Part10Splitter, Part10Start
from fileroom.peer.store import store_files
from nodes import Reached, running

STORED_MIN = 120  # of pydicom's own files alone
BOUNDARY = "boundary-of-the-test"


@dataclass(frozen=True)
class Readable:
    """A file that an archive must take, taken apart by nothing but the file meta group."""

    path: Path
    start: Part10Start
    header: Header
    dataset: bytes


def part10_start(data: bytes) -> Part10Start:
    splitter = Part10Splitter()
    return splitter.feed(data) or splitter.finish()


def read(path: Path) -> Readable | None:
    """The file, or None where it is not one that can be identified."""
    data = path.read_bytes()
    try:
        start = part10_start(data)
        scanner = HeaderScanner(start.transfer_syntax_uid)
        scanner.feed(data[start.dataset_offset :])
        header = scanner.finish()
    except InstanceError:
        return None
    uids = (header.sop_instance_uid, header.study_instance_uid, header.series_instance_uid)
    if not all(map(uid.is_safe, uids)) or not uid.is_storable_sop_class(header.sop_class_uid):
        return None
    if (start.sop_class_uid, start.sop_instance_uid) != (
        header.sop_class_uid,
        header.sop_instance_uid,
    ):
        return None
    return Readable(path, start, header, data[start.dataset_offset :])


def layers() -> list[list[Readable]]:
    """All readable files, dealt out so that a SOP Instance UID comes once in each layer."""
    by_uid: dict[str, dict[bytes, Readable]] = defaultdict(dict)
    for each in dicom_files():
        found = read(each.path)
        if found is not None:
            by_uid[found.header.sop_instance_uid].setdefault(found.dataset, found)
    depth = max(map(len, by_uid.values()))
    return [
        [list(same.values())[n] for same in by_uid.values() if n < len(same)] for n in range(depth)
    ]


LAYERS = layers()


def fetched(node: Reached, each: Readable) -> bytes:
    """The data set that the archive serves for an instance, in the syntax that it came in."""
    header = each.header
    code, body, fields = node.get(
        f"/studies/{header.study_instance_uid}/series/{header.series_instance_uid}"
        f"/instances/{header.sop_instance_uid}",
        "application/dicom; transfer-syntax=*",
    )
    assert code == 200, (code, each.path.name, body[:200])
    assert fields["content-type"].startswith("application/dicom")
    start = part10_start(body)
    assert start.transfer_syntax_uid == each.start.transfer_syntax_uid
    assert start.sop_instance_uid == header.sop_instance_uid
    return body[start.dataset_offset :]


def differing(node: Reached, layer: list[Readable]) -> list[str]:
    return [each.path.name for each in layer if fetched(node, each) != each.dataset]


def test_there_is_something_to_store():
    assert sum(map(len, LAYERS)) >= STORED_MIN


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_c_store_keeps_every_byte_in_the_spool_and_in_packs(number, tmp_path):
    layer = LAYERS[number]
    with running(tmp_path / "data", in_process=number > 0, seal__quiet_s="1.5") as node:
        asyncio.run(
            store_files(
                *node.dimse, [each.path for each in layer], calling="TEST", called="FILEROOM"
            )
        )
        assert differing(node, layer) == []
        node.wait_committed(len(layer))
        assert differing(node, layer) == []


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_stow_keeps_every_byte(number, tmp_path):
    layer = LAYERS[number]
    body = b"".join(
        b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n"
        % (BOUNDARY.encode(), each.path.read_bytes())
        for each in layer
    )
    with running(tmp_path / "data", in_process=number > 0) as node:
        code, answer, _ = node.request(
            "POST",
            "/dicomweb/studies",
            {
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
                "Accept": "application/dicom+json",
            },
            body + f"--{BOUNDARY}--\r\n".encode(),
        )
        assert code == 200, answer[:2000]
        node.wait_committed(len(layer))
        assert differing(node, layer) == []

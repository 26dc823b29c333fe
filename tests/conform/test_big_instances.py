"""The largest native instance there is, from a modality to a pack and back, in bounded memory.

Its bytes are made while they are sent and hashed while they are read: nobody ever holds them.
"""

import asyncio
import hashlib
import http.client
import itertools
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from fileroom.dicom.part10 import Part10Splitter, write_header
from fileroom.peer.association import associate
from fileroom.wire import message
from instances import EXPLICIT_LITTLE, PATIENT_ID, PATIENT_NAME, pixels_of, uids
from nodes import NodeProcess, Reached, made

MULTI_FRAME_WORD = "1.2.840.10008.5.1.4.1.1.7.3"
FRAME_BYTES = 512 * 512 * 2
KEY = (9, 9, 9)
PIECE_BYTES = 1 << 20
RSS_BYTES_MAX = 300 << 20


@dataclass(frozen=True)
class Giant:
    """One multi-frame instance; every frame differs from every other."""

    frames: int

    @property
    def pixel_bytes(self) -> int:
        return self.frames * FRAME_BYTES

    def head(self) -> bytes:
        """The data set up to its pixels, explicit little endian."""
        study, series, instance = uids(*KEY)
        d = Dataset()
        d.SOPClassUID, d.SOPInstanceUID = MULTI_FRAME_WORD, instance
        d.StudyInstanceUID, d.SeriesInstanceUID = study, series
        d.PatientName, d.PatientID, d.Modality = PATIENT_NAME, PATIENT_ID, "OT"
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.NumberOfFrames, d.Rows, d.Columns = self.frames, 512, 512
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
        d.file_meta = FileMetaDataset()
        out = DicomBytesIO()
        out.is_little_endian, out.is_implicit_VR = True, False
        write_dataset(out, d)
        # (7FE0,0010) OW, and a length of 32 bits: what bounds a native instance (PS3.5 §7.1.2)
        element = b"\xe0\x7f\x10\x00OW\0\0" + self.pixel_bytes.to_bytes(4, "little")
        return out.getvalue() + element

    def frame(self, number: int) -> bytes:
        """A frame; numbers count from 0."""
        start = number * 64 % FRAME_BYTES
        return number.to_bytes(8, "little") + _POOL[start + 8 : start + FRAME_BYTES]

    def pieces(self) -> Iterator[bytes]:
        """The data set."""
        yield self.head()
        for number in range(self.frames):
            yield self.frame(number)

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for each in self.pieces():
            digest.update(each)
        return digest.hexdigest()


_POOL = pixels_of(*KEY, 2 * FRAME_BYTES)
SMALL = Giant(192)  # 96 MiB
LARGEST = Giant(8191)  # 512 KiB short of what 32 bits can say


Send = Callable[[Reached, Giant], None]


def by_dimse(reached: Reached, giant: Giant) -> None:
    """C-STORE it."""
    assert asyncio.run(c_store(reached, giant)) == 0


async def c_store(reached: Reached, giant: Giant) -> int:
    async with associate(
        *reached.dimse,
        calling="SENDER",
        called="FILEROOM",
        contexts=[(MULTI_FRAME_WORD, (EXPLICIT_LITTLE,))],
        timeout_s=120,
    ) as association:
        (context,) = association.contexts.values()
        command = message.store_request(
            1, sop_class_uid=MULTI_FRAME_WORD, sop_instance_uid=uids(*KEY)[2]
        )
        answer = await association.ask(context.context_id, command, giant.pieces())
        return answer.number("Status")


def by_stow(reached: Reached, giant: Giant) -> None:
    """POST it."""
    head = write_header(MULTI_FRAME_WORD, uids(*KEY)[2], EXPLICIT_LITTLE, source_ae_title=None)
    before = b"--giant\r\nContent-Type: application/dicom\r\n\r\n" + head
    after = b"\r\n--giant--\r\n"
    size_bytes = len(before) + len(giant.head()) + giant.pixel_bytes + len(after)
    link = http.client.HTTPConnection(*reached.http, timeout=120)
    try:
        link.request(
            "POST",
            "/dicomweb/studies",
            body=itertools.chain([before], giant.pieces(), [after]),
            headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=giant',
                "Content-Length": str(size_bytes),
                "Accept": "application/dicom+json",
            },
        )
        answer = link.getresponse()
        assert answer.status == 200, answer.read(300)
    finally:
        link.close()


def got(reached: Reached, path: str, accept: str) -> Iterator[bytes]:
    """The body of a GET below /dicomweb, piece by piece."""
    link = http.client.HTTPConnection(*reached.http, timeout=120)
    try:
        link.request("GET", "/dicomweb" + path, headers={"Accept": accept})
        answer = link.getresponse()
        assert answer.status == 200, (answer.status, answer.read(300))
        while piece := answer.read(PIECE_BYTES):
            yield piece
    finally:
        link.close()


def sha256_of_dataset(pieces: Iterator[bytes]) -> str:
    """SHA-256 of the data set in a Part 10 file."""
    splitter, digest, first = Part10Splitter(), hashlib.sha256(), next(pieces)
    start = splitter.feed(first)
    assert start is not None
    digest.update(first[start.dataset_offset :])
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def peak_bytes(pid: int) -> dict[str, int]:
    """The largest resident sizes that a node and its other processes have had."""
    found = {"node": 0, "worker": 0}
    for each in (str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        status = Path(f"/proc/{each}/status").read_text()
        peak = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M)
        assert peak is not None
        found["node" if each == str(pid) else "worker"] += int(peak[1]) << 10
    return found


def passed_through(folder: Path, giant: Giant, send: Send, *, wait_s: float) -> str:
    """Send it to a node, wait until it is COMMITTED, read it back; what memory that took."""
    settings = made(folder / "data")
    node = NodeProcess(settings)
    try:
        send(node.reached, giant)
        deadline = time.monotonic() + wait_s
        while (status := node.reached.status())["oldest_uncommitted_s"] is not None:
            assert time.monotonic() < deadline, status["states"]
            time.sleep(0.2)
        assert status["states"]["COMMITTED"]["instances"] == 1
        packs = [each for each in (folder / "data" / "packs").glob("*/*") if each.is_file()]
        assert [each.stat().st_size > giant.pixel_bytes for each in packs] == [True]
        study, series, instance = uids(*KEY)
        path = f"/studies/{study}/series/{series}/instances/{instance}"
        for number in (0, giant.frames // 3, giant.frames - 1):
            frame = got(node.reached, f"{path}/frames/{number + 1}", "application/octet-stream")
            assert b"".join(frame) == giant.frame(number), f"frame {number}"
        whole = got(node.reached, path, "application/dicom; transfer-syntax=*")
        assert sha256_of_dataset(whole) == giant.sha256()
        peaks = peak_bytes(node.process.pid)
        assert sum(peaks.values()) < RSS_BYTES_MAX, peaks
        assert node.terminate() == 0
        return ", ".join(f"{name} {peak >> 20} MiB" for name, peak in peaks.items())
    finally:
        if node.process.poll() is None:
            node.kill()
        shutil.rmtree(folder / "data")


@pytest.mark.parametrize("send", [by_dimse, by_stow])
def test_an_instance_of_96_mib_passes_in_bounded_memory(send, tmp_path, capsys):
    told = passed_through(tmp_path, SMALL, send, wait_s=60)
    with capsys.disabled():
        print(f" [{told}]", end="")


@pytest.mark.slow
def test_an_instance_of_4_gib_passes_in_bounded_memory(tmp_path, capsys):
    told = passed_through(tmp_path, LARGEST, by_dimse, wait_s=900)
    with capsys.disabled():
        print(f" [{told}]", end="")

"""What spool tests share: descriptions, data sets, and a spool that is quick to open."""

import asyncio
import os
import random
import threading
from collections.abc import Sequence
from pathlib import Path

from fileroom.clock import ManualClock
from fileroom.dicom.header import Header
from fileroom.disk import Buffer, Disk
from fileroom.spool.landing import Landing, Spool
from fileroom.spool.reader import SpoolReader
from fileroom.spool.record import Description, Origin, Place, Spooled

KEY = bytes(range(32))


class QuickDisk(Disk):
    """A disk that never waits for the medium. For tests that do not lose power."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


def description(name: str = "1") -> Description:
    """A description whose SOP Instance UID ends in `name`."""
    return Description(
        partition="main",
        header=Header(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            sop_instance_uid=f"2.25.7.{name}",
            study_instance_uid="2.25.5",
            series_instance_uid="2.25.6",
            attributes={"PatientName": "Müller^Ünal", "Modality": "CT"},
        ),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        preamble=b"",
        origin=Origin(
            channel="dimse", calling_ae_title="MODALITY-CT1", address="127.0.0.1", conversation="c0"
        ),
        received_at_ns=1_700_000_000_000_000_000,
    )


def data_set(name: str, size_bytes: int) -> bytes:
    """Bytes that are different for each name and do not repeat."""
    return random.Random(name).randbytes(size_bytes)


def open_spool(
    directory: Path,
    *,
    disk: Disk | None = None,
    segment_size_bytes: int = 4 * 1024 * 1024,
    reserve_bytes: int = 0,
) -> Spool:
    return Spool.open(
        directory,
        key=KEY,
        disk=disk or QuickDisk(),
        clock=ManualClock(),
        segment_size_bytes=segment_size_bytes,
        reserve_bytes=reserve_bytes,
    )


async def land(spool: Spool, name: str, data: bytes, *, piece_bytes: int = 65536) -> Spooled:
    """One whole landing."""
    return await finish(spool.landing(), name, data, piece_bytes=piece_bytes)


async def finish(landing: Landing, name: str, data: bytes, *, piece_bytes: int = 65536) -> Spooled:
    for start in range(0, len(data), piece_bytes):
        landing.write(data[start : start + piece_bytes])
        if landing.full:
            await landing.ready()
        await asyncio.sleep(0)
    return await landing.commit(description(name))


def read_back(directory: Path, place: Place) -> bytes:
    return b"".join(SpoolReader(directory, key=KEY).open(place).chunks())


def name_of(spooled: Spooled) -> str:
    return spooled.description.header.sop_instance_uid.removeprefix("2.25.7.")


class GateDisk(QuickDisk):
    """A disk whose writes or syncs wait at a gate, and which counts them.

    Attributes:
        writes: how many buffers each write call had.
        arrived: set while somebody waits at the gate.
    """

    def __init__(self, *, gate_at: str) -> None:
        self.gate_at = gate_at
        self.gate = threading.Event()
        self.arrived = threading.Event()
        self.writes: list[int] = []
        self.syncs = 0

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        if offset:  # not the segment header
            self.writes.append(len(buffers))
            self._pass("write")
        super().write(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        if self.writes:
            self.syncs += 1
            self._pass("sync")

    def _pass(self, where: str) -> None:
        if where == self.gate_at:
            self.arrived.set()
            assert self.gate.wait(timeout=20)
            self.arrived.clear()

    async def wait_for_arrival(self) -> None:
        assert await asyncio.to_thread(self.arrived.wait, 20)


class FailingDisk(QuickDisk):
    """A disk on which one step fails. It asserts that a file is not touched after that.

    Args:
        step: "write", "sync", "allocate" or "sync_directory".
        error: what it raises, once.
        let_pass: how many of these steps succeed before.
    """

    def __init__(self, step: str, error: Exception, *, let_pass: int = 0) -> None:
        self.step = step
        self.error: Exception | None = error
        self.let_pass = let_pass
        self.given_up: set[int] = set()  # inodes

    def allocate(self, descriptor: int, size_bytes: int) -> None:
        self._fail("allocate", descriptor)
        super().allocate(descriptor, size_bytes)

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        self._fail("write", descriptor)
        super().write(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        self._fail("sync", descriptor)

    def _remove(self, path: Path) -> None:
        self.given_up.discard(path.stat().st_ino)  # the number may be another file's next
        super()._remove(path)

    def _fail(self, step: str, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        assert inode not in self.given_up, f"{step} of a file that was given up"
        if step == self.step and self.error is not None:
            if self.let_pass:
                self.let_pass -= 1
                return
            self.given_up.add(inode)
            error, self.error = self.error, None
            raise error

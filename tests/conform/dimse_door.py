"""The DICOM door on a loopback port, with a receiver in memory behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dimse_fakes import MemoryReceiver, nothing_to_read
from fileroom.access.decide import decide
from fileroom.clock import SystemClock
from fileroom.dicom.part10 import Part10Splitter
from fileroom.dimse.provision import Provision
from fileroom.dimse.server import DimseServer, Limits, Refusal


@dataclass
class OpenDoor:
    server: DimseServer
    receiver: MemoryReceiver
    refusals: list[Refusal]

    @property
    def port(self) -> int:
        return self.server.port

    def data_sets(self) -> list[bytes]:
        return [each.data for each in self.receiver.landed]


@asynccontextmanager
async def door(
    host: str = "127.0.0.1",
    *,
    provision: Callable[[], Provision] = nothing_to_read,
    **limits: float,
) -> AsyncIterator[OpenDoor]:
    receiver, refusals = MemoryReceiver(), []
    server = DimseServer(
        host,
        0,
        ae_titles={"FILEROOM"},
        receiver=receiver,
        provision=provision,
        decide=decide,
        clock=SystemClock(),
        limits=Limits(**limits),
        on_refused=refusals.append,
    )
    await server.start()
    try:
        yield OpenDoor(server, receiver, refusals)
    finally:
        await server.stop(drain_s=5)
        assert server.associations == 0
        assert all(each.closed for each in receiver.conversations)


def data_set_of(path: Path) -> bytes:
    """The bytes behind the file meta group."""
    content = path.read_bytes()
    splitter = Part10Splitter()
    start = splitter.feed(content)
    return content[(start or splitter.finish()).dataset_offset :]

"""However a sender cuts its messages and the network its bytes, the same data sets arrive."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from dimse_fakes import MemoryReceiver, nothing_to_read
from fileroom.access.decide import Decision
from fileroom.clock import ManualClock
from fileroom.dimse.association import ServedAssociation
from fileroom.dimse.server import DimseServer, Limits
from fileroom.wire import message, pdu
from fileroom.wire.pdu import ProposedContext
from fileroom.wire.user_information import AsyncOperations, UserInformation
from wire_talk import data_pdu

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
REQUEST = pdu.encode(
    pdu.AssociateRequest(
        "FILEROOM",
        "SENDER",
        (ProposedContext(1, CT, (EXPLICIT,)), ProposedContext(3, CT, (EXPLICIT,))),
        UserInformation(16384, "1.2.3", async_operations=AsyncOperations(0, 0)),
    )
)


class Wire(asyncio.Transport):
    reading = True

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 40000)})

    def write(self, data):
        pass

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def is_closing(self):
        return False


def pieces(data: bytes, draw) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def fragments(context_id: int, control: int, data: bytes, draw) -> list[tuple[int, int, bytes]]:
    cut = pieces(data, draw)
    return [
        (context_id, control | 2 * (index == len(cut) - 1), piece)
        for index, piece in enumerate(cut)
    ]


def as_pdus(values: list[tuple[int, int, bytes]], draw) -> bytes:
    """The values in PDUs of one to three each."""
    stream = b""
    while values:
        count = draw(st.integers(1, 3))
        stream += data_pdu(*values[:count])
        values = values[count:]
    return stream


async def received(stream: list[bytes]) -> list[bytes]:
    receiver = MemoryReceiver()
    server = DimseServer(
        "127.0.0.1",
        0,
        ae_titles={"FILEROOM"},
        receiver=receiver,
        provision=nothing_to_read,
        decide=lambda *_: Decision(True, ""),
        clock=ManualClock(),
        limits=Limits(pdu_size_bytes_max=16384),
        on_refused=lambda _: None,
    )
    protocol, wire = ServedAssociation(server), Wire()
    protocol.connection_made(wire)
    for piece in stream:
        while piece:
            while not wire.reading:
                await asyncio.sleep(0)
            view = protocol.get_buffer(-1)
            taken = min(len(view), len(piece))
            view[:taken] = piece[:taken]
            protocol.buffer_updated(taken)
            piece = piece[taken:]
    for _ in range(20):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
    assert receiver.abandoned == []
    assert [each.closed for each in receiver.conversations] == [True]
    return [each.data for each in receiver.landed]


@given(data_sets=st.lists(st.binary(max_size=200), min_size=1, max_size=5), data=st.data())
def test_the_same_data_sets_arrive_however_they_are_cut(data_sets, data):
    stream = b""
    for index, data_set in enumerate(data_sets):
        command = message.store_request(
            index + 1, sop_class_uid=CT, sop_instance_uid=f"1.2.{index}"
        )
        context_id = data.draw(st.sampled_from([1, 3]))
        values = fragments(context_id, 1, command, data.draw)
        values += fragments(context_id, 0, data_set, data.draw)
        stream += as_pdus(values, data.draw)
    assert asyncio.run(received([REQUEST, *pieces(stream, data.draw)])) == data_sets

"""The DICOM door on both event loops and both address families, with its own SCUs as peers."""

import asyncio
import socket

import pytest
import uvloop
from dimse_door import data_set_of, door
from pydicom import dcmread

from corpus import ct_small
from fileroom.peer.echo import echo
from fileroom.peer.store import store_files
from golden import wire_pdus as golden

LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """A slice of 32 MB: more than every buffer between the two together."""
    path = tmp_path_factory.mktemp("large") / "large.dcm"
    data_set = dcmread(ct_small())
    data_set.Rows = data_set.Columns = 4096
    data_set.PixelData = bytes(range(256)) * (2 * 4096 * 4096 // 256)
    data_set.save_as(path)
    return path


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_a_receiver_that_is_full_slows_the_sender_and_loses_nothing(run, large_file):
    async def scenario():
        async with door() as opened:
            opened.receiver.full_after_bytes = 1_000_000
            sending = asyncio.create_task(
                store_files(
                    *("127.0.0.1", opened.port, [ct_small(), large_file, ct_small()]),
                    calling="SENDER",
                    called="FILEROOM",
                )
            )
            async with asyncio.timeout(20):
                while not opened.data_sets():
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            assert not sending.done()
            assert len(opened.data_sets()) == 1
            opened.receiver.relieve()
            assert await sending == 3
            small, large = data_set_of(ct_small()), data_set_of(large_file)
            assert opened.data_sets() == [small, large, small]

    run(scenario())


@pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
def test_a_peer_that_reads_no_answers_is_held_up_and_then_cut_off(run):
    request = golden.ECHOSCU_ASSOCIATE_RQ.replace(b"ANY-SCP ", b"FILEROOM")
    echoes = (golden.ECHOSCU_P_DATA_TF + golden.ECHOSCU_C_ECHO_RQ) * 1000

    async def scenario():
        async with door(idle_timeout_s=1.5, artim_s=1) as opened:
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(("127.0.0.1", opened.port))
            _, writer = await asyncio.open_connection(sock=peer)
            writer.transport.pause_reading()
            writer.write(request)
            with pytest.raises(ConnectionError):
                await flood(writer, echoes)
            async with asyncio.timeout(10):
                while opened.server.associations:
                    await asyncio.sleep(0.05)

    async def flood(writer, data):
        async with asyncio.timeout(20):
            while True:
                if writer.is_closing():
                    raise ConnectionResetError
                writer.write(data)
                await writer.drain()

    run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_address_families_are_served(host):
    try:
        listener = await asyncio.start_server(lambda *_: None, host, 0)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    listener.close()
    await listener.wait_closed()
    async with door(host) as opened:
        result = await echo(host, opened.port, calling="SENDER", called="FILEROOM")
        assert result.status == 0


async def test_idle_connections_cost_their_slots_only():
    """Class 17 of hostile input: thousands that connect and say nothing."""
    async with door(waiting_max=20, associations_max=2) as opened:
        writers = []
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", opened.port)
            writers.append(writer)
        async with asyncio.timeout(10):
            while len(opened.server._connections) != 20:
                await asyncio.sleep(0.01)
        for writer in writers[:20]:
            writer.close()
        async with asyncio.timeout(10):
            while opened.server._connections:
                await asyncio.sleep(0.01)
        result = await echo("127.0.0.1", opened.port, calling="SENDER", called="FILEROOM")
        assert result.status == 0
        for writer in writers:
            writer.close()

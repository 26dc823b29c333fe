"""DCMTK's tools against the DICOM door, and our SCUs against its storescp."""

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dimse_door import data_set_of, door
from pydicom import dcmread
from pydicom.data import get_testdata_file

from corpus import ct_small
from fileroom.dicom.instance_error import InstanceError
from fileroom.peer.echo import echo
from fileroom.peer.store import store_files
from golden import wire_pdus as golden
from peers import free_port, program, run, until_listening

AS_IS = [
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "rtdose_1frame.dcm",
]
DISTINCT = [  # one file an instance, in as many transfer syntaxes
    "CT_small.dcm",
    "MR_small_bigendian.dcm",
    "rtdose_1frame.dcm",
    "waveform_ecg.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_rle.dcm",
    "JPEGLSNearLossless_16.dcm",
]


def bundled(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def scu(name: str) -> str:
    return program(name, package="dcmtk")


@asynccontextmanager
async def storescp(folder: Path):
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program("storescp", package="dcmtk"),
        *("--bit-preserving", "--accept-all", "--output-directory", str(folder), str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until_listening(port)
        yield port
    finally:
        process.kill()
        await process.wait()


async def test_echoscu_is_answered():
    tool = scu("echoscu")
    async with door() as opened:
        target = ("-aec", "FILEROOM", "127.0.0.1", str(opened.port))
        code, said = await run(tool, "-v", "--repeat", "3", *target)
        assert (code, said.count("Received Echo Response (Success)")) == (0, 3), said
        code, said = await run(tool, "--propose-pc", "128", "--propose-ts", "38", *target)
        assert code == 0, said
        assert opened.receiver.conversations == []


async def test_echoscu_is_told_why_it_is_rejected():
    tool = scu("echoscu")
    async with door(associations_max=1) as opened:
        port = str(opened.port)
        code, said = await run(tool, "-aec", "OTHER", "127.0.0.1", port)
        assert code != 0
        assert "Called AE Title Not Recognized" in said
        assert opened.refusals[0].ae_title == "ECHOSCU"
        _, writer = await asyncio.open_connection("127.0.0.1", opened.port)
        ours = golden.ECHOSCU_ASSOCIATE_RQ.replace(b"ANY-SCP ", b"FILEROOM")
        writer.write(ours)
        async with asyncio.timeout(5):
            while opened.server.associations == 0:
                await asyncio.sleep(0.01)
        code, said = await run(tool, "-aec", "FILEROOM", "127.0.0.1", port)
        assert code != 0
        assert re.search("Local limit exceeded", said, re.I), said
        writer.close()


async def test_echoscu_that_aborts_leaves_the_door_open():
    tool = scu("echoscu")
    async with door() as opened:
        port = str(opened.port)
        for _ in range(3):
            await run(tool, "--abort", "-aec", "FILEROOM", "127.0.0.1", port)
        code, _ = await run(tool, "-aec", "FILEROOM", "127.0.0.1", port)
        assert code == 0


def syntax_option(path: Path) -> str:
    """The transfer syntax that storescu is to propose so that it need not transcode."""
    if "implicit" in path.name or path.name == "rtdose_1frame.dcm":
        return "-xi"
    return "-xb" if "bigendian" in path.name else "-xe"


@pytest.mark.parametrize("pdu_size_bytes", [4096, 16384, 131072])
async def test_what_storescu_sends_is_what_a_bit_preserving_storescp_receives(
    pdu_size_bytes, tmp_path
):
    """storescu leaves out trailing padding and the like, so the file itself is no measure."""
    tool = scu("storescu")
    paths = [bundled(name) for name in AS_IS]
    async with storescp(tmp_path) as theirs, door(pdu_size_bytes_max=pdu_size_bytes) as opened:
        for path in paths:
            for port in (theirs, opened.port):
                target = ("-aec", "FILEROOM", "127.0.0.1", str(port), str(path))
                code, said = await run(tool, syntax_option(path), *target)
                assert code == 0, said
    received = {each.sop_instance_uid: each.data for each in opened.receiver.landed}
    assert len(received) == len(opened.data_sets()) - 2  # three of the files are one instance
    expected = {data_set_of(path) for path in tmp_path.iterdir()}
    assert expected <= set(opened.data_sets())
    assert len(expected) == len(received)


async def test_what_dcmsend_sends_is_what_a_bit_preserving_storescp_receives(tmp_path):
    tool = scu("dcmsend")
    paths = [str(bundled(name)) for name in DISTINCT]
    async with storescp(tmp_path) as port:
        code, said = await run(tool, "127.0.0.1", str(port), *paths)
        assert code == 0, said
    async with door() as opened:
        command = (tool, "-v", "-aec", "FILEROOM", "127.0.0.1", str(opened.port), *paths)
        code, said = await run(*command)
        assert code == 0, said
        theirs = sorted(data_set_of(path) for path in tmp_path.iterdir())
        assert sorted(opened.data_sets()) == theirs
        assert len(theirs) == len(DISTINCT)


async def test_storescu_reports_the_status_of_a_refused_instance_and_goes_on():
    tool = scu("storescu")
    async with door() as opened:
        error = InstanceError("no patient will be named here")
        uid = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
        opened.receiver.failures[uid] = ("finish", error)
        target = ("-nh", "-aec", "FILEROOM", "127.0.0.1", str(opened.port))
        _, said = await run(tool, "-v", *target, str(ct_small()), str(bundled("MR_small.dcm")))
        assert "Error: CannotUnderstand" in said or "C000" in said, said
        assert len(opened.data_sets()) == 1


async def test_a_sender_that_is_killed_leaves_nothing_and_the_door_open(tmp_path):
    tool = scu("storescu")
    data_set = dcmread(ct_small())
    data_set.Rows = data_set.Columns = 4096
    data_set.PixelData = bytes(2 * 4096 * 4096)  # more than the sockets' buffers take
    data_set.save_as(tmp_path / "large.dcm")
    async with door() as opened:
        opened.receiver.full_after_bytes = 1000
        process = await asyncio.create_subprocess_exec(
            *(tool, "-aec", "FILEROOM", "127.0.0.1", str(opened.port)),
            str(tmp_path / "large.dcm"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while not any(each.open_receptions for each in opened.receiver.conversations):
                await asyncio.sleep(0.01)
        process.kill()
        await process.wait()
        opened.receiver.relieve()
        async with asyncio.timeout(20):
            while opened.server.associations:
                await asyncio.sleep(0.01)
        assert opened.data_sets() == []
        assert len(opened.receiver.abandoned) == 1


async def test_our_scu_asks_storescp_for_an_echo_and_stores_files_bit_for_bit(tmp_path):
    paths = [bundled(name) for name in DISTINCT]
    async with storescp(tmp_path) as port:
        result = await echo("127.0.0.1", port, calling="FILEROOM", called="STORESCP")
        assert result.status == 0
        count = await store_files("127.0.0.1", port, paths, calling="FILEROOM", called="STORESCP")
        assert count == len(paths)
    received = sorted(data_set_of(path) for path in tmp_path.iterdir())
    assert received == sorted(data_set_of(path) for path in paths)

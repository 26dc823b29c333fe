"""dicomweb-client and curl against the door on a real socket."""

import asyncio
import json
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from requests import HTTPError

from corpus import ct_small, pydicom_files
from dicomweb_fakes import World, data_set_of, world
from fileroom.errors import TransientError
from fileroom.http import listener
from fileroom.http.answers import Answer
from fileroom.http.listener import Listener

CURL = shutil.which("curl")
AS_STORED = "application/dicom; transfer-syntax=*"
needs_curl = pytest.mark.skipif(CURL is None, reason="peer missing: curl")


@asynccontextmanager
async def serving(here: World, **options):
    """The door on a free loopback port; gives its base URL."""
    door = Listener(here.app, host="127.0.0.1", port=0, connections_max=64, **options)
    await door.start()
    try:
        yield f"http://127.0.0.1:{door.port}"
    finally:
        await door.stop()


def client_of(url: str) -> DICOMwebClient:
    return DICOMwebClient(f"{url}/dicomweb", chunk_size=100_000)


async def curl(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(
        subprocess.run,
        [str(CURL), "-sS", "--max-time", "20", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
    )


def large_ct(pixels: int = 2048) -> bytes:
    data_set = dcmread(ct_small())
    data_set.Rows = data_set.Columns = pixels
    data_set.PixelData = bytes(range(256)) * (pixels * pixels * 2 // 256)
    out = BytesIO()
    dcmwrite(out, data_set)
    return out.getvalue()


# --- dicomweb-client


async def test_dicomweb_client_stores_searches_and_retrieves():
    here = world()
    names = ["CT_small.dcm", "MR_small.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm", "rtdose.dcm"]
    sent = [dcmread(str(get_testdata_file(name, download=False))) for name in names]
    async with serving(here) as url:
        client = client_of(url)
        answer = await asyncio.to_thread(client.store_instances, sent)
        assert len(answer.ReferencedSOPSequence) == len(sent)
        assert "FailedSOPSequence" not in answer

        studies = await asyncio.to_thread(client.search_for_studies)
        assert {each["0020000D"]["Value"][0] for each in studies} == {
            each.StudyInstanceUID for each in sent
        }
        (found,) = await asyncio.to_thread(
            lambda: client.search_for_studies(search_filters={"PatientID": sent[0].PatientID})
        )
        assert found["0020000D"]["Value"] == [sent[0].StudyInstanceUID]
        series = await asyncio.to_thread(client.search_for_series, sent[0].StudyInstanceUID)
        assert series[0]["0020000E"]["Value"] == [sent[0].SeriesInstanceUID]
        instances = await asyncio.to_thread(client.search_for_instances, sent[0].StudyInstanceUID)
        assert instances[0]["00080018"]["Value"] == [sent[0].SOPInstanceUID]

        for each in sent:
            uids = (each.StudyInstanceUID, each.SeriesInstanceUID, each.SOPInstanceUID)
            (study,) = await asyncio.to_thread(client.retrieve_study, uids[0])
            (of_series,) = await asyncio.to_thread(client.retrieve_series, *uids[:2])
            one = await asyncio.to_thread(client.retrieve_instance, *uids)
            assert study == of_series == one == each
            assert one.file_meta.TransferSyntaxUID == each.file_meta.TransferSyntaxUID
            (metadata,) = await asyncio.to_thread(client.retrieve_study_metadata, uids[0])
            assert metadata["00080018"]["Value"] == [each.SOPInstanceUID]


async def test_dicomweb_client_retrieves_frames_and_bulk_data():
    here = world()
    rle = dcmread(str(get_testdata_file("SC_rgb_rle_2frame.dcm", download=False)))
    dose = dcmread(str(get_testdata_file("rtdose.dcm", download=False)))
    async with serving(here) as url:
        client = client_of(url)
        await asyncio.to_thread(client.store_instances, [rle, dose])
        uids = (dose.StudyInstanceUID, dose.SeriesInstanceUID, dose.SOPInstanceUID)
        frames = await asyncio.to_thread(
            lambda: client.retrieve_instance_frames(*uids, frame_numbers=[1, 15])
        )
        size = len(dose.PixelData) // 15
        assert frames == [dose.PixelData[:size], dose.PixelData[-size:]]
        uids = (rle.StudyInstanceUID, rle.SeriesInstanceUID, rle.SOPInstanceUID)
        frames = await asyncio.to_thread(
            lambda: client.retrieve_instance_frames(
                *uids, frame_numbers=[2], media_types=(("image/dicom-rle", "1.2.840.10008.1.2.5"),)
            )
        )
        assert len(frames) == 1
        with pytest.raises(HTTPError, match="406"):
            await asyncio.to_thread(
                lambda: client.retrieve_instance_frames(
                    *uids, frame_numbers=[2], media_types=("image/jpx",)
                )
            )
        (metadata,) = await asyncio.to_thread(client.retrieve_study_metadata, dose.StudyInstanceUID)
        bulk = metadata["7FE00010"]["BulkDataURI"]
        (pixels,) = await asyncio.to_thread(client.retrieve_bulkdata, bulk)
        assert pixels == dose.PixelData


async def test_dicomweb_client_is_told_what_failed():
    here = world()
    ct = dcmread(ct_small())
    async with serving(here) as url:
        client = client_of(url)
        with pytest.raises(HTTPError, match="409"):
            await asyncio.to_thread(lambda: client.store_instances([ct], "1.2.3.4"))
        with pytest.raises(HTTPError, match="404"):
            await asyncio.to_thread(client.retrieve_study, "1.2.3.4")
        assert await asyncio.to_thread(client.search_for_studies) == []
        with pytest.raises(HTTPError, match="400"):
            await asyncio.to_thread(lambda: client.search_for_studies(search_filters={"Foo": "1"}))


async def test_files_that_pydicom_ships_come_back_bit_for_bit():
    here = world()
    files = [each.path.read_bytes() for each in pydicom_files()]
    stored = 0
    async with serving(here) as url:
        client = client_of(url)
        for file in files:
            if file[128:132] != b"DICM":
                continue
            try:
                data_set = dcmread(BytesIO(file))
                uids = (
                    data_set.StudyInstanceUID,
                    data_set.SeriesInstanceUID,
                    data_set.SOPInstanceUID,
                )
            except Exception:
                continue
            try:
                await asyncio.to_thread(
                    client._http_post_multipart_application_dicom, f"{url}/dicomweb/studies", [file]
                )
            except HTTPError:
                continue  # the archive in memory cannot read all of them
            stored += 1
            path = f"{url}/dicomweb/studies/{uids[0]}/series/{uids[1]}/instances/{uids[2]}"
            got = await asyncio.to_thread(
                lambda path=path: client._session.get(path, headers={"Accept": AS_STORED})
            )
            held = here.archive.instances[uids[2]]
            assert got.content == held.part10
            if data_set_of(held.part10) != data_set_of(file):
                # Two of the files share a SOP Instance UID; the first is served.
                assert sum(1 for each in files if uids[2].encode() in each) > 1
    assert stored > 40


# --- curl


@needs_curl
async def test_curl_stores_a_large_file_and_reads_it_back(tmp_path: Path):
    here = world()
    file = tmp_path / "ct.dcm"
    file.write_bytes(large_ct())
    async with serving(here) as url:
        posted = await curl(
            *("-X", "POST", "-H", "Content-Type: application/dicom", "-H", "Expect: 100-continue"),
            *("--data-binary", f"@{file}", f"{url}/dicomweb/studies", "-w", "\n%{http_code}"),
        )
        body, status = posted.stdout.rsplit(b"\n", 1)
        assert status == b"200"
        where = json.loads(body)["00081199"]["Value"][0]["00081190"]["Value"][0]
        got = await curl("-H", "Accept: application/dicom", where)
        assert data_set_of(got.stdout) == data_set_of(file.read_bytes())
        ranged = await curl("-H", "Accept: application/dicom", "-r", "1000-1999", where)
        assert ranged.stdout == got.stdout[1000:2000]
        head = await curl("-I", "-H", "Accept: application/dicom", where)
        assert f"content-length: {len(got.stdout)}".encode() in head.stdout
        plain = await curl(where, "-D", "-", "-o", str(tmp_path / "out"))
        assert b'content-type: multipart/related; type="application/dicom"' in plain.stdout


@needs_curl
async def test_curl_is_refused_before_it_sends_a_large_body(tmp_path: Path):
    here = world()
    file = tmp_path / "ct.dcm"
    file.write_bytes(large_ct())
    async with serving(here) as url:
        posted = await curl(
            *("-X", "POST", "-H", "Content-Type: text/plain", "-H", "Expect: 100-continue"),
            *("--data-binary", f"@{file}", f"{url}/dicomweb/studies"),
            *("-w", "\n%{http_code} %{size_upload}"),
        )
    assert posted.stdout.rsplit(b"\n", 1)[1] == b"415 0"


@needs_curl
async def test_curl_may_send_chunks_of_unknown_total(tmp_path: Path):
    here = world()
    async with serving(here) as url:
        posted = await curl(
            *("-X", "POST", "-H", "Content-Type: application/dicom", "-H", "Expect:"),
            *("-H", "Transfer-Encoding: chunked", "--data-binary", "@-"),
            *(f"{url}/dicomweb/studies", "-w", "\n%{http_code}"),
            stdin=large_ct(512),
        )
    assert posted.stdout.endswith(b"200")
    assert len(here.archive.instances) == 1


@needs_curl
async def test_curl_asks_for_health_without_knowing_any_header():
    async def healthz() -> Answer:
        return Answer(200, "application/json", b'{"status":"ok"}')

    here = world(extra={"healthz": healthz})
    async with serving(here) as url:
        assert (await curl(f"{url}/healthz")).stdout == b'{"status":"ok"}'
        assert b"server:" not in (await curl("-i", f"{url}/healthz")).stdout.lower()


# --- peers that misbehave


async def talk(url: str, *pieces: bytes, close: bool = False) -> bytes:
    """Send raw bytes; what comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if close:
            return b""
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def head_of(length: int, kind: str = "application/dicom") -> bytes:
    return (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


async def until(condition) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to pass")


async def test_a_content_length_that_is_too_short_is_a_body_that_breaks_off():
    here = world()
    kind = 'multipart/related; type="application/dicom"; boundary=B'
    body = b"--B\r\n\r\n" + ct_small().read_bytes() + b"\r\n--B--"
    async with serving(here) as url:
        answer = await talk(url, head_of(len(body) - 5000, kind), body)
        assert answer.startswith(b"HTTP/1.1 400")
        assert here.archive.instances == {}
        assert (await talk(url, head_of(len(body), kind), body)).startswith(b"HTTP/1.1 200")


async def test_a_sender_that_goes_away_in_the_middle_leaves_nothing_behind():
    here = world()
    file = ct_small().read_bytes()
    async with serving(here) as url:
        await talk(url, head_of(len(file) + 5000), file, close=True)
        await until(lambda: here.receiver.closed == 1)
        assert here.receiver.open == 0
        assert here.archive.instances == {}


@pytest.mark.parametrize("target", ["study", "instance", "frames"])
@pytest.mark.parametrize("bytes_come", [True, False], ids=["endless", "silent"])
async def test_a_reader_that_goes_away_ends_what_would_never_end(target, bytes_come):
    """An answer of 1 TiB, and a store that gives its first bytes and then nothing more."""
    here = world()
    instance = here.archive.add(ct_small().read_bytes())
    instance.size_bytes = 1 << 40
    reads = ended = 0

    async def read(start: int, end: int) -> bytes:
        nonlocal reads, ended
        reads += 1
        try:
            if start and not bytes_come:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            return bytes(end - start)
        finally:
            ended += 1

    async def ranges(frame: int) -> list[tuple[int, int]]:
        return [(0, 1 << 40)]

    async def frames() -> SimpleNamespace:
        return SimpleNamespace(count=1, ranges=ranges, read=read)

    instance.read, instance.frames = read, frames
    study = f"/dicomweb/studies/{instance.study_instance_uid}"
    path = f"{study}/series/{instance.series_instance_uid}/instances/{instance.sop_instance_uid}"
    path = {"study": study, "instance": path, "frames": f"{path}/frames/1"}[target]
    async with serving(here) as url:
        before = asyncio.all_tasks()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await reader.readexactly(100_000)
        writer.transport.abort()
        await until(lambda: asyncio.all_tasks() <= before)
        assert reads == ended
        assert here.coverage.bytes > 0


async def test_silence_in_the_header_fields_is_given_up():
    here = world()
    async with serving(here, header_s=0.05) as url:
        assert await talk(url) == b""
        assert await talk(url, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n") == b""
        answered = await talk(
            url, b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        assert answered.startswith(b"HTTP/1.1 404")


async def test_header_fields_without_end_are_given_up():
    here = world()
    async with serving(here) as url:
        with pytest.raises(ConnectionError):
            await talk(url, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", *[b"x" * 65536] * 1000)
        assert await asyncio.to_thread(client_of(url).search_for_studies) == []


@pytest.mark.parametrize(
    "request_",
    [
        b"rubbish\r\n\r\n",
        b"GET /dicomweb/\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /dicomweb/studies HTTP/1.1\r\n\r\n",
        b"POST /dicomweb/studies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_400_and_the_door_stays_open(request_):
    here = world()
    async with serving(here) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(request_)
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 400")
        writer.close()
        assert await asyncio.to_thread(client_of(url).search_for_studies) == []


async def test_a_read_that_fails_half_way_is_not_taken_for_a_whole_answer():
    here = world()
    instance = here.archive.add(large_ct(1024))
    read = instance.read

    async def failing(start: int, end: int) -> bytes:
        if start > 0:
            raise TransientError("gone")
        return await read(start, end)

    instance.read = failing
    path = (
        f"/dicomweb/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances/{instance.sop_instance_uid}"
    )
    async with serving(here) as url:
        answer = await talk(url, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    announced = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(body) < announced


async def test_a_port_that_is_taken_is_an_error_of_the_start():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError):
            Listener(world().app, host="127.0.0.1", port=taken.getsockname()[1], connections_max=1)


async def test_a_caller_who_takes_nothing_of_its_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(listener, "UNREAD_S", 0.5)
    gone = asyncio.Event()

    async def endless(scope, receive, send):
        async def sending():
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                body = bytes(1 << 20)
                await send({"type": "http.response.body", "body": body, "more_body": True})
                await asyncio.sleep(0)

        task = asyncio.create_task(sending())
        while (await receive())["type"] != "http.disconnect":
            pass
        task.cancel()
        gone.set()

    door = Listener(endless, host="127.0.0.1", port=0, connections_max=9)  # type: ignore[arg-type]
    await door.start()
    with socket.create_connection(("127.0.0.1", door.port)) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        async with asyncio.timeout(60):
            await gone.wait()
    await door.stop()

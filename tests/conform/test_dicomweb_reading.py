"""Searching and reading a whole node over a socket: pages, tags, codings, and callers who leave."""

import asyncio
import gzip
import http.client
import json
import os
import socket
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread, dcmwrite

from corpus import ct_small
from fileroom.cli.connection import LocalNode
from nodes import Reached, made, running
from peers import program, run

STUDY = "1.2.826.0.1.3680043.8.498.7"
WAIT_S = 30.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Reached]:
    with running(tmp_path / "data", in_process=True) as reached:
        yield reached


def part10(study: int, series: int, number: int, *, rows: int = 16, **attributes: object) -> bytes:
    data_set = dcmread(ct_small())
    data_set.remove_private_tags()
    data_set.StudyInstanceUID = f"{STUDY}.{study}"
    data_set.SeriesInstanceUID = f"{STUDY}.{study}.{series}"
    uid = f"{STUDY}.{study}.{series}.{number}"
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = uid
    data_set.InstanceNumber = number
    data_set.Rows = data_set.Columns = rows
    data_set.PixelData = bytes(rows * rows * 2)
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    out = BytesIO()
    dcmwrite(out, data_set)
    return out.getvalue()


def store(node: Reached, *files: bytes) -> None:
    for file in files:
        kind = {"Content-Type": "application/dicom"}
        assert node.request("POST", "/dicomweb/studies", kind, file)[0] == 200


# --- pages


@pytest.mark.parametrize("overlap", [0, 1])
@pytest.mark.parametrize("level, tag", [("studies", "0020000D"), ("series", "0020000E")])
def test_a_study_that_arrives_between_two_pages_neither_shifts_nor_repeats_a_match(
    node: Reached, level: str, tag: str, overlap: int
):
    store(node, *(part10(n, 1, 1, StudyDate=f"202401{n:02}") for n in range(1, 10)))
    read: list[str] = []
    for late in range(10, 20):
        offset = max(0, len(read) - overlap)
        page = node.json(f"/{level}?PatientID=1CT1&limit={3 + overlap}&offset={offset}")
        read[offset:] = [row[tag]["Value"][0] for row in page]
        if len(page) <= overlap:
            break
        # It is the newest, so that it stands before all that were read.
        store(node, part10(late, 1, 1, StudyDate=f"202402{late}"))
    tail = ".1" if level == "series" else ""
    assert read == [f"{STUDY}.{n}{tail}" for n in range(9, 0, -1)]


@pytest.mark.parametrize("below", ["", f"/studies/{STUDY}.1"])
def test_instances_are_paged_while_they_arrive_and_while_they_are_sealed(node: Reached, below: str):
    # They come in the opposite of the order in which a pack will have them.
    store(node, *(part10(1, 1, n) for n in range(6, 0, -1)), part10(1, 2, 1))
    read: list[str] = []
    for turn in range(4):
        page = node.json(f"{below}/instances?limit=2&offset={len(read)}")
        read += [row["00080018"]["Value"][0] for row in page]
        if turn == 0:
            node.wait_committed(7)
        store(node, part10(1, 1, 10 + turn))
    first = {f"{STUDY}.1.1.{n}" for n in range(1, 7)} | {f"{STUDY}.1.2.1"}
    assert len(read) == len(set(read)) == 8
    while page := node.json(f"{below}/instances?limit=50&offset={len(read)}"):
        read += [row["00080018"]["Value"][0] for row in page]
    assert len(read) == len(set(read))
    assert set(read) >= first


def test_a_page_tells_how_many_matches_there_are(node: Reached):
    store(node, *(part10(n, 1, m) for n in range(1, 4) for m in (1, 2)))
    for path, total in (
        ("/studies", 3),
        ("/studies?PatientName=compressed*", 3),
        ("/series", 3),
        (f"/studies/{STUDY}.1/instances", 2),
        ("/instances", 6),
    ):
        mark = "&" if "?" in path else "?"
        code, body, fields = node.get(f"{path}{mark}limit=1", "application/dicom+json")
        assert (code, len(json.loads(body)), fields["x-total-count"]) == (200, 1, str(total))
        told = f"There are {total - 1} additional results that can be requested"
        assert fields["warning"] == f"299 {node.web}: {told}"


# --- kinds of matching


def test_a_search_matches_in_all_the_ways_that_it_may_switch_on(node: Reached):
    store(
        node,
        part10(1, 1, 1, PatientName="Müller^Jörg^Karl", AccessionNumber="", Modality="CT"),
        part10(1, 2, 1, PatientName="Müller^Jörg^Karl", AccessionNumber="", Modality="PT"),
        part10(2, 1, 1, PatientName="Smith-Jones^Mary", AccessionNumber="A2", Modality="CT"),
    )

    def found(query: str) -> list[str]:
        rows = node.json(f"/studies?{query}")
        return sorted(row["0020000D"]["Value"][0].removeprefix(f"{STUDY}.") for row in rows)

    for name in ("jorg mul", "mueller", "karl", "Jörg^Mü"):
        assert found(f"fuzzymatching=true&PatientName={quote(name)}") == ["1"], name
        assert found(f"PatientName={quote(name)}") == []
    assert found("fuzzymatching=true&PatientName=jones%20m") == ["2"]
    assert found("fuzzymatching=true&PatientName=ones") == []
    assert found("emptyvaluematching=true&AccessionNumber=%22%22") == ["1"]
    assert found("AccessionNumber=%22%22") == []
    assert found("multiplevaluematching=true&ModalitiesInStudy=PT%5CCT") == ["1"]
    assert found("ModalitiesInStudy=CT") == ["1", "2"]


# --- tags and codings


def test_tags_stay_while_an_instance_goes_from_the_spool_into_a_pack(tmp_path: Path):
    with running(tmp_path / "data", in_process=True, seal__quiet_s="1.5") as node:
        store(node, part10(1, 1, 1), part10(1, 1, 2))
        instance = f"/studies/{STUDY}.1/series/{STUDY}.1.1/instances/{STUDY}.1.1.1"
        asked = {
            f"/studies/{STUDY}.1": "*/*",
            f"/studies/{STUDY}.1/metadata": "application/dicom+json",
            instance: "application/dicom",
            f"{instance}/frames/1": "application/octet-stream",
        }
        tags = {path: node.get(path, accept)[2]["etag"] for path, accept in asked.items()}
        node.wait_committed(2)
        for path, accept in asked.items():
            assert node.get(path, accept)[2]["etag"] == tags[path], path
            fields = {"Accept": accept, "If-None-Match": tags[path]}
            code, body, _ = node.request("GET", f"/dicomweb{path}", fields)
            assert (code, body) == (304, b""), path


async def test_curl_reads_compressed_metadata_and_goes_on_with_a_download(
    node: Reached, tmp_path: Path
):
    curl = program("curl", package="curl")
    await asyncio.to_thread(store, node, part10(1, 1, 1, rows=256))
    study = f"{node.web}/studies/{STUDY}.1"
    instance = f"{study}/series/{STUDY}.1.1/instances/{STUDY}.1.1.1"
    plain, coded = tmp_path / "plain", tmp_path / "coded"
    for out, options in ((plain, ()), (coded, ("--compressed",))):
        code, said = await run(curl, "-sS", "-f", *options, "-o", str(out), f"{study}/metadata")
        assert code == 0, said
    assert plain.read_bytes() == coded.read_bytes()
    accept = ("-H", "Accept: application/dicom")
    tag, whole, half = tmp_path / "tag", tmp_path / "whole", tmp_path / "half"
    save = ("--etag-save", str(tag), "-o", str(whole))
    assert (await run(curl, "-sS", "-f", *accept, *save, instance))[0] == 0
    half.write_bytes(whole.read_bytes()[:1000])
    condition = ("-H", f"If-Range: {tag.read_text().strip()}")
    code, said = await run(
        curl, "-sS", "-f", *accept, *condition, "-C", "-", "-o", str(half), instance
    )
    assert (code, half.read_bytes() == whole.read_bytes()) == (0, True), said
    known = ("--etag-compare", str(tag), "-o", str(tmp_path / "none"), "-w", "%{http_code}")
    assert (await run(curl, "-sS", *accept, *known, instance))[1] == "304"


def test_dicomweb_client_reads_metadata_in_both_forms(node: Reached):
    store(node, part10(1, 1, 1), part10(1, 1, 2))
    client = DICOMwebClient(node.web)
    described = client.retrieve_study_metadata(f"{STUDY}.1")
    assert [each["00080018"]["Value"][0] for each in described] == [
        f"{STUDY}.1.1.1",
        f"{STUDY}.1.1.2",
    ]
    response = client._session.get(
        f"{node.web}/studies/{STUDY}.1/metadata",
        headers={"Accept": 'multipart/related; type="application/dicom+xml"'},
    )
    documents = list(client._decode_multipart_message(response, stream=False))
    found = [ET.fromstring(each).find("*[@tag='00080018']/*").text for each in documents]
    assert found == [f"{STUDY}.1.1.1", f"{STUDY}.1.1.2"]
    code, body, fields = node.request(
        "GET", f"/dicomweb/studies/{STUDY}.1/metadata", {"Accept-Encoding": "gzip"}
    )
    assert (code, fields["content-encoding"]) == (200, "gzip")
    assert json.loads(gzip.decompress(body)) == described


# --- callers who leave


def open_files() -> list[str]:
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(each))
        except OSError:
            continue  # closed meanwhile
    return found


@pytest.mark.parametrize("what", ["study", "metadata", "frames"])
@pytest.mark.parametrize("place", ["spool", "pack"])
def test_a_caller_who_leaves_in_a_large_answer_frees_all_that_it_had(
    tmp_path: Path, what: str, place: str
):
    quiet_s = "0.2" if place == "pack" else "3600"
    settings = made(tmp_path / "data", seal__quiet_s=quiet_s)
    with LocalNode(settings, in_process=True) as local:
        node = Reached(settings, local.addresses.http, local.addresses.dimse)
        count = 24
        store(node, *(part10(1, 1, n, rows=1024) for n in range(1, count + 1)))
        if place == "pack":
            node.wait_committed(count)
        path = {
            "study": f"/studies/{STUDY}.1",
            "metadata": f"/studies/{STUDY}.1/metadata",
            "frames": f"/studies/{STUDY}.1/series/{STUDY}.1.1/instances/{STUDY}.1.1.1/frames/"
            + ",".join(["1"] * 40),
        }[what]
        assert node.get(path)[0] == 200  # what is opened once and kept is open from here on
        until(lambda: requests_of(local) == 0)
        before = open_files()
        for _ in range(8):
            caller = socket.create_connection(node.http, timeout=WAIT_S)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = f"GET /dicomweb{path} HTTP/1.1\r\nHost: {node.http[0]}\r\n\r\n"
            caller.sendall(head.encode())
            assert caller.recv(100).startswith(b"HTTP/1.1 200")
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            caller.close()  # by RST, as one that has crashed
        until(lambda: requests_of(local) == 0)
        until(lambda: len(open_files()) <= len(before))
        # And the door is as open as before.
        assert node.get(f"/studies/{STUDY}.1/series", "application/dicom+json")[0] == 200


def requests_of(local: LocalNode) -> int:
    """Tasks of the node that serve a request, or watch whether its caller is still there."""
    names = ("run_asgi", "watching", "_fetch", "send_all")
    assert local._loop is not None
    running_now = (str(task.get_coro()) for task in asyncio.all_tasks(local._loop))
    return sum(any(name in each for name in names) for each in running_now)


def until(condition) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.01)


def test_half_an_answer_is_no_whole_one(node: Reached):
    store(node, part10(1, 1, 1, rows=1024))
    link = http.client.HTTPConnection(*node.http, timeout=WAIT_S)
    link.request("GET", f"/dicomweb/studies/{STUDY}.1")
    answer = link.getresponse()
    assert answer.status == 200
    assert len(answer.read()) == int(answer.headers["content-length"])
    link.close()

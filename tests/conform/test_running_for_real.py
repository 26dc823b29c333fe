"""What running it for real needs: an end in order, a proxy in front, IPv6, and refusals at start.

What the verbs of the command line do is in test_verbs.py.
"""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fileroom.cli.connection import node_of, status_of
from fileroom.cli.exit_codes import ExitCode
from fileroom.peer.association import BrokenOffError, PeerAssociation, associate
from fileroom.peer.echo import echo
from fileroom.wire import message
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, part10, uids
from nodes import WAIT_S, NodeProcess, Reached, made, running

LARGE_BYTES = 4 << 20  # of pixels; more than lies on the way between two processes
DICOM = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
CONTEXTS = [(CT_IMAGE_STORAGE, (EXPLICIT_LITTLE,))]


def path_of(study: int, number: int) -> str:
    return "/studies/{}/series/{}/instances/{}".format(*uids(study, 0, number))


def assert_served(reached: Reached, study: int, number: int, size_bytes: int) -> None:
    code, body, _ = reached.get(path_of(study, number), "application/dicom; transfer-syntax=*")
    assert code == 200
    assert body.endswith(dataset(study, 0, number, size_bytes=size_bytes))


async def c_store(
    association: PeerAssociation, study: int, number: int, pieces: Iterator[bytes]
) -> int:
    command = message.store_request(
        number + 1, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid=uids(study, 0, number)[2]
    )
    answer = await association.ask(1, command, pieces)
    return answer.number("Status")


# --- SIGTERM


def tell_to_end(node: NodeProcess) -> None:
    """Send SIGTERM and return when the node takes no new connections."""
    node.process.send_signal(signal.SIGTERM)
    deadline_s = time.monotonic() + WAIT_S
    for address in (node.reached.dimse, node.reached.http):
        while True:
            assert time.monotonic() < deadline_s
            try:
                socket.create_connection(address, timeout=WAIT_S).close()
            except OSError:
                break
            time.sleep(0.01)


def test_sigterm_in_the_middle_of_a_c_store_finishes_it_and_no_other(tmp_path):
    settings = made(tmp_path / "data", seal__quiet_s="3600")
    node = NodeProcess(settings)

    async def send() -> None:
        where = {"calling": "SENDER", "called": "FILEROOM", "contexts": CONTEXTS}
        async with (
            associate(*node.reached.dimse, **where, timeout_s=WAIT_S) as idle,
            associate(*node.reached.dimse, **where, timeout_s=WAIT_S) as sender,
        ):
            first = iter([dataset(1, 0, 0, size_bytes=LARGE_BYTES)])
            assert await c_store(sender, 1, 0, first) == 0
            assert await c_store(sender, 1, 1, interrupted()) == 0
            for association in (idle, sender):
                with pytest.raises(BrokenOffError):
                    await c_store(association, 1, 2, iter([dataset(1, 0, 2)]))

    def interrupted() -> Iterator[bytes]:
        data = dataset(1, 0, 1, size_bytes=LARGE_BYTES)
        yield data[: LARGE_BYTES // 2]
        tell_to_end(node)
        yield data[LARGE_BYTES // 2 :]

    asyncio.run(send())
    assert node.wait() == 0
    node = NodeProcess(settings)
    assert node.reached.status()["states"]["RECEIVED"]["instances"] == 2
    for number in (0, 1):
        assert_served(node.reached, 1, number, LARGE_BYTES)
    assert node.terminate() == 0


def test_sigterm_in_the_middle_of_a_stow_request_finishes_it(tmp_path):
    settings = made(tmp_path / "data", seal__quiet_s="3600")
    node = NodeProcess(settings)
    file = part10(1, 0, 0, size_bytes=LARGE_BYTES)
    link = http.client.HTTPConnection(*node.reached.http, timeout=WAIT_S)
    silent = socket.create_connection(node.reached.http, timeout=WAIT_S)
    link.putrequest("POST", "/dicomweb/studies")
    for name, text in {**DICOM, "Content-Length": str(len(file))}.items():
        link.putheader(name, text)
    link.endheaders(file[: LARGE_BYTES // 2])
    tell_to_end(node)
    link.send(file[LARGE_BYTES // 2 :])
    answer = link.getresponse()
    assert answer.status == 200, answer.read()
    assert len(json.loads(answer.read())["00081199"]["Value"]) == 1
    link.close()
    assert node.wait() == 0
    silent.close()
    node = NodeProcess(settings)
    assert_served(node.reached, 1, 0, LARGE_BYTES)
    assert node.terminate() == 0


def test_sigterm_in_the_middle_of_a_download_finishes_it(tmp_path):
    node = NodeProcess(made(tmp_path / "data", seal__quiet_s="3600"))
    file = part10(1, 0, 0, size_bytes=3 * LARGE_BYTES)
    assert node.reached.request("POST", "/dicomweb/studies", DICOM, file)[0] == 200
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        link.settimeout(WAIT_S)
        link.connect(node.reached.http)
        link.sendall(
            f"GET /dicomweb{path_of(1, 0)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Accept: application/dicom\r\nConnection: close\r\n\r\n".encode()
        )
        received = bytearray(link.recv(1 << 16))
        tell_to_end(node)
        while data := link.recv(1 << 20):
            received += data
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(dataset(1, 0, 0, size_bytes=3 * LARGE_BYTES))
    assert node.wait() == 0


def test_sigterm_while_stages_run_loses_nothing_and_ends_at_once(tmp_path):
    settings = made(tmp_path / "data", seal__quiet_s="0")
    node = NodeProcess(settings)
    for number in range(20):
        file = part10(number % 4, 0, number, size_bytes=64 << 10)
        assert node.reached.request("POST", "/dicomweb/studies", DICOM, file)[0] == 200
    began_s = time.monotonic()
    assert node.terminate() == 0
    assert time.monotonic() - began_s < 10
    node = NodeProcess(settings)
    for number in range(20):
        assert_served(node.reached, number % 4, number, 64 << 10)
    node.reached.wait_committed(20)
    assert node.terminate() == 0


# --- behind a reverse proxy

PROXIED = {"http__prefix": "/images", "http__trusted_proxies": "127.0.0.1,10.0.0.0/8"}
VIEWER = {"X-Forwarded-Host": "pacs.example", "X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def proxied(tmp_path_factory) -> Iterator[Reached]:
    folder = tmp_path_factory.mktemp("proxied") / "data"
    with running(folder, in_process=True, **PROXIED) as reached:
        yield reached


def test_links_are_those_by_which_the_caller_came(proxied):
    fields = {**DICOM, **VIEWER, "Host": "internal:8642", "X-Forwarded-For": "127.0.0.1"}
    code, body, _ = proxied.request("POST", "/images/dicomweb/studies", fields, part10(1, 0, 0))
    assert code == 200, body
    (stored,) = json.loads(body)["00081199"]["Value"]
    public = f"https://pacs.example/images/dicomweb{path_of(1, 0)}"
    assert stored["00081190"]["Value"] == [public]
    for prefix in ("", "/images"):  # whether the proxy strips its prefix or not
        code, body, _ = proxied.request(
            "GET", f"{prefix}/dicomweb{path_of(1, 0)}/metadata", {**fields, "Accept": "*/*"}
        )
        assert code == 200
        assert json.loads(body)[0]["7FE00010"]["BulkDataURI"] == f"{public}/bulkdata/7FE00010"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("203.0.113.9", 403),
        ("127.0.0.1, 203.0.113.9", 403),  # what stands first, the caller may have made up
        ("203.0.113.9, 127.0.0.1", 403),
        ("203.0.113.9, 10.1.2.3", 403),
        ("::1, 2001:db8::7", 403),
        ("::ffff:203.0.113.9", 403),
        ("unknown", 403),
        ("127.0.0.1\t,", 403),
        ("::1", 200),
        ("127.0.0.1", 200),
        ("203.0.113.9, 127.0.0.2", 200),  # loopback, and no trusted proxy
    ],
)
def test_a_trusted_proxy_says_who_calls(forwarded, expected, proxied):
    code, _, _ = proxied.request(
        "GET", "/images/dicomweb/studies", {**VIEWER, "X-Forwarded-For": forwarded}
    )
    assert code == expected
    code, body, _ = proxied.request("GET", "/images/healthz", {"X-Forwarded-For": forwarded})
    assert (code, len(body) < 200) == (200, True)


def test_who_is_no_trusted_proxy_cannot_say_who_calls(tmp_path):
    with running(tmp_path / "data", in_process=True) as reached:
        fields = {"X-Forwarded-For": "203.0.113.9", **VIEWER}
        code, body, _ = reached.request("GET", "/dicomweb/studies", fields)
        assert code in (200, 204), body
        file = part10(1, 0, 0)
        code, body, _ = reached.request("POST", "/dicomweb/studies", DICOM | fields, file)
        assert json.loads(body)["00081190"]["Value"][0].startswith(f"{reached.web}/studies/")


def test_the_verbs_of_the_same_machine_work_beside_a_proxy(proxied):
    assert status_of(proxied.settings).site == "test-site"
    with node_of(proxied.settings) as client:
        assert client.status()["site"] == "test-site"
        assert client.series_of(uids(1, 0, 0)[0]) in ([], [uids(1, 0, 0)[1]])


# --- IPv6


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_both_doors_serve_ipv6(host, tmp_path):
    with running(tmp_path / "data", in_process=True, dimse__host=host, http__host=host) as reached:
        reached.http, reached.dimse = (("::1", port[1]) for port in (reached.http, reached.dimse))
        assert asyncio.run(echo(*reached.dimse, calling="SENDER", called="FILEROOM")).status == 0

        async def send() -> int:
            where = {"calling": "SENDER", "called": "FILEROOM", "contexts": CONTEXTS}
            async with associate(*reached.dimse, **where, timeout_s=WAIT_S) as association:
                return await c_store(association, 1, 0, iter([dataset(1, 0, 0)]))

        assert asyncio.run(send()) == 0
        code, body, _ = reached.request("POST", "/dicomweb/studies", DICOM, part10(1, 0, 1))
        assert code == 200, body
        (stored,) = json.loads(body)["00081199"]["Value"]
        base = f"http://[::1]:{reached.http[1]}/dicomweb"
        assert stored["00081190"]["Value"] == [f"{base}{path_of(1, 1)}"]
        for number in (0, 1):
            assert_served(reached, 1, number, 32 * 256)
        assert status_of(reached.settings).states["RECEIVED"].instances <= 2


# --- refusals at start, and below the reserve


def refused_start(data: Any) -> tuple[int, dict[str, Any]]:
    """The exit code of `fileroom serve` and what it says of itself."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fileroom.cli.main", "serve", "--json"),
            *("--data", str(data), "--http", "127.0.0.1:0", "--dimse", "127.0.0.1:0"),
        ],
        capture_output=True,
        timeout=WAIT_S,
        check=False,
        env={**os.environ, "FILEROOM_SITE_NAME": "test-site"},
    )
    return done.returncode, json.loads(done.stdout)


def test_a_second_node_on_a_data_folder_in_use_is_refused_and_the_first_goes_on(tmp_path):
    with running(tmp_path / "data", in_process=True) as reached:
        code, told = refused_start(reached.data)
        assert code == ExitCode.UNAVAILABLE
        assert str(os.getpid()) in told["error"]
        assert reached.request("POST", "/dicomweb/studies", DICOM, part10(1, 0, 0))[0] == 200


def test_a_data_folder_of_a_newer_format_is_refused_and_left_as_it_is(tmp_path):
    data = made(tmp_path / "data").data_directory
    mark = data / "fileroom.json"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "format": 99}))
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    code, told = refused_start(data)
    assert code == ExitCode.REFUSED
    assert "99" in told["error"]
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_below_the_reserve_both_doors_refuse_and_nothing_is_stored(tmp_path):
    data = tmp_path / "data"
    with running(data, in_process=True, spool__reserve_bytes=str(1 << 60)) as reached:

        async def send() -> list[int]:
            where = {"calling": "SENDER", "called": "FILEROOM", "contexts": CONTEXTS}
            async with associate(*reached.dimse, **where, timeout_s=WAIT_S) as association:
                return [
                    await c_store(association, 1, n, iter([dataset(1, 0, n)])) for n in range(3)
                ]

        assert asyncio.run(send()) == [0xA700] * 3
        code, body, _ = reached.request("POST", "/dicomweb/studies", DICOM, part10(1, 0, 0))
        assert code == 507
        assert "above the reserve" in json.loads(body)["reason"]  # which the body was not read for
        assert asyncio.run(echo(*reached.dimse, calling="SENDER", called="FILEROOM")).status == 0
        status = reached.status()
        assert sum(each["instances"] for each in status["states"].values()) == 0
        assert reached.get("/studies")[0] in (200, 204)
        assert reached.get(f"/studies/{uids(1, 0, 0)[0]}")[0] == 404
        assert not any(each.stat().st_size for each in (data / "spool").glob("*.seg"))
    with running(data, in_process=True) as reached:
        assert reached.request("POST", "/dicomweb/studies", DICOM, part10(1, 0, 0))[0] == 200
        reached.wait_committed(1)

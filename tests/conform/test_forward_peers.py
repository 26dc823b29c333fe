"""A whole node forwards to programs of others: DCMTK, pynetdicom, Orthanc by DIMSE and by DICOMweb;
and to destinations that hang, refuse, die in the middle, or were away when it was killed."""

import http.server
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage

from conform.test_audit_node import told
from conform.test_node_peers import PLUGIN, Orthanc, until_it_answers
from fileroom.cli.connection import LocalNode
from fileroom.cli.main import main
from fileroom.node.config import PeerSettings, Settings
from fileroom.node.settings import ForwardSettings, WebPeerSettings
from instances import dataset, part10, uids
from nodes import WAIT_S, NodeProcess, Reached, made
from peers import free_port, program

PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
STUDY = uids(1, 1, 1)[0]
KEYS = [(1, 1, 1), (1, 1, 2), (1, 2, 1)]


def until(holds: Callable[[], Any], *, what: str) -> Any:
    """What `holds` gives once it gives something."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        if found := holds():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {WAIT_S:.0f} s: {what}")


def settings_with(folder: Path, **tables: dict[str, Any]) -> Settings:
    """Settings of a node with these tables, that forwards everything to each peer in them."""
    known = {**tables.get("peers", {}), **tables.get("webpeers", {})}
    rules = {f"all-to-{name}": ForwardSettings(to=name) for name in known}
    return msgspec.structs.replace(made(folder / "data"), **{"forward": rules, **tables})


@contextmanager
def node_with(folder: Path, **tables: dict[str, Any]) -> Iterator[Reached]:
    settings = settings_with(folder, **tables)
    with LocalNode(settings, in_process=True) as node:
        yield Reached(settings, node.addresses.http, node.addresses.dimse)


def peer(port: int, ae_title: str = "PACS") -> PeerSettings:
    return PeerSettings(ae_title=ae_title, host="127.0.0.1", port=port)


def store(node: Reached, *keys: tuple[int, int, int]) -> None:
    for key in keys:
        headers = {"Content-Type": "application/dicom"}
        code, answer, _ = node.request("POST", "/dicomweb/studies", headers, part10(*key))
        assert code == 200, answer


def forwards(node: Reached, query: str = "") -> list[dict[str, Any]]:
    code, body, _ = node.request("GET", f"/forwards{query}", {})
    assert code == 200, body
    return json.loads(body)["studies"]


def post(node: Reached, path: str, document: Any) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    code, body, _ = node.request("POST", path, headers, json.dumps(document).encode())
    return code, json.loads(body or b"null")


def forwarded(node: Reached, to: str, count: int) -> dict[str, Any]:
    """The study at a destination, once `count` instances of it are there and none waits."""

    def done() -> dict[str, Any] | None:
        for each in forwards(node, f"?study={STUDY}"):
            if (each["destination"], each["out"], each["waiting"]) == (to, count, 0):
                return each
        return None

    return until(done, what=f"{count} instances at {to}")


# --- DCMTK


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[tuple[int, Path]]:
    tool, port, out = program("storescp", package="dcmtk"), free_port(), folder / "storescp"
    out.mkdir(exist_ok=True)
    command = [tool, "-aet", "PACS", "+B", "-uf", "-od", str(out), *options, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port, out
    finally:
        process.terminate()
        process.wait()


def test_storescp_gets_every_image_bit_for_bit_and_in_is_out(tmp_path, capsys):
    with storescp(tmp_path) as (port, out), node_with(tmp_path, peers={"pacs": peer(port)}) as node:
        store(node, *KEYS)
        study = forwarded(node, "pacs", 3)
        assert (study["in"], study["out"], study["refused"]) == (3, 3, 0)
        got = {each.read_bytes()[-32 * 256 :] for each in out.iterdir()}
        assert got == {dataset(*key)[-32 * 256 :] for key in KEYS}
        store(node, KEYS[0])
        node.wait_committed(3)
        assert main(["forward", "list", "--study", STUDY, "--data", str(node.data)]) == 0
        assert "3 of 3 there" in capsys.readouterr().out
    opened = [o for o in told(node.data, "access.opened") if o["principal_kind"] == "rule"]
    assert [(o["principal"], o["destination"]) for o in opened] == [("all-to-pacs", "PACS")]
    assert sum(each["stored"] for each in told(node.data, "forwarded")) == 3


# --- pynetdicom


@dataclass
class Pacs:
    """A C-STORE SCP that does as it is told.

    Attributes:
        statuses: what it answers to a SOP Instance UID; success by default.
        got: UIDs in the order in which it stored them.
        aborts_at: it breaks off when it gets this one.
    """

    statuses: dict[str, int] = field(default_factory=dict)
    got: list[str] = field(default_factory=list)
    aborts_at: str = ""

    def stored(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid == self.aborts_at:
            event.assoc.abort()
            return 0xC000
        status = self.statuses.get(uid, 0)
        if status == 0 or status & 0xF000 == 0xB000:
            self.got.append(uid)
        return status

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        ae = AE("PACS")
        ae.add_supported_context(CTImageStorage, PLAIN)
        server = ae.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.stored)]
        )
        try:
            yield
        finally:
            server.shutdown()


def test_what_is_refused_is_listed_and_sent_again_by_hand(tmp_path, capsys):
    pacs, port = Pacs(), free_port()
    refused, warned, stored = (uids(*key)[2] for key in KEYS)
    pacs.statuses = {refused: 0xA900, warned: 0xB000}
    with pacs.listening(port), node_with(tmp_path, peers={"pacs": peer(port)}) as node:
        store(node, *KEYS)
        study = forwarded(node, "pacs", 2)
        assert (study["in"], study["warned"], study["refused"]) == (3, 1, 1)
        assert list(study["reasons"].values()) == [1]
        assert "A900H" in next(iter(study["reasons"]))
        assert any("refused 1 instances" in each for each in node.status()["warnings"])
        assert main(["forward", "list", "--study", STUDY, "--data", str(node.data)]) == 0
        assert f"pacs refused {refused}: it answered A900H" in capsys.readouterr().out
        pacs.statuses.clear()
        assert main(["forward", "retry", "pacs", "--data", str(node.data)]) == 0
        assert "1 refused" in capsys.readouterr().out
        forwarded(node, "pacs", 3)
        assert sorted(pacs.got) == sorted([refused, warned, stored])
        again = ["--study", STUDY, "--everything", "--data", str(node.data)]
        assert main(["forward", "retry", "pacs", *again]) == 0
        forwarded(node, "pacs", 6)
        assert sorted(pacs.got) == sorted([refused, warned, stored] * 2)
        assert post(node, "/forwards/pacs/retry", {"everything": True})[0] == 400


def test_a_destination_that_breaks_off_or_is_full_gets_all_in_the_end(tmp_path):
    pacs, port = Pacs(), free_port()
    first, second, _ = (uids(*key)[2] for key in KEYS)
    pacs.aborts_at, pacs.statuses = first, {second: 0xA700}
    with pacs.listening(port), node_with(tmp_path, peers={"pacs": peer(port)}) as node:
        store(node, *KEYS)
        until(lambda: node.status()["forwards"]["pacs"]["last_error"], what="an error")
        assert node.status()["forwards"]["pacs"]["waiting"] > 0
        pacs.aborts_at, pacs.statuses = "", {}
        assert post(node, "/forwards/pacs/retry", {})[0] == 200
        forwarded(node, "pacs", 3)
        assert set(pacs.got) == {uids(*key)[2] for key in KEYS}


def test_destinations_that_hang_or_are_away_hold_up_no_other(tmp_path):
    pacs, port = Pacs(), free_port()
    with socket.socket() as hangs:
        hangs.bind(("127.0.0.1", 0))
        hangs.listen()  # and never says a word
        peers = {
            "hangs": peer(hangs.getsockname()[1]),
            "away": peer(free_port()),
            "pacs": peer(port),
        }
        with pacs.listening(port), node_with(tmp_path, peers=peers) as node:
            store(node, *KEYS)
            forwarded(node, "pacs", 3)
            status = until(
                lambda: (s := node.status())["forwards"]["away"]["last_error"] and s,
                what="the one that is away is told of",
            )["forwards"]
            assert (status["hangs"]["waiting"], status["away"]["waiting"]) == (3, 3)
            assert status["away"]["oldest_s"] is not None
            assert status["pacs"]["waiting"] == 0


def test_a_paused_destination_gets_nothing_until_it_is_resumed(tmp_path):
    pacs, port = Pacs(), free_port()
    with pacs.listening(port), node_with(tmp_path, peers={"pacs": peer(port)}) as node:
        assert main(["forward", "pause", "pacs", "--data", str(node.data)]) == 0
        store(node, *KEYS)
        node.wait_committed(3)
        status = until(
            lambda: (f := node.status()["forwards"]["pacs"])["waiting"] == 3 and f, what="it waits"
        )
        assert (status["paused"], pacs.got) == (True, [])
        assert main(["forward", "resume", "pacs", "--data", str(node.data)]) == 0
        forwarded(node, "pacs", 3)
        assert post(node, "/forwards/nobody/pause", {})[0] == 404
    assert [each["paused"] for each in told(node.data, "forward.paused")] == [True, False]


def test_what_waited_when_the_node_was_killed_goes_after_the_next_start(tmp_path):
    pacs, port = Pacs(), free_port()
    settings = made(tmp_path / "data")
    known = {
        "FILEROOM_PEERS_PACS_AE_TITLE": "PACS",
        "FILEROOM_PEERS_PACS_HOST": "127.0.0.1",
        "FILEROOM_PEERS_PACS_PORT": str(port),
        "FILEROOM_FORWARD_ALL_TO": "pacs",
    }
    node = NodeProcess(settings, **known)
    store(node.reached, *KEYS)
    until(
        lambda: node.reached.status()["forwards"]["pacs"]["waiting"] == len(KEYS),
        what="all wait for the one that is away",
    )
    node.kill()
    with pacs.listening(port):
        node = NodeProcess(settings, **known)
        forwarded(node.reached, "pacs", 3)
        assert node.terminate() == 0
    assert sorted(pacs.got) == sorted(uids(*key)[2] for key in KEYS)


def test_a_catalog_that_is_made_anew_sends_nothing_again(tmp_path):
    pacs, port = Pacs(), free_port()
    pacs.statuses = {uids(*KEYS[1])[2]: 0xA900}
    peers = {"pacs": peer(port)}
    with pacs.listening(port):
        with node_with(tmp_path, peers=peers) as node:
            store(node, *KEYS)
            before = forwarded(node, "pacs", 2)
            node.wait_committed(3)
        for each in node.data.glob("catalog.db*"):
            each.unlink()
        with node_with(tmp_path, peers=peers) as node:
            after = forwarded(node, "pacs", 2)
            assert after == before
            store(node, (1, 3, 1))
            forwarded(node, "pacs", 3)
        assert pacs.got == [*pacs.got[:2], uids(1, 3, 1)[2]]


# --- Orthanc


@contextmanager
def orthanc(folder: Path, dicom_port: int, **more: Any) -> Iterator[Orthanc]:
    """Orthanc with a DICOM door and its DICOMweb plugin."""
    tool, port, home = program("Orthanc", package="orthanc"), free_port(), folder / "orthanc"
    home.mkdir()
    settings = {
        "Name": "peer",
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "index"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": True,
        "DicomPort": dicom_port,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": True,
        "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
        **more,
    }
    (home / "orthanc.json").write_text(json.dumps(settings))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [tool, str(home / "orthanc.json")],
            stdout=log,
            stderr=log,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
    started = Orthanc(f"http://127.0.0.1:{port}", home)
    try:
        if "RegisteredUsers" not in more:
            until_it_answers(process, started)
        yield started
    finally:
        process.terminate()
        process.wait()


def held_by(started: Orthanc) -> dict[str, bytes]:
    """SOP Instance UIDs, and the ends of the files, of all that Orthanc has."""
    found = {}
    for each in started.json("GET", "/instances"):
        uid = started.json("GET", f"/instances/{each}")["MainDicomTags"]["SOPInstanceUID"]
        found[uid] = started.ask("GET", f"/instances/{each}/file")[-32 * 256 :]
    return found


@pytest.mark.parametrize("way", ["dimse", "web"])
def test_orthanc_has_what_was_sent_to_the_node(way, tmp_path):
    if way == "web" and not PLUGIN.exists():
        pytest.skip("peer missing: Orthanc's DICOMweb plugin (Debian package orthanc-dicomweb)")
    dicom_port = free_port()
    with orthanc(tmp_path, dicom_port) as started:
        tables: dict[str, Any] = {"peers": {"orthanc": peer(dicom_port, "ORTHANC")}}
        if way == "web":
            tables = {"webpeers": {"orthanc": WebPeerSettings(url=f"{started.url}/dicom-web")}}
        with node_with(tmp_path, **tables) as node:
            store(node, *KEYS)
            study = forwarded(node, "orthanc", 3)
            assert (study["in"], study["refused"]) == (3, 0)
            expected = {uids(*key)[2]: dataset(*key)[-32 * 256 :] for key in KEYS}
            assert held_by(started) == expected


# --- STOW-RS


@dataclass
class WebPacs:
    """An origin server that answers as it is told.

    Attributes:
        answers: HTTP status and body for each request, in order; the last one for all later ones.
        asked: the Authorization field of each request.
    """

    answers: list[tuple[int, Any]]
    asked: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[str]:
        pacs = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                assert self.path == "/dicom-web/studies"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                pacs.asked.append(self.headers["Authorization"])
                pacs.bodies.append(body)
                status, answer = pacs.answers[min(len(pacs.bodies), len(pacs.answers)) - 1]
                sent = json.dumps(answer).encode() if answer is not None else b""
                self.send_response(status)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: Any) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/dicom-web/"
            finally:
                server.shutdown()
                thread.join()


def said(uid: str, sequence: str, reason: tuple[str, int] | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
    if reason is not None:
        item[reason[0]] = {"vr": "US", "Value": [reason[1]]}
    return {sequence: {"vr": "SQ", "Value": [item]}}


def test_an_answer_of_stow_counts_by_what_it_says_of_the_instance(tmp_path):
    key = KEYS[0]
    uid = uids(*key)[2]
    token = tmp_path / "token"
    token.write_text("Bearer not-in-any-log\n")
    pacs = WebPacs(
        [
            (503, None),
            (200, said("1.2.3", "00081199")),
            (202, said(uid, "00081198", ("00081197", 0xA700))),
            (409, said(uid, "00081198", ("00081197", 0xC000))),
            (202, said(uid, "00081199", ("00081196", 0xB000))),
        ]
    )
    with pacs.listening() as url:
        web = {"ai": WebPeerSettings(url=url, authorization_file=str(token))}
        with node_with(tmp_path, webpeers=web) as node:
            store(node, key)
            for expected in ("503", "without a word", "A700H"):
                until(
                    lambda text=expected: text in node.status()["forwards"]["ai"]["last_error"],
                    what=f"it is told that the answer was {expected}",
                )
                assert post(node, "/forwards/ai/retry", {})[0] == 200
            study = forwarded(node, "ai", 0)
            assert (study["in"], study["refused"]) == (1, 1)
            assert "C000H" in next(iter(study["reasons"]))
            assert post(node, "/forwards/ai/retry", {"study": STUDY}) == (
                200,
                {"destination": "ai", "instances": 1},
            )
            study = forwarded(node, "ai", 1)
            assert (study["in"], study["warned"]) == (1, 1)
            assert b"not-in-any-log" not in json.dumps(node.status()).encode()
    assert set(pacs.asked) == {"Bearer not-in-any-log"}
    assert all(dataset(*key) in each for each in pacs.bodies)

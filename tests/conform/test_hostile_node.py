"""Hostile input at both doors of a whole node: typed refusals, nothing kept by halves, service
goes on.

Whatever is taken in all the same is served bit for bit before and after it is sealed. The lists
of attacks are in tests/hostile.py; the larger corpus adds its hostile files where it is there.
"""

import asyncio
import itertools
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from corpus import CorpusFile, dicom_files
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import Part10Splitter
from fileroom.dicom.preamble import is_tiff
from fileroom.disk import Disk
from fileroom.keys.keyfile import KeyFile
from fileroom.keys.keyring import Keyring
from fileroom.node import serving
from fileroom.node.doors import Doors
from fileroom.node.node import Node
from fileroom.pack.format import HEADER_SIZE_BYTES
from fileroom.pack.reader import PackReader
from fileroom.peer.association import BrokenOffError, BusyError, associate
from fileroom.wire import message
from fileroom.wire.sop_class import VERIFICATION
from hostile import ATTACKS, BAD_UIDS, IMPLICIT_LITTLE, STUDY, Hostile, element
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, part10, uids
from nodes import PASSPHRASE, NodeProcess, Reached, made, running

GOOD_STUDY = 1
KEPT = [each for each in ATTACKS if each.kept]
REFUSED_BY_C_STORE = {0x0110, 0x0117, 0x0122, 0xA900, 0xC000}
REFUSED_BY_STOW = {400, 409}
GIB = str(1 << 30)
ASSOCIATIONS_MAX = WAITING_MAX = 64  # the defaults of dimse.Limits
ASSOCIATION_BYTES = 1 << 20
SLACK_BYTES = 32 << 20
FILES_SLACK = 8
LARGE_BYTES = 1 << 20
FIRST_ROUND_BYTES_MAX = 300 << 20
GROWTH_BYTES_MAX = 32 << 20
DESCRIPTIONS_BYTES_MAX = 160 << 20
MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'
CORPUS = [each for each in dicom_files() if each.hostile]


@dataclass
class World:
    """A node, what it should hold, and a look into it."""

    reached: Reached
    inside: Node
    doors: Doors
    acknowledged: int = 0
    first: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # by path
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count())

    def c_store(self, data_set: bytes, **announced: str | bytes) -> int:
        status = asyncio.run(c_store(self.reached, data_set, **announced))
        self.acknowledged += status == 0
        return status

    def stow(self, file: bytes) -> tuple[int, bytes]:
        code, body = stow(self.reached, file)
        self.acknowledged += code == 200
        return code, body

    @property
    def connections(self) -> int:
        """How many the DICOM door has open."""
        return len(self.doors._dimse._connections)

    def assert_still_good(self) -> None:
        """Both doors store a good instance, which is served."""
        by_c_store, by_stow = next(self.numbers), next(self.numbers)
        uid = uids(GOOD_STUDY, 0, by_c_store)[2]
        assert self.c_store(dataset(GOOD_STUDY, 0, by_c_store), announced=uid) == 0
        assert self.stow(part10(GOOD_STUDY, 0, by_stow))[0] == 200
        for number in (by_c_store, by_stow):
            path = "/studies/{}/series/{}/instances/{}".format(*uids(GOOD_STUDY, 0, number))
            assert_served(self.reached, path, EXPLICIT_LITTLE, dataset(GOOD_STUDY, 0, number))
        self.assert_nothing_is_open()

    def assert_nothing_is_open(self) -> None:
        """No landing was forgotten: the spool counts none, the receiver none."""
        assert sum(each.landings for each in self.inside.parts.spool.segments()) == 0
        assert self.inside.receiver._open_receptions == 0

    def assert_holds_what_was_acknowledged(self) -> None:
        self.reached.status()  # which waits for rows that are on their way, and may be of before
        status = self.inside.status()
        assert status.states["RECEIVED"].instances == self.acknowledged


async def c_store(
    reached: Reached,
    data_set: bytes,
    *,
    announced: str | bytes,
    sop_class: str = CT_IMAGE_STORAGE,
    syntax: str = EXPLICIT_LITTLE,
) -> int:
    """Store over an association of its own and return the status. A C-ECHO behind it shows that
    the association goes on, whatever the instance was."""
    async with associate(
        *reached.dimse,
        calling="HOSTILE",
        called="FILEROOM",
        contexts=[(sop_class, (syntax,)), (VERIFICATION, (IMPLICIT_LITTLE,))],
        timeout_s=60,
    ) as association:
        uid = announced if isinstance(announced, bytes) else announced.encode("utf-8")
        command = message.store_request(
            1, sop_class_uid=sop_class, sop_instance_uid=uid.decode("latin-1")
        )
        answer = await association.ask(1, command, [data_set])
        echo = await association.ask(3, message.echo_request(2))
        assert echo.number("Status") == 0
        return answer.number("Status")


def stow(reached: Reached, file: bytes) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    code, body, _ = reached.request("POST", "/dicomweb/studies", headers, file)
    return code, body


def path_of(attack: Hostile) -> str:
    study, series, _ = uids(STUDY, 0, 0)
    return f"/studies/{study}/series/{series}/instances/{attack.uid}"


def assert_served(reached: Reached, path: str, syntax: str, data_set: bytes) -> None:
    """It is served whole, behind a preamble of zeros or a TIFF header, and can be described."""
    code, body, _ = reached.get(path, "application/dicom; transfer-syntax=*")
    assert code == 200, body[:300]
    start = Part10Splitter().feed(body)
    assert start is not None
    assert not any(start.preamble) or is_tiff(start.preamble)
    assert start.transfer_syntax_uid == syntax
    assert body[start.dataset_offset :] == data_set
    code, body, _ = reached.get(f"{path}/metadata", "application/dicom+json")
    assert code == 200, body[:300]
    (described,) = json.loads(body)
    assert f"/instances/{described['00080018']['Value'][0]}" in path
    code, body, _ = reached.get(f"{path}/frames/1")
    assert code in (200, 404), (code, body[:300])


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    found: list[Doors] = []
    with pytest.MonkeyPatch.context() as patch:

        class SeenDoors(Doors):
            def __init__(self, node: Node, **facts: Any) -> None:
                super().__init__(node, **facts)
                found.append(self)

        patch.setattr(serving, "Doors", SeenDoors)
        folder = tmp_path_factory.mktemp("hostile")
        waiting = {"seal__quiet_s": "3600", "seal__target_size_bytes": GIB}
        with running(folder / "data", in_process=True, **waiting) as reached:
            yield World(reached, found[0]._behind, found[0])


def by_name(each: Hostile | CorpusFile) -> str:
    return each.name if isinstance(each, Hostile) else each.path.name


@pytest.mark.parametrize("attack", ATTACKS, ids=by_name)
def test_an_attack_at_both_doors_is_refused_or_kept_whole(attack, world):
    if attack.whole is None:
        status = world.c_store(attack.data_set, **attack.says)
        if attack.kept and not attack.name.startswith("18 "):
            assert status == 0, hex(status)
        else:
            assert status in REFUSED_BY_C_STORE, hex(status)
        world.assert_nothing_is_open()
    code, body = world.stow(attack.file)
    if attack.kept:
        assert code == 200, body
        assert_served(world.reached, path_of(attack), attack.transfer_syntax, attack.data_set)
    else:
        assert code in REFUSED_BY_STOW, body
        assert world.reached.get(f"/studies/{uids(STUDY, 0, 0)[0]}/instances?limit=1")[0] < 500
    world.assert_still_good()
    world.assert_holds_what_was_acknowledged()


@pytest.mark.parametrize("bad", [each for each in BAD_UIDS if each], ids=repr)
def test_a_uid_that_is_none_finds_nothing_in_a_path_or_a_query(bad, world):
    quoted = quote(bad, safe="")
    for path in ("/studies/{}", "/studies/{}/metadata", "/studies/1.2/series/{}/instances/{}"):
        code, body, _ = world.reached.get(path.replace("{}", quoted))
        assert code in (400, 404), body
    for keyword in ("StudyInstanceUID", "SOPInstanceUID"):
        code, body, _ = world.reached.get(f"/instances?{keyword}={quoted}")
        assert code in (200, 204, 400), body
        assert body in (b"", b"[]") or code == 400
    code, body = world.reached.request(
        "POST", f"/dicomweb/studies/{quoted}", {"Content-Type": "application/dicom"}, b"x"
    )[:2]
    assert code in (400, 404), body


@pytest.mark.parametrize("each", CORPUS, ids=by_name)
def test_a_hostile_file_of_the_corpus_is_refused_or_kept_whole(each, world):
    """Nobody says of each what is right; but whatever is acknowledged comes back as it was sent,
    and both doors agree where the file can be sent by both."""
    file = each.path.read_bytes()
    splitter = Part10Splitter()
    try:
        start = splitter.feed(file) or splitter.finish()
    except InstanceError:
        start = None
    code, body = world.stow(file)
    assert code in REFUSED_BY_STOW | {200}, body
    if code == 200:
        assert start is not None
        (stored,) = json.loads(body)["00081199"]["Value"]
        path = stored["00081190"]["Value"][0].split("/dicomweb", 1)[1]
        sent = (start.transfer_syntax_uid, file[start.dataset_offset :])
        # Several files of the corpus share a UID; the first is what is served under it.
        assert_served(world.reached, path, *world.first.setdefault(path, sent))
    if start is not None and start.sop_class_uid and start.sop_instance_uid:
        status = world.c_store(
            file[start.dataset_offset :],
            sop_class=start.sop_class_uid,
            syntax=start.transfer_syntax_uid,
            announced=start.sop_instance_uid,
        )
        assert status in REFUSED_BY_C_STORE | {0}, hex(status)
        assert status != 0 or code == 200
    world.assert_still_good()
    world.assert_holds_what_was_acknowledged()


def test_what_is_kept_of_the_attacks_is_sealed_and_its_preambles_lie_apart(tmp_path):
    """In one request, so that they come into one pack: no data set may spoil it for others."""
    body = b"".join(
        b"--b\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % each.file for each in KEPT
    )
    headers = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
    with running(tmp_path / "data") as reached:
        code, answer, _ = reached.request("POST", "/dicomweb/studies", headers, body + b"--b--\r\n")
        assert code == 200, answer[:1000]
        reached.wait_committed(len(KEPT))
        assert reached.status()["warnings"] == ["one copy, same disk"]
        for each in KEPT:
            assert_served(reached, path_of(each), each.transfer_syntax, each.data_set)
    preambles = {each.uid: each.preamble for each in KEPT if any(each.preamble)}
    assert len(preambles) == 10
    found = dict(preambles_in_packs(tmp_path / "data"))
    assert {uid: value for uid, value in found.items() if value} == preambles


def preambles_in_packs(data: Path) -> Iterator[tuple[str, bytes]]:
    """What every pack of a data folder holds as preambles, by SOP Instance UID."""
    keyring = Keyring.open(data / "keyring", KeyFile(PASSPHRASE), disk=Disk())
    for path in (data / "bucket" / "packs").glob("*/*"):
        sealed = path.read_bytes()
        reader = PackReader(
            lambda start, end, sealed=sealed: sealed[start:end],
            key=keyring.study_key(bytes.fromhex(path.parent.name)),
            tink_header=sealed[:HEADER_SIZE_BYTES],
            size_bytes=len(sealed),
        )
        for each in reader.metadata().instances:
            yield each.sop_instance_uid, each.preamble


# --- class 17: associations that are none, or that mean harm


def item(item_type: int, value: bytes) -> bytes:
    return bytes([item_type, 0]) + len(value).to_bytes(2, "big") + value


def request(*contexts: bytes, calling: bytes = b"HOSTILE", called: bytes = b"FILEROOM") -> bytes:
    """An A-ASSOCIATE-RQ as PS3.8 §9.3.2 lays it out, of whatever items."""
    fixed = b"\0\1\0\0" + called.ljust(16)[:16] + calling.ljust(16)[:16] + bytes(32)
    user = item(0x51, (16384).to_bytes(4, "big")) + item(0x52, b"1.2.3")
    body = fixed + item(0x10, b"1.2.840.10008.3.1.1.1") + b"".join(contexts) + item(0x50, user)
    return b"\1\0" + len(body).to_bytes(4, "big") + body


def context(context_id: int, abstract: bytes = CT_IMAGE_STORAGE.encode()) -> bytes:
    syntaxes = item(0x30, abstract) + item(0x40, EXPLICIT_LITTLE.encode())
    return item(0x20, bytes([context_id, 0, 0, 0]) + syntaxes)


def value(data: bytes, *, command: bool = False, last: bool = True, context_id: int = 1) -> bytes:
    """A P-DATA-TF of one presentation data value."""
    control = command + 2 * last
    body = (len(data) + 2).to_bytes(4, "big") + bytes([context_id, control]) + data
    return b"\4\0" + len(body).to_bytes(4, "big") + body


def store_command(number: int) -> bytes:
    return message.store_request(
        1, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid=uids(STUDY, 17, number)[2]
    )


ONE = request(context(1))
COMMAND = value(store_command(1), command=True)
BODY = dataset(STUDY, 17, 1)
SENT = {  # bytes of one connection to what their answer begins with: the type of a PDU, or nothing
    "no contexts": (request(), 7),
    "128 contexts": (request(*map(context, range(1, 257, 2))), 2),
    "129 contexts": (request(*map(context, range(1, 257, 2)), context(1)), 7),
    "a context twice": (request(context(1), context(1)), 7),
    "an even context": (request(context(2)), 7),
    "a request of 4 GiB": (b"\1\0\xff\xff\xff\xff" + bytes(4096), 7),
    "a request of 2 MiB": (b"\1\0\0\x20\0\0" + bytes(4096), 7),
    "an unknown PDU": (b"\x2a\0\0\0\0\4abcd", 7),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 7),
    "TLS": (b"\x16\3\1\2\0\1\0\1\xfc\3\3" + bytes(500), 7),
    "data before a request": (COMMAND, 7),
    "nothing": (b"", None),
    "half a header": (b"\1\0\0", None),
    "half a request": (ONE[:100], None),
    "a request and no more": (ONE, 2),
    "a request and another": (ONE + ONE, 2),
    "data of 4 GiB": (ONE + b"\4\0\xff\xff\xff\xff" + bytes(4096), 2),
    "data without a value": (ONE + b"\4\0\0\0\0\0", 2),
    "a value longer than its PDU": (ONE + b"\4\0\0\0\0\6\xff\xff\xff\xff\1\3", 2),
    "a value of no length": (ONE + b"\4\0\0\0\0\6\0\0\0\1\1\3", 2),
    "a context that was not agreed": (ONE + value(b"x", command=True, context_id=9), 2),
    "a data set without a command": (ONE + value(BODY), 2),
    "a command of 1 MiB": (ONE + value(bytes(16384), command=True, last=False) * 64, 2),
    "a command that is none": (ONE + value(b"\xff" * 200, command=True), 2),
    "a response": (ONE + value(message.echo_request(1)[:-4] + b"\0\x80\1\1", command=True), 2),
    "a command inside a data set": (ONE + COMMAND + value(BODY[:99], last=False) + COMMAND, 2),
    "a release inside a data set": (
        ONE + COMMAND + value(BODY[:99], last=False) + b"\5\0\0\0\0\4\0\0\0\0",
        2,
    ),
    "an abort inside a data set": (
        ONE + COMMAND + value(BODY[:99], last=False) + b"\7\0\0\0\0\4\0\0\0\0",
        2,
    ),
    "an end inside a value": (ONE + COMMAND + value(BODY)[:1000], 2),
    "an end behind a command": (ONE + COMMAND, 2),
    "an end inside a large data set": (ONE + COMMAND + value(bytes(130_000), last=False) * 40, 2),
    "a data set that is never wanted": (
        ONE + value(message.echo_request(1), command=True) + value(BODY),
        2,
    ),
    "the same message twice at once": (
        ONE + COMMAND + value(BODY[:99], last=False) + COMMAND + value(BODY),
        2,
    ),
}
AE_TITLES = (
    b"",
    b" " * 16,
    b"../../x",
    b"/etc/passwd",
    b"A\r\nX-Evil: 1",
    b"A\0B",
    b"\x1b[31mRED",
    b"K\xc3\xb6ln",
    b"$(reboot)",
    b"A\\B",
    b"' OR 1=1 --",
    b"%s%n%x{0}",
)


def talk(reached: Reached, sent: bytes) -> bytes:
    """Send over one connection, say that no more comes, and return all that is answered."""
    with socket.create_connection(reached.dimse, timeout=20) as link:
        received = b""
        with suppress(ConnectionError):  # cut off, while we were at it
            link.sendall(sent)
            link.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while data := link.recv(1 << 16):
                received += data
        return received


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.mark.parametrize("name", SENT)
def test_a_hostile_connection_ends_and_leaves_nothing(name, world):
    sent, begins = SENT[name]
    received = talk(world.reached, sent)
    assert received[:1] == (b"" if begins is None else bytes([begins]))
    until(lambda: not world.connections)
    world.assert_still_good()
    world.assert_holds_what_was_acknowledged()


@pytest.mark.parametrize("calling", AE_TITLES, ids=repr)
def test_a_calling_ae_title_of_any_bytes_harms_nobody(calling, world, caplog):
    received = talk(world.reached, request(context(1), calling=calling))
    assert received[0] in (2, 3, 7)
    received = talk(world.reached, request(context(1), called=calling or b"?"))
    assert received[0] in (3, 7)
    until(lambda: not world.connections)
    assert not any(c in caplog.text for c in "\r\0\x1b")
    assert "Evil" not in caplog.text
    world.assert_still_good()
    assert world.reached.request("GET", "/status", {})[0] == 200
    assert world.reached.request("GET", "/metrics", {})[0] == 200


def test_an_instance_in_fragments_of_one_byte_is_stored_like_any_other(world):
    number = 2
    data = dataset(STUDY, 17, number, size_bytes=256)
    fragments = b"".join(value(data[n : n + 1], last=n + 1 == len(data)) for n in range(len(data)))
    command = store_command(number)
    commands = b"".join(
        value(command[n : n + 1], command=True, last=n + 1 == len(command))
        for n in range(len(command))
    )
    release = b"\5\0\0\0\0\4\0\0\0\0"
    with socket.create_connection(world.reached.dimse, timeout=20) as link:
        link.sendall(ONE + commands + fragments + release)
        received = b""
        while not received.endswith(b"\6" + release[1:]):
            received += link.recv(1 << 16)
    world.acknowledged += 1
    path = "/studies/{}/series/{}/instances/{}".format(*uids(STUDY, 17, number))
    assert_served(world.reached, path, EXPLICIT_LITTLE, data)
    world.assert_holds_what_was_acknowledged()


# --- many at once, and what it costs


def resident_bytes(process: subprocess.Popen[bytes]) -> int:
    """Physical memory of a process, without its children."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(each for each in lines if each.startswith("VmRSS:")).split()[1]) << 10


def open_files(process: subprocess.Popen[bytes]) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@contextmanager
def idle(reached: Reached, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    """Connections that say something and then nothing."""
    links = []
    try:
        for _ in range(count):
            link = socket.create_connection(reached.dimse, timeout=20)
            links.append(link)
            with suppress(ConnectionError):
                link.sendall(said)
        yield links
    finally:
        for link in links:
            link.close()


def good_one_is_served(reached: Reached, number: int) -> None:
    data, names = dataset(GOOD_STUDY, 2, number), uids(GOOD_STUDY, 2, number)
    assert asyncio.run(c_store(reached, data, announced=names[2])) == 0
    path = "/studies/{}/series/{}/instances/{}".format(*names)
    assert_served(reached, path, EXPLICIT_LITTLE, data)


def test_hundreds_of_idle_associations_take_their_slots_and_no_more(tmp_path):
    patience = {"FILEROOM_DIMSE_IDLE_TIMEOUT_S": "2.5", "FILEROOM_DIMSE_ARTIM_S": "2.5"}
    node = NodeProcess(made(tmp_path / "data", seal__quiet_s="3600"), **patience)
    reached = node.reached
    good_one_is_served(reached, 0)
    before_bytes, before_files = resident_bytes(node.process), open_files(node.process)
    started = ONE + COMMAND + value(BODY[:5000], last=False)
    with idle(reached, 200, started) as first:
        with pytest.raises((BusyError, BrokenOffError)):  # no slot is left for anyone
            asyncio.run(c_store(reached, BODY, announced=uids(STUDY, 17, 1)[2]))
        with idle(reached, 200, b"") as silent, idle(reached, 200, ONE[:70]) as half:
            grown_files = open_files(node.process) - before_files
            assert grown_files <= ASSOCIATIONS_MAX + WAITING_MAX + FILES_SLACK
            grown_bytes = resident_bytes(node.process) - before_bytes
            assert grown_bytes <= ASSOCIATIONS_MAX * ASSOCIATION_BYTES + SLACK_BYTES
            # None of them leaves of its own; it is the node's patience that ends.
            until(lambda: open_files(node.process) <= before_files + FILES_SLACK)
            good_one_is_served(reached, 1)
            assert len(first) == len(silent) == len(half) == 200
    good_one_is_served(reached, 2)
    assert reached.status()["states"]["RECEIVED"]["instances"] == 3
    assert node.terminate() == 0


def test_memory_stays_bounded_through_rounds_of_attacks(tmp_path):
    """The first round fills caches and pools; the others may add no more than a little."""
    node = NodeProcess(made(tmp_path / "data", seal__quiet_s="3600"))
    reached = node.reached
    used = []
    for number in range(2):
        for attack in ATTACKS:
            if number and len(attack.file) > LARGE_BYTES:
                continue
            if attack.whole is None:
                asyncio.run(c_store(reached, attack.data_set, **attack.says))
            stow(reached, attack.file)
            if attack.kept and number == 0:
                assert_served(reached, path_of(attack), attack.transfer_syntax, attack.data_set)
        for sent, _ in SENT.values():
            talk(reached, sent)
        good_one_is_served(reached, number)
        used.append(resident_bytes(node.process))
    assert used[0] <= FIRST_ROUND_BYTES_MAX, used
    assert used[-1] - used[0] <= GROWTH_BYTES_MAX, used
    assert node.terminate() == 0


def test_large_descriptions_are_not_all_held_in_memory(tmp_path):
    """Texts of 4 MB are part of an instance's metadata; reading many such must not add up."""
    node = NodeProcess(made(tmp_path / "data", seal__quiet_s="3600", seal__target_size_bytes=GIB))
    reached = node.reached
    good_one_is_served(reached, 0)
    before = resident_bytes(node.process)
    used = []
    for number in range(40):
        text = b"x" * (4 << 20)
        late = element(0x00420010, b"UT", text)
        data, names = dataset(GOOD_STUDY, 3, number), uids(GOOD_STUDY, 3, number)
        at = data.index(b"\xe0\x7f\x10\0OW")
        data = data[:at] + late + data[at:]
        assert asyncio.run(c_store(reached, data, announced=names[2])) == 0
        code, _, _ = reached.get("/studies/{}/series/{}/instances/{}/metadata".format(*names))
        assert code == 200
        used.append(resident_bytes(node.process) - before)
    assert used[-1] <= DESCRIPTIONS_BYTES_MAX, used
    assert node.terminate() == 0

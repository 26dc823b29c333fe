"""No plaintext at rest: nothing that a patient could be known by lies in any file of a node.

Two processes of the same node store, seal, evict, read back, are stopped and are killed; at each
of these moments every file below the data folder (spool, packs, cache, provider, ledger, catalog
with its WAL), the process's temporary folder and its log at the level debug are searched for
names, identifiers, UIDs and rows of pixels, as they are and in the usual codings.
"""

import asyncio
import base64
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fileroom.errors import FileroomError
from fileroom.peer.association import associate
from fileroom.peer.store import store_files
from fileroom.wire import message
from instances import (
    CT_IMAGE_STORAGE,
    EXPLICIT_LITTLE,
    PATIENT_ID,
    PATIENT_NAME,
    dataset,
    part10,
    pixels_of,
    uids,
)
from nodes import NodeProcess, Reached, made

BY_C_STORE, BY_STOW = 1, 2  # numbers of two studies
COUNT = 6  # instances of each
PIXEL_BYTES = 96 * 256
ROW_BYTES = 32  # of a row of pixels that is looked for
WORDS = (
    PATIENT_NAME,
    *PATIENT_NAME.split("^"),
    PATIENT_ID,
    "ACC77001",  # the accession number
    "19610412",  # the birth date
)
MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'


def needles(value: bytes) -> dict[str, bytes]:
    """Forms in which `value` could lie somewhere. Letters are small: so is what is searched."""
    text = value.decode("latin-1")
    return {
        "as it is": value.lower(),
        "UTF-16": text.encode("utf-16-le").lower(),
        "UTF-16 big endian": text.encode("utf-16-be").lower(),
        "hex": value.hex().encode(),
    }


def base64_needles(value: bytes) -> dict[str, bytes]:
    """What is in base64 whatever stands before and behind `value`; case counts there."""
    found = {}
    for before in range(3):
        coded = base64.b64encode(bytes(before) + value)
        first, end = -(-8 * before // 6), 8 * (before + len(value)) // 6
        sure = coded[first:end]  # characters that hold bits of `value` only
        found[f"base64 after {before} B"] = sure
        if set(sure) & set(b"+/"):
            found[f"base64url after {before} B"] = sure.translate(bytes.maketrans(b"+/", b"-_"))
    return found


@dataclass
class Searcher:
    """Looks for values in everything that a node has written."""

    small: list[tuple[str, bytes]] = field(default_factory=list)
    exact: list[tuple[str, bytes]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # must be in no name of a file either

    def want(self, what: str, value: bytes) -> None:
        for form, needle in needles(value).items():
            self.small.append((f"{what}, {form}", needle))
        for form, needle in base64_needles(value).items():
            self.exact.append((f"{what}, {form}", needle))

    def found_in(self, path: Path, relative: str) -> Iterator[str]:
        data = path.read_bytes().replace(bytes(4096), b"")  # room that was reserved ahead
        small = data.lower()
        for within, needles in ((small, self.small), (data, self.exact)):
            for what, needle in needles:
                if needle in within:
                    yield f"{relative}: {what}"
        for name in self.names:
            if name in relative.lower():
                yield f"{relative}: a UID in its name"

    def search(self, roots: Iterable[Path]) -> tuple[list[str], int]:
        """What was found where, and how many files were looked into."""
        found: list[str] = []
        count = 0
        for root in roots:
            paths = [root] if root.is_file() else sorted(root.rglob("*"))
            for path in paths:
                relative = path.relative_to(root.parent).as_posix()
                try:
                    if path.is_file():
                        count += 1
                        found += self.found_in(path, relative)
                except FileNotFoundError:
                    continue  # sealed, evicted or renamed while we look
        return found, count


def searcher() -> Searcher:
    made = Searcher()
    for word in WORDS:
        made.want(word, word.encode())
    for study in (BY_C_STORE, BY_STOW):
        for number in (0, COUNT // 2, COUNT - 1):
            pixels = pixels_of(study, 0, number, PIXEL_BYTES)
            for start in (0, PIXEL_BYTES - 256):
                made.want(f"pixels of {study}/{number}", pixels[start : start + ROW_BYTES])
        made.want("a UID", uids(study, 0, 0)[0].encode())
        for uid in uids(study, 0, 0):
            made.names += [uid, hashlib.sha256(uid.encode()).hexdigest()[:32]]
    return made


SEARCHER = searcher()


# --- the searcher finds what is there


def planted(how: str, value: bytes) -> bytes:
    match how:
        case "as it is":
            return value
        case "in capitals":
            return value.upper()
        case "UTF-16":
            return value.decode("latin-1").encode("utf-16-le")
        case "UTF-16 big endian":
            return value.decode("latin-1").encode("utf-16-be")
        case "hex":
            return value.hex().encode()
        case "hex in capitals":
            return value.hex().upper().encode()
        case _:
            offset = int(how[-1])
            return base64.b64encode(b"\xff" * offset + value + b"\xfe" * 7)


@pytest.mark.parametrize(
    "how",
    [
        *("as it is", "in capitals", "UTF-16", "UTF-16 big endian", "hex", "hex in capitals"),
        *("base64 0", "base64 1", "base64 2"),
    ],
)
def test_the_searcher_finds_a_planted_value(how, tmp_path):
    values = [PATIENT_NAME.encode(), PATIENT_ID.encode(), uids(BY_STOW, 0, 0)[2].encode()]
    if how != "in capitals":
        values.append(pixels_of(BY_C_STORE, 0, 3, PIXEL_BYTES)[:ROW_BYTES])
    for number, value in enumerate(values):
        folder = tmp_path / str(number) / "deep"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"\x80" * 1001 + planted(how, value) + b"\x80" * 77)
        found, count = SEARCHER.search([tmp_path / str(number)])
        assert found, (how, number)
        assert count == 1


def test_the_searcher_finds_names_of_files_and_rows_of_an_open_catalog(tmp_path):
    (tmp_path / f"{uids(BY_STOW, 0, 0)[0]}.dcm").touch()
    assert SEARCHER.search([tmp_path])[0]
    folder = tmp_path / "catalog"
    folder.mkdir()
    catalog = sqlite3.connect(folder / "catalog.db")
    catalog.execute("PRAGMA journal_mode=WAL")
    catalog.execute("CREATE TABLE patient (name)")
    catalog.execute("INSERT INTO patient VALUES (?)", [PATIENT_NAME])
    catalog.commit()
    found, _ = SEARCHER.search([folder])
    assert any("-wal" in each for each in found)
    catalog.close()


# --- the node


def sent(study: int, number: int) -> bytes:
    """The data set of an instance. In some of them the accession number stands where a date or a
    character set should; libraries like to complain of such values, and to repeat them."""
    data = dataset(study, 0, number, size_bytes=PIXEL_BYTES)
    match number % 3:
        case 1:
            return data.replace(b"20260115", b"ACC77001")
        case 2:
            return data.replace(b"ISO_IR 100", b"ACC77001  ")
    return data


def file_of(study: int, number: int) -> bytes:
    whole = part10(study, 0, number, size_bytes=PIXEL_BYTES)
    data = sent(study, number)
    return whole[: -len(data)] + data


def send_both_ways(reached: Reached, folder: Path) -> None:
    """Store one study by C-STORE and another by STOW-RS."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(COUNT):
        path = folder / f"{number}.dcm"
        path.write_bytes(file_of(BY_C_STORE, number))
        paths.append(path)
    asyncio.run(store_files(*reached.dimse, paths, calling="SENDER", called="FILEROOM"))
    body = b"".join(
        b"--b\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % file_of(BY_STOW, number)
        for number in range(COUNT)
    )
    headers = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
    assert reached.request("POST", "/dicomweb/studies", headers, body + b"--b--\r\n")[0] == 200


async def refused_by_c_store(reached: Reached) -> None:
    """Send what is refused, with names of patients where names of patients are."""
    whole = dataset(BY_C_STORE, 0, 0, size_bytes=PIXEL_BYTES)
    announced = uids(BY_C_STORE, 0, 9)[2]
    torn = whole[: whole.index(PATIENT_NAME.encode()) + 5]
    async with associate(
        *reached.dimse,
        calling="SENDER",
        called="FILEROOM",
        contexts=[(CT_IMAGE_STORAGE, (EXPLICIT_LITTLE,))],
        timeout_s=10,
    ) as association:
        (context,) = association.contexts.values()
        for uid, data in ((announced, whole), (announced, torn), (PATIENT_NAME, whole)):
            command = message.store_request(1, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid=uid)
            answer = await association.ask(context.context_id, command, [data])
            assert answer.number("Status") >= 0xA000 or answer.number("Status") == 0x0117


def ask_what_may_be_logged(reached: Reached) -> None:
    """Requests that hold names of patients in their query, path and body, good ones and bad."""
    asyncio.run(refused_by_c_store(reached))
    whole = part10(BY_STOW, 0, 0, size_bytes=PIXEL_BYTES)
    headers = {"Content-Type": "application/dicom"}
    for body in (whole[:-9], whole.replace(b"DICM", b"CIDM"), whole.replace(b"PN", b"P?")):
        reached.request("POST", f"/dicomweb/studies/{uids(BY_STOW, 0, 0)[1]}", headers, body)
    for number in range(COUNT):  # others under the same UIDs: both are read and compared
        other = file_of(BY_STOW, number).replace(b"CT HEAD", b"CT NECK")
        assert reached.request("POST", "/dicomweb/studies", headers, other)[0] == 200
    for path in (
        f"/studies?PatientName={PATIENT_NAME}&includefield=all",
        f"/studies?PatientID={PATIENT_ID}&PatientBirthDate=19610412",
        f"/studies?{PATIENT_ID}=1",
        f"/studies?limit={PATIENT_ID}",
        f"/studies/{PATIENT_ID}/metadata",
        f"/{PATIENT_ID}",
        "/studies?AccessionNumber=ACC77001",
        f"/instances?SOPInstanceUID={uids(BY_STOW, 0, 0)[2]}",
    ):
        reached.get(path, "application/dicom+json")


def read_everything(reached: Reached) -> None:
    for study in (BY_C_STORE, BY_STOW):
        code, body, _ = reached.get(
            f"/studies/{uids(study, 0, 0)[0]}",
            'multipart/related; type="application/dicom"; transfer-syntax=*',
        )
        assert code == 200
        for number in range(COUNT):
            assert sent(study, number) in body
        assert len(reached.json(f"/studies/{uids(study, 0, 0)[0]}/metadata")) == COUNT


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


class Watched:
    """A node whose every written byte is looked at.

    It runs as processes one after the other; their log and temporary folder go on.
    """

    def __init__(self, folder: Path, **keys: str) -> None:
        self.data, self.temporary = folder / "data", folder / "temporary"
        self.temporary.mkdir()
        self._keys = {"spool__segment_size_bytes": str(1 << 20), **keys}
        self.process: NodeProcess | None = None

    def start(self, *, quiet_s: str) -> Reached:
        settings = made(self.data, seal__quiet_s=quiet_s, **self._keys)
        self.process = NodeProcess(settings, TMPDIR=str(self.temporary), FILEROOM_LOG_LEVEL="debug")
        return self.process.reached

    def assert_silent(self, *patterns: str) -> None:
        """Nothing is found anywhere, and files of these patterns were there to be looked into."""
        assert self.process is not None
        for pattern in patterns:
            assert any(each.stat().st_size for each in self.data.glob(pattern)), pattern
        found, count = SEARCHER.search([self.data, self.temporary, self.process.log])
        assert found == []
        assert count > len(patterns)


def test_nothing_of_a_patient_lies_in_any_file_at_any_moment(tmp_path):
    watched = Watched(tmp_path, local__packs_size_bytes="0")
    reached = watched.start(quiet_s="3600")
    send_both_ways(reached, tmp_path / "sent")
    ask_what_may_be_logged(reached)
    read_everything(reached)
    assert reached.status()["states"]["RECEIVED"]["instances"] == 3 * COUNT
    watched.assert_silent("spool/*", "catalog.db-wal", "ledger/*/*")
    watched.process.kill()
    watched.assert_silent("spool/*", "catalog.db-wal", "ledger/*/*")

    reached = watched.start(quiet_s="0.1")
    assert reached.wait_committed()["conflicts"] == COUNT
    watched.assert_silent("bucket/packs/*/*", "bucket/ledger/**/*")
    until(lambda: reached.status()["local"]["size_bytes"] == 0)
    read_everything(reached)
    watched.assert_silent("bucket/packs/*/*", "cache/*/*", "catalog.db")
    watched.process.kill()
    watched.assert_silent("bucket/packs/*/*", "cache/*/*", "catalog.db")

    reached = watched.start(quiet_s="0.1")
    read_everything(reached)
    assert watched.process.terminate() == 0
    watched.assert_silent("bucket/packs/*/*", "cache/*/*", "catalog.db")


def test_nothing_of_a_patient_lies_in_packs_that_stay_local_nor_after_a_kill_while_sealing(
    tmp_path,
):
    watched = Watched(tmp_path)
    reached = watched.start(quiet_s="0.1")
    send_both_ways(reached, tmp_path / "sent")
    until(lambda: any((watched.data / "packs").rglob("*")))
    watched.assert_silent("spool/*")
    watched.process.kill()
    watched.assert_silent("spool/*")
    watched.start(quiet_s="0.1").wait_committed(2 * COUNT)
    with pytest.raises(FileroomError):  # the connection ends with the node
        asyncio.run(killed_while_it_receives(watched.process))
    watched.assert_silent("packs/*/*", "spool/*")


async def killed_while_it_receives(process: NodeProcess) -> None:
    """kill -9 in the middle of a data set, of which some frames were written."""
    data = dataset(BY_C_STORE, 0, 7, size_bytes=4 << 20)

    def pieces() -> Iterator[bytes]:
        yield data[: 3 << 20]
        time.sleep(0.3)  # long enough for the writer to have written what came
        process.kill()
        yield data[3 << 20 :]

    async with associate(
        *process.reached.dimse,
        calling="SENDER",
        called="FILEROOM",
        contexts=[(CT_IMAGE_STORAGE, (EXPLICIT_LITTLE,))],
        timeout_s=10,
    ) as association:
        (context,) = association.contexts.values()
        command = message.store_request(
            1, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid=uids(BY_C_STORE, 0, 7)[2]
        )
        await association.ask(context.context_id, command, pieces())

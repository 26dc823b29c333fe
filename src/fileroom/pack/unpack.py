"""Opens a Fileroom pack and writes its DICOM files. Needs this one file, Python, `cryptography`.

    python unpack.py PACK --key KEY -o DIR
    python unpack.py PACK --keyring DIR --passphrase-file FILE -o DIR
    python unpack.py PACK --keyring DIR --recovery-key KEY -o DIR

PACK is an object of a bucket's `packs/`, DIR in --keyring a copy of its `keyring/` (its `site/`
folder and the folder of the pack's study key suffice). KEY is 64 hexadecimal digits or a file that
holds them; a file does not show in the list of processes. Written from docs/format/pack.md and
docs/format/keyring.md of version 1, without any other code of Fileroom.

Exit code: 0 all files written and checked, 2 wrong arguments, 4 refused (a wrong key, a file is
there already), 6 a file or the disk refused, 7 the pack or a key object is damaged.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import hashlib
import io
import json
import os
import re
import sys
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HEADER, SEGMENT, TAG = 40, 65_536, 16
PLAIN = SEGMENT - TAG
METADATA_MAX = 256 << 20
ITERATIONS_MAX = 10_000_000
NOT_V1 = "is not what version 1 of the format says"


class Refused(Exception):
    """The pack is not opened. The message says why."""

    exit_code = 4


class Damaged(Refused):
    """Pack or key object are not the bytes that were stored."""

    exit_code = 7


# The pack: docs/format/pack.md.


class Plaintext(io.RawIOBase):
    """The ZIP inside a pack as a file that can be read anywhere; each segment is checked.

    `whole`: the pack's digest is its name, so that what does not open is the key's fault.
    """

    def __init__(self, path: Path, study_key: bytes, *, whole: bool) -> None:
        self._whole = whole
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._count = max(1, -(-self._size // SEGMENT))
        self._length = self._size - HEADER - TAG * self._count
        header = self._file.read(HEADER)
        if len(header) != HEADER or header[0] != HEADER or self._length <= 0:
            raise Damaged("this is not a pack: header or size are impossible")
        hkdf = HKDF(SHA256(), length=32, salt=header[1:33], info=b"fileroom-pack-v1")
        self._aes, self._prefix = AESGCM(hkdf.derive(study_key)), header[33:]
        self._position = 0
        self._opened: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = max(0, offset + (0, self._position, self._length)[whence])
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._length:
            return 0
        index, within = divmod(self._position + HEADER, PLAIN)
        data = self._segment(index)[within - (HEADER if index == 0 else 0) :][: len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _segment(self, index: int) -> bytes:
        if self._opened[0] != index:
            start = index * SEGMENT or HEADER
            self._file.seek(start)
            sealed = self._file.read((index + 1) * SEGMENT - start)
            last = index == self._count - 1
            nonce = self._prefix + index.to_bytes(4, "big") + bytes([last])
            try:
                self._opened = index, self._aes.decrypt(nonce, sealed, None)
            except InvalidTag:
                if self._whole:
                    raise Refused("the pack is whole, and this is not its key") from None
                raise Damaged(
                    f"segment {index} does not open: changed or cut bytes, or another key"
                ) from None
        return self._opened[1]


def check_digest(pack: Path) -> str:
    """Compare the pack's SHA-256 with its name; return a note if the name is not a digest."""
    digest = hashlib.sha256()
    with pack.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if not re.fullmatch("[0-9a-f]{64}", pack.name):
        return f"the name is not a digest; SHA-256 of the pack is {digest.hexdigest()}"
    if digest.hexdigest() != pack.name:
        raise Damaged("SHA-256 of the pack is not its name: it is damaged or was renamed")
    return ""


def read_metadata(archive: zipfile.ZipFile) -> dict[str, Any]:
    """metadata.json, if it is of version 1 and not too large."""
    if archive.getinfo("metadata.json").file_size > METADATA_MAX:
        raise Damaged(f"metadata.json is over {METADATA_MAX} B")
    metadata = json.loads(archive.read("metadata.json"))
    if metadata["format"]["major"] != 1:
        raise Refused(f"format {metadata['format']['major']} is newer than this program")
    described = [instance["file"] for instance in metadata["instances"]]
    stored = [name for name in archive.namelist() if name.startswith("instances/")]
    safe = [f"instances/{number + 1:06d}.dcm" for number in range(len(described))]
    if not described == stored == safe:
        raise Damaged("the members are not those that metadata.json describes")
    return dict(metadata)


def write_instance(archive: zipfile.ZipFile, instance: dict[str, Any], folder: Path) -> None:
    """Write one DICOM file under its final name only once its data set's digest is right."""
    name = instance["file"].rpartition("/")[2]
    final, partial = folder / name, folder / f"{name}.part"
    if final.exists():
        raise Refused(f"{name} is there already")
    if archive.getinfo(instance["file"]).compress_type != zipfile.ZIP_STORED:
        raise Damaged(f"{name} is compressed")
    digest = hashlib.sha256()
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out, archive.open(instance["file"]) as member:
            out.write(member.read(int(instance["dataset_offset"])))
            while block := member.read(1 << 20):
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != instance["stored_sha256"]:
            raise Damaged(f"{name}: SHA-256 of the data set is wrong")
        partial.rename(final)
    except FileExistsError:
        raise Refused(f"{partial.name} is there already") from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def unpack(pack: Path, study_key: bytes, folder: Path) -> tuple[int, list[str]]:
    """Write all files of a pack into `folder`; return their number and what to tell the user."""
    note = check_digest(pack)
    notes = [note] if note else []
    with Plaintext(pack, study_key, whole=not note) as plain:
        try:
            archive = zipfile.ZipFile(io.BufferedReader(plain, SEGMENT))
            metadata = read_metadata(archive)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for instance in metadata["instances"]:
                write_instance(archive, instance, folder)
                if instance.get("transform"):
                    notes.append(f"{instance['file']} was transformed and is as stored")
        except (zipfile.BadZipFile, EOFError) as error:
            raise Damaged(f"the ZIP inside is damaged: {error}") from None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Damaged(f"metadata.json {NOT_V1}: {type(error).__name__}") from None
    return len(metadata["instances"]), notes


# The keys: docs/format/keyring.md.


def unwrap(key: bytes, wrapped: bytes, *lines: str) -> bytes:
    """A key from its wrap. Raises InvalidTag if it was wrapped by another, or as another."""
    named = "\n".join(("fileroom-keyring-v1", *lines)).encode()
    return AESGCM(key).decrypt(wrapped[:12], wrapped[12:], named)


def generations(folder: Path) -> list[dict[str, Any]]:
    """The key objects of a folder whose digests are right, newest first."""
    found, damaged = [], False
    for path in folder.glob("*.json"):
        name = re.fullmatch(r"([1-9][0-9]{0,8})-([0-9a-f]{64})\.json", path.name)
        data = path.read_bytes() if name else b""
        if name and hashlib.sha256(data).hexdigest() == name[2]:
            found.append((int(name[1]), name[2], data))
        elif name:
            damaged = True
    objects = [json.loads(data) for _, _, data in sorted(found, reverse=True)]
    if any(each["format"]["major"] != 1 for each in objects):
        raise Refused("the keyring is newer than this program")
    if not objects:
        raise (Damaged if damaged else Refused)(f"{folder} holds no undamaged key object")
    return objects


def site_key(site: dict[str, Any], passphrase: str | None, recovery_key: bytes | None) -> bytes:
    """The site key, by the recovery key or by the passphrase."""
    try:
        if recovery_key:
            wrapped = base64.b64decode(site["wrapped_by_recovery_key"])
            return unwrap(recovery_key, wrapped, "site", site["site_key_id"], "recovery")
        blob = base64.b64decode(site["wrapped_by_port"])
        iterations = int.from_bytes(blob[1:5], "big")
        if site["port"] != "passphrase" or blob[0] != 1 or not 0 < iterations <= ITERATIONS_MAX:
            raise Refused(f"the site key {NOT_V1}, or no passphrase wraps it")
        text = unicodedata.normalize("NFC", passphrase or "").encode()
        derived = hashlib.pbkdf2_hmac("sha256", text, blob[5:21], iterations)
        return unwrap(derived, blob[21:], "site", site["site_key_id"], "port")
    except InvalidTag:
        raise Refused("this passphrase or recovery key does not open the site key") from None


def study_key(keyring: Path, study_key_id: str, opened_site_key: bytes) -> bytes:
    """The study key from its newest object that the site key opens."""
    for each in generations(keyring / study_key_id):
        try:
            lines = "study", study_key_id, str(each["generation"]), each["partition"]
            return unwrap(opened_site_key, base64.b64decode(each["wrapped"]), *lines)
        except InvalidTag:
            continue
    raise Refused("the site key does not open the study key")


def text_in(path: Path) -> str:
    """What a file says. Raises Refused where it is no text."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise Refused("the passphrase or key file is not UTF-8 text") from None


def key_from_text(text: str) -> bytes:
    """32 bytes from 64 hexadecimal digits, or from a file that holds them."""
    if not re.fullmatch("[0-9a-fA-F]{64}", text) and os.path.isfile(text):  # noqa: PTH113
        text = text_in(Path(text)).strip()
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise Refused("a key is 64 hexadecimal digits or a file that holds them")
    return bytes.fromhex(text)


def key_of(arguments: argparse.Namespace) -> bytes:
    """The study key, however the user gives it."""
    if arguments.key is not None:
        return key_from_text(arguments.key)
    key_id = arguments.study_key_id or arguments.pack.resolve().parent.name
    if not re.fullmatch("[0-9a-f]{32}", key_id):
        raise Refused("the pack does not lie in its study key's folder: give --study-key-id")
    passphrase, recovery_key = None, None
    if arguments.recovery_key is not None:
        recovery_key = key_from_text(arguments.recovery_key)
    elif arguments.passphrase_file:
        passphrase = text_in(arguments.passphrase_file).removesuffix("\n").removesuffix("\r")
    else:
        passphrase = getpass.getpass("Passphrase: ")
    try:
        site = generations(arguments.keyring / "site")[0]
        return study_key(arguments.keyring, key_id, site_key(site, passphrase, recovery_key))
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Damaged(f"a key object {NOT_V1}: {type(error).__name__}") from None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pack", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--key", help="the study key")
    source.add_argument("--keyring", type=Path, metavar="DIR")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--passphrase-file", type=Path, metavar="FILE", help="else it is asked for")
    secret.add_argument("--recovery-key", metavar="KEY")
    parser.add_argument("--study-key-id", help="else the name of the pack's folder")
    arguments = parser.parse_args(argv)
    try:
        count, notes = unpack(arguments.pack, key_of(arguments), arguments.output)
    except Refused as error:
        print(f"{type(error).__name__.lower()}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 6
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{count} DICOM files written and checked")
    return 0


if __name__ == "__main__":
    sys.exit(main())

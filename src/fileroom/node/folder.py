"""The data folder: what lies where, its format, and the first time it is made."""

import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

import fileroom
from fileroom.disk import Disk
from fileroom.errors import IntegrityError, RefusedError
from fileroom.keys.keyring import Keyring
from fileroom.keys.port import KeyEncryption

FORMAT = 1  # of the data folder as a whole; each store has a format of its own besides
MARK_NAME = "fileroom.json"
NODE_ID_BYTES = 4


class NewerFolderError(RefusedError):
    """A newer program has worked on the data folder; this one must not touch it."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What the data folder says about itself.

    Attributes:
        writer: the program that made it.
        providers: names of those that were made for it once, and are never made again.
    """

    format: int
    node_id: str
    writer: str
    providers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """Paths below a data folder."""

    root: Path

    @property
    def keyring(self) -> Path:
        return self.root / "keyring"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def packs(self) -> Path:
        return self.root / "packs"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.db"

    @property
    def viewer(self) -> Path:
        return self.root / "viewer"

    @property
    def mark(self) -> Path:
        return self.root / MARK_NAME


def make(root: Path, port: KeyEncryption, *, disk: Disk) -> bytes:
    """Make a data folder with a site key and return the recovery key, which is kept nowhere.

    The keyring gets its name last: a folder whose making was interrupted has none, and is made
    again with other keys, under which nothing was ever stored.

    Raises:
        RefusedError: it is a data folder already.
    """
    folder = Folder(root)
    if folder.keyring.exists():
        raise RefusedError("the folder is a data folder already")
    for path in (root, folder.spool, folder.packs, folder.ledger, folder.cache):
        disk.make_directory(path)
    if not folder.mark.exists():
        mark = Mark(
            format=FORMAT,
            node_id=secrets.token_hex(NODE_ID_BYTES),
            writer=f"fileroom {fileroom.__version__}",
        )
        write_mark(folder, mark, disk=disk)
    recovery_key = secrets.token_bytes(32)
    making = root / f"keyring.{secrets.token_hex(4)}.making"
    Keyring.create(making, port, disk=disk, recovery_key=recovery_key)
    # Commit point. A crash before it leaves a keyring that nobody looks for.
    disk.replace(making, folder.keyring)
    return recovery_key


def write_mark(folder: Folder, mark: Mark, *, disk: Disk) -> None:
    """Put a mark in the place of the one that is there, durably."""
    temporary = folder.root / f"{MARK_NAME}.new"
    disk.unlink(temporary)
    descriptor = disk.create(temporary)
    try:
        disk.write(descriptor, [msgspec.json.encode(mark) + b"\n"], 0)
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)
    disk.replace(temporary, folder.mark)


def read_mark(folder: Folder) -> Mark:
    """The mark of a data folder.

    Raises:
        RefusedError: it is no data folder.
        NewerFolderError: of a newer format.
        IntegrityError: the mark cannot be read.
    """
    try:
        data = folder.mark.read_bytes()
    except FileNotFoundError:
        raise RefusedError("this is no data folder: it has no mark") from None
    try:
        mark = msgspec.json.decode(data, type=Mark)
    except msgspec.MsgspecError:
        raise IntegrityError(f"the data folder's mark of {len(data)} B cannot be read") from None
    if mark.format > FORMAT:
        raise NewerFolderError(
            f"the data folder has format {mark.format}, this program knows up to {FORMAT}"
        )
    return mark

"""The key objects in a node's folder, which mirrors `keyring/` of a bucket."""

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from fileroom.disk import Disk
from fileroom.keys.objects import (
    OBJECT_SIZE_BYTES_MAX,
    PREFIX,
    SITE,
    KeyObject,
    ObjectName,
    SiteObject,
    decode,
    parse_name,
)
from fileroom.keys.port import DamagedKeyError, KeyMissingError

# One thread of the process writes at a time, so that what lies in `tmp/` before a write was left
# by a crash. That only one process writes is the data folder's lock.
_WRITING = Lock()


class KeyFolder:
    """Reads and writes objects by their names; what they hold is the keyring's business."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk

    def names(self, owner: str) -> list[ObjectName]:
        """The owner's objects, newest first."""
        try:
            files = os.listdir(self._directory / owner)  # noqa: PTH208 - names, not paths
        except FileNotFoundError:
            return []
        parsed = (parse_name(f"{PREFIX}{owner}/{file}") for file in files)
        return sorted((name for name in parsed if name), reverse=True)

    def study_key_ids(self) -> Iterator[bytes]:
        """Ids that have at least one object."""
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if entry.name != SITE and self.names(entry.name):
                    yield bytes.fromhex(entry.name)

    def objects(self, owner: str) -> list[tuple[str, bytes]]:
        """Names and bytes of the owner's objects, newest first, unchecked."""
        return [(str(name), self._read(str(name))) for name in self.names(owner)]

    def get(self, kind: type[KeyObject], name: ObjectName) -> KeyObject:
        """One object, checked. Raises as `objects.decode` does."""
        return decode(kind, name, self._read(str(name)))

    def newest_site(self) -> SiteObject:
        """The newest site object that is whole.

        Raises:
            KeyMissingError, DamagedKeyError: there is none, or none that is whole.
            NewerKeyringError: a later program wrote it.
        """
        names = self.names(SITE)
        if not names:
            raise KeyMissingError("there is no site object in the keyring")
        for name in names:
            try:
                return self.get(SiteObject, name)
            except DamagedKeyError:
                continue
        raise DamagedKeyError(f"none of {len(names)} site objects is whole")

    def put(self, name: str, data: bytes) -> None:
        """Write an object durably. `name` must be a key object's, with the digest of `data`."""
        final, temporary = self._path(name), self._directory / "tmp"
        with _WRITING:
            if final.exists() and self._read(name) == data:
                # It may be from a run that was killed before its name was durable.
                self._disk.sync_directory(final.parent)
                return
            self._disk.make_directory(temporary)
            self._disk.make_directory(final.parent)
            for left in temporary.iterdir():
                self._disk.unlink(left)
            new = temporary / "object"
            descriptor = self._disk.create(new)
            try:
                self._disk.write(descriptor, [data], 0)
                self._disk.sync(descriptor)
            finally:
                self._disk.close(descriptor)
            if final.exists():
                self._disk.replace(new, final)  # its bytes have rotted: they are not the name's
            else:
                self._disk.publish(new, final)

    def _read(self, name: str) -> bytes:
        with self._path(name).open("rb") as file:
            return file.read(OBJECT_SIZE_BYTES_MAX + 1)

    def _path(self, name: str) -> Path:
        return self._directory / name.removeprefix(PREFIX)

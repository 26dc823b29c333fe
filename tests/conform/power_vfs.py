"""A SQLite file system below the encryption that knows what a power cut would leave.

`apsw.Connection(path, vfs="multipleciphers-<name>")` puts the cipher above it, so what passes
here is what reaches the disk.
"""

import random
from pathlib import Path

import apsw


class PowerVfs(apsw.VFS):
    """Files of the machine, and beside them what of each is synced.

    Attributes:
        fail_sync, fail_write: raise the disk's error at the next such call, once.
        written: every byte string that was written.
    """

    def __init__(self, name: str) -> None:
        self.synced: dict[str, bytes] = {}
        self.unsynced: dict[str, list[tuple[int, bytes | None]]] = {}
        self.written: list[bytes] = []
        self.fail_sync = False
        self.fail_write = False
        super().__init__(name, base="unix")

    def xOpen(self, name, flags):
        return PowerFile(self, name, flags)

    def xDelete(self, filename, syncdir):
        self.synced.pop(filename, None)
        self.unsynced.pop(filename, None)
        super().xDelete(filename, syncdir)

    def cut(self, into: Path, seed: int) -> None:
        """Lay down what the disk may hold if the power goes now: everything synced, and of the
        later writes any, each whole or torn at a sector."""
        chosen = random.Random(seed)
        for name, later in self.unsynced.items():
            content = bytearray(self.synced.get(name, b""))
            for offset, data in later:
                if chosen.random() < 0.5:
                    continue
                if data is None:
                    del content[offset:]
                    continue
                if chosen.random() < 0.2:
                    data = data[: chosen.randrange(0, len(data) + 1, 512)]
                content.extend(bytes(max(0, offset + len(data) - len(content))))
                content[offset : offset + len(data)] = data
            (into / Path(name).name).write_bytes(content)


class PowerFile(apsw.VFSFile):
    def __init__(self, vfs: PowerVfs, name, flags) -> None:
        self.vfs = vfs
        self.name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        vfs.unsynced.setdefault(self.name, [])
        super().__init__("unix", name, flags)

    def xWrite(self, data, offset):
        if self.vfs.fail_write:
            self.vfs.fail_write = False
            raise apsw.FullError("no room")
        self.vfs.written.append(bytes(data))
        self.vfs.unsynced[self.name].append((offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize):
        self.vfs.unsynced[self.name].append((newsize, None))
        super().xTruncate(newsize)

    def xSync(self, flags):
        if self.vfs.fail_sync:
            self.vfs.fail_sync = False
            raise apsw.IOError("sync failed")
        super().xSync(flags)
        self.vfs.synced[self.name] = Path(self.name).read_bytes()
        self.vfs.unsynced[self.name].clear()

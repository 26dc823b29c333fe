"""The exclusive lock on a data folder: one process at a time, and who that is.

The lock is the kernel's (flock), so a crash releases it. The file's content tells the other
verbs where the process that holds it listens.
"""

import fcntl
import os
import time
from pathlib import Path

import msgspec

from fileroom.errors import TransientError

LOCK_NAME = "lock"
ATTEMPTS = 4
BETWEEN_S = 0.05  # `holder` takes a shared lock for an instant; do not mistake it for a node


class Holder(msgspec.Struct, kw_only=True):
    """Who holds a data folder. Without an `http` address it is a verb, not a node.

    Attributes:
        state: of a node, as in `health.Status`.
    """

    pid: int
    verb: str
    state: str = "running"
    http: tuple[str, int] | None = None
    dimse: tuple[str, int] | None = None
    prefix: str = ""


class LockedError(TransientError):
    """Another process works on this data folder.

    Attributes:
        holder: what that process said about itself; None if it has not yet.
    """

    def __init__(self, message: str, *, holder: Holder | None) -> None:
        super().__init__(message)
        self.holder = holder


class DataLock:
    """Our exclusive lock on one data folder, held until `release`."""

    def __init__(self, directory: Path, *, verb: str) -> None:
        """Take the lock of the existing folder `directory`.

        Raises:
            LockedError: another process has it.
        """
        path = directory / LOCK_NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for attempt in range(ATTEMPTS):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt + 1 < ATTEMPTS:
                    time.sleep(BETWEEN_S)
        else:
            told = _told(self._descriptor)
            os.close(self._descriptor)
            who = f"process {told.pid} ({told.verb})" if told else "another process"
            text = f"{who} works on this data folder"
            if told and told.state != "running":
                text += f"; its state: {told.state}"
            raise LockedError(text, holder=told)
        self.announce(Holder(pid=os.getpid(), verb=verb))

    def announce(self, holder: Holder) -> None:
        """Tell the other verbs who we are and, once the doors are open, where we listen."""
        told = msgspec.json.encode(holder)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, told, 0)

    def release(self) -> None:
        """Let the next process have the folder."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def holder(directory: Path) -> Holder | None:
    """Who works on the data folder `directory` just now; None if nobody does."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _told(descriptor) or Holder(pid=0, verb="unknown")
    else:
        return None
    finally:
        os.close(descriptor)


def _told(descriptor: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 65536, 0), type=Holder)
    except msgspec.MsgspecError:
        return None

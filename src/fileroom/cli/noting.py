"""Tells the node how far an import is, so that whoever asks for its status sees it."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from fileroom.cli.client import NodeClient
from fileroom.errors import FileroomError

NOTED_EVERY_S = 2.0
ERROR_LENGTH_MAX = 200


class Noting:
    """One import's record at the node. The same import, begun again, goes on in the same one.

    A note that does not arrive is no matter: the next one says more.
    """

    def __init__(
        self,
        node: NodeClient,
        paths: Sequence[Path],
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        named = "\0".join(sorted(str(path.absolute()) for path in paths))
        self._id = hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._node = node
        self._now_s = now_s
        self._noted_at_s = float("-inf")
        self._last = (0, 0, 0)

    def note(self, files: int, bytes_done: int, bytes_total: int) -> None:
        """Say how far it is; at most once every two seconds.

        Args:
            bytes_total: 0 where nobody has counted.
        """
        self._last = (files, bytes_done, bytes_total)
        now_s = self._now_s()
        if now_s - self._noted_at_s >= NOTED_EVERY_S:
            self._noted_at_s = now_s
            self._send("RUNNING", "")

    def end(self, state: str, reason: str = "") -> None:
        """Say how it ended: DONE, WAITING (the same command goes on) or CANCELLED."""
        self._node.close()  # what was interrupted may have left half a request on its connection
        self._send(state, reason)

    def _send(self, state: str, reason: str) -> None:
        files, bytes_done, bytes_total = self._last
        note = {
            "kind": "import",
            "state": state,
            "bytes_done": bytes_done,
            "bytes_total": bytes_total,
            "cursor": f"{files} files",
            "last_error": reason.encode("ascii", "replace").decode()[:ERROR_LENGTH_MAX],
        }
        with suppress(FileroomError):
            self._node.note_task(self._id, note)

"""Room on the disk: refuse new work before it runs out, never drop what was accepted."""

from pathlib import Path

from fileroom.disk import Disk
from fileroom.spool.failure import SpaceError


class Space:
    """Free bytes of the spool's file system above a reserve.

    The reserve is what sealing, the catalog and the ledger need to work the backlog off.
    """

    def __init__(self, directory: Path, *, disk: Disk, reserve_bytes: int) -> None:
        self._directory = directory
        self._disk = disk
        self.reserve_bytes = reserve_bytes

    def above_reserve_bytes(self) -> int:
        """What may still be taken; negative under the reserve."""
        return self._disk.free_bytes(self._directory) - self.reserve_bytes

    def refuse_under_reserve(self, needed_bytes: int) -> None:
        """Raise SpaceError unless `needed_bytes` leave the reserve free."""
        room_bytes = self.above_reserve_bytes()
        if room_bytes < needed_bytes:
            raise SpaceError(
                f"{needed_bytes} B wanted, {room_bytes} B free above the reserve "
                f"of {self.reserve_bytes} B"
            )

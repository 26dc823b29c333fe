"""The embedded catalog: one encrypted SQLite file, and the parts that work on it."""

from pathlib import Path

from fileroom.catalog.sqlite_arrivals import SqliteArrivals
from fileroom.catalog.sqlite_commitments import SqliteCommitments
from fileroom.catalog.sqlite_conflicts import SqliteConflicts
from fileroom.catalog.sqlite_file import SqliteFile
from fileroom.catalog.sqlite_forwards import SqliteForwards
from fileroom.catalog.sqlite_holdings import SqliteHoldings
from fileroom.catalog.sqlite_intake import SqliteIntake
from fileroom.catalog.sqlite_packs import SqlitePacks
from fileroom.catalog.sqlite_records import SqliteRecords
from fileroom.catalog.sqlite_rejections import SqliteRejections
from fileroom.catalog.sqlite_seal import SqliteSeal
from fileroom.catalog.sqlite_search import SqliteSearch
from fileroom.clock import Clock
from fileroom.disk import Disk


class SqliteCatalog(
    SqliteIntake,
    SqliteSeal,
    SqlitePacks,
    SqliteHoldings,
    SqliteSearch,
    SqliteArrivals,
    SqliteCommitments,
    SqliteConflicts,
    SqliteForwards,
    SqliteRejections,
    SqliteRecords,
):
    """`Catalog` in a file that only this key opens. docs/format/catalog.md.

    Several processes may have it open; each sees the others' commits.
    """

    @classmethod
    def create(
        cls, path: Path, *, key: bytes, clock: Clock, disk: Disk, vfs: str = ""
    ) -> "SqliteCatalog":
        """Make a new, empty catalog and open it.

        Args:
            key: 32 bytes.
            vfs: the SQLite file system to use; "" is the machine's.

        Raises:
            FileExistsError: there is a file already.
        """
        return cls(SqliteFile.create(path, key=key, clock=clock, disk=disk, vfs=vfs))

    @classmethod
    def open(
        cls, path: Path, *, key: bytes, clock: Clock, disk: Disk, vfs: str = ""
    ) -> "SqliteCatalog":
        """Open a catalog that exists, and bring its schema up to date.

        Raises:
            CatalogMissingError: there is none.
            CatalogUnreadableError: it is damaged, half made, or of another key: set it aside
                and rebuild.
            NewerCatalogError, SchemaChangedError: another program's; leave it alone.
        """
        return cls(SqliteFile.open(path, key=key, clock=clock, disk=disk, vfs=vfs))

    def make_durable(self) -> None:
        self._file.make_durable()

    def shrink(self) -> None:
        self._file.shrink()

    def check(self) -> None:
        self._file.check()

    def close(self) -> None:
        self._file.close()

"""The catalog's SQLite file: opening it with its key, migrations, one writer, many readers.

SQLCipher 4 scheme (AES-256-CBC, HMAC-SHA-512 on each page, the log and the journal included).
Write-ahead log without a sync at each commit: after a power loss the file is whole and holds a
prefix of the commits; `make_durable` says where that prefix ends. docs/format/catalog.md.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import apsw

from fileroom.catalog.errors import (
    CatalogBusyError,
    CatalogFullError,
    CatalogMissingError,
    CatalogUnreadableError,
    NewerCatalogError,
    SchemaChangedError,
)
from fileroom.catalog.sqlite_connection import Connection, Row
from fileroom.clock import Clock
from fileroom.disk import Disk

SQLiteValue = int | float | str | bytes | None
DuplicateKey = apsw.ConstraintError
Interrupted = apsw.InterruptError

KEY_LENGTH_BYTES = 32
APPLICATION_ID = 0x46524354  # "FRCT"
READERS_MAX = 4
WRITER_CACHE_KIB = 16 * 1024
READER_CACHE_KIB = 4 * 1024
LOG_SIZE_BYTES_MAX = 16 * 1024 * 1024  # what the log is cut back to once it is checkpointed
BUSY_TIMEOUT_MS = 10_000

_DAMAGED = (apsw.NotADBError, apsw.CorruptError, apsw.IOError, apsw.SchemaChangeError)


class Migration(NamedTuple):
    """One numbered step of the schema."""

    number: int
    sha256: bytes
    sql: str


def packaged_migrations() -> list[Migration]:
    """The steps this program carries, in order."""
    found = []
    for entry in resources.files("fileroom.catalog").joinpath("schema").iterdir():
        if entry.name.endswith(".sql"):
            content = entry.read_bytes()
            number = int(entry.name.removesuffix(".sql"))
            found.append(Migration(number, hashlib.sha256(content).digest(), content.decode()))
    return sorted(found)


class SqliteFile:
    """One open catalog file. Methods are safe on any thread.

    Invariant: once a damaged file or a failed write was seen, every later call raises
    CatalogUnreadableError.
    """

    def __init__(self, path: Path, *, key: bytes, clock: Clock, disk: Disk, vfs: str) -> None:
        assert len(key) == KEY_LENGTH_BYTES
        self._path = path
        self._key = key
        self._vfs = vfs
        self.clock = clock
        self._disk = disk
        self._write_lock = threading.Lock()
        self._readers: list[Connection] = []
        self._readers_lock = threading.Lock()
        self._readers_free = threading.BoundedSemaphore(READERS_MAX)
        self._reader_kept = threading.BoundedSemaphore(1)
        self._failure = ""
        self._closed = False
        self._writer: Connection

    @classmethod
    def create(
        cls, path: Path, *, key: bytes, clock: Clock, disk: Disk, vfs: str = ""
    ) -> "SqliteFile":
        """Make a new, empty catalog. A crash meanwhile leaves a file that `open` calls unreadable.

        Raises:
            FileExistsError: there is a file already.
        """
        disk.make_directory(path.parent)
        disk.close(disk.create(path))
        disk.sync_directory(path.parent)
        made = cls(path, key=key, clock=clock, disk=disk, vfs=vfs)
        with made._translated():
            writer = made._connect()
            writer.pragma("auto_vacuum", 2)  # incremental; only an empty file can choose it
            writer.pragma("application_id", APPLICATION_ID)
            made._begin(writer, packaged_migrations())
        return made

    @classmethod
    def open(
        cls, path: Path, *, key: bytes, clock: Clock, disk: Disk, vfs: str = ""
    ) -> "SqliteFile":
        """Open a catalog and bring its schema up to this program's.

        Raises:
            CatalogMissingError: there is no file.
            CatalogUnreadableError: it is damaged, half made, or of another key.
            NewerCatalogError, SchemaChangedError: it is not this program's to open.
        """
        if not path.is_file():
            raise CatalogMissingError("there is no catalog file")
        opened = cls(path, key=key, clock=clock, disk=disk, vfs=vfs)
        with opened._translated():
            writer = opened._connect()
            try:
                opened._begin(writer, opened._unapplied(writer))
            except BaseException:
                writer.close()
                raise
        return opened

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The writer in a transaction, which commits when the block ends and leaves nothing when
        the block raises. A commit is atomic and not yet durable: see `make_durable`."""
        with self._write_lock, self._translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            try:
                self._writer.execute("COMMIT")
            except apsw.Error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self, *, at_once: bool = False) -> Iterator[Connection]:
        """A reader that sees one state of the catalog throughout, the newest at its first query.

        Args:
            at_once: for a look-up by key on an event loop: it does not wait for searches.
        """
        with self._reader_kept if at_once else self._readers_free, self._translated():
            with self._readers_lock:
                reader = self._readers.pop() if self._readers else None
            if reader is None:
                reader = self._connect()
                reader.pragma("query_only", True)
                reader.pragma("cache_size", -READER_CACHE_KIB)
            reader.execute("BEGIN")
            try:
                yield reader
            finally:
                self._give_back(reader)

    def make_durable(self) -> None:
        """Return once every commit made before the call survives a power loss.

        One more commit, at full synchronous level: it syncs the whole log, and what an earlier
        checkpoint moved out of the log was synced in the file before the log was reused.
        """
        with self._write_lock, self._translated():
            self._writer.pragma("synchronous", 2)
            try:
                # Commit point. A crash before it leaves a prefix of the commits; after it, all.
                self._writer.execute(
                    "INSERT INTO counter VALUES ('made_durable', 1)"
                    " ON CONFLICT (name) DO UPDATE SET value = value + 1"
                )
            finally:
                self._writer.pragma("synchronous", 1)

    def shrink(self) -> None:
        """Give pages that are no longer used back to the disk and empty the log."""
        with self._write_lock, self._translated():
            self._shrink()

    def check(self) -> None:
        """Read every page. Raises CatalogUnreadableError if one is damaged or out of place."""
        with self.reading() as reader:
            problems = [str(row[0]) for row in reader.execute("PRAGMA quick_check(10)")]
        if problems != ["ok"]:
            self._fail(f"quick_check found {len(problems)} problems")

    def close(self) -> None:
        """Close every connection. The log is emptied into the file and removed."""
        with self._write_lock:
            if self._closed:
                return
            with self._readers_lock:
                self._closed = True
                idle, self._readers = self._readers, []
            for reader in idle:
                reader.close()
            try:
                if not self._failure:
                    with self._translated(closing=True):
                        self._shrink()
            finally:
                self._writer.close()

    def _give_back(self, reader: Connection) -> None:
        reader.execute("ROLLBACK")
        # A query that was left unfinished would hold the reader in the past for ever.
        at_rest = reader.txn_state() == apsw.SQLITE_TXN_NONE
        with self._readers_lock:
            if at_rest and not self._closed:
                self._readers.append(reader)
                return
        reader.close()

    def _shrink(self) -> None:
        self._writer.execute("PRAGMA incremental_vacuum")
        self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> Connection:
        connection = Connection(
            str(self._path), vfs=self._vfs or None, flags=apsw.SQLITE_OPEN_READWRITE
        )
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.pragma("cipher", "sqlcipher")
        connection.pragma("legacy", 4)
        connection.pragma("key", f"x'{self._key.hex()}'")  # a raw key: nothing is derived from it
        return connection

    def _begin(self, writer: Connection, migrations: list[Migration]) -> None:
        writer.execute("BEGIN IMMEDIATE")
        for migration in migrations:
            writer.execute(migration.sql)
            writer.execute(
                "INSERT INTO migration VALUES (?, ?, ?)",
                (migration.number, migration.sha256, self.clock.wall_ns()),
            )
        writer.execute("COMMIT")
        writer.pragma("journal_mode", "wal")
        writer.pragma("synchronous", 1)
        writer.pragma("cache_size", -WRITER_CACHE_KIB)
        writer.pragma("journal_size_limit", LOG_SIZE_BYTES_MAX)
        self._writer = writer

    def _unapplied(self, writer: Connection) -> list[Migration]:
        if writer.pragma("application_id") != APPLICATION_ID:
            raise CatalogUnreadableError("the file is no finished catalog")
        rows: list[Row] = writer.execute("SELECT number, sha256 FROM migration").fetchall()
        applied: dict[int, bytes] = dict(rows)
        carried = packaged_migrations()
        newest = max(applied)
        if newest > carried[-1].number:
            raise NewerCatalogError(
                f"the catalog has schema {newest}, this program knows {carried[-1].number}"
            )
        for number, sha256, _ in carried:
            if number in applied and applied[number] != sha256:
                raise SchemaChangedError(f"schema {number} is not the one that was applied")
        return [migration for migration in carried if migration.number not in applied]

    @contextmanager
    def _translated(self, *, closing: bool = False) -> Iterator[None]:
        """Raise this package's errors for the database's. Their texts hold no values of rows."""
        if self._failure:
            raise CatalogUnreadableError(self._failure)
        if self._closed and not closing:
            raise CatalogBusyError("the catalog is closed")
        try:
            yield
        except _DAMAGED as error:
            self._fail(f"SQLite gave {type(error).__name__}")
        except apsw.FullError as error:
            raise CatalogFullError("the disk has no room for the catalog") from error
        except (apsw.BusyError, apsw.LockedError) as error:
            raise CatalogBusyError("another process holds the catalog's lock") from error
        except apsw.CantOpenError as error:
            raise CatalogBusyError("the catalog file could not be opened just now") from error

    def _fail(self, reason: str) -> None:
        # After a failed write or sync what the file holds is not known: it is given up and
        # rebuilt, never tried again.
        self._failure = reason
        raise CatalogUnreadableError(reason)


class SqliteStore:
    """A part of the catalog over one file. The parts together are sqlite.SqliteCatalog."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file


def node_number(connection: Connection, node_id: str) -> int:
    """The number of a node, given to it now where it has none."""
    number = only_int(connection, "SELECT number FROM node WHERE node_id = ?", (node_id,))
    if not number:
        connection.execute("INSERT INTO node (node_id) VALUES (?)", (node_id,))
        number = connection.last_insert_rowid()
    return number


def only_row(connection: Connection, sql: str, values: tuple[SQLiteValue, ...] = ()) -> Row:
    """The one row that a query of sums always gives."""
    row: Row | None = connection.execute(sql, values).fetchone()
    assert row is not None
    return row


def only_int(connection: Connection, sql: str, values: tuple[SQLiteValue, ...] = ()) -> int:
    """The one integer that a query gives; 0 where it gives no row or NULL."""
    row = connection.execute(sql, values).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])

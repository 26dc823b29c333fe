"""Statements leave nothing behind in their connection."""

import gc
import sys

import pytest

from conform.catalog_samples import NODE, spooled
from fileroom.catalog.query import Level, Search
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.catalog.sqlite_connection import Connection
from fileroom.clock import ManualClock
from fileroom.dicom.match import parse
from fileroom.disk import Disk

SEARCH = Search(
    level=Level.STUDY,
    partition="main",
    limit=10,
    offset=0,
    conditions=(parse("PatientName", "*Jane*"),),
)
READS = {
    "copies": lambda catalog: catalog.copies(1),
    "holdings": lambda catalog: catalog.holdings("1.2.1"),
    "search": lambda catalog: catalog.search(SEARCH),
    "count": lambda catalog: catalog.count(SEARCH),
    "spooled": lambda catalog: catalog.spooled_of_series(1, bytes_max=1),
    "status": lambda catalog: catalog.totals(),
}


@pytest.fixture
def catalog(tmp_path):
    made = SqliteCatalog.create(
        tmp_path / "catalog.db", key=b"k" * 32, clock=ManualClock(), disk=Disk()
    )
    rows = [spooled((1, n), f"1.9.{n}", PatientName="Doe^Jane") for n in range(3)]
    made.record_spooled(rows, node_id=NODE)
    yield made
    made.close()


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_leaves_no_memory_behind(catalog, read):
    def blocks_after(reads):
        for _ in range(reads):
            read(catalog)
        gc.collect()
        return sys.getallocatedblocks()

    before = blocks_after(100)
    assert blocks_after(1_000) - before < 500


def test_rows_are_there_when_the_statement_is_done_and_stream_reads_no_further_than_it_must():
    connection = Connection(":memory:")
    connection.execute("CREATE TABLE number (n)")
    connection.executemany("INSERT INTO number VALUES (?)", [(n,) for n in range(5)])
    rows = connection.execute("SELECT n FROM number ORDER BY n")
    assert (rows.fetchone(), len(rows.fetchall())) == ((0,), 5)
    assert connection.execute("SELECT n FROM number WHERE n > 9").fetchone() is None
    with connection.stream("SELECT n FROM number WHERE n > ? ORDER BY n", (2,)) as found:
        assert next(found) == (3,)
        connection.execute("DELETE FROM number WHERE n = 4")
    connection.close()  # which apsw refuses for no open cursor of ours

"""The SQLite catalog passes the suite."""

import pytest

from conform.catalog_suite import CatalogSuite, SearchSuite
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.disk import Disk


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def catalog(tmp_path, clock):
    catalog = SqliteCatalog.create(tmp_path / "catalog.db", key=b"k" * 32, clock=clock, disk=Disk())
    yield catalog
    catalog.close()


class TestSqlite(CatalogSuite):
    pass


class TestSqliteSearch(SearchSuite):
    pass

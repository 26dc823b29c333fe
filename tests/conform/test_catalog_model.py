"""The dictionary catalog passes the suite too, so that what it says is worth comparing with."""

import pytest

from conform.catalog_model import DictCatalog
from conform.catalog_suite import CatalogSuite, SearchSuite
from fileroom.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def catalog(clock):
    return DictCatalog(clock)


class TestModel(CatalogSuite):
    pass


class TestModelSearch(SearchSuite):
    pass

"""Instance searches: what ends them."""

from typing import Any, cast

import pytest

from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.query import Level, Search, SearchRow
from fileroom.catalog.rows import Holdings
from fileroom.retrieve import archive
from fileroom.retrieve.archive import Archive


class SeriesWithoutInstances:
    """A catalog of `count` series, and an intake in which nothing waits."""

    def __init__(self, count: int) -> None:
        self._count = count

    def search(self, search: Search) -> list[SearchRow]:
        names = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.2.3"}
        return [SearchRow(names)] * min(self._count, search.limit)

    def holdings(self, *_: str | None) -> Holdings:
        return Holdings()

    async def settled(self) -> None:
        pass


def archive_of(count: int) -> Archive:
    stub = cast(Any, SeriesWithoutInstances(count))
    return Archive(catalog=stub, intake=stub, packs=stub, spool=stub, complete=lambda: True)


async def test_an_instance_search_over_too_many_series_is_refused_and_not_cut_short(monkeypatch):
    monkeypatch.setattr(archive, "SERIES_A_SEARCH", 5)
    search = Search(level=Level.SERIES, partition="main", limit=10)
    assert [each async for each in archive_of(4).instance_matches(search)] == []
    with pytest.raises(SearchTooBroadError):
        [each async for each in archive_of(6).instance_matches(search)]

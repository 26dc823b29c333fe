"""What was decided stands whatever is lost or late around it: the catalog, its last transactions,
a provider with the data set that was chosen, that data set itself."""

from pathlib import Path

import pytest

from crash.test_node_crashes import Outcome, prepared, read, store
from crash.test_setbacks import (
    DRAIN_S,
    committed,
    local_packs,
    lose_catalog,
    opened,
    settings_with,
    spoil,
)
from fileroom.access.identity import of_address
from fileroom.catalog.errors import CatalogBusyError
from fileroom.decisions.conflicts import UndecidableError
from fileroom.node.node import Node
from instances import dataset, uids

KEY = (1, 1, 1)
UID = uids(*KEY)[2]
FIRST, SECOND, THIRD = (dataset(*KEY, size_bytes=size) for size in (256, 512, 768))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    prepared(tmp_path / "data")
    return tmp_path / "data"


async def sent(node: Node, data_set: bytes) -> None:
    await store(node, Outcome(), [KEY], size_bytes=0, data=data_set)
    await node.drain(DRAIN_S)


async def decided(node: Node, data_set: bytes) -> None:
    """Have it served."""
    desk = node.decisions.conflicts
    shown = (await desk.show(UID)).data_sets
    (chosen,) = [each.sha256 for each in shown if each.size_bytes == len(data_set)]
    who = of_address("127.0.0.1")
    await desk.settle(UID, chosen, who=who, channel="http", reason="it is whole")


async def serves(node: Node, data_set: bytes) -> bool:
    file = await read(node, KEY)
    return file.endswith(data_set) and len(file) - len(data_set) < 1024


def is_open(node: Node) -> bool:
    return node.catalog.conflict_totals().open == 1


async def test_what_comes_again_changes_nothing_and_what_is_new_opens_the_conflict_again(data):
    async with opened(settings_with(data, "a")) as node:
        for each in (FIRST, SECOND):
            await sent(node, each)
        assert is_open(node)
        await decided(node, SECOND)
        for each in (FIRST, SECOND):
            await sent(node, each)
        assert await serves(node, SECOND)
        assert not is_open(node)
        assert node.status().conflicts == 1
        await sent(node, THIRD)
        assert await serves(node, SECOND)
        assert is_open(node)
        await decided(node, FIRST)
        assert await serves(node, FIRST)
    async with opened(settings_with(data, "a")) as node:
        assert await serves(node, FIRST)
        assert not is_open(node)


async def test_a_catalog_that_lost_its_last_transactions_hears_of_the_decision_again(data):
    settings = settings_with(data, "a")
    async with opened(settings) as node:
        for each in (FIRST, SECOND):
            await sent(node, each)
    before = (data / "catalog.db").read_bytes()
    async with opened(settings) as node:
        await decided(node, SECOND)
    (data / "catalog.db").write_bytes(before)
    async with opened(settings) as node:
        assert await serves(node, SECOND)
        assert not is_open(node)


async def test_a_catalog_that_cannot_take_a_decision_gets_it_before_its_index_passes_it(
    data, monkeypatch
):
    def busy(settlement):
        raise CatalogBusyError("another process writes")

    async with opened(settings_with(data, "a")) as node:
        for each in (FIRST, SECOND):
            await sent(node, each)
        monkeypatch.setattr(node.catalog, "record_settlement", busy)
        with pytest.raises(CatalogBusyError):
            await decided(node, SECOND)
        index = node.catalog.applied_index()
        with pytest.raises(CatalogBusyError):
            await node._publish()
        assert node.catalog.applied_index() == index < node.parts.ledger.size
        assert await serves(node, FIRST)
        monkeypatch.undo()
        await node._publish()
        assert await serves(node, SECOND)
        assert node.catalog.applied_index() == node.parts.ledger.size


async def test_a_chosen_data_set_is_served_once_its_provider_is_back(data):
    async with opened(settings_with(data, "a")) as node:
        await sent(node, FIRST)
    async with opened(settings_with(data, "b")) as node:
        await sent(node, SECOND)
        await decided(node, SECOND)
    for each in local_packs(data):
        each.unlink()
    lose_catalog(data)
    (data.parent / "b").rename(data.parent / "away")
    async with opened(settings_with(data, "a", "b")) as node:
        assert await serves(node, FIRST)
        await sent(node, THIRD)
        with pytest.raises(UndecidableError):
            await decided(node, THIRD)
        (data.parent / "away").rename(data.parent / "b")
        assert await node.complete() == 1
        assert await serves(node, SECOND)
        assert is_open(node), "the third came after it"


async def test_a_decision_is_about_bytes_and_holds_when_they_are_sealed_again(data):
    """The catalog and the provider are gone, the spool is still there."""
    settings = settings_with(data, "a", local__packs_size_bytes="0")
    async with opened(settings) as node:
        for each in (FIRST, SECOND):
            await sent(node, each)
        await decided(node, SECOND)
        await node.evict.round()
    assert not local_packs(data)
    lose_catalog(data)
    (data.parent / "a").rename(data.parent / "away")
    async with opened(settings) as node:
        await node.seal.round(everything=True)
        assert local_packs(data)
        assert await serves(node, SECOND)
        assert not is_open(node)
        (data.parent / "away").rename(data.parent / "a")
        assert await node.complete() == 1
        assert await serves(node, SECOND)
        assert not is_open(node)
        assert node.status().conflicts == 1


async def test_what_takes_the_place_of_a_chosen_data_set_that_rots_stays(data):
    settings = settings_with(data, "a")
    async with opened(settings) as node:
        await committed(node, (2, 1, 1))
        await sent(node, FIRST)
        known = {*local_packs(data), *(data.parent / "a" / "packs").glob("*/*")}
        await sent(node, SECOND)
        rotten = {*local_packs(data), *(data.parent / "a" / "packs").glob("*/*")} - known
        await decided(node, SECOND)
    whole = {each: each.read_bytes() for each in rotten}
    for each in rotten:
        each.chmod(0o600)
        spoil(each)
    async with opened(settings) as node:
        await store(node, Outcome(), [KEY], size_bytes=0, data=THIRD)
        await node.parts.intake.settled()
        await node.seal.round(everything=True)
        assert await serves(node, THIRD)
        assert is_open(node)
    lose_catalog(data)
    async with opened(settings) as node:
        assert await serves(node, THIRD)
    lose_catalog(data)
    for each, content in whole.items():
        each.write_bytes(content)
    async with opened(settings) as node:
        assert await serves(node, THIRD)
        assert is_open(node)
        await decided(node, SECOND)
        assert await serves(node, SECOND)

"""Packs that got their name and no row, and whose instances were sealed again meanwhile.

A later start takes such a pack up. What it holds lies in another pack already, with the same
bytes: that is no conflict, it is counted and served once, and what is a conflict stays one.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from catalog_dump import dumped
from crash.test_node_crashes import FIRST, Outcome, prepared, read, store
from fileroom.catalog.errors import CatalogBusyError
from fileroom.cli.rebuilding import set_catalog_aside
from fileroom.ingest.build import local_path
from fileroom.node.assemble import open_node
from fileroom.node.config import Settings
from fileroom.node.node import DrainError, Node
from instances import uids
from nodes import settings_of
from spool_parts import QuickDisk

DRAIN_S = 30.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    prepared(tmp_path / "data")
    return settings_of(
        tmp_path / "data", local__packs_size_bytes="0", spool__segment_size_bytes=str(1 << 20)
    )


def opened(settings: Settings):
    return open_node(settings, disk=QuickDisk(), in_process=True)


async def without_a_record(node: Node) -> None:
    """A round whose packs are named, and whose rows the catalog does not take."""
    record_sealed = node.catalog.record_sealed

    def busy(*_: object, **__: object) -> int:
        raise CatalogBusyError("injected")

    node.catalog.record_sealed = busy
    with pytest.raises(CatalogBusyError):
        await node.seal.round(everything=True)
    node.catalog.record_sealed = record_sealed


async def stopped_while_building(node: Node) -> None:
    """A round that is cancelled while the worker builds; the worker ends what it is at."""
    build = node.parts.workshop.build
    under_way = asyncio.Event()
    built = []

    async def slow(job):
        built.append(asyncio.ensure_future(build(job)))
        under_way.set()
        await asyncio.Event().wait()

    node.parts.workshop.build = slow
    round_ = asyncio.ensure_future(node.seal.round(everything=True))
    await under_way.wait()
    round_.cancel()
    with pytest.raises(asyncio.CancelledError):
        await round_
    await asyncio.gather(*built)
    node.parts.workshop.build = build


@pytest.mark.parametrize("stopped", [without_a_record, stopped_while_building])
async def test_what_was_sealed_twice_is_no_conflict_with_itself(settings, stopped):
    outcome, other = Outcome(), Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST[:2], size_bytes=256)
        await store(node, other, FIRST[:1], size_bytes=512)  # and one that is a conflict
        await node.parts.intake.settled()
        await stopped(node)
        await node.seal.round(everything=True)
        assert len(node.catalog.packs(limit=9)) == 1
        assert len([*(settings.data_directory / "packs").glob("*/*")]) == 2
    async with opened(settings) as node:
        assert node.rebuilder.report.adopted == 1
        await check(node, outcome)
        await node.drain(DRAIN_S)
        for _ in range(2):
            await node.evict.round()
        await check(node, outcome)
        known = dumped(node.catalog)
    set_catalog_aside(settings)
    async with opened(settings) as node:
        assert node.rebuilder.report.adopted == 2
        await node.drain(DRAIN_S)
        await check(node, outcome)
        # Which of two equal ones is served does not matter; how many of each there are does.
        again = dumped(node.catalog)
        for rows in (known, again):
            assert sorted(row[3] for row in rows["conflict"]) == [0, 1, 1, 1]
            assert sorted(row[10] for row in rows["pack"]) == [1, 3]
        assert {row[0] for row in again["instance"]} == {row[0] for row in known["instance"]}
        for table in ("patient", "study", "series", "copy", "key_copy", "pack_total"):
            assert again[table] == known[table]


async def test_an_orphan_that_has_rotted_settles_nothing_that_the_spool_still_has(settings):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST[:1], size_bytes=256 << 10)
        await node.parts.intake.settled()
        await without_a_record(node)
    (orphan,) = (settings.data_directory / "packs").glob("*/*")
    content = bytearray(orphan.read_bytes())
    content[70_000] ^= 1  # in the pixels: its metadata opens
    orphan.write_bytes(content)
    async with opened(settings) as node:
        assert node.rebuilder.report.adopted == 1
        assert node.catalog.totals().received.instances == 1
        for _ in range(3):
            await node.evict.round()
        with suppress(DrainError):  # the rotten one stays AT_RISK
            await node.drain(0)
        assert (await read(node, FIRST[0])).endswith(outcome.acknowledged[FIRST[0]])


async def test_an_orphan_is_served_where_the_pack_that_was_recorded_in_its_place_is_lost(settings):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST[:1], size_bytes=256)
        await node.parts.intake.settled()
        await without_a_record(node)
        await node.seal.round(everything=True)
        for _ in range(2):
            await node.evict.round()
        (lost,) = node.catalog.packs(limit=9)
        local_path(node.parts.folder.packs, lost.study_key_id, lost.sha256).unlink()
    async with opened(settings) as node:
        assert node.rebuilder.report.adopted == 1
        assert (await read(node, FIRST[0])).endswith(outcome.acknowledged[FIRST[0]])


async def check(node: Node, outcome: Outcome) -> None:
    """The first two are served and counted once; the other one is the one conflict."""
    assert node.status().conflicts == 1
    study, series, _ = uids(*FIRST[0])
    held = await node.archive.holdings(study, series)
    assert sorted(each.sop_instance_uid for each in held) == sorted(
        uids(*key)[2] for key in FIRST[:2]
    )
    for key in FIRST[:2]:
        assert (await read(node, key)).endswith(outcome.acknowledged[key])


async def test_a_spooled_instance_that_an_orphan_holds_is_settled_by_it(settings):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST[:1], size_bytes=256)
        await node.parts.intake.settled()
        await without_a_record(node)
    async with opened(settings) as node:
        totals = node.catalog.totals()
        assert (totals.received.instances, totals.conflicts) == (0, 0)
        assert node.catalog.settled_count(1) == 1
        assert (await read(node, FIRST[0])).endswith(outcome.acknowledged[FIRST[0]])

"""A catalog that is lost while a provider is away: the node comes up, receives, says what it lacks,
and takes up what lies there once the provider is back.

What it then says is what it would say had the provider never been away; whatever was sent again
meanwhile, and wherever it is stopped.
"""

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest

from catalog_dump import dumped
from crash.faulty_provider import FAULTS, FaultyProvider
from crash.test_node_crashes import Key, Outcome, failing_with, prepared, read, store
from crash.test_setbacks import (
    DRAIN_S,
    committed,
    evicted,
    local_packs,
    lose_catalog,
    opened,
    settings_with,
)
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.errors import FileroomError, TransientError
from fileroom.node.assemble import open_node
from fileroom.node.config import Settings
from fileroom.node.node import Node
from fileroom.recovery.adopt import Adopter
from fileroom.retrieve.packs import UnavailableError
from instances import uids
from spool_parts import QuickDisk

HERE, THERE, AGAIN, CHANGED = (1, 1, 1), (2, 1, 1), (2, 1, 2), (2, 1, 3)
OLD: list[Key] = [THERE, AGAIN, CHANGED]  # at the provider that is away, and nowhere else
INCOMPLETE = "catalog incomplete: provider b was away"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    prepared(tmp_path / "data")
    return tmp_path / "data"


async def apart(data: Path) -> Outcome:
    """One instance at a, three at b, nothing here; the catalog is lost and b is away."""
    outcome = Outcome()
    async with opened(settings_with(data, "b", local__packs_size_bytes="0")) as node:
        outcome.acknowledged |= await committed(node, *OLD)
        await evicted(node, data)
    async with opened(settings_with(data, "a", local__packs_size_bytes="0")) as node:
        outcome.acknowledged |= await committed(node, HERE)
        await node.evict.round()
        for each in local_packs(data):
            each.unlink()  # as if b's had been evicted and a's too
    lose_catalog(data)
    away(data)
    return outcome


def away(data: Path) -> None:
    (data.parent / "b").rename(data.parent / "away")


def back(data: Path) -> None:
    (data.parent / "away").rename(data.parent / "b")


def both(data: Path) -> Settings:
    return settings_with(data, "a", "b", local__packs_size_bytes="0")


def incomplete(node: Node) -> bool:
    return INCOMPLETE in node.status().warnings


async def meanwhile(node: Node, outcome: Outcome) -> bytes:
    """One of b's instances comes again as it was, one with other bytes, and a new one."""
    await store(node, Outcome(), [AGAIN], size_bytes=256)
    other = Outcome()
    await store(node, other, [CHANGED], size_bytes=512)
    await store(node, outcome, [(3, 1, 1)], size_bytes=256)
    await node.drain(DRAIN_S)
    return other.acknowledged[CHANGED]


async def all_served(node: Node, outcome: Outcome) -> None:
    for key, sent in outcome.acknowledged.items():
        assert (await read(node, key)).endswith(sent), key


async def test_a_node_without_a_catalog_comes_up_and_says_what_it_lacks_until_it_has_it(data):
    outcome = await apart(data)
    async with opened(both(data)) as node:
        assert incomplete(node)
        (task,) = node.status().tasks
        assert (task.kind, task.state) == ("rebuild", "WAITING")
        assert node.rebuilder.report.absent == 0, "what the provider may have is not missed"
        assert (await read(node, HERE)).endswith(outcome.acknowledged[HERE])
        for asked in (uids(*THERE), uids(*THERE)[:1]):
            with pytest.raises(UnavailableError, match="incomplete"):
                await node.archive.holdings(*asked)
        await store(node, outcome, [(3, 1, 1)], size_bytes=256)
        assert await node.complete() == 0
    async with opened(both(data)) as node:
        assert incomplete(node), "a restart does not forget it"
        await node.drain(DRAIN_S)
        back(data)
        assert incomplete(node)
        assert await node.complete() == 1
        assert not incomplete(node)
        (task,) = node.status().tasks
        assert (task.state, task.percent) == ("DONE", 100)
        assert "rebuild" not in " ".join(node.status().warnings)
        await node.drain(DRAIN_S)
        await all_served(node, outcome)
        assert await node.complete() == 0
        assert await node.archive.holdings("1.2.3") == []
        assert node.status().conflicts == 0
        assert node.catalog.totals().states.keys() == {PackState.COMMITTED}
    async with opened(both(data)) as node:
        assert not incomplete(node)
        recovered = [each.body for each in node.parts.ledger.records(0) if each.kind == "recovered"]
        assert [each["count"] for each in recovered if each["what"] == "packs"][-1] == 1


async def test_the_rounds_of_a_node_take_up_what_a_provider_brings_back(data, monkeypatch):
    monkeypatch.setattr("fileroom.node.node.REACH_EVERY_S", 0.01)
    outcome = await apart(data)
    async with opened(both(data)) as node:
        node.start_rounds()
        back(data)
        async with asyncio.timeout(DRAIN_S):
            while await asyncio.to_thread(incomplete, node):
                pass
        await all_served(node, outcome)
        await node.stop_rounds()


async def test_what_was_sent_again_meanwhile_is_kept_once_and_the_first_is_served(data):
    outcome = await apart(data)
    async with opened(both(data)) as node:
        changed = await meanwhile(node, outcome)
        assert (await read(node, CHANGED)).endswith(changed), "until the first is there again"
        back(data)
        await node.complete()
        await node.drain(DRAIN_S)
        await all_served(node, outcome)
        status = node.status()
        assert (status.conflicts, status.studies) == (1, 3)
        held = await node.archive.holdings(uids(*THERE)[0])
        assert len(held) == len(OLD)
        known = dumped(node.catalog)
    lose_catalog(data)
    async with opened(both(data)) as node:
        await node.drain(DRAIN_S)
        again = dumped(node.catalog)
    # The study got a second key meanwhile: the first that is met is the one for what comes.
    for each in (known, again):
        each["study"] = [row[:9] for row in each["study"]]
    assert again == known


@pytest.mark.parametrize("spooled", [False, True])
async def test_a_conflict_that_is_found_before_the_first_does_not_take_its_place(data, spooled):
    async with opened(settings_with(data, "b", local__packs_size_bytes="0")) as node:
        first = await committed(node, THERE)
        await evicted(node, data)
        await store(node, Outcome(), [THERE], size_bytes=512)
        await node.drain(DRAIN_S)
        if not spooled:
            await evicted(node, data)
        assert node.status().conflicts == 1
    lose_catalog(data)
    away(data)
    settings = settings_with(data, "a", "b")
    async with opened(settings) as node:
        assert incomplete(node)
        if spooled:  # it has been sealed, but that stood in the catalog only
            with pytest.raises(TransientError, match="may lie out of reach"):
                await node.seal.round(everything=True)
        else:
            with pytest.raises(UnavailableError, match="incomplete"):
                await node.archive.holdings(*uids(*THERE))
        back(data)
        await node.complete()
        await node.drain(DRAIN_S)
        assert node.status().conflicts == 1
        assert (await read(node, THERE)).endswith(first[THERE])
    lose_catalog(data)
    async with opened(settings) as node:
        assert node.status().conflicts == 1
        assert (await read(node, THERE)).endswith(first[THERE])


async def test_a_pack_that_is_lost_here_meanwhile_is_read_where_it_is_found(data):
    async with opened(settings_with(data, "a", "b")) as node:
        sent = await committed(node, HERE)
        for _ in range(2):
            await node.evict.round()
    lose_catalog(data)
    away(data)
    (data.parent / "a").rename(data.parent / "a away")
    async with opened(settings_with(data, "a", "b")) as node:
        assert node.catalog.copies(1) == []
        for each in local_packs(data):
            each.unlink()
    back(data)
    async with opened(settings_with(data, "a", "b")) as node:
        assert await node.complete() == 1
        assert (await read(node, HERE)).endswith(sent[HERE])


async def test_nothing_here_is_evicted_while_the_provider_that_may_lack_it_is_away(data):
    settings = settings_with(data, "a", "b", local__packs_size_bytes="0")
    async with opened(settings) as node:
        acknowledged = await committed(node, HERE)
    lose_catalog(data)
    away(data)
    async with opened(settings) as node:
        await node.drain(DRAIN_S)
        for _ in range(3):
            await node.evict.round()
        assert local_packs(data)
        back(data)
        await node.complete()
        for _ in range(3):
            await node.replicate.round()
            await node.verify.round()
        (pack,) = node.catalog.packs(limit=9)
        copies = {each.provider: each.state for each in node.catalog.copies(pack.number)}
        assert copies == {"a": CopyState.VERIFIED, "b": CopyState.VERIFIED}
        await evicted(node, data)
        assert (await read(node, HERE)).endswith(acknowledged[HERE])


async def test_a_pack_whose_comparison_is_out_of_reach_waits_and_stops_no_start(data):
    """It lies here and has no row, and the first data set lies at the provider that is away."""
    settings = settings_with(data, "b", local__packs_size_bytes="0")
    async with opened(settings) as node:
        acknowledged = await committed(node, THERE)
        await evicted(node, data)
        await store(node, Outcome(), [THERE], size_bytes=512)
        await node.drain(DRAIN_S)
        (pack,) = local_packs(data)
        node.catalog.forget_pack(2, places=[])
    shutil.rmtree(data / "cache")
    shutil.rmtree(data / "spool")
    away(data)
    async with opened(settings) as node:
        assert pack.exists()
        assert incomplete(node)
        assert node.rebuilder.report.adopted == 0
        back(data)
        assert await node.complete() == 1
        assert not incomplete(node)
        assert (node.rebuilder.report.adopted, node.status().conflicts) == (1, 1)
        assert (await read(node, THERE)).endswith(acknowledged[THERE])


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_completion_goes_on_where_it_was_stopped(data, monkeypatch, when):
    """Whichever pack it stops at: the next one does the rest, and nothing twice."""
    outcome = await apart(data)
    async with opened(both(data)) as node:
        await meanwhile(node, outcome)
        back(data)
        await node.complete()
        whole = dumped(node.catalog)
    stops = whole["pack"]
    for stop in range(len(stops)):
        lose_catalog(data)
        adopt = Adopter.adopt
        taken = 0

        async def stopped(self, opened, *, stop=stop, adopt=adopt, **how):
            nonlocal taken
            taken += 1
            if taken == stop + 1:
                if when == "after":
                    await adopt(self, opened, **how)
                raise TransientError("stopped")
            return await adopt(self, opened, **how)

        monkeypatch.setattr(Adopter, "adopt", stopped)
        with pytest.raises(TransientError, match="stopped"):
            async with opened(both(data)):
                pass
        monkeypatch.setattr(Adopter, "adopt", adopt)
        async with opened(both(data)) as node:
            assert node.rebuilder.report.adopted == len(stops) - stop - (when == "after")
            await all_served(node, outcome)
            await node.drain(DRAIN_S)
            assert node.status().conflicts == 1
            assert dumped(node.catalog)["instance"] == whole["instance"]


def test_whatever_call_goes_wrong_a_completion_comes_to_its_end(tmp_path, capsys):
    outcome = asyncio.run(come_up(tmp_path / "before"))
    quiet = completed(tmp_path, outcome, FaultyProvider())
    plan = quiet.calls
    assert len([each for each in plan if each.purpose == "rebuild"]) > len(OLD)
    explored = 0
    for number, made in enumerate(plan):
        for fault in FAULTS[made.method]:
            with failing_with(f"call {number} of {len(plan)} ({made}): {fault.value}"):
                met = completed(tmp_path, outcome, FaultyProvider(number, fault)).met
                assert met == made
                explored += 1
    with capsys.disabled():
        print(f" [{explored} fault points of {len(plan)} calls]", end="")


async def come_up(folder: Path) -> Outcome:
    """A node that is up without b, with what came meanwhile."""
    prepared(folder / "data")
    outcome = await apart(folder / "data")
    async with opened(both(folder / "data")) as node:
        await meanwhile(node, outcome)
    return outcome


def completed(tmp_path: Path, outcome: Outcome, bucket: FaultyProvider) -> FaultyProvider:
    """What becomes of a copy of it when b comes back, and one call of it goes wrong."""
    shutil.rmtree(tmp_path / "now", ignore_errors=True)
    shutil.copytree(tmp_path / "before", tmp_path / "now")
    asyncio.run(completion(tmp_path / "now" / "data", outcome, bucket))
    return bucket


async def completion(data: Path, outcome: Outcome, bucket: FaultyProvider) -> None:
    def around(provider):
        return bucket.around(provider) if provider.name == "b" else provider

    async with open_node(both(data), disk=QuickDisk(), in_process=True, reached=around) as node:
        back(data)
        for _ in range(3):
            try:
                await node.complete()
            except FileroomError:
                assert incomplete(node), "what failed is done again"
        assert not incomplete(node)
        # The call that goes wrong may be a read.
        with contextlib.suppress(FileroomError, ValueError):
            await all_served(node, outcome)
        try:
            await all_served(node, outcome)
            return
        except ValueError:  # not there
            assert [each for each in node.status().warnings if each.startswith("rebuild failed")]
    lose_catalog(data)  # what the warning asks for: `fileroom rebuild`
    async with opened(both(data)) as node:
        await all_served(node, outcome)

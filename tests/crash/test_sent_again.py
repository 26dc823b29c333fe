"""A study is sent again because what is stored of it has rotted: that is how people repair an
archive. What can be read is stored once; what cannot be is stored again and served.
"""

import asyncio
import shutil
from pathlib import Path

import pytest

from crash.crashing_disk import KILLED, CrashingDisk
from crash.test_node_crashes import LOST, Outcome, failing_with, prepared, read, store
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.rows import PackRow
from fileroom.cli.rebuilding import set_catalog_aside
from fileroom.dicom.uid import digest
from fileroom.disk import Disk
from fileroom.errors import IntegrityError, TransientError
from fileroom.ingest.build import local_path
from fileroom.node.assemble import open_node
from fileroom.node.config import Settings
from fileroom.node.node import Node
from instances import dataset, uids
from nodes import settings_of
from spool_parts import QuickDisk

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

ONE, BESIDE = (1, 1, 1), (1, 1, 2)
SIZE_BYTES = 256 << 10  # of the pixels: the metadata then lies in another segment
ROUNDS_MAX = 12


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    prepared(tmp_path / "data")
    return rotting(tmp_path / "data")


def rotting(data: Path, **keys: str) -> Settings:
    """Settings of a node that keeps its packs on its disk and has one bucket, below its folder."""
    return settings_of(data, spool__segment_size_bytes=str(4 << 20), seal__quiet_s="0", **keys)


def opened(settings: Settings, *, disk: Disk | None = None):
    return open_node(settings, disk=disk or QuickDisk(), in_process=True)


async def sent(node: Node, *keys: tuple[int, int, int], data: bytes = b"") -> Outcome:
    outcome = Outcome()
    await store(node, outcome, list(keys), size_bytes=SIZE_BYTES, data=data)
    await worked_off(node)
    return outcome


async def worked_off(node: Node) -> None:
    """All stages, until none finds anything to do. A pack that is AT_RISK stays so."""
    await node.parts.intake.settled()
    for _ in range(ROUNDS_MAX):
        moved = await node.seal.round(everything=True)
        for stage in (node.replicate, node.verify, node.commit):
            moved += await stage.round()
        if not moved:
            return
    raise AssertionError(f"not done after {ROUNDS_MAX} rounds")


def packs(node: Node) -> list[PackRow]:
    return node.catalog.packs(limit=99)


def local(node: Node, pack: PackRow) -> Path:
    return local_path(node.parts.folder.packs, pack.study_key_id, pack.sha256)


def copy_of(node: Node, pack: PackRow) -> Path:
    (provider,) = node.settings.providers_in_use.values()
    path = local(node, pack)
    return Path(provider.path) / "packs" / path.parent.name / path.name


def rot(path: Path, *, whole: bool = False) -> None:
    """Flip a bit in the first instance; with `whole` one in the metadata too."""
    content = bytearray(path.read_bytes())
    content[70_000] ^= 1
    if whole:
        content[-100] ^= 1
    path.write_bytes(content)


async def rotten(settings: Settings, *, whole: bool = False, keys=(ONE,)) -> Outcome:
    """An archive that has rotted everywhere, and what was in it."""
    async with opened(settings) as node:
        outcome = await sent(node, *keys)
        (pack,) = packs(node)
        assert pack.state is PackState.COMMITTED
        for path in (local(node, pack), copy_of(node, pack)):
            rot(path, whole=whole)
    return outcome


async def served(node: Node, key: tuple[int, int, int]) -> list[bytes]:
    """All that is served of the key's study."""
    found = await node.archive.holdings(uids(*key)[0])
    return [await each.read(0, each.size_bytes) for each in found]


@pytest.mark.parametrize("whole", [False, True], ids=["its pixels", "its metadata too"])
async def test_what_has_rotted_everywhere_is_served_again_once_it_is_sent_again(settings, whole):
    before = await rotten(settings, whole=whole)
    async with opened(settings) as node:
        with pytest.raises(IntegrityError):
            await read(node, ONE)
        assert packs(node)[0].state is PackState.AT_RISK
        assert (await sent(node, ONE)).acknowledged == before.acknowledged
        (one,) = await served(node, ONE)
        assert one.endswith(before.acknowledged[ONE])
        assert [each.state for each in packs(node)] == [PackState.AT_RISK, PackState.COMMITTED]
        # Of what cannot be read nobody can say whether it is another data set.
        assert node.status().conflicts == (1 if whole else 0)
        (sealed,) = [e for e in node.parts.ledger.records(0) if e.kind == "sealed"][1:]
        assert sealed.body["replacements"] == 1
    set_catalog_aside(settings)
    async with opened(settings) as node:
        (one,) = await served(node, ONE)
        assert one.endswith(before.acknowledged[ONE])
        assert node.status().conflicts == 0


async def test_the_rot_is_noticed_by_who_sends_again_where_nobody_has_read_before(settings):
    before = await rotten(settings, keys=(ONE, BESIDE))
    async with opened(settings) as node:
        await sent(node, ONE, BESIDE)
        old, new = packs(node)
        assert old.state is PackState.AT_RISK
        assert new.instance_count == 1, "the other one can be read, and is stored once"
        for key, data in before.acknowledged.items():
            assert (await read(node, key)).endswith(data)
        assert len(await served(node, ONE)) == 2


async def test_a_second_rot_is_repaired_as_the_first_was(settings):
    before = await rotten(settings)
    async with opened(settings) as node:
        await sent(node, ONE)
        newest = packs(node)[-1]
        for path in (local(node, newest), copy_of(node, newest)):
            rot(path)
    for _ in range(2):
        async with opened(settings) as node:
            await sent(node, ONE)
            (one,) = await served(node, ONE)
            assert one.endswith(before.acknowledged[ONE])
            assert len(packs(node)) == 3
        set_catalog_aside(settings)


async def test_another_data_set_is_served_where_the_first_cannot_be_and_the_conflict_is_shown(
    settings,
):
    await rotten(settings)
    other = dataset(*ONE, size_bytes=SIZE_BYTES + 256)
    async with opened(settings) as node:
        await sent(node, ONE, data=other)
        (one,) = await served(node, ONE)
        assert one.endswith(other)
        assert node.status().conflicts == 1


async def test_one_good_copy_is_enough_to_store_nothing_twice(settings):
    async with opened(settings) as node:
        outcome = await sent(node, ONE)
        (pack,) = packs(node)
        rot(local(node, pack), whole=True)
    async with opened(settings) as node:
        await sent(node, ONE)
        assert len(packs(node)) == 1
        assert node.catalog.totals().received.instances == 0
        assert (await read(node, ONE)).endswith(outcome.acknowledged[ONE])


def compared(node: Node) -> int:
    """Provider calls for the sake of comparing."""
    counts = node.parts.meter.snapshot().items()
    return sum(count.requests for key, count in counts if key.purpose == "compare")


async def test_what_lies_on_this_disk_is_read_here_and_what_is_vouched_for_not_at_all(settings):
    async with opened(settings) as node:
        await sent(node, ONE)
        await sent(node, ONE)
        assert compared(node) == 0
    async with opened(rotting(settings.data_directory, local__packs_size_bytes="0")) as node:
        await node.evict.round()
        (pack,) = packs(node)
        assert not pack.local
        await sent(node, ONE)
        assert compared(node) == 0
        assert len(packs(node)) == 1
        node.catalog.set_copy(pack.number, "bucket", CopyState.VERIFIED, CopyState.SUSPECT)
        node.catalog.set_pack_state(pack.number, PackState.COMMITTED, PackState.AT_RISK)
        await sent(node, ONE)
        assert compared(node) == 1
        assert len(packs(node)) == 1, "it can be read, whatever was thought of it"


async def test_an_evicted_pack_that_failed_a_reader_is_not_taken_on_trust(settings):
    evicting = rotting(settings.data_directory, local__packs_size_bytes="0")
    async with opened(evicting) as node:
        outcome = await sent(node, ONE)
        await node.evict.round()
        (pack,) = packs(node)
        rot(copy_of(node, pack))
        with pytest.raises(IntegrityError):
            await read(node, ONE)
        kept = packs(node)[0]
        assert (kept.state, kept.local) == (PackState.AT_RISK, False)
        await sent(node, ONE)
        (one,) = await served(node, ONE)
        assert one.endswith(outcome.acknowledged[ONE])


async def test_what_nobody_can_tell_just_now_waits_and_is_not_dropped(settings):
    async with opened(settings) as node:
        outcome = await sent(node, ONE)
        (pack,) = packs(node)
        rot(local(node, pack))
        bucket = Path(settings.providers_in_use["bucket"].path)
        bucket.rename(bucket.parent / "away")
        await store(node, outcome, [ONE], size_bytes=SIZE_BYTES)
        await node.parts.intake.settled()
        with pytest.raises(TransientError):
            await node.seal.round(everything=True)
        assert node.catalog.totals().received.instances == 1
        (bucket.parent / "away").rename(bucket)
        await worked_off(node)
        assert node.catalog.totals().received.instances == 0
        assert len(packs(node)) == 1


async def test_a_conflict_whose_first_is_not_sealed_yet_neither_hides_it_nor_is_stored_twice(
    settings, monkeypatch
):
    """A pack that is full before its time may hold the second of two and not the first."""
    monkeypatch.setattr("fileroom.pack.writer.INSTANCE_COUNT_MAX", 1)
    first = dataset(*ONE, size_bytes=512).replace(b"IS\x04\x000000", b"IS\x04\x000009")
    second = dataset(*ONE, size_bytes=768).replace(b"IS\x04\x000000", b"IS\x04\x000001")
    async with opened(settings) as node:
        for data in (first, second):
            await store(node, Outcome(), [ONE], size_bytes=0, data=data)
        await node.parts.intake.settled()
        await node.seal.round(everything=True)
        assert node.catalog.locate(digest(uids(*ONE)[2])).pack is None, "the second is sealed only"
        assert (await read(node, ONE)).endswith(first)
        for data in (second, first):
            await store(node, Outcome(), [ONE], size_bytes=0, data=data)
        await worked_off(node)
        assert (await read(node, ONE)).endswith(first)
        assert [each.conflict_count for each in packs(node)] == [1, 0]
        assert node.status().conflicts == 1
        assert node.catalog.totals().received.instances == 0
    set_catalog_aside(settings)
    async with opened(settings) as node:
        assert (await read(node, ONE)).endswith(first)
        assert node.status().conflicts == 1


async def test_the_same_as_one_that_is_not_sealed_yet_waits_for_it(settings, monkeypatch):
    monkeypatch.setattr("fileroom.pack.writer.INSTANCE_COUNT_MAX", 1)
    async with opened(settings) as node:
        outcome = Outcome()
        await store(node, outcome, [ONE, BESIDE, BESIDE], size_bytes=256)
        await node.parts.intake.settled()
        await node.seal.round(everything=True)
        assert node.catalog.totals().received.instances == 2
        await worked_off(node)
        assert node.catalog.totals().received.instances == 0
        assert sum(each.instance_count for each in packs(node)) == 2


# Stopped before and after every durable step of it


async def a_repair(settings: Settings, disk: Disk, outcome: Outcome) -> None:
    async with opened(settings, disk=disk) as node:
        await store(node, outcome, [ONE], size_bytes=SIZE_BYTES)
        await worked_off(node)


async def next_start(settings: Settings, outcome: Outcome) -> None:
    async with opened(settings) as node:
        await worked_off(node)
        if not outcome.acknowledged:  # so the sender sends it once more
            outcome = await sent(node, ONE)
        (one,) = await served(node, ONE)
        assert one.endswith(outcome.acknowledged[ONE])
        assert [each.state for each in packs(node)] == [PackState.AT_RISK, PackState.COMMITTED]
        assert node.status().conflicts == 0


def stopped(template: Path, folder: Path, crash_at: int | None, when) -> tuple:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    disk = CrashingDisk(folder, crash_at=crash_at, when=when, foreign="catalog*")
    outcome = Outcome()
    try:
        asyncio.run(asyncio.wait_for(a_repair(rotting(folder), disk, outcome), 30))
    except BaseException as error:
        if not disk.crashed:
            raise
        del error
    return disk, outcome


@pytest.mark.parametrize(
    ("survival", "catalog"),
    [
        (KILLED, "copy"),
        pytest.param(KILLED, "leave out", marks=pytest.mark.slow),
        pytest.param(LOST, "copy", marks=pytest.mark.slow),
        pytest.param(LOST, "leave out", marks=pytest.mark.slow),
    ],
)
def test_a_repair_that_is_stopped_anywhere_is_whole_or_can_be_done_again(
    tmp_path, survival, catalog, capsys
):
    template = tmp_path / "template"
    prepared(template)
    asyncio.run(rotten(rotting(template)))
    disk, outcome = stopped(template, tmp_path / "data", None, "before")
    assert outcome.acknowledged
    count = len(disk.steps)
    for step in range(count):
        for when in ("before", "after"):
            disk, outcome = stopped(template, tmp_path / "data", step, when)
            target = tmp_path / "after"
            shutil.rmtree(target, ignore_errors=True)
            disk.materialise(target, survival, untracked=catalog)
            with failing_with(f"crash {when} step {step} of {count} ({disk.steps[-1]})"):
                asyncio.run(next_start(rotting(target), outcome))
    with capsys.disabled():
        print(f" [{2 * count} crash points]", end="")

"""One day of a node, with one provider call gone wrong: every call, in every way it can go wrong.

Instances are sealed, replicated, verified, committed, sent again when this disk has rotted, read
from the provider once they are evicted; the ledger is published and the bucket furnished. The
rounds are tried again as a node does it, and a start that failed is begun again. In the end
everything is COMMITTED; or, where the copy that was read back was not what was put, AT_RISK and
still served from this node's disk. A site key that was not what was put is put and read again:
nothing is COMMITTED until it is good.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crash.faulty_provider import FAULTS, Fault, FaultyProvider, Made
from crash.test_node_crashes import FIRST, SECOND, Outcome, failing_with, prepared, read, store
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.rows import PackRow
from fileroom.cli.rebuilding import set_catalog_aside
from fileroom.errors import FileroomError
from fileroom.ingest.build import local_path
from fileroom.keys.objects import SITE_KEY
from fileroom.node.assemble import open_node
from fileroom.node.config import Settings
from fileroom.node.furnish import belongings, furnish
from fileroom.node.node import Node
from fileroom.pack.format import object_name
from nodes import PASSPHRASE, settings_of
from spool_parts import QuickDisk

TURNS_MAX = 12
WELL = {CopyState.VERIFIED}
DOUBTED = {CopyState.REPLICATED, CopyState.SUSPECT, CopyState.LOST}


@dataclass
class Day:
    """A day that is over.

    Attributes:
        errors: what a node would have logged, in order.
    """

    bucket: FaultyProvider
    outcome: Outcome = field(default_factory=Outcome)
    errors: list[str] = field(default_factory=list)

    async def tried(self, work: Callable[[], Awaitable[int | None]]) -> int:
        """One round, as `node.rounds` does it: how much it did, 1 where it has to be repeated."""
        try:
            return await work() or 0
        except FileroomError as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            return 1


async def session(settings: Settings, day: Day, work: Callable[[Node], Awaitable[None]]) -> None:
    """A node from its start to its stop; a start that the fault meets fails, and is begun again."""
    for _ in range(2):
        up = False
        try:
            async with open_node(
                settings, disk=QuickDisk(), in_process=True, reached=day.bucket.around
            ) as node:
                up = True
                watch(node, day.bucket)
                await work(node)
            return
        except FileroomError as error:
            if up or day.errors:
                raise
            day.errors.append(f"{type(error).__name__}: {error}")


def watch(node: Node, bucket: FaultyProvider) -> None:
    """Let nothing be called REPLICATED whose put nobody has answered and nobody looked for."""
    set_copy, set_key_copy = node.catalog.set_copy, node.catalog.set_key_copy

    def copied(number, provider, from_, to, **facts):
        (pack,) = node.catalog.packs(numbers=[number], limit=1)
        assert to is not CopyState.REPLICATED or name_of(pack) not in bucket.unproved
        set_copy(number, provider, from_, to, **facts)

    def key_copied(owner, generation, provider, from_, to, **facts):
        folder = "keyring/site/" if owner == SITE_KEY else f"keyring/{owner.hex()}/"
        lost = [name for name in bucket.unproved if name.startswith(folder)]
        assert to is not CopyState.REPLICATED or not lost
        set_key_copy(owner, generation, provider, from_, to, **facts)

    node.catalog.set_copy, node.catalog.set_key_copy = copied, key_copied


def name_of(pack: PackRow) -> str:
    return object_name(pack.study_key_id, pack.sha256)


async def worked_off(node: Node, day: Day) -> None:
    """All rounds, until none finds anything to do."""
    await node.parts.intake.settled()
    for _ in range(TURNS_MAX):
        moved = await day.tried(lambda: node.seal.round(everything=True))
        for stage in (node.replicate, node.verify, node.commit):
            moved += await day.tried(stage.round)
        if not moved and not await waiting(node):
            return
    raise AssertionError(f"not done after {TURNS_MAX} turns: {day.errors}")


async def waiting(node: Node) -> int:
    """Instances that are neither COMMITTED nor AT_RISK."""
    totals = await asyncio.to_thread(node.catalog.totals)
    on_the_way = (PackState.SEALED, PackState.REPLICATED, PackState.VERIFIED)
    states = [totals.states[each].instances for each in on_the_way if each in totals.states]
    return totals.received.instances + sum(states)


async def upkept(node: Node, day: Day) -> None:
    """Publication and furniture, until both have succeeded."""

    async def published() -> int:
        for publisher in node.publishers:
            await publisher.publish()
        return 0

    for work in (published, lambda: furnish(node.parts.providers.values())):
        tries = 0
        while await day.tried(work):
            tries += 1
            assert tries <= 1, day.errors


async def served(node: Node, day: Day) -> None:
    """Every acknowledged instance, bit for bit; one try may fail."""
    for key, data in day.outcome.acknowledged.items():
        wanted = data

        async def found(key=key, wanted=wanted) -> None:
            assert (await read(node, key)).endswith(wanted), f"{key} is not what was sent"

        if await day.tried(found):
            await found()


def rot_here(node: Node) -> None:
    """Let files on this disk rot whose copies are whole: what is sent again is compared there."""
    for pack in node.catalog.packs(state=PackState.COMMITTED, limit=99):
        path = local_path(node.parts.folder.packs, pack.study_key_id, pack.sha256)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


async def a_day(settings: Settings, day: Day) -> None:
    async def until_evicted(node: Node) -> None:
        await store(node, day.outcome, FIRST, size_bytes=256)
        await worked_off(node, day)
        rot_here(node)
        await store(node, day.outcome, [FIRST[0], *SECOND], size_bytes=256)
        await store(node, day.outcome, [FIRST[1]], size_bytes=512)  # a conflict
        await worked_off(node, day)
        await upkept(node, day)
        await node.evict.round()
        await node.evict.round()
        await served(node, day)

    async def after_a_restart(node: Node) -> None:
        await worked_off(node, day)
        await upkept(node, day)
        await served(node, day)

    await session(settings, day, until_evicted)
    await session(settings, day, after_a_restart)


async def evening(settings: Settings, day: Day) -> None:
    """What must be so after every day, seen by a start that nothing disturbs."""
    at_risk = 0
    async with open_node(settings, disk=QuickDisk(), in_process=True) as node:
        await served(node, day)
        packs = node.catalog.packs(limit=99)
        for pack in packs:
            (copy,) = node.catalog.copies(pack.number)
            if pack.state is PackState.AT_RISK:
                assert copy.state in DOUBTED
                assert pack.local, "the copy on this disk is the one that is left"
                at_risk += 1
                continue
            assert (pack.state, copy.state) == (PackState.COMMITTED, CopyState.VERIFIED)
            assert {each.state for each in node.catalog.key_copies(pack.study_key_id)} == WELL
        assert {each.state for each in node.catalog.key_copies(SITE_KEY)} == WELL
        met, fault = day.bucket.met, day.bucket.fault
        doubted = met is not None and met.purpose == "verify" and met.folder != "keyring/site"
        assert at_risk == (doubted and fault in (Fault.WRONG_BYTES, Fault.MISSING))
        assert node.status().conflicts == 1
        for publisher in node.publishers:
            await publisher.publish()
            assert await publisher.check() == node.parts.ledger.size
        in_bucket(settings, packs)


def in_bucket(settings: Settings, packs: list[PackRow]) -> None:
    """Each object once, under the name of its bytes, and nothing else."""
    (provider,) = settings.providers_in_use.values()
    root = Path(provider.path)
    there = {each.relative_to(root).as_posix(): each for each in root.rglob("*") if each.is_file()}
    assert {name for name in there if name.startswith("packs/")} == {name_of(p) for p in packs}
    for pack in packs:
        assert hashlib.sha256(there[name_of(pack)].read_bytes()).digest() == pack.sha256
    keys = [name for name in there if name.startswith("keyring/") and "/site/" not in name]
    assert sorted(name.split("/")[1] for name in keys) == sorted(
        {pack.study_key_id.hex() for pack in packs}
    )
    for path in (settings.data_directory / "keyring" / "site").iterdir():
        assert there[f"keyring/site/{path.name}"].read_bytes() == path.read_bytes()
    for name, data in belongings().items():
        assert there[name].read_bytes() == data
    assert not [name for name in there if name.startswith(".incoming")]


def spent(scratch: Path, template: Path, bucket: FaultyProvider) -> Day:
    """The day, and its evening."""
    folder = scratch / "data"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    settings = settings_of(
        folder, local__packs_size_bytes="0", spool__segment_size_bytes=str(1 << 20)
    )
    day = Day(bucket)
    asyncio.run(a_day(settings, day))
    assert len(day.outcome.acknowledged) == len(FIRST) + len(SECOND)
    asyncio.run(evening(settings, day))
    return day


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "data"
    prepared(folder)
    return folder


def test_whatever_call_goes_wrong_nothing_is_lost_doubled_or_believed(tmp_path, template, capsys):
    quiet = spent(tmp_path, template, FaultyProvider())
    assert quiet.errors == []
    plan: list[Made] = quiet.bucket.calls
    assert {each.purpose for each in plan} >= {
        "replicate",
        "verify",
        "ledger",
        "furnish",
        "retrieve",
        "compare",
    }
    assert Made("get", "verify", "keyring/site") in plan
    explored = 0
    for number, made in enumerate(plan):
        for fault in FAULTS[made.method]:
            with failing_with(f"call {number} of {len(plan)} ({made}): {fault.value}"):
                day = spent(tmp_path, template, FaultyProvider(number, fault))
                assert day.bucket.met == made
                explored += 1
    with capsys.disabled():
        print(f" [{explored} fault points of {len(plan)} calls]", end="")


async def start_over(settings: Settings, day: Day) -> None:
    """The start of a node that has its site key and a bucket, and nothing else."""
    for _ in range(3):
        found = False
        try:
            async with open_node(
                settings, disk=QuickDisk(), in_process=True, reached=day.bucket.around
            ) as node:
                found = await all_found(node, day)
        except FileroomError as error:
            day.errors.append(f"{type(error).__name__}: {error}")
            continue
        if found:
            return
        set_catalog_aside(settings)  # what the warning asks for: `fileroom rebuild`
    raise AssertionError(f"not there after three starts: {day.errors}")


async def all_found(node: Node, day: Day) -> bool:
    """Whether everything is served; where it is not, a warning must say so. What a provider was
    away for is taken up without another start."""
    awaited = node.rebuilder.awaited()
    assert bool(awaited) == any("catalog incomplete" in each for each in node.status().warnings)
    assert await node.complete() == bool(awaited)
    try:
        await served(node, day)
    except (FileroomError, ValueError):
        assert [each for each in node.status().warnings if each.startswith("rebuild failed")]
        return False
    assert node.parts.ledger.verify()
    return True


@pytest.fixture(scope="module")
def bereft(template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A data folder of which the bucket and the wrapped site key are left, and what was in it."""
    folder = tmp_path_factory.mktemp("bereft") / "data"
    shutil.copytree(template, folder)
    outcome = Outcome()

    async def before() -> None:
        async with open_node(settings_of(folder), disk=QuickDisk(), in_process=True) as node:
            await store(node, outcome, FIRST[1:], size_bytes=256)
            await node.drain(60)

    asyncio.run(before())
    for each in [
        *folder.glob("catalog.db*"),
        folder / "packs",
        folder / "spool",
        folder / "ledger",
    ]:
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    for each in (folder / "keyring").iterdir():
        if each.name not in ("site", "tmp"):
            shutil.rmtree(each)
    return folder, outcome


def begun_again(scratch: Path, bereft: tuple[Path, Outcome], bucket: FaultyProvider) -> Day:
    shutil.rmtree(scratch / "data", ignore_errors=True)
    shutil.copytree(bereft[0], scratch / "data")
    day = Day(bucket, bereft[1])
    asyncio.run(start_over(settings_of(scratch / "data"), day))
    return day


def test_whatever_call_goes_wrong_a_bucket_is_enough_to_begin_again(tmp_path, bereft, capsys):
    quiet = begun_again(tmp_path, bereft, FaultyProvider())
    assert quiet.errors == []
    plan = quiet.bucket.calls
    assert {each.purpose for each in plan} >= {"ledger-restore", "rebuild"}
    explored = 0
    for number, made in enumerate(plan):
        for fault in FAULTS[made.method]:
            with failing_with(f"call {number} of {len(plan)} ({made}): {fault.value}"):
                begun_again(tmp_path, bereft, FaultyProvider(number, fault))
                explored += 1
    with capsys.disabled():
        print(f" [{explored} fault points of {len(plan)} calls]", end="")

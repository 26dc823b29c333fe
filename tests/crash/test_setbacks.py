"""What goes wrong beside a node and must stay there: a provider that is away or not in use any
more, a copy that is damaged, a record that does not open, a disk that is full.

In each of them one thing fails; nothing that was acknowledged is lost or hidden by it, and no other
series, pack or provider waits for it.
"""

import asyncio
import errno
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from crash.test_node_crashes import Outcome, prepared, read, store
from fileroom.access.identity import of_address
from fileroom.catalog.errors import CatalogFullError
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.dicom.uid import digest
from fileroom.errors import FileroomError, TransientError
from fileroom.keys.objects import SITE_KEY
from fileroom.node.assemble import open_node
from fileroom.node.config import Settings, load
from fileroom.node.furnish import furnish
from fileroom.node.node import Node
from fileroom.spool.format import segment_name
from instances import uids
from spool_parts import QuickDisk

DRAIN_S = 30.0
ONE, OTHER = (1, 1, 1), (2, 1, 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    prepared(tmp_path / "data")
    return tmp_path / "data"


def settings_with(data: Path, *providers: str, **keys: str) -> Settings:
    """Settings with a folder beside the data folder for each of `providers`."""
    file = data.parent / f"{'-'.join(providers)}.toml"
    file.write_text(
        "".join(
            f'[providers.{name}]\nkind = "directory"\npath = "{data.parent / name}"\n'
            for name in providers
        )
    )
    overrides = {
        "data.directory": str(data),
        "site.name": "test-site",
        "seal.quiet_s": "0",
        "spool.reserve_bytes": "0",
        "spool.segment_size_bytes": str(1 << 20),
        **{name.replace("__", "."): value for name, value in keys.items()},
    }
    return load(file=str(file), overrides=overrides, environment={})


def opened(settings: Settings, *, disk: QuickDisk | None = None, in_process: bool = True):
    return open_node(settings, disk=disk or QuickDisk(), in_process=in_process)


async def sealed(node: Node, *keys: tuple[int, int, int]) -> Mapping[tuple[int, int, int], bytes]:
    outcome = Outcome()
    for key in keys:
        await store(node, outcome, [key], size_bytes=256)
    await node.parts.intake.settled()
    await node.seal.round(everything=True)
    return outcome.acknowledged


async def committed(node: Node, *keys: tuple[int, int, int]):
    acknowledged = await sealed(node, *keys)
    await node.drain(DRAIN_S)
    return acknowledged


async def evicted(node: Node, data: Path) -> None:
    for _ in range(2):
        await node.evict.round()
    assert not local_packs(data)


async def tried(stage, rounds: int = 3, **how: bool) -> None:
    """Rounds of a stage, as node.rounds does them: a failure is not the end."""
    for _ in range(rounds):
        try:
            await stage.round(**how)
        except FileroomError:
            continue


def local_packs(data: Path) -> list[Path]:
    return list((data / "packs").glob("*/*"))


def spoil(pack: Path) -> None:
    """Flip a bit in the instances and one in the metadata."""
    content = bytearray(pack.read_bytes())
    content[len(content) // 4] ^= 1
    content[-100] ^= 1
    pack.write_bytes(content)


# Which copy is the last one


async def test_a_local_pack_stays_while_the_provider_with_its_copy_is_not_in_use(data):
    async with opened(settings_with(data, "a")) as node:
        acknowledged = await committed(node, ONE)
    async with opened(settings_with(data, "b", local__packs_size_bytes="0")) as node:
        for _ in range(3):
            await node.evict.round()
        assert (await read(node, ONE)).endswith(acknowledged[ONE])
    async with opened(settings_with(data, "a", local__packs_size_bytes="0")) as node:
        await evicted(node, data)
        assert (await read(node, ONE)).endswith(acknowledged[ONE])


async def test_a_local_pack_stays_until_there_are_as_many_copies_as_placement_asks_for_now(data):
    async with opened(settings_with(data, "a")) as node:
        await committed(node, ONE)
    more = settings_with(data, "a", "b", placement__copies_min="2", local__packs_size_bytes="0")
    async with opened(more) as node:
        for _ in range(3):
            await node.evict.round()
    assert local_packs(data)


class NearlyFullDisk(QuickDisk):
    left_bytes = 1 << 40

    def free_bytes(self, path: Path) -> int:
        return self.left_bytes


async def test_packs_are_evicted_from_a_disk_that_is_under_its_reserve(data):
    disk = NearlyFullDisk()
    settings = settings_with(data, "a", spool__reserve_bytes=str(1 << 30))
    async with opened(settings, disk=disk) as node:
        await committed(node, ONE)
        disk.left_bytes = 1 << 20  # somebody else has filled it, so that no segment can begin
        await node.evict.round()
        assert not local_packs(data)


# Sealing: one series does not wait for another


async def test_a_duplicate_that_cannot_be_compared_holds_up_no_other_series(data):
    settings = settings_with(data, "a", local__packs_size_bytes="0")
    async with opened(settings) as node:
        await committed(node, ONE)
        await evicted(node, data)
    (data.parent / "a").rename(data.parent / "away")
    async with opened(settings) as node:
        outcome = Outcome()
        await store(node, outcome, [ONE, OTHER], size_bytes=256)
        await node.parts.intake.settled()
        await tried(node.seal, everything=True)
        assert node.catalog.locate(digest(uids(*OTHER)[2])).pack is not None


async def test_a_record_that_does_not_open_is_set_aside_whoever_builds_the_pack(data):
    """The worker process has to bring the error home as it is."""
    async with opened(settings_with(data, "a"), in_process=False) as node:
        await store(node, Outcome(), [ONE], size_bytes=4096)
        await store(node, Outcome(), [OTHER], size_bytes=256)
        await node.parts.intake.settled()
        segment = data / "spool" / segment_name(1)
        content = bytearray(segment.read_bytes())
        content[4096 + 600] ^= 1  # in the first frame
        segment.write_bytes(content)
        await tried(node.seal, everything=True)
        totals = node.catalog.totals()
        assert totals.set_aside.instances == 1
        assert totals.states[PackState.SEALED].instances == 1


async def test_rounds_at_once_seal_every_instance_once_under_one_study_key(data):
    keys = [(1, 1, 1), (1, 2, 1), (1, 1, 2), (1, 2, 2)]
    async with opened(settings_with(data, "a")) as node:
        outcome = Outcome()
        await store(node, outcome, keys, size_bytes=256)
        await node.parts.intake.settled()
        await asyncio.gather(*(node.seal.round(everything=True) for _ in range(4)))
        packs = node.catalog.packs(limit=99)
        assert sum(pack.instance_count for pack in packs) == len(keys)
        assert len({pack.study_key_id for pack in packs}) == 1
        for key, sent in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(sent)


async def test_the_place_of_a_lost_instance_is_never_given_to_another_one(data):
    settings = settings_with(data, "a")
    async with opened(settings) as node:
        await store(node, Outcome(), [ONE], size_bytes=256)
    for each in (data / "spool").iterdir():
        each.unlink()
    beside = (*ONE[:2], 2)  # of the same series and size: it would lie at the same offset
    async with opened(settings) as node:
        acknowledged = await sealed(node, beside)
    async with opened(settings) as node:
        assert await node.archive.holdings(*uids(*ONE)) == []
        assert (await read(node, beside)).endswith(acknowledged[beside])


# Providers: one does not wait for another


async def test_all_packs_go_to_one_provider_while_the_other_is_away(data, monkeypatch):
    monkeypatch.setattr("fileroom.ingest.replicate.PACKS_A_ROUND", 2)
    settings = settings_with(data, "a", "b")
    async with opened(settings):
        pass
    (data.parent / "b").rename(data.parent / "away")
    async with opened(settings) as node:
        await sealed(node, *((study, 1, 1) for study in range(1, 6)))
        await tried(node.replicate)
        assert len(list((data.parent / "a" / "packs").glob("*/*"))) == 5


async def test_a_provider_that_is_away_gets_its_copies_later_and_holds_up_no_commit(data):
    settings = settings_with(data, "a", "b", local__packs_size_bytes="0")
    async with opened(settings):
        pass
    (data.parent / "b").rename(data.parent / "away")
    async with opened(settings) as node:
        acknowledged = await committed(node, ONE)
        for _ in range(2):
            await node.evict.round()
        assert local_packs(data), "the copy that b is owed can be made from no other place"
    (data.parent / "away").rename(data.parent / "b")
    async with opened(settings) as node:
        await tried(node.replicate)
        await tried(node.verify)
        copies = {each.provider: each.state for each in node.catalog.copies(1)}
        assert copies == {"a": CopyState.VERIFIED, "b": CopyState.VERIFIED}
        assert node.catalog.packs(limit=9)[0].state is PackState.COMMITTED
        await evicted(node, data)
        assert (await read(node, ONE)).endswith(acknowledged[ONE])


async def test_a_late_copy_that_is_not_what_was_put_makes_a_committed_pack_at_risk(data):
    settings = settings_with(data, "a", "b")
    async with opened(settings):
        pass
    (data.parent / "b").rename(data.parent / "away")
    async with opened(settings) as node:
        await committed(node, ONE)
    (data.parent / "away").rename(data.parent / "b")
    async with opened(settings) as node:
        await tried(node.replicate, rounds=1)
        (late,) = (data.parent / "b" / "packs").glob("*/*")
        spoil(late)
        await tried(node.verify, rounds=1)
        assert node.catalog.packs(limit=9)[0].state is PackState.AT_RISK


async def test_a_spoiled_site_key_at_one_provider_keeps_no_pack_from_the_other(data):
    settings = settings_with(data, "a", "b", placement__copies_min="2")
    async with opened(settings) as node:
        await node.replicate.round()
    for each in (data.parent / "a" / "keyring" / "site").iterdir():
        each.write_bytes(b"{}")
    async with opened(settings) as node:
        await sealed(node, ONE)
        await tried(node.replicate)
        assert len(list((data.parent / "b" / "packs").glob("*/*"))) == 1
        assert not list((data.parent / "a" / "packs").glob("*/*"))
        assert node.catalog.packs(limit=9)[0].state is PackState.SEALED


def site_key_at(data: Path, provider: str) -> Path:
    (found,) = (data.parent / provider / "keyring" / "site").iterdir()
    return found


def site_key_states(node: Node) -> dict[str, CopyState]:
    return {each.provider: each.state for each in node.catalog.key_copies(SITE_KEY)}


async def test_nothing_is_committed_by_a_provider_whose_site_key_does_not_come_back(data):
    async with opened(settings_with(data, "a")) as node:
        await sealed(node, ONE)
        await node.replicate.round()
        site_key_at(data, "a").write_bytes(b"{}")
        for stage in (node.verify, node.commit, node.replicate):
            await tried(stage)
        assert site_key_states(node) == {"a": CopyState.SUSPECT}
        assert node.catalog.packs(limit=9)[0].state is PackState.VERIFIED
        site_key_at(data, "a").unlink()  # by a person: nothing there is ever overwritten
        for stage in (node.replicate, node.verify, node.commit):
            await tried(stage)
        assert site_key_states(node) == {"a": CopyState.VERIFIED}
        assert node.catalog.packs(limit=9)[0].state is PackState.COMMITTED


async def test_a_site_key_that_is_gone_is_put_and_read_again_before_anything_is_evicted(data):
    settings = settings_with(data, "a", local__packs_size_bytes="0")
    async with opened(settings) as node:
        acknowledged = await committed(node, ONE)
    site_key_at(data, "a").unlink()
    async with opened(settings) as node:
        await tried(node.replicate)
        assert site_key_states(node) == {"a": CopyState.REPLICATED}
        await node.evict.round()
        assert local_packs(data)
        await tried(node.verify)
        await evicted(node, data)
        assert (await read(node, ONE)).endswith(acknowledged[ONE])


async def test_a_key_that_is_gone_at_the_provider_holds_up_no_other_pack(data):
    async with opened(settings_with(data, "a")) as node:
        await sealed(node, ONE)
        await node.replicate.round()
        (pack,) = node.catalog.packs(limit=9)
        for each in (data.parent / "a" / "keyring" / pack.study_key_id.hex()).iterdir():
            each.unlink()
        await sealed(node, OTHER)
        for stage in (node.replicate, node.verify, node.commit):
            await tried(stage)
        assert node.catalog.totals().states[PackState.COMMITTED].packs == 1
        assert node.catalog.totals().states[PackState.AT_RISK].packs == 1


async def test_a_round_that_stopped_at_a_bad_copy_does_not_end_in_verified(data):
    async with opened(settings_with(data, "a")) as node:
        await sealed(node, ONE)
        await node.replicate.round()
        node.catalog.set_copy(1, "a", CopyState.REPLICATED, CopyState.SUSPECT)
        await node.verify.round()
        assert node.catalog.packs(limit=9)[0].state is PackState.AT_RISK


async def test_a_pack_whose_copies_are_at_no_provider_in_use_is_not_verified(data):
    async with opened(settings_with(data, "a")) as node:
        await sealed(node, ONE)
        await node.replicate.round()
    async with opened(settings_with(data, "b")) as node:
        await node.verify.round()
        assert node.catalog.packs(limit=9)[0].state is PackState.AT_RISK


class StaleDisk(QuickDisk):
    def make_directory(self, path: Path) -> None:
        if path.name == ".incoming" and path.parent.name == "b":
            raise OSError(errno.ESTALE, "injected")
        super().make_directory(path)


async def test_a_provider_that_could_not_be_made_is_made_by_a_later_start(data):
    async with opened(settings_with(data, "a")):
        pass
    both = settings_with(data, "a", "b")
    async with opened(both, disk=StaleDisk()):
        pass
    async with opened(both) as node:
        await committed(node, ONE)
        assert list((data.parent / "b" / "packs").glob("*/*"))


async def test_publishing_and_furnishing_pass_over_a_provider_that_is_away(data):
    settings = settings_with(data, "a", "b")
    async with opened(settings):
        pass
    (data.parent / "a").rename(data.parent / "away")
    checkpoint = data.parent / "b" / "ledger" / "test-site" / "checkpoint"
    before = checkpoint.read_bytes()
    async with opened(settings) as node:
        await store(node, Outcome(), [ONE], size_bytes=256)
        with pytest.raises(TransientError):
            await furnish(node.parts.providers.values())
    assert checkpoint.read_bytes() != before
    assert (data.parent / "b" / "unpack.py").exists()


async def test_the_ledger_goes_to_the_providers_though_the_catalog_fails(data, monkeypatch):
    async with opened(settings_with(data, "a")) as node:

        def fails(size):
            raise TransientError("the catalog is busy")

        monkeypatch.setattr(node.replay, "follow", fails)
        with pytest.raises(TransientError, match="busy"):
            await node._publish()
        (publisher,) = node.publishers
        assert await publisher.check() == node.parts.ledger.size
        monkeypatch.undo()


# Reading: from the first place that holds it whole


async def test_a_damaged_local_pack_is_read_from_the_provider(data):
    async with opened(settings_with(data, "a")) as node:
        acknowledged = await committed(node, ONE)
    for pack in local_packs(data):
        spoil(pack)
    async with opened(settings_with(data, "a")) as node:
        assert (await read(node, ONE)).endswith(acknowledged[ONE])


@pytest.mark.parametrize("known", [True, False])
async def test_a_damaged_copy_is_passed_over_for_a_whole_one(data, known):
    settings = settings_with(data, "a", "b", local__packs_size_bytes="0")
    async with opened(settings) as node:
        acknowledged = await committed(node, ONE)
        await evicted(node, data)
        for pack in (data.parent / "a" / "packs").glob("*/*"):
            spoil(pack)
        if known:
            node.catalog.set_copy(1, "a", CopyState.VERIFIED, CopyState.SUSPECT)
        assert (await read(node, ONE)).endswith(acknowledged[ONE])


class FullDisk(QuickDisk):
    full = False

    def write(self, descriptor: int, buffers, offset: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "injected")
        super().write(descriptor, buffers, offset)


async def test_an_evicted_pack_is_read_though_the_cache_takes_no_block(data):
    disk = FullDisk()
    async with opened(settings_with(data, "a", local__packs_size_bytes="0"), disk=disk) as node:
        acknowledged = await committed(node, ONE)
        await evicted(node, data)
        disk.full = True
        assert (await read(node, ONE)).endswith(acknowledged[ONE])
        disk.full = False


async def test_a_look_up_by_uid_waits_for_no_search(data):
    """It is made on the event loop, which would stand still."""
    async with opened(settings_with(data, "a")) as node:
        acknowledged = await committed(node, ONE)
        over = threading.Event()
        under_way = threading.Semaphore(0)

        def search() -> None:
            with node.catalog._file.reading():
                under_way.release()
                over.wait(DRAIN_S)

        threads = [threading.Thread(target=search) for _ in range(4)]
        for each in threads:
            each.start()
            under_way.acquire()
        try:
            assert (await read(node, ONE)).endswith(acknowledged[ONE])
            assert not over.is_set()
        finally:
            over.set()
            for each in threads:
                each.join()


# Rebuilding, and the end


async def test_a_rebuild_takes_a_pack_from_the_provider_where_the_local_file_is_damaged(data):
    settings = settings_with(data, "a")
    async with opened(settings) as node:
        acknowledged = await committed(node, ONE)
        for _ in range(2):
            await node.evict.round()  # the spool's segment goes, the pack stays
    for pack in local_packs(data):
        spoil(pack)
    lose_catalog(data)
    async with opened(settings) as node:
        assert (node.rebuilder.report.adopted, node.rebuilder.report.unreadable) == (1, 0)
        assert (await read(node, ONE)).endswith(acknowledged[ONE])


async def test_a_local_pack_in_a_bad_sector_does_not_stop_the_start(data, monkeypatch):
    settings = settings_with(data, "a")
    async with opened(settings) as node:
        acknowledged = await committed(node, ONE)
    lose_catalog(data)

    def failing(path: Path, start: int, end: int) -> bytes:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr("fileroom.recovery.found._read_file", failing)
    async with opened(settings) as node:
        assert (await read(node, ONE)).endswith(acknowledged[ONE])


def lose_catalog(data: Path) -> None:
    for each in data.glob("catalog.db*"):
        each.unlink()


async def test_a_stop_tells_what_was_read_though_the_catalog_takes_nothing(data):
    before = set(threading.enumerate())
    async with opened(settings_with(data, "a")) as node:
        await committed(node, ONE)
        record = await node.coverage.covers(
            of_address("127.0.0.1"), uids(*ONE)[0], purpose="retrieve", channel="wado"
        )
        record.count(instances=1)

        def full(*_: object, **__: object) -> None:
            raise CatalogFullError("injected")

        node.catalog.record_spooled = full
        await store(node, Outcome(), [OTHER], size_bytes=256)
        ledger = node.parts.ledger
    kinds = [each.kind for each in ledger.records(0)]
    assert kinds[-2:] == ["access.closed", "stopped"]
    left = set(threading.enumerate()) - before
    assert not [each for each in left if each.name.startswith("provider-")]

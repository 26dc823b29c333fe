"""Files of a data folder that are gone without anybody's decision: told, never passed over."""

import logging
import shutil
from pathlib import Path

import pytest

from crash.test_node_crashes import FIRST, SECOND, Outcome, prepared, read, store
from fileroom.catalog.errors import CatalogBusyError
from fileroom.catalog.lifecycle import SEAL, PackState
from fileroom.catalog.rows import PackRow
from fileroom.cli.rebuilding import set_catalog_aside
from fileroom.dicom.uid import digest
from fileroom.errors import IntegrityError, TransientError
from fileroom.ingest.build import local_path
from fileroom.node.assemble import open_node
from fileroom.node.config import Settings
from fileroom.node.node import DrainError, Node
from fileroom.policy.promise import Rule, Verdict, judge
from instances import dataset, uids
from nodes import settings_of
from spool_parts import QuickDisk

STOPPED_S = 30.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "data"
    prepared(folder)
    return settings_of(folder, local__packs_size_bytes="0", spool__segment_size_bytes=str(1 << 20))


def opened(settings: Settings):
    return open_node(settings, disk=QuickDisk(), in_process=True)


def segments(settings: Settings, of: str) -> list[Path]:
    return sorted((settings.data_directory / of).rglob("*.seg"))


def cut_last_batch(settings: Settings) -> None:
    """Let the ledger end one batch earlier."""
    last = segments(settings, "ledger")[-1]
    data = last.read_bytes()
    end = data.rindex(b"FRLB")
    last.write_bytes(data[:end] + bytes(len(data) - end))


async def test_a_ledger_that_lost_its_end_stops_the_start_and_comes_back_from_the_provider(
    settings,
):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST, size_bytes=256)
        await node.drain(STOPPED_S)
    cut_last_batch(settings)
    with pytest.raises(IntegrityError, match=r"holds (\d+) entries, and \d+ were durable"):
        async with opened(settings):
            pass
    # The way that docs/operations.md tells.
    site = settings.data_directory / "ledger" / settings.site.name
    site.rename(settings.data_directory / "kept")
    set_catalog_aside(settings)
    async with opened(settings) as node:
        assert node.parts.ledger.verify()
        kinds = [each.kind for each in node.parts.ledger.records(0)]
        assert kinds.index("stopped") < len(kinds) - 1, "what was published is there again"
        await node.drain(STOPPED_S)
        for key, data in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(data)


async def test_a_ledger_whose_files_are_all_gone_comes_back_and_is_not_begun_anew(settings):
    async with opened(settings) as node:
        size = node.parts.ledger.size
    for each in segments(settings, "ledger"):
        each.unlink()
    async with opened(settings) as node:
        assert node.parts.ledger.size > size
    for each in segments(settings, "ledger"):
        each.unlink()
    (provider,) = settings.providers_in_use.values()
    shutil.rmtree(Path(provider.path) / "ledger")
    with pytest.raises(IntegrityError, match="holds 0 entries"):
        async with opened(settings):
            pass


async def test_a_restart_proves_that_all_is_there_that_was_told(settings):
    async with opened(settings) as node:
        await store(node, Outcome(), FIRST, size_bytes=256)
    async with opened(settings) as node:
        assert node.catalog.applied_index() > 0
        assert [each.kind for each in node.parts.ledger.records(node.catalog.applied_index())] == [
            "started", "recovered",
        ]  # fmt: skip


async def test_an_acknowledged_instance_whose_segment_is_gone_is_told_and_others_go_on(
    settings, tmp_path, caplog
):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST, size_bytes=256)
    (gone,) = segments(settings, "spool")
    async with opened(settings) as node:
        await store(node, outcome, SECOND, size_bytes=256)
    shutil.move(gone, tmp_path / "elsewhere")
    with caplog.at_level(logging.CRITICAL):
        async with opened(settings) as node:
            told = [each for each in caplog.messages if "is gone from the spool" in each]
            assert len(told) == len(FIRST)
            status = node.status()
            assert status.set_aside.instances == len(FIRST)
            assert any(each.startswith("3 received instances") for each in status.warnings)
            await node.drain(STOPPED_S)  # what shares a series with the lost ones is sealed
            for key in SECOND:
                assert (await read(node, key)).endswith(outcome.acknowledged[key])
    shutil.move(tmp_path / "elsewhere", gone)  # the disk that was not mounted, or a backup
    async with opened(settings) as node:
        assert node.status().set_aside.instances == 0
        await node.drain(STOPPED_S)
        for key, data in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(data)
        assert "spool" not in " ".join(node.status().warnings)


async def test_a_commit_frame_that_is_damaged_is_told_as_its_instance_is(settings, caplog):
    async with opened(settings) as node:
        await store(node, Outcome(), FIRST, size_bytes=256)
    (segment,) = segments(settings, "spool")
    data = bytearray(segment.read_bytes())
    at = data.index(b"FRSC")
    data[at + 64] ^= 1
    segment.write_bytes(data)
    with caplog.at_level(logging.CRITICAL):
        async with opened(settings) as node:
            assert [f"place 1:{at}" in each for each in caplog.messages] == [True]
            assert node.status().set_aside.instances == 1
            for key in FIRST[1:]:
                await read(node, key)


async def test_a_pack_that_is_gone_before_its_first_copy_is_sealed_again_from_the_spool(settings):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST, size_bytes=256)
        await node.parts.intake.settled()
        assert await node.seal.round(everything=True) == 2
        for pack in (settings.data_directory / "packs").glob("*/*"):
            pack.unlink()
    async with opened(settings) as node:
        assert node.rebuilder.report.resealed == 2
        for key, data in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(data), "from the spool"
        await node.drain(STOPPED_S)
        await node.evict.round()
        for key, data in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(data), "from the new pack"


def lose(node: Node, pack: PackRow) -> None:
    local_path(node.parts.folder.packs, pack.study_key_id, pack.sha256).unlink()


async def sealed(node: Node) -> PackRow:
    """The pack of what was stored last. Spool segments that it settles go."""
    await node.parts.intake.settled()
    assert await node.seal.round(everything=True) == 1
    for _ in range(2):
        await node.evict.round()
    return node.catalog.packs(limit=9)[-1]


async def test_what_only_a_lost_pack_held_is_not_taken_for_another_data_set_under_its_uid(settings):
    """The spool has the conflict still, and what it was a conflict with no more."""
    async with opened(settings) as node:
        await store(node, Outcome(), FIRST[:1], size_bytes=256)
        first = await sealed(node)
        conflict = Outcome()
        await store(node, conflict, FIRST[:1], size_bytes=512)
        await node.parts.intake.settled()
        await node.seal.round(everything=True)
        lose(node, first)
    async with opened(settings) as node:
        assert node.rebuilder.report.resealed == 0
        with pytest.raises(DrainError, match="1 instances are not COMMITTED"):
            await node.drain(0)
        uid_digest = digest(uids(*FIRST[0])[2])
        kept = node.catalog.whereabouts([uid_digest])[uid_digest]
        assert judge(kept, rule=Rule.PLACEMENT, overdue=True) is Verdict.WAIT, "one is lost"
        assert node.status().conflicts == 1
        assert (await read(node, FIRST[0])).endswith(conflict.acknowledged[FIRST[0]])


async def test_a_record_that_waits_to_be_sealed_is_not_taken_for_what_a_lost_pack_held(settings):
    async with opened(settings) as node:
        await store(node, Outcome(), FIRST[:1], size_bytes=256)
        first = await sealed(node)
        await store(node, Outcome(), FIRST[:1], size_bytes=512)
        lose(node, first)
    async with opened(settings) as node:
        assert node.rebuilder.report.resealed == 0
        assert first.number in [each.number for each in node.catalog.packs(limit=9)]


async def test_what_the_spool_still_has_of_a_lost_pack_is_sealed_again(settings):
    """Another of its instances lay in a segment that has gone."""
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST[:1], size_bytes=256)
        await node.parts.spool.rotate()
        await store(node, outcome, FIRST[1:2], size_bytes=256)
        await node.parts.intake.settled()
        assert await node.seal.round(everything=True) == 1
        assert await node.evict.round() == 1
        (pack,) = node.catalog.packs(limit=9)
        lose(node, pack)
    async with opened(settings) as node:
        with pytest.raises(DrainError):
            await node.drain(0)
        for _ in range(3):
            await node.evict.round()
        kept = outcome.acknowledged[FIRST[1]]
        assert (await read(node, FIRST[1])).endswith(kept)
        assert [each.state for each in node.catalog.packs(limit=9)] == [
            PackState.AT_RISK, PackState.COMMITTED,
        ]  # fmt: skip


async def test_a_pack_that_is_known_to_be_at_risk_is_sealed_again_as_any_other(settings):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST[:2], size_bytes=256)
        await node.parts.intake.settled()
        assert await node.seal.round(everything=True) == 1
        (pack,) = node.catalog.packs(limit=9)
        lose(node, pack)
        await node.replicate.round()
        assert node.catalog.packs(limit=9)[0].state is PackState.AT_RISK
    async with opened(settings) as node:
        assert node.rebuilder.report.resealed == 1
        await node.drain(STOPPED_S)
        for key, data in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(data)


async def test_a_pack_that_rots_before_its_first_copy_is_sealed_again_from_the_spool(settings):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST[:2], size_bytes=256)
        await node.parts.intake.settled()
        assert await node.seal.round(everything=True) == 1
        (pack,) = node.catalog.packs(limit=9)
        path = local_path(node.parts.folder.packs, pack.study_key_id, pack.sha256)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        await node.replicate.round()
        assert node.catalog.packs(limit=9)[0].state is PackState.AT_RISK
        for _ in range(3):
            await node.evict.round()
        assert segments(settings, "spool"), "it may be all there is"
    async with opened(settings) as node:
        assert node.rebuilder.report.resealed == 1
        assert path.with_suffix(".damaged").exists(), "nothing is deleted"
        await node.drain(STOPPED_S)
        for _ in range(3):
            await node.evict.round()
        for key, data in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(data)
    async with opened(settings) as node:
        assert [each.state for each in node.catalog.packs(limit=9)] == [PackState.COMMITTED]
        assert node.rebuilder.report.adopted == 0


async def test_a_lost_pack_that_a_provider_may_have_is_kept_and_not_sealed_again(
    settings, monkeypatch
):
    """A stop between the copy's row and the pack's leaves it SEALED."""
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST[:2], size_bytes=256)
        await node.parts.intake.settled()
        assert await node.seal.round(everything=True) == 1
        (pack,) = node.catalog.packs(limit=9)

        def busy(*_: object) -> None:
            raise CatalogBusyError("injected")

        monkeypatch.setattr(node.catalog, "set_pack_state", busy)
        with pytest.raises(CatalogBusyError):
            await node.replicate.round()
        lose(node, pack)
    async with opened(settings) as node:
        assert node.rebuilder.report.resealed == 0
        await node.drain(STOPPED_S)
        assert [each.sha256 for each in node.catalog.packs(limit=9)] == [pack.sha256]
        for key, data in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(data)


async def test_the_applied_index_moves_while_nothing_is_half_decided(settings, monkeypatch):
    async with opened(settings) as node:
        follow = node.replay.follow

        def watched(size: int) -> None:
            assert node.deciding.locked()
            follow(size)

        monkeypatch.setattr(node.replay, "follow", watched)
        await node._publish()
        assert node.catalog.applied_index() == node.parts.ledger.size


async def test_a_local_pack_that_nobody_evicted_is_told_and_one_that_was_is_not(settings, caplog):
    outcome = Outcome()
    async with opened(settings) as node:
        await store(node, outcome, FIRST, size_bytes=256)
        await node.drain(STOPPED_S)
    for pack in (settings.data_directory / "packs").glob("*/*"):
        pack.unlink()
    async with opened(settings) as node:
        assert "2 packs are gone from this node's disk" in " ".join(node.status().warnings)
        for key, data in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(data), "from the provider"
    caplog.clear()
    with caplog.at_level(logging.CRITICAL):
        async with opened(settings) as node:
            assert "gone" not in " ".join(node.status().warnings)
    assert caplog.messages == []


async def test_an_eviction_that_the_catalog_forgot_is_found_in_the_ledger(settings, caplog):
    async with opened(settings) as node:
        await store(node, Outcome(), FIRST, size_bytes=256)
        await node.drain(STOPPED_S)
    kept = settings.data_directory / "catalog.db"
    before = kept.read_bytes()
    async with opened(settings) as node:
        assert await node.evict.round() > 0
        await node.evict.round()
    kept.write_bytes(before)  # a loss of power took the catalog's last transactions
    with caplog.at_level(logging.CRITICAL):
        async with opened(settings) as node:
            assert [pack.local for pack in node.catalog.packs(limit=9)] == [False, False]
            assert node.rebuilder.report.missing == 0
            assert node.catalog.settled_count(1) == 0, "of a segment that was released"
    assert caplog.messages == []


async def test_a_rebuild_that_does_not_find_a_pack_says_so_until_it_does(settings, tmp_path):
    async with opened(settings) as node:
        await store(node, Outcome(), FIRST, size_bytes=256)
        await node.drain(STOPPED_S)
        await node.evict.round()
    (provider,) = settings.providers_in_use.values()
    (pack, *_) = sorted(Path(provider.path).glob("packs/*/*"))
    shutil.move(pack, tmp_path / "pack")
    set_catalog_aside(settings)
    async with opened(settings) as node:
        (task,) = node.status().tasks
        assert (task.kind, task.state) == ("rebuild", "FAILED")
        assert "rebuild failed: packs unreadable: 0, not found: 1" in node.status().warnings
    shutil.move(tmp_path / "pack", pack)
    set_catalog_aside(settings)
    async with opened(settings) as node:
        (task,) = node.status().tasks
        assert (task.state, task.percent, task.bytes_done) == ("DONE", 100, task.bytes_total)
        assert "rebuild" not in " ".join(node.status().warnings)


async def test_a_provider_that_cannot_be_asked_does_not_let_an_older_ledger_pass(settings):
    async with opened(settings):
        pass
    shutil.rmtree(settings.data_directory / "ledger" / settings.site.name)
    (provider,) = settings.providers_in_use.values()
    Path(provider.path).rename(settings.data_directory / "away")
    with pytest.raises(TransientError):
        async with opened(settings):
            pass


async def test_a_rebuild_serves_the_data_set_that_was_served_and_not_its_conflict(settings):
    """The conflict lies in a pack whose other instance came before everything else."""
    served, older = (1, 1, 1), (1, 2, 1)
    outcome, other = Outcome(), Outcome()
    async with opened(settings) as node:
        await store(node, outcome, [older], size_bytes=256)
        await node.parts.intake.settled()
        (waits,) = node.catalog.series_to_seal(quiet_before_ns=1 << 62, target_bytes=1, limit=9)
        held = node.catalog.lease(SEAL, str(waits.series), holder="another", ttl_s=60)
        await store(node, outcome, [served], size_bytes=256)
        await node.parts.intake.settled()
        assert await node.seal.round(everything=True) == 1
        node.catalog.release(held)
        head = b"\x20\x00\x0e\x00UI" + len(uids(*served)[1]).to_bytes(2, "little")
        ours, theirs = (head + uids(*key)[1].encode() for key in (served, older))
        conflict = dataset(*served, size_bytes=512).replace(ours, theirs)
        await store(node, other, [served], size_bytes=512, data=conflict)
        await node.drain(STOPPED_S)
        assert node.status().conflicts == 1
        assert (await read(node, served)).endswith(outcome.acknowledged[served])
    set_catalog_aside(settings)
    async with opened(settings) as node:
        assert node.rebuilder.report.adopted == 2
        assert node.status().conflicts == 1
        assert (await read(node, served)).endswith(outcome.acknowledged[served])

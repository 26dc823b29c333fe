"""Evict: the local copy is the last thing dropped, after the decision is in the ledger."""

import threading
from types import SimpleNamespace

import pytest

from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.errors import TransientError
from fileroom.keys.objects import SITE_KEY
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, uids
from unit.ingest.stages import way_in

ONE, OTHER = (1, 1, 1), (2, 1, 1)
VERIFIED = CopyState.VERIFIED


@pytest.fixture
async def way(tmp_path):
    async with way_in(tmp_path) as made:
        yield made


async def committed(way, key=ONE):
    pack = await way.sealed(key)
    for stage in (way.replicate(), way.verify(), way.commit()):
        await stage.round()
    assert way.states()[-1] is PackState.COMMITTED
    return pack


async def test_a_committed_pack_over_the_budget_goes_and_its_readers_are_told_before(way):
    pack = await committed(way)
    assert await way.evict().round() == 1
    assert not way.local(pack).exists()
    assert not way.all_packs()[0].local
    assert way.left == [pack.sha256]
    (body,) = await way.told("evicted")
    assert (body["size_bytes"], "over" in body["reason"]) == (pack.size_bytes, True)


async def test_within_the_budget_nothing_goes(way):
    pack = await committed(way)
    assert await way.evict(kept_bytes=pack.size_bytes).round() == 0
    assert way.local(pack).exists()


@pytest.mark.parametrize("state", ["SEALED", "REPLICATED", "VERIFIED", "AT_RISK"])
async def test_only_what_is_committed_goes_whatever_the_pressure(way, state):
    pack = await way.sealed(ONE)
    steps = {"REPLICATED": 1, "VERIFIED": 2}
    for stage in (way.replicate(), way.verify())[: steps.get(state, 0)]:
        await stage.round()
    if state == "AT_RISK":
        way.catalog.set_pack_state(pack.number, PackState.SEALED, PackState.AT_RISK)
    assert way.states() == [PackState(state)]
    await way.evict().round()
    assert way.local(pack).exists()


async def test_the_decision_is_durable_before_the_file_goes(way, monkeypatch):
    pack = await committed(way)

    async def full(kind, body):
        assert way.local(pack).exists()
        raise TransientError("the ledger takes nothing")

    monkeypatch.setattr(way.ledger, "append", full)
    with pytest.raises(TransientError):
        await way.evict().round()
    assert way.local(pack).exists()
    assert way.all_packs()[0].local


@pytest.mark.parametrize("doubted", ["pack", "study key", "site key"])
async def test_placement_is_asked_again_by_what_is_known_now(way, doubted):
    pack = await committed(way)
    if doubted == "pack":
        way.catalog.set_copy(pack.number, "a", VERIFIED, CopyState.SUSPECT)
    else:
        key = pack.study_key_id if doubted == "study key" else SITE_KEY
        way.catalog.set_key_copy(key, 1, "a", VERIFIED, CopyState.LOST)
    assert await way.evict().round() == 0
    assert way.local(pack).exists()


async def test_a_pack_that_a_read_found_damaged_meanwhile_stays(way, monkeypatch):
    pack = await committed(way)
    make_durable = way.catalog.make_durable

    def and_a_read_fails():
        make_durable()
        way.catalog.set_pack_state(pack.number, PackState.COMMITTED, PackState.AT_RISK)

    monkeypatch.setattr(way.catalog, "make_durable", and_a_read_fails)
    assert await way.evict().round() == 0
    assert way.local(pack).exists()


async def test_a_pack_whose_copy_is_owed_to_another_provider_stays(tmp_path):
    async with way_in(tmp_path, "a", "b") as two:
        two.providers["b"].lose_answers("unreachable")
        pack = await committed(two)
        assert await two.evict().round() == 0
        assert two.local(pack).exists()
        for stage in (two.replicate(), two.verify(), two.evict()):
            await stage.round()
        assert not two.local(pack).exists()


async def test_a_segment_goes_when_every_record_of_it_is_settled(way):
    await way.land(ONE, OTHER)
    stage = way.evict(kept_bytes=1 << 30)
    assert await stage.round() == 0
    await way.seal().round(everything=True)
    (segment,) = (way.folder / "spool").glob("*.seg")
    await stage.round()  # the active one ends
    assert await stage.round() == 1
    assert not segment.exists()
    (body,) = await way.told("released")
    assert (body["segment"], body["instances"]) == (1, 2)


async def test_no_segment_goes_while_a_damaged_pack_has_no_copy(way):
    segment = await all_settled(way)
    (pack,) = way.all_packs()
    way.catalog.set_pack_state(pack.number, PackState.SEALED, PackState.AT_RISK)
    way.catalog.set_copy(pack.number, "a", None, CopyState.PENDING)
    for _ in range(2):
        await way.evict().round()
    assert segment.exists()
    way.catalog.set_copy(pack.number, "a", CopyState.PENDING, CopyState.REPLICATED)
    for _ in range(2):
        await way.evict().round()
    assert not segment.exists()


async def test_a_segment_with_a_record_that_was_set_aside_stays(way):
    await way.land(ONE, OTHER)
    held = way.catalog.held(1)
    way.catalog.set_aside([held[0].id])
    await way.seal().round(everything=True)
    stage = way.evict(kept_bytes=1 << 30)
    for _ in range(3):
        assert await stage.round() == 0
    assert len([*(way.folder / "spool").glob("*.seg")]) == 1


async def test_the_catalog_is_durable_before_a_segment_goes(way, monkeypatch):
    await way.land(ONE)
    await way.seal().round(everything=True)
    stage = way.evict(kept_bytes=1 << 30)
    await stage.round()
    steps = []
    make_durable, unlink = way.catalog.make_durable, way.spool.unlink_spooled
    monkeypatch.setattr(
        way.catalog, "make_durable", lambda: (steps.append("durable"), make_durable())
    )
    monkeypatch.setattr(
        way.spool, "unlink_spooled", lambda number: (steps.append("gone"), unlink(number))
    )
    await stage.round()
    assert steps == ["durable", "gone"]


async def test_the_catalog_sends_readers_elsewhere_before_the_file_goes(way, monkeypatch):
    pack = await committed(way)
    unlink = way.disk.unlink

    def gone(path):
        assert not way.all_packs()[0].local
        unlink(path)

    monkeypatch.setattr(way.disk, "unlink", gone)
    assert await way.evict().round() == 1
    assert not way.local(pack).exists()


async def test_a_copy_that_is_owed_to_a_provider_no_longer_in_use_keeps_nothing(tmp_path):
    async with way_in(tmp_path, "a", "gone") as two:
        two.providers["gone"].lose_answers("unreachable")
        pack = await committed(two)
        assert two.copies(pack)["gone"] is CopyState.PENDING
        assert await two.evict().round() == 1


async def all_settled(way):
    """A segment that takes landings no more, and whose one record lies in a pack."""
    await way.land(ONE)
    await way.seal().round(everything=True)
    (segment,) = (way.folder / "spool").glob("*.seg")
    return segment


async def test_a_segment_stays_for_a_record_that_the_catalog_has_not_heard_of_yet(way, monkeypatch):
    segment = await all_settled(way)
    heard = threading.Event()
    record_spooled = way.catalog.record_spooled

    def by_and_by(*rows, **node):
        heard.wait()
        record_spooled(*rows, **node)

    monkeypatch.setattr(way.catalog, "record_spooled", by_and_by)
    conversation = way.conversation()
    await way.arrive(conversation, OTHER)
    await way.spool.rotate()
    stage = way.evict(kept_bytes=1 << 30)
    try:
        assert [await stage.round() for _ in range(3)] == [0, 0, 0]
        assert segment.exists()
    finally:
        heard.set()
    await conversation.close()


async def test_a_segment_stays_for_what_lands_in_it_just_now(way):
    segment = await all_settled(way)
    conversation = way.conversation()
    reception = conversation.begin(
        sop_class_uid=CT_IMAGE_STORAGE,
        sop_instance_uid=uids(*OTHER)[2],
        transfer_syntax_uid=EXPLICIT_LITTLE,
    )
    reception.write(dataset(*OTHER, size_bytes=256))
    stage = way.evict(kept_bytes=1 << 30)
    assert [await stage.round() for _ in range(3)] == [0, 0, 0]
    assert segment.exists()
    assert [each.active for each in way.spool.segments()] == [True]
    await reception.finish()
    await conversation.close()


async def test_a_segment_in_which_something_acknowledged_is_damaged_stays(way, monkeypatch):
    segment = await all_settled(way)
    await way.spool.rotate()
    damage = SimpleNamespace(segment=1, acknowledged=True)
    monkeypatch.setattr(type(way.spool), "damage", [damage])
    stage = way.evict(kept_bytes=1 << 30)
    await stage.round()
    assert segment.exists()
    damage.acknowledged = False
    await stage.round()
    assert not segment.exists()

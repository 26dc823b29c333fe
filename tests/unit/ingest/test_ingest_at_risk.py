"""A pack that a reader finds damaged wherever it lies is AT_RISK from then on."""

import pytest

from fileroom.catalog.lifecycle import PackState
from fileroom.ingest.at_risk import note_damaged
from unit.ingest.stages import way_in


@pytest.fixture
async def way(tmp_path):
    async with way_in(tmp_path) as made:
        yield made


async def test_a_damaged_pack_is_at_risk_whatever_it_was_and_the_ledger_is_told_once(way):
    pack = await way.sealed((1, 1, 1))
    await way.replicate().round()
    for _ in range(3):
        await note_damaged(pack, catalog=way.catalog, ledger=way.ledger)
    assert way.states() == [PackState.AT_RISK]
    (body,) = await way.told("copy.failed")
    assert (body["provider"], body["state"]) == ("", "AT_RISK")


async def test_a_stage_that_moves_it_at_the_same_moment_is_no_error(way, monkeypatch):
    pack = await way.sealed((1, 1, 1))
    packs = way.catalog.packs

    def packs_and_a_stage(**wanted):
        found = packs(**wanted)
        way.catalog.set_pack_state(pack.number, PackState.SEALED, PackState.REPLICATED)
        return found

    monkeypatch.setattr(way.catalog, "packs", packs_and_a_stage)
    await note_damaged(pack, catalog=way.catalog, ledger=way.ledger)
    assert await way.told("copy.failed") == []

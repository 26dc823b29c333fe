"""Commit: COMMITTED by verified copies of pack, study key and site key, and by nothing else."""

import pytest

from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.keys.objects import SITE_KEY
from unit.ingest.stages import way_in

ONE, OTHER = (1, 1, 1), (2, 1, 1)
REPLICATED, VERIFIED = CopyState.REPLICATED, CopyState.VERIFIED


@pytest.fixture
async def two(tmp_path):
    async with way_in(tmp_path, "a", "b") as made:
        yield made


async def verified(way, key=ONE):
    """A VERIFIED pack whose copies of every kind are verified at both providers."""
    pack = await way.sealed(key)
    await way.replicate(copies_min=2).round()
    await way.verify().round()
    assert way.states()[-1] is PackState.VERIFIED
    return pack


async def test_a_pack_with_its_verified_copies_is_committed_and_the_ledger_is_told(two):
    pack = await verified(two)
    assert await two.commit(copies_min=2).round() == 1
    assert two.states() == [PackState.COMMITTED]
    (body,) = await two.told("committed")
    assert body["pack"].endswith(pack.sha256.hex())
    assert (body["providers"], body["warnings"]) == (["a", "b"], [])
    assert await two.commit(copies_min=2).round() == 0


@pytest.mark.parametrize("lacking", ["pack", "study key", "site key"])
async def test_a_provider_that_lacks_one_of_the_three_does_not_count(two, lacking):
    pack = await verified(two)
    if lacking == "pack":
        two.catalog.set_copy(pack.number, "b", VERIFIED, CopyState.LOST)
    else:
        key = pack.study_key_id if lacking == "study key" else SITE_KEY
        two.catalog.set_key_copy(key, 1, "b", VERIFIED, CopyState.SUSPECT)
    assert await two.commit(copies_min=2).round() == 0
    assert two.states() == [PackState.VERIFIED]
    assert await two.commit(copies_min=1).round() == 1


async def test_a_site_key_that_was_put_and_not_read_back_commits_nothing(two):
    pack = await two.sealed(ONE)
    await two.replicate(copies_min=2).round()
    verify = two.verify()
    for provider in two.providers.values():
        await verify._key(pack.study_key_id, provider)
        await verify._copy(pack, provider)
    two.catalog.set_pack_state(pack.number, PackState.REPLICATED, PackState.VERIFIED)
    assert {each.state for each in two.catalog.key_copies(SITE_KEY)} == {REPLICATED}
    assert await two.commit().round() == 0
    await two.verify().round()
    assert await two.commit().round() == 1


async def test_the_newest_site_key_counts_for_an_older_one_opens_by_another_passphrase(two):
    await verified(two)
    for provider in ("a", "b"):
        two.catalog.set_key_copy(SITE_KEY, 2, provider, None, REPLICATED)
    two.catalog.set_key_copy(SITE_KEY, 2, "a", REPLICATED, VERIFIED)
    assert await two.commit(copies_min=2).round() == 0
    assert await two.commit(copies_min=1).round() == 1


async def test_a_pack_that_lacks_copies_does_not_hide_the_ones_behind_it(two):
    first = await verified(two)
    await verified(two, OTHER)
    two.catalog.set_copy(first.number, "a", VERIFIED, CopyState.LOST)
    two.catalog.set_copy(first.number, "b", VERIFIED, CopyState.LOST)
    assert await two.commit().round() == 1
    assert two.states() == [PackState.VERIFIED, PackState.COMMITTED]


async def test_a_provider_that_is_not_in_use_any_more_does_not_count(two):
    await verified(two)
    commit = two.commit(copies_min=2)
    commit._sites = {"a": commit._sites["a"]}
    assert await commit.round() == 0

"""Replicate: keys before packs, what is owed on record, no copy on the word of a lost answer."""

import hashlib

import pytest

from conform.memory_provider import MemoryProvider
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.errors import IntegrityError, TransientError
from fileroom.ingest.replicate import put
from fileroom.keys.objects import SITE_KEY
from fileroom.pack.format import object_name
from fileroom.provider.port import Call, Lane, Put
from unit.ingest.stages import way_in

ONE, OTHER = (1, 1, 1), (2, 1, 1)
PENDING, REPLICATED, VERIFIED, SUSPECT, LOST = (
    CopyState.PENDING, CopyState.REPLICATED, CopyState.VERIFIED, CopyState.SUSPECT, CopyState.LOST,
)  # fmt: skip


@pytest.fixture
async def way(tmp_path):
    async with way_in(tmp_path) as made:
        yield made


@pytest.fixture
async def two(tmp_path):
    async with way_in(tmp_path, "a", "b") as made:
        yield made


def site_states(way):
    return {each.provider: each.state for each in way.catalog.key_copies(SITE_KEY)}


async def test_site_key_study_key_and_pack_go_in_this_order_and_the_pack_is_replicated(way):
    pack = await way.sealed(ONE)
    assert await way.replicate().round() == 1
    bucket = way.providers["a"]
    names = [*bucket.objects]
    assert [name.split("/")[0] for name in names] == ["keyring", "keyring", "packs"]
    assert names[0].startswith("keyring/site/")
    assert names[1].startswith(f"keyring/{pack.study_key_id.hex()}/")
    assert bucket.objects[names[2]] == way.local(pack).read_bytes()
    assert (way.states(), way.copies(pack)) == ([PackState.REPLICATED], {"a": REPLICATED})
    assert site_states(way) == {"a": REPLICATED}
    assert [each["provider"] for each in await way.told("replicated")] == ["a"]


async def test_what_is_there_is_not_put_again(way):
    await way.sealed(ONE)
    await way.replicate().round()
    bucket = way.providers["a"]
    bucket.calls.clear()
    stage = way.replicate()
    for _ in range(2):
        assert await stage.round() == 0
    assert len(bucket.calls) == 1, "only the site key is looked for, once after a start"


async def test_a_put_whose_answer_is_lost_counts_when_it_was_looked_for(way):
    for faults in (["before"], ["after"]):
        pack = await way.sealed((len(faults[0]), 1, 1))
        way.providers["a"].lose_answers(*faults)
        stage = way.replicate()
        while way.catalog.packs(numbers=[pack.number], limit=1)[0].state is PackState.SEALED:
            await stage.round()
        assert way.copies(pack) == {"a": REPLICATED}
        name = object_name(pack.study_key_id, pack.sha256)
        assert way.providers["a"].objects[name] == way.local(pack).read_bytes()


async def test_a_provider_that_is_away_is_owed_its_copy_and_holds_up_no_other(two):
    pack = await two.sealed(ONE)
    two.providers["b"].lose_answers("unreachable")
    stage = two.replicate(copies_min=1)
    assert await stage.round() == 1
    assert two.copies(pack) == {"a": REPLICATED, "b": PENDING}
    assert two.states() == [PackState.REPLICATED]
    assert await stage.round() == 1, "it is back, and gets what it is owed"
    assert two.copies(pack) == {"a": REPLICATED, "b": REPLICATED}


async def test_a_pack_waits_for_as_many_copies_as_placement_asks_for(two):
    await two.sealed(ONE)
    two.providers["b"].lose_answers("unreachable")
    stage = two.replicate(copies_min=2)
    await stage.round()
    assert two.states() == [PackState.SEALED]
    await stage.round()
    assert two.states() == [PackState.REPLICATED]


async def test_a_provider_that_has_not_the_site_key_gets_no_pack(way):
    await way.sealed(ONE)
    way.providers["a"].lose_answers("unreachable")
    stage = way.replicate()
    assert await stage.round() == 0
    assert way.providers["a"].objects == {}
    assert await stage.round() == 1


async def test_other_bytes_under_the_packs_name_make_it_at_risk(way):
    pack = await way.sealed(ONE)
    way.providers["a"].objects[object_name(pack.study_key_id, pack.sha256)] = b"another pack"
    await way.replicate().round()
    assert way.states() == [PackState.AT_RISK]
    (body,) = await way.told("copy.failed")
    assert (body["provider"], body["state"]) == ("a", "PENDING")


async def test_a_local_file_that_is_not_the_pack_is_not_put(way):
    pack = await way.sealed(ONE)
    way.local(pack).write_bytes(b"rotten")
    await way.replicate().round()
    assert way.states() == [PackState.AT_RISK]
    assert not [name for name in way.providers["a"].objects if name.startswith("packs/")]


@pytest.mark.parametrize("state", [SUSPECT, LOST])
async def test_a_site_key_that_was_found_wrong_is_put_again(way, state):
    stage = way.replicate()
    await stage.round()
    (name,) = way.providers["a"].objects
    way.catalog.set_key_copy(SITE_KEY, 1, "a", REPLICATED, state)
    del way.providers["a"].objects[name]
    await stage.round()
    assert site_states(way) == {"a": REPLICATED}
    assert way.providers["a"].objects[name] == way.keyring.site_objects()[0][1]


async def test_a_site_key_that_a_start_finds_gone_was_not_verified(way):
    await way.replicate().round()
    way.catalog.set_key_copy(SITE_KEY, 1, "a", REPLICATED, VERIFIED)
    await way.replicate().round()
    assert site_states(way) == {"a": VERIFIED}, "it is there"
    way.providers["a"].objects.clear()
    await way.replicate().round()
    assert site_states(way) == {"a": REPLICATED}


async def test_a_site_key_that_a_start_finds_spoiled_is_suspect_and_never_overwritten(way):
    await way.replicate().round()
    way.catalog.set_key_copy(SITE_KEY, 1, "a", REPLICATED, VERIFIED)
    (name,) = way.providers["a"].objects
    way.providers["a"].objects[name] = b"{}"
    await way.sealed(ONE)
    assert await way.replicate().round() == 0
    assert site_states(way) == {"a": SUSPECT}
    assert way.providers["a"].objects == {name: b"{}"}


async def test_a_site_key_that_has_rotted_on_this_disk_is_put_nowhere(way):
    (path,) = (way.folder / "keyring" / "site").iterdir()
    path.write_bytes(b"{}")
    await way.replicate().round()
    assert (way.providers["a"].objects, site_states(way)) == ({}, {})


@pytest.mark.parametrize("there", [b"data", b"dat?", b"longer"])
async def test_a_put_says_what_is_there_and_never_believes_a_size(there):
    bucket = MemoryProvider()
    bucket.lose_answers("after" if there == b"data" else "before")
    if there != b"data":
        bucket.objects["keyring/x"] = there
    putting = put(
        bucket, "keyring/x", b"data", sha256=hashlib.sha256(b"data").digest(), size_bytes=4,
        call=Call(Lane.NEW, "test"),
    )  # fmt: skip
    if there == b"data":
        assert await putting is Put.CREATED
    else:
        with pytest.raises(IntegrityError):
            await putting


async def test_a_put_that_left_nothing_behind_is_tried_again():
    bucket = MemoryProvider()
    bucket.lose_answers("before")
    with pytest.raises(TransientError):
        await put(
            bucket, "keyring/x", b"data", sha256=hashlib.sha256(b"data").digest(), size_bytes=4,
            call=Call(Lane.NEW, "test"),
        )  # fmt: skip


async def test_a_pack_at_risk_is_not_put_where_a_copy_of_it_is_owed(two):
    pack = await two.sealed(ONE)
    two.providers["b"].lose_answers("unreachable")
    stage = two.replicate(copies_min=1)
    await stage.round()
    two.catalog.set_pack_state(pack.number, PackState.REPLICATED, PackState.AT_RISK)
    assert await stage.round() == 0
    assert two.copies(pack) == {"a": REPLICATED, "b": PENDING}

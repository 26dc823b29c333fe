"""Verify: a copy counts once its bytes came back in a later request; what is wrong is AT_RISK."""

import pytest

from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.errors import TransientError
from fileroom.keys.objects import SITE_KEY
from fileroom.pack.format import object_name
from fileroom.provider.port import UnreachableError
from unit.ingest.stages import way_in

ONE, OTHER = (1, 1, 1), (2, 1, 1)
REPLICATED, VERIFIED = CopyState.REPLICATED, CopyState.VERIFIED


@pytest.fixture
async def way(tmp_path):
    async with way_in(tmp_path) as made:
        yield made


@pytest.fixture
async def two(tmp_path):
    async with way_in(tmp_path, "a", "b") as made:
        yield made


async def replicated(way, *keys, copies_min=1):
    packs = [await way.sealed(key) for key in keys]
    while await way.replicate(copies_min=copies_min).round():
        pass
    return packs


def bucket_name(pack):
    return object_name(pack.study_key_id, pack.sha256)


def states_of(way, key):
    return {each.provider: each.state for each in way.catalog.key_copies(key)}


def away(monkeypatch, provider, *methods):
    async def unreachable(*_, **__):
        raise UnreachableError("no connection")

    for method in methods:
        monkeypatch.setattr(provider, method, unreachable)


async def test_site_key_study_key_and_pack_are_read_back_and_the_pack_is_verified(way):
    (pack,) = await replicated(way, ONE)
    way.providers["a"].calls.clear()
    assert await way.verify().round() == 2, "the pack, and the site key that others wait for"
    read = [method for method, call in way.providers["a"].calls if call.purpose == "verify"]
    assert read == ["get", "get", "digest"]
    assert (way.states(), way.copies(pack)) == ([PackState.VERIFIED], {"a": VERIFIED})
    assert states_of(way, pack.study_key_id) == states_of(way, SITE_KEY) == {"a": VERIFIED}
    (copy,) = way.catalog.copies(pack.number)
    assert (copy.checksum_kind, copy.verified_at_ns) == ("read-back", way.clock.wall_ns())
    assert [each["checksum_kind"] for each in await way.told("verified")] == ["read-back"]


async def test_nothing_is_read_back_twice(way):
    await replicated(way, ONE)
    await way.verify().round()
    way.providers["a"].calls.clear()
    assert await way.verify().round() == 0
    assert way.providers["a"].calls == []


@pytest.mark.parametrize(
    ("spoil", "state"),
    [
        (lambda objects, name: objects.update({name: objects[name][:-1] + b"x"}), "SUSPECT"),
        (lambda objects, name: objects.update({name: objects[name] + b"x"}), "SUSPECT"),
        (lambda objects, name: objects.pop(name), "LOST"),
    ],
    ids=["other bytes", "a longer one", "nothing"],
)
async def test_a_copy_that_is_not_what_was_put_makes_its_pack_at_risk(way, spoil, state):
    pack, other = await replicated(way, ONE, OTHER)
    spoil(way.providers["a"].objects, bucket_name(pack))
    await way.verify().round()
    assert way.states() == [PackState.AT_RISK, PackState.VERIFIED]
    assert (way.copies(pack), way.copies(other)) == ({"a": CopyState(state)}, {"a": VERIFIED})
    (body,) = await way.told("copy.failed")
    assert (body["provider"], body["state"]) == ("a", state)


async def test_a_good_copy_beside_a_bad_one_does_not_make_a_pack_verified(two):
    (pack,) = await replicated(two, ONE, copies_min=2)
    two.providers["b"].objects[bucket_name(pack)] = b"?"
    await two.verify().round()
    assert two.states() == [PackState.AT_RISK]
    assert two.copies(pack) == {"a": VERIFIED, "b": CopyState.SUSPECT}


async def test_a_study_key_that_is_not_what_was_put_makes_the_pack_at_risk(way):
    (pack,) = await replicated(way, ONE)
    (name,) = (n for n in way.providers["a"].objects if pack.study_key_id.hex() in n and "key" in n)
    way.providers["a"].objects[name] = b"{}"
    await way.verify().round()
    assert way.states() == [PackState.AT_RISK]


@pytest.mark.parametrize(
    ("spoil", "state"),
    [
        (lambda objects, name: objects.update({name: b"{}"}), CopyState.SUSPECT),
        (lambda objects, name: objects.update({name: objects[name] + b" "}), CopyState.SUSPECT),
        (lambda objects, name: objects.pop(name), CopyState.LOST),
    ],
    ids=["other bytes", "a longer one", "nothing"],
)
async def test_a_site_key_that_is_not_what_was_put_says_so_and_no_pack_is_at_risk(
    way, spoil, state
):
    await replicated(way, ONE)
    (name,) = (n for n in way.providers["a"].objects if n.startswith("keyring/site/"))
    spoil(way.providers["a"].objects, name)
    await way.verify().round()
    assert states_of(way, SITE_KEY) == {"a": state}
    assert way.states() == [PackState.VERIFIED]


async def test_a_site_key_is_compared_with_its_name_and_not_with_what_has_rotted_here(way):
    await replicated(way, ONE)
    (path,) = (way.folder / "keyring" / "site").iterdir()
    path.write_bytes(path.read_bytes()[:-2] + b"}}")
    await way.verify().round()
    assert states_of(way, SITE_KEY) == {"a": VERIFIED}


async def test_a_provider_that_is_away_is_asked_once_a_round_and_its_packs_wait(two, monkeypatch):
    pack, _ = await replicated(two, ONE, OTHER, copies_min=2)
    with monkeypatch.context() as patched:
        away(patched, two.providers["b"], "get", "digest")
        await two.verify().round()
        assert two.states() == [PackState.REPLICATED] * 2
        assert two.copies(pack)["b"] is REPLICATED
        assert states_of(two, SITE_KEY) == {"a": VERIFIED, "b": REPLICATED}
    await two.verify().round()
    assert two.states() == [PackState.VERIFIED] * 2


async def test_a_copy_that_came_late_is_verified_though_its_pack_has_moved_on(two):
    two.providers["b"].lose_answers("unreachable")
    (pack,) = [await two.sealed(ONE)]
    await two.replicate().round()
    await two.verify().round()
    assert (two.states(), two.copies(pack)["b"]) == ([PackState.VERIFIED], CopyState.PENDING)
    await two.replicate().round()
    await two.verify().round()
    assert two.copies(pack) == {"a": VERIFIED, "b": VERIFIED}


async def test_a_copy_at_a_provider_that_is_not_in_use_counts_for_nothing(way):
    await replicated(way, ONE)
    way.providers.clear()
    await way.verify().round()
    assert way.states() == [PackState.AT_RISK]


async def test_a_state_that_moved_meanwhile_is_looked_at_again(way, monkeypatch):
    (pack,) = await replicated(way, ONE)
    digest = way.providers["a"].digest

    async def digest_while_another_moves_it(name, *, call):
        found = await digest(name, call=call)
        way.catalog.set_pack_state(pack.number, PackState.REPLICATED, PackState.AT_RISK)
        return found

    monkeypatch.setattr(way.providers["a"], "digest", digest_while_another_moves_it)
    with pytest.raises(TransientError):
        await way.verify().round()
    assert way.states() == [PackState.AT_RISK]


async def late(two):
    """A pack that has moved on, whose copy at b was put behind it."""
    two.providers["b"].lose_answers("unreachable")
    pack = await two.sealed(ONE)
    await two.replicate().round()
    await two.verify().round()
    await two.replicate().round()
    assert (two.states(), two.copies(pack)["b"]) == ([PackState.VERIFIED], REPLICATED)
    return pack


@pytest.mark.parametrize("spoiled", ["pack", "study key"])
async def test_a_late_copy_that_is_not_what_was_put_makes_its_pack_at_risk(two, spoiled):
    pack = await late(two)
    objects = two.providers["b"].objects
    prefix = "packs/" if spoiled == "pack" else f"keyring/{pack.study_key_id.hex()}/"
    (name,) = (each for each in objects if each.startswith(prefix))
    objects[name] = objects[name][:-1] + b"?"
    await two.verify().round()
    assert two.states() == [PackState.AT_RISK]


async def test_a_study_key_of_the_same_length_is_not_the_same(way):
    (pack,) = await replicated(way, ONE)
    objects = way.providers["a"].objects
    (name,) = (n for n in objects if n.startswith(f"keyring/{pack.study_key_id.hex()}/"))
    objects[name] = objects[name][:-1] + b"?"
    await way.verify().round()
    assert way.states() == [PackState.AT_RISK]


async def test_what_was_verified_at_a_provider_that_is_not_in_use_counts_for_nothing(way):
    (pack,) = await replicated(way, ONE)
    way.catalog.set_copy(pack.number, "a", REPLICATED, VERIFIED)
    way.providers.clear()
    await way.verify().round()
    assert way.states() == [PackState.AT_RISK]

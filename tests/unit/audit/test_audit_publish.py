"""The ledger's copy at a provider: consistent at every moment, and never two trees."""

import pytest

from fileroom.audit.publish import Publisher
from fileroom.errors import IntegrityError, UncertainError
from fileroom.ledger import checkpoint
from fileroom.ledger.checkpoint import Checkpoint, LedgerForkError
from golden import ledger_v1 as golden
from ledger_parts import (
    KEY,
    SEED,
    SITE,
    MemoryProvider,
    append,
    audited_size,
    ledger_in,
    mth,
    open_ledger,
)

CHECKPOINT = f"ledger/{SITE}/checkpoint"


def publisher(ledger, provider, *, seed=SEED):
    return Publisher(ledger, provider, signing_seed=seed)


def test_the_auditors_root_is_that_of_the_rfc():
    leaf = b"a" * 32, b"b" * 32, b"c" * 32
    assert mth(leaf) == mth([mth(leaf[:2]), leaf[2]])


async def test_what_is_published_is_what_the_format_page_says(tmp_path, monkeypatch):
    monkeypatch.setattr("os.urandom", lambda count: (golden.SALT + golden.NONCE)[:count])
    provider = MemoryProvider()
    async with ledger_in(tmp_path) as ledger:
        await ledger.append(golden.KIND, {"version": "0.1.0"})
        assert await publisher(ledger, provider).publish() == 1
    assert provider.objects == {
        golden.EVENTS_NAME: golden.EVENTS_OBJECT,
        "ledger/general/tile/entries/000.p/1": golden.ENTRY_BUNDLE,
        "ledger/general/tile/0/000.p/1": golden.LEAF,
        "ledger/general/checkpoint": golden.CHECKPOINT,
    }


async def test_an_empty_ledger_publishes_nothing(tmp_path):
    provider = MemoryProvider()
    async with ledger_in(tmp_path) as ledger:
        assert await publisher(ledger, provider).publish() == 0
    assert provider.objects == {}


async def test_a_second_publication_of_the_same_changes_nothing(tmp_path):
    provider = MemoryProvider()
    async with ledger_in(tmp_path) as ledger:
        await append(ledger, 5)
        copier = publisher(ledger, provider)
        assert await copier.publish() == 5
        provider.changes.clear()
        assert await copier.publish() == 5
        assert await publisher(ledger, provider).check() == 5
    assert provider.changes == []


SIZES = [1, 3, 255, 256, 257, 300, 511, 512, 513, 1000]


@pytest.mark.parametrize("again", [False, True], ids=["one publisher", "a new one each time"])
async def test_the_copy_is_whole_after_every_publication(tmp_path, again):
    provider = MemoryProvider()
    async with ledger_in(tmp_path) as ledger:
        copier = publisher(ledger, provider)
        for size in SIZES:
            await append(ledger, size - ledger.size)
            if again:
                copier = publisher(ledger, provider)
            assert await copier.publish() == size
            assert audited_size(provider.objects) == size


async def test_a_full_bundle_has_one_object_of_its_bodies(tmp_path):
    provider = MemoryProvider()
    async with ledger_in(tmp_path) as ledger:
        for count in (100, 100, 100, 400):
            await append(ledger, count)
            await publisher(ledger, provider).publish()
    ranges = [name.split("/")[-1][:25] for name in provider.objects if "/events/" in name]
    assert sorted(ranges) == [
        "000000000000-000000000099",
        "000000000000-000000000255",
        "000000000100-000000000199",
        "000000000256-000000000299",
        "000000000256-000000000511",
        "000000000512-000000000699",
    ]


async def published(directory, sizes):
    """Publish in steps and return the provider's state after each change, with its name."""
    provider, states = MemoryProvider(), []
    change = provider._change

    def remembering(name, data):
        change(name, data)
        states.append((name, dict(provider.objects)))

    provider._change = remembering
    async with ledger_in(directory) as ledger:
        for size in sizes:
            await append(ledger, size - ledger.size)
            await publisher(ledger, provider).publish()
    return states


async def test_every_prefix_of_the_puts_leaves_a_consistent_log_that_goes_on(tmp_path):
    states = await published(tmp_path, [3, 200, 256, 300, 1000])
    signed = 0
    async with ledger_in(tmp_path) as ledger:
        for name, objects in states:
            size = audited_size(objects)
            if name == CHECKPOINT:
                assert size > signed
                signed = size
            assert size == signed  # no change but the checkpoint changes what is signed
            provider = MemoryProvider(objects)
            assert await publisher(ledger, provider).publish() == 1000
            assert audited_size(provider.objects) == 1000
    assert signed == 1000
    assert len(states) > 25


async def test_bodies_come_before_entries_before_tiles_before_the_checkpoint(tmp_path):
    provider = MemoryProvider()
    async with ledger_in(tmp_path) as ledger:
        await append(ledger, 300)
        await publisher(ledger, provider).publish()
    kinds = [
        "events" if "/events/" in name else "entries" if "/entries/" in name else name
        for name in provider.changes
    ]
    assert kinds == [
        "events",
        "entries",
        "events",
        "entries",
        f"ledger/{SITE}/tile/0/000",
        f"ledger/{SITE}/tile/0/001.p/44",
        f"ledger/{SITE}/tile/1/000.p/1",
        CHECKPOINT,
    ]


@pytest.mark.parametrize("fail", ["lose_answer_at", "refuse_at"])
async def test_a_change_whose_answer_is_lost_is_made_good_by_the_next_publication(tmp_path, fail):
    async with ledger_in(tmp_path) as ledger:
        await append(ledger, 300)
        changes = len(await published(tmp_path / "count", [300]))
        for number in range(changes):
            provider = MemoryProvider()
            setattr(provider, fail, number)
            copier = publisher(ledger, provider)
            with pytest.raises(UncertainError):
                await copier.publish()
            assert audited_size(provider.objects) in (0, 300)
            setattr(provider, fail, None)
            assert await copier.publish() == 300
            assert audited_size(provider.objects) == 300


async def test_a_long_backlog_is_signed_in_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("fileroom.audit.publish.STEP", 512)
    provider = MemoryProvider()
    async with ledger_in(tmp_path) as ledger:
        await append(ledger, 1300)
        await publisher(ledger, provider).publish()
    assert provider.changes.count(CHECKPOINT) == 3
    assert audited_size(provider.objects) == 1300


async def test_a_log_that_is_behind_its_own_checkpoint_signs_nothing(tmp_path):
    provider = MemoryProvider()
    async with ledger_in(tmp_path / "whole") as ledger:
        await append(ledger, 10)
        await publisher(ledger, provider).publish()
    before = dict(provider.objects)
    async with ledger_in(tmp_path / "older backup") as ledger:
        await append(ledger, 9)
        for attempt in (publisher(ledger, provider).check, publisher(ledger, provider).publish):
            with pytest.raises(LedgerForkError, match="9 entries, and 10 are signed"):
                await attempt()
    assert provider.objects == before


async def test_two_machines_that_write_one_log_are_stopped(tmp_path):
    provider = MemoryProvider()
    async with ledger_in(tmp_path / "one") as one, ledger_in(tmp_path / "clone") as clone:
        await append(one, 10)
        await append(clone, 12)
        first, second = publisher(one, provider), publisher(clone, provider)
        assert await first.publish() == 10
        before = dict(provider.objects)
        with pytest.raises(LedgerForkError, match="different roots"):
            await second.publish()
        assert provider.objects == before


async def test_a_clone_that_publishes_between_two_publications_is_noticed(tmp_path):
    provider = MemoryProvider()
    async with ledger_in(tmp_path / "one") as one:
        await append(one, 5)
        copier = publisher(one, provider)
        await copier.publish()
        async with ledger_in(tmp_path / "clone") as clone:
            await clone.adopt(list(one.stored(0, 5)))
            await append(clone, 1)
            assert await publisher(clone, provider).publish() == 6
        await append(one, 1)
        with pytest.raises(LedgerForkError, match="different roots"):
            await copier.publish()


async def test_entries_that_another_left_unsigned_are_noticed(tmp_path):
    provider = MemoryProvider()
    async with ledger_in(tmp_path / "clone") as clone:
        await append(clone, 5)
        await publisher(clone, provider).publish()
        del provider.objects[CHECKPOINT]
    async with ledger_in(tmp_path / "one") as one:
        await append(one, 5)
        with pytest.raises(LedgerForkError, match="other bytes than ours"):
            await publisher(one, provider).publish()
    assert CHECKPOINT not in provider.objects


async def test_a_checkpoint_of_another_key_site_or_shape_stops_everything(tmp_path):
    async with ledger_in(tmp_path) as ledger:
        await append(ledger, 2)
        provider = MemoryProvider()
        await publisher(ledger, provider).publish()
        good = provider.objects[CHECKPOINT]
        bad = [
            b"",
            good[:-1],
            good.replace(b"\n2\n", b"\n1\n"),
            checkpoint.signed(Checkpoint(SITE, 2, ledger.root()), seed=b"x" * 32),
            checkpoint.signed(Checkpoint("clinic", 2, ledger.root()), seed=SEED),
            good + b"x" * (1 << 21),
        ]
        for data in bad:
            provider.objects[CHECKPOINT] = data
            with pytest.raises(IntegrityError):
                await publisher(ledger, provider).publish()
            assert provider.objects[CHECKPOINT] == data
        provider.objects[CHECKPOINT] = good
        assert await publisher(ledger, provider).check() == 2


async def test_only_durable_entries_are_published(tmp_path):
    provider = MemoryProvider()
    ledger = open_ledger(tmp_path)
    await append(ledger, 3)
    waiting = ledger.append_nowait("started", {"n": 3})
    size = ledger.size
    assert await publisher(ledger, provider).publish() == size
    await waiting
    await ledger.close()
    assert checkpoint.verified(provider.objects[CHECKPOINT], origin=SITE, keys=[KEY]).size == size

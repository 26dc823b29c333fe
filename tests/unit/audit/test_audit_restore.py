"""The way back: from a provider's copy to the same local log, and never to another one."""

import pytest

from fileroom.audit.publish import Publisher
from fileroom.audit.restore import Restored, restore
from fileroom.clock import ManualClock
from fileroom.disk import Disk
from fileroom.errors import IntegrityError, UncertainError
from fileroom.ledger.checkpoint import LedgerForkError
from fileroom.ledger.note import VerifierKey
from fileroom.provider.directory import DirectoryProvider
from fileroom.provider.port import FailureDomain
from ledger_parts import (
    BODY_KEY,
    KEY,
    SEED,
    SITE,
    MemoryProvider,
    QuickDisk,
    append,
    audited_size,
    ledger_in,
    numbers,
)

SIZES = [3, 200, 256, 300, 700]


async def restored(provider, directory, *, key=KEY, body_key=BODY_KEY):
    return await restore(
        provider,
        directory,
        site=SITE,
        body_key=body_key,
        key=key,
        disk=QuickDisk(),
        clock=ManualClock(),
    )


async def publish(ledger, provider):
    return await Publisher(ledger, provider, signing_seed=SEED).publish()


async def published(directory, sizes=SIZES):
    """A ledger's copy at a provider, its root, and the provider's state after each change."""
    provider, states = MemoryProvider(), []
    change = provider._change

    def remembering(name, data):
        change(name, data)
        states.append(dict(provider.objects))

    provider._change = remembering
    async with ledger_in(directory) as ledger:
        for size in sizes:
            await append(ledger, size - ledger.size)
            await publish(ledger, provider)
        return MemoryProvider(provider.objects), ledger.root(), states


@pytest.mark.parametrize("sizes", [[1], [255], [256], [257], [600], SIZES])
async def test_the_log_comes_back_with_the_same_root_and_records(tmp_path, sizes):
    provider, root, _ = await published(tmp_path / "lost", sizes)
    assert await restored(provider, tmp_path / "new") == Restored(sizes[-1], sizes[-1])
    async with ledger_in(tmp_path / "new") as ledger:
        assert ledger.verify() == root
        assert numbers(ledger) == list(range(sizes[-1]))
        await append(ledger, 1)
        assert await publish(ledger, provider) == sizes[-1] + 1


@pytest.mark.parametrize("local", [0, 1, 100, 255, 256, 300, 699, 700])
async def test_a_log_that_is_partly_there_is_continued(tmp_path, local):
    provider, root, _ = await published(tmp_path / "lost")
    async with (
        ledger_in(tmp_path / "lost") as lost,
        ledger_in(tmp_path / "new") as begun,
    ):
        await begun.adopt(list(lost.stored(0, local)))
    assert (await restored(provider, tmp_path / "new")).size == 700
    async with ledger_in(tmp_path / "new") as ledger:
        assert ledger.verify() == root


async def test_a_log_that_is_ahead_of_the_copy_is_left_alone(tmp_path):
    provider, _, _ = await published(tmp_path / "here")
    async with ledger_in(tmp_path / "here") as ledger:
        await append(ledger, 5)
    assert await restored(provider, tmp_path / "here") == Restored(705, 700)


@pytest.mark.parametrize("local", [1, 300, 700, 701])
async def test_another_log_that_is_there_is_not_continued(tmp_path, local):
    provider, _, _ = await published(tmp_path / "lost")
    async with ledger_in(tmp_path / "new") as other:
        await append(other, local)
    with pytest.raises(LedgerForkError):
        await restored(provider, tmp_path / "new")
    async with ledger_in(tmp_path / "new") as other:
        assert other.size == local


async def test_a_site_lost_at_any_moment_of_publishing_comes_back_and_publishes_on(tmp_path):
    _, _, states = await published(tmp_path / "lost")
    beyond = 0
    for number, objects in enumerate(states):
        signed = audited_size(objects)
        provider = MemoryProvider(objects)
        directory = tmp_path / f"{number}"
        if not signed:
            with pytest.raises(IntegrityError, match="checkpoint is not there"):
                await restored(provider, directory)
            continue
        result = await restored(provider, directory)
        assert result.signed_size == signed <= result.size
        beyond += result.size > signed
        async with ledger_in(directory) as ledger:
            assert numbers(ledger) == list(range(result.size))
            await append(ledger, 3)
            assert await publish(ledger, provider) == result.size + 3
        assert audited_size(provider.objects) == result.size + 3
    assert beyond > 5


async def test_a_restore_that_stopped_anywhere_is_begun_again(tmp_path):
    provider, root, _ = await published(tmp_path / "lost", [700])
    calls = 0

    class Failing(MemoryProvider):
        async def get(self, name, start, end, *, call):
            nonlocal calls
            calls += 1
            if calls == fail_at:
                raise UncertainError("the line went down")
            return await super().get(name, start, end, call=call)

    fail_at = None
    await restored(Failing(provider.objects), tmp_path / "count")
    for fail_at in range(1, calls + 1):
        calls = 0
        directory = tmp_path / f"{fail_at}"
        with pytest.raises(UncertainError):
            await restored(Failing(provider.objects), directory)
        calls = 10**6
        assert (await restored(Failing(provider.objects), directory)).size == 700
        async with ledger_in(directory) as ledger:
            assert ledger.verify() == root


@pytest.mark.parametrize("change", ["flipped", "cut", "longer", "missing", "huge"])
async def test_a_damaged_copy_gives_the_same_log_or_none(tmp_path, change):
    provider, root, _ = await published(tmp_path / "lost", [300, 520, 530])
    refused = 0
    for number, (name, data) in enumerate(list(provider.objects.items())):
        objects = dict(provider.objects)
        if change == "missing":
            del objects[name]
        else:
            objects[name] = {
                "flipped": data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
                "cut": data[:-1],
                "longer": data + b"x",
                "huge": bytes(70 << 20),
            }[change]
        directory = tmp_path / f"{number}"
        try:
            await restored(MemoryProvider(objects), directory)
        except IntegrityError:
            refused += 1
        async with ledger_in(directory) as ledger:
            assert ledger.verify() == (root if ledger.size == 530 else ledger.root())
            assert numbers(ledger) == list(range(ledger.size))
    assert refused >= 4


async def test_objects_of_two_logs_that_were_mixed_are_refused(tmp_path):
    one, _, _ = await published(tmp_path / "one", [10])
    other, _, _ = await published(tmp_path / "other", [10])
    for part in ("events/", "tile/entries/", "tile/0/"):
        objects = {name: data for name, data in one.objects.items() if part not in name}
        objects |= {name: data for name, data in other.objects.items() if part in name}
        with pytest.raises(IntegrityError):
            await restored(MemoryProvider(objects), tmp_path / part.strip("/").replace("/", "-"))


async def rearranged(tmp_path, order):
    """Two copies: of a log, and of its own records in another order, signed with its own key."""
    copies = []
    async with ledger_in(tmp_path / "log") as log, ledger_in(tmp_path / "rearranged") as other:
        await append(log, 20)
        records = list(log.stored(0, 20))
        await other.adopt([records[each] for each in order])
        for ledger in (log, other):
            copies.append(MemoryProvider())
            await publish(ledger, copies[-1])
    return copies


@pytest.mark.parametrize("order", [[*range(19), 0], [1, 0, *range(2, 20)], [*range(5), *range(15)]])
async def test_own_records_in_another_order_are_refused(tmp_path, order):
    # Every body opens beside its entry, so only the signed root tells.
    one, other = await rearranged(tmp_path, order)
    head = f"ledger/{SITE}/checkpoint"
    with pytest.raises(IntegrityError, match="signed root"):
        await restored(MemoryProvider(other.objects | {head: one.objects[head]}), tmp_path / "a")
    tiles = {name: data for name, data in one.objects.items() if "/tile/0/" in name}
    forged = other.objects | tiles | {head: one.objects[head]}
    with pytest.raises(IntegrityError, match="not those that were signed"):
        await restored(MemoryProvider(forged), tmp_path / "b")


@pytest.mark.parametrize("replayed", [0, 299], ids=["of another bundle", "the last"])
async def test_old_events_are_not_played_again_behind_the_checkpoint(tmp_path, replayed):
    clock = ManualClock()
    provider, longer = MemoryProvider(), MemoryProvider()
    async with ledger_in(tmp_path / "log") as log, ledger_in(tmp_path / "longer") as other:
        log._clock = clock
        for _ in range(3):
            await append(log, 100)
            clock.advance(1)
        await publish(log, provider)
        records = list(log.stored(0, 300))
        await other.adopt([*records, records[replayed]])
        await publish(other, longer)
    behind = {name: data for name, data in longer.objects.items() if "checkpoint" not in name}
    assert await restored(MemoryProvider(provider.objects | behind), tmp_path / "new") == (300, 300)


async def test_bodies_that_no_entry_names_do_not_stand_in_the_way(tmp_path):
    one, root, _ = await published(tmp_path / "one", [10])
    other, _, _ = await published(tmp_path / "other", [12])
    left_over = {name: data for name, data in other.objects.items() if "events/" in name}
    misnamed = {
        f"ledger/{SITE}/events/nonsense": b"",
        f"ledger/{SITE}/events/000000000009-000000000000-{'0' * 64}": b"",
        f"ledger/{SITE}/events/000000000000-999999999999-{'0' * 64}": b"",
    }
    assert (await restored(MemoryProvider(one.objects | left_over | misnamed), tmp_path / "n")).size
    async with ledger_in(tmp_path / "n") as ledger:
        assert ledger.root() == root


async def test_full_objects_stand_in_for_partial_ones_that_were_pruned(tmp_path):
    provider, root, _ = await published(tmp_path / "lost", [300, 600])
    head = provider.objects[f"ledger/{SITE}/checkpoint"]
    async with ledger_in(tmp_path / "lost") as ledger:
        await append(ledger, 300)
        await publish(ledger, provider)
    objects = {name: data for name, data in provider.objects.items() if not name.endswith(".p/88")}
    objects[f"ledger/{SITE}/checkpoint"] = head
    result = await restored(MemoryProvider(objects), tmp_path / "new")
    assert result.signed_size == 600
    async with ledger_in(tmp_path / "new") as ledger:
        assert ledger.root(600) == root


async def test_another_key_restores_nothing(tmp_path):
    provider, _, _ = await published(tmp_path / "lost", [10])
    with pytest.raises(IntegrityError):
        await restored(provider, tmp_path / "a", key=VerifierKey.of_seed(SITE, b"x" * 32))
    with pytest.raises(IntegrityError):
        await restored(provider, tmp_path / "b", body_key=b"x" * 32)
    async with ledger_in(tmp_path / "b") as ledger:
        assert ledger.size == 0


async def test_a_copy_in_a_folder_is_published_and_comes_back(tmp_path):
    provider = DirectoryProvider.open(
        tmp_path / "nas", name="nas", domain=FailureDomain(), disk=Disk(), create=True
    )
    async with ledger_in(tmp_path / "lost") as ledger:
        for count in (10, 300):
            await append(ledger, count)
            await publish(ledger, provider)
        root = ledger.root()
    assert (await restored(provider, tmp_path / "new")).size == 310
    async with ledger_in(tmp_path / "new") as ledger:
        assert ledger.root() == root
        await append(ledger, 1)
        assert await publish(ledger, provider) == 311
    provider.close()

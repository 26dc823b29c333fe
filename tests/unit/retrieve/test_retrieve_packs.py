"""A pack that no copy gives is told from one that nobody can ask, and from one unlucky read."""

import hashlib

import pytest

from fileroom.errors import IntegrityError
from fileroom.pack.format import object_name
from fileroom.provider.port import UnreachableError
from fileroom.retrieve.cache import BlockCache
from fileroom.retrieve.packs import PackSource, UnavailableError
from instances import dataset
from unit.ingest.stages import way_in

KEY = (1, 1, 1)


class Setup:
    """One pack that lies on this disk and at two providers.

    Attributes:
        damaged: numbers of the packs that were told of.
    """

    def __init__(self, way, pack):
        self.way, self.pack = way, pack
        self.name = object_name(pack.study_key_id, pack.sha256)
        self.damaged = []
        self.source = PackSource(
            packs_directory=way.packs,
            study_key=way.keyring.study_key,
            copies=lambda number: [*way.copies(pack)],
            providers=way.providers,
            cache=BlockCache(way.folder / "cache", disk=way.disk, size_bytes_max=1 << 20),
            damaged=self._damaged,
        )

    async def _damaged(self, pack):
        self.damaged.append(pack.number)

    def rot(self, provider):
        content = bytearray(self.way.providers[provider].objects[self.name])
        content[len(content) // 2] ^= 1
        self.way.providers[provider].objects[self.name] = bytes(content)

    def rot_here(self):
        path = self.way.local(self.pack)
        path.write_bytes(path.read_bytes()[:-1])

    async def place(self):
        (instance,) = (await self.source.metadata(self.pack)).instances
        return instance.start + instance.dataset_offset, instance.end

    async def digest(self):
        return await self.source.digest(self.pack, *await self.place())


@pytest.fixture
async def setup(tmp_path):
    async with way_in(tmp_path, "a", "b") as way:
        pack = await way.sealed(KEY)
        await way.replicate(copies_min=2).round()
        yield Setup(way, pack)


def away(monkeypatch, provider):
    async def unreachable(*_, **__):
        raise UnreachableError("no connection")

    monkeypatch.setattr(provider, "get", unreachable)


SENT = hashlib.sha256(dataset(*KEY, size_bytes=256)).digest()


async def test_a_digest_comes_from_this_disk_and_asks_no_provider(setup):
    await setup.place()
    for provider in setup.way.providers.values():
        provider.calls.clear()
    assert await setup.digest() == SENT
    assert [each.calls for each in setup.way.providers.values()] == [[], []]


async def test_a_digest_comes_from_the_first_copy_that_gives_all_of_it(setup):
    start, end = await setup.place()
    setup.rot_here()
    setup.rot("a")
    assert await setup.source.digest(setup.pack, start, end) == SENT
    assert setup.damaged == []


@pytest.mark.parametrize("how", ["digest", "read"])
async def test_what_no_copy_gives_is_damaged_and_told(setup, how):
    start, end = await setup.place()
    setup.rot_here()
    setup.rot("a")
    del setup.way.providers["b"].objects[setup.name]
    with pytest.raises(IntegrityError):
        await getattr(setup.source, how)(setup.pack, start, end)
    assert setup.damaged == [setup.pack.number]


@pytest.mark.parametrize("how", ["digest", "read"])
async def test_what_may_lie_where_nobody_can_look_is_unavailable(setup, how, monkeypatch):
    start, end = await setup.place()
    setup.rot_here()
    setup.rot("a")
    away(monkeypatch, setup.way.providers["b"])
    with pytest.raises(UnavailableError):
        await getattr(setup.source, how)(setup.pack, start, end)
    assert setup.damaged == []


@pytest.mark.parametrize("how", ["digest", "read"])
async def test_one_read_that_goes_wrong_makes_no_pack_damaged(setup, how, monkeypatch):
    start, end = await setup.place()
    setup.rot_here()
    for provider in setup.way.providers.values():
        kept = provider.objects.pop(setup.name)
        get = provider.get

        async def there_again(name, *place, call, provider=provider, get=get, kept=kept):
            try:
                return await get(name, *place, call=call)
            finally:
                provider.objects[setup.name] = kept

        monkeypatch.setattr(provider, "get", there_again)
    await getattr(setup.source, how)(setup.pack, start, end)
    assert setup.damaged == []

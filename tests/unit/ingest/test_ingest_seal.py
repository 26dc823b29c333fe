"""Seal: a series at rest becomes a pack that was read again; what fails waits by itself."""

import asyncio

import pytest

from fileroom.catalog.lifecycle import SEAL, PackState
from fileroom.catalog.rows import InstancePlace
from fileroom.dicom.uid import digest
from fileroom.errors import IntegrityError, TransientError
from fileroom.ingest.seal import POSTPONED_S
from fileroom.pack.reader import PackReader
from instances import dataset, uids
from unit.ingest.stages import way_in

ONE, BESIDE, OTHER = (1, 1, 1), (1, 1, 2), (2, 1, 1)


@pytest.fixture
async def way(tmp_path):
    async with way_in(tmp_path) as made:
        yield made


def metadata_of(way, pack):
    """What the pack's own file says, by its study key."""
    data = way.local(pack).read_bytes()
    reader = PackReader(
        lambda start, end: data[start:end],
        key=way.keyring.study_key(pack.study_key_id),
        tink_header=pack.tink_header,
        size_bytes=pack.size_bytes,
    )
    return reader.verify(sha256=pack.sha256)


async def test_a_series_is_sealed_once_it_has_been_quiet_for_long_enough(way):
    await way.land(ONE, BESIDE)
    stage = way.seal(quiet_s=20)
    way.clock.advance(19)
    assert await stage.round() == 0
    way.clock.advance(2)
    assert await stage.round() == 1
    (pack,) = way.all_packs()
    assert (pack.state, pack.local, pack.instance_count) == (PackState.SEALED, True, 2)
    assert [each.sop_instance_uid for each in metadata_of(way, pack).instances] == [
        uids(*ONE)[2],
        uids(*BESIDE)[2],
    ]
    assert way.catalog.totals().received.instances == 0
    assert way.catalog.settled_count(1) == 2


async def test_sealing_waits_while_the_doors_receive_and_the_spool_has_room(way):
    await way.land(ONE)
    way.clock.advance(25)
    way.busy = True
    stage = way.seal(quiet_s=20)
    assert await stage.round() == 0
    way.pressure = 0.9
    assert await stage.round() == 1


async def test_each_series_is_a_pack_of_its_own_and_each_study_has_one_key(way):
    await way.land(ONE, (1, 2, 1), OTHER)
    assert await way.seal().round(everything=True) == 3
    keys = {pack.study: {p.study_key_id for p in way.all_packs() if p.study == pack.study}
            for pack in way.all_packs()}  # fmt: skip
    assert [len(each) for each in keys.values()] == [1, 1]
    assert len(set.union(*keys.values())) == 2


async def test_the_key_is_durable_before_anything_is_sealed_with_it(way, monkeypatch):
    await way.land(ONE)
    stage = way.seal()
    build = stage._workshop.build

    async def build_spied(job):
        assert way.keyring.key_object(job.study_key_id)
        return await build(job)

    monkeypatch.setattr(stage._workshop, "build", build_spied)
    assert await stage.round(everything=True) == 1


async def test_the_ledger_is_told_of_the_pack(way):
    pack = await way.sealed(ONE, ONE)
    (body,) = await way.told("sealed")
    assert body["pack"].endswith(pack.sha256.hex())
    counts = ("instances", "conflicts", "duplicates", "replacements")
    assert [body[each] for each in counts] == [1, 0, 1, 0]


async def test_a_conflict_is_in_the_pack_and_says_so(way):
    await way.land(ONE)
    await way.land(ONE, data=dataset(*ONE, size_bytes=512))
    assert await way.seal().round(everything=True) == 1
    (pack,) = way.all_packs()
    assert (pack.instance_count, pack.conflict_count) == (2, 1)
    assert sorted(each.conflict for each in metadata_of(way, pack).instances) == [False, True]
    assert not [each for each in metadata_of(way, pack).instances if each.replacement]


class Rotten:
    """Packs of which no copy gives anything any more."""

    async def check(self, place):
        raise IntegrityError("damaged")

    async def sha256(self, place):
        raise IntegrityError("damaged")


async def test_an_instance_that_stands_in_for_a_rotten_one_is_served_and_says_so_in_its_pack(way):
    first = await way.sealed(ONE, BESIDE)
    await way.land(ONE)
    assert await way.seal(packed=Rotten()).round(everything=True) == 1
    pack = way.all_packs()[-1]
    (entry,) = metadata_of(way, pack).instances
    assert (entry.replacement, entry.conflict) == (True, False)
    served = way.catalog.existing([digest(uids(*each)[2]) for each in (ONE, BESIDE)])
    assert served == {
        digest(uids(*ONE)[2]): InstancePlace(pack.number, 0),
        digest(uids(*BESIDE)[2]): InstancePlace(first.number, 1),
    }
    assert (await way.told("sealed"))[-1]["replacements"] == 1


class OutOfReach:
    async def check(self, place):
        raise TransientError("the provider is away")


async def test_a_series_that_fails_waits_by_itself_and_is_tried_again_later(way):
    await way.sealed(ONE)
    await way.land(ONE, OTHER)
    stage = way.seal(packed=OutOfReach(), quiet_s=0)
    way.clock.advance(1)
    assert await stage.round() == 1, "the other one"
    assert await stage.round() == 0, "it is not asked about again at once"
    way.clock.advance(POSTPONED_S)
    with pytest.raises(TransientError):
        await stage.round()


async def test_a_record_that_does_not_open_is_set_aside_and_the_others_are_sealed(way):
    await way.land(ONE, BESIDE)
    (segment,) = (way.folder / "spool").iterdir()
    content = bytearray(segment.read_bytes())
    content[4096 + 600] ^= 1
    segment.write_bytes(content)
    stage = way.seal()
    assert await stage.round(everything=True) == 0, "whose fault it was shows at the next"
    assert await stage.round(everything=True) == 1
    totals = way.catalog.totals()
    assert (totals.set_aside.instances, totals.received.instances) == (1, 0)
    assert way.all_packs()[0].instance_count == 1


async def test_a_series_that_another_works_on_is_left_to_it(way):
    await way.land(ONE)
    assert way.catalog.lease(SEAL, "1", holder="another", ttl_s=60) is not None
    assert await way.seal().round(everything=True) == 0


async def test_what_is_built_under_a_lease_that_is_gone_does_not_count(way, monkeypatch):
    await way.land(ONE)
    stage = way.seal()
    build = stage._workshop.build

    async def build_slowly(job):
        built = await build(job)
        way.catalog.void_leases()
        return built

    monkeypatch.setattr(stage._workshop, "build", build_slowly)
    assert await stage.round(everything=True) == 0
    assert way.all_packs() == []
    monkeypatch.undo()
    assert await stage.round(everything=True) == 1


async def test_rounds_at_once_seal_each_series_once(way):
    await way.land(ONE, OTHER)
    stage = way.seal()
    await asyncio.gather(*(stage.round(everything=True) for _ in range(3)))
    assert sum(each.instance_count for each in way.all_packs()) == 2

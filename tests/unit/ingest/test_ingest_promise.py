"""A request for storage commitment is ours before it is answered, and waits for its instances."""

import hashlib

import pytest

from fileroom.catalog.lifecycle import PackState
from fileroom.catalog.references import folded
from fileroom.dicom.commitment import Reference
from fileroom.dicom.uid import digest
from fileroom.ingest.promise import REFERENCES_A_PART, TransactionInUseError
from fileroom.ledger.log import LedgerWriteError
from fileroom.ledger.record import BODY_BYTES_MAX, encode_body
from fileroom.policy.promise import Rule
from instances import CT_IMAGE_STORAGE, dataset, uids
from unit.ingest.promises import AE_TITLE, GRACE_S, Member, Promises, failures
from unit.ingest.stages import way_in

A, B, C = (1, 1, 1), (1, 1, 2), (2, 1, 1)
MR = "1.2.840.10008.5.1.4.1.1.4"


def waiting(way):
    (row,) = way.catalog.commitments_waiting(limit=9)
    return row


async def test_a_request_is_in_the_ledger_before_it_is_answered(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.ask(B, A)
        record = list(way.ledger.records(0))[-1]
        assert record.kind == "commitment.requested"
        assert (record.body["ae_title"], record.body["transaction_uid"]) == (AE_TITLE, "1.7.1")
        stem, _, last = uids(*A)[2].rpartition(".")
        assert record.body["references"] == {
            CT_IMAGE_STORAGE: {stem: [last, uids(*B)[2].rpartition(".")[2]]}
        }
        assert promises.totals() == (1, 0)
        assert promises.woken == 1


async def test_a_request_that_the_ledger_does_not_take_is_not_ours(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await way.ledger.close()
        with pytest.raises(LedgerWriteError):
            await promises.ask(A)
        assert promises.totals() == (0, 0)


async def test_a_large_request_is_told_in_parts_that_fit(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        keys = [(1, 1, number) for number in range(2 * REFERENCES_A_PART + 1)]
        await promises.ask(*keys)
        parts = [each.body for each in way.ledger.records(0)]
        assert [(each["part"], each["parts"]) for each in parts] == [(0, 3), (1, 3), (2, 3)]
        row = waiting(way)
        assert len(way.catalog.references(row.number)) == len(keys)


def test_a_part_fits_whatever_the_uids():
    longest = [
        Reference(f"{number:064d}", f"1.{number:060d}.1") for number in range(REFERENCES_A_PART)
    ]
    assert {len(uid) for each in longest for uid in each} == {64}
    assert len(encode_body(folded(longest))) < BODY_BYTES_MAX - 1000


async def test_an_instance_is_waited_for_until_it_is_committed(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.ask(A, B)
        assert await promises.promise.round() == 0
        assert waiting(way).awaits == digest(uids(*A)[2])
        await way.land(A)
        await way.seal().round(everything=True)
        for stage in (way.replicate(), way.verify(), way.commit()):
            assert await promises.promise.round() == 0
            assert waiting(way).awaits == digest(uids(*A)[2])
            await stage.round()
        assert way.states() == [PackState.COMMITTED]
        assert await promises.promise.round() == 0
        row = waiting(way)
        assert (row.cursor, row.awaits) == (1, digest(uids(*B)[2]))
        await promises.committed(B)
        assert await promises.promise.round() == 1
        assert promises.totals() == (0, 1)


async def test_what_did_not_come_in_time_is_absent_and_what_came_is_waited_for(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.ask(A, B)
        way.clock.advance(GRACE_S - 1)
        assert await promises.promise.round() == 0
        way.clock.advance(1)
        await way.land(B)
        assert await promises.promise.round() == 0
        assert waiting(way).awaits == digest(uids(*B)[2]), "A is absent, B is on its way"
        way.clock.advance(7 * 86_400)
        assert await promises.promise.round() == 0
        await way.seal().round(everything=True)
        promises.commit_all()
        await promises.work()
        (result,) = promises.told[AE_TITLE]
        assert failures(result) == {uids(*A)[2]: 0x0112}


async def test_nothing_is_absent_while_the_catalog_does_not_know_all_there_is(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.ask(A)
        way.is_complete = False
        way.clock.advance(10 * GRACE_S)
        assert await promises.promise.round() == 0
        way.is_complete = True
        assert await promises.promise.round() == 1


async def test_an_instance_that_came_again_is_waited_for_again(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.committed(A)
        await way.land(A, data=dataset(*A, size_bytes=512))
        await promises.ask(A)
        assert await promises.promise.round() == 0
        assert promises.totals() == (1, 0)


async def test_what_is_at_risk_by_the_time_it_is_told_waits_again(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.committed(A)
        await promises.ask(A)
        await promises.promise.round()
        (pack,) = way.all_packs()
        way.catalog.set_pack_state(pack.number, PackState.COMMITTED, PackState.AT_RISK)
        await promises.tell()
        assert promises.told == {}
        assert waiting(way).awaits == digest(uids(*A)[2])
        assert await promises.promise.round() == 0
        way.catalog.set_pack_state(pack.number, PackState.AT_RISK, PackState.COMMITTED)
        await promises.work()
        assert len(promises.told[AE_TITLE]) == 1


async def test_an_instance_of_another_class_is_a_conflict(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.committed(A)
        await promises.ask(A, sop_class=MR)
        await promises.work()
        (result,) = promises.told[AE_TITLE]
        assert (result.event_type_id, failures(result)) == (2, {uids(*A)[2]: 0x0119})


async def test_one_of_several_data_sets_may_have_the_class(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.committed(A, C)
        first, second = way.all_packs()
        promises.members.told = {second.number: [Member(MR, "00" * 32)]}
        await promises.ask(A, C, sop_class=MR)
        await promises.work()
        (result,) = promises.told[AE_TITLE]
        assert failures(result) == {uids(*A)[2]: 0x0119}
        assert sorted(promises.members.asked) == [first.number, second.number]


async def test_what_cannot_be_read_back_fails_until_it_came_again(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await way.land(A)
        (due,) = way.catalog.series_to_seal(quiet_before_ns=1 << 62, target_bytes=1, limit=9)
        (row,) = way.catalog.spooled_of_series(due.series, bytes_max=1 << 62)
        way.catalog.set_aside([row.id])
        await promises.ask(A)
        await promises.work()
        assert failures(promises.told[AE_TITLE][0]) == {uids(*A)[2]: 0x0110}
        await promises.committed(A)
        await promises.ask(A, uid="1.7.2")
        await promises.work()
        assert failures(promises.told[AE_TITLE][1]) == {uids(*A)[2]: 0x0110}, "other bytes"
        (pack,) = way.all_packs()
        sha256 = hashlib.sha256(dataset(*A, size_bytes=256)).hexdigest()
        promises.members.told = {pack.number: [Member(CT_IMAGE_STORAGE, sha256)]}
        await promises.ask(A, uid="1.7.3")
        await promises.work()
        assert failures(promises.told[AE_TITLE][2]) == {}


async def test_a_peer_with_the_local_rule_waits_for_the_spool_only(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way, rule=Rule.LOCAL)
        await promises.ask(A)
        await promises.work()
        assert promises.totals() == (1, 0)
        await way.land(A)
        await promises.work()
        assert failures(promises.told[AE_TITLE][0]) == {}
        await promises.ask(A, uid="1.7.2", sop_class=MR)
        await promises.work()
        assert failures(promises.told[AE_TITLE][1]) == {uids(*A)[2]: 0x0119}
        assert promises.members.asked == [], "the spool's record knows"
        (_, told) = await way.told("commitment.reported")
        assert (told["rule"], told["instances"], told["failures"]) == ("local", 1, {"0119": 1})


async def test_the_same_request_again_is_the_same_until_it_is_reported(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.ask(A)
        await promises.ask(A)
        with pytest.raises(TransactionInUseError):
            await promises.ask(A, B)
        await promises.ask(A, B, ae_title="CT2")
        assert promises.totals() == (2, 0)
        assert len(await way.told("commitment.requested")) == 2
        await promises.committed(A)
        await promises.work()
        with pytest.raises(TransactionInUseError):
            await promises.ask(B)
        way.clock.advance(-3600)
        await promises.ask(A)
        assert promises.totals() == (2, 0)
        await promises.work()
        assert len(promises.told[AE_TITLE]) == 2


async def test_what_has_landed_is_known_before_anything_is_judged(tmp_path, monkeypatch):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.committed(A)
        await promises.ask(A)
        other = dataset(*A, size_bytes=512)

        async def settled():
            await way.land(A, data=other)

        monkeypatch.setattr(promises.judge, "_settled", settled)
        await promises.promise.round()
        assert promises.totals() == (1, 0), "the other data set is on this disk only"

"""Peers are told of what is decided: each by itself, again and again, until it answers."""

import asyncio

import pytest

from fileroom.catalog.lifecycle import CommitmentState
from fileroom.errors import PeerError, TransientError
from fileroom.ingest.report import AT_ONCE_S, GIVEN_UP_AFTER_S, REST_S, REST_S_MAX
from fileroom.ingest.verdicts import Terms
from fileroom.provider.port import UnreachableError
from instances import dataset
from unit.ingest.promises import AE_TITLE, Association, Promises, failures
from unit.ingest.stages import way_in

A, B = (1, 1, 1), (1, 1, 2)
DOWN = TransientError("no connection")


async def judged(promises, *uids, ae_title=AE_TITLE):
    """Commitments to one instance that are decided and not told."""
    if not promises.way.all_packs():
        await promises.committed(A)
    for uid in uids:
        await promises.ask(A, uid=uid, ae_title=ae_title)
    await promises.promise.round()


async def test_a_peer_is_told_what_came_of_all_its_instances_and_where_to_find_them(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        await promises.tell()
        (result,) = promises.told[AE_TITLE]
        assert (result.transaction_uid, result.retrieve_ae_title) == ("1.7.1", "FILEROOM")
        assert (result.event_type_id, failures(result)) == (1, {})
        assert promises.totals() == (0, 0)
        row = way.catalog.commitment(AE_TITLE, "1.7.1")
        assert row.state is CommitmentState.REPORTED
        (told,) = await way.told("commitment.reported")
        assert (told["instances"], told["failures"], told["status"]) == (1, {}, 0)
        await promises.tell()
        assert len(promises.told[AE_TITLE]) == 1


async def test_a_warning_is_an_answer_and_a_failure_is_not(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        promises.answers[AE_TITLE] = 0x0110
        await promises.tell()
        assert promises.totals() == (0, 1)
        assert promises.report.errors == {
            AE_TITLE: "the peer answered 0110H PROCESSING_FAILURE",
        }
        promises.answers[AE_TITLE] = 0x0107
        way.clock.advance(REST_S)
        await promises.tell()
        assert (promises.totals(), promises.report.errors) == ((0, 0), {})


async def test_a_peer_that_is_away_is_asked_less_and_less_often(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        promises.answers[AE_TITLE] = DOWN
        rests = []
        for _ in range(12):
            await promises.tell()
            (rest,) = promises.report._resting.values()
            rests.append(rest.until_s - way.clock.monotonic_s())
            way.clock.advance(rests[-1] - 0.1)
            await promises.report.round()
            assert promises.report._busy == {}, "before its time"
            way.clock.advance(0.1)
        assert [round(each) for each in rests[:4]] == [10, 20, 40, 80]
        assert max(rests) == REST_S_MAX
        del promises.answers[AE_TITLE]
        await promises.tell()
        assert promises.totals() == (0, 0)


async def test_new_settings_let_every_peer_be_tried_at_once(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        promises.answers[AE_TITLE] = DOWN
        await promises.tell()
        del promises.answers[AE_TITLE]
        await promises.tell()
        assert promises.told == {}
        promises.report.retry()
        await promises.tell()
        assert len(promises.told[AE_TITLE]) == 1


async def test_a_peer_that_hangs_holds_up_no_other(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way, peers=("CT2",))
        await judged(promises, "1.7.1")
        gate = promises.answers[AE_TITLE] = asyncio.Event()
        await promises.report.round()
        await judged(promises, "1.7.2", ae_title="CT2")
        await promises.report.round()
        await promises.report._busy["CT2"]
        assert len(promises.told["CT2"]) == 1
        assert promises.told[AE_TITLE] == []
        gate.set()
        await promises.report._busy[AE_TITLE]
        assert len(promises.told[AE_TITLE]) == 1


async def test_what_a_peer_does_not_take_lets_its_others_go_first(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1", "1.7.2")
        promises.answers[AE_TITLE] = DOWN
        await promises.tell()
        del promises.answers[AE_TITLE]
        way.clock.advance(REST_S)
        await promises.tell()
        assert [each.transaction_uid for each in promises.told[AE_TITLE]] == ["1.7.2", "1.7.1"]


async def test_a_peer_that_is_away_for_a_month_is_given_up_and_the_ledger_says_so(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        promises.answers[AE_TITLE] = DOWN
        way.clock.advance(GIVEN_UP_AFTER_S - 1)
        await promises.tell()
        assert promises.totals() == (0, 1)
        way.clock.advance(REST_S)
        await promises.tell()
        assert promises.totals() == (0, 0)
        (told,) = await way.told("commitment.reported")
        assert (told["status"], told["instances"]) == (None, 1)


async def test_a_caller_without_an_entry_waits_for_one(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1", ae_title="CT2")
        await promises.tell()
        assert (promises.totals(), promises.report.errors) == ((0, 1), {})
        peers = {**promises.judge.terms.peers, "CT2": promises.judge.terms.peers[AE_TITLE]}
        promises.judge.terms = Terms(0, peers)
        await promises.tell()
        assert len(promises.told["CT2"]) == 1


async def test_the_association_that_asked_is_used_once_even_for_a_stranger(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1", ae_title="CT2")
        asking = Association()
        promises.report.offer("CT2", "1.7.1", asking)
        await promises.tell()
        (result,) = asking.told
        assert (result.transaction_uid, promises.told) == ("1.7.1", {})
        await promises.ask(A, uid="1.7.1", ae_title="CT2")
        await promises.work()
        assert promises.totals() == (0, 1), "nobody knows where it listens"


@pytest.mark.parametrize("how", ["ended", "ends", "late", "not taken"])
async def test_where_the_association_that_asked_does_not_do_a_new_one_is_opened(how, tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        failing = PeerError("the association ended") if how == "ends" else None
        asking = Association(failure=failing, status=0x0211 if how == "not taken" else 0)
        promises.report.offer(AE_TITLE, "1.7.1", asking)
        asking.is_open = how != "ended"
        if how == "late":
            way.clock.advance(AT_ONCE_S)
        await promises.tell()
        if how == "not taken":
            assert len(asking.told) == 1
            way.clock.advance(REST_S)
            await promises.tell()
        else:
            assert asking.told == []
        assert len(promises.told[AE_TITLE]) == 1


async def test_a_pack_that_cannot_be_asked_is_asked_later(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        promises.members.failure = UnreachableError("no connection")
        await promises.tell()
        assert promises.report.errors == {AE_TITLE: "no connection"}
        promises.members.failure = None
        way.clock.advance(REST_S)
        await promises.tell()
        assert len(promises.told[AE_TITLE]) == 1


async def test_what_is_under_way_when_the_node_stops_is_told_after_the_next_start(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        promises.answers[AE_TITLE] = asyncio.Event()
        await promises.report.round()
        await asyncio.sleep(0)
        await promises.report.stop()
        assert promises.totals() == (0, 1)
        again = Promises(way)
        await again.tell()
        assert len(again.told[AE_TITLE]) == 1


async def test_a_mistake_of_ours_is_no_silence(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        promises.members.failure = LookupError("ours")
        with pytest.raises(LookupError):
            await promises.tell()
        with pytest.raises(LookupError):
            await promises.report.round()
        assert promises.totals() == (0, 1)


async def test_results_of_hundreds_of_instances_say_each_once(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await promises.ask(*[(5, 1, number) for number in range(2500)])
        way.clock.advance(7 * 86_400)
        await promises.work()
        (result,) = promises.told[AE_TITLE]
        assert len(set(result.references)) == len(result.reasons) == 2500
        assert set(result.reasons) == {0x0112}


async def test_a_commitment_is_over_when_the_ledger_says_so_and_not_before(tmp_path):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")
        await way.ledger.close()
        await promises.tell()
        assert promises.told[AE_TITLE], "the peer was told, and will be once more"
        assert promises.totals() == (0, 1)


async def test_what_has_landed_since_is_known_before_a_peer_is_told(tmp_path, monkeypatch):
    async with way_in(tmp_path) as way:
        promises = Promises(way)
        await judged(promises, "1.7.1")

        async def settled():
            await way.land(A, data=dataset(*A, size_bytes=512))

        monkeypatch.setattr(promises.judge, "_settled", settled)
        await promises.tell()
        assert promises.told == {}
        assert promises.totals() == (1, 0), "one that is on this disk only is waited for"

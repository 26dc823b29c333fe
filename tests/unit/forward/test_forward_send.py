"""What waits goes to its destination, and is done by the destination's answer only."""

import asyncio

import pytest

from fileroom.audit.event import parse
from fileroom.catalog.forwards import ForwardCounts
from fileroom.errors import PeerError, TransientError
from fileroom.forward.outlet import Sent
from fileroom.policy.forwarding import REST_S, Answer, LocalTime, Rule, window
from instances import dataset, uids
from unit.forward.forwards import (
    EVERYTHING,
    PACS,
    SOMEBODY,
    TELERAD,
    Forwards,
    uid_of,
)
from unit.ingest.stages import way_in

A, B, C = (1, 1, 1), (1, 1, 2), (1, 1, 3)
OTHER_STUDY = (2, 1, 1)
DOWN = TransientError("no connection")
NO = Sent(Answer.REFUSED, "it answered A900H")
BOTH = (EVERYTHING, Rule("emergencies", TELERAD))


async def waiting(way, *keys, rules=(EVERYTHING,)) -> Forwards:
    """Instances that are sealed, each study in a pack, while rules are in force."""
    forwards = Forwards(way, *rules)
    await forwards.route.round()
    await forwards.sealed(*keys)
    await forwards.route.round()
    return forwards


async def test_each_image_leaves_as_it_came_and_the_ledger_counts_it_in_and_out(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B)
        await forwards.deliver()
        assert forwards.arrived[PACS] == [
            (uid_of(*each), dataset(*each, size_bytes=256)) for each in (A, B)
        ]
        assert forwards.counts() == ForwardCounts(stored=2)
        assert forwards.waiting() == 0
        (told,) = await way.told("forwarded")
        assert parse("forwarded", told) is not None
        assert (told["rule"], told["destination"]) == ("all", PACS)
        assert (told["stored"], told["study_stored"], told["study_waiting"]) == (2, 2, 0)
        (opened,) = await way.told("access.opened")
        assert (opened["principal_kind"], opened["principal"]) == ("rule", "all")
        assert (opened["destination"], opened["purpose"]) == ("PACS", "forward")
        assert opened["study_instance_uid"] == uids(*A)[0]
        await forwards.deliver()
        assert len(forwards.uids_at()) == 2


async def test_a_study_that_grows_is_forwarded_as_it_grows(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A)
        await forwards.deliver()
        await forwards.sealed(B)
        await forwards.deliver()
        await forwards.sealed(C)
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*each) for each in (A, B, C)]
        assert forwards.counts() == ForwardCounts(stored=3)
        assert [each["study_stored"] for each in await way.told("forwarded")] == [1, 2, 3]


async def test_what_arrives_twice_goes_once(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, A)
        await forwards.deliver()
        await forwards.sealed(A)
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*A)]


async def test_a_destination_that_hangs_holds_up_no_other(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, rules=BOTH)
        gate = forwards.answers[PACS][uid_of(*A)] = asyncio.Event()
        await forwards.send.round()
        await forwards.send._busy[TELERAD]
        assert (forwards.uids_at(TELERAD), forwards.uids_at(PACS)) == ([uid_of(*A)], [])
        await forwards.sealed(OTHER_STUDY)
        await forwards.route.round()
        await forwards.send.round()
        await forwards.send._busy[TELERAD]
        assert len(forwards.uids_at(TELERAD)) == 2
        gate.set()
        await forwards.send._busy[PACS]
        assert len(forwards.uids_at(PACS)) == 2
        await forwards.send.stop()


async def test_a_destination_that_is_away_is_tried_less_often_and_gets_all_when_it_is_back(
    tmp_path,
):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B)
        forwards.away[PACS] = DOWN
        await forwards.deliver()
        assert forwards.send.errors == {PACS: "no connection"}
        assert way.catalog.forward_totals()[PACS].last_error == "no connection"
        tried = len(forwards.outlets)
        way.clock.advance(REST_S - 0.1)
        await forwards.deliver()
        assert len(forwards.outlets) == tried, "before its time"
        del forwards.away[PACS]
        way.clock.advance(0.1)
        await forwards.deliver()
        assert len(forwards.uids_at()) == 2
        assert forwards.send.errors == {}


async def test_what_is_refused_for_good_is_listed_and_blocks_nothing(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B, OTHER_STUDY)
        forwards.answers[PACS][uid_of(*A)] = NO
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*B), uid_of(*OTHER_STUDY)]
        assert forwards.counts() == ForwardCounts(stored=1, refused=1)
        (study,) = way.catalog.study_forwards(PACS, limit=9)
        assert study.reasons == {"it answered A900H": 1}
        told = [each for each in await way.told("forwarded") if each["refused"]]
        assert [each["refused"] for each in told] == [{"it answered A900H": "0"}]
        await forwards.deliver()
        assert len(forwards.uids_at()) == 2


async def test_what_was_refused_goes_once_more_when_somebody_says_so(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B)
        forwards.answers[PACS][uid_of(*A)] = NO
        await forwards.deliver()
        assert await forwards.send.retry(PACS, by=SOMEBODY) == 1
        await forwards.deliver()
        assert forwards.counts() == ForwardCounts(stored=1, refused=1)
        forwards.answers.clear()
        assert await forwards.send.retry(PACS, uids(*A)[0], by=SOMEBODY) == 1
        await forwards.deliver()
        assert forwards.counts() == ForwardCounts(stored=2)
        assert forwards.uids_at() == [uid_of(*B), uid_of(*A)]
        told = (await way.told("forwarded"))[-1]
        assert (told["stored"], told["study_stored"], told["refused"]) == (1, 2, {})
        assert [each["instances"] for each in await way.told("forward.retried")] == [1, 1]


async def test_all_of_a_study_goes_once_more_when_somebody_says_so(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B, OTHER_STUDY, rules=BOTH)
        await forwards.deliver()
        study = uids(*A)[0]
        assert await forwards.send.retry(PACS, study, everything=True, by=SOMEBODY) == 2
        await forwards.deliver()
        assert sorted(forwards.uids_at()) == sorted([uid_of(*each) for each in (A, A, B, B)] + [
            uid_of(*OTHER_STUDY)
        ])  # fmt: skip
        assert len(forwards.uids_at(TELERAD)) == 3
        assert await forwards.send.retry(PACS, "1.2.3", everything=True, by=SOMEBODY) == 0


async def test_a_warning_counts_as_stored_and_is_noted(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B)
        forwards.answers[PACS][uid_of(*A)] = Sent(Answer.WARNED, "it answered B000H")
        await forwards.deliver()
        assert forwards.counts() == ForwardCounts(stored=2, warned=1)


async def test_an_instance_at_which_the_destination_breaks_off_lets_others_go_first(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B, OTHER_STUDY)
        forwards.answers[PACS][uid_of(*B)] = PeerError("the peer aborted")
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*A), uid_of(*OTHER_STUDY)]
        assert forwards.counts() == ForwardCounts(waiting=2), "the pack is not decided"
        assert forwards.send.errors == {PACS: "the peer aborted"}
        forwards.answers.clear()
        forwards.send.try_again(PACS)
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*A), uid_of(*OTHER_STUDY), uid_of(*B)]
        assert forwards.counts() == ForwardCounts(stored=2)


async def test_instances_at_which_the_destination_breaks_off_or_hangs_stop_no_other_for_good(
    tmp_path,
):
    async with way_in(tmp_path) as way:
        keys = [(1, 1, number) for number in range(1, 10)]
        forwards = await waiting(way, *keys)
        for key in keys[:4]:
            forwards.answers[PACS][uid_of(*key)] = PeerError("the peer aborted")
        forwards.answers[PACS][uid_of(*keys[4])] = TransientError("no answer")
        for _ in range(9):
            await forwards.deliver()
            forwards.send.try_again()
        assert set(forwards.uids_at()) == {uid_of(*key) for key in keys[5:]}
        assert forwards.waiting() == 5
        forwards.answers.clear()
        await forwards.deliver()
        assert forwards.counts() == ForwardCounts(stored=9)


@pytest.mark.parametrize("answer", [Answer.AGAIN, Answer.LATER])
async def test_what_the_destination_cannot_take_now_is_sent_again(answer, tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B)
        forwards.answers[PACS][uid_of(*A)] = Sent(answer, "not now")
        await forwards.deliver()
        # What says nothing of the instance says that the others need not be tried.
        assert forwards.uids_at() == ([uid_of(*B)] if answer is Answer.AGAIN else [])
        assert forwards.send.errors == {PACS: "not now"}
        forwards.answers.clear()
        way.clock.advance(REST_S)
        await forwards.deliver()
        assert sorted(forwards.uids_at()) == [uid_of(*A), uid_of(*B)]
        assert forwards.counts() == ForwardCounts(stored=2)


async def test_outside_of_its_hours_what_a_rule_takes_waits(tmp_path):
    async with way_in(tmp_path) as way:
        nights = Rule("nights", PACS, hours=(window("18:00-06:00"),))
        forwards = await waiting(way, A, rules=(nights,))
        await forwards.deliver()
        assert (forwards.uids_at(), forwards.waiting()) == ([], 1)
        forwards.now = LocalTime(0, 18 * 60)
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*A)]


async def test_a_destination_that_is_paused_gets_nothing_until_it_is_resumed(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, rules=BOTH)
        await forwards.send.pause(PACS, True, by=SOMEBODY)
        await forwards.deliver()
        assert (forwards.uids_at(PACS), forwards.uids_at(TELERAD)) == ([], [uid_of(*A)])
        await forwards.send.pause(PACS, False, by=SOMEBODY)
        await forwards.deliver()
        assert forwards.uids_at(PACS) == [uid_of(*A)]
        told = await way.told("forward.paused")
        assert [each["paused"] for each in told] == [True, False]
        assert {each["principal"] for each in told} == {"127.0.0.1"}


async def test_what_is_served_no_more_is_not_sent(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B)
        packed = forwards.archive.packed

        async def one_is_gone(pack, ordinals):
            found = await packed(pack, ordinals)
            return {ordinal: each for ordinal, each in found.items() if ordinal}

        forwards.archive.packed = one_is_gone
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*B)]
        assert forwards.counts() == ForwardCounts(stored=1, withdrawn=1)


async def test_without_its_rule_or_its_peer_what_waits_stays(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A)
        forwards.rules(Rule("another", PACS))
        await forwards.deliver()
        forwards.rules(EVERYTHING)
        forwards.names.clear()
        await forwards.deliver()
        assert (forwards.uids_at(), forwards.waiting()) == ([], 1)
        forwards.names.add(PACS)
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*A)]


async def test_what_cannot_be_read_now_waits_and_holds_up_nothing_else(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, OTHER_STUDY)
        first, _ = way.all_packs()
        file = way.local(first)
        away = file.with_suffix(".away")
        file.rename(away)
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*OTHER_STUDY)]
        assert forwards.waiting() == 1
        away.rename(file)
        forwards.send.try_again()
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*OTHER_STUDY), uid_of(*A)]


async def test_a_retry_while_the_pack_is_under_way_loses_neither(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B)
        forwards.answers[PACS][uid_of(*A)] = NO
        forwards.answers[PACS][uid_of(*B)] = Sent(Answer.AGAIN, "not now")
        await forwards.deliver()
        gate = forwards.answers[PACS][uid_of(*B)] = asyncio.Event()
        forwards.send.try_again()
        await forwards.send.round()
        await asyncio.sleep(0)
        del forwards.answers[PACS][uid_of(*A)]
        assert await forwards.send.retry(PACS, by=SOMEBODY) == 1
        gate.set()
        await forwards.send._busy[PACS]
        assert set(forwards.uids_at()) == {uid_of(*A), uid_of(*B)}
        assert forwards.counts().refused == 0
        assert forwards.waiting() == 0


async def test_a_stop_in_the_middle_sends_the_pack_again(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = await waiting(way, A, B)
        forwards.answers[PACS][uid_of(*B)] = asyncio.Event()
        await forwards.send.round()
        while not forwards.arrived[PACS]:
            await asyncio.sleep(0)
        await forwards.send.stop()
        assert forwards.waiting() == 2
        forwards.answers.clear()
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*A), uid_of(*A), uid_of(*B)]
        assert forwards.counts() == ForwardCounts(stored=2)

"""Rules are asked about each pack that is sealed, once."""

from fileroom.errors import TransientError
from fileroom.policy.forwarding import Rule
from unit.forward.forwards import EVERYTHING, PACS, TELERAD, Forwards, uid_of
from unit.ingest.stages import way_in

A, B, OTHER_STUDY = (1, 1, 1), (1, 1, 2), (2, 1, 1)


async def test_what_is_sealed_waits_for_each_destination_whose_rule_takes_it(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = Forwards(
            way,
            EVERYTHING,
            Rule("heads", TELERAD, modalities=("CT",), descriptions=("*head*",)),
            Rule("magnets", "research", modalities=("MR",)),
        )
        await forwards.route.round()
        await forwards.sealed(A, B)
        assert await forwards.route.round() == 1
        totals = way.catalog.forward_totals()
        assert {name: dict(each.waiting) for name, each in totals.items()} == {
            PACS: {"all": 2},
            TELERAD: {"heads": 2},
        }
        assert await forwards.route.round() == 0


async def test_a_rule_of_senders_takes_what_these_have_sent(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = Forwards(
            way, Rule("ct1", PACS, senders=("CT1",)), Rule("mr1", TELERAD, senders=("MR1",))
        )
        await forwards.route.round()
        await forwards.sealed(A)  # which CT1 sends
        await forwards.route.round()
        assert (forwards.waiting(PACS), forwards.waiting(TELERAD)) == (1, 0)


async def test_the_ledger_hears_of_rules_when_they_are_others_and_a_new_one_takes_what_comes(
    tmp_path,
):
    async with way_in(tmp_path) as way:
        forwards = Forwards(way, EVERYTHING)
        await forwards.sealed(A)
        await forwards.route.round()
        assert forwards.waiting() == 0, "it was sealed before there was a rule"
        await forwards.route.round()
        await forwards.sealed(B)
        forwards.rules(EVERYTHING, Rule("more", TELERAD))
        await forwards.route.round()
        assert (forwards.waiting(PACS), forwards.waiting(TELERAD)) == (1, 1)
        told = [each["rules"] for each in await way.told("forward.rules")]
        assert told == [{"all": PACS}, {"all": PACS, "more": TELERAD}]


async def test_a_pack_whose_senders_cannot_be_read_waits_and_holds_up_no_other(tmp_path):
    async with way_in(tmp_path) as way:
        forwards = Forwards(way, Rule("ct1", PACS, senders=("CT1",)))
        await forwards.route.round()
        await forwards.sealed(A)
        await forwards.sealed(OTHER_STUDY)
        first, _ = way.all_packs()
        members = forwards.packed.members
        away = True

        async def unreadable(pack):
            if away and pack == first.number:
                raise TransientError("provider a is away")
            return await members(pack)

        forwards.packed.members = unreadable
        assert await forwards.route.round() == 1
        assert forwards.route.last_error.endswith("provider a is away")
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*OTHER_STUDY)]
        away = False
        await forwards.deliver()
        assert forwards.uids_at() == [uid_of(*OTHER_STUDY), uid_of(*A)]
        assert forwards.route.last_error == ""

"""What every catalog does with what is forwarded."""

import pytest

from conform.catalog_samples import NODE, SECOND_NS, T0_NS, new_pack, seal_all, spooled
from fileroom.catalog.errors import StateMovedError
from fileroom.catalog.forwards import (
    FORWARDED_KEPT_NS,
    DestinationTotals,
    ForwardCounts,
    ForwardedPack,
    NewForward,
    PackToRoute,
    Progress,
)
from fileroom.catalog.lifecycle import PackState
from fileroom.catalog.port import Catalog

RULES = {"all": "pacs"}


def sealed(catalog: Catalog, *instances: str, study: str = "1.2.1", name: str = "") -> int:
    """The number of a pack of these instances."""
    rows = [
        spooled((1, int(each.rsplit(".")[-1])), each, study=study, series=f"{study}.1")
        for each in instances
    ]
    catalog.record_spooled(rows, node_id=NODE)
    return seal_all(catalog, name or instances[0])[0]


def routed(catalog: Catalog, *instances: str, to: str = "pacs", rule: str = "all", **said) -> int:
    """A pack of these instances of which all wait for a destination."""
    catalog.set_forward_rules(RULES)
    number = sealed(catalog, *instances, **said)
    whole = tuple(range(len(instances)))
    catalog.route(number, [NewForward(destination=to, rule=rule, ordinals=whole)])
    return number


def next_of(catalog: Catalog, to: str = "pacs", *rules: str):
    row = catalog.forward_next(to, rules or ("all",))
    assert row is not None
    return row


def forwarded(row, *, stored: int, refused=None, at_ns: int = T0_NS, withdrawn: int = 0, warned=0):
    return ForwardedPack(
        destination=row.destination,
        rule=row.rule,
        pack_sha256=row.pack_sha256,
        study_instance_uid=row.study_instance_uid,
        refused=refused or {},
        study=ForwardCounts(stored=stored, warned=warned, withdrawn=withdrawn),
        forwarded_at_ns=at_ns,
    )


class ForwardSuite:
    """Forwarding."""

    def test_a_sealed_pack_waits_for_the_rules_with_its_own_transaction(self, catalog: Catalog):
        catalog.set_forward_rules(RULES)
        number = sealed(catalog, "1.9.1", "1.9.2")
        assert catalog.packs_to_route(limit=9) == [
            PackToRoute(
                pack=number,
                rules=None,
                ordinals=(0, 1),
                modality="CT",
                description="",
                study_description="",
            )
        ]
        assert catalog.packs_to_route(after=number, limit=9) == []

    def test_without_rules_no_pack_waits_for_them(self, catalog: Catalog):
        sealed(catalog, "1.9.1")
        assert catalog.packs_to_route(limit=9) == []

    def test_a_pack_that_a_rebuild_finds_at_a_provider_waits_only_if_it_is_owed(
        self, catalog: Catalog
    ):
        catalog.set_forward_rules(RULES)
        place = catalog.record_series("main", spooled((1, 0), "1.9.1").header)
        found = new_pack(place.study, place.series, "found", state=PackState.REPLICATED)
        catalog.record_sealed(found, members=[], lease=None)
        assert catalog.packs_to_route(limit=9) == []
        catalog.owe_route({"all": {found.sha256, b"x" * 32}, "other": {found.sha256}})
        (row,) = catalog.packs_to_route(limit=9)
        assert row.rules == {"all", "other"}

    def test_what_is_routed_waits_for_its_destination_and_is_asked_about_no_more(
        self, catalog: Catalog
    ):
        number = routed(catalog, "1.9.1", "1.9.2")
        assert catalog.packs_to_route(limit=9) == []
        row = next_of(catalog)
        assert (row.pack, row.left, row.tries, row.since_ns) == (number, (0, 1), 0, T0_NS)
        assert row.study_instance_uid == "1.2.1"
        assert catalog.forward_next("pacs", ("other",)) is None
        assert catalog.forward_next("elsewhere", ("all",)) is None
        assert catalog.forward_totals() == {
            "pacs": DestinationTotals(waiting={"all": 2}, oldest_ns=T0_NS, refused=0, last_error="")
        }

    def test_routing_twice_is_routing_once(self, catalog: Catalog):
        number = routed(catalog, "1.9.1")
        row = next_of(catalog)
        catalog.route(number, [NewForward(destination="pacs", rule="all", ordinals=(0,))])
        assert next_of(catalog) == row

    def test_what_is_put_off_goes_behind_what_was_not_tried(self, catalog: Catalog):
        first = routed(catalog, "1.9.1")
        second = routed(catalog, "1.9.2")
        row = next_of(catalog)
        assert row.pack == first
        catalog.put_off_forward(row, Progress(left=[0]), error="away")
        row = next_of(catalog)
        assert row.pack == second
        catalog.put_off_forward(row, Progress(left=[0]), error="full")
        row = next_of(catalog)
        assert (row.pack, row.tries, row.last_error) == (first, 1, "away")
        assert catalog.forward_totals()["pacs"].last_error == "full"

    def test_a_row_that_is_not_as_it_was_changes_nothing(self, catalog: Catalog):
        routed(catalog, "1.9.1", "1.9.2")
        row = next_of(catalog)
        catalog.put_off_forward(row, Progress(left=[1], stored=1), error="away")
        with pytest.raises(StateMovedError):
            catalog.put_off_forward(row, Progress(left=[], stored=2), error="")
        with pytest.raises(StateMovedError):
            catalog.forward_refused(row)
        assert next_of(catalog).stored == 1

    def test_counts_of_a_study_are_of_all_that_the_rules_took(self, catalog: Catalog):
        routed(catalog, "1.9.1", "1.9.2", "1.9.3", "1.9.4")
        row = next_of(catalog)
        progress = Progress(left=[3], stored=1, warned=1, withdrawn=1, refused={2: "no"})
        catalog.put_off_forward(row, progress, error="away")
        counts = catalog.forward_counts("pacs", "1.2.1")
        assert counts == ForwardCounts(refused=1, waiting=3)
        assert counts.taken == 4
        catalog.record_forwarded(
            forwarded(row, stored=2, warned=1, withdrawn=1, refused={"no": (2,)})
        )
        counts = catalog.forward_counts("pacs", "1.2.1")
        assert counts == ForwardCounts(stored=2, warned=1, withdrawn=1, refused=1)
        assert counts.taken == 4
        assert catalog.forward_next("pacs", ("all",)) is None

    def test_being_told_twice_that_a_pack_was_forwarded_does_no_harm(self, catalog: Catalog):
        routed(catalog, "1.9.1")
        told = forwarded(next_of(catalog), stored=1)
        for _ in range(2):
            catalog.record_forwarded(told)
            assert catalog.forward_counts("pacs", "1.2.1") == ForwardCounts(stored=1)
        assert catalog.forward_totals() == {}

    def test_what_was_refused_is_listed_until_it_is_tried_again(self, catalog: Catalog):
        routed(catalog, "1.9.1", "1.9.2", "1.9.3")
        row = next_of(catalog)
        catalog.record_forwarded(forwarded(row, stored=1, refused={"bad": (0,), "no": (2,)}))
        (study,) = catalog.study_forwards(limit=9)
        assert (study.study_instance_uid, study.reasons) == ("1.2.1", {"bad": 1, "no": 1})
        assert catalog.forward_totals()["pacs"].refused == 2
        assert [
            (each.pack, each.reason, each.ordinals)
            for each in catalog.refused_forwards("1.2.1", limit=9)
        ] == [(row.pack, "bad", (0,)), (row.pack, "no", (2,))]
        assert catalog.refused_forwards("1.2.2", limit=9) == []
        assert catalog.retry_refused("pacs", "1.2.2") == 0
        assert catalog.retry_refused("elsewhere") == 0
        assert catalog.retry_refused("pacs", "1.2.1") == 2
        assert next_of(catalog).left == (0, 2)
        assert catalog.forward_counts("pacs", "1.2.1") == ForwardCounts(stored=1, waiting=2)

    def test_what_is_tried_again_joins_what_is_left_of_its_pack(self, catalog: Catalog):
        routed(catalog, "1.9.1", "1.9.2")
        row = next_of(catalog)
        catalog.put_off_forward(row, Progress(left=[1], refused={0: "no"}), error="away")
        assert catalog.forward_refused(next_of(catalog)) == {"no": (0,)}
        assert catalog.retry_refused("pacs") == 1
        assert next_of(catalog).left == (0, 1)

    def test_studies_that_wait_longest_come_first_and_those_that_are_done_last(
        self, catalog: Catalog, clock
    ):
        routed(catalog, "1.9.1", study="1.2.1")
        clock.advance(1)
        routed(catalog, "1.9.2", study="1.2.2")
        routed(catalog, "1.9.3", study="1.2.3", to="telerad")
        listed = [each.study_instance_uid for each in catalog.study_forwards("pacs", limit=9)]
        assert listed == ["1.2.1", "1.2.2"]
        catalog.record_forwarded(forwarded(next_of(catalog), stored=1))
        listed = [each.study_instance_uid for each in catalog.study_forwards(limit=9)]
        assert listed == ["1.2.2", "1.2.3"]
        (done,) = catalog.study_forwards("", "1.2.1", limit=9)
        assert (done.counts, done.since_ns) == (ForwardCounts(stored=1), 0)
        assert done.changed_at_ns == T0_NS

    def test_counts_of_a_study_are_kept_for_ninety_days(self, catalog: Catalog, clock):
        routed(catalog, "1.9.1", study="1.2.1")
        catalog.record_forwarded(forwarded(next_of(catalog), stored=1))
        clock.advance(FORWARDED_KEPT_NS / 1e9 + 1)
        routed(catalog, "1.9.2", study="1.2.2")
        now_ns = T0_NS + FORWARDED_KEPT_NS + SECOND_NS
        catalog.record_forwarded(forwarded(next_of(catalog), stored=1, at_ns=now_ns))
        assert catalog.study_forwards("", "1.2.1", limit=9) == []
        assert len(catalog.study_forwards("", "1.2.2", limit=9)) == 1

    def test_what_waits_of_a_pack_goes_with_the_pack(self, catalog: Catalog):
        first = routed(catalog, "1.9.1", "1.9.2")
        row = next_of(catalog)
        catalog.put_off_forward(row, Progress(left=[1], refused={0: "no"}), error="away")
        second = sealed(catalog, "1.9.3")
        for number in (first, second):
            catalog.forget_pack(number, places=[])
        assert catalog.packs_to_route(limit=9) == []
        assert catalog.forward_totals() == {}

    def test_rules_and_pauses_are_remembered(self, catalog: Catalog):
        catalog.set_forward_rules({"a": "pacs", "b": "telerad"})
        catalog.set_forward_rules({"b": "pacs"})
        assert catalog.forward_rules() == {"b": "pacs"}
        for paused in (True, True):
            catalog.set_destination_paused("pacs", paused)
        assert catalog.paused_destinations() == {"pacs"}
        catalog.set_destination_paused("pacs", False)
        assert catalog.paused_destinations() == set()

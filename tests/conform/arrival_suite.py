"""What every catalog knows of how studies came."""

from conform.catalog_samples import NODE, SECOND_NS, T0_NS, seal_all, spooled
from fileroom.catalog.arrivals import ArrivalState, NewArrival, SeriesTold, Told
from fileroom.catalog.port import Catalog

ARRIVING, COMPLETE = ArrivalState.ARRIVING, ArrivalState.COMPLETE
INCOMPLETE, QUIET = ArrivalState.INCOMPLETE, ArrivalState.QUIET


def came(study: str = "1.2.1", *, at_s: float = 0, until_s: float | None = None, **more):
    first_at_ns = T0_NS + round(at_s * SECOND_NS)
    last_at_ns = first_at_ns if until_s is None else T0_NS + round(until_s * SECOND_NS)
    named = {"ae_title": "CT1", "first_at_ns": first_at_ns, "last_at_ns": last_at_ns}
    return NewArrival(study_instance_uid=study, **named | more)


def judged(catalog: Catalog, state: ArrivalState, study: str = "1.2.1", *, ask_at_ns=None):
    last_at_ns = catalog.arrival(study).last_at_ns
    catalog.judge_arrival(study, state, last_at_ns=last_at_ns, ask_at_ns=ask_at_ns)


class ArrivalSuite:
    """How studies came."""

    def test_a_study_is_arriving_from_its_first_instance_on(self, catalog: Catalog):
        assert catalog.arrival("1.2.1") is None
        catalog.record_arrivals([came(until_s=2, hints={"1.2.1.1": {"1": 40}})])
        catalog.record_arrivals([came(at_s=3, ae_title="CT2", hints={"1.2.1.1": {"2": 20}})])
        row = catalog.arrival("1.2.1")
        assert (row.state, row.ae_title, row.told, row.asks) == (ARRIVING, "CT2", None, 0)
        assert (row.first_at_ns, row.last_at_ns) == (T0_NS, T0_NS + 3 * SECOND_NS)
        assert row.hints == {"1.2.1.1": {"1": 40, "2": 20}}
        assert catalog.arrivals(ARRIVING, limit=9) == [row]
        assert catalog.arrivals(COMPLETE, limit=9) == []

    def test_the_longest_silent_comes_first(self, catalog: Catalog):
        catalog.record_arrivals([came("1.1", at_s=2), came("1.2", at_s=1), came("1.3", at_s=3)])
        found = catalog.arrivals(ARRIVING, limit=2)
        assert [each.study_instance_uid for each in found] == ["1.2", "1.1"]

    def test_what_is_judged_stands_until_something_comes(self, catalog: Catalog):
        catalog.record_arrivals([came()])
        judged(catalog, COMPLETE)
        assert catalog.arrival("1.2.1").state is COMPLETE
        catalog.record_arrivals([came(at_s=9)])
        row = catalog.arrival("1.2.1")
        assert (row.state, row.first_at_ns) == (ARRIVING, T0_NS + 9 * SECOND_NS)

    def test_a_judgement_of_what_has_changed_since_counts_for_nothing(self, catalog: Catalog):
        catalog.record_arrivals([came(), came(at_s=1)])
        catalog.judge_arrival("1.2.1", QUIET, last_at_ns=T0_NS, ask_at_ns=None)
        assert catalog.arrival("1.2.1").state is ARRIVING
        catalog.judge_arrival("1.9", QUIET, last_at_ns=T0_NS, ask_at_ns=None)
        assert catalog.arrival("1.9") is None

    def test_a_sender_is_to_be_asked_when_its_time_has_come(self, catalog: Catalog):
        catalog.record_arrivals([came("1.1"), came("1.2", at_s=1)])
        due = catalog.arrivals_to_ask(now_ns=T0_NS, limit=9)
        assert [each.study_instance_uid for each in due] == ["1.1"]
        judged(catalog, INCOMPLETE, "1.1", ask_at_ns=T0_NS + 5 * SECOND_NS)
        judged(catalog, COMPLETE, "1.2")
        assert catalog.arrivals_to_ask(now_ns=T0_NS + 4 * SECOND_NS, limit=9) == []
        late = catalog.arrivals_to_ask(now_ns=T0_NS + 5 * SECOND_NS, limit=9)
        assert [each.study_instance_uid for each in late] == ["1.1"]
        catalog.record_arrivals([came("1.2", at_s=7)])
        due = catalog.arrivals_to_ask(now_ns=T0_NS + 9 * SECOND_NS, limit=9)
        assert [each.study_instance_uid for each in due] == ["1.1", "1.2"]

    def test_all_that_are_not_complete_can_be_considered_for_asking_again(self, catalog: Catalog):
        catalog.record_arrivals([came(uid) for uid in ("1.1", "1.2", "1.3")])
        judged(catalog, COMPLETE, "1.1")
        judged(catalog, QUIET, "1.2")
        judged(catalog, INCOMPLETE, "1.3", ask_at_ns=T0_NS + 9 * SECOND_NS)
        catalog.reconsider_asking()
        due = catalog.arrivals_to_ask(now_ns=T0_NS, limit=9)
        assert [each.study_instance_uid for each in due] == ["1.2"]

    def test_what_a_sender_told_stands_until_it_tells_something_else(self, catalog: Catalog):
        catalog.record_arrivals([came()])
        series = {"1.2.1.1": SeriesTold("CT", 600), "1.2.1.2": SeriesTold("PR", None)}
        told = Told(asked_at_ns=T0_NS + 1, instances=600, series=series)
        catalog.note_asked("1.2.1", told, asked_at_ns=T0_NS + 1, asks=1)
        row = catalog.arrival("1.2.1")
        assert (row.told, row.asked_at_ns, row.asks) == (told, T0_NS + 1, 1)
        catalog.note_asked("1.2.1", None, asked_at_ns=T0_NS + 2, asks=2)
        row = catalog.arrival("1.2.1")
        assert (row.told, row.asked_at_ns, row.asks) == (told, T0_NS + 2, 2)
        catalog.record_arrivals([came(at_s=9)])
        assert catalog.arrival("1.2.1").told == told
        catalog.note_asked("1.9", told, asked_at_ns=T0_NS, asks=1)
        assert catalog.arrival("1.9") is None

    def test_hints_of_one_study_are_bounded(self, catalog: Catalog):
        many = {str(n): 1 for n in range(1500)}
        catalog.record_arrivals([came(hints={"1.2.1.1": many})])
        catalog.record_arrivals([came(hints={"1.2.1.1": {"0": 7}, "1.2.1.2": {"1": 7}})])
        hints = catalog.arrival("1.2.1").hints
        assert hints.keys() == {"1.2.1.1"}
        assert len(hints["1.2.1.1"]) == 1000
        assert hints["1.2.1.1"]["0"] == 7

    def test_what_lies_in_the_spool_and_is_not_known_is_found(self, catalog: Catalog):
        later = T0_NS + SECOND_NS
        rows = [
            spooled((1, 0), "1.9.1", study="1.1", series="1.1.1"),
            spooled((1, 4096), "1.9.2", study="1.1", series="1.1.2", received_at_ns=later),
            spooled((1, 8192), "1.9.3", study="1.2", series="1.2.1"),
        ]
        catalog.record_spooled(rows, node_id=NODE)
        catalog.record_arrivals([came("1.2", at_s=5)])
        catalog.find_arrivals()
        found = catalog.arrival("1.1")
        assert (found.state, found.ae_title) == (ARRIVING, "")
        assert (found.first_at_ns, found.last_at_ns) == (T0_NS, later)
        assert catalog.arrival("1.2").ae_title == "CT1"

    def test_instances_are_counted_by_series_wherever_they_lie(self, catalog: Catalog):
        assert catalog.held_of_study("1.2.1") == {}
        rows = [spooled((1, n * 4096), f"1.9.{n}") for n in range(3)]
        catalog.record_spooled(rows, node_id=NODE)
        assert catalog.held_of_study("1.2.1") == {"1.2.1.1": 3}
        seal_all(catalog, "pack")
        more = [spooled((2, n * 4096), "1.9.7", series="1.2.1.2") for n in range(2)]
        again = spooled((2, 9 * 4096), "1.9.0")
        catalog.record_spooled([*more, again], node_id=NODE)
        assert catalog.held_of_study("1.2.1") == {"1.2.1.1": 3, "1.2.1.2": 1}

    def test_old_studies_are_forgotten_but_never_one_that_is_arriving(self, catalog: Catalog):
        states = {"1.1": ARRIVING, "1.2": COMPLETE, "1.3": QUIET, "1.4": INCOMPLETE}
        catalog.record_arrivals([came(uid) for uid in states])
        for uid, state in states.items():
            judged(catalog, state, uid)
        catalog.forget_arrivals(before_ns=T0_NS, incomplete_before_ns=T0_NS)
        assert all(catalog.arrival(uid) for uid in states)
        catalog.forget_arrivals(before_ns=T0_NS + 1, incomplete_before_ns=T0_NS)
        assert [uid for uid in states if catalog.arrival(uid)] == ["1.1", "1.4"]
        catalog.forget_arrivals(before_ns=T0_NS + 1, incomplete_before_ns=T0_NS + 1)
        assert [uid for uid in states if catalog.arrival(uid)] == ["1.1"]

    def test_totals_of_studies_that_come(self, catalog: Catalog):
        totals = catalog.arrival_totals()
        assert (totals.states, totals.oldest_arriving_ns) == ({}, None)
        catalog.record_arrivals([came("1.1"), came("1.2", at_s=1), came("1.3", at_s=2)])
        judged(catalog, INCOMPLETE, "1.1")
        totals = catalog.arrival_totals()
        assert totals.states == {INCOMPLETE: 1, ARRIVING: 2}
        assert totals.oldest_arriving_ns == T0_NS + SECOND_NS

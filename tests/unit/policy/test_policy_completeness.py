"""When a study counts as complete: docs/decisions/0026 as a table."""

import pytest

from fileroom.catalog.arrivals import ArrivalState, SeriesTold, Told
from fileroom.policy.completeness import Facts, judge, next_ask_ns

ARRIVING, COMPLETE = ArrivalState.ARRIVING, ArrivalState.COMPLETE
INCOMPLETE, QUIET = ArrivalState.INCOMPLETE, ArrivalState.QUIET
SECOND_NS = 1_000_000_000
LAST_NS = 1_700_000_000 * SECOND_NS
QUIET_S = 300.0


def facts(held=None, *, told=None, hints=None, is_open=False):
    return Facts(held or {"1.1": 412}, LAST_NS, is_open, told, hints or {})


def told(instances=None, *, before=False, **series):
    named = {uid.replace("s", "1."): each for uid, each in series.items()}
    at_ns = LAST_NS - 1 if before else LAST_NS + SECOND_NS
    return Told(asked_at_ns=at_ns, instances=instances, series=named)


def after(known, silent_s=10.0):
    return judge(known, now_ns=LAST_NS + round(silent_s * SECOND_NS), quiet_s=QUIET_S)


@pytest.mark.parametrize(
    ("known", "silent_s", "state", "reason"),
    [
        (
            facts(told=told(600, before=True), is_open=True),
            10,
            ARRIVING,
            "412 of 600, sender still sending",
        ),
        (facts(is_open=True), 9_999, ARRIVING, "412, sender still sending"),
        (facts(), 10, ARRIVING, "412, the last came 10 s ago"),
        (facts(told=told(600)), 299, ARRIVING, "412 of 600, the last came 299 s ago"),
        (facts(told=told(600)), 300, INCOMPLETE, "412 of 600, and nothing came for 300 s"),
        (facts(told=told(412)), 2, COMPLETE, "all 412 that the sender has are here"),
        (facts(told=told(412), is_open=True), 2, COMPLETE, "all 412 that the sender has are here"),
        (facts(told=told(412, before=True)), 2, ARRIVING, "412 of 412, the last came 2 s ago"),
        (facts(told=told(412, before=True)), 300, COMPLETE, "all 412 that the sender has are here"),
        (facts(told=told(400)), 2, COMPLETE, "all 400 that the sender has are here"),
        (
            facts(hints={"1.1": {"1": 400, "2": 200}}),
            300,
            INCOMPLETE,
            "412 of at least 600, and nothing came for 300 s",
        ),
        (
            facts(hints={"1.1": {"1": 412}}),
            300,
            QUIET,
            "412 of at least 412, and nothing came for 300 s; nobody says that any is missing",
        ),
        (
            facts(),
            300,
            QUIET,
            "412, and nothing came for 300 s; nobody says that any is missing",
        ),
    ],
)
def test_a_study_is_judged_by_this_table(known, silent_s, state, reason):
    judged = after(known, silent_s)
    assert (judged.state, judged.reason) == (state, reason)


def test_the_sender_is_believed_over_what_the_instances_say():
    judged = after(facts(told=told(412), hints={"1.1": {"1": 999}}))
    assert (judged.state, judged.expected, judged.source) == (COMPLETE, 412, "sender")


@pytest.mark.parametrize("nothing", [told(), told(0), told(s1=SeriesTold("CT", 0))])
def test_a_sender_that_has_nothing_of_it_tells_nothing(nothing):
    assert after(facts(told=nothing), 300).state is QUIET
    hinted = after(facts(told=nothing, hints={"1.1": {"": 600}}), 300)
    assert (hinted.state, hinted.expected, hinted.source) == (INCOMPLETE, 600, "instances")


def test_what_others_made_of_a_study_hides_no_gap():
    held = {"1.1": 90, "1.9": 50}
    judged = after(facts(held, told=told(140, s1=SeriesTold("CT", 100))), 300)
    assert (judged.state, judged.have, judged.expected) == (INCOMPLETE, 90, 100)


def test_a_series_of_which_nothing_came_is_missing_unless_it_is_made_while_reading():
    series = {"s1": SeriesTold("CT", 412), "s2": SeriesTold("PR", 3), "s3": SeriesTold("SR", None)}
    assert after(facts(told=told(415, **series))).state is COMPLETE
    series["s4"] = SeriesTold("CT", 5)
    judged = after(facts(told=told(420, **series)), 300)
    assert (judged.state, judged.have, judged.expected) == (INCOMPLETE, 412, 417)
    came = facts({"1.1": 412, "1.2": 2}, told=told(415, s1=series["s1"], s2=series["s2"]))
    assert after(came, 300).state is INCOMPLETE


def test_series_that_the_sender_does_not_count_leave_the_number_of_the_study():
    series = {"s1": SeriesTold("CT", 412), "s2": SeriesTold("CT", None)}
    judged = after(facts({"1.1": 412, "1.2": 9}, told=told(430, **series)), 300)
    assert (judged.have, judged.expected) == (421, 430)


def test_a_clock_that_was_set_back_leaves_no_study_arriving_for_years():
    assert after(facts(), -5).state is QUIET


MINUTE_NS = 60 * SECOND_NS


@pytest.mark.parametrize(
    ("asked_s", "asks", "state", "next_s"),
    [
        (None, 0, ARRIVING, -90),
        (-100, 1, ARRIVING, 30),
        (-10, 1, ARRIVING, 50),
        (-10, 1, INCOMPLETE, 50),
        (1, 1, INCOMPLETE, 61),
        (1, 2, INCOMPLETE, 121),
        (1, 5, QUIET, 961),
        (1, 9, INCOMPLETE, 3601),
        (1, 10, INCOMPLETE, None),
        (1, 1, COMPLETE, None),
        (-10, 1, COMPLETE, None),
    ],
)
def test_the_sender_is_asked_at_these_times(asked_s, asks, state, next_s):
    found = next_ask_ns(
        state=state,
        first_at_ns=LAST_NS - 100 * SECOND_NS,
        last_at_ns=LAST_NS,
        asked_at_ns=0 if asked_s is None else LAST_NS + asked_s * SECOND_NS,
        asks=asks,
    )
    assert found == (None if next_s is None else LAST_NS + next_s * SECOND_NS)

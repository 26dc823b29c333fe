"""The judgement of completeness, for whatever facts: it never claims more than is known."""

from hypothesis import given
from hypothesis import strategies as st

from fileroom.catalog.arrivals import ArrivalState, SeriesTold, Told
from fileroom.policy.completeness import SENDER, Facts, judge, next_ask_ns

UIDS = st.sampled_from(["1.1", "1.2", "1.3", "1.4"])
COUNTS = st.integers(0, 50)
TIMES = st.integers(0, 10**12)
HELD = st.dictionaries(UIDS, st.integers(1, 50), min_size=1)
SERIES = st.dictionaries(
    UIDS,
    st.builds(SeriesTold, st.sampled_from(["CT", "PR", "SR", ""]), st.none() | COUNTS),
)
TOLD = st.none() | st.builds(
    lambda at_ns, instances, series: Told(asked_at_ns=at_ns, instances=instances, series=series),
    TIMES,
    st.none() | COUNTS,
    SERIES,
)
HINTS = st.dictionaries(UIDS, st.dictionaries(st.sampled_from(["", "1"]), st.integers(1, 50)))
FACTS = st.builds(Facts, HELD, TIMES, st.booleans(), TOLD, HINTS)
QUIET_S = st.floats(0.001, 2000)


@given(facts=FACTS, now_ns=TIMES, quiet_s=QUIET_S)
def test_complete_is_said_only_where_the_sender_counted_and_all_of_it_is_here(
    facts, now_ns, quiet_s
):
    judged = judge(facts, now_ns=now_ns, quiet_s=quiet_s)
    if judged.state is ArrivalState.COMPLETE:
        assert judged.source == SENDER
        assert facts.told is not None
        assert judged.have >= judged.expected > 0
    if judged.state is ArrivalState.INCOMPLETE:
        assert judged.have < judged.expected
    assert 0 <= judged.have <= sum(facts.held.values())
    assert judged.expected is None or judged.have <= judged.expected


@given(facts=FACTS, now_ns=TIMES, quiet_s=QUIET_S, more=st.integers(1, 9), uid=UIDS)
def test_another_instance_never_makes_a_complete_study_incomplete(
    facts, now_ns, quiet_s, more, uid
):
    """As long as it is of a series that is here: the same facts else."""
    before = judge(facts, now_ns=now_ns, quiet_s=quiet_s)
    if uid not in facts.held:
        return
    held = facts.held | {uid: facts.held[uid] + more}
    after = judge(facts._replace(held=held), now_ns=now_ns, quiet_s=quiet_s)
    assert after.have >= before.have
    if before.state is ArrivalState.COMPLETE:
        assert after.state is ArrivalState.COMPLETE


@given(facts=FACTS, now_ns=TIMES, later_ns=TIMES, quiet_s=QUIET_S)
def test_what_is_quiet_stays_judged_as_it_is_however_long_it_takes(
    facts, now_ns, later_ns, quiet_s
):
    before = judge(facts, now_ns=now_ns, quiet_s=quiet_s)
    silent_ns = now_ns - facts.last_at_ns
    if facts.is_open or silent_ns < quiet_s * 1e9:
        return
    later = judge(facts, now_ns=now_ns + later_ns, quiet_s=quiet_s)
    assert later == before
    assert before.state is not ArrivalState.ARRIVING


@given(
    state=st.sampled_from(ArrivalState),
    first_at_ns=TIMES,
    last_at_ns=TIMES,
    asked_at_ns=TIMES,
    asks=st.integers(0, 99),
)
def test_nobody_is_asked_twice_within_a_minute_or_for_ever(
    state, first_at_ns, last_at_ns, asked_at_ns, asks
):
    at_ns = next_ask_ns(
        state=state,
        first_at_ns=first_at_ns,
        last_at_ns=last_at_ns,
        asked_at_ns=asked_at_ns,
        asks=asks,
    )
    if at_ns is not None and asked_at_ns:
        assert at_ns >= asked_at_ns + 60 * 10**9
    if asked_at_ns > last_at_ns and asks >= 10:
        assert at_ns is None

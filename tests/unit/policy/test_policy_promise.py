"""What may be said of an instance, by what is kept under its UID."""

import pytest

from fileroom.catalog.commitments import Whereabouts
from fileroom.catalog.lifecycle import PackState
from fileroom.catalog.rows import InstancePlace, SpoolPlace
from fileroom.policy.promise import Rule, Verdict, judge

COMMITTED, AT_RISK = PackState.COMMITTED, PackState.AT_RISK


def held(*states: PackState, spooled: int = 0, set_aside: int = 0) -> Whereabouts:
    return Whereabouts(
        packed={InstancePlace(number, 0): state for number, state in enumerate(states, 1)},
        spooled=[SpoolPlace(1, number) for number in range(spooled)],
        set_aside=[bytes(32)] * set_aside,
    )


@pytest.mark.parametrize(
    ("found", "placement", "local"),
    [
        (held(spooled=1), Verdict.WAIT, Verdict.SAFE),
        *((held(state), Verdict.WAIT, Verdict.SAFE) for state in tuple(PackState)[:3]),
        (held(COMMITTED), Verdict.SAFE, Verdict.SAFE),
        (held(AT_RISK), Verdict.WAIT, Verdict.WAIT),
        (held(COMMITTED, COMMITTED), Verdict.SAFE, Verdict.SAFE),
        (held(COMMITTED, PackState.VERIFIED), Verdict.WAIT, Verdict.SAFE),
        (held(COMMITTED, AT_RISK), Verdict.WAIT, Verdict.WAIT),
        (held(COMMITTED, spooled=1), Verdict.WAIT, Verdict.SAFE),
        (held(set_aside=1), Verdict.LOST, Verdict.LOST),
        (held(COMMITTED, set_aside=1), Verdict.SAFE, Verdict.SAFE),  # if it is the same: verdicts
        (held(spooled=1, set_aside=1), Verdict.WAIT, Verdict.SAFE),
    ],
)
@pytest.mark.parametrize("overdue", [False, True])
def test_what_is_kept_is_judged_by_this_table_however_late_it_is(found, placement, local, overdue):
    assert judge(found, rule=Rule.PLACEMENT, overdue=overdue) is placement
    assert judge(found, rule=Rule.LOCAL, overdue=overdue) is local


@pytest.mark.parametrize("rule", Rule)
def test_what_is_not_kept_may_still_come_until_it_is_overdue(rule):
    assert judge(None, rule=rule, overdue=False) is Verdict.WAIT
    assert judge(None, rule=rule, overdue=True) is Verdict.ABSENT

"""A series is sealed after its quiet time or at the target size; stages yield to a burst."""

import pytest

from fileroom.policy import sealing
from fileroom.policy.sealing import SeriesFacts, due, must_yield

NOW_NS = 1_700_000_000_000_000_000


def decided(*, size=1000, oldest_s=30.0, newest_s=30.0, busy=False, pressure=0.0, quiet_s=20.0):
    """Decide about a series whose oldest and newest instances came so many seconds ago."""
    facts = SeriesFacts(size, NOW_NS - round(oldest_s * 1e9), NOW_NS - round(newest_s * 1e9))
    return due(
        facts,
        now_ns=NOW_NS,
        quiet_s=quiet_s,
        target_bytes=32 << 20,
        doors_busy=busy,
        spool_pressure=pressure,
    )


@pytest.mark.parametrize(
    ("facts", "seal"),
    [
        ({"newest_s": 19.9}, False),
        ({"newest_s": 20.0}, True),
        ({"newest_s": 0.0, "size": 32 << 20}, True),
        ({"newest_s": 0.0, "size": (32 << 20) - 1}, False),
        ({"newest_s": 0.0, "oldest_s": 10_000.0}, False),  # still arriving, slowly
        ({"quiet_s": 0.0, "newest_s": 0.0}, True),
        ({"newest_s": -3600.0}, True),  # the clock was set back
    ],
)
def test_a_series_is_due_by_this_table(facts, seal):
    assert decided(**facts).seal is seal


@pytest.mark.parametrize("facts", [{"newest_s": 21.0}, {"size": 64 << 20, "oldest_s": 3.0}])
def test_a_series_that_is_due_waits_for_a_burst_to_pass(facts):
    assert not decided(**facts, busy=True).seal
    assert decided(**facts, busy=False).seal


def test_it_does_not_wait_when_the_spool_fills_up_or_it_has_waited_for_long():
    due_now = {"newest_s": 20.0, "busy": True}
    assert decided(**due_now, pressure=sealing.PRESSURE_MAX + 0.01).seal
    assert not decided(**due_now, pressure=sealing.PRESSURE_MAX).seal
    full = {"size": 64 << 20, "busy": True}
    assert decided(**full, oldest_s=sealing.WAITED_S_MAX + 1).seal
    assert not decided(**full, oldest_s=sealing.WAITED_S_MAX - 1).seal
    assert decided(busy=True, newest_s=20.0 + sealing.WAITED_S_MAX + 1).seal
    assert not decided(busy=True, newest_s=20.0 + sealing.WAITED_S_MAX - 1).seal


def test_a_series_that_is_not_due_is_not_sealed_by_pressure():
    # Pressure lifts the waiting, not the quiet time: the pieces would never become one pack.
    assert not decided(newest_s=1.0, pressure=1.0, busy=True).seal


def test_work_from_the_future_does_not_wait():
    assert not must_yield(doors_busy=True, spool_pressure=0.0, waited_s=-5.0)


def test_the_reason_says_which_rule_it_was():
    assert decided().reason == "quiet for 30.0 s of 20.0 s"
    assert decided(newest_s=1.0).reason == "quiet for 1.0 s of 20.0 s"
    assert decided(size=40 << 20).reason == "41943040 B fill a pack of 33554432 B"
    assert "the doors are receiving" in decided(newest_s=21.0, busy=True).reason

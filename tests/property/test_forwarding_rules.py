"""Which rule takes what: the rules against a plain reading of what they say."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.policy.forwarding import (
    DAYS,
    HoursError,
    LocalTime,
    Rule,
    Series,
    senders_wanted,
    ways,
    window,
)

names = st.sampled_from(["CT1", "MR1", "PACS"])
modalities = st.sampled_from(["CT", "MR", ""])
words = st.text("aB*?", max_size=6)
plain = st.text("aB ", max_size=6)
series_drawn = st.builds(Series, modalities, plain, plain)
rules_drawn = st.lists(
    st.builds(
        lambda number, to, senders, wanted, descriptions: Rule(
            f"r{number}", to, senders=senders, modalities=wanted, descriptions=descriptions
        ),
        st.integers(0, 99),
        st.sampled_from(["pacs", "telerad"]),
        st.lists(names, max_size=2).map(tuple),
        st.lists(st.sampled_from(["CT", "MR"]), max_size=2).map(tuple),
        st.lists(words, max_size=2).map(tuple),
    ),
    max_size=4,
    unique_by=lambda rule: rule.name,
)


def says(pattern: str, text: str) -> bool:
    """PS3.4 §C.2.2.2.4 by a regular expression."""
    parts = [{"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern]
    return bool(text) and re.fullmatch("".join(parts), text, re.IGNORECASE | re.DOTALL) is not None


def takes(rule: Rule, series: Series, sender: str) -> bool:
    told = (series.study_description, series.description)
    return (
        (not rule.senders or sender in rule.senders)
        and (not rule.modalities or series.modality in rule.modalities)
        and (
            not rule.descriptions
            or any(says(pattern, text) for pattern in rule.descriptions for text in told)
        )
    )


@given(rules_drawn, series_drawn, st.lists(names, max_size=4))
def test_each_instance_goes_to_each_destination_by_the_first_rule_that_takes_it(
    rules, series, senders
):
    told = dict(enumerate(senders)) if senders_wanted(rules, series) else {}
    found = ways(rules, series, range(len(senders)), told)
    expected: dict[tuple[str, str], list[int]] = {}
    for ordinal, sender in enumerate(senders):
        for to in {rule.to for rule in rules}:
            first = next((r for r in rules if r.to == to and takes(r, series, sender)), None)
            if first is not None:
                expected.setdefault((to, first.name), []).append(ordinal)
    assert found == expected


@given(
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.integers(0, 6),
    st.integers(0, 1439),
)
def test_a_window_is_open_in_each_minute_from_its_start_to_its_end(days, start, end, day, minute):
    text = f"{','.join(sorted(days))} {_clock(start)}-{_clock(end)}"
    if start == end or end == 0:
        with pytest.raises(HoursError):
            window(text)
        return
    length = (end - start) % 1440
    minutes = {
        ((DAYS.index(each) * 1440) + start + n) % (7 * 1440) for each in days for n in range(length)
    }
    assert window(text).is_open(LocalTime(day, minute)) == (day * 1440 + minute in minutes)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"

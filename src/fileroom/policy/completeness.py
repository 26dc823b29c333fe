"""Whether all of a study has come, by what is known of it: docs/decisions/0026. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from fileroom.catalog.arrivals import ArrivalState, Hints, SeriesTold, Told

SENDER, INSTANCES = "sender", "instances"  # who says how many there are
# Modalities of series that are made while reading, and often stay where they were made.
MADE_WHILE_READING = frozenset({"DOC", "KO", "PR", "SR"})

FIRST_ASK_S = 10.0  # after the first instance
SILENCE_S = 30.0  # after the last one
ASK_AGAIN_S = 60.0  # and twice as long each time, for as long as instances are missing
ASK_AGAIN_S_MAX = 3600.0
ASKS_MAX = 10
SECOND_NS = 1_000_000_000


class Facts(NamedTuple):
    """What is known of one study.

    Attributes:
        held: instances here, by Series Instance UID.
        is_open: whether an association is open whose last instance was of this study.
        told: what its sender counted.
        hints: what its instances say.
    """

    held: Mapping[str, int]
    last_at_ns: int
    is_open: bool
    told: Told | None
    hints: Hints


class Judgement(NamedTuple):
    """How far it has come, and why one thinks so.

    Attributes:
        have: instances here, of those that are expected where that is known.
        expected: None: nobody says.
        source: who says: SENDER, INSTANCES (then there are at least so many), or "".
    """

    state: ArrivalState
    reason: str
    have: int
    expected: int | None
    source: str


def judge(facts: Facts, *, now_ns: int, quiet_s: float) -> Judgement:
    """Judge one study.

    A last instance from the future means that the clock was set back; then it counts as quiet.
    """
    have, expected, source = counted(facts)
    silent_s = (now_ns - facts.last_at_ns) / SECOND_NS
    is_quiet = not facts.is_open and not 0 <= silent_s < quiet_s
    is_all = expected is not None and have >= expected
    told_last = facts.told is not None and facts.told.asked_at_ns > facts.last_at_ns
    so_far = _so_far(have, expected, source)
    if source == SENDER and is_all and (told_last or is_quiet):
        state, reason = ArrivalState.COMPLETE, f"all {expected} that the sender has are here"
    elif not is_quiet:
        state = ArrivalState.ARRIVING
        still = "sender still sending" if facts.is_open else f"the last came {silent_s:.0f} s ago"
        reason = f"{so_far}, {still}"
    elif expected is not None and not is_all:
        state = ArrivalState.INCOMPLETE
        reason = f"{so_far}, and nothing came for {quiet_s:g} s"
    else:
        state = ArrivalState.QUIET
        reason = f"{so_far}, and nothing came for {quiet_s:g} s; nobody says that any is missing"
    return Judgement(state, reason, have, expected, source)


def counted(facts: Facts) -> tuple[int, int | None, str]:
    """How many are here of how many, and who says so.

    Series are compared one by one where each is counted, so that what others made of the study
    hides no gap. An expectation of nothing is none: who has nothing any more cannot tell.
    """
    here = sum(facts.held.values())
    if facts.told is not None:
        series = _series_counted(facts.told.series, facts.held)
        expected = sum(series.values())
        if expected:
            return _of(series, facts.held), expected, SENDER
        if facts.told.instances:
            return min(here, facts.told.instances), facts.told.instances, SENDER
    hinted = {uid: sum(images.values()) for uid, images in facts.hints.items()}
    expected = sum(hinted.values())
    if expected:
        return _of(hinted, facts.held), expected, INSTANCES
    return here, None, ""


def next_ask_ns(
    *, state: ArrivalState, first_at_ns: int, last_at_ns: int, asked_at_ns: int, asks: int
) -> int | None:
    """When the sender is asked next; None: not any more.

    Args:
        asked_at_ns: when it was asked last; 0: never.
        asks: how often, since the last instance came.
    """
    if state is ArrivalState.COMPLETE:
        return None
    if not asked_at_ns:
        return first_at_ns + _ns(FIRST_ASK_S)
    if asked_at_ns <= last_at_ns:
        return max(last_at_ns + _ns(SILENCE_S), asked_at_ns + _ns(ASK_AGAIN_S))
    if asks >= ASKS_MAX:
        return None
    return asked_at_ns + _ns(min(ASK_AGAIN_S * 2 ** max(0, asks - 1), ASK_AGAIN_S_MAX))


def _series_counted(told: Mapping[str, SeriesTold], held: Mapping[str, int]) -> dict[str, int]:
    """What is expected of each series; nothing at all where the sender does not count them all."""
    expected = {
        uid: each.instances
        for uid, each in told.items()
        if uid in held or each.modality not in MADE_WHILE_READING
    }
    found = {uid: count for uid, count in expected.items() if count is not None}
    return found if len(found) == len(expected) else {}


def _of(expected: Mapping[str, int], held: Mapping[str, int]) -> int:
    return sum(min(held.get(uid, 0), count) for uid, count in expected.items())


def _so_far(have: int, expected: int | None, source: str) -> str:
    if expected is None:
        return str(have)
    return f"{have} of {'at least ' if source == INSTANCES else ''}{expected}"


def _ns(duration_s: float) -> int:
    return round(duration_s * SECOND_NS)

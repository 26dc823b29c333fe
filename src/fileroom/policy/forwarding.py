"""What is forwarded where and when, and what a destination's answer means. Pure.

A rule sends to one destination. Of the rules of one destination the first that takes an instance
counts for it, so that nothing is sent twice because two rules want it.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from fileroom.dicom.match import fold, wildcard_matches
from fileroom.wire.status import Outcome, Status, outcome

REST_S = 10.0  # after a failure, and twice as long after each more
REST_S_MAX = 300.0  # so that what waits goes soon once a destination is back

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
_WINDOW = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:[-,][a-z]{3})*)(?: |$))?"
    r"(?:(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d))?"
)


class HoursError(ValueError):
    """A text does not say when."""


class LocalTime(NamedTuple):
    """A time of the week as a clock on the wall shows it; Monday is 0."""

    weekday: int
    minute: int  # of the day


class Window(NamedTuple):
    """Hours of some days, from `start` up to and without `end`, both minutes of the day. Where
    `end` is not behind `start` it is the next day's."""

    days: frozenset[int]
    start: int
    end: int

    def is_open(self, now: LocalTime) -> bool:
        """Whether it is now."""
        if self.start < self.end:
            return now.weekday in self.days and self.start <= now.minute < self.end
        if now.minute >= self.start:
            return now.weekday in self.days
        return now.minute < self.end and (now.weekday - 1) % 7 in self.days


def window(text: str) -> Window:
    """Read "mon-fri 18:00-06:00", "sat,sun" or "22:00-24:00".

    Raises:
        HoursError: it is nothing of that form.
    """
    found = _WINDOW.fullmatch(text.strip().lower())
    if found is None or not found.group():
        raise HoursError(f"{text!r} is not of the form mon-fri 18:00-06:00")
    days = _days(found["days"]) if found["days"] else frozenset(range(7))
    if found["from"] is None:
        return Window(days, 0, DAY_MINUTES)
    start, end = _minute(found["from"]), _minute(found["to"])
    if start in (end, DAY_MINUTES) or end == 0:
        raise HoursError(f"{text!r} does not say how long")
    return Window(days, start, end)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise HoursError(f"{part!r} is no day of {', '.join(DAYS)}")
        start = DAYS.index(first)
        count = (DAYS.index(last or first) - start) % 7 + 1
        found |= {(start + n) % 7 for n in range(count)}
    return frozenset(found)


def _minute(text: str) -> int:
    minute = int(text[:2]) * 60 + int(text[3:])
    if int(text[3:]) > 59 or minute > DAY_MINUTES:
        raise HoursError(f"{text} is no time of day")
    return minute


class Rule(NamedTuple):
    """What goes to a destination. What is empty restricts nothing.

    Attributes:
        to: the destination's name.
        senders: calling AE titles.
        modalities: of series.
        descriptions: of the study or of the series, with * and ?, whatever the case and accents.
        hours: when it is sent; at other times it waits.
    """

    name: str
    to: str
    senders: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    hours: tuple[Window, ...] = ()

    def is_open(self, now: LocalTime) -> bool:
        """Whether what waits may be sent now."""
        return not self.hours or any(each.is_open(now) for each in self.hours)

    def takes_series(self, series: "Series") -> bool:
        """Whether it takes instances of a series, as far as the series tells."""
        if self.modalities and series.modality not in self.modalities:
            return False
        if not self.descriptions:
            return True
        told = [fold(each) for each in (series.study_description, series.description)]
        patterns = [fold(each) for each in self.descriptions]
        return any(wildcard_matches(each, text) for each in patterns for text in told if text)


class Series(NamedTuple):
    """What rules ask of a series; what it does not say is empty."""

    modality: str
    study_description: str
    description: str


Way = tuple[str, str]  # destination, rule


def senders_wanted(rules: Sequence[Rule], series: Series) -> bool:
    """Whether it matters who sent an instance of this series."""
    return any(each.senders and each.takes_series(series) for each in rules)


def ways(
    rules: Sequence[Rule], series: Series, ordinals: Sequence[int], senders: Mapping[int, str]
) -> dict[Way, list[int]]:
    """Which instances of a series go where, and by which rule: for each destination the first
    that takes the instance.

    Args:
        ordinals: the instances.
        senders: the calling AE title of each; may be empty where `senders_wanted` says no.
    """
    found: dict[Way, list[int]] = {}
    fitting = [each for each in rules if each.takes_series(series)]
    for ordinal in ordinals:
        sent_to: set[str] = set()
        for rule in fitting:
            if rule.to in sent_to:
                continue
            if not rule.senders or senders[ordinal].strip() in rule.senders:
                sent_to.add(rule.to)
                found.setdefault((rule.to, rule.name), []).append(ordinal)
    return found


class Answer(StrEnum):
    """What a destination made of an instance."""

    STORED = "stored"
    WARNED = "warned"  # stored, with a warning
    AGAIN = "again"  # this one not now
    LATER = "later"  # nothing now
    REFUSED = "refused"  # for good: sent again it would be refused again


def judge_status(status: int) -> Answer:
    """What the status of a C-STORE-RSP means (PS3.4 Table B.2-1, PS3.7 §C). A failure that says
    nothing of the instance itself is one of the moment."""
    match outcome(status):
        case Outcome.SUCCESS:
            return Answer.STORED
        case Outcome.WARNING:
            return Answer.WARNED
        case _ if status & 0xFF00 == Status.OUT_OF_RESOURCES:
            return Answer.LATER
        case _ if status == Status.RESOURCE_LIMITATION:
            return Answer.LATER
        case _ if status == Status.PROCESSING_FAILURE:
            return Answer.AGAIN
        case _:
            return Answer.REFUSED


def judge_http_status(status: int) -> Answer:
    """What an answer of STOW-RS means that does not say what came of the instance. What blames the
    request blames the instance, for nothing else differs from one to the next."""
    if status in (400, 406, 409, 411, 413, 415, 422):
        return Answer.REFUSED
    if 200 <= status < 300:
        return Answer.AGAIN
    return Answer.LATER  # busy, broken, not here, not for us


def rest_s(failures: int) -> float:
    """How long a destination is left alone after so many failures one behind another."""
    return min(REST_S * 2.0 ** min(failures - 1, 16), REST_S_MAX)

"""Dates and times that belong together: ranges of moments, and moments in another time zone.

Pure.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

from fileroom.catalog.levels import plain_date
from fileroom.dicom.match import Condition

OFFSET = "TimezoneOffsetFromUTC"
PAIRS = (
    ("StudyDate", "StudyTime"),
    ("SeriesDate", "SeriesTime"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("InstanceCreationDate", "InstanceCreationTime"),
)
DAY_MINUTES = 24 * 60
OFFSET_MINUTES_MAX = 14 * 60  # PS3.3 §C.12.1.1.8

Pair = tuple[Condition, Condition]


class Zone(NamedTuple):
    """Where an asker's clock stands.

    Attributes:
        offset_minutes: of its local time from UTC, eastward positive.
        site: what data sets that state no offset are taken to be in; None: nobody knows, and
            they are told as they are.
    """

    offset_minutes: int
    site: tzinfo | None


def offset_minutes(text: str) -> int | None:
    """The minutes of an offset from UTC, `&ZZXX` (PS3.3 §C.12.1.1.8); None where it is none."""
    digits = text[1:]
    if len(text) != 5 or text[0] not in "+-" or not (digits.isascii() and digits.isdigit()):
        return None
    hours, minutes = int(digits[:2]), int(digits[2:])
    total = hours * 60 + minutes
    if minutes > 59 or total > OFFSET_MINUTES_MAX:
        return None
    return -total if text[0] == "-" else total


def pair_up(conditions: Iterable[Condition]) -> tuple[tuple[Pair, ...], tuple[Condition, ...]]:
    """Ranges of a date and its time that have the same form, and all other conditions.

    Each pair is one range of moments under combined date-time matching (PS3.4 §C.2.2.2.5.4).
    """
    rest = list(conditions)
    ranges = {each.keyword: each for each in rest if each.kind == "range"}
    pairs = []
    for date_keyword, time_keyword in PAIRS:
        first, second = ranges.get(date_keyword), ranges.get(time_keyword)
        if first and second and _form(first) == _form(second):
            pairs.append((first, second))
            rest = [each for each in rest if each is not first and each is not second]
    return tuple(pairs), tuple(rest)


def is_within(pair: Pair, attributes: Mapping[str, str]) -> bool:
    """Whether the moment lies in the range (PS3.4 §C.2.2.2.5.4).

    What has no date matches none; what has no time counts as its whole day.
    """
    day = plain_date(attributes.get(pair[0].keyword, ""))
    if not day:
        return False
    time = attributes.get(pair[1].keyword, "").replace(":", "")
    (first_day, last_day), (first_time, last_time) = (each.values for each in pair)
    if first_day and day + padded(time, 12, "9") < _moment(first_day, first_time, "0"):
        return False
    return not last_day or (day + padded(time, 12, "0") <= _moment(last_day, last_time, "9"))


def zoned(attributes: Mapping[str, str], zone: Zone) -> dict[str, str]:
    """Attributes with their moments as the clocks of `zone` show them, and its offset.

    A date without a time, and what is no date or time, stays as it is.
    """
    told = dict(attributes)
    stated = offset_minutes(attributes.get(OFFSET, ""))
    shifted = False
    for date_keyword, time_keyword in PAIRS:
        day, time = told.get(date_keyword, ""), told.get(time_keyword, "")
        own = stated if stated is not None else _site_offset(zone.site, day, time)
        moved = None if own is None else _moved(day, time, zone.offset_minutes - own)
        shifted |= own is not None
        if moved is not None:
            told[date_keyword], told[time_keyword] = moved
    if shifted:
        sign = "-" if zone.offset_minutes < 0 else "+"
        hours, minutes = divmod(abs(zone.offset_minutes), 60)
        told[OFFSET] = f"{sign}{hours:02}{minutes:02}"
    return told


def days_around(first: str, last: str) -> tuple[str, str]:
    """A range of dates that holds every date which any time zone may call one of [first, last].

    An end that is open or no date is open then.
    """
    return _day_moved(padded(first, 8, "0"), -2), _day_moved(padded(last, 8, "9"), 2)


def padded(text: str, digits: int, digit: str) -> str:
    """A date or time as that many digits, what it leaves open filled with `digit`; an empty one
    is all of that."""
    return text.replace(".", "").ljust(digits, digit)[:digits]


def _form(condition: Condition) -> tuple[bool, ...]:
    return tuple(bool(bound) for bound in condition.values)


def _moment(day: str, time: str, digit: str) -> str:
    return padded(day, 8, digit) + padded(time, 12, digit)


def _site_offset(site: tzinfo | None, day: str, time: str) -> int | None:
    found = _date(plain_date(day))
    minutes = _minutes_of_day(time.replace(":", ""))
    if site is None or found is None or minutes is None:
        return None
    moment = datetime(found.year, found.month, found.day) + timedelta(minutes=minutes)
    offset = site.utcoffset(moment)
    return None if offset is None else round(offset.total_seconds() / 60)


def _moved(day: str, time: str, minutes: int) -> tuple[str, str] | None:
    time = time.replace(":", "")
    before = _minutes_of_day(time)
    if before is None:
        return None
    days, within = divmod(before + minutes, DAY_MINUTES)
    moved_day = _day_moved(plain_date(day), days)
    if day and not moved_day:
        return None
    precise = len(time) >= 4 or minutes % 60
    hours, rest = divmod(within, 60)
    return moved_day, f"{hours:02}{rest:02}{time[4:]}" if precise else f"{hours:02}"


def _minutes_of_day(time: str) -> int | None:
    hours, minutes = time[:2], time[2:4] or "00"
    digits = hours + minutes
    if len(digits) != 4 or not (digits.isascii() and digits.isdigit()):
        return None
    found = int(hours) * 60 + int(minutes)
    return found if found < DAY_MINUTES else None


def _day_moved(day: str, days: int) -> str:
    found = _date(day)
    try:
        return "" if found is None else f"{found + timedelta(days=days):%Y%m%d}".rjust(8, "0")
    except OverflowError:
        return ""


def _date(day: str) -> date | None:
    try:
        return date(int(day[:4]), int(day[4:6]), int(day[6:8]))
    except ValueError:
        return None

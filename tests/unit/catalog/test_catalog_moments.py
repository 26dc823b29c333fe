"""Moments: pairs of ranges, and what clocks elsewhere show."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from fileroom.catalog.moments import Zone, days_around, offset_minutes, pair_up, zoned
from fileroom.dicom.match import parse


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("+0000", 0),
        ("-0330", -210),
        ("+1400", 840),
        ("+1401", None),
        ("+0060", None),
        ("0100", None),
        ("+100", None),
        ("+01:0", None),
        ("+٠١٠٠", None),
        ("", None),
    ],
)
def test_an_offset_is_a_sign_and_four_digits(text, minutes):
    assert offset_minutes(text) == minutes


@pytest.mark.parametrize(
    ("date", "time", "own", "offset", "moved"),
    [
        ("20240229", "233000", "+0000", 60, ("20240301", "003000", "+0100")),
        ("20240101", "0030", "+0200", 0, ("20231231", "2230", "+0000")),
        ("20240101", "101530.25", "-0500", -300, ("20240101", "101530.25", "-0500")),
        ("20240101", "10", "+0000", 330, ("20240101", "1530", "+0530")),
        ("20240101", "10", "+0000", 120, ("20240101", "12", "+0200")),
        ("2024.01.01", "23:30:00", "+0000", 60, ("20240102", "003000", "+0100")),
        ("20240101", "", "+0000", 60, ("20240101", "", "+0100")),
        ("", "2330", "+0000", 60, ("", "0030", "+0100")),
        ("20240101", "1000", "", 60, ("20240101", "1000", "")),
        ("00010101", "0000", "+0100", 0, ("00010101", "0000", "+0000")),
        ("99991231", "2330", "+0000", 60, ("99991231", "2330", "+0100")),
        ("20241399", "2330", "+0000", 60, ("20241399", "2330", "+0100")),
        ("20240101", "99", "+0000", 60, ("20240101", "99", "+0100")),
        ("20240101", "²²00", "+0000", 60, ("20240101", "²²00", "+0100")),
    ],
)
def test_a_moment_is_told_in_the_askers_zone(date, time, own, offset, moved):
    said = {"StudyDate": date, "StudyTime": time, "TimezoneOffsetFromUTC": own}
    told = zoned(said, Zone(offset, None))
    assert (told["StudyDate"], told["StudyTime"], told["TimezoneOffsetFromUTC"]) == moved


def test_what_states_no_offset_is_in_the_zone_of_the_site_at_that_time():
    berlin = Zone(0, ZoneInfo("Europe/Berlin"))
    summer = zoned({"StudyDate": "20240701", "StudyTime": "1200"}, berlin)
    winter = zoned({"StudyDate": "20240101", "StudyTime": "1200"}, berlin)
    assert (summer["StudyTime"], winter["StudyTime"]) == ("1000", "1100")
    stated = {"StudyDate": "20240701", "StudyTime": "1200", "TimezoneOffsetFromUTC": "+0000"}
    assert zoned(stated, berlin)["StudyTime"] == "1200"


def test_a_birth_date_has_no_time_zone():
    said = {"PatientBirthDate": "19610412", "StudyDate": "20240101", "StudyTime": "2330"}
    told = zoned(said, Zone(60, UTC))
    assert (told["PatientBirthDate"], told["StudyDate"]) == ("19610412", "20240102")


def test_ranges_of_one_form_are_paired_whatever_stands_between_them():
    keys = {
        "SeriesTime": "10-12",
        "StudyDate": "20240101-20240131",
        "Modality": "CT",
        "StudyTime": "10-",
        "SeriesDate": "20240101-20240131",
    }
    pairs, rest = pair_up([parse(keyword, text) for keyword, text in keys.items()])
    assert [[each.keyword for each in pair] for pair in pairs] == [["SeriesDate", "SeriesTime"]]
    assert [each.keyword for each in rest] == ["StudyDate", "Modality", "StudyTime"]


@pytest.mark.parametrize(
    ("first", "last", "around"),
    [
        ("20240101", "20240101", ("20231230", "20240103")),
        ("", "20240229", ("", "20240302")),
        ("202401", "", ("", "")),
        ("00010101", "99991231", ("", "")),
    ],
)
def test_no_zone_calls_a_day_by_a_date_that_is_not_around_it(first, last, around):
    assert days_around(first, last) == around

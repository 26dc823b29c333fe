"""What is forwarded when, and what an answer means."""

import pytest

from fileroom.policy.forwarding import (
    REST_S_MAX,
    Answer,
    HoursError,
    LocalTime,
    Rule,
    Series,
    judge_status,
    rest_s,
    window,
)

MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6


@pytest.mark.parametrize(
    "status, answer",
    [
        (0x0000, Answer.STORED),
        (0xB000, Answer.WARNED),  # PS3.4 Table B.2-1: coercion of data elements
        (0xB006, Answer.WARNED),
        (0xB007, Answer.WARNED),
        (0xA700, Answer.LATER),  # refused: out of resources
        (0xA702, Answer.LATER),
        (0x0213, Answer.LATER),
        (0x0110, Answer.AGAIN),
        (0xA900, Answer.REFUSED),
        (0xC000, Answer.REFUSED),
        (0xC123, Answer.REFUSED),
        (0x0122, Answer.REFUSED),
        (0x0124, Answer.REFUSED),
        (0x1234, Answer.REFUSED),
        (0xFF00, Answer.REFUSED),
        (0xFE00, Answer.REFUSED),
    ],
)
def test_a_status_says_whether_it_is_stored_refused_or_to_be_tried_again(status, answer):
    assert judge_status(status) is answer


def test_a_night_belongs_to_the_day_it_begins_on():
    nights = window("mon-fri 18:00-06:00")
    assert nights.is_open(LocalTime(FRIDAY, 23 * 60))
    assert nights.is_open(LocalTime(SATURDAY, 5 * 60 + 59))
    assert not nights.is_open(LocalTime(SATURDAY, 6 * 60))
    assert not nights.is_open(LocalTime(SATURDAY, 23 * 60))
    assert not nights.is_open(LocalTime(MONDAY, 5 * 60))
    assert not nights.is_open(LocalTime(MONDAY, 12 * 60))


def test_days_without_hours_are_whole_days_and_hours_without_days_are_of_each():
    assert window("sat,sun").is_open(LocalTime(SUNDAY, 0))
    assert window("fri-mon").is_open(LocalTime(MONDAY, 1439))
    assert not window("sat,sun").is_open(LocalTime(MONDAY, 0))
    assert window("22:00-24:00").is_open(LocalTime(MONDAY, 1439))
    assert not window("22:00-24:00").is_open(LocalTime(MONDAY, 0))


@pytest.mark.parametrize(
    "text",
    ["", " ", "never", "mon-", "mon 18:00", "18:00-06", "24:00-06:00", "18:60-19:00", "18:00-18:00",
     "25:00-26:00", "mon-fri18:00-06:00", "mon,18:00-06:00", "18:00-00:00", "mon fri"],
)  # fmt: skip
def test_what_does_not_say_when_is_refused(text):
    with pytest.raises(HoursError):
        window(text)


def test_descriptions_match_whatever_the_case_and_accents_and_never_what_is_not_said():
    rule = Rule("r", "pacs", descriptions=("*schädel*",))
    assert rule.takes_series(Series("CT", "CT SCHADEL NATIV", ""))
    assert rule.takes_series(Series("CT", "", "Schädel"))
    assert not rule.takes_series(Series("CT", "Thorax", ""))
    assert not Rule("r", "pacs", descriptions=("*",)).takes_series(Series("CT", "", ""))
    assert Rule("r", "pacs").takes_series(Series("", "", ""))


def test_a_destination_that_fails_is_left_alone_for_longer_up_to_a_bound():
    assert [rest_s(n) for n in (1, 2, 3)] == [10, 20, 40]
    assert rest_s(1000) == REST_S_MAX

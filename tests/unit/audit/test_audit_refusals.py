"""Who was turned away stands in the ledger, and nobody can fill it by being turned away."""

from typing import NamedTuple

import pytest

from fileroom.audit import event
from fileroom.audit.refusals import OTHERS, TOLD_APART_MAX, WINDOW_S, Refusal, Refusals
from fileroom.clock import ManualClock
from fileroom.ledger.record import encode_body
from fileroom.ledger.waiting import LedgerWriteError


class Caller(NamedTuple):
    kind: str = "address"
    name: str = "10.0.0.9"
    address: str = "10.0.0.9"
    ae_title: str | None = "WORM"


class FakeLedger:
    """Takes what can be encoded, or nothing."""

    def __init__(self):
        self.bodies = []
        self.failing = False

    async def append(self, kind, body):
        assert event.parse(kind, body) is not None
        encode_body(body)
        if self.failing:
            raise LedgerWriteError("errno 5")
        self.bodies.append(body)
        return len(self.bodies) - 1


@pytest.fixture
def ledger():
    return FakeLedger()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def refusals(ledger, clock):
    return Refusals(ledger, clock)


def knocked(number=0, *, reason="no grant says so", **who):
    return Refusal(Caller(**who), "associate", "dimse", f"{reason}{number or ''}")


async def test_the_same_again_is_one_event_with_its_count_and_times(refusals, ledger, clock):
    first_ns = clock.wall_ns()
    for _ in range(1000):
        refusals.note(knocked())
    clock.advance(5)
    refusals.note(knocked())
    await refusals.flush()
    assert ledger.bodies == [
        {
            "principal_kind": "address",
            "principal": "10.0.0.9",
            "address": "10.0.0.9",
            "ae_title": "WORM",
            "action": "associate",
            "channel": "dimse",
            "reason": "no grant says so",
            "count": 1001,
            "first_at_ns": first_ns,
            "last_at_ns": first_ns + 5_000_000_000,
        }
    ]


async def test_another_caller_claim_action_channel_or_reason_is_another_event(refusals, ledger):
    for each in (
        knocked(),
        knocked(1),
        knocked(address="10.0.0.8"),
        knocked(ae_title="OTHER"),
        knocked()._replace(action="store"),
        knocked()._replace(channel="stow"),
    ):
        refusals.note(each)
    await refusals.flush()
    assert [each["count"] for each in ledger.bodies] == [1] * 6


async def test_an_hour_of_knocking_under_ever_new_names_is_a_bounded_number_of_events(
    refusals, ledger, clock
):
    noted = 0
    for minute in range(60):
        for number in range(3 * TOLD_APART_MAX):
            refusals.note(knocked(ae_title=f"A{minute}/{number}"))
            noted += 1
        for _ in range(10):  # however often the rounds are woken
            await refusals.flush()
        clock.advance(WINDOW_S)
    assert len(ledger.bodies) == 60 * (TOLD_APART_MAX + 1)
    assert sum(each["count"] for each in ledger.bodies) == noted
    others = [each for each in ledger.bodies if each["reason"] == OTHERS]
    assert len(others) == 60
    assert {each["principal"] + each["address"] for each in others} == {""}


async def test_what_the_ledger_did_not_take_is_written_a_minute_later(refusals, ledger, clock):
    refusals.note(knocked())
    ledger.failing = True
    with pytest.raises(LedgerWriteError):
        await refusals.flush()
    refusals.note(knocked())
    ledger.failing = False
    await refusals.flush()
    assert ledger.bodies == []
    clock.advance(WINDOW_S)
    await refusals.flush()
    assert [each["count"] for each in ledger.bodies] == [2]


async def test_a_node_that_ends_writes_what_there_is(refusals, ledger):
    refusals.note(knocked())
    await refusals.flush()
    refusals.note(knocked())
    await refusals.flush(ended=True)
    await refusals.flush(ended=True)
    assert [each["count"] for each in ledger.bodies] == [1, 1]


async def test_a_caller_chooses_neither_the_length_nor_the_characters_of_what_is_written(
    refusals, ledger
):
    refusals.note(knocked(ae_title="\ud800" + "x" * 5000, reason="r" * 5000))
    await refusals.flush()
    (body,) = ledger.bodies
    assert body["ae_title"] == "?" + "x" * 63
    assert len(encode_body(body)) < 600

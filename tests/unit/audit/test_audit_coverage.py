"""No read without a record (invariant 11 of docs/design.md)."""

import asyncio
from typing import NamedTuple

import pytest

from fileroom.audit.coverage import Coverage
from fileroom.clock import ManualClock
from fileroom.ledger.waiting import LedgerWriteError


class Reader(NamedTuple):
    kind: str = "address"
    name: str = "127.0.0.1"
    address: str = "127.0.0.1"
    ae_title: str | None = None


class FakeLedger:
    """Appends become durable when `flush` is called, or at once; or fail."""

    def __init__(self, *, at_once=True):
        self.events = []
        self.at_once = at_once
        self.failing = False
        self._waiting = []

    async def append(self, kind, body):
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((kind, body, future))
        if self.at_once:
            self.flush()
        return await future

    def flush(self):
        waiting, self._waiting = self._waiting, []
        for kind, body, future in waiting:
            if self.failing:
                future.set_exception(LedgerWriteError("errno 5"))
            else:
                self.events.append((kind, body))
                future.set_result(len(self.events) - 1)

    def of(self, kind):
        return [body for each, body in self.events if each == kind]


def made(**options):
    ledger = FakeLedger(at_once=options.pop("at_once", True))
    clock = ManualClock()
    return Coverage(ledger, clock, **options), ledger, clock


async def turns():
    """Let every task go on until it waits for the ledger."""
    for _ in range(5):
        await asyncio.sleep(0)


async def read(coverage, study="1.2.3", *, who=None, purpose="retrieve", channel="dicomweb"):
    return await coverage.covers(who or Reader(), study, purpose=purpose, channel=channel)


async def test_the_first_read_is_on_record_before_it_may_begin():
    coverage, ledger, _ = made(at_once=False)
    reading = asyncio.create_task(read(coverage))
    await turns()
    assert not reading.done()
    assert ledger.events == []
    ledger.flush()
    assert (await reading).index == 0
    assert ledger.events == [
        (
            "access.opened",
            {
                "principal_kind": "address",
                "principal": "127.0.0.1",
                "address": "127.0.0.1",
                "ae_title": None,
                "study_instance_uid": "1.2.3",
                "purpose": "retrieve",
                "channel": "dicomweb",
                "destination": "",
            },
        )
    ]


async def test_one_event_covers_fifteen_minutes_and_no_longer():
    coverage, ledger, clock = made()
    first = await read(coverage)
    clock.advance(15 * 60 - 0.001)
    assert await read(coverage) is first
    clock.advance(0.001)
    assert await read(coverage) is not first
    assert len(ledger.of("access.opened")) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"study": "1.2.4"},
        {"who": Reader(name="10.0.0.1", address="10.0.0.1")},
        {"who": Reader(ae_title="WORKSTATION")},
        {"purpose": "export"},
        {"channel": "dimse"},
    ],
)
async def test_another_principal_study_purpose_or_channel_is_another_event(other):
    coverage, ledger, _ = made()
    assert await read(coverage) is not await read(coverage, **other)
    assert len(ledger.of("access.opened")) == 2


async def test_reads_that_begin_together_wait_for_one_event():
    coverage, ledger, _ = made(at_once=False)
    reading = [asyncio.create_task(read(coverage)) for _ in range(50)]
    await turns()
    ledger.flush()
    records = await asyncio.gather(*reading)
    assert len({id(each) for each in records}) == 1
    assert len(ledger.events) == 1


async def test_who_gives_up_does_not_take_the_event_from_the_others():
    coverage, ledger, _ = made(at_once=False)
    first, second = [asyncio.create_task(read(coverage)) for _ in range(2)]
    await turns()
    first.cancel()
    await asyncio.wait([first])
    ledger.flush()
    assert (await second).index == 0


async def test_nothing_may_be_read_when_the_event_is_not_durable():
    coverage, ledger, _ = made()
    ledger.failing = True
    outcomes = await asyncio.gather(read(coverage), read(coverage), return_exceptions=True)
    assert [type(each) for each in outcomes] == [LedgerWriteError] * 2
    ledger.failing = False
    assert (await read(coverage)).index == 0


async def test_the_closing_event_sums_what_was_read():
    coverage, ledger, clock = made()
    record = await read(coverage)
    record.count(instances=1, bytes=500)
    record.count(frames=3, bytes=20)
    clock.advance(10 * 60)
    await coverage.sweep()
    assert ledger.of("access.closed") == []
    clock.advance(5 * 60)
    await coverage.sweep()
    await coverage.sweep()
    assert ledger.of("access.closed") == [
        {"opened": 0, "instances": 1, "frames": 3, "size_bytes": 520, "duration_s": 900.0}
    ]


async def test_a_read_that_outlasts_its_record_is_counted_in_a_further_event():
    coverage, ledger, clock = made()
    record = await read(coverage)
    clock.advance(15 * 60)
    await coverage.sweep()
    record.count(instances=1, bytes=9)
    record.count(instances=1, bytes=1)
    await coverage.sweep()
    await coverage.sweep()
    sums = [(each["opened"], each["instances"]) for each in ledger.of("access.closed")]
    assert sums == [(0, 0), (0, 2)]


async def test_a_closing_event_that_failed_is_written_by_the_next_sweep():
    coverage, ledger, clock = made()
    record = await read(coverage)
    record.count(instances=4)
    clock.advance(15 * 60)
    ledger.failing = True
    with pytest.raises(LedgerWriteError):
        await coverage.sweep()
    ledger.failing = False
    record.count(instances=1)
    await coverage.sweep()
    await coverage.sweep()
    assert [each["instances"] for each in ledger.of("access.closed")] == [5]


async def test_a_record_that_was_replaced_before_the_sweep_is_closed_too():
    coverage, ledger, clock = made()
    (await read(coverage)).count(instances=1)
    clock.advance(16 * 60)
    await read(coverage)
    await coverage.sweep()
    assert [each["opened"] for each in ledger.of("access.closed")] == [0]


async def test_memory_is_bounded_by_closing_the_oldest_early():
    coverage, ledger, _ = made(records_max=3)
    for number in range(10):
        await read(coverage, f"1.2.{number}")
    await coverage.sweep()
    assert [each["opened"] for each in ledger.of("access.closed")] == list(range(7))
    assert (await read(coverage, "1.2.9")).index == 9


async def test_close_ends_every_record():
    coverage, ledger, _ = made()
    (await read(coverage, "1.2.1")).count(instances=1)
    (await read(coverage, "1.2.2")).count(instances=2)
    await coverage.close()
    assert [each["instances"] for each in ledger.of("access.closed")] == [1, 2]

"""A decision is recorded, then applied; whatever goes wrong in between, the catalog hears of it
before the applied index passes it."""

import asyncio

import pytest

from conform.catalog_model import DictCatalog
from fileroom.access.identity import of_address
from fileroom.audit import event
from fileroom.audit.decided import CONFLICT_SETTLED, ConflictSettled, Decided, KnownDataSet
from fileroom.catalog.errors import CatalogBusyError
from fileroom.clock import ManualClock
from fileroom.decisions.decider import Decider, by
from fileroom.decisions.effects import EFFECTS
from fileroom.dicom.uid import digest
from fileroom.errors import RefusedError
from fileroom.ledger.waiting import LedgerWriteError
from fileroom.recovery.replay import Replay
from ledger_parts import ledger_in

UID = "1.2.3"
KNOWN = KnownDataSet(pack="ab" * 32, ordinal=0, sha256="0e" * 32)


def settled(reason="the second one is whole"):
    return ConflictSettled(
        by=by(of_address("127.0.0.1"), channel="http"),
        reason=reason,
        decided_at_ns=1,
        sop_instance_uid=UID,
        served_sha256=KNOWN.sha256,
        known=(KNOWN,),
    )


async def decide():
    return settled()


@pytest.fixture
def catalog():
    return DictCatalog(ManualClock())


def decider_of(catalog, ledger):
    return Decider(catalog=catalog, ledger=ledger, deciding=asyncio.Lock())


def applied(catalog):
    return catalog.settlements.get(digest(UID))


async def test_a_decision_is_in_the_ledger_and_in_the_catalog_when_take_returns(tmp_path, catalog):
    async with ledger_in(tmp_path) as ledger:
        await ledger.append("started", {"node_id": "n", "version": "1"})
        index = await decider_of(catalog, ledger).take(decide)
        (record,) = ledger.records(index, ledger.size)
        assert (index, record.kind) == (1, CONFLICT_SETTLED)
        assert event.parse(record.kind, record.body) == settled()
        assert applied(catalog).ledger_index == 1
        assert applied(catalog).decided_by == "127.0.0.1"


async def test_a_decision_that_is_refused_is_in_neither(tmp_path, catalog):
    async def refuse():
        raise RefusedError("no")

    async with ledger_in(tmp_path) as ledger:
        with pytest.raises(RefusedError):
            await decider_of(catalog, ledger).take(refuse)
        assert (ledger.size, applied(catalog)) == (0, None)


async def test_what_the_ledger_does_not_take_is_not_applied(tmp_path, catalog, monkeypatch):
    async with ledger_in(tmp_path) as ledger:

        async def fail(kind, body):
            raise LedgerWriteError("the disk is full")

        monkeypatch.setattr(ledger, "append", fail)
        with pytest.raises(LedgerWriteError):
            await decider_of(catalog, ledger).take(decide)
        assert applied(catalog) is None


async def test_what_the_catalog_could_not_take_is_applied_before_the_next(
    tmp_path, catalog, monkeypatch
):
    record = catalog.record_settlement

    def busy(settlement):
        raise CatalogBusyError("another process writes")

    async with ledger_in(tmp_path) as ledger:
        decider = decider_of(catalog, ledger)
        monkeypatch.setattr(catalog, "record_settlement", busy)
        with pytest.raises(CatalogBusyError):
            await decider.take(decide)
        assert ledger.size == 1
        with pytest.raises(CatalogBusyError):
            await decider.carry_out()  # so that nobody notes it as applied
        with pytest.raises(CatalogBusyError):
            await decider.take(decide)
        assert ledger.size == 1, "decisions are applied in the ledger's order"
        monkeypatch.setattr(catalog, "record_settlement", record)
        await decider.carry_out()
        assert applied(catalog).ledger_index == 0
        assert await decider.take(decide) == 1
        assert applied(catalog).ledger_index == 1


async def test_a_caller_that_goes_away_stops_no_decision(tmp_path, catalog):
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slowly():
        reached.set()
        await go_on.wait()
        return settled()

    async with ledger_in(tmp_path) as ledger:
        decider = decider_of(catalog, ledger)
        caller = asyncio.create_task(decider.take(slowly))
        await reached.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        go_on.set()
        assert await decider.take(decide) == 1
        assert ledger.size == 2


async def test_a_catalog_that_did_not_hear_of_a_decision_hears_at_the_next_start(tmp_path, catalog):
    async with ledger_in(tmp_path) as ledger:
        await decider_of(DictCatalog(ManualClock()), ledger).take(decide)
        replay = Replay(catalog=catalog, ledger=ledger)
        replay.decide(told := replay.tail())
        replay.apply(told)
        assert applied(catalog).reason == "the second one is whole"
        assert catalog.applied_index() == 1
        replay.decide(replay.tail(whole=True))
        assert applied(catalog).ledger_index == 0


def test_every_decision_has_its_effect():
    assert EFFECTS.keys() == {each for each in event.KINDS.values() if issubclass(each, Decided)}

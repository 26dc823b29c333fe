"""Who was turned away is counted at once, listed when somebody looks, and holds up no door."""

import pytest

from conform.catalog_model import DictCatalog
from fileroom.access.identity import of_address
from fileroom.audit.refusals import Refusal
from fileroom.catalog.errors import CatalogBusyError
from fileroom.clock import ManualClock
from fileroom.dimse.admission import ASSOCIATE
from fileroom.node.turned_away import CALLERS_MAX, TurnedAway
from ledger_parts import ledger_in


@pytest.fixture
async def ledger(tmp_path):
    async with ledger_in(tmp_path) as opened:
        yield opened


@pytest.fixture
def catalog():
    return DictCatalog(ManualClock())


@pytest.fixture
def turned_away(catalog, ledger):
    return TurnedAway(catalog, ledger, catalog.clock)


def refusal(ae_title="WORM", action=ASSOCIATE):
    caller = of_address("10.0.0.9", ae_title=ae_title)
    return Refusal(caller, action, "dimse", "called AE title not recognized")


async def test_a_caller_is_counted_at_once_and_listed_when_somebody_looks(turned_away, catalog):
    for _ in range(3):
        turned_away.note(refusal())
    turned_away.note(refusal(action="find"))
    assert turned_away.counts == {
        "called AE title not recognized": 3,
        "find: called AE title not recognized": 1,
    }
    assert catalog.refused_callers() == [], "a door waits for no catalog"
    await turned_away.record()
    await turned_away.record()
    (listed,) = catalog.refused_callers()
    assert (listed.calling_ae_title, listed.address, listed.count) == ("WORM", "10.0.0.9", 3)


async def test_the_ledger_hears_of_it_by_and_by_and_at_the_end(turned_away, ledger):
    turned_away.note(refusal())
    turned_away.note(refusal(action="find"))
    await turned_away.flush()
    turned_away.note(refusal())
    await turned_away.flush()
    assert ledger.size == 2
    await turned_away.flush(ended=True)
    assert [(each.kind, each.body["action"]) for each in ledger.records(0)] == [
        ("refused", "associate"), ("refused", "find"), ("refused", "associate"),
    ]  # fmt: skip


async def test_what_is_noted_between_two_looks_is_bounded(turned_away, catalog):
    for number in range(3 * CALLERS_MAX):
        turned_away.note(refusal(f"AE{number}"))
    await turned_away.record()
    assert len(catalog.refused_callers()) == CALLERS_MAX
    assert turned_away.counts.total() == 3 * CALLERS_MAX


async def test_a_catalog_that_fails_keeps_nothing_from_the_ledger(
    turned_away, catalog, ledger, monkeypatch
):
    """A node that stops tells the ledger more behind this, and publishes it."""

    def failing(**_: object) -> None:
        raise CatalogBusyError("injected")

    monkeypatch.setattr(catalog, "record_refused", failing)
    turned_away.note(refusal())
    await turned_away.flush(ended=True)
    assert [each.kind for each in ledger.records(0)] == ["refused"]


async def test_a_flush_lists_too(turned_away, catalog):
    turned_away.note(refusal())
    await turned_away.flush()
    assert [each.count for each in catalog.refused_callers()] == [1]

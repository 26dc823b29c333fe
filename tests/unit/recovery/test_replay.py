"""The tail of the ledger, gone through at a start; and how the catalog follows the log."""

import pytest

from conform.catalog_model import DictCatalog
from fileroom.audit import event
from fileroom.catalog.errors import CatalogBusyError, StateMovedError
from fileroom.catalog.references import digest_of, folded
from fileroom.clock import ManualClock
from fileroom.dicom.commitment import Reference
from fileroom.errors import IntegrityError
from fileroom.pack.format import object_name
from fileroom.recovery.replay import EFFECTS, NewerLedgerError, Replay
from ledger_parts import append, ledger_in, open_ledger

KEY_ID, PACK, OTHER = b"k" * 16, b"p" * 32, b"q" * 32


def evicted(sha256):
    return event.Evicted(pack=object_name(KEY_ID, sha256), size_bytes=1, reason="room")


def released(segment):
    return event.Released(node_id="n", segment=segment, instances=1)


async def tell(ledger, *events):
    for each in events:
        await ledger.append(event.kind(each), event.body(each))


@pytest.fixture
def catalog():
    return DictCatalog(ManualClock())


def test_every_kind_says_what_it_does_to_the_catalog():
    assert EFFECTS.keys() == event.KINDS.keys()


async def test_what_was_decided_behind_the_applied_index_is_gone_through(tmp_path, catalog):
    async with ledger_in(tmp_path) as ledger:
        await tell(ledger, evicted(OTHER), released(1))
        replay = Replay(catalog=catalog, ledger=ledger)
        replay.follow(ledger.size)
        await tell(ledger, event.Started(node_id="n", version="1"), evicted(PACK), released(7))
        told = replay.tail()
        assert (told.evicted, told.released, told.size) == ({PACK}, {7}, 5)
        assert catalog.applied_index() == 2, "until it is applied, it is not noted as such"
        replay.follow(told.size)
        assert replay.tail().evicted == set()


async def test_a_catalog_that_was_lost_hears_of_the_configuration_from_the_ledger(
    tmp_path, catalog
):
    def configuration(before, after):
        changed = tuple(sorted(before | after))
        return event.Configuration(
            node_id="n", sha256="", changed=changed, before=before, after=after
        )

    async with ledger_in(tmp_path) as ledger:
        await tell(ledger, configuration({}, {"dimse.port": 1, "peers.a.port": 104, "log.json": 1}))
        await tell(ledger, configuration({"dimse.port": 1, "peers.a.port": 104}, {"dimse.port": 2}))
        replay = Replay(catalog=catalog, ledger=ledger)
        assert replay.configuration() == {}
        replay.apply(replay.tail())
        assert replay.configuration() == {"dimse.port": 2, "log.json": 1}
        assert catalog.applied_index() == 2
        replay.apply(replay.tail(whole=True))
        assert replay.configuration() == {"dimse.port": 2, "log.json": 1}


async def test_who_was_refused_changes_nothing(tmp_path, catalog):
    async with ledger_in(tmp_path) as ledger:
        refused = event.Refused(
            principal_kind="address",
            principal="10.0.0.9",
            address="10.0.0.9",
            ae_title=None,
            action="store",
            channel="stow",
            reason="no grant says so",
        )
        await tell(ledger, refused)
        told = Replay(catalog=catalog, ledger=ledger).tail()
        assert (told.sealed, told.evicted, told.released) == (set(), set(), set())
        assert (told.size, told.configurations) == (1, [])


async def test_a_kind_that_a_newer_program_wrote_stops_the_start(tmp_path, catalog):
    async with ledger_in(tmp_path) as ledger:
        await tell(ledger, released(1))
        await ledger.append("held", {"study_instance_uid": "1.2"})
        with pytest.raises(NewerLedgerError, match="entry 1 "):
            Replay(catalog=catalog, ledger=ledger).tail()
        assert catalog.applied_index() == 0


async def test_the_index_only_grows(tmp_path, catalog):
    async with ledger_in(tmp_path) as ledger:
        await append(ledger, 3)
        replay = Replay(catalog=catalog, ledger=ledger)
        replay.follow(3)
        replay.follow(2)
        assert catalog.applied_index() == 3
        with pytest.raises(StateMovedError):
            catalog.set_applied_index(2)


async def test_a_log_that_lost_its_end_is_not_opened(tmp_path, catalog):
    async with ledger_in(tmp_path) as ledger:
        await append(ledger, 3)
        Replay(catalog=catalog, ledger=ledger).follow(ledger.size)
        size_bytes = (tmp_path / ledger.site / "00000001.seg").stat().st_size
        kept = (tmp_path / ledger.site / "00000001.seg").read_bytes()
    end = kept.rindex(b"FRLB")
    lost = kept[:end] + bytes(size_bytes - end)
    (tmp_path / ledger.site / "00000001.seg").write_bytes(lost)
    with pytest.raises(IntegrityError, match="and 3 were durable"):
        open_ledger(tmp_path, size_min=catalog.applied_index())


async def test_a_tail_is_noted_as_applied_when_its_promises_are_in_the_catalog(
    tmp_path, catalog, monkeypatch
):
    references = (Reference("1.2.840.10008.5.1.4.1.1.2", "1.9.1"),)
    asked = event.CommitmentRequested(
        ae_title="CT1",
        address="10.0.0.7",
        transaction_uid="1.7.1",
        requested_at_ns=1,
        part=0,
        parts=1,
        referenced_sha256=digest_of(references).hex(),
        references=folded(references),
    )

    def busy(asked: object) -> None:
        raise CatalogBusyError("injected")

    async with ledger_in(tmp_path) as ledger:
        await tell(ledger, asked)
        replay = Replay(catalog=catalog, ledger=ledger)
        with monkeypatch.context() as patched:
            patched.setattr(catalog, "record_commitment", busy)
            with pytest.raises(CatalogBusyError):
                replay.apply(replay.tail())
        assert catalog.applied_index() == 0
        replay.apply(replay.tail())
        assert catalog.applied_index() == 1
        assert catalog.commitment("CT1", "1.7.1").referenced_sha256 == digest_of(references)

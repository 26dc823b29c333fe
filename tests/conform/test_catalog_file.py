"""The catalog's file: its key, its schema, what a crash leaves, and what is never in it."""

import hashlib
import shutil
import threading
from pathlib import Path

import pytest

from conform.catalog_samples import NODE, T0_NS, new_pack, seal_all, spooled
from conform.power_vfs import PowerVfs
from fileroom.catalog import sqlite_file
from fileroom.catalog.errors import (
    CatalogBusyError,
    CatalogFullError,
    CatalogMissingError,
    CatalogUnreadableError,
    NewerCatalogError,
    SchemaChangedError,
)
from fileroom.catalog.lifecycle import CopyState
from fileroom.catalog.query import Level, Search
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.catalog.sqlite_file import Migration
from fileroom.clock import ManualClock
from fileroom.disk import Disk

KEY = b"k" * 32
NAME = "Unmistakable^Plaintext"


def create(path: Path, *, vfs: str = "") -> SqliteCatalog:
    return SqliteCatalog.create(path, key=KEY, clock=ManualClock(), disk=Disk(), vfs=vfs)


def reopen(path: Path, *, key: bytes = KEY) -> SqliteCatalog:
    return SqliteCatalog.open(path, key=key, clock=ManualClock(), disk=Disk())


def fill(catalog: SqliteCatalog, count: int = 200) -> None:
    catalog.record_spooled(
        [
            spooled((1, n), f"1.9.{n}", study=f"1.2.{n}", series=f"1.2.{n}.1", PatientName=NAME)
            for n in range(count)
        ],
        node_id=NODE,
    )


def studies(catalog: SqliteCatalog) -> int:
    return len(catalog.search(Search(level=Level.STUDY, partition="main", limit=10_000)))


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "catalog.db"


def test_a_closed_catalog_is_one_file_that_its_owner_alone_may_read(path):
    catalog = create(path)
    fill(catalog)
    catalog.close()
    catalog.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["catalog.db"]
    assert path.stat().st_mode & 0o777 == 0o600
    catalog = reopen(path)
    assert studies(catalog) == 200
    catalog.close()


def test_a_closed_catalog_says_so(path):
    catalog = create(path)
    catalog.close()
    with pytest.raises(CatalogBusyError):
        catalog.setting("x")
    with pytest.raises(CatalogBusyError):
        fill(catalog)


def test_no_plaintext_is_in_the_file_or_its_log(path):
    vfs = PowerVfs("plain")
    catalog = create(path, vfs="multipleciphers-plain")
    fill(catalog)
    names = [entry.name for entry in path.parent.iterdir()]
    assert "catalog.db-wal" in names
    seen = [*vfs.written, *(entry.read_bytes() for entry in path.parent.iterdir())]
    catalog.shrink()
    seen += [*vfs.written, path.read_bytes()]
    catalog.close()
    # Nothing short: three given bytes stand in a few megabytes of ciphertext by chance.
    for text in (NAME, "Unmistakable", "1.2.199", "CREATE TABLE", "SQLite format 3"):
        assert not any(text.encode() in each for each in seen)


def test_another_key_does_not_open_it(path):
    create(path).close()
    with pytest.raises(CatalogUnreadableError):
        reopen(path, key=b"x" * 32)


def test_a_missing_catalog_is_told_from_a_damaged_one(path):
    with pytest.raises(CatalogMissingError):
        reopen(path)
    path.parent.mkdir()
    path.touch()  # a crash while it was made
    with pytest.raises(CatalogUnreadableError):
        reopen(path)
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(CatalogUnreadableError):
        reopen(path)
    with pytest.raises(FileExistsError):
        create(path)


def test_a_flipped_bit_is_found_by_the_check_and_the_file_is_given_up(path):
    catalog = create(path)
    fill(catalog)
    catalog.close()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    catalog = reopen(path)
    with pytest.raises(CatalogUnreadableError):
        catalog.check()
    with pytest.raises(CatalogUnreadableError):
        catalog.setting("x")
    with pytest.raises(CatalogUnreadableError):
        fill(catalog)
    catalog.close()


def test_a_truncated_file_is_unreadable(path):
    catalog = create(path)
    fill(catalog)
    catalog.close()
    path.write_bytes(path.read_bytes()[: 4096 * 5])
    with pytest.raises(CatalogUnreadableError):  # at the opening or at the check
        reopen(path).check()


def test_a_newer_schema_is_refused_and_left_alone(path, monkeypatch):
    carried = sqlite_file.packaged_migrations()
    newer = Migration(carried[-1].number + 1, b"n" * 32, "CREATE TABLE future (x) ")
    with monkeypatch.context() as later:
        later.setattr(sqlite_file, "packaged_migrations", lambda: [*carried, newer])
        create(path).close()
    before = path.read_bytes()
    with pytest.raises(NewerCatalogError, match=str(newer.number)):
        reopen(path)
    assert path.read_bytes() == before


def test_an_older_catalog_gets_the_steps_it_lacks_once(path, monkeypatch):
    catalog = create(path)
    fill(catalog)
    catalog.close()
    carried = sqlite_file.packaged_migrations()
    newer = Migration(carried[-1].number + 1, b"n" * 32, "ALTER TABLE study ADD COLUMN hold TEXT")
    monkeypatch.setattr(sqlite_file, "packaged_migrations", lambda: [*carried, newer])
    for _ in range(2):
        catalog = reopen(path)
        assert studies(catalog) == 200
        catalog.close()


def test_a_step_that_fails_leaves_the_catalog_as_it_was(path, monkeypatch):
    create(path).close()
    carried = sqlite_file.packaged_migrations()
    number = carried[-1].number + 1
    broken = Migration(number, b"n" * 32, "CREATE TABLE future (x); SELECT 1 FROM nowhere")
    with monkeypatch.context() as later:
        later.setattr(sqlite_file, "packaged_migrations", lambda: [*carried, broken])
        with pytest.raises(Exception, match="nowhere"):
            reopen(path)
    reopen(path).close()


def test_a_released_step_that_was_edited_is_refused(path, monkeypatch):
    create(path).close()
    edited = [
        Migration(step.number, hashlib.sha256(b"edited").digest(), step.sql)
        for step in sqlite_file.packaged_migrations()
    ]
    monkeypatch.setattr(sqlite_file, "packaged_migrations", lambda: edited)
    with pytest.raises(SchemaChangedError):
        reopen(path)


def test_released_steps_are_never_edited():
    # A new step gets a line here; a line is never changed.
    assert {step.number: step.sha256.hex() for step in sqlite_file.packaged_migrations()} == {
        1: "95d94f1302ffa22ed01a9dc8eb27eebdde21333e921187cce6d7189e9a72b7ff",
        2: "e476752fa0826bc9f7ce93f20ce90bb57d829e333ed406f3f496909f2d5c26a1",
        3: "1f5a38024246ea54cf685a47f3ea232a592fa8c56bad3e327330fbcb0707754b",
        4: "949ce03f46391dd840bb0227320e42851f27a9fed7a6e98b855e2f2d011bf0f3",
        5: "c3c689efec738a60984ff209421f04f0f79a004d069ac375f4cd898b8983a003",
    }


def test_a_crash_leaves_what_was_committed(path, tmp_path):
    catalog = create(path)
    for n in range(5):
        catalog.record_spooled([spooled((1, n), f"1.9.{n}", study=f"1.2.{n}")], node_id=NODE)
        into = tmp_path / f"crash-{n}"
        shutil.copytree(path.parent, into)
        (into / "catalog.db-shm").unlink()
        survivor = reopen(into / "catalog.db")
        assert studies(survivor) == n + 1
        survivor.check()
        survivor.close()
    catalog.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_power_cut_leaves_a_whole_catalog_with_all_that_was_made_durable(path, tmp_path, seed):
    vfs = PowerVfs(f"power{seed}")
    catalog = create(path, vfs=f"multipleciphers-power{seed}")
    catalog._file._writer.pragma("wal_autocheckpoint", 20)  # so that checkpoints happen too
    durable = 0
    for n in range(1, 25):
        catalog.record_spooled(
            [spooled((1, n), f"1.9.{n}", study=f"1.2.{n}", PatientID=f"P{n}")], node_id=NODE
        )
        if n == 1 or (n + seed) % 7 == 0:
            catalog.make_durable()
            durable = n
        into = tmp_path / f"cut-{n}"
        into.mkdir()
        vfs.cut(into, seed * 1000 + n)
        survivor = reopen(into / "catalog.db")
        survivor.check()
        found = survivor.search(Search(level=Level.STUDY, partition="main", limit=100))
        numbers = sorted(int(row.attributes["PatientID"][1:]) for row in found)
        assert numbers == list(range(1, len(numbers) + 1))  # a prefix of the commits
        assert len(numbers) >= durable
        survivor.close()
    catalog.close()


def test_a_failed_sync_gives_the_file_up(path):
    vfs = PowerVfs("failsync")
    catalog = create(path, vfs="multipleciphers-failsync")
    fill(catalog, 1)
    vfs.fail_sync = True
    with pytest.raises(CatalogUnreadableError):
        catalog.make_durable()
    for call in (catalog.make_durable, catalog.totals, lambda: fill(catalog, 2)):
        with pytest.raises(CatalogUnreadableError):
            call()
    catalog.close()


def test_a_full_disk_leaves_nothing_of_the_transaction_and_passes(path):
    vfs = PowerVfs("full")
    catalog = create(path, vfs="multipleciphers-full")
    fill(catalog, 1)
    vfs.fail_write = True
    with pytest.raises(CatalogFullError):
        fill(catalog, 20)
    assert studies(catalog) == 1
    fill(catalog, 20)
    assert studies(catalog) == 20
    assert len(catalog.series_to_seal(quiet_before_ns=1 << 62, target_bytes=1, limit=99)) == 20
    catalog.close()


def test_two_processes_worth_of_catalogs_see_each_others_commits(path):
    one = create(path)
    fill(one, 3)
    other = reopen(path)
    assert studies(other) == 3
    fill(other, 7)
    assert studies(one) == 7
    fill(one, 9)
    assert len(one.series_to_seal(quiet_before_ns=1 << 62, target_bytes=1, limit=99)) == 9
    other.close()
    one.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["catalog.db"]


def test_readers_cannot_write(path):
    catalog = create(path)
    with pytest.raises(Exception, match="readonly"), catalog._file.reading() as connection:
        connection.execute("DELETE FROM study")
    catalog.close()


def test_a_query_that_was_left_unfinished_does_not_hold_a_reader_in_the_past(path):
    catalog = create(path)
    fill(catalog, 5)
    with catalog._file.reading() as connection:
        unfinished = connection.stream("SELECT * FROM study", ())
        next(unfinished.__enter__())
    fill(catalog, 9)
    assert studies(catalog) == 9
    catalog.close()


def test_many_threads_may_call_at_once(path):
    catalog = create(path)
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for n in range(20):
                instance = f"1.9.{thread}.{n}"
                catalog.record_spooled(
                    [spooled((thread, n), instance, study=f"1.2.{n}", series=f"1.2.{n}.1")],
                    node_id=NODE,
                )
                studies(catalog)
                catalog.totals()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert studies(catalog) == 20
    assert catalog.totals().received.instances == 160
    catalog.close()


def test_room_is_given_back_when_the_spool_has_drained(path):
    catalog = create(path)
    empty_bytes = path.stat().st_size  # a page for each table and index
    catalog.record_spooled([spooled((1, n), f"1.9.{n}") for n in range(5000)], node_id=NODE)
    catalog.shrink()
    full_bytes = path.stat().st_size - empty_bytes
    seal_all(catalog, "all")
    catalog.forget_segment(1)
    catalog.shrink()
    assert path.stat().st_size - empty_bytes < full_bytes / 2
    catalog.check()
    catalog.close()


def test_twenty_thousand_ct_slices_take_at_most_80_bytes_each(path):
    said = {
        "ReferringPhysicianName": "House^Gregory",
        "StudyDescription": "CT CHEST W CONTRAST",
        "SeriesDescription": "AX 1.25 LUNG",
        "SeriesDate": "20240131",
        "SeriesTime": "101600.000000",
        "BodyPartExamined": "CHEST",
        "InstitutionName": "GENERAL HOSPITAL",
        "StationName": "CT01",
        "PerformedProcedureStepStartDate": "20240131",
        "PerformedProcedureStepStartTime": "101500",
    }
    root = "1.3.6.1.4.1.14519.5.2.1.7009.2403"  # UIDs as long as modalities make them
    catalog = create(path)
    for series in range(200):
        study = series // 2
        rows = [
            spooled(
                (1, series * 100 + n),
                f"{root}.{10**20 + series * 100 + n}",
                study=f"{root}.{10**20 + study}",
                series=f"{root}.{10**20 + 500 + series}",
                PatientID=f"PID{study // 2:07}",
                PatientName=f"FAMILY{study}^GIVEN",
                AccessionNumber=f"ACC{study:07}",
                StudyID=f"{study}",
                **said,
            )
            for n in range(100)
        ]
        catalog.record_spooled(rows, node_id=NODE)
        (number,) = seal_all(catalog, f"pack {series}")
        catalog.set_copy(number, "directory", None, CopyState.PENDING)
        catalog.set_copy(number, "directory", CopyState.PENDING, CopyState.REPLICATED)
        catalog.set_copy(
            number,
            "directory",
            CopyState.REPLICATED,
            CopyState.VERIFIED,
            checksum_kind="read-back",
            verified_at_ns=T0_NS,
        )
    catalog.forget_segment(1)
    catalog.close()
    assert path.stat().st_size / 20_000 <= 80


def test_a_pack_of_a_node_keeps_the_nodes_name(path):
    catalog = create(path)
    fill(catalog, 1)
    place = catalog.series_to_seal(quiet_before_ns=1 << 62, target_bytes=1, limit=1)[0]
    for n, node in enumerate(["node-b", NODE, "node-b"]):
        catalog.record_sealed(
            new_pack(place.study, place.series, str(n), node_id=node), members=[], lease=None
        )
    assert [pack.node_id for pack in catalog.packs(limit=9)] == ["node-b", NODE, "node-b"]
    catalog.close()

"""A catalog that is made again says row by row what the lost one said, of an archive at rest.

At rest: nothing is on its way, what is in packs is COMMITTED. What a catalog alone knows comes
back by the same stages: until copies are read back, states are behind (docs/format/catalog.md §5).
"""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from catalog_dump import dumped
from crash.faulty_provider import FAULTS, FaultyProvider, Made
from crash.test_node_crashes import Outcome, prepared, read, store
from crash.test_setbacks import DRAIN_S, committed, evicted, lose_catalog, opened, settings_with
from fileroom.access.identity import of_address
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.rejections import Scope
from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import main
from fileroom.errors import TransientError
from fileroom.node.assemble import ask_providers, hold
from fileroom.node.node import Node
from golden.make_folder import REAL, Told, other_pixels
from instances import PATIENT_ID, part10, uids


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FILEROOM_SITE_NAME", "test-site")
    monkeypatch.setenv("FILEROOM_SPOOL_RESERVE_BYTES", "0")
    prepared(tmp_path / "data")
    return tmp_path / "data"


def real(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


async def fill(node: Node) -> None:
    """Real images, several packs of a series, two modalities in a study, conflicts, repeats."""
    told = Told()
    for name in (*REAL, "CT_small.dcm", "MR_small.dcm"):
        await told.store(node, real(name), state="COMMITTED")
    for number in (3, 1, 2):
        await told.store(node, part10(1, 1, number, size_bytes=512), state="COMMITTED")
    await node.drain(DRAIN_S)
    first, second = (part10(1, 1, number, size_bytes=512) for number in (1, 2))
    await told.store(node, other_pixels(first), state="CONFLICT")
    await told.store(node, second, state="COMMITTED")
    await told.store(node, of_modality(part10(1, 2, 9, size_bytes=512), b"PT"), state="COMMITTED")
    await told.store(node, without_patient_id(part10(5, 1, 1, size_bytes=512)), state="COMMITTED")
    await told.store(node, without_patient_id(part10(6, 1, 1, size_bytes=512)), state="COMMITTED")
    await node.drain(DRAIN_S)
    await told.store(node, other_pixels(other_pixels(first)[:-2] + b"zz"), state="CONFLICT")
    await told.store(node, other_pixels(first), state="CONFLICT")
    await told.store(node, part10(1, 1, 4, size_bytes=512), state="COMMITTED")
    await told.store(node, of_another(part10(1, 2, 8, size_bytes=512)), state="COMMITTED")
    await node.drain(DRAIN_S)
    await serve_the_other(node, uids(1, 1, 1)[2])
    await reject_some(node)


def of_modality(file: bytes, modality: bytes) -> bytes:
    assert b"CS\x02\x00CT" in file
    return file.replace(b"CS\x02\x00CT", b"CS\x02\x00" + modality)


def of_another(file: bytes) -> bytes:
    assert PATIENT_ID.encode() in file
    return file.replace(PATIENT_ID.encode(), PATIENT_ID[::-1].encode())


async def serve_the_other(node: Node, sop_instance_uid: str) -> None:
    """Decide that the data set that came last is served."""
    conflicts = node.decisions.conflicts
    last = (await conflicts.show(sop_instance_uid)).data_sets[-1]
    assert not last.is_served
    await conflicts.settle(
        sop_instance_uid, last.sha256, who=of_address("127.0.0.1"), channel="http", reason="whole"
    )


async def reject_some(node: Node) -> None:
    """Decide what is hidden: a study, a series of another, an instance; and undo one of these."""
    desk, who = node.decisions.rejections, of_address("127.0.0.1")
    for scope in (
        Scope(uids(5, 1, 1)[0]),
        Scope(*uids(1, 2, 9)[:2]),
        Scope(*uids(1, 1, 2)[:2], (uids(1, 1, 2)[2], uids(1, 1, 3)[2])),
    ):
        await desk.reject(scope, code="113001", reason="blurred", who=who, channel="http")
    undone = Scope(*uids(1, 1, 3)[:2], (uids(1, 1, 3)[2],))
    await desk.restore(undone, everything=False, reason="", who=who, channel="http")


def without_patient_id(file: bytes) -> bytes:
    at = file.index(b"\x10\x00\x20\x00LO")
    end = at + 8 + int.from_bytes(file[at + 6 : at + 8], "little")
    return file[:at] + b"\x10\x00\x20\x00LO\x00\x00" + file[end:]


@pytest.mark.parametrize("lost", ["the catalog", "all but bucket and keys"])
async def test_a_rebuilt_catalog_says_what_the_lost_one_said(data, lost):
    settings = settings_with(data, "a", "b", local__packs_size_bytes="0")
    async with opened(settings) as node:
        await fill(node)
        await evicted(node, data)
        known = dumped(node.catalog)
        assert len(known["conflict"]) == 3, "MR_small is not quite what its big endian copy is"
        assert len(known["rejection"]) == 3
        assert len(known["settlement"]) == len(known["other_patient"]) == 1
        assert node.catalog.conflict_totals().open == 1
        assert len(known["pack"]) > len(known["series"]) > len(known["study"]) > 7
    lose_catalog(data)
    if lost != "the catalog":
        for name in ("packs", "spool", "ledger", "cache"):
            shutil.rmtree(data / name)
    async with opened(settings) as node:
        behind = dumped(node.catalog)
        assert node.catalog.totals().states.keys() == {PackState.REPLICATED}
        assert differing(behind, known) == {"pack", "copy", "key_copy", "pack_total", "copy_total"}
        for rows, at in ((behind["pack"], 11), (behind["copy"], 2), (behind["key_copy"], 3)):
            assert {row[at] for row in rows} == {str(CopyState.REPLICATED)}
        await node.drain(DRAIN_S)
        assert differing(dumped(node.catalog), known) == set()


def differing(one: dict[str, list], other: dict[str, list]) -> set[str]:
    return {table for table in one if one[table] != other[table]}


async def test_what_is_in_the_spool_and_set_aside_is_there_again_too(data):
    settings = settings_with(data, "a", "b", local__packs_size_bytes=str(1 << 30))
    async with opened(settings) as node:
        await fill(node)
        for _ in range(2):
            await node.evict.round()  # the segment, and no pack
        await store(node, Outcome(), [(1, 1, 5), (9, 1, 1)], size_bytes=256)
        await node.parts.intake.settled()
        known = dumped(node.catalog)
        assert len(known["spooled"]) == len(known["pending"]) == 2
    lose_catalog(data)
    async with opened(settings) as node:
        again = dumped(node.catalog)
        # Packs of this disk are SEALED again: that they were replicated is seen in the listing.
        assert differing(again, known) == {"pack", "copy", "key_copy", "pack_total", "copy_total"}
        await node.replicate.round()
        await node.verify.round()
        await node.commit.round()
        assert differing(dumped(node.catalog), known) == set()


# The verb: it looks first


def rebuilt(data: Path, capsys, *flags: str, code: ExitCode) -> dict:
    """What `fileroom rebuild` answers."""
    words = ["rebuild", "--config", str(data.parent / "a-b.toml"), "--data", str(data)]
    capsys.readouterr()
    assert main([*words, *flags, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def before(data: Path) -> Path:
    return data / "catalog.db.before-rebuild-1"


async def archive(data: Path) -> Outcome:
    outcome = Outcome()
    async with opened(settings_with(data, "a", "b", local__packs_size_bytes="0")) as node:
        outcome.acknowledged |= await committed(node, (1, 1, 1), (2, 1, 1))
        await evicted(node, data)
    return outcome


async def serves(data: Path, outcome: Outcome, *, incomplete: bool) -> None:
    async with opened(settings_with(data, "a", "b")) as node:
        for key, sent in outcome.acknowledged.items():
            assert (await read(node, key)).endswith(sent)
        warned = [each for each in node.status().warnings if each.startswith("catalog incomplete")]
        assert warned == ["catalog incomplete: provider b was away"] * incomplete


def test_rebuild_touches_no_catalog_while_a_provider_is_away(data, capsys):
    outcome = asyncio.run(archive(data))
    (data.parent / "b").rename(data.parent / "away")
    catalog = (data / "catalog.db").read_bytes()
    told = rebuilt(data, capsys, code=ExitCode.UNAVAILABLE)
    assert told["error"].startswith("provider b does not answer: ")
    assert "--without NAME" in told["error"]
    assert (data / "catalog.db").read_bytes() == catalog
    assert not before(data).exists()
    told = rebuilt(data, capsys, "--without", "c", code=ExitCode.REFUSED)
    assert told["error"] == "no provider is named c; there is: a, b"
    rebuilt(data, capsys, "--without", "a", code=ExitCode.UNAVAILABLE)
    assert not before(data).exists()
    told = rebuilt(data, capsys, "--without", "b", code=ExitCode.OK)
    assert (told["adopted"], told["absent"], told["awaited"]) == (2, 0, ["b"])
    assert Path(told["old_catalog"]) == before(data)
    asyncio.run(serves(data, outcome, incomplete=True))
    (data.parent / "away").rename(data.parent / "b")
    told = rebuilt(data, capsys, code=ExitCode.OK)
    assert (told["adopted"], told["awaited"]) == (2, [])
    asyncio.run(serves(data, outcome, incomplete=False))


def test_a_rebuild_that_misses_a_pack_is_done_in_part(data, capsys):
    asyncio.run(archive(data))
    for each in sorted((data.parent / "a" / "packs").glob("*/*")):
        each.unlink()
    for each in sorted((data.parent / "b" / "packs").glob("*/*"))[:1]:
        each.write_bytes(b"no pack")
    told = rebuilt(data, capsys, code=ExitCode.PARTIAL)
    assert (told["adopted"], told["unreadable"], told["absent"]) == (1, 1, 0)


def test_the_keys_are_looked_for_before_the_catalog_is_touched(data, capsys):
    asyncio.run(archive(data))
    (data / "passphrase").write_text("another\n")
    rebuilt(data, capsys, code=ExitCode.REFUSED)
    assert not before(data).exists()


def test_a_provider_answers_with_its_first_page_or_is_named(data):
    settings = settings_with(data, "a", "b")

    async def asked(bucket: FaultyProvider) -> None:
        with hold(settings, verb="rebuild") as held:
            around = {"b": bucket.around}
            await ask_providers(
                held, settings, reached=lambda each: around.get(each.name, lambda one: one)(each)
            )

    async def filled() -> None:
        async with opened(settings) as node:
            await committed(node, *((study, 1, 1) for study in range(1, 4)))

    asyncio.run(filled())
    quiet = FaultyProvider()
    asyncio.run(asked(quiet))
    assert quiet.calls == [Made("list", "rebuild", "packs")]
    for fault in FAULTS["list"]:
        bucket = FaultyProvider(0, fault)
        if fault.name == "UNREACHABLE":
            with pytest.raises(TransientError, match="provider b does not answer: no connection"):
                asyncio.run(asked(bucket))
        else:
            asyncio.run(asked(bucket))  # an empty page is an answer

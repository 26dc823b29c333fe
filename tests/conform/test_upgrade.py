"""Data folders that released versions wrote, opened by the program of today."""

import hashlib
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fileroom.cli.rebuilding import set_catalog_aside
from fileroom.dicom.part10 import Part10Splitter
from fileroom.disk import Disk
from fileroom.node.assemble import open_node
from fileroom.node.config import Settings
from fileroom.node.folder import FORMAT, Folder, NewerFolderError, read_mark, write_mark
from fileroom.node.node import Node
from fileroom.spool.record import Origin
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, uids
from nodes import settings_of

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = sorted(GOLDEN.glob("folder_*.tar.xz"))
ORIGIN = Origin("dimse", "LATER", "127.0.0.1", "c0ffee")
NEW = (7, 1, 1)


@dataclass
class Old:
    """A copy of a golden folder, and what must come out of it."""

    settings: Settings
    told: dict[str, Any]


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name.partition(".")[0])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    name = request.param.name.replace(".tar.xz", ".json")
    told = json.loads((GOLDEN / name).read_text())
    return Old(settings_of(tmp_path / "data", site__name=told["site"]), told)


def opened(settings: Settings):
    return open_node(settings, in_process=True)


async def check_all(node: Node, told: dict[str, Any]) -> None:
    """Every instance that is served comes back bit for bit."""
    for each in told["instances"]:
        if each["state"] == "CONFLICT":
            continue
        (found,) = await node.archive.holdings(each["study"], each["series"], each["instance"])
        assert found.transfer_syntax_uid == each["transfer_syntax"]
        file = await found.read(0, found.size_bytes)
        start = Part10Splitter().feed(file)
        assert start is not None
        data = file[start.dataset_offset :]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each["size_bytes"], each["sha256"])


async def store_new(node: Node) -> None:
    """Two instances that the folder has not had."""
    conversation = node.receiver.conversation(ORIGIN)
    for key in (NEW, (NEW[0], NEW[1], 2)):
        reception = conversation.begin(
            sop_class_uid=CT_IMAGE_STORAGE,
            sop_instance_uid=uids(*key)[2],
            transfer_syntax_uid=EXPLICIT_LITTLE,
        )
        reception.write(dataset(*key))
        await reception.finish()
    await conversation.close()


def count(told: dict[str, Any], *states: str) -> int:
    return sum(each["state"] in states for each in told["instances"])


def test_there_is_a_folder_of_a_release():
    assert FOLDERS


async def test_an_old_data_folder_gives_everything_back(old):
    async with opened(old.settings) as node:
        await check_all(node, old.told)
        status = node.status()
        states = {state: amount.instances for state, amount in status.states.items()}
        assert states["COMMITTED"] == count(old.told, "COMMITTED", "CONFLICT")
        assert states["RECEIVED"] == count(old.told, "RECEIVED")
        assert status.conflicts == count(old.told, "CONFLICT") > 0
        assert status.set_aside.instances == 0
        assert node.parts.ledger.size > old.told["ledger_entries"]
        assert node.parts.ledger.verify()


async def test_work_goes_on_in_an_old_data_folder(old):
    async with opened(old.settings) as node:
        await store_new(node)
        await node.drain(60)
    async with opened(old.settings) as node:
        status = node.status()
        assert status.states["COMMITTED"].instances == len(old.told["instances"]) + 2
        await check_all(node, old.told)
        (found,) = await node.archive.holdings(*uids(*NEW))
        assert (await found.read(0, found.size_bytes)).endswith(dataset(*NEW))
        for publisher in node.publishers:
            assert await publisher.check() > old.told["ledger_entries"]


async def test_an_old_data_folder_gives_everything_back_without_its_catalog(old):
    assert set_catalog_aside(old.settings) is not None  # the way back of docs/operations.md
    async with opened(old.settings) as node:
        await check_all(node, old.told)
        assert node.status().conflicts == count(old.told, "CONFLICT")
        assert len(node.catalog.packs(limit=99)) == old.told["packs"]
        await node.drain(60)
        assert node.status().states["COMMITTED"].instances == len(old.told["instances"])


async def test_the_copy_from_before_an_upgrade_is_a_way_back(old, tmp_path):
    data, before = old.settings.data_directory, tmp_path / "before"
    growing = ("packs", "cache", "bucket", "keyring", "ledger")
    shutil.copytree(data, before, ignore=shutil.ignore_patterns(*growing))
    async with opened(old.settings) as node:  # the newer version, say
        await store_new(node)
        await node.drain(60)
        for _ in range(2):
            await node.evict.round()
    data.rename(tmp_path / "newer")
    shutil.copytree(before, data)
    for name in growing:
        shutil.copytree(tmp_path / "newer" / name, data / name)
    async with opened(old.settings) as node:
        await check_all(node, old.told)
        (found,) = await node.archive.holdings(*uids(*NEW))
        assert (await found.read(0, found.size_bytes)).endswith(dataset(*NEW))
        await node.drain(60)
        status = node.status()
        assert status.states["COMMITTED"].instances == len(old.told["instances"]) + 2
        assert [each for each in status.warnings if "disk" not in each] == []


async def test_an_old_bucket_gives_back_what_was_committed(old):
    for lost in ("packs", "spool", "ledger"):
        shutil.rmtree(old.settings.data_directory / lost)
    set_catalog_aside(old.settings)
    committed = [each for each in old.told["instances"] if each["state"] != "RECEIVED"]
    async with opened(old.settings) as node:
        await check_all(node, old.told | {"instances": committed})


async def test_the_folder_of_a_newer_program_is_refused(old):
    folder = Folder(old.settings.data_directory)
    newer = msgspec.structs.replace(read_mark(folder), format=FORMAT + 1)
    write_mark(folder, newer, disk=Disk())
    with pytest.raises(NewerFolderError):
        async with opened(old.settings):
            pass

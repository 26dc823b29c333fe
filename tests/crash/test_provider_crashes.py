"""The directory provider, stopped before and after every durable step."""

import asyncio
import hashlib
import itertools
from pathlib import Path

import pytest

from crash.crashing_disk import Crash, CrashingDisk, When
from fileroom.disk import Disk
from fileroom.provider.directory import DirectoryProvider
from fileroom.provider.port import Call, FailureDomain, Lane, Put
from spool_parts import QuickDisk

CALL = Call(Lane.NEW, "test")
OBJECTS = {
    "keyring/aa/1-bb.json": b"key",
    "packs/aa/one": b"1" * 5000,
    "packs/aa/two": b"2" * 150_000,
    "packs/bb/three": b"",
}
CHECKPOINT = "ledger/site/checkpoint"


class Told:
    """What the provider answered."""

    def __init__(self) -> None:
        self.created: dict[str, bytes] = {}
        self.deleted = False
        self.checkpoint: bytes | None = None
        self.replacing: bytes | None = None


def opened(root: Path, disk: Disk) -> DirectoryProvider:
    return DirectoryProvider.open(
        root, name="d", domain=FailureDomain(), disk=disk, create=True, threads=1
    )


async def work(root: Path, disk: Disk, told: Told) -> None:
    provider = opened(root, disk)
    try:
        for name, data in OBJECTS.items():
            digest = hashlib.sha256(data).digest()
            put = await provider.put_if_absent(name, data, sha256=digest, call=CALL)
            assert put is Put.CREATED
            told.created[name] = data
        for checkpoint in (b"one", b"another"):
            told.replacing = checkpoint
            await provider.replace(CHECKPOINT, checkpoint, call=CALL)
            told.checkpoint = checkpoint
        del told.created["packs/aa/one"]
        await provider.delete_object("packs/aa/one", call=CALL)
        told.deleted = True
    finally:
        provider.close()


async def check(root: Path, told: Told) -> None:
    provider = opened(root, QuickDisk())
    found = {
        each.name: await provider.get(each.name, 0, 1 << 30, call=CALL)
        async for each in provider.list("", call=CALL)
    }
    assert told.created.items() <= found.items()
    checkpoint = found.pop(CHECKPOINT, None)
    assert checkpoint in (told.checkpoint, told.replacing)
    assert found.items() <= OBJECTS.items()  # all of them whole
    assert not told.deleted or "packs/aa/one" not in found
    for name, data in OBJECTS.items():
        digest = hashlib.sha256(data).digest()
        put = await provider.put_if_absent(name, data, sha256=digest, call=CALL)
        assert put is (Put.EXISTED if name in found else Put.CREATED)
    provider.close()
    assert list((root / ".incoming").iterdir()) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_told_to_be_there_is_there_whole_after_every_crash(
    when: When, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fileroom.provider.directory.BLOCK_BYTES", 64 * 1024)
    explored = 0
    for crash_at in itertools.count():
        folder = tmp_path / f"{crash_at}"
        disk = CrashingDisk(folder / "live", crash_at=crash_at, when=when)
        told = Told()
        try:
            asyncio.run(work(folder / "live" / "objects", disk, told))
        except Crash:
            assert disk.crashed
        for number, survival in enumerate(disk.survivals()):
            target = folder / f"{number}"
            disk.materialise(target, survival, untracked="leave out")
            try:
                asyncio.run(check(target / "objects", told))
            except BaseException as error:
                error.add_note(f"{when} step {crash_at} {disk.steps[-1]}; {survival}")
                raise
            explored += 1
        if not disk.crashed:
            break
    assert told.deleted
    assert explored > 100

"""A decision about what is shown, stopped before and after every durable step around it.

Whatever step is the last one: what somebody was told is hidden is hidden at the next start, and
what was restored is shown; of a decision that was not answered one or the other. A rejection note
whose storing was answered is followed to its end. With the catalog as it was, and with none.
"""

import asyncio
import shutil
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crash.crashing_disk import KILLED, CrashingDisk, Survival, When, unreported
from crash.test_node_crashes import (
    LOST,
    ORIGIN,
    STOPPED_S,
    Catalog,
    Key,
    Outcome,
    failing_with,
    prepared,
    read,
    store,
)
from fileroom.access.identity import of_address
from fileroom.catalog.rejections import Scope
from fileroom.dicom.uid import digest
from fileroom.disk import Disk
from fileroom.node.assemble import open_node
from fileroom.node.config import Settings
from fileroom.node.node import Node
from instances import EXPLICIT_LITTLE, uids
from nodes import PASSPHRASE, settings_of
from rejection_parts import KEY_OBJECT_SELECTION, data_set_of, note_of

SOMEBODY = of_address("127.0.0.1")
KEYS: list[Key] = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]
NOTED: list[Key] = [(1, 1, 1), (1, 2, 1)]


@dataclass
class Shown:
    """What people were told.

    Attributes:
        hidden: by instance, whether it is; None: a decision was not answered.
        noted: whether the storing of the rejection note was answered.
    """

    hidden: dict[Key, bool | None] = field(default_factory=dict)
    noted: bool = False
    outcome: Outcome = field(default_factory=Outcome)


async def decide(node: Node, told: Shown, *keys: Key, scope: Scope, hide: bool) -> None:
    told.hidden |= dict.fromkeys(keys, None)
    desk = node.decisions.rejections
    if hide:
        await desk.reject(scope, code="113001", reason="", who=SOMEBODY, channel="http")
    else:
        await desk.restore(scope, everything=False, reason="", who=SOMEBODY, channel="http")
    told.hidden |= dict.fromkeys(keys, hide)


async def store_note(node: Node, told: Shown) -> None:
    references: dict[tuple[str, str], list[str]] = {}
    for key in NOTED:
        study, series, instance = uids(*key)
        references.setdefault((study, series), []).append(instance)
    note = note_of(references)
    conversation = node.receiver.conversation(ORIGIN)
    reception = conversation.begin(
        sop_class_uid=KEY_OBJECT_SELECTION,
        sop_instance_uid=str(note.SOPInstanceUID),
        transfer_syntax_uid=EXPLICIT_LITTLE,
    )
    reception.write(data_set_of(note))
    told.hidden |= dict.fromkeys(NOTED, None)
    await reception.finish()
    told.noted = True
    await conversation.close()


async def follow(node: Node) -> None:
    await node.settled()
    for each in node.decisions.rounds:
        await each.work()


async def a_day(settings: Settings, disk: Disk, told: Shown) -> None:
    async with open_node(settings, disk=disk, in_process=True) as node:
        await store(node, told.outcome, KEYS, size_bytes=256)
        told.hidden |= dict.fromkeys(KEYS, False)
        await decide(node, told, KEYS[3], scope=Scope(uids(2, 1, 1)[0]), hide=True)
        await node.drain(STOPPED_S)
        await decide(node, told, KEYS[3], scope=Scope(uids(2, 1, 1)[0]), hide=False)
        second = Scope(*uids(1, 1, 2)[:2], (uids(1, 1, 2)[2],))
        await decide(node, told, KEYS[1], scope=second, hide=True)
        await store_note(node, told)
        await follow(node)
        told.hidden |= dict.fromkeys(NOTED, True)
        await node.drain(STOPPED_S)
        await node.evict.round()
        await node.evict.round()


def stopped_day(
    folder: Path, template: Path, *, crash_at: int | None, when: When
) -> tuple[CrashingDisk, Shown]:
    shutil.copytree(template, folder)
    disk, told = CrashingDisk(folder, crash_at=crash_at, when=when, foreign="catalog*"), Shown()
    with unreported():
        try:
            asyncio.run(asyncio.wait_for(a_day(settings_for(folder), disk, told), STOPPED_S))
        except BaseException:
            if not disk.crashed:
                raise
        disk.let_go()
    return disk, told


def settings_for(folder: Path) -> Settings:
    return settings_of(
        folder,
        local__packs_size_bytes="0",
        spool__segment_size_bytes=str(1 << 20),
        reject__notes="anyone",
    )


async def shows_what_was_told(folder: Path, told: Shown) -> None:
    async with open_node(settings_for(folder), in_process=True) as node:
        await follow(node)
        if told.noted:
            told.hidden |= dict.fromkeys(NOTED, True)
        for key, hidden in told.hidden.items():
            found = await node.archive.holdings(*uids(*key))
            if hidden is not None:
                assert bool(found) is not hidden, f"{key} hidden: {hidden}"
        for key in told.outcome.acknowledged:
            study, series, instance = uids(*key)
            kept = node.catalog.kept(study, [digest(instance)])
            assert kept[series] == {digest(instance)}, "what is hidden is kept"
        for rejection in node.catalog.rejections(limit=99):
            await node.decisions.rejections.restore(
                rejection.scope, everything=False, reason="", who=SOMEBODY, channel="http"
            )
        await node.drain(STOPPED_S)
    async with open_node(settings_for(folder), in_process=True) as node:
        await follow(node)
        assert node.catalog.rejections(limit=99) == [], "a note is followed once"
        for key, sent in told.outcome.acknowledged.items():
            assert (await read(node, key)).endswith(sent), f"{key} when it is restored"


def check(
    scratch: Path, disk: CrashingDisk, told: Shown, survival: Survival, catalog: Catalog
) -> None:
    target = scratch / "after"
    shutil.rmtree(target, ignore_errors=True)
    disk.materialise(target, survival, untracked=catalog)
    (target / "passphrase").write_text(PASSPHRASE + "\n")
    asyncio.run(shows_what_was_told(target, deepcopy(told)))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "data"
    prepared(folder)
    return folder


@pytest.fixture(scope="module")
def step_count(template: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    folder = tmp_path_factory.mktemp("whole") / "data"
    disk, told = stopped_day(folder, template, crash_at=None, when="before")
    assert told.hidden == {
        (1, 1, 1): True,
        (1, 1, 2): True,
        (1, 2, 1): True,
        (2, 1, 1): False,
    }
    return len(disk.steps)


def explore(
    scratch: Path, template: Path, steps: range, survivals: list[tuple[Survival, Catalog]]
) -> int:
    explored = 0
    for step in steps:
        for when in ("before", "after"):
            folder = scratch / "data"
            shutil.rmtree(folder, ignore_errors=True)
            disk, told = stopped_day(folder, template, crash_at=step, when=when)
            for survival, catalog in survivals:
                with failing_with(f"crash {when} step {step} ({disk.steps[-1]}), {survival}, "
                                  f"catalog: {catalog}"):  # fmt: skip
                    check(scratch, disk, told, survival, catalog)
                explored += 1
    return explored


ALL: list[tuple[Survival, Catalog]] = [
    (KILLED, "copy"),
    (KILLED, "leave out"),
    (LOST, "copy"),
    (LOST, "leave out"),
]


def test_what_somebody_was_told_is_hidden_is_hidden_after_any_crash(
    tmp_path, template, step_count, capsys
):
    every = 11  # the steps between are gone through by the slow test
    explored = explore(tmp_path, template, range(0, step_count, every), [ALL[0], ALL[3]])
    with capsys.disabled():
        print(f" [{explored} crash points, every {every} of {step_count} steps]", end="")


@pytest.mark.slow
def test_what_somebody_was_told_is_hidden_is_hidden_after_a_crash_at_every_step(
    tmp_path, template, step_count, capsys
):
    explored = explore(tmp_path, template, range(step_count), ALL)
    with capsys.disabled():
        print(f" [{explored} crash points of {step_count} steps]", end="")

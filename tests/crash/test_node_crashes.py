"""A whole node, stopped before and after every durable step, in the ways that can turn out.

One day of a node: instances arrive, are sealed, replicated, verified, committed, read, and
evicted; a duplicate and a conflict come, and somebody decides which of the two is served; the
sender asks for storage commitment; all goes on to another archive; the ledger is published.
Whatever step is the last one, the next start serves every instance that was acknowledged, bit for
bit, and brings it on to COMMITTED and to the other archive, serves what was decided, and tells the
sender of every commitment that it was promised; with the catalog as it was, and with none.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import msgspec
import pytest

from crash.crashing_disk import (
    KILLED,
    Crash,
    CrashingDisk,
    Names,
    Survival,
    Unsynced,
    When,
    unreported,
)
from fileroom.access.identity import of_address
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.dicom.commitment import Reference, Request, Result
from fileroom.dicom.uid import digest
from fileroom.disk import Disk
from fileroom.errors import TransientError
from fileroom.forward.outlet import Covered, Instance, Sent
from fileroom.keys.keyfile import KeyFile
from fileroom.keys.objects import SITE_KEY
from fileroom.node.assemble import open_node
from fileroom.node.config import PeerSettings, Settings
from fileroom.node.folder import Folder, make, read_mark
from fileroom.node.node import Node
from fileroom.node.settings import ForwardSettings
from fileroom.peer.delivery import Kind
from fileroom.policy.forwarding import Answer
from fileroom.spool.record import Origin
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, uids
from nodes import PASSPHRASE, settings_of

Key = tuple[int, int, int]
ORIGIN = Origin("dimse", "SENDER", "127.0.0.1", "c0ffee")
FIRST: list[Key] = [(1, 1, 1), (1, 1, 2), (1, 2, 1)]
SECOND: list[Key] = [(1, 1, 3), (2, 1, 1)]
LOST = Survival(Unsynced.DROPPED, Names.DROPPED)
TORN = Survival(Unsynced.FIRST_HALF, Names.KEPT)
STOPPED_S = 30.0
Catalog = Literal["copy", "leave out"]


@dataclass
class Outcome:
    """What the senders were told.

    Attributes:
        acknowledged: what has to be served.
        undecided: what may be served as well, since a decision was not answered.
        promised: Transaction UIDs of the commitments whose requests were taken.
        told: those of which the sender was told.
        forwarded: SOP Instance UIDs that the other archive said it has.
    """

    acknowledged: dict[Key, bytes] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    forwarded: set[str] = field(default_factory=set)
    undecided: dict[Key, bytes] = field(default_factory=dict)

    def served(self, key: Key) -> tuple[bytes, ...]:
        """What may come back: one or the other."""
        return (self.acknowledged[key], *([self.undecided[key]] if key in self.undecided else []))


async def store(
    node: Node, outcome: Outcome, keys: list[Key], *, size_bytes: int, data: bytes = b""
) -> None:
    """Store instances as made, or with these bytes in place of the made ones."""
    conversation = node.receiver.conversation(ORIGIN)
    for key in keys:
        sent = data or dataset(*key, size_bytes=size_bytes)
        reception = conversation.begin(
            sop_class_uid=CT_IMAGE_STORAGE,
            sop_instance_uid=uids(*key)[2],
            transfer_syntax_uid=EXPLICIT_LITTLE,
        )
        reception.write(sent)
        await reception.finish()
        outcome.acknowledged.setdefault(key, sent)
    await conversation.close()


async def promise(node: Node, outcome: Outcome, transaction_uid: str, keys: list[Key]) -> None:
    references = (Reference(CT_IMAGE_STORAGE, uids(*key)[2]) for key in keys)
    request = Request(transaction_uid, tuple(sorted(references)))
    await node.commitments.promise.ask(request, ae_title="SENDER", address="127.0.0.1")
    outcome.promised.add(transaction_uid)


async def tell(node: Node, outcome: Outcome) -> None:
    """One round of what decides on commitments and tells of them."""

    async def heard(host: str, port: int, result: Result, *, calling: str, called: str) -> int:
        assert called == "SENDER"
        digests = [digest(each.sop_instance_uid) for each in result.references]
        for held in node.catalog.whereabouts(digests).values():
            assert set(held.packed.values()) == {PackState.COMMITTED}
            assert not held.spooled
        assert set(result.reasons) == {None}
        outcome.told.add(result.transaction_uid)
        return 0

    sender = PeerSettings(ae_title="SENDER", host="127.0.0.1", port=104)
    known = msgspec.structs.replace(node.settings, peers={"sender": sender})
    node.commitments.reconfigured(known)
    with patch("fileroom.peer.commitment.tell", heard):
        for each in node.commitments.rounds:
            await each.work()
        await asyncio.gather(*node.commitments.report._busy.values())


class OtherArchive:
    """Stores what it is sent, which is on record by then."""

    address, channel = "PACS", "forward-fake"

    def __init__(self, node: Node, outcome: Outcome) -> None:
        self._node = node
        self._outcome = outcome

    async def prepare(self, kinds: Collection[Kind]) -> None: ...

    async def send(self, instance: Instance, covered: Covered) -> Sent:
        data = await instance.read(instance.dataset_offset, instance.size_bytes)
        assert data
        await covered()
        self._outcome.forwarded.add(instance.sop_instance_uid)
        return Sent(Answer.STORED)

    async def end(self) -> None: ...


async def forward(node: Node, outcome: Outcome) -> None:
    """One round of what sends on to the other archive, to its end."""
    pacs = PeerSettings(ae_title="PACS", host="127.0.0.1", port=104)
    known = msgspec.structs.replace(
        node.settings, peers={"pacs": pacs}, forward={"all": ForwardSettings(to="pacs")}
    )
    node.forwarding.reconfigured(known)
    with patch.object(node.forwarding.send, "_outlet", lambda name: OtherArchive(node, outcome)):
        for each in node.forwarding.rounds:
            await each.work()
        await asyncio.gather(*node.forwarding.send._busy.values())


async def serve_the_other(node: Node, outcome: Outcome, key: Key, data: bytes) -> None:
    """Have served what came second under a UID."""
    uid = uids(*key)[2]
    first, second = (await node.decisions.conflicts.show(uid)).data_sets
    assert (first.is_served, second.is_served) == (True, False)
    outcome.undecided[key] = data
    await node.decisions.conflicts.settle(
        uid, second.sha256, who=of_address("127.0.0.1"), channel="http", reason="it is whole"
    )
    outcome.acknowledged[key] = outcome.undecided.pop(key)


async def a_day(settings: Settings, disk: Disk, outcome: Outcome) -> None:
    async with open_node(settings, disk=disk, in_process=True) as node:
        await forward(node, outcome)
        await store(node, outcome, FIRST, size_bytes=256)
        await promise(node, outcome, "1.7.1", FIRST)
        await node.drain(STOPPED_S)
        await tell(node, outcome)
        await forward(node, outcome)
        await store(node, outcome, [FIRST[0], *SECOND], size_bytes=256)
        await store(node, outcome, [FIRST[1]], size_bytes=512)  # other bytes under a known UID
        await promise(node, outcome, "1.7.2", FIRST + SECOND)
        await read(node, FIRST[0])
        await node.drain(STOPPED_S)
        await serve_the_other(node, outcome, FIRST[1], dataset(*FIRST[1], size_bytes=512))
        await forward(node, outcome)
        await node.evict.round()
        await node.evict.round()
        await read(node, FIRST[2])


async def read(node: Node, key: Key) -> bytes:
    study, series, instance = uids(*key)
    (found,) = await node.archive.holdings(study, series, instance)
    return await found.read(0, found.size_bytes)


def prepared(folder: Path) -> Settings:
    """A data folder with quick keys, made before the day begins."""
    settings = settings_of(
        folder, local__packs_size_bytes="0", spool__segment_size_bytes=str(1 << 20)
    )
    make(folder, KeyFile(PASSPHRASE, iterations=1), disk=Disk())
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    return settings


def stopped_day(folder: Path, template: Path, *, crash_at: int | None, when: When) -> (
    tuple[CrashingDisk, Outcome]
):  # fmt: skip
    shutil.copytree(template, folder)
    settings = settings_of(
        folder, local__packs_size_bytes="0", spool__segment_size_bytes=str(1 << 20)
    )
    disk, outcome = _disk(folder, crash_at, when), Outcome()
    with unreported():
        try:
            asyncio.run(asyncio.wait_for(a_day(settings, disk, outcome), STOPPED_S))
        except BaseException:
            if not disk.crashed:
                raise
        disk.let_go()
    return disk, outcome


def _disk(folder: Path, crash_at: int | None, when: When) -> CrashingDisk:
    return CrashingDisk(folder, crash_at=crash_at, when=when, foreign="catalog*")


async def next_start(folder: Path, outcome: Outcome) -> None:
    settings = settings_of(
        folder, local__packs_size_bytes="0", spool__segment_size_bytes=str(1 << 20)
    )
    async with open_node(settings, in_process=True) as node:
        await node.complete()
        for key in outcome.acknowledged:
            assert (await read(node, key)).endswith(outcome.served(key)), f"{key} after the start"
        await node.drain(STOPPED_S)
        await tell(node, outcome)
        assert outcome.told >= outcome.promised
        await forward(node, outcome)
        assert outcome.forwarded >= {uids(*key)[2] for key in outcome.acknowledged}
        assert node.catalog.forward_totals() == {}
        assert node.catalog.commitment_totals().oldest_ns is None
        states = {each.state for each in node.catalog.key_copies(SITE_KEY)}
        assert states <= {CopyState.VERIFIED}, "what is COMMITTED can be opened there"
        assert states or not node.catalog.packs(limit=1)
        await node.evict.round()
        for key in outcome.acknowledged:
            assert (await read(node, key)).endswith(outcome.served(key)), f"{key} after COMMITTED"


async def start_without_the_provider(folder: Path, outcome: Outcome) -> None:
    """Let the next start find no provider, and let it receive: what may be there, and a new one."""
    settings = settings_of(
        folder, local__packs_size_bytes="0", spool__segment_size_bytes=str(1 << 20)
    )
    (folder / "bucket").rename(folder / "away")
    async with open_node(settings, in_process=True) as node:
        await forward(node, outcome)
        await store(node, outcome, [FIRST[0], SECOND[0], (3, 1, 1)], size_bytes=256)
        await node.parts.intake.settled()
        with contextlib.suppress(TransientError):
            await node.seal.round(everything=True)
    (folder / "away").rename(folder / "bucket")


def starts_without_the_provider(folder: Path) -> bool:
    """One that was never met would be made in its place, and one may have the ledger that is not
    here."""
    return bool(read_mark(Folder(folder)).providers) and any((folder / "ledger").rglob("*.seg"))


def check(
    scratch: Path,
    disk: CrashingDisk,
    outcome: Outcome,
    survival: Survival,
    catalog: Catalog,
    *,
    away: bool = False,
) -> None:
    target = scratch / "after"
    shutil.rmtree(target, ignore_errors=True)
    disk.materialise(target, survival, untracked=catalog)
    (target / "passphrase").write_text(PASSPHRASE + "\n")
    told = Outcome(
        dict(outcome.acknowledged),
        undecided=outcome.undecided,
        forwarded=set(outcome.forwarded),
    )
    if away and starts_without_the_provider(target):
        asyncio.run(start_without_the_provider(target, told))
    asyncio.run(next_start(target, told))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "data"
    prepared(folder)
    return folder


@pytest.fixture(scope="module")
def step_count(template: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    folder = tmp_path_factory.mktemp("whole") / "data"
    disk, outcome = stopped_day(folder, template, crash_at=None, when="before")
    assert len(outcome.acknowledged) == len(FIRST) + len(SECOND)
    return len(disk.steps)


def explore(
    scratch: Path, template: Path, step_count: int, survivals: list[tuple[Survival, Catalog]], *,
    every: int = 1, away: bool = False,
) -> int:  # fmt: skip
    explored = 0
    for step in range(0, step_count, every):
        for when in ("before", "after"):
            folder = scratch / "data"
            shutil.rmtree(folder, ignore_errors=True)
            disk, outcome = stopped_day(folder, template, crash_at=step, when=when)
            for survival, catalog in survivals:
                with failing_with(f"crash {when} step {step} ({disk.steps[-1]}), {survival}, "
                                  f"catalog: {catalog}"):  # fmt: skip
                    check(scratch, disk, outcome, survival, catalog, away=away)
                explored += 1
    return explored


@contextlib.contextmanager
def failing_with(place: str):
    try:
        yield
    except (Exception, Crash) as error:
        raise AssertionError(place) from error


def test_a_killed_node_loses_nothing_that_it_acknowledged(tmp_path, template, step_count, capsys):
    explored = explore(tmp_path, template, step_count, [(KILLED, "copy")])
    with capsys.disabled():
        print(f" [{explored} crash points of {step_count} steps]", end="")


def test_a_crash_without_a_catalog_and_a_provider_loses_nothing_either(
    tmp_path, template, step_count, capsys
):
    every = 9  # the steps between differ in what is on this disk, which others go through
    survivals: list[tuple[Survival, Catalog]] = [(KILLED, "leave out"), (LOST, "leave out")]
    explored = explore(tmp_path, template, step_count, survivals, every=every, away=True)
    with capsys.disabled():
        print(f" [{explored} crash points, every {every} of {step_count} steps]", end="")


@pytest.mark.slow
@pytest.mark.parametrize("catalog", ["copy", "leave out"])
def test_a_loss_of_power_loses_nothing_that_was_acknowledged(
    catalog, tmp_path, template, step_count, capsys
):
    explored = explore(tmp_path, template, step_count, [(LOST, catalog), (TORN, catalog)])
    with capsys.disabled():
        print(f" [{explored} crash points of {step_count} steps]", end="")

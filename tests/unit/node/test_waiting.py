"""A node whose keys are locked: how often it asks, what it says meanwhile, how it gives way."""

import asyncio
import logging

import pytest

from fileroom.access.identity import of_address
from fileroom.audit.refusals import Refusal
from fileroom.clock import ManualClock
from fileroom.disk import Disk
from fileroom.errors import TransientError
from fileroom.keys.port import DamagedKeyError, KeysLockedError, WrongSecretError
from fileroom.node import health, metrics
from fileroom.node.config import load
from fileroom.node.waiting import WaitingNode
from fileroom.spool.record import Origin

MISSING = "keys locked: there is no passphrase"
WRONG = "keys locked: the passphrase does not open the site key"
INSTANCE = {
    "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
    "sop_instance_uid": "1.2.3",
    "transfer_syntax_uid": "1.2.840.10008.1.2.1",
}


class NapClock(ManualClock):
    """A clock that remembers for how long it was asked to sleep."""

    def __init__(self):
        super().__init__()
        self.naps_s = []

    async def sleep(self, duration_s):
        self.naps_s.append(duration_s)
        await super().sleep(duration_s)


class Port:
    """A key port that says what it is told to, and counts how often it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    def __call__(self):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Here:
    """A waiting node that asks `port` in a task of its own."""

    def __init__(self, folder, answer, **flags):
        keys = {"data.directory": str(folder), "site.name": "north", "spool.reserve_bytes": "0"}
        self.clock = NapClock()
        self.port = Port(answer)
        self.stop = asyncio.Event()
        self.node = WaitingNode(
            load(environment={}, overrides=keys | flags),
            "0a0b",
            clock=self.clock,
            disk=Disk(),
            why=MISSING,
        )
        self.keyring = asyncio.ensure_future(self.node.keyring(self.port, stop=self.stop))

    async def napping(self, count):
        """Return when it has gone to sleep for the `count`th time."""
        while len(self.clock.naps_s) < count:
            assert not self.keyring.done(), self.keyring
            await asyncio.sleep(0)

    async def wait_for(self, count):
        """Sleep to the end, until the port was asked `count` times and it sleeps again."""
        while self.port.asked < count:
            await self.napping(self.port.asked + 1)
            self.clock.advance(self.clock.naps_s[-1])
            await self.napping(self.port.asked + 2)


@pytest.fixture
async def here(tmp_path):
    found = Here(tmp_path, KeysLockedError(MISSING))
    yield found
    found.keyring.cancel()


async def test_it_asks_less_and_less_often_and_at_least_once_a_minute(here):
    await here.wait_for(6)
    assert here.clock.naps_s == [5, 10, 20, 40, 60, 60, 60]


async def test_a_longer_interval_than_a_minute_is_kept(tmp_path):
    here = Here(tmp_path, KeysLockedError(MISSING), **{"keys.retry_s": "600"})
    await here.wait_for(2)
    assert here.clock.naps_s == [600, 600, 600]
    here.keyring.cancel()


async def test_who_asks_for_it_does_not_wait_and_the_first_interval_counts_again(here):
    await here.wait_for(3)
    here.node.ask_now()
    await here.napping(5)
    assert here.port.asked == 4
    assert here.clock.naps_s == [5, 10, 20, 40, 5]


async def test_a_reason_is_told_once_and_again_to_who_asks(tmp_path, caplog):
    caplog.set_level("INFO", "fileroom")
    here = Here(tmp_path, KeysLockedError(MISSING))
    await here.wait_for(3)
    here.port.answer = WrongSecretError(WRONG)
    await here.wait_for(6)
    here.node.ask_now()
    await here.napping(8)
    here.port.answer = "the keyring"
    here.node.ask_now()
    assert await here.keyring == "the keyring"
    first, *later = [(each.levelno, each.getMessage()) for each in caplog.records]
    assert first == (logging.ERROR, f"{MISSING}; all work is refused, and it is asked for again")
    assert later == [
        (logging.ERROR, WRONG),
        (logging.ERROR, WRONG),
        (logging.INFO, "the keys are open"),
    ]


async def test_what_is_wrong_with_the_keyring_itself_is_not_waited_for(here):
    await here.napping(1)
    here.port.answer = DamagedKeyError("none of 1 site objects is whole")
    here.node.ask_now()
    with pytest.raises(DamagedKeyError):
        await here.keyring


async def test_a_node_that_is_told_to_end_ends_while_it_waits(here):
    await here.napping(1)
    here.stop.set()
    assert await here.keyring is None
    assert here.port.asked == 0


async def test_a_node_that_is_told_to_end_while_it_asks_does_not_begin(here):
    await here.napping(1)
    here.port.answer = "the keyring"
    here.node.ask_now()
    while not here.port.asked:
        await asyncio.sleep(0)
    here.stop.set()
    assert await here.keyring is None


async def test_the_status_has_what_is_known_and_no_zero_for_what_is_not(here):
    nobody = of_address("10.0.0.9", ae_title="NOBODY")
    for _ in range(2):
        here.node.note_refused(Refusal(nobody, "associate", "dimse", "no such caller"))
    here.node.note_refused(Refusal(nobody, "find", "http", "no grant says so"))
    here.clock.advance(2)
    status = here.node.status()
    assert health.healthz(status) == (503, {"status": "unavailable", "reasons": ["keys locked"]})
    told = health.document(status)
    assert told.keys().isdisjoint(health.FROM_CATALOG)
    assert (told["site"], told["node_id"], told["uptime_s"]) == ("north", "0a0b", 2)
    assert told["refused"] == {"no such caller": 2, "find: no grant says so": 1}
    assert told["warnings"] == [MISSING]
    assert told["disk_free_bytes"] > 0
    text = metrics.metrics(status).decode()
    assert "\nfileroom_keys_locked 1.0\n" in text
    assert "fileroom_instances" not in text
    assert "fileroom_oldest_uncommitted_seconds" not in text


async def test_once_the_keys_are_open_it_is_starting_and_no_more_locked(here):
    here.port.answer = "the keyring"
    here.node.ask_now()
    await here.keyring
    status = here.node.status()
    assert health.healthz(status)[1]["reasons"] == ["starting"]
    assert status.warnings == []
    assert "\nfileroom_keys_locked 0.0\n" in metrics.metrics(status).decode()
    with pytest.raises(TransientError, match="starting"):
        _ = here.node.service


class MemoryReceiver:
    """Keeps what was begun, and counts the conversations."""

    def __init__(self):
        self.origins, self.begun, self.closed = [], [], 0

    def conversation(self, origin):
        self.origins.append(origin)
        return self

    def begin(self, **instance):
        self.begun.append(instance)
        return "a reception"

    async def close(self):
        self.closed += 1


async def test_an_association_from_before_is_served_as_soon_as_the_node_is_there(here):
    origin = Origin("dimse", "SENDER", "127.0.0.1", "c1")
    early, never = here.node.conversation(origin), here.node.conversation(origin)
    for _ in range(2):
        with pytest.raises(TransientError, match="keys locked"):
            early.begin(**INSTANCE)
    receiver = MemoryReceiver()
    here.node.give_way(receiver)
    for _ in range(2):
        assert early.begin(**INSTANCE, head=b"p") == "a reception"
    assert receiver.begun == [{**INSTANCE, "head": b"p"}] * 2
    await early.close()
    await never.close()
    assert (receiver.origins, receiver.closed) == ([origin], 1)

"""kill -9 at random times while four senders run: what was acknowledged is served, bit for bit."""

import asyncio
import contextlib
import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fileroom.errors import FileroomError
from fileroom.peer.association import associate
from fileroom.wire import message
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, uids
from nodes import NodeProcess, Reached, made

SENDERS = 4
PIXEL_BYTES = 96 * 256
Key = tuple[int, int, int]


@dataclass
class Senders:
    """Four senders that note what was acknowledged to them."""

    reached: Reached
    round: int
    acknowledged: set[Key] = field(default_factory=set)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for sender in range(SENDERS):
            thread = threading.Thread(target=self._run, args=(sender,))
            thread.start()
            self.threads.append(thread)

    def join(self) -> None:
        for thread in self.threads:
            thread.join()

    def _run(self, sender: int) -> None:
        with contextlib.suppress(FileroomError, OSError):
            asyncio.run(self._send(sender))

    async def _send(self, sender: int) -> None:
        async with associate(
            *self.reached.dimse,
            calling=f"SENDER{sender}",
            called="FILEROOM",
            contexts=[(CT_IMAGE_STORAGE, (EXPLICIT_LITTLE,))],
            timeout_s=10,
        ) as association:
            (context,) = association.contexts.values()
            for number in range(9000):
                key = (self.round * SENDERS + sender, number // 40, number)
                command = message.store_request(
                    number % 0xFFFF + 1,
                    sop_class_uid=CT_IMAGE_STORAGE,
                    sop_instance_uid=uids(*key)[2],
                )
                body = dataset(*key, size_bytes=PIXEL_BYTES)
                answer = await association.ask(context.context_id, command, [body])
                if answer.number("Status") == 0:
                    self.acknowledged.add(key)


def lost(reached: Reached, acknowledged: set[Key]) -> list[Key]:
    """Acknowledged instances that are not served as they were sent."""
    missing = []
    for key in sorted(acknowledged):
        study, series, instance = uids(*key)
        code, body, _ = reached.get(
            f"/studies/{study}/series/{series}/instances/{instance}",
            "application/dicom; transfer-syntax=*",
        )
        if code != 200 or not body.endswith(dataset(*key, size_bytes=PIXEL_BYTES)):
            missing.append(key)
    return missing


def killed_again_and_again(data: Path, rounds: int, seed: int) -> int:
    """Kill a node `rounds` times and return how many instances were acknowledged meanwhile."""
    chance = random.Random(seed)
    settings = made(data, local__packs_size_bytes=str(1 << 20))
    acknowledged: set[Key] = set()
    for round_number in range(rounds):
        node = NodeProcess(settings)
        senders = Senders(node.reached, round_number)
        senders.start()
        time.sleep(chance.uniform(0.1, 5.0))
        node.kill()
        senders.join()
        acknowledged |= senders.acknowledged
        node = NodeProcess(settings)
        assert lost(node.reached, acknowledged) == [], f"seed {seed}, round {round_number}"
        if round_number % 2:
            node.kill()
        else:
            assert node.terminate() == 0
    node = NodeProcess(settings)
    node.reached.wait_committed()
    assert lost(node.reached, acknowledged) == [], f"seed {seed}, after COMMITTED"
    assert node.terminate() == 0
    return len(acknowledged)


def seed_of(offset: int) -> int:
    return int(os.environ.get("FILEROOM_TEST_SEED", "20261124")) + offset


def test_what_was_acknowledged_outlives_kill_9(tmp_path, capsys):
    count = killed_again_and_again(tmp_path / "data", rounds=3, seed=seed_of(0))
    assert count > 0
    with capsys.disabled():
        print(f" [{count} acknowledged, 0 lost in 3 kills]", end="")


@pytest.mark.slow
def test_what_was_acknowledged_outlives_many_kills(tmp_path, capsys):
    count = killed_again_and_again(tmp_path / "data", rounds=25, seed=seed_of(1))
    with capsys.disabled():
        print(f" [{count} acknowledged, 0 lost in 25 kills]", end="")

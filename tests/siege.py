"""A node in a process of its own, and an honest sender and reader that goes on whatever others do
to that node."""

import asyncio
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fileroom.peer.association import PeerAssociation, associate
from fileroom.wire import message
from instances import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, dataset, part10, uids
from nodes import WAIT_S, NodeProcess, Reached, made

STUDY = 4  # the honest sender's
PATIENCE_S = 120.0  # a machine may be slow; an answer that never comes is no answer
PAUSE_S = 0.02


def until(holds: Callable[[], bool], *, what: str) -> None:
    """Return once it holds."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(PAUSE_S)


class Honest(threading.Thread):
    """Stores an instance by each door, reads both back, again and again, over one association and
    one connection that it opened before anything happened.

    Attributes:
        rounds: how often all of that went well.
        failure: what did not, once something did not; then it has ended.
    """

    def __init__(self, reached: Reached) -> None:
        super().__init__(name="honest", daemon=True)
        self._reached = reached
        self._link = http.client.HTTPConnection(*reached.http, timeout=WAIT_S)
        self._ended = threading.Event()
        self.rounds = 0
        self.failure = ""

    def run(self) -> None:
        try:
            asyncio.run(self._go_on())
        except Exception as error:
            self.failure = f"after {self.rounds} rounds: {error!r}"

    def end(self) -> None:
        self._ended.set()
        self.join(WAIT_S)
        self._link.close()

    def goes_on(self) -> None:
        """Return when it has done all of its work once more."""
        wanted = self.rounds + 2  # the one that is under way may have begun before
        until(lambda: self.rounds >= wanted or bool(self.failure), what="the honest one waits")
        assert self.failure == ""

    async def _go_on(self) -> None:
        async with associate(
            *self._reached.dimse,
            calling="HONEST",
            called="FILEROOM",
            contexts=[(CT_IMAGE_STORAGE, (EXPLICIT_LITTLE,))],
            timeout_s=WAIT_S,
        ) as association:
            while not self._ended.is_set():
                await self._round(association, self.rounds)
                self.rounds += 1
                await asyncio.sleep(PAUSE_S)

    async def _round(self, association: PeerAssociation, number: int) -> None:
        for series in (0, 1):
            if series == 0:
                uid = uids(STUDY, series, number)[2]
                command = message.store_request(
                    number % 60_000 + 1, sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid=uid
                )
                answer = await association.ask(1, command, [dataset(STUDY, series, number)])
                assert answer.number("Status") == 0
            else:
                sent = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
                file = part10(STUDY, series, number)
                code, _ = await self._ask("POST", "/studies", sent, file)
                assert code == 200
        for series in (0, 1):
            path = "/studies/{}/series/{}/instances/{}".format(*uids(STUDY, series, number))
            code, file = await self._ask("GET", path, {"Accept": "application/dicom"})
            assert code == 200
            assert file.endswith(dataset(STUDY, series, number))
        code, _ = await self._ask("GET", f"/studies?StudyInstanceUID={uids(STUDY, 0, 0)[0]}", {})
        assert code == 200

    async def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[int, bytes]:
        return await asyncio.to_thread(self._asked, method, path, headers, body)

    def _asked(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        for is_last in (False, True):
            try:
                self._link.request(method, "/dicomweb" + path, body, headers)
                answer = self._link.getresponse()
                return answer.status, answer.read()
            except ConnectionError:
                # A connection that nobody used for a while may be closed; clients open another.
                self._link.close()
                if is_last:
                    raise
        raise AssertionError


def peak_bytes(pid: int) -> int:
    """The most physical memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(each for each in lines if each.startswith("VmHWM:")).split()[1]) << 10


def children(pid: int) -> list[int]:
    """The processes that a process has begun, and theirs."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            found += [child, *children(child)]
    return found


@dataclass
class Siege:
    """The node, and who works with it honestly."""

    node: NodeProcess
    honest: Honest

    @property
    def reached(self) -> Reached:
        return self.node.reached

    def refusals(self) -> dict[str, int]:
        """How often what was refused since the start, as status has it."""
        counts: dict[str, int] = self.reached.status()["refused"]
        return counts

    def worker_peak_bytes(self) -> int:
        """Of the process that builds packs; 0 while there is none."""
        return max(map(peak_bytes, children(self.node.process.pid)), default=0)

    def node_peak_bytes(self) -> int:
        return peak_bytes(self.node.process.pid)

    def log(self) -> str:
        return self.node.log.read_text(encoding="utf-8", errors="surrogateescape")


@contextmanager
def besieged(folder: Path, **settings: str) -> Iterator[Siege]:
    """A node that seals at once, and an honest one at work with it.

    Args:
        settings: variables such as `FILEROOM_DIMSE_IDLE_TIMEOUT_S="2"`.
    """
    node = NodeProcess(made(folder / "data", seal__quiet_s="0.3"), **settings)
    try:
        honest = Honest(node.reached)
        honest.start()
        try:
            honest.goes_on()
            yield Siege(node, honest)
        finally:
            honest.end()
        assert honest.failure == ""
    except BaseException:
        if node.process.poll() is None:
            node.kill()
        raise
    assert node.terminate() == 0

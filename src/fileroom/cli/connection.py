"""Finds the node of a data folder, or runs one for the time of a verb.

A verb that needs a node's data goes through the node's own door, so that access decisions, the
ledger and the stages are the same whether a node was running or not.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from fileroom.cli.client import NodeClient, NodeUnavailableError
from fileroom.cli.exit_codes import NotFoundError
from fileroom.cli.serving import quickest_loop
from fileroom.errors import PeerError, TransientError
from fileroom.node.config import Settings, load
from fileroom.node.health import CLOSED, RUNNING, Status
from fileroom.node.lock import holder

if TYPE_CHECKING:
    from fileroom.node.serving import Addresses

START_S = 120.0
STOP_S = 120.0


class NodeStartError(TransientError):
    """The node that a verb needed did not come up in time."""


@contextmanager
def node_of(settings: Settings) -> Iterator[NodeClient]:
    """The running node of the data folder, or one of our own on loopback for this while.

    Raises:
        LockedError: another verb works on the folder.
        NodeUnavailableError: the node's keys are locked, or it is starting.
        KeysLockedError, WrongSecretError: no node runs, and the keys do not open.
    """
    running = holder(settings.data_directory)
    if running is not None and running.http is not None:
        if running.state != RUNNING:
            raise NodeUnavailableError(f"the node cannot just now: {running.state}")
        client = NodeClient(*running.http, prefix=running.prefix)
        try:
            yield client
        finally:
            client.close()
        return
    with LocalNode(on_loopback(settings)) as node:
        client = NodeClient(*node.addresses.http)
        try:
            yield client
        finally:
            client.close()


def status_of(settings: Settings) -> Status:
    """The status of the data folder: of the running node, or of the folder that none serves.

    Raises:
        NotFoundError: there is no data folder.
        LockedError: another verb works on the folder.
        KeysLockedError, WrongSecretError: no node runs, and the keys do not open.
    """
    if not settings.data_directory.is_dir():
        raise NotFoundError(f"there is no data folder {settings.data_directory}")
    running = holder(settings.data_directory)
    if running is None or running.http is None:
        return asyncio.run(_closed_status(settings))
    client = NodeClient(*running.http, prefix=running.prefix)
    try:
        return msgspec.convert(client.status(), Status)
    except msgspec.ValidationError as error:
        raise PeerError(f"the node's status cannot be read: {error}") from error
    finally:
        client.close()


async def _closed_status(settings: Settings) -> Status:
    from fileroom.node.assemble import open_node

    async with open_node(settings, verb="status") as node:
        return msgspec.structs.replace(node.status(), state=CLOSED)


def on_loopback(settings: Settings) -> Settings:
    """The same node, reachable on free ports of this machine only."""
    flags = {
        "dimse.host": "127.0.0.1",
        "dimse.port": "0",
        "http.host": "127.0.0.1",
        "http.port": "0",
        "http.prefix": "",
    }
    source = settings.source
    return load(
        file=source.file, overrides={**source.overrides, **flags}, environment=source.environment
    )


class LocalNode:
    """A node that runs in a thread of this process until the `with` ends.

    Args:
        in_process: build packs in this process too, which a node of a few seconds gains by.
    """

    addresses: "Addresses"

    def __init__(self, settings: Settings, *, in_process: bool = False) -> None:
        self._settings = settings
        self._in_process = in_process
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> "LocalNode":
        self._thread.start()
        if not self._ready.wait(START_S):
            raise NodeStartError(f"the node was not ready after {START_S:.0f} s")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_S)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=quickest_loop()) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for us
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from fileroom.node.serving import run

        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await run(
            self._settings, ready=self._is_ready, stop=self._stop, in_process=self._in_process
        )

    def _is_ready(self, addresses: "Addresses") -> None:
        self.addresses = addresses
        self._ready.set()

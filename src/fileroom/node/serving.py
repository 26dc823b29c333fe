"""Runs a node behind its doors, from taking the data folder to its last round.

The doors open last and close first, but where the keys are locked: then they open before there is
a node, and stay open when it comes.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from fileroom.clock import SystemClock
from fileroom.disk import Disk
from fileroom.keys.keyring import Keyring
from fileroom.node.assemble import Held, hold, node_in, open_keyring
from fileroom.node.doors import Addresses, Behind, Doors
from fileroom.node.node import Node
from fileroom.node.reloading import SettingsInForce
from fileroom.node.settings import Settings
from fileroom.node.waiting import NOT_NOW, WaitingNode

__all__ = ["Addresses", "run"]


async def run(
    settings: Settings,
    *,
    ready: Callable[[Addresses], None] | None = None,
    told: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    in_process: bool = False,
    waits_for_keys: bool = False,
) -> None:
    """Serve until `stop` is set; then finish what is in flight and return.

    Args:
        ready: called once, when the doors are open.
        told: called with the state (as in `health.Status`) before that, and with each later one.
        in_process: as for `open_node`.
        waits_for_keys: whether locked keys are waited for behind open doors, or raised.

    Raises:
        as `open_node`; OSError where an address cannot be had.
    """
    stop = stop or asyncio.Event()
    disk = Disk()
    with hold(settings, verb="serve") as held:
        entrance = _Entrance(settings, held, ready=ready, told=told)
        ask = partial(open_keyring, settings, disk=disk)
        try:
            keyring = await entrance.keyring(ask, stop=stop, disk=disk, waits=waits_for_keys)
            if keyring is None:
                return
            async with node_in(held, settings, keyring, disk=disk, in_process=in_process) as node:
                try:
                    await entrance.lead_to(node)
                    node.start_rounds()
                    await stop.wait()
                finally:
                    await entrance.close()  # before the node, which they lead to
                    await node.stop_rounds()
        finally:
            await entrance.close()


class _Entrance:
    """The doors, and who is told of them."""

    def __init__(
        self,
        settings: Settings,
        held: Held,
        *,
        ready: Callable[[Addresses], None] | None,
        told: Callable[[str], None] | None,
    ) -> None:
        self._settings = settings
        self._held = held
        self._ready = ready
        self._told = told
        self._clock = SystemClock()
        self._doors: Doors | None = None
        self._waiting: WaitingNode | None = None

    async def keyring(
        self, ask: Callable[[], Keyring], *, stop: asyncio.Event, disk: Disk, waits: bool
    ) -> Keyring | None:
        """The keyring that `ask` gives, waited for behind open doors; None if `stop` came first."""
        try:
            return await asyncio.to_thread(ask)
        except NOT_NOW as error:
            if not waits:
                raise
            waiting = self._waiting = WaitingNode(
                self._settings,
                self._held.mark.node_id,
                clock=self._clock,
                disk=disk,
                why=str(error),
            )
        doors = await self._open(waiting)
        keyring = await waiting.keyring(ask, stop=stop)
        if keyring is not None:
            doors.announce()
            self._tell(waiting)
        return keyring

    async def lead_to(self, node: Node) -> None:
        """Have the doors lead to the node; they are opened unless they are open."""
        if self._doors is None:
            await self._open(node)
            return
        self._doors.lead_to(node)
        if self._waiting is not None:
            self._waiting.give_way(node.receiver)
        self._tell(node)

    async def close(self) -> None:
        """Close the doors, if they are open."""
        if self._doors is not None:
            doors, self._doors = self._doors, None
            await doors.close()

    async def _open(self, behind: Behind) -> Doors:
        doors = self._doors = Doors(behind, lock=self._held.lock, clock=self._clock)
        addresses = await doors.open()
        settings = SettingsInForce(self._settings, apply=doors.apply)
        settings.reload_at_sighup(then=self._waiting.ask_now if self._waiting else None)
        self._tell(behind)
        if self._ready is not None:
            self._ready(addresses)
        return doors

    def _tell(self, behind: Behind) -> None:
        if self._told is not None:
            self._told(behind.state)

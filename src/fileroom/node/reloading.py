"""SIGHUP: the settings are read again, and a running node takes over what it can."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable

from fileroom.node import logs
from fileroom.node.config import ConfigError, Settings, reload

log = logging.getLogger(__name__)


class SettingsInForce:
    """The settings that a running node works by.

    Args:
        apply: takes over the live keys of new settings; called on the event loop.
    """

    def __init__(self, settings: Settings, *, apply: Callable[[Settings], None]) -> None:
        self.settings = settings
        self._apply = apply

    def reload(self) -> None:
        """Read the same places again. Wrong settings change nothing; the log says why."""
        try:
            fresh = reload(self.settings)
        except ConfigError as error:
            log.error("the settings stay as they are: %s", error)
            return
        self.settings = fresh.settings
        self._apply(fresh.settings)
        logs.set_level(fresh.settings.log.level)
        for key in fresh.changed:
            log.info("%s has a new value", key)
        for key in fresh.restart:
            log.warning("%s has a new value, which waits for a restart", key)
        if not fresh.changed and not fresh.restart:
            log.info("the settings are as they were")

    def reload_at_sighup(self, *, then: Callable[[], None] | None = None) -> None:
        """Do so, and `then`, at every SIGHUP from now on; in another thread than the main one,
        at none."""

        def at_sighup() -> None:
            self.reload()
            if then is not None:
                then()

        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, at_sighup)

"""The flags that many verbs share, and how they become settings."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fileroom.node.config import ConfigError, Settings, find_file, load


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Shared:
    """Which node a verb means, and how it answers."""

    config: Annotated[
        Path | None, Parameter(help="The settings file. See docs/settings.md for where else.")
    ] = None
    data: Annotated[Path | None, Parameter(help="The data folder; wins over the file.")] = None
    json: Annotated[
        bool, Parameter(help="Answer with one JSON document.", negative="", show_default=False)
    ] = False

    def settings(self, **overrides: str | None) -> Settings:
        """Read the settings; an override is named `table__key`, and None is none.

        Raises:
            fileroom.node.config.ConfigError: they cannot be used.
        """
        flags = {
            name.replace("__", ".", 1): text for name, text in overrides.items() if text is not None
        }
        if self.data is not None:
            flags["data.directory"] = str(self.data)
        file = find_file(
            config=str(self.config) if self.config else None,
            data=str(self.data) if self.data else None,
            environment=os.environ,
        )
        return load(file=file, overrides=flags)


SHARED = Shared()


def split_address(text: str, *, flag: str) -> tuple[str, str]:
    """HOST:PORT, [::1]:PORT or :PORT as (host, port); an absent host is 127.0.0.1.

    Raises:
        fileroom.node.config.ConfigError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not colon or not port.isdigit() or bare_ipv6:
        raise ConfigError([f"{flag} wants HOST:PORT, or [ADDRESS]:PORT for IPv6"])
    return host.strip("[]") or "127.0.0.1", port

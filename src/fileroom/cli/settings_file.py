"""Writes settings files: a new one with every key explained, or a peer at the end of one."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fileroom.node.config import PeerSettings, Settings, load, meta_of, sections
from fileroom.node.settings import Section

HEAD = """\
# Settings of a Fileroom node. docs/settings.md explains them, and how variables and flags win
# over this file. A line that is commented out shows the default.
"""


def text_of(settings: Settings, *, relative_to: Path) -> str:
    """The file that gives these settings: what differs from the defaults, and the rest as comment.

    Paths below `relative_to`, the folder that the file will lie in, are written relative to it.
    """
    return "\n".join([HEAD, *_tables(settings, relative_to)])


def write_new(path: Path, text: str) -> None:
    """Create a settings file, readable by its owner. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def append_peer(path: Path, name: str, peer: PeerSettings) -> None:
    """Put a [peers.NAME] table at the end of a settings file, whole or not at all."""
    before = path.read_text(encoding="utf-8") if path.exists() else HEAD
    lines = [f"[peers.{name}]", *(f"{key} = {value}" for key, value in _values(peer))]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write_new(temporary, before.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n")
    try:
        load(file=str(temporary), environment={})
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink()
        raise


def _tables(settings: Settings, folder: Path) -> Iterator[str]:
    named: dict[str, Mapping[str, Section]] = {
        table: getattr(settings, table) for table in Settings.NAMED
    }
    defaults = msgspec.to_builtins(Settings())
    for table, struct in sections():
        first = (struct.__doc__ or "").splitlines()[0]
        if not table.endswith(".NAME"):
            now = getattr(settings, table)
            yield f"# {first}\n[{table}]"
            for key, value in _values(now, folder):
                standing = defaults[table][key] != getattr(now, key)
                yield f"# {meta_of(struct, key).description}"
                yield f"{'' if standing else '# '}{key} = {value}"
            yield ""
            continue
        for name, each in named[table.removesuffix(".NAME")].items():
            yield f"[{table.removesuffix('NAME')}{name}]"
            yield from (f"{key} = {value}" for key, value in _values(each, folder) if value != '""')
            yield ""


def _values(section: Section, folder: Path | None = None) -> Iterator[tuple[str, str]]:
    for key, value in msgspec.structs.asdict(section).items():
        yield key, _toml(_shorter(value, folder))


def _shorter(value: Any, folder: Path | None) -> Any:
    if folder and isinstance(value, str) and value.startswith("/"):
        inside = Path(value).is_relative_to(folder)
        return str(Path(value).relative_to(folder)) if inside else value
    return value


def _toml(value: Any) -> str:
    """A TOML value; JSON's strings, numbers and arrays are TOML's too."""
    return json.dumps(value, ensure_ascii=False)

"""Says what is wrong with this machine for this archive: `fileroom doctor`.

Looks only; nothing is changed but a small file that measures durable writes and is removed.
"""

import importlib.metadata
import ipaddress
import os
import platform
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fileroom import __version__
from fileroom.disk import Disk
from fileroom.errors import FileroomError
from fileroom.keys.port import KeysLockedError
from fileroom.node.assemble import open_keyring
from fileroom.node.config import PASSPHRASE_NAME, Settings
from fileroom.node.folder import Folder, read_mark
from fileroom.node.health import KEYS_LOCKED
from fileroom.node.lock import Holder, holder
from fileroom.node.machine import (
    LEVELS,
    Finding,
    Level,
    clock_findings,
    disk_findings,
    encryption_finding,
    limits_finding,
    port_finding,
    swap_finding,
)

LIBRARIES = ("apsw-sqlite3mc", "cryptography", "pydicom", "uvicorn", "msgspec")


def examine(settings: Settings) -> list[Finding]:
    """Every finding, in the order of the report."""
    wall_s, monotonic_s = time.time(), time.monotonic()
    folder = _existing(settings.data_directory)
    running = holder(settings.data_directory)
    pid = running.pid if running else None
    findings = [
        *_versions(),
        *_data_folder(settings),
        *_passphrase(settings),
        *_keys(settings, running),
        *disk_findings(folder, reserve_bytes=settings.spool.reserve_bytes),
        encryption_finding(folder),
        swap_finding(),
        *_providers(settings),
        limits_finding(),
        port_finding("DICOM port", settings.dimse.host, settings.dimse.port, ours=pid),
        port_finding("web port", settings.http.host, settings.http.port, ours=pid),
        *_reach(settings),
    ]
    return findings + list(clock_findings(wall_s=wall_s, monotonic_s=monotonic_s))


def worst(findings: list[Finding]) -> Level:
    """The gravest level among them."""
    return max((each.level for each in findings), key=LEVELS.index, default="ok")


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def _versions() -> Iterator[Finding]:
    told = ".".join(map(str, sys.version_info[:3]))
    level: Level = "ok" if (3, 11) <= sys.version_info[:2] <= (3, 13) else "warning"
    text = f"fileroom {__version__}, Python {told}, {platform.system()} {platform.release()}"
    yield Finding(check="versions", level=level, text=text)
    installed, missing = [], []
    for name in LIBRARIES:
        try:
            installed.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        text = f"not installed: {', '.join(missing)}"
        yield Finding(check="libraries", level="error", text=text)
        return
    yield Finding(check="libraries", level="ok", text=", ".join(installed))
    from cryptography.hazmat.backends.openssl import backend

    fips = "its FIPS provider" if getattr(backend, "_fips_enabled", False) else "no FIPS provider"
    yield Finding(check="openssl", level="ok", text=f"{backend.openssl_version_text()}, {fips}")


def _data_folder(settings: Settings) -> Iterator[Finding]:
    path = settings.data_directory
    if not path.is_dir():
        text = f"{path} is not there; `fileroom init` or `fileroom serve` makes it"
        yield Finding(check="data folder", level="note", text=text)
        return
    status = path.stat()
    if status.st_uid != os.geteuid():
        text = f"{path} belongs to user {status.st_uid}, and we are user {os.geteuid()}"
        yield Finding(check="data folder", level="warning", text=text)
    open_to = stat.S_IMODE(status.st_mode) & 0o077
    if open_to:
        text = f"{path} has mode {stat.S_IMODE(status.st_mode):04o}; others may look: chmod 700"
        yield Finding(check="data folder", level="warning", text=text)
    if status.st_uid == os.geteuid() and not open_to:
        yield Finding(check="data folder", level="ok", text=str(path))
    yield from _format(path)
    running = holder(path)
    if running:
        text = f"process {running.pid} ({running.verb}) works on it"
        yield Finding(check="data folder lock", level="ok", text=text)


def _format(path: Path) -> Iterator[Finding]:
    """Whether this program may work on the folder; says nothing of one without a mark."""
    folder = Folder(path)
    if not folder.mark.exists():
        return
    try:
        mark = read_mark(folder)
    except FileroomError as error:
        yield Finding(check="data folder format", level="error", text=str(error))
        return
    text = f"format {mark.format}, made by {mark.writer}"
    yield Finding(check="data folder format", level="ok", text=text)


def _passphrase(settings: Settings) -> Iterator[Finding]:
    check = "passphrase"
    if settings.keys.passphrase_file:
        path = Path(settings.keys.passphrase_file)
    elif "CREDENTIALS_DIRECTORY" in os.environ:
        path = Path(os.environ["CREDENTIALS_DIRECTORY"]) / settings.keys.credential
    else:
        path = settings.data_directory / PASSPHRASE_NAME
    if not path.is_file():
        level: Level = "error" if settings.keys.passphrase_file else "note"
        yield Finding(check=check, level=level, text=f"{path} is not there")
        return
    status = path.stat()
    if stat.S_IMODE(status.st_mode) & 0o077:
        text = f"{path} has mode {stat.S_IMODE(status.st_mode):04o}; others may read it: chmod 600"
        yield Finding(check=check, level="error", text=text)
    if settings.data_directory in path.parents:
        text = "it lies in the data folder: who takes that folder can open it"
        yield Finding(check=check, level="warning", text=text)
    else:
        yield Finding(check=check, level="ok", text=f"{path}, apart from the data folder")


def _keys(settings: Settings, running: Holder | None) -> Iterator[Finding]:
    """Whether the site key opens; says nothing of a folder that has no keys yet."""
    if not Folder(settings.data_directory).keyring.is_dir():
        return
    try:
        open_keyring(settings, disk=Disk())
    except OSError as error:
        text = f"the keyring cannot be read: {error.strerror}"
        yield Finding(check="keys", level="error", text=text)
    except FileroomError as error:
        # A credential is its service's alone: without it only the node knows.
        apart = isinstance(error, KeysLockedError) and not settings.keys.passphrase_file
        is_locked = running is not None and running.state == KEYS_LOCKED
        level: Level = "warning" if apart and not is_locked else "error"
        text = (
            f"{error}; the service's credential cannot be seen from here" if apart else str(error)
        )
        yield Finding(check="keys", level=level, text=text)
    else:
        yield Finding(check="keys", level="ok", text="the passphrase opens the site key")


def _providers(settings: Settings) -> Iterator[Finding]:
    ours = _existing(settings.data_directory).stat().st_dev
    met = _providers_met(settings)
    elsewhere = 0
    for name, provider in settings.providers_in_use.items():
        check = f"provider {name}"
        path = _existing(Path(provider.path))
        elsewhere += path.stat().st_dev != ours
        if name in met and _is_empty(Path(provider.path)):
            text = f"{provider.path} does not hold the copies any more; is its disk mounted?"
            yield Finding(check=check, level="error", text=text)
        elif not os.access(path, os.W_OK | os.X_OK):
            yield Finding(check=check, level="error", text=f"{path} cannot be written")
        else:
            text = provider.path if path == Path(provider.path) else f"{provider.path}, to be made"
            yield Finding(check=check, level="ok", text=text)
    if not elsewhere:
        text = "one copy, same disk" if len(settings.providers_in_use) == 1 else "all on one disk"
        yield Finding(check="copies", level="warning", text=text)


def _is_empty(path: Path) -> bool:
    try:
        return not any(path.iterdir())
    except PermissionError:
        return False
    except OSError:
        return True  # not there, or no folder


def _providers_met(settings: Settings) -> tuple[str, ...]:
    """Names of the providers that this data folder has put copies to, or may have."""
    try:
        return read_mark(Folder(settings.data_directory)).providers
    except FileroomError:
        return ()  # told by the check of the folder itself


def _reach(settings: Settings) -> Iterator[Finding]:
    """A door that others can reach, while only this machine is allowed in."""
    for check, host in (("DICOM reach", settings.dimse.host), ("web reach", settings.http.host)):
        if not is_loopback(host):
            text = f"{host} is open to other machines, which are refused: only this one is allowed"
            yield Finding(check=check, level="note", text=text)


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

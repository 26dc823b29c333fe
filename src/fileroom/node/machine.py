"""What can be seen of the machine under a node: clock, disk, volume encryption, swap, ports.

Reads /proc and /sys and asks `timedatectl`; where something cannot be seen, it says so.
"""

import errno
import os
import resource
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from fileroom.disk import Disk, SyncError

Level = Literal["ok", "note", "warning", "error"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "error")
SYNC_ROUNDS = 20
SYNC_SLOW_S = 0.02
SYNC_SUSPICIOUS_S = 0.00005
OPEN_FILES_MIN = 4096
REMOTE_OR_VOLATILE = {"tmpfs", "ramfs", "nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}


class Finding(msgspec.Struct, kw_only=True, frozen=True):
    """One answer of the doctor. "note": fine, or it cannot be told, and the text says which."""

    check: str
    level: Level
    text: str


def clock_findings(*, wall_s: float, monotonic_s: float) -> Iterator[Finding]:
    """The clock since `wall_s` and `monotonic_s` were read, and whether it is kept in time."""
    drift_s = (time.time() - wall_s) - (time.monotonic() - monotonic_s)
    level: Level = "ok" if abs(drift_s) < 0.1 else "warning"
    yield Finding(check="clock steps", level=level, text=f"wall against monotonic {drift_s:+.3f} s")
    year = time.gmtime().tm_year
    if not 2025 <= year < 2100:
        yield Finding(check="clock date", level="error", text=f"the year is {year}")
    told = _run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if told is None:
        yield Finding(check="clock sync", level="note", text="cannot tell: timedatectl is silent")
    elif told == "yes":
        yield Finding(check="clock sync", level="ok", text="kept in time over the network")
    else:
        yield Finding(check="clock sync", level="warning", text="not kept in time by NTP")


def disk_findings(path: Path, *, reserve_bytes: int) -> Iterator[Finding]:
    """Room, kind of file system and speed of durable writes under the existing folder `path`."""
    status = os.statvfs(path)
    free_bytes = status.f_bavail * status.f_frsize
    level: Level = "ok"
    if free_bytes < reserve_bytes:
        level = "error"
    elif free_bytes < 2 * reserve_bytes:
        level = "warning"
    text = f"{free_bytes / 1e9:.1f} GB free, new work is refused below {reserve_bytes / 1e9:.1f} GB"
    yield Finding(check="disk space", level=level, text=text)
    if status.f_files and status.f_favail < 10_000:
        yield Finding(check="disk files", level="warning", text=f"{status.f_favail} inodes free")
    kind = (_mount_of(path) or ("unknown", ""))[0]
    odd = kind in REMOTE_OR_VOLATILE
    text = f"{kind}: lost at power-off or dependent on a network" if odd else kind
    yield Finding(check="file system", level="warning" if odd else "ok", text=text)
    yield _sync_finding(path)


def _sync_finding(path: Path) -> Finding:
    disk = Disk()
    probe = path / f"doctor-{os.getpid()}.tmp"
    took_s = []
    try:
        descriptor = disk.create(probe)
    except OSError as error:
        text = f"cannot create a file: errno {error.errno}"
        return Finding(check="durable writes", level="error", text=text)
    try:
        for number in range(SYNC_ROUNDS):
            started_s = time.monotonic()
            disk.write(descriptor, [bytes(4096)], number * 4096)
            disk.sync(descriptor)
            took_s.append(time.monotonic() - started_s)
    except (OSError, SyncError) as error:
        return Finding(check="durable writes", level="error", text=str(error))
    finally:
        disk.close(descriptor)
        disk.unlink(probe)
    middle_s = statistics.median(took_s)
    text = f"4 KiB with fdatasync: median {middle_s * 1e3:.2f} ms, worst {max(took_s) * 1e3:.2f} ms"
    if middle_s > SYNC_SLOW_S:
        return Finding(check="durable writes", level="warning", text=f"{text}: slow")
    if middle_s < SYNC_SUSPICIOUS_S:
        text += "; quicker than a disk: does it wait for the medium?"
        return Finding(check="durable writes", level="note", text=text)
    return Finding(check="durable writes", level="ok", text=text)


def encryption_finding(path: Path, *, check: str = "volume encryption") -> Finding:
    """Whether the block device under `path` is a dm-crypt one, as far as the kernel shows it."""
    device = _block_device(path)
    if device is None:
        text = "cannot tell: no block device is visible under this folder"
    elif _is_encrypted(device):
        return Finding(check=check, level="ok", text="dm-crypt")
    else:
        text = "no dm-crypt; a disk or cloud that encrypts by itself cannot be seen from here"
    return Finding(check=check, level="note", text=text)


def swap_finding() -> Finding:
    """Memory holds images in clear, so swap on a plain device writes them there."""
    try:
        lines = Path("/proc/swaps").read_text().splitlines()[1:]
    except OSError:
        return Finding(check="swap", level="note", text="cannot tell: no /proc/swaps")
    plain = 0
    for line in lines:
        place = Path(line.split()[0])
        device = _device_by_node(place) if place.is_block_device() else _block_device(place)
        plain += not line.startswith("/dev/zram") and (device is None or not _is_encrypted(device))
    if plain:
        text = f"{plain} of {len(lines)} swap areas are not visibly encrypted"
        return Finding(check="swap", level="warning", text=text)
    return Finding(check="swap", level="ok", text="encrypted or in memory" if lines else "none")


def limits_finding() -> Finding:
    """Open files: every association, connection, segment and pack takes one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    level: Level = "ok" if soft >= OPEN_FILES_MIN else "warning"
    text = f"{soft} open files at most" + ("" if level == "ok" else "; raise LimitNOFILE")
    return Finding(check="limits", level=level, text=text)


def port_finding(check: str, host: str, port: int, *, ours: int | None) -> Finding:
    """Whether `host`:`port` can be listened on; `ours` is the pid of this archive's own node."""
    if port == 0:
        return Finding(check=check, level="ok", text="a free port is taken at start")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _held_finding(check, port, ours=ours)
        hints = {
            errno.EACCES: "not allowed; a port below 1024 needs CAP_NET_BIND_SERVICE",
            errno.EADDRNOTAVAIL: f"{host} is not an address of this machine",
        }
        text = hints.get(error.errno or 0, f"cannot listen: {error.strerror}")
        return Finding(check=check, level="error", text=text)
    return Finding(check=check, level="ok", text=f"{port} is free")


def _held_finding(check: str, port: int, *, ours: int | None) -> Finding:
    if ours is not None and port in _ports_of(ours):
        return Finding(check=check, level="ok", text=f"{port} is held by this archive's own node")
    pid = _holder_of(port)
    who = f"process {pid} ({_name_of(pid)})" if pid else "a process that we may not look at"
    return Finding(check=check, level="error", text=f"{port} is held by {who}")


def _listening() -> Iterator[tuple[int, str]]:
    """(port, socket inode) of everything that listens here."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == "0A":  # TCP_LISTEN
                yield int(words[1].rpartition(":")[2], 16), words[9]


def _sockets_of(pid: int) -> set[str]:
    inodes = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        pass  # gone, or another user's: what we saw until then is the answer
    return inodes


def _ports_of(pid: int) -> set[int]:
    sockets = _sockets_of(pid)
    return {port for port, inode in _listening() if inode in sockets}


def _holder_of(port: int) -> int | None:
    inodes = {inode for each, inode in _listening() if each == port}
    pids = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return next((pid for pid in pids if _sockets_of(pid) & inodes), None)


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "unknown"


def _mount_of(path: Path) -> tuple[str, str] | None:
    """(file system type, source) of the mount that holds `path`, from /proc/self/mountinfo."""
    wanted = str(path.resolve())
    best: tuple[int, str, str] | None = None
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        inside = point == "/" or wanted == point or wanted.startswith(point + "/")
        if inside and (best is None or len(point) >= best[0]):
            kind, source = right.split()[:2]
            best = (len(point), kind, source)
    return best[1:] if best else None


def _block_device(path: Path) -> Path | None:
    """The folder below /sys of the block device under `path`; None if there is none to see."""
    device = path.stat().st_dev
    if os.major(device):
        return _sysfs(device)
    mount = _mount_of(path)  # btrfs and the like have a number of their own; ask for the source
    source = Path(mount[1]) if mount else Path()
    return _device_by_node(source) if source.is_block_device() else None


def _device_by_node(node: Path) -> Path | None:
    return _sysfs(node.stat().st_rdev)


def _sysfs(device: int) -> Path | None:
    folder = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    return folder.resolve() if folder.exists() else None


def _is_encrypted(device: Path) -> bool:
    """Whether the device, or every device that it is made of, is a dm-crypt one."""
    uuid = device / "dm" / "uuid"
    if uuid.is_file() and uuid.read_text().startswith("CRYPT-"):
        return True
    below = [each.resolve() for each in (device / "slaves").glob("*")]
    return bool(below) and all(_is_encrypted(each) for each in below)


def _run(*command: str) -> str | None:
    """Standard output of a short command; None if it is not there, fails or takes 3 s."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, nothing of a data set or a user
            [program, *command[1:]], capture_output=True, text=True, timeout=3, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

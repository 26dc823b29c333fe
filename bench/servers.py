"""The servers under the benchmark: started alone, watched (CPU, memory), stopped.

CPU is user and system time of the process and all its descendants; memory is the peak of the
summed PSS of the same processes, sampled five times a second.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
BYTECODE = Path(__file__).parent / "out" / "bytecode"
# Python's modules compiled, as they are where a program is installed, whatever starts the bench.
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1", "PYTHONPYCACHEPREFIX": str(BYTECODE)}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> list[int]:
    found, queue = [], [pid]
    while queue:
        each = queue.pop()
        found.append(each)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                queue += map(int, (task / "children").read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """User and system seconds of `pid` and its descendants, those already reaped included."""
    ticks = 0
    for each in descendants(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
            ticks += int(fields[13]) + int(fields[14])
    return ticks / TICKS_PER_S


def pss_bytes(pid: int) -> int:
    total = 0
    for each in descendants(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


class Running:
    """A server that answers, and what it has used so far."""

    def __init__(
        self,
        name: str,
        process: "subprocess.Popen[bytes]",
        dimse: int,
        http_port: int,
        folder: Path,
    ) -> None:
        self.name, self.process, self.folder = name, process, folder
        self.dimse_port, self.http_port = dimse, http_port
        self.peak_pss_bytes = 0
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self.peak_pss_bytes = max(self.peak_pss_bytes, pss_bytes(self.process.pid))

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    def dicomweb(self) -> str:
        prefix = "/dicom-web" if self.name == "orthanc" else "/dicomweb"
        return f"http://127.0.0.1:{self.http_port}{prefix}"

    def status(self) -> dict[str, object]:
        """Fileroom's own counts; only for `fileroom`."""
        link = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        link.request("GET", "/status")
        answer: dict[str, object] = json.loads(link.getresponse().read())
        return answer

    def stop(self) -> None:
        self._done.set()
        self._watcher.join()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()
        self.process.wait()


def command(name: str, folder: Path, dimse: int, http_port: int) -> list[str]:
    if name == "fileroom":
        return [
            sys.executable, "-m", "fileroom.cli.main", "serve", "--data", str(folder / "data"),
            "--http", f"127.0.0.1:{http_port}", "--dimse", f"127.0.0.1:{dimse}",
        ]  # fmt: skip
    if name == "orthanc":
        plugins = [
            str(p) for p in Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb.so*")
        ]
        plugins = plugins or ["/usr/lib/orthanc/plugins"]
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomPort": dimse, "HttpPort": http_port, "DicomAet": "FILEROOM",
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True, "Plugins": plugins[:1],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(settings))
        return ["Orthanc", str(folder / "orthanc.json")]
    if name == "storescp":
        (folder / "out").mkdir()
        return ["storescp", "-od", str(folder / "out"), "--fork", "-pdu", "131072", str(dimse)]
    assert name == "pynetdicom", name
    (folder / "out").mkdir()
    return [
        sys.executable, "-m", "pynetdicom", "storescp", str(dimse), "-q",
        "-od", str(folder / "out"), "--max-pdu", "131072",
    ]  # fmt: skip


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


@contextlib.contextmanager
def serving(name: str, scratch: Path) -> Iterator[Running]:
    """Start `name` with an empty folder of its own; stop it and remove the folder at the end."""
    folder = scratch / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    dimse, http_port = free_port(), free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(name, folder, dimse, http_port), stdout=log, stderr=log, env=ENVIRONMENT
        )
    needed = [dimse, http_port] if name in {"fileroom", "orthanc"} else [dimse]
    deadline = time.monotonic() + 60
    while not all(answers(port) for port in needed):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"{name} did not start; see {folder / 'log'}")
        time.sleep(0.1)
    running = Running(name, process, dimse, http_port, folder)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)

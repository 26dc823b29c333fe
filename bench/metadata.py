"""How long the metadata of a whole series takes when nothing of it is in memory.

    python bench/metadata.py [--instances 1000] [--rounds 9] [--scratch DIR]

One series is stored, COMMITTED and evicted, so that this node has ciphertext in its cache only. For
each round the node is started anew, and the kernel forgets the pages of every file in its data
folder; the first request that reads anything is the one that is timed, from connecting to the
last byte. Prints the median of the rounds, and how much came.
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from pydicom import dcmwrite
from servers import ENVIRONMENT, answers, free_port

import corpus

FORMS = {
    "JSON": {"Accept": "application/dicom+json"},
    "JSON, gzip": {"Accept": "application/dicom+json", "Accept-Encoding": "gzip"},
    "XML, gzip": {
        "Accept": 'multipart/related; type="application/dicom+xml"',
        "Accept-Encoding": "gzip",
    },
}
PATIENCE_S = 300


def slices(count: int) -> Iterator[bytes]:
    """A CT series whose attributes are as many and as long as a scanner writes; small pixels."""
    for number in range(1, count + 1):
        made = corpus.image(
            1, 1, 1, number, description="CT THORAX", sop_class_uid=corpus.CT_IMAGE_STORAGE
        )
        corpus.scanned(made, number)
        corpus.pixels_of(made, 64, 64, bytes(64 * 64 * 2))
        out = BytesIO()
        dcmwrite(out, made, enforce_file_format=True)
        yield out.getvalue()


def ask(port: int, path: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        link.request("GET" if body is None else "POST", path, body=body, headers=headers)
        answer = link.getresponse()
        found = answer.read()
        assert answer.status == 200, (answer.status, found[:200])
        return found
    finally:
        link.close()


@contextmanager
def node(data: Path) -> Iterator[int]:
    """A node on `data` that keeps no local pack; gives the port of its web door."""
    dimse, port = free_port(), free_port()
    command = [
        sys.executable, "-m", "fileroom.cli.main", "serve", "--data", str(data),
        "--http", f"127.0.0.1:{port}", "--dimse", f"127.0.0.1:{dimse}",
    ]  # fmt: skip
    environment = {
        **ENVIRONMENT,
        "FILEROOM_LOCAL_PACKS_SIZE_BYTES": "0",
        "FILEROOM_SEAL_QUIET_S": "1",
    }
    with (data.parent / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while not answers(port):
            assert time.monotonic() < deadline_s, f"the node did not start; see {log.name}"
            assert process.poll() is None, f"the node did not start; see {log.name}"
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def until_evicted(port: int, count: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        status = json.loads(ask(port, "/status", {}))
        committed = status["states"].get("COMMITTED", {}).get("instances", 0)
        if committed == count and not status["local"]["instances"]:
            return
        time.sleep(0.2)
    raise RuntimeError(f"not all of {count} instances were evicted after {PATIENCE_S} s")


def forget_pages(folder: Path) -> None:
    """Have the kernel drop what it holds of the files below `folder`."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def main() -> None:
    asked = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    asked.add_argument("--instances", type=int, default=1000)
    asked.add_argument("--rounds", type=int, default=9)
    asked.add_argument("--scratch", type=Path)
    options = asked.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="metadata-", dir=options.scratch))
    data = scratch / "data"
    study = f"/dicomweb/studies/{corpus.uid(1, 1)}"
    series = f"{study}/series/{corpus.uid(1, 1, 1)}/metadata"
    try:
        with node(data) as port:
            for file in slices(options.instances):
                ask(port, "/dicomweb/studies", {"Content-Type": "application/dicom"}, file)
            until_evicted(port, options.instances)
            ask(port, series, FORMS["JSON"])  # from the provider, into the cache
        for form, headers in FORMS.items():
            took_ms, size_bytes = [], 0
            for _ in range(options.rounds):
                with node(data) as port:
                    forget_pages(data)
                    began_s = time.perf_counter()
                    size_bytes = len(ask(port, series, headers))
                    took_ms.append((time.perf_counter() - began_s) * 1e3)
            print(
                f"{form:10}  {statistics.median(took_ms):6.0f} ms  (from {min(took_ms):.0f} to "
                f"{max(took_ms):.0f})  {size_bytes / 1e6:.2f} MB",
                flush=True,
            )
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()

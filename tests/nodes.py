"""Whole nodes for tests: in this process, or as a process of their own that can be killed."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fileroom.cli.connection import LocalNode
from fileroom.node.assemble import initialise
from fileroom.node.config import Settings, load

PASSPHRASE = "correct horse battery staple"
WAIT_S = 60.0


def settings_of(data: Path, **keys: str) -> Settings:
    """Settings of a node on free loopback ports with a short quiet time; `seal__quiet_s="1"`."""
    overrides = {
        "data.directory": str(data),
        "site.name": "test-site",
        "dimse.port": "0",
        "http.port": "0",
        "seal.quiet_s": "0.2",
        "spool.reserve_bytes": "0",
        "spool.segment_size_bytes": str(8 << 20),
        **{name.replace("__", "."): value for name, value in keys.items()},
    }
    return load(overrides=overrides, environment={})


def made(data: Path, **keys: str) -> Settings:
    """`settings_of` a data folder that is made if it is not there."""
    settings = settings_of(data, **keys)
    if not (data / "keyring").exists():
        data.mkdir(parents=True, exist_ok=True)
        (data / "passphrase").write_text(PASSPHRASE + "\n")
        (data / "passphrase").chmod(0o600)
        initialise(settings, passphrase=PASSPHRASE)
    return settings


@dataclass
class Reached:
    """A node that listens."""

    settings: Settings
    http: tuple[str, int]
    dimse: tuple[str, int]

    @property
    def data(self) -> Path:
        return self.settings.data_directory

    @property
    def web(self) -> str:
        return f"http://{self.http[0]}:{self.http[1]}/dicomweb"

    def get(self, path: str, accept: str = "*/*") -> tuple[int, bytes, dict[str, str]]:
        """Status, body and header fields (names in lower case) of a GET below /dicomweb."""
        return self.request("GET", "/dicomweb" + path, {"Accept": accept})

    def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> tuple[int, bytes, dict[str, str]]:
        link = http.client.HTTPConnection(*self.http, timeout=WAIT_S)
        try:
            link.request(method, path, body=body, headers=headers)
            answer = link.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read(), fields
        finally:
            link.close()

    def json(self, path: str) -> Any:
        code, body, _ = self.get(path, "application/dicom+json")
        assert code == 200, (code, body[:300])
        return json.loads(body)

    def status(self) -> Any:
        code, body, _ = self.request("GET", "/status", {})
        assert code == 200
        return json.loads(body)

    def wait_committed(self, count: int | None = None) -> Any:
        """Wait until nothing is on its way any more; `count` instances must then be COMMITTED."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            status = self.status()
            if status["oldest_uncommitted_s"] is None:
                if count is not None:
                    assert status["states"]["COMMITTED"]["instances"] == count
                return status
            time.sleep(0.05)
        raise AssertionError(f"not all COMMITTED after {WAIT_S} s: {status}")


@contextmanager
def running(data: Path, *, in_process: bool = False, **keys: str) -> Iterator[Reached]:
    """A node in a thread of this process; with `in_process` it has no worker process either."""
    settings = made(data, **keys)
    with LocalNode(settings, in_process=in_process) as node:
        yield Reached(settings, node.addresses.http, node.addresses.dimse)


class NodeProcess:
    """A node that is a process of its own, so that it can be killed.

    Attributes:
        log: what it says to standard error.
    """

    def __init__(self, settings: Settings, **environment: str) -> None:
        self.settings = settings
        flags = [
            "-m", "fileroom.cli.main", "serve", "--json",
            "--data", str(settings.data_directory),
            "--http", "127.0.0.1:0", "--dimse", "127.0.0.1:0",
        ]  # fmt: skip
        variables = {
            "FILEROOM_SEAL_QUIET_S": str(settings.seal.quiet_s),
            "FILEROOM_SPOOL_RESERVE_BYTES": "0",
            "FILEROOM_SPOOL_SEGMENT_SIZE_BYTES": str(settings.spool.segment_size_bytes),
            "FILEROOM_LOCAL_PACKS_SIZE_BYTES": str(settings.local.packs_size_bytes),
            "FILEROOM_SITE_NAME": settings.site.name,
            **environment,
        }
        self.log = settings.data_directory.parent / "node.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *flags],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **variables},
            )
        told = self._first_document()
        self.reached = Reached(settings, tuple(told["http"]), tuple(told["dimse"]))

    def _first_document(self) -> Any:
        """The JSON document that the node prints once its doors are open."""
        assert self.process.stdout is not None
        printed = b""
        while line := self.process.stdout.readline():
            printed += line
            try:
                return json.loads(printed)
            except json.JSONDecodeError:
                continue
        self.process.communicate()
        raise AssertionError(f"the node did not start: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        code = self.process.wait(WAIT_S)
        self._close()
        return code

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()

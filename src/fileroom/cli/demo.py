"""`fileroom demo`: a node with real studies in it, and what to try on it.

The studies are those that pydicom ships inside its package; nothing is fetched.
"""

import asyncio
import importlib.util
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from fileroom.cli import viewer
from fileroom.cli.beginning import begin, is_initialised
from fileroom.cli.client import NodeClient, Part
from fileroom.cli.connection import LocalNode
from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.looking import status_lines
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import tell
from fileroom.cli.settings_file import write_new
from fileroom.errors import TransientError
from fileroom.node import logs
from fileroom.node.config import FILE_NAME, Settings, load
from fileroom.node.folder import Folder
from fileroom.node.health import Status
from fileroom.node.settings import Log
from fileroom.web.viewer import installed

EXIT_VARIABLE = "DEMO_EXIT"
COMMIT_S_MAX = 120.0
CT_STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"  # of CT_small.dcm
SETTINGS = """\
# Settings of the demo: small files, and packs sealed soon.
[site]
name = "demo"

[data]
directory = "."

[spool]
segment_size_bytes = 16777216
reserve_bytes = 134217728

[seal]
quiet_s = 2
"""
TO_SEND = "rtplan.dcm"  # what the printed storescu line sends: an instance that we do not have yet
BY_DIMSE = ("dicomdirtests/77654033", "dicomdirtests/98892001", "dicomdirtests/98892003")
BY_STOW = (
    "CT_small.dcm",
    "MR_small.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "US1_J2KR.dcm",
    "JPEG-lossy.dcm",
    "rtdose.dcm",
    "waveform_ecg.dcm",
)


def demo(
    *,
    exit: Annotated[
        bool, Parameter(help="Stop when all is COMMITTED; so does DEMO_EXIT=1.", negative="")
    ] = False,
    shared: Shared = SHARED,
) -> ExitCode:
    """Run a node with real studies in it, in ./demo-data, to try things on."""
    data = (shared.data or Path("demo-data")).absolute()
    settings = _prepare(data)
    logs.configure(Log(level="warning"))
    with LocalNode(settings) as node:
        client = NodeClient(*node.addresses.http)
        dimse = node.addresses.dimse
        _say(f"A node runs in {data}")
        by_dimse, by_stow = list(_files(BY_DIMSE)), list(_files(BY_STOW))
        _store_by_dimse(dimse, settings, by_dimse)
        _say(f"{len(by_dimse)} instances stored by C-STORE")
        stored = client.store([_part(path) for path in by_stow])
        _say(f"{len(stored.accepted)} instances stored by STOW-RS")
        _say("Waiting until every instance is COMMITTED ...")
        status = _wait_for_commit(client)
        stays = not exit and os.environ.get(EXIT_VARIABLE, "") in {"", "0"}
        heading = "Try next:" if stays else "To try while it runs, without DEMO_EXIT=1 and --exit:"
        lines = ["", *status_lines(status), "", heading, *_to_try(settings, client, dimse)]
        document = {"http": client.address, "dimse": dimse, "status": msgspec.to_builtins(status)}
        tell(document, lines, as_json=shared.json)
        if stays:
            _say("Ctrl-C stops it.")
            _wait_for_signal()
    _say("The node has stopped; `make demo` starts it again with the same data.")
    return ExitCode.OK


def _prepare(data: Path) -> Settings:
    """Settings of the demo's own file, on the usual ports if they are free."""
    file = data / FILE_NAME
    if not file.exists():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_new(file, SETTINGS)
    flags = {}
    usual = Settings()
    for section, port in (("dimse", usual.dimse.port), ("http", usual.http.port)):
        if not _is_free(port):
            flags[f"{section}.port"] = "0"
    settings = load(file=str(file), overrides=flags, environment={})
    if not is_initialised(settings):
        for name, value in begin(settings).items():
            _say(f"{name.replace('_', ' ')}: {value}")
    return settings


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _files(names: tuple[str, ...]) -> Iterator[Path]:
    """Files and folders of pydicom's test data, found without importing pydicom."""
    package = importlib.util.find_spec("pydicom")
    assert package is not None
    assert package.origin is not None
    root = Path(package.origin).parent / "data" / "test_files"
    for name in names:
        path = root / name
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.is_file())
        elif path.is_file():
            yield path


def _part(path: Path) -> Part:
    return Part(lambda: path.open("rb"), path.stat().st_size)


def _store_by_dimse(address: tuple[str, int], settings: Settings, files: list[Path]) -> None:
    from fileroom.peer.store import store_files

    host, port = address
    called = settings.dimse.ae_title
    asyncio.run(store_files(host, port, files, calling="DEMO", called=called))


def _wait_for_commit(client: NodeClient) -> Status:
    deadline_s = time.monotonic() + COMMIT_S_MAX
    while True:
        status = msgspec.convert(client.status(), Status)
        if status.oldest_uncommitted_s is None:
            return status
        if time.monotonic() > deadline_s:
            raise TransientError(f"not all is COMMITTED after {COMMIT_S_MAX:.0f} s")
        time.sleep(0.25)


def _to_try(settings: Settings, client: NodeClient, dimse: tuple[str, int]) -> Iterator[str]:
    web = client.address
    bucket = next(iter(settings.providers_in_use.values())).path
    host, port = dimse
    program = sys.argv[0] if sys.argv[0].endswith("fileroom") else "fileroom"
    data = f"--data {settings.data_directory}"
    image = next(_files((TO_SEND,)))
    pack = next(Path(bucket).glob("packs/*/*"))
    yield f"  the web address       {web}dicomweb/studies"
    yield f"  send an image         storescu -aec {settings.dimse.ae_title} {host} {port} {image}"
    yield f"  find a patient        curl '{web}dicomweb/studies?PatientName=CompressedSamples*'"
    yield f"  what is where         {program} status {data}"
    yield f"  get a study back      {program} get {CT_STUDY} -o study {data}"
    yield f"  the encrypted packs   ls -R {bucket}/packs"
    yield f"  open one with its key {program} unpack {pack} -o files {data}"
    yield f"  all studies, to see   {web}"
    if installed(Folder(settings.data_directory).viewer) is None:
        fetched = f"npm pack {viewer.PACKAGE}@{viewer.VERSION}"
        taken = f"{program} viewer install ohif-app-{viewer.VERSION}.tgz {data}"
        yield f"  a viewer to see with  {fetched} && {taken}"
    else:
        yield f"  a CT in the viewer    {web}viewer/viewer?StudyInstanceUIDs={CT_STUDY}"
    yield f"  a CT, its picture     {web}studies/{CT_STUDY}"


def _wait_for_signal() -> None:
    woken = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: woken.set())
    woken.wait()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

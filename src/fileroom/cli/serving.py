"""`fileroom serve`: runs a node in this process."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fileroom.cli.options import SHARED, Shared, split_address
from fileroom.cli.output import complain, tell
from fileroom.errors import TransientError

if TYPE_CHECKING:
    from fileroom.node.config import Settings
    from fileroom.node.serving import Addresses


NO_ADDRESS = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, socket.EAI_NONAME}


class ListenError(TransientError):
    """An address that the node should listen on cannot be had."""


def serve(
    *,
    http: Annotated[str | None, Parameter(help="HOST:PORT of the web door.")] = None,
    dimse: Annotated[str | None, Parameter(help="HOST:PORT of the DICOM door.")] = None,
    shared: Shared = SHARED,
) -> None:
    """Run the node until SIGTERM or Ctrl-C; what is in flight is finished first.

    A data folder that is not there is made, with its keys. Where the passphrase of one that is
    there is missing or wrong, all work is refused ("keys locked") until it is mended. SIGHUP reads
    the settings, and a passphrase that is waited for, again.
    """
    from fileroom.cli.beginning import begin, is_initialised
    from fileroom.node import logs

    flags: dict[str, str | None] = {}
    for section, text in (("http", http), ("dimse", dimse)):
        if text is not None:
            host, port = split_address(text, flag=f"--{section}")
            flags |= {f"{section}__host": host, f"{section}__port": port}
    settings = shared.settings(**flags)
    logs.configure(settings.log)
    if not is_initialised(settings):
        report = begin(settings)
        complain(f"made the data folder {settings.data_directory}")
        for name, value in report.items():
            complain(f"{name.replace('_', ' ')}: {value}")
    run_until_signalled(settings, as_json=shared.json)


def run_until_signalled(settings: "Settings", *, as_json: bool) -> None:
    """Serve; SIGTERM and SIGINT stop it in order, and a second one is Python's own."""
    with asyncio.Runner(loop_factory=quickest_loop()) as runner:
        runner.run(_serve(settings, as_json=as_json))


def quickest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(settings: "Settings", *, as_json: bool) -> None:
    from fileroom.node.health import RUNNING
    from fileroom.node.serving import run

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def stop_once() -> None:
        notify_systemd("STOPPING=1")
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop_once)

    is_ready = False
    state = RUNNING

    def told(new: str) -> None:
        nonlocal state
        state = new
        notify_systemd(f"STATUS={state}")

    def ready(addresses: "Addresses") -> None:
        nonlocal is_ready
        is_ready = True
        notify_systemd("READY=1")
        document = {
            "http": addresses.http,
            "dimse": addresses.dimse,
            "pid": os.getpid(),
            "state": state,
        }
        web, dicom = (_printed(*address) for address in (addresses.http, addresses.dimse))
        lines = [
            f"DICOM {settings.dimse.ae_title} at {dicom}, "
            f"DICOMweb at http://{web}{settings.http.prefix}/dicomweb"
        ]
        if state != RUNNING:
            lines.append(f"{state}: all work is refused until that is mended")
        tell(document, lines, as_json=as_json)

    try:
        await run(settings, ready=ready, told=told, stop=stop, waits_for_keys=True)
    except OSError as error:
        if is_ready or error.errno not in NO_ADDRESS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        text = f"cannot listen at {where}{error.strerror}; `fileroom doctor` says more"
        raise ListenError(text) from error


def notify_systemd(state: str) -> None:
    """Tell systemd, if it asked (sd_notify protocol: a datagram to $NOTIFY_SOCKET)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(state.encode())


def _printed(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

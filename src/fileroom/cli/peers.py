"""`fileroom peer`: other archives and modalities that this node knows, and who was refused."""

from typing import Annotated

import msgspec
from cyclopts import Parameter

from fileroom.cli.exit_codes import ExitCode, NotFoundError
from fileroom.cli.options import SHARED, Shared, split_address
from fileroom.cli.output import tell
from fileroom.node.config import FILE_NAME, ConfigError, PeerSettings, Settings
from fileroom.node.settings import NAME


def add(
    name: str,
    /,
    *,
    ae_title: Annotated[str, Parameter(help="The peer's AE title.")],
    address: Annotated[str, Parameter(help="HOST:PORT; an IPv6 address in brackets.")],
    rights: Annotated[
        str, Parameter(help="What it may ask, with commas: echo, store, find, get, move, commit.")
    ] = "",
    calls_from: Annotated[
        str,
        Parameter(
            name="--from", help="Addresses and networks that it calls from; else that of --address."
        ),
    ] = "",
    shared: Shared = SHARED,
) -> None:
    """Write another archive or a modality into the settings file."""
    from fileroom.cli.settings_file import append_peer

    settings = shared.settings()
    if name in settings.peers:
        raise ConfigError([f"there is a peer {name!r} already; change it in {_file(settings)}"])
    if not NAME.fullmatch(name):
        raise ConfigError(["a peer's name is 1 to 63 of a-z, 0-9 and '-', not beginning with '-'"])
    host, port = split_address(address, flag="--address")
    try:
        peer = msgspec.convert(
            {
                "ae_title": ae_title,
                "host": host,
                "port": int(port),
                "rights": _listed(rights),
                "addresses": _listed(calls_from),
            },
            PeerSettings,
        )
    except ValueError as error:  # which msgspec's own is
        raise ConfigError([str(error)]) from error
    path = settings.config_file or settings.data_directory / FILE_NAME
    if not path.parent.is_dir():
        raise ConfigError([f"there is no folder {path.parent}; `fileroom init` makes it"])
    append_peer(path, name, peer)
    document = {"peer": name, **msgspec.to_builtins(peer), "file": str(path)}
    lines = [f"{name} written to {path}; a running node takes it over at SIGHUP"]
    tell(document, lines, as_json=shared.json)


def try_peer(
    name: str,
    /,
    *,
    timeout: Annotated[float, Parameter(help="Seconds to wait for the answer.")] = 10.0,
    shared: Shared = SHARED,
) -> None:
    """Ask a peer, by its name or its AE title, for a C-ECHO."""
    import asyncio

    from fileroom.node.peers import peer_named
    from fileroom.peer.echo import UnknownPeerError, echo

    settings = shared.settings()
    try:
        peer = peer_named(settings, name)
    except UnknownPeerError as error:
        raise NotFoundError(str(error)) from error
    calling = settings.dimse.ae_title
    asked = echo(peer.host, peer.port, calling=calling, called=peer.ae_title, timeout_s=timeout)
    answered = asyncio.run(asked)
    document = {"peer": name, "status": answered.status, "took_s": round(answered.took_s, 4)}
    tell(document, [f"{name} answers ({answered.took_s * 1000:.0f} ms)"], as_json=shared.json)


def list_peers(
    *,
    refused: Annotated[
        bool, Parameter(help="Callers that were turned away, instead.", negative="")
    ] = False,
    shared: Shared = SHARED,
) -> ExitCode:
    """List the peers and our AE titles, or with --refused the callers that were turned away."""
    from fileroom.node.peers import entities_of

    settings = shared.settings()
    if refused:
        return _list_refused(settings, as_json=shared.json)
    rows = {name: msgspec.to_builtins(peer) for name, peer in settings.peers.items()}
    lines = [
        f"{name:20}{peer.ae_title:18}{f'{peer.host}:{peer.port}':24}{_may(peer)}"
        for name, peer in settings.peers.items()
    ]
    titles = {title: sorted(gives) for title, gives in entities_of(settings).titles.items()}
    lines += [
        f"{title:18}is ours and gives {', '.join(gives) or 'nothing'}"
        for title, gives in titles.items()
    ]
    if not settings.peers:
        lines.insert(0, "no peers; `fileroom peer add` writes one")
    tell({"peers": rows, "titles": titles}, lines, as_json=shared.json)
    return ExitCode.OK


def _list_refused(settings: Settings, *, as_json: bool) -> ExitCode:
    from fileroom.cli.client import NodeUnavailableError
    from fileroom.cli.connection import status_of

    status = status_of(settings)
    if not status.is_counted:
        raise NodeUnavailableError(f"the node cannot just now: {status.state}")
    callers = status.refused_callers
    lines = [
        f"{each.ae_title:18}{each.address:24}{each.count:>6} times  {each.reason}"
        for each in callers
    ]
    tell(
        {"refused": msgspec.to_builtins(callers)},
        lines or ["nobody was turned away"],
        as_json=as_json,
    )
    return ExitCode.OK


def _may(peer: PeerSettings) -> str:
    """What a peer may ask and from where, in a few words."""
    if not peer.rights:
        return "is only called"
    return f"may {', '.join(peer.rights)} from {', '.join(map(str, peer.networks))}"


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _file(settings: Settings) -> str:
    return str(settings.config_file or settings.data_directory / FILE_NAME)

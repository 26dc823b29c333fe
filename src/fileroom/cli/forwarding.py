"""`fileroom forward`: what waits for other archives, and what they refused."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from cyclopts import Parameter

from fileroom.cli.connection import node_of
from fileroom.cli.exit_codes import NotFoundError
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import in_time, tell
from fileroom.node.section import NAME

LISTED = 100


def list_forwards(
    destination: Annotated[str, Parameter(help="The name of a peer. Empty: all.")] = "",
    /,
    *,
    study: Annotated[
        str, Parameter(help="A Study Instance UID: where it went, also if all of it did.")
    ] = "",
    limit: Annotated[int, Parameter(help="How many studies at most.")] = LISTED,
    shared: Shared = SHARED,
) -> None:
    """List what waits for other archives, since when, and what failed or was refused, and why."""
    asked = {"destination": destination, "study": study, "limit": str(limit)}
    query = urlencode({name: text for name, text in asked.items() if text})
    with node_of(shared.settings()) as node:
        forwards = node.status()["forwards"]
        found = node.document(f"/forwards?{query}")
    shown = {name: each for name, each in forwards.items() if destination in ("", name)}
    lines = [line for name, each in shown.items() for line in _lines(name, each)]
    lines += [line for each in found["studies"] for line in _study_lines(each)]
    lines += [
        f"  {each['destination']} refused {each['sop_instance_uid'] or 'an instance'}: "
        f"{each['reason']}"
        for each in found.get("refused", ())
    ]
    document = {"destinations": shown, **found}
    tell(document, lines or ["nothing is forwarded"], as_json=shared.json)


def retry(
    destination: Annotated[str, Parameter(help="The name of a peer.")],
    /,
    *,
    study: Annotated[str, Parameter(help="Only what it refused of this study.")] = "",
    everything: Annotated[
        bool, Parameter(help="All of the study that the rules take, sent or not.", negative="")
    ] = False,
    shared: Shared = SHARED,
) -> None:
    """Try a destination now, and send it once more what it refused, or all of a study."""
    asked = {"study": study, "everything": everything}
    with node_of(shared.settings()) as node:
        done = node.post(_path(destination, "retry"), asked)
    what = "instances of the study are asked about" if everything else "refused instances wait"
    tell(
        done, [f"{destination} is tried now; {done['instances']} {what} again"], as_json=shared.json
    )


def pause(
    destination: Annotated[str, Parameter(help="The name of a peer.")],
    /,
    *,
    shared: Shared = SHARED,
) -> None:
    """Send nothing to a destination until it is resumed; what comes waits."""
    with node_of(shared.settings()) as node:
        done = node.post(_path(destination, "pause"), {})
    tell(done, [f"{destination} gets nothing until `fileroom forward resume`"], as_json=shared.json)


def resume(
    destination: Annotated[str, Parameter(help="The name of a peer.")],
    /,
    *,
    shared: Shared = SHARED,
) -> None:
    """Go on sending to a destination that is paused."""
    with node_of(shared.settings()) as node:
        done = node.post(_path(destination, "resume"), {})
    tell(done, [f"{destination} gets what waits for it"], as_json=shared.json)


def _path(destination: str, verb: str) -> str:
    if not NAME.fullmatch(destination):
        raise NotFoundError("that is no name of a peer")
    return f"/forwards/{destination}/{verb}"


def _lines(name: str, forward: dict[str, Any]) -> Iterator[str]:
    waits = f"{forward['waiting']} wait"
    if forward["oldest_s"] is not None:
        waits += f", the first for {in_time(forward['oldest_s'])}"
    paused = ", paused" if forward["paused"] else ""
    yield f"{name:20}{waits}, {forward['refused']} refused{paused}"
    if forward["last_error"]:
        yield f"  {forward['last_error']}"


def _study_lines(study: dict[str, Any]) -> Iterator[str]:
    counted = f"{study['out']} of {study['in']} there"
    for name in ("warned", "withdrawn", "refused", "waiting"):
        counted += f", {study[name]} {name}" if study[name] else ""
    yield f"{study['study_instance_uid']}  {study['destination']}: {counted}"
    if study["since_s"] is not None:
        since = datetime.fromtimestamp(study["since_s"]).astimezone()
        yield f"  waits since {since:%Y-%m-%d %H:%M:%S}"
    if study["last_error"]:
        yield f"  {study['last_error']}"
    for reason, count in study["reasons"].items():
        yield f"  {count} refused: {reason}"

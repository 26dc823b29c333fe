"""`fileroom status` and `fileroom doctor`: what is where, and what is wrong."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import in_bytes, in_time, tell

if TYPE_CHECKING:
    from fileroom.node.health import Status


def status(*, shared: Shared = SHARED) -> ExitCode:
    """Show what is where: instances and bytes per state, disk left, warnings."""
    from fileroom.cli.connection import status_of
    from fileroom.node.health import document

    found = status_of(shared.settings())
    tell(document(found), status_lines(found), as_json=shared.json)
    return ExitCode.OK if found.is_counted else ExitCode.UNAVAILABLE


def status_lines(status: "Status") -> Iterator[str]:
    """The status as a page of text."""
    running = f"running for {in_time(status.uptime_s)}"
    idle = "no node runs on this folder, so nothing moves on"
    state = {"running": running, "closed": idle}.get(status.state, status.state)
    yield f"{status.site}: {state}"
    if status.is_counted:
        yield from _counted_lines(status)
    room = f"{in_bytes(status.disk_free_bytes)} free, new work is refused below"
    yield f"{'disk':18}{room} {in_bytes(status.disk_reserve_bytes)}"
    for name, provider in status.providers.items():
        copies = ", ".join(f"{count} {state}" for state, count in provider.copies.items() if count)
        told = f"packs: {copies}, {in_bytes(provider.size_bytes)}" if copies else "no packs"
        yield f"{name:18}{told}{'; out of reach' if provider.last_error else ''}"
    for task in status.tasks:
        eta = f", {in_time(task.eta_s)} left" if task.eta_s is not None else ""
        counted = task.bytes_total or task.state == "DONE"
        done = f"{task.percent:.0f} %" if counted else in_bytes(task.bytes_done)
        yield f"{task.kind:18}{task.state}, {done}{eta} {task.last_error}".rstrip()
    if status.conflicts:
        told = "came again with other content: all are kept, one is served"
        waits = f"; {status.unsettled_conflicts} wait for a decision: `fileroom conflicts list`"
        yield f"{'conflicts':18}{status.conflicts} {told}{waits}"
    if status.studies_of_two_patients:
        told = "say another patient too: `fileroom conflicts list`"
        yield f"{'two patients':18}{status.studies_of_two_patients} studies {told}"
    hidden = status.rejections
    if hidden.studies or hidden.series or hidden.instances:
        told = f"{hidden.studies} studies, {hidden.series} series, {hidden.instances} instances"
        yield f"{'rejected':18}{told} are kept and hidden: `fileroom rejected`"
    if status.set_aside.instances:
        yield f"{'set aside':18}{status.set_aside.instances} received records cannot be read back"
    for warning in status.warnings:
        yield f"{'warning':18}{warning}"


def _counted_lines(status: "Status") -> Iterator[str]:
    from fileroom.node.health import STATES, Amount

    yield f"{status.patients} patients, {status.studies} studies, {status.series} series"
    yield ""
    yield f"{'state':14}{'instances':>12}{'size':>14}"
    for state in STATES:
        amount = status.states.get(state, Amount())
        if amount.instances or state in {"RECEIVED", "COMMITTED"}:
            yield f"{state:14}{amount.instances:>12}{in_bytes(amount.size_bytes):>14}"
    yield ""
    oldest_s = status.oldest_uncommitted_s
    waiting = "none" if oldest_s is None else f"the oldest came {in_time(oldest_s)} ago"
    yield f"{'not COMMITTED':18}{waiting}"
    come = status.arrivals
    if come.arriving or come.incomplete:
        since = f", the oldest for {in_time(come.oldest_s)}" if come.oldest_s is not None else ""
        told = f"{come.arriving} still arriving{since}; {come.incomplete} incomplete after quiet"
        yield f"{'studies':18}{told}"
    open_ = status.commitments
    if open_.oldest_s is not None:
        told = f"{open_.waiting} wait for instances, {open_.untold} to be told"
        yield f"{'commitments':18}{told}; the oldest was asked for {in_time(open_.oldest_s)} ago"
    for name, forward in status.forwards.items():
        told = f"{forward.waiting} wait for {name}, {forward.refused} refused"
        told += ", paused" if forward.paused else ""
        if forward.oldest_s is not None:
            told += f"; the first waits for {in_time(forward.oldest_s)}"
        yield f"{'forwarding':18}{told}"


def doctor(*, shared: Shared = SHARED) -> ExitCode:
    """Say what is wrong with this machine for this archive."""
    from fileroom.node.doctor import examine, worst

    findings = examine(shared.settings())
    gravest = worst(findings)
    document = {"worst": gravest, "findings": msgspec.to_builtins(findings)}
    lines = [f"{f.level:9}{f.check:20}{f.text}" for f in findings]
    tell(document, lines, as_json=shared.json)
    return {"warning": ExitCode.WARNINGS, "error": ExitCode.UNFIT}.get(gravest, ExitCode.OK)

"""When a spooled series becomes a pack, and when stages wait for the doors. Pure."""

from typing import NamedTuple

PRESSURE_MAX = 0.5  # share of the spool's room above which the backlog counts more than a burst
WAITED_S_MAX = 10.0  # a burst may last so long; under a steady load the stages run beside it


class SeriesFacts(NamedTuple):
    """What lies in the spool of one series: bytes, and when the oldest and newest arrived."""

    spooled_bytes: int
    oldest_ns: int
    newest_ns: int


class Sealing(NamedTuple):
    """Whether to seal now, and why or why not."""

    seal: bool
    reason: str


def due(
    series: SeriesFacts,
    *,
    now_ns: int,
    quiet_s: float,
    target_bytes: int,
    doors_busy: bool,
    spool_pressure: float,
) -> Sealing:
    """Whether to seal a series now.

    It is sealed when no instance of it has come for `quiet_s`, or when it fills a pack of
    `target_bytes`. An arrival in the future means that the clock was set back: then it counts as
    quiet, for sealing early costs one more pack, and waiting could last for years.

    Args:
        doors_busy, spool_pressure: as for `must_yield`.
    """
    quiet_for_s = (now_ns - series.newest_ns) / 1e9
    waited_s = (now_ns - series.oldest_ns) / 1e9
    if series.spooled_bytes >= target_bytes:
        reason = f"{series.spooled_bytes} B fill a pack of {target_bytes} B"
    elif quiet_for_s < 0:
        reason = "its newest instance is from the future: the clock was set back"
    elif quiet_for_s >= quiet_s:
        reason = f"quiet for {quiet_for_s:.1f} s of {quiet_s:.1f} s"
        waited_s = quiet_for_s - quiet_s  # it could not have been sealed before
    else:
        return Sealing(False, f"quiet for {quiet_for_s:.1f} s of {quiet_s:.1f} s")
    if must_yield(doors_busy=doors_busy, spool_pressure=spool_pressure, waited_s=waited_s):
        return Sealing(False, f"{reason}; it waits, for the doors are receiving")
    return Sealing(True, reason)


def must_yield(*, doors_busy: bool, spool_pressure: float, waited_s: float) -> bool:
    """Whether a stage waits, so that a burst of receiving is not slowed.

    It does not wait while the doors are quiet, nor when the spool is filling up, nor when the
    oldest work has waited for long (or is from the future).

    Args:
        spool_pressure: how much of the spool's room is used, 0 to 1.
        waited_s: age of the stage's oldest work.
    """
    return doors_busy and spool_pressure <= PRESSURE_MAX and 0 <= waited_s <= WAITED_S_MAX

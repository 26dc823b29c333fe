"""Which local packs may go, so that the node keeps to its budget (invariant 6). Pure."""

from collections.abc import Iterable
from typing import NamedTuple


class LocalPack(NamedTuple):
    """One pack on the node's disk.

    Attributes:
        used_at_ns: when it was last read, or sealed if it never was.
        committed: whether its state is COMMITTED now.
    """

    number: int
    size_bytes: int
    used_at_ns: int
    committed: bool


class Eviction(NamedTuple):
    """One pack to drop, and why."""

    number: int
    reason: str


def choose(
    packs: Iterable[LocalPack],
    *,
    local_size_bytes: int,
    local_size_bytes_max: int,
    free_bytes: int,
    reserve_bytes: int,
) -> list[Eviction]:
    """The packs to drop now, those that were longest not used first.

    Only COMMITTED packs are ever chosen, whatever the pressure: when they do not suffice, the
    list ends, and the node refuses new work instead.

    Args:
        packs: candidates; not all local packs need be among them.
        local_size_bytes: all local packs together; the budget for them is
            `local_size_bytes_max`.
        free_bytes: left on their disk; should be no less than `reserve_bytes`.
    """
    over_bytes = local_size_bytes - local_size_bytes_max
    short_bytes = reserve_bytes - free_bytes
    chosen: list[Eviction] = []
    candidates = (each for each in packs if each.committed)
    for pack in sorted(candidates, key=lambda each: (each.used_at_ns, each.number)):
        if over_bytes > 0:
            reason = f"local packs were {over_bytes} B over their {local_size_bytes_max} B"
        elif short_bytes > 0:
            reason = f"the disk was {short_bytes} B short of its reserve of {reserve_bytes} B"
        else:
            break
        chosen.append(Eviction(pack.number, reason))
        over_bytes -= pack.size_bytes
        short_bytes -= pack.size_bytes
    return chosen

"""When an instance that a peer asks about is safe enough to say so (PS3.4 §J.3.3.1). Pure."""

from enum import StrEnum

from fileroom.catalog.commitments import Whereabouts
from fileroom.catalog.lifecycle import PackState


class Rule(StrEnum):
    """What counts as safe for a peer."""

    PLACEMENT = "placement"  # COMMITTED: verified copies, as placement asks
    LOCAL = "local"  # durable on this node's disk, and perhaps nowhere else


class Verdict(StrEnum):
    """What is known of one instance."""

    WAIT = "wait"
    SAFE = "safe"
    ABSENT = "absent"
    LOST = "lost"  # received, and not to be read back


def judge(held: Whereabouts | None, *, rule: Rule, overdue: bool) -> Verdict:
    """Judge one SOP Instance UID by all that is kept under it.

    A reference names no bytes. So where several data sets are kept under one UID every one of
    them must be safe, served or not: the one that this peer sent is among them.

    Args:
        held: None where nothing is kept under the UID.
        overdue: whether it should have come by now.
    """
    if held is None:
        return Verdict.ABSENT if overdue else Verdict.WAIT
    if not held.packed and not held.spooled:
        return Verdict.LOST
    if rule is Rule.LOCAL:
        is_safe = PackState.AT_RISK not in held.packed.values()
    else:
        is_safe = not held.spooled and set(held.packed.values()) == {PackState.COMMITTED}
    return Verdict.SAFE if is_safe else Verdict.WAIT

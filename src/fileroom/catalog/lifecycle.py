"""States of packs, copies, tasks and storage commitments, and the moves between them, as tables.

    received -> SEALED -> REPLICATED -> VERIFIED -> COMMITTED -> (evicted: no longer local)
                   '----------'------------'------------'--> AT_RISK -> back, once repaired

Pure.
"""

from collections.abc import Mapping
from enum import StrEnum

from fileroom.catalog.errors import IllegalMoveError

SEAL = "seal"  # the lease kind of sealing; its subject is the series number


class PackState(StrEnum):
    """How far a pack has come. A spooled instance has no pack yet: it is `received`."""

    SEALED = "SEALED"
    REPLICATED = "REPLICATED"
    VERIFIED = "VERIFIED"
    COMMITTED = "COMMITTED"
    AT_RISK = "AT_RISK"


class CopyState(StrEnum):
    """How far a pack's, or a wrapped key's, copy at one provider has come."""

    PENDING = "PENDING"
    REPLICATED = "REPLICATED"
    VERIFIED = "VERIFIED"
    SUSPECT = "SUSPECT"
    LOST = "LOST"


class TaskState(StrEnum):
    """Where a long task stands."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class CommitmentState(StrEnum):
    """Where a storage commitment stands that a peer asked for."""

    WAITING = "WAITING"  # for one of its instances to be COMMITTED
    JUDGED = "JUDGED"  # every instance is decided, and the peer is to be told
    REPORTED = "REPORTED"


UNCOMMITTED = (PackState.SEALED, PackState.REPLICATED, PackState.VERIFIED, PackState.AT_RISK)
FINISHED = (TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED)

# None is "no row yet". A pack found in a bucket by a rebuild begins as REPLICATED: that it was
# verified once is not known any more, so VERIFIED and COMMITTED are earned again.
PACK_MOVES: Mapping[PackState | None, frozenset[PackState]] = {
    None: frozenset({PackState.SEALED, PackState.REPLICATED}),
    PackState.SEALED: frozenset({PackState.REPLICATED, PackState.AT_RISK}),
    PackState.REPLICATED: frozenset({PackState.VERIFIED, PackState.AT_RISK}),
    PackState.VERIFIED: frozenset({PackState.COMMITTED, PackState.AT_RISK}),
    PackState.COMMITTED: frozenset({PackState.AT_RISK}),
    PackState.AT_RISK: frozenset({PackState.REPLICATED, PackState.VERIFIED, PackState.COMMITTED}),
}

# VERIFIED is reached through REPLICATED or, read again, from SUSPECT; never from PENDING: a put
# whose answer was lost is read back first.
COPY_MOVES: Mapping[CopyState | None, frozenset[CopyState]] = {
    None: frozenset({CopyState.PENDING, CopyState.REPLICATED}),
    CopyState.PENDING: frozenset({CopyState.REPLICATED, CopyState.LOST}),
    CopyState.REPLICATED: frozenset({CopyState.VERIFIED, CopyState.SUSPECT, CopyState.LOST}),
    CopyState.VERIFIED: frozenset({CopyState.SUSPECT, CopyState.LOST}),
    CopyState.SUSPECT: frozenset({CopyState.VERIFIED, CopyState.LOST, CopyState.PENDING}),
    CopyState.LOST: frozenset({CopyState.PENDING}),
}


def check_pack_move(from_: PackState | None, to: PackState) -> None:
    """Raise IllegalMoveError unless a pack may go from one state to the other."""
    if to not in PACK_MOVES[from_]:
        raise IllegalMoveError(f"a pack does not go from {from_ or 'nothing'} to {to}")


def check_copy_move(from_: CopyState | None, to: CopyState) -> None:
    """Raise IllegalMoveError unless a copy may go from one state to the other."""
    if to not in COPY_MOVES[from_]:
        raise IllegalMoveError(f"a copy does not go from {from_ or 'nothing'} to {to}")

"""The table of who may do what. An auditor reads GRANTS; nothing else grants anything. Pure."""

from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What a caller asks a door for."""

    ECHO = "echo"  # C-ECHO
    STORE = "store"  # C-STORE, STOW-RS
    FIND = "find"  # C-FIND, QIDO-RS
    GET = "get"  # C-GET, C-MOVE, WADO-RS: instances, metadata, frames, bulk data
    COMMIT = "commit"  # storage commitment (N-ACTION)
    DESCRIBE = "describe"  # what the web door has: resources, methods, parameters
    NOTE = "note"  # how far a verb's long task is, for the status
    TEST = "test"  # whether another archive or modality answers us
    STATUS = "status"  # counts, bytes, backlog, disk left
    METRICS = "metrics"  # the same for machines
    HEALTH = "health"  # that the node answers, and nothing more


class Object(NamedTuple):
    """What the action is done to: one study, or, where the UID is empty, no single one."""

    study_instance_uid: str = ""


class Grant(NamedTuple):
    """Callers from these places may do these actions, whatever the object.

    Attributes:
        places: as `identity.place` names them.
        reason: why, for the auditor.
    """

    places: frozenset[str]
    actions: frozenset[Action]
    reason: str


GRANTS = (
    Grant(
        frozenset({"loopback"}),
        frozenset({Action.ECHO, Action.STORE, Action.COMMIT, Action.FIND, Action.GET}),
        "a caller on this machine may store, ask for commitment, find and read",
    ),
    Grant(
        frozenset({"loopback"}),
        frozenset({Action.STATUS, Action.METRICS, Action.DESCRIBE, Action.NOTE, Action.TEST}),
        "a caller on this machine may see how the node and its peers do and what it can be asked, "
        "and say how its own task does",
    ),
    Grant(
        frozenset({"loopback", "network", "unknown"}),
        frozenset({Action.HEALTH}),
        "whoever reaches the node, a load balancer for one, may ask whether it answers; the "
        "answer says nothing else",
    ),
)

BY_DEFAULT = "no grant says so, and what is not granted is denied"


def granting(place: str, action: Action) -> Grant | None:
    """The first grant that allows it, or None: denied."""
    for grant in GRANTS:
        if place in grant.places and action in grant.actions:
            return grant
    return None

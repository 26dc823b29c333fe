"""The table of who may do what. An auditor reads GRANTS; nothing else grants anything. Pure."""

from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What a caller asks a door for."""

    ECHO = "echo"  # C-ECHO
    STORE = "store"  # C-STORE, STOW-RS
    FIND = "find"  # C-FIND, QIDO-RS
    GET = "get"  # C-GET, WADO-RS: instances, metadata, frames, bulk data
    MOVE = "move"  # C-MOVE: instances to a peer of the settings
    COMMIT = "commit"  # storage commitment (N-ACTION)
    DESCRIBE = "describe"  # what the web door has: resources, methods, parameters
    NOTE = "note"  # how far a verb's long task is, for the status
    TEST = "test"  # whether another archive or modality answers us
    STATUS = "status"  # counts, bytes, backlog, disk left
    METRICS = "metrics"  # the same for machines
    FORWARD = "forward"  # what waits for other archives: seen, tried again, paused
    DECIDE = "decide"  # decisions about what is stored: which of two data sets is served …
    PAGE = "page"  # what pages and the viewer are made of, without anything that is stored
    HEALTH = "health"  # that the node answers, and nothing more


class Object(NamedTuple):
    """What the action is done to.

    Attributes:
        study_instance_uid: one study, or, where it is empty, no single one.
        ae_title: which AE title of ours is asked; empty at a door that has none.
    """

    study_instance_uid: str = ""
    ae_title: str = ""


class Grant(NamedTuple):
    """Callers from these places may do these actions, whatever the object.

    Attributes:
        places: as `identity.place` names them.
        reason: why, for the auditor.
    """

    places: frozenset[str]
    actions: frozenset[Action]
    reason: str


# What AE titles give and peers may ask: the services of the DICOM door.
SERVICES = frozenset(
    {Action.ECHO, Action.STORE, Action.FIND, Action.GET, Action.MOVE, Action.COMMIT}
)

GRANTS = (
    Grant(
        frozenset({"loopback"}),
        SERVICES,
        "a caller on this machine may store, ask for commitment, find and read",
    ),
    Grant(
        frozenset({"loopback"}),
        frozenset({Action.STATUS, Action.METRICS, Action.DESCRIBE, Action.NOTE, Action.TEST}),
        "a caller on this machine may see how the node and its peers do and what it can be asked, "
        "and say how its own task does",
    ),
    Grant(
        frozenset({"loopback"}),
        frozenset({Action.FORWARD}),
        "a caller on this machine may see what waits for other archives, try it again and pause it",
    ),
    Grant(
        frozenset({"loopback"}),
        frozenset({Action.DECIDE}),
        "a caller on this machine may decide about what is stored; each decision is on record",
    ),
    Grant(
        frozenset({"loopback"}),
        frozenset({Action.PAGE}),
        "a caller on this machine may open pages and the viewer",
    ),
    Grant(
        frozenset({"loopback", "network", "unknown"}),
        frozenset({Action.HEALTH}),
        "whoever reaches the node, a load balancer for one, may ask whether it answers; the "
        "answer says nothing else",
    ),
)

BY_DEFAULT = "no grant says so, and what is not granted is denied"
NOT_OF_THE_TITLE = "the AE title that was called does not give this"
NOT_A_PEER = "no peer of the settings that may call has this AE title and address"
NOT_OF_THE_PEER = "the settings do not give this peer the right"
OF_THE_PEER = "the settings give the right to this peer and to the AE title that was called"


def granting(place: str, action: Action) -> Grant | None:
    """The first grant that allows it, or None: denied."""
    for grant in GRANTS:
        if place in grant.places and action in grant.actions:
            return grant
    return None

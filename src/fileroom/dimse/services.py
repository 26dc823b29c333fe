"""The services of this door as data: what is asked for, and what must be granted for it. Pure."""

from typing import NamedTuple

from fileroom.access.grant import Action
from fileroom.wire import sop_class
from fileroom.wire.message import CommandField


class Service(NamedTuple):
    """One DIMSE service that we provide.

    Attributes:
        sop_classes: in whose presentation contexts it is asked for; None: those of the Storage
            Service Class.
        extended: what we answer to extended negotiation of its SOP classes, byte by byte at most
            what was asked for; empty: nothing.
    """

    name: str
    command_field: CommandField
    action: Action
    sop_classes: frozenset[str] | None
    extended: bytes = b""


ECHO = Service("C-ECHO", CommandField.C_ECHO_RQ, Action.ECHO, frozenset({sop_class.VERIFICATION}))
STORE = Service("C-STORE", CommandField.C_STORE_RQ, Action.STORE, None)
COMMIT = Service(
    "N-ACTION",
    CommandField.N_ACTION_RQ,
    Action.COMMIT,
    frozenset({sop_class.STORAGE_COMMITMENT}),
)
# PS3.4 §C.5.1.1: relational queries, combined date-time matching, fuzzy semantic matching of
# names, timezone query adjustment.
FIND = Service("C-FIND", CommandField.C_FIND_RQ, Action.FIND, sop_class.FIND, bytes([1, 1, 1, 1]))
GET = Service("C-GET", CommandField.C_GET_RQ, Action.GET, sop_class.GET)
MOVE = Service("C-MOVE", CommandField.C_MOVE_RQ, Action.MOVE, sop_class.MOVE)
SERVICES = (ECHO, STORE, FIND, GET, MOVE, COMMIT)
BY_FIELD = {int(service.command_field): service for service in SERVICES}
OTHER_SOP_CLASSES = frozenset(
    uid for service in SERVICES if service.sop_classes for uid in service.sop_classes
)


def is_asked_in(service: Service, abstract_syntax: str) -> bool:
    """Whether a context of this abstract syntax is one for `service`."""
    if service.sop_classes is None:
        return abstract_syntax not in OTHER_SOP_CLASSES
    return abstract_syntax in service.sop_classes

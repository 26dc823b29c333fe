"""The one question that every request passes: may this principal do this to that?"""

from typing import NamedTuple

from fileroom.access.entities import Entities
from fileroom.access.grant import (
    BY_DEFAULT,
    NOT_A_PEER,
    NOT_OF_THE_PEER,
    NOT_OF_THE_TITLE,
    OF_THE_PEER,
    Action,
    Object,
    granting,
)
from fileroom.access.identity import BY_ADDRESS, Principal, place

__all__ = ["Action", "Decision", "Object", "Principal", "decide", "explain"]


class Decision(NamedTuple):
    """The answer, with its reason in words that hold nothing of a patient."""

    allowed: bool
    reason: str


def decide(
    principal: Principal, action: Action, object: Object, entities: Entities | None = None
) -> Decision:
    """Whether `principal` may do `action` to `object`; denied where no grant says so.

    What is asked of an AE title must be one of its rights, and one of the peer's. Until the
    settings give a peer rights, the place that the caller calls from stands for the peer.

    Args:
        entities: of the settings; None where the door knows none, and only the place counts.
    """
    if entities is not None and object.ae_title:
        if action not in entities.titles.get(object.ae_title, frozenset()):
            return Decision(False, NOT_OF_THE_TITLE)
        if entities.has_peers:
            # Looked up anew: settings that were taken over meanwhile count from the next request.
            peer = entities.peer(principal.address, principal.ae_title)
            if peer is None or principal.kind not in BY_ADDRESS:
                return Decision(False, NOT_A_PEER)
            may = action in peer.rights
            return Decision(may, OF_THE_PEER if may else NOT_OF_THE_PEER)
    grant = granting(place(principal), action)
    if grant is None:
        return Decision(False, BY_DEFAULT)
    return Decision(True, grant.reason)


def explain(
    principal: Principal, action: Action, object: Object, entities: Entities | None = None
) -> str:
    """The decision as one sentence for an auditor; it names no study."""
    decision = decide(principal, action, object, entities)
    verb = "may" if decision.allowed else "may not"
    scope = "on one study" if object.study_instance_uid else "on this node"
    return f"{principal.name} ({place(principal)}) {verb} {action} {scope}: {decision.reason}"

"""The one question that every request passes: may this principal do this to that?"""

from typing import NamedTuple

from fileroom.access.grant import BY_DEFAULT, Action, Object, granting
from fileroom.access.identity import Principal, place

__all__ = ["Action", "Decision", "Object", "Principal", "decide", "explain"]


class Decision(NamedTuple):
    """The answer, with its reason in words that hold nothing of a patient."""

    allowed: bool
    reason: str


def decide(principal: Principal, action: Action, object: Object) -> Decision:
    """Whether `principal` may do `action` to `object`; denied where no grant says so."""
    grant = granting(place(principal), action)
    if grant is None:
        return Decision(False, BY_DEFAULT)
    return Decision(True, grant.reason)


def explain(principal: Principal, action: Action, object: Object) -> str:
    """The decision as one sentence for an auditor; it names no study."""
    decision = decide(principal, action, object)
    verb = "may" if decision.allowed else "may not"
    scope = "on one study" if object.study_instance_uid else "on this node"
    return f"{principal.name} ({place(principal)}) {verb} {action} {scope}: {decision.reason}"

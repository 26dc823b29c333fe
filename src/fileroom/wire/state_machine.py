"""Walks the state table and collects what its actions ask for. Pure."""

from collections import deque

from fileroom.errors import PeerError
from fileroom.wire import pdu
from fileroom.wire.event import Event, Timer
from fileroom.wire.item import AbortReason, AbortSource
from fileroom.wire.state_table import ACTIONS, TRANSITIONS, Effect, State, Trigger


class StateError(PeerError):
    """The association is not in a state for that: usually the peer has just ended it."""


class StateMachine:
    """One association's state, and the effects of its actions until they are taken.

    Attributes:
        events: indications for the local user, in order.
        outgoing: encoded PDUs for the peer, in order.
        timer: what to do with the ARTIM timer, or None.
        closing: whether the connection is to be closed when all is sent.
    """

    def __init__(self) -> None:
        self.state = State.IDLE
        self.events: deque[Event] = deque()
        self.outgoing: list[bytes] = []
        self.timer: Timer | None = None
        self.closing = False

    def action(self, trigger: Trigger) -> str | None:
        """Name of the action for `trigger` in this state, or None: it cannot be."""
        return TRANSITIONS.get((trigger, self.state))

    def step(
        self,
        trigger: Trigger,
        *,
        event: Event | None = None,
        data: bytes = b"",
        reason: AbortReason = AbortReason.NOT_SPECIFIED,
        otherwise: bool = False,
    ) -> None:
        """Do what Table 9-10 says for `trigger` in this state, and go to the next state.

        Args:
            event: what to indicate, where the action indicates.
            data: the encoded PDU to send, where the action sends one that it does not name.
            reason: of the A-ABORT, where the action sends one as the provider.
            otherwise: whether the second case of AE-6 or AR-8 holds.

        Raises:
            StateError: the table has no entry. Nothing has changed.
        """
        name = self.action(trigger)
        if name is None:
            raise StateError(f"{trigger.name} in Sta{self.state:d} has no entry in Table 9-10")
        action = ACTIONS[name]
        effects, following = action.effects, action.next
        if otherwise and action.otherwise is not None:
            effects, following = action.otherwise_effects, action.otherwise
        for effect in effects:
            match effect:
                case Effect.SEND | Effect.SEND_REJECT:
                    self.outgoing.append(data)
                case Effect.SEND_USER_ABORT:
                    self.outgoing.append(pdu.encode(pdu.Abort(AbortSource.USER)))
                case Effect.SEND_PROVIDER_ABORT:
                    self.outgoing.append(pdu.encode(pdu.Abort(AbortSource.PROVIDER, reason)))
                case Effect.INDICATE:
                    assert event is not None
                    self.events.append(event)
                case Effect.START_ARTIM:
                    self.timer = Timer.START
                case Effect.STOP_ARTIM:
                    self.timer = Timer.STOP
                case Effect.CLOSE:
                    self.closing = True
                case Effect.CONNECT:
                    pass  # the owner opens it: that is what a requestor is made for
        self.state = following

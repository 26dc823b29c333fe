"""The state machine of the upper layer as data: PS3.8 §9.2, Tables 9-1 to 9-10. Pure.

`TRANSITIONS` is Table 9-10: what to do when an event comes in a state. `ACTIONS` is Tables 9-6
to 9-9: the effects of each action in order, and the state after it. The machine that walks
them is in upper_layer.py.
"""

from enum import Enum, IntEnum, auto
from typing import NamedTuple


class State(IntEnum):
    """PS3.8 §9.2.1, Tables 9-1 to 9-5."""

    IDLE = 1
    AWAITING_REQUEST = 2
    AWAITING_LOCAL_ANSWER = 3
    AWAITING_CONNECTION = 4
    AWAITING_ANSWER = 5
    ESTABLISHED = 6
    AWAITING_RELEASE_REPLY = 7
    AWAITING_LOCAL_RELEASE_REPLY = 8
    COLLISION_REQUESTOR_AWAITING_LOCAL_REPLY = 9
    COLLISION_ACCEPTOR_AWAITING_REPLY = 10
    COLLISION_REQUESTOR_AWAITING_REPLY = 11
    COLLISION_ACCEPTOR_AWAITING_LOCAL_REPLY = 12
    AWAITING_CLOSE = 13


class Trigger(IntEnum):
    """The events of PS3.8 §9.2.3, Table 9-10, by their number there."""

    LOCAL_ASSOCIATE = 1
    CONNECTED = 2
    ASSOCIATE_AC = 3
    ASSOCIATE_RJ = 4
    CONNECTION_INDICATED = 5
    ASSOCIATE_RQ = 6
    LOCAL_ACCEPT = 7
    LOCAL_REJECT = 8
    LOCAL_DATA = 9
    P_DATA_TF = 10
    LOCAL_RELEASE = 11
    RELEASE_RQ = 12
    RELEASE_RP = 13
    LOCAL_RELEASE_REPLY = 14
    LOCAL_ABORT = 15
    ABORT = 16
    CONNECTION_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Effect(Enum):
    """One step of an action. Stopping a timer that does not run is no effect."""

    CONNECT = auto()
    SEND = auto()  # the PDU that the local primitive or the action names
    SEND_REJECT = auto()
    SEND_USER_ABORT = auto()
    SEND_PROVIDER_ABORT = auto()
    INDICATE = auto()
    START_ARTIM = auto()  # or restart
    STOP_ARTIM = auto()
    CLOSE = auto()


class Action(NamedTuple):
    """Effects in order and the next state.

    `otherwise_effects` and `otherwise` hold for the second case of the two actions that have
    one: AE-6 when the request is not acceptable to the provider, AR-8 when we are the acceptor.
    """

    effects: tuple[Effect, ...]
    next: State
    otherwise_effects: tuple[Effect, ...] = ()
    otherwise: State | None = None


def _action(effects: str, next_state: int) -> Action:
    return Action(tuple(Effect[each] for each in effects.split()), State(next_state))


ACTIONS: dict[str, Action] = {
    # Table 9-6: association establishment
    "AE-1": _action("CONNECT", 4),
    "AE-2": _action("SEND", 5),
    "AE-3": _action("INDICATE", 6),
    "AE-4": _action("INDICATE CLOSE", 1),
    "AE-5": _action("START_ARTIM", 2),
    "AE-6": Action(
        (Effect.STOP_ARTIM, Effect.INDICATE),
        State(3),
        (Effect.STOP_ARTIM, Effect.SEND_REJECT, Effect.START_ARTIM),
        State(13),
    ),
    "AE-7": _action("SEND", 6),
    "AE-8": _action("SEND START_ARTIM", 13),
    # Table 9-7: data transfer
    "DT-1": _action("SEND", 6),
    "DT-2": _action("INDICATE", 6),
    # Table 9-8: association release
    "AR-1": _action("SEND", 7),
    "AR-2": _action("INDICATE", 8),
    "AR-3": _action("INDICATE CLOSE", 1),
    "AR-4": _action("SEND START_ARTIM", 13),
    "AR-5": _action("STOP_ARTIM", 1),
    "AR-6": _action("INDICATE", 7),
    "AR-7": _action("SEND", 8),
    "AR-8": Action((Effect.INDICATE,), State(9), (Effect.INDICATE,), State(10)),
    "AR-9": _action("SEND", 11),
    "AR-10": _action("INDICATE", 12),
    # Table 9-9: association abort
    "AA-1": _action("SEND_USER_ABORT START_ARTIM", 13),
    "AA-2": _action("STOP_ARTIM CLOSE", 1),
    "AA-3": _action("INDICATE CLOSE", 1),
    "AA-4": _action("INDICATE", 1),
    "AA-5": _action("STOP_ARTIM", 1),
    "AA-6": _action("", 13),
    "AA-7": _action("SEND_PROVIDER_ABORT", 13),
    "AA-8": _action("SEND_PROVIDER_ABORT INDICATE START_ARTIM", 13),
}

# Table 9-10: a row for each event, a column for each state. A dot is what cannot be.
_GRID = """
Sta   1     2     3     4     5     6     7     8     9     10    11    12    13
1     AE-1  .     .     .     .     .     .     .     .     .     .     .     .
2     .     .     .     AE-2  .     .     .     .     .     .     .     .     .
3     .     AA-1  AA-8  .     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
4     .     AA-1  AA-8  .     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
5     AE-5  .     .     .     .     .     .     .     .     .     .     .     .
6     .     AE-6  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
7     .     .     AE-7  .     .     .     .     .     .     .     .     .     .
8     .     .     AE-8  .     .     .     .     .     .     .     .     .     .
9     .     .     .     .     .     DT-1  .     AR-7  .     .     .     .     .
10    .     AA-1  AA-8  .     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
11    .     .     .     .     .     AR-1  .     .     .     .     .     .     .
12    .     AA-1  AA-8  .     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
13    .     AA-1  AA-8  .     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
14    .     .     .     .     .     .     .     AR-4  AR-9  .     .     AR-4  .
15    .     .     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  .
16    .     AA-2  AA-3  .     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
17    .     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
18    .     AA-2  .     .     .     .     .     .     .     .     .     .     AA-2
19    .     AA-1  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""


def _table(grid: str) -> dict[tuple[Trigger, State], str]:
    header, *rows = (line.split() for line in grid.strip().splitlines())
    return {
        (Trigger(int(number)), State(int(state))): action
        for number, *actions in rows
        for state, action in zip(header[1:], actions, strict=True)
        if action != "."
    }


TRANSITIONS = _table(_GRID)
"""What to do by event and state: an action's name."""

MAY_SEND_DATA = frozenset(state for trigger, state in TRANSITIONS if trigger is Trigger.LOCAL_DATA)

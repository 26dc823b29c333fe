"""The state table is the standard's."""

import pytest
from pynetdicom.fsm import ACTIONS as PEER_ACTIONS
from pynetdicom.fsm import TRANSITION_TABLE as PEER_TRANSITIONS

from fileroom.wire.event import TransportClosed
from fileroom.wire.state_machine import StateError, StateMachine
from fileroom.wire.state_table import ACTIONS, TRANSITIONS, Effect, State, Trigger


def test_every_entry_is_the_one_that_pynetdicom_read_in_the_standard():
    ours = {(f"Evt{e:d}", f"Sta{s:d}"): action for (e, s), action in TRANSITIONS.items()}
    assert ours == PEER_TRANSITIONS


def test_every_action_leads_to_the_state_that_pynetdicom_says():
    states = {}
    for name, action in ACTIONS.items():
        following = {action.next} | ({action.otherwise} if action.otherwise else set())
        states[name] = {f"Sta{each:d}" for each in following}
    theirs = {
        name: set(action[2].replace(" or ", " ").split())
        if isinstance(action[2], str)
        else set(action[2])
        for name, action in PEER_ACTIONS.items()
    }
    assert states == theirs


def test_every_action_is_used_and_every_state_can_be_left():
    assert set(TRANSITIONS.values()) == set(ACTIONS)
    assert {state for _, state in TRANSITIONS} == set(State)
    assert {trigger for trigger, _ in TRANSITIONS} == set(Trigger)


def test_a_timer_runs_in_the_two_states_that_wait_for_the_peer_only():
    """ARTIM runs in Sta2 and Sta13 (PS3.8 §9.1.5): every way into them starts it."""
    starts = {name for name, action in ACTIONS.items() if Effect.START_ARTIM in action.effects}
    assert starts == {"AE-5", "AE-8", "AR-4", "AA-1", "AA-8"}
    for (trigger, state), name in TRANSITIONS.items():
        if ACTIONS[name].next is State.AWAITING_CLOSE and state is not State.AWAITING_CLOSE:
            assert name in starts, (trigger, state)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_the_machine_does_what_the_table_says_or_nothing(trigger, state):
    machine = StateMachine()
    machine.state = state
    name = TRANSITIONS.get((trigger, state))
    if name is None:
        with pytest.raises(StateError):
            machine.step(trigger, event=TransportClosed())
        assert (machine.state, machine.outgoing, machine.timer) == (state, [], None)
        return
    machine.step(trigger, event=TransportClosed(), data=b"pdu")
    action = ACTIONS[name]
    assert machine.state is action.next
    assert machine.closing == (Effect.CLOSE in action.effects)
    assert bool(machine.events) == (Effect.INDICATE in action.effects)
    sends = {Effect.SEND, Effect.SEND_USER_ABORT, Effect.SEND_PROVIDER_ABORT}
    assert bool(machine.outgoing) == bool(sends & set(action.effects))

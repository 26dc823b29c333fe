import pytest

from fileroom.catalog.errors import IllegalMoveError
from fileroom.catalog.lifecycle import (
    COPY_MOVES,
    PACK_MOVES,
    CopyState,
    PackState,
    check_copy_move,
    check_pack_move,
)


def test_every_state_has_a_row_and_a_way_in():
    for moves, states in ((PACK_MOVES, PackState), (COPY_MOVES, CopyState)):
        assert moves.keys() == {None, *states}
        assert set().union(*moves.values()) == set(states)


def test_a_pack_is_committed_only_once_it_was_verified():
    ways_in = {from_ for from_, to in PACK_MOVES.items() if PackState.COMMITTED in to}
    assert ways_in == {PackState.VERIFIED, PackState.AT_RISK}


def test_a_copy_is_verified_only_once_it_is_known_to_be_there():
    ways_in = {from_ for from_, to in COPY_MOVES.items() if CopyState.VERIFIED in to}
    assert ways_in == {CopyState.REPLICATED, CopyState.SUSPECT}


def test_a_pack_can_fall_at_risk_from_any_state():
    assert all(
        PackState.AT_RISK in PACK_MOVES[state]
        for state in PackState
        if state is not PackState.AT_RISK
    )


@pytest.mark.parametrize("state", PackState)
def test_a_move_to_the_same_state_is_no_move(state):
    with pytest.raises(IllegalMoveError):
        check_pack_move(state, state)


def test_a_refused_move_names_both_states():
    with pytest.raises(IllegalMoveError, match="nothing to VERIFIED"):
        check_copy_move(None, CopyState.VERIFIED)
    check_copy_move(CopyState.REPLICATED, CopyState.VERIFIED)

"""Deny by default; loopback may work; anybody may ask whether the node answers."""

import pytest

from fileroom.access import identity
from fileroom.access.decide import Action, Object, Principal, decide, explain
from fileroom.access.grant import GRANTS

STUDY = Object("1.2.3")

LOOPBACK = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"]
NETWORK = ["10.0.0.1", "192.168.1.5", "126.255.255.255", "128.0.0.1", "0.0.0.0", "::", "::2"]
NETWORK += ["fe80::1%eth0", "::ffff:10.0.0.1", "::127.0.0.1", "2001:db8::1", "255.255.255.255"]
UNKNOWN = ["", "localhost", "unix:/run/fileroom.sock", "127.0.0.1:80", "127.1", "0x7f000001"]
UNKNOWN += ["127.0.0.1 ", "127.0.0.1\n", "::1]", "٢٧.0.0.1", "127.0.0.001", "a" * 10_000]


@pytest.mark.parametrize(
    ("address", "place"),
    [(each, "loopback") for each in LOOPBACK]
    + [(each, "network") for each in NETWORK]
    + [(each, "unknown") for each in UNKNOWN],
)
def test_an_address_is_placed(address, place):
    assert identity.place(identity.of_address(address)) == place


@pytest.mark.parametrize("address", LOOPBACK)
@pytest.mark.parametrize("action", Action)
def test_loopback_may_do_all_there_is(address, action):
    assert decide(identity.of_address(address), action, STUDY).allowed


@pytest.mark.parametrize("address", NETWORK + UNKNOWN)
@pytest.mark.parametrize("action", Action)
def test_all_others_may_ask_for_health_and_nothing_else(address, action):
    decision = decide(identity.of_address(address, ae_title="FILEROOM"), action, STUDY)
    assert decision.allowed == (action is Action.HEALTH)


@pytest.mark.parametrize("kind", ["", "loopback", "certificate", "token", "Address"])
def test_a_principal_of_a_kind_that_nothing_grants_to_is_denied(kind):
    principal = Principal(kind, "127.0.0.1", "127.0.0.1", None)
    assert not decide(principal, Action.GET, STUDY).allowed


@pytest.mark.parametrize("action", ["", "delete", "GET", "get ", "administer"])
def test_an_action_that_no_grant_names_is_denied(action):
    decision = decide(identity.of_address("127.0.0.1"), action, STUDY)
    assert not decision.allowed
    assert "denied" in decision.reason


def test_an_ae_title_grants_nothing():
    claimed = identity.of_address("10.0.0.1", ae_title="TRUSTED")
    assert not decide(claimed, Action.ECHO, Object()).allowed


def test_a_decision_is_explained_in_a_sentence_that_names_no_study():
    assert explain(identity.of_address("127.0.0.1"), Action.GET, STUDY) == (
        "127.0.0.1 (loopback) may get on one study: a caller on this machine may store, ask "
        "for commitment, find and read"
    )
    assert explain(identity.of_address("10.0.0.1"), Action.STORE, Object()) == (
        "10.0.0.1 (network) may not store on this node: no grant says so, and what is not "
        "granted is denied"
    )


def test_every_grant_has_a_reason_and_every_action_a_grant():
    assert all(each.reason and each.places and each.actions for each in GRANTS)
    assert set().union(*(each.actions for each in GRANTS)) == set(Action)

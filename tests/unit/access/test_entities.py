"""A peer is its AE title and one of its addresses together."""

from ipaddress import ip_network

import pytest

from fileroom.access.decide import Action, Object, Principal, decide, explain
from fileroom.access.entities import Entities, Peer
from fileroom.access.identity import of_address

CT = Peer(
    "ct",
    "CT1",
    tuple(map(ip_network, ("192.0.2.21", "198.51.100.0/28", "2001:db8::/64"))),
    frozenset({Action.STORE}),
)
OTHER_CT = Peer("other-ct", "CT1", (ip_network("203.0.113.0/24"),), frozenset({Action.ECHO}))
CALLED_ONLY = Peer("pacs", "PACS", (ip_network("192.0.2.50"),), frozenset())
KNOWN = Entities({"FILEROOM": frozenset(Action)}, [CT, OTHER_CT, CALLED_ONLY])
ASKED = Object(ae_title="FILEROOM")


@pytest.mark.parametrize(
    ("address", "ae_title", "name"),
    [
        ("192.0.2.21", "CT1", "ct"),
        ("::ffff:192.0.2.21", "CT1", "ct"),
        ("198.51.100.15", "CT1", "ct"),
        ("2001:db8::1", "CT1", "ct"),
        ("2001:db8::1%eth0", "CT1", "ct"),
        ("203.0.113.9", "CT1", "other-ct"),
    ],
)
def test_a_peer_is_recognised_at_each_of_its_addresses(address, ae_title, name):
    assert KNOWN.caller(address, ae_title) == Principal("peer", name, address, ae_title)


@pytest.mark.parametrize(
    ("address", "ae_title"),
    [
        ("192.0.2.22", "CT1"),
        ("198.51.100.16", "CT1"),
        ("2001:db8:0:1::1", "CT1"),
        ("192.0.2.21", "CT2"),
        ("192.0.2.21", "ct1"),
        ("192.0.2.50", "PACS"),
        ("", "CT1"),
        ("unix:/run/x", "CT1"),
        ("127.0.0.1", "CT1"),
    ],
)
def test_whoever_else_calls_is_known_by_its_address_only(address, ae_title):
    assert KNOWN.caller(address, ae_title) == of_address(address, ae_title=ae_title)
    assert not decide(KNOWN.caller(address, ae_title), Action.STORE, ASKED, KNOWN).allowed


def test_settings_that_change_count_for_those_who_have_called_already():
    before = KNOWN.caller("192.0.2.21", "CT1")
    assert decide(before, Action.STORE, ASKED, KNOWN).allowed
    moved = Entities(KNOWN.titles, [CT._replace(networks=(ip_network("192.0.2.99"),)), OTHER_CT])
    assert not decide(before, Action.STORE, ASKED, moved).allowed
    fewer = Entities({"FILEROOM": frozenset({Action.ECHO})}, [CT])
    assert not decide(before, Action.STORE, ASKED, fewer).allowed


@pytest.mark.parametrize("kind", ["", "certificate", "token", "Peer"])
def test_a_caller_of_another_kind_is_no_peer_for_its_address(kind):
    claimed = Principal(kind, "ct", "192.0.2.21", "CT1")
    assert not decide(claimed, Action.STORE, ASKED, KNOWN).allowed


def test_a_decision_about_a_peer_is_explained():
    peer = KNOWN.caller("192.0.2.21", "CT1")
    assert explain(peer, Action.STORE, ASKED, KNOWN) == (
        "ct (network) may store on this node: the settings give the right to this peer and to the "
        "AE title that was called"
    )
    assert explain(peer, Action.FIND, ASKED, KNOWN) == (
        "ct (network) may not find on this node: the settings do not give this peer the right"
    )

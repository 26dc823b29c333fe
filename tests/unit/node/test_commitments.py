"""The terms of storage commitment by the settings, and what status says of commitments."""

import asyncio

import msgspec
import pytest

from conform.catalog_model import DictCatalog
from conform.commitment_suite import asked
from fileroom.catalog.lifecycle import CommitmentState
from fileroom.cli.looking import status_lines
from fileroom.clock import ManualClock
from fileroom.node.commitments import Commitments, terms_of
from fileroom.node.config import PeerSettings, Settings, load
from fileroom.node.health import Status
from fileroom.policy.promise import Rule

HERE = {"host": "192.0.2.7", "port": 104}


def settings_with(**peers: dict[str, object]) -> Settings:
    made = {name: PeerSettings(**HERE | values) for name, values in peers.items()}
    return msgspec.structs.replace(load(environment={}), peers=made)


@pytest.fixture
def catalog():
    return DictCatalog(ManualClock())


def commitments(catalog: DictCatalog, settings: Settings) -> Commitments:
    return Commitments(
        settings,
        catalog=catalog,
        ledger=None,
        clock=catalog.clock,
        packed=None,
        spool=None,
        settled=None,
        complete=None,
        deciding=asyncio.Lock(),
    )


def judged(catalog: DictCatalog, ae_title: str) -> None:
    catalog.record_commitment(asked(ae_title=ae_title, at_ns=catalog.clock.wall_ns()))
    number = catalog.commitment(ae_title, "1.7.1").number
    catalog.move_commitment(number, CommitmentState.WAITING, CommitmentState.JUDGED)


def test_a_peer_is_known_by_its_ae_title_and_waits_for_placement_unless_it_says_otherwise():
    settings = settings_with(
        ct={"ae_title": "CT1 "},
        again={"ae_title": "CT1", "port": 105},
        us={"ae_title": "US", "commit": "local"},
    )
    terms = terms_of(settings)
    assert terms.grace_s == 600
    assert terms.peers["CT1"] == ("192.0.2.7", 104, Rule.PLACEMENT)
    assert [terms.rule(each) for each in ("CT1", "US", "STRANGER")] == [
        Rule.PLACEMENT,
        Rule.LOCAL,
        Rule.PLACEMENT,
    ]


def test_status_counts_what_is_open_and_names_who_cannot_be_told(catalog):
    catalog.record_commitment(asked("1.7.9", at_ns=catalog.clock.wall_ns()))
    catalog.clock.advance(3600)
    judged(catalog, "CT1")
    judged(catalog, "STRANGER")
    counted, warnings = commitments(catalog, settings_with(ct={"ae_title": "CT1"})).status()
    assert (counted.waiting, counted.untold, counted.oldest_s) == (1, 2, 3600)
    assert warnings == [
        "storage commitment for AE STRANGER cannot be reported: no peer has this AE title"
    ]
    lines = list(status_lines(Status(site="n", version="1", commitments=counted)))
    assert [line for line in lines if line.startswith("commitments")] == [
        "commitments       1 wait for instances, 2 to be told; the oldest was asked for 1 h ago"
    ]


def test_nothing_is_shown_where_nothing_is_open(catalog):
    counted, warnings = commitments(catalog, settings_with()).status()
    assert (counted.oldest_s, warnings) == (None, [])
    lines = status_lines(Status(site="n", version="1", commitments=counted))
    assert not [line for line in lines if line.startswith("commitments")]


def test_a_peer_that_is_told_early_is_warned_of_for_as_long_as_it_is(catalog):
    found = commitments(catalog, settings_with(us={"ae_title": "US", "commit": "local"}))
    (warning,) = found.status()[1]
    assert warning == (
        "peer us is told 'safe' when only this node's disk holds it (commit = \"local\")"
    )
    found.reconfigured(settings_with(us={"ae_title": "US"}))
    assert found.status()[1] == []


def test_other_rules_than_these_are_no_settings():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"ae_title": "A", **HERE, "commit": "never"}, PeerSettings)

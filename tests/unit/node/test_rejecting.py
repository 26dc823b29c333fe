"""Whose rejection notes are followed, by the settings."""

import pytest

from fileroom.audit.decided import By
from fileroom.node.config import load
from fileroom.node.rejecting import Rejecters
from fileroom.spool.record import Origin

PEERS = """
[peers.qa]
ae_title = 'QA'
host = '192.0.2.7'
port = 104
rights = ['store']
reject = true

[peers.ct]
ae_title = 'CT1'
host = '192.0.2.21'
port = 104
rights = ['store']
"""


def settings(tmp_path, text):
    file = tmp_path / "fileroom.toml"
    file.write_text(text)
    return load(file=str(file), environment={})


def origin(ae_title, address, *, channel="dimse"):
    return Origin(channel, ae_title, address, "c1")


def test_by_default_nobodys_notes_are_followed(tmp_path):
    rejecters = Rejecters(settings(tmp_path, ""))
    assert rejecters.rejecter(origin("QA", "127.0.0.1")) is None
    assert rejecters.rejecter(origin("", "127.0.0.1", channel="stow")) is None


def test_a_peer_with_the_right_rejects_under_its_name(tmp_path):
    rejecters = Rejecters(settings(tmp_path, PEERS))
    assert rejecters.rejecter(origin("QA", "192.0.2.7")) == By(
        principal_kind="peer", principal="qa", address="192.0.2.7", channel="dimse"
    )


@pytest.mark.parametrize(
    "other",
    [
        origin("CT1", "192.0.2.21"),
        origin("QA", "192.0.2.21"),
        origin("qa", "192.0.2.7"),
        origin("QA", "192.0.2.7", channel="stow"),
        origin("QA", ""),
    ],
)
def test_no_other_sender_does(tmp_path, other):
    assert Rejecters(settings(tmp_path, PEERS)).rejecter(other) is None


def test_anyone_who_may_store_does_where_the_settings_say_so(tmp_path):
    rejecters = Rejecters(settings(tmp_path, PEERS))
    rejecters.reconfigured(settings(tmp_path, "[reject]\nnotes = 'anyone'\n" + PEERS))
    assert rejecters.rejecter(origin("CT1", "192.0.2.21")).principal == "192.0.2.21"
    assert rejecters.rejecter(origin("QA", "192.0.2.7")).principal == "qa"
    assert rejecters.rejecter(origin("", "127.0.0.1", channel="stow")).channel == "stow"

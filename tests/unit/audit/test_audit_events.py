"""Kinds and bodies: what is written is what is read back, and old or foreign bodies do no harm."""

import re
from pathlib import Path

import msgspec
import pytest

from fileroom.audit import event
from fileroom.audit.decided import By, ConflictSettled, KnownDataSet
from fileroom.audit.forwarding import (
    Forwarded,
    ForwardPaused,
    ForwardRetried,
    ForwardRules,
)
from fileroom.audit.rejected import InstancesRejected, InstancesRestored
from fileroom.ledger.record import KIND, encode_body

BY = By(principal_kind="address", principal="127.0.0.1", address="127.0.0.1", channel="http")
EXAMPLES = [
    event.Started(node_id="n1", version="0.1.0"),
    event.Stopped(node_id="n1", version="0.1.0"),
    event.Recovered(node_id="n1", what="spool", count=3),
    event.Configuration(
        node_id="n1",
        sha256="ab" * 32,
        changed=("dimse.port", "peers.pacs.host"),
        before={"dimse.port": 11112},
        after={"dimse.port": 104, "peers.pacs.host": "10.0.0.1"},
    ),
    event.Received(
        study_instance_uid="1.2.3",
        instances=2,
        size_bytes=1000,
        calling_ae_title="CT1",
        address="127.0.0.1",
        channel="dimse",
        conversation="c1",
    ),
    event.Sealed(
        pack="packs/aa/bb",
        study_instance_uid="1.2.3",
        study_key_id="aa",
        instances=2,
        size_bytes=1100,
        conflicts=1,
        duplicates=4,
        replacements=1,
    ),
    event.Replicated(pack="packs/aa/bb", provider="here"),
    event.Verified(pack="packs/aa/bb", provider="here", checksum_kind="read-back"),
    event.CopyFailed(pack="packs/aa/bb", provider="here", state="SUSPECT"),
    event.Committed(pack="packs/aa/bb", providers=("here",), warnings=("one copy, same disk",)),
    event.Evicted(pack="packs/aa/bb", size_bytes=1100, reason="over budget"),
    event.Released(node_id="n1", segment=7, instances=500),
    event.CommitmentRequested(
        ae_title="CT1",
        address="10.0.0.7",
        transaction_uid="1.2.3",
        requested_at_ns=1_700_000_000_000_000_000,
        part=0,
        parts=1,
        referenced_sha256="ab" * 32,
        references={"1.2.840.10008.5.1.4.1.1.2": {"1.2.3": ["4", "5"]}},
    ),
    event.CommitmentReported(
        ae_title="CT1",
        transaction_uid="1.2.3",
        requested_at_ns=1_700_000_000_000_000_000,
        reported_at_ns=1_700_000_060_000_000_000,
        referenced_sha256="ab" * 32,
        rule="placement",
        instances=2,
        failures={"0112": 1},
        status=0,
    ),
    event.AccessOpened(
        principal_kind="address",
        principal="127.0.0.1",
        address="127.0.0.1",
        ae_title=None,
        study_instance_uid="1.2.3",
        purpose="retrieve",
        channel="dicomweb",
    ),
    event.AccessClosed(opened=12, instances=2, frames=3, size_bytes=1000, duration_s=1.5),
    event.Refused(
        principal_kind="address",
        principal="10.0.0.9",
        address="10.0.0.9",
        ae_title="WORM",
        action="store",
        channel="dimse",
        reason="no grant says so",
        count=7,
        first_at_ns=1_700_000_000_000_000_000,
        last_at_ns=1_700_000_060_000_000_000,
    ),
    ConflictSettled(
        by=BY,
        reason="the second one is whole",
        decided_at_ns=1_700_000_000_000_000_000,
        sop_instance_uid="1.2.3",
        served_sha256="0e" * 32,
        known=(
            KnownDataSet(pack="ab" * 32, ordinal=1, sha256="0e" * 32),
            KnownDataSet(pack="cd" * 32, ordinal=0, sha256="0f" * 32),
        ),
    ),
    InstancesRejected(
        by=BY,
        reason="the wrong patient",
        decided_at_ns=1_700_000_000_000_000_000,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        sop_instance_uids=("1.2.3.4.5", "1.2.3.4.6"),
        code="113001",
        note_sop_instance_uid="1.2.9",
        part=0,
        parts=2,
    ),
    InstancesRestored(
        by=BY,
        reason="the right patient after all",
        decided_at_ns=1_700_000_060_000_000_000,
        study_instance_uid="1.2.3",
        series_instance_uid="",
        sop_instance_uids=(),
        everything=True,
    ),
    ForwardRules(rules={"everything": "pacs"}),
    ForwardPaused(destination="pacs", paused=True, principal="127.0.0.1", address="127.0.0.1"),
    ForwardRetried(
        destination="pacs",
        study_instance_uid="1.2.3",
        instances=2,
        everything=False,
        principal="127.0.0.1",
        address="127.0.0.1",
    ),
    Forwarded(
        destination="pacs",
        rule="everything",
        pack="packs/aa/bb",
        study_instance_uid="1.2.3",
        stored=5,
        warned=1,
        withdrawn=0,
        refused={"it answered A900H": "0-2 5"},
        study_stored=7,
        study_warned=1,
        study_withdrawn=0,
        study_refused=4,
        study_waiting=0,
        forwarded_at_ns=1_700_000_060_000_000_000,
    ),
]


def test_every_kind_has_an_example_here():
    assert [event.kind(each) for each in EXAMPLES] == list(event.KINDS)


@pytest.mark.parametrize("example", EXAMPLES, ids=event.kind)
def test_an_event_is_read_back_from_its_json(example):
    stored = msgspec.json.decode(encode_body(event.body(example)))
    assert event.parse(event.kind(example), stored) == example
    assert encode_body(example) == encode_body(event.body(example))


@pytest.mark.parametrize("example", EXAMPLES, ids=event.kind)
def test_an_event_of_a_later_version_is_read_without_its_new_fields(example):
    stored = msgspec.to_builtins(example) | {"later": [1, 2]}
    assert event.parse(event.kind(example), stored) == example


def test_an_unknown_kind_is_nothing_to_this_version():
    assert event.parse("hold.placed", {"study_instance_uid": "1.2.3"}) is None


@pytest.mark.parametrize("body", [{}, {"node_id": "n1"}, {"node_id": 7, "version": "Doe^Jane"}])
def test_a_malformed_body_is_an_integrity_error_that_names_no_value(body):
    with pytest.raises(event.EventError) as caught:
        event.parse("started", body)
    assert "Doe" not in str(caught.value)
    assert "started" in str(caught.value)


def test_kinds_can_stand_in_entries():
    assert [each for each in event.KINDS if not KIND.fullmatch(each)] == []


def test_the_format_page_has_every_kind_and_every_field():
    page = Path(__file__).parents[3] / "docs" / "format" / "ledger.md"
    section = page.read_text().partition("## 8.")[2].partition("## 9.")[0]
    described = {}
    for row in re.findall(r"^\| (`[a-z.]+`(?:, `[a-z.]+`)*) \|[^|]*\|(.*)\|$", section, re.M):
        for kind in re.findall(r"`([a-z.]+)`", row[0]):
            described[kind] = set(re.findall(r"`([a-z_0-9]+)`", re.sub(r"\([^)]*\)", "", row[1])))
    actual = {
        kind: {field.name for field in msgspec.structs.fields(shape)}
        for kind, shape in event.KINDS.items()
    }
    assert described == actual

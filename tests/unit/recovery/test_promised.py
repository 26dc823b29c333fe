"""Storage commitments as a start hears of them from the ledger."""

import pytest

from conform.catalog_model import DictCatalog
from fileroom.audit.event import CommitmentReported, CommitmentRequested
from fileroom.catalog.commitments import REPORTED_KEPT_NS
from fileroom.catalog.lifecycle import CommitmentState
from fileroom.catalog.references import digest_of, folded
from fileroom.clock import ManualClock
from fileroom.dicom.commitment import Reference
from fileroom.recovery.promised import Promised

CT = "1.2.840.10008.5.1.4.1.1.2"
REFERENCES = tuple(Reference(CT, f"1.9.{number}") for number in range(6))


@pytest.fixture
def catalog():
    return DictCatalog(ManualClock())


def parts(uid="1.7.1", *, at_ns, count=1, references=REFERENCES):
    size = -(-len(references) // count)
    return [
        CommitmentRequested(
            ae_title="CT1",
            address="10.0.0.7",
            transaction_uid=uid,
            requested_at_ns=at_ns,
            part=part,
            parts=count,
            referenced_sha256=digest_of(references).hex(),
            references=folded(references[part * size : (part + 1) * size]),
        )
        for part in range(count)
    ]


def reported(uid="1.7.1", *, at_ns):
    return CommitmentReported(
        ae_title="CT1",
        transaction_uid=uid,
        requested_at_ns=at_ns - 1,
        reported_at_ns=at_ns,
        referenced_sha256=digest_of(REFERENCES).hex(),
        rule="placement",
        instances=6,
        failures={},
        status=0,
    )


def heard(catalog, *events):
    promised = Promised()
    for each in events:
        if isinstance(each, CommitmentRequested):
            promised.requested(each)
        else:
            promised.reported(each)
    promised.record(catalog)
    return promised


def now_ns(catalog):
    return catalog.clock.wall_ns()


def test_a_request_waits_until_its_report(catalog):
    at_ns = now_ns(catalog)
    heard(catalog, *parts(at_ns=at_ns))
    (row,) = catalog.commitments_waiting(limit=9)
    assert (row.requested_at_ns, catalog.references(row.number)) == (at_ns, REFERENCES)
    heard(catalog, *parts(at_ns=at_ns), reported(at_ns=at_ns + 5))
    assert catalog.commitment("CT1", "1.7.1").state is CommitmentState.REPORTED
    heard(catalog, *parts(at_ns=at_ns), reported(at_ns=at_ns + 5), *parts(at_ns=at_ns + 9))
    assert catalog.commitments_waiting(limit=9)[0].requested_at_ns == at_ns + 9


def test_what_the_catalog_has_heard_already_changes_nothing(catalog):
    at_ns = now_ns(catalog)
    heard(catalog, *parts(at_ns=at_ns))
    (row,) = catalog.commitments_waiting(limit=9)
    catalog.move_commitment(row.number, CommitmentState.WAITING, CommitmentState.JUDGED)
    before = catalog.commitment("CT1", "1.7.1")
    heard(catalog, *parts(at_ns=at_ns))
    assert catalog.commitment("CT1", "1.7.1") == before


def test_a_request_in_parts_is_one_when_all_are_there_in_whatever_order(catalog):
    first, second, third = parts(at_ns=now_ns(catalog), count=3)
    heard(catalog, first, third)
    assert catalog.commitments_waiting(limit=9) == []
    heard(catalog, third, first, third, second)
    (row,) = catalog.commitments_waiting(limit=9)
    assert catalog.references(row.number) == REFERENCES


def test_parts_of_a_request_that_came_to_nothing_do_not_mix_with_another_under_its_uid(catalog):
    at_ns = now_ns(catalog)
    given_up = parts(at_ns=at_ns, count=2)[0]
    heard(catalog, given_up, *parts(at_ns=at_ns + 1, count=2, references=REFERENCES[:4]))
    (row,) = catalog.commitments_waiting(limit=9)
    assert catalog.references(row.number) == REFERENCES[:4]


def test_of_what_is_over_one_week_is_held(catalog):
    at_ns = now_ns(catalog)
    day_ns = REPORTED_KEPT_NS // 7
    days = [reported(f"1.7.{day}", at_ns=at_ns - (30 - day) * day_ns) for day in range(31)]
    assert len(heard(catalog, *days)._over) == 8
    known = [day for day in range(31) if catalog.commitment("CT1", f"1.7.{day}")]
    assert known == list(range(23, 31))


def test_what_was_over_long_ago_does_not_wait_again(catalog):
    """Nothing remembers that it was told; and nobody may be told once more."""
    (asked,) = parts("1.7.1", at_ns=1)
    later = REPORTED_KEPT_NS + 10
    heard(catalog, asked, reported("1.7.1", at_ns=2), reported("1.7.2", at_ns=later))
    assert catalog.commitment("CT1", "1.7.1") is None

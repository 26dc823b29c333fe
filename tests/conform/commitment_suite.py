"""What every catalog does with storage commitments."""

import pytest

from conform.catalog_samples import NODE, SECOND_NS, T0_NS, members_of, new_pack, seal_all, spooled
from fileroom.catalog.commitments import NewCommitment, ReportedCommitment, Whereabouts
from fileroom.catalog.errors import NotInCatalogError, StateMovedError
from fileroom.catalog.lifecycle import CommitmentState, PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import InstancePlace, Sealed, SpoolPlace
from fileroom.clock import ManualClock
from fileroom.dicom.commitment import Reference
from fileroom.dicom.uid import digest

CT = "1.2.840.10008.5.1.4.1.1.2"
WAITING, JUDGED = CommitmentState.WAITING, CommitmentState.JUDGED


def asked(uid: str = "1.7.1", *instances: str, at_ns: int = T0_NS, ae_title: str = "CT-ROOM-1"):
    references = tuple(Reference(CT, each) for each in instances or ("1.9.1", "1.9.2"))
    return NewCommitment(
        ae_title=ae_title, transaction_uid=uid, references=references, requested_at_ns=at_ns
    )


def reported(of: NewCommitment, *, at_ns: int = T0_NS + SECOND_NS):
    return ReportedCommitment(
        ae_title=of.ae_title,
        transaction_uid=of.transaction_uid,
        referenced_sha256=of.referenced_sha256,
        requested_at_ns=of.requested_at_ns,
        reported_at_ns=at_ns,
    )


class CommitmentSuite:
    """Storage commitments."""

    def test_a_commitment_waits_from_its_start(self, catalog: Catalog):
        catalog.record_commitment(asked())
        (row,) = catalog.commitments_waiting(limit=9)
        assert row == catalog.commitment("CT-ROOM-1", "1.7.1")
        assert (row.state, row.cursor, row.awaits, row.tries) == (WAITING, 0, b"", 0)
        assert (row.requested_at_ns, row.since_ns) == (T0_NS, T0_NS)
        assert row.referenced_sha256 == asked().referenced_sha256
        assert catalog.references(row.number) == asked().references
        assert catalog.commitment("CT-ROOM-2", "1.7.1") is None

    def test_references_come_back_as_they_went_in(self, catalog: Catalog):
        uids = ["1", "1.2", "1.2.3", "1.2.30", "12", "1.02.3", "0.1"]
        references = tuple(sorted(Reference(c, uid) for c in (CT, "1.2.3") for uid in uids))
        catalog.record_commitment(
            NewCommitment(
                ae_title="A", transaction_uid="1.7", references=references, requested_at_ns=1
            )
        )
        (row,) = catalog.commitments_waiting(limit=1)
        assert catalog.references(row.number) == references

    def test_an_open_commitment_again_changes_nothing(self, catalog: Catalog):
        catalog.record_commitment(asked())
        (row,) = catalog.commitments_waiting(limit=9)
        catalog.move_commitment(row.number, WAITING, JUDGED)
        catalog.record_commitment(asked(at_ns=T0_NS + 5))
        assert catalog.commitments_waiting(limit=9) == []
        assert catalog.commitment_totals().judged == {"CT-ROOM-1": 1}

    def test_a_reported_commitment_opens_again_when_it_is_asked_for_later(self, catalog: Catalog):
        catalog.record_commitment(asked())
        catalog.record_reported(reported(asked()))
        (number,) = {catalog.commitment("CT-ROOM-1", "1.7.1").number}
        with pytest.raises(NotInCatalogError):
            catalog.references(number)
        catalog.record_commitment(asked())
        assert catalog.commitment("CT-ROOM-1", "1.7.1").state is CommitmentState.REPORTED
        catalog.record_commitment(asked(at_ns=T0_NS + 1))
        assert catalog.commitments_waiting(limit=9)[0].number == number
        assert catalog.references(number) == asked().references

    def test_a_report_of_what_is_not_known_is_remembered_too(self, catalog: Catalog):
        catalog.record_reported(reported(asked()))
        row = catalog.commitment("CT-ROOM-1", "1.7.1")
        assert (row.state, row.since_ns) == (CommitmentState.REPORTED, T0_NS + SECOND_NS)
        assert catalog.commitment_totals().oldest_ns is None

    def test_reports_are_remembered_for_a_week(self, catalog: Catalog, clock: ManualClock):
        now_ns = clock.wall_ns()
        catalog.record_reported(reported(asked("1.7.1"), at_ns=now_ns))
        catalog.record_commitment(asked("1.7.2"))
        clock.advance(7 * 86_400 + 1)
        catalog.record_reported(reported(asked("1.7.3"), at_ns=clock.wall_ns()))
        known = [catalog.commitment("CT-ROOM-1", f"1.7.{n}") is not None for n in (1, 2, 3)]
        assert known == [False, True, True]

    def test_a_commitment_moves_from_the_state_that_it_is_in(
        self, catalog: Catalog, clock: ManualClock
    ):
        catalog.record_commitment(asked())
        (row,) = catalog.commitments_waiting(limit=9)
        clock.advance(5)
        catalog.move_commitment(row.number, WAITING, WAITING, cursor=1, awaits=b"d" * 16)
        (row,) = catalog.commitments_waiting(limit=9)
        assert (row.cursor, row.awaits, row.since_ns) == (1, b"d" * 16, T0_NS)
        catalog.move_commitment(row.number, WAITING, JUDGED)
        with pytest.raises(StateMovedError):
            catalog.move_commitment(row.number, WAITING, JUDGED)
        judged = catalog.commitment_to_report("CT-ROOM-1")
        assert (judged.cursor, judged.awaits, judged.since_ns) == (0, b"", clock.wall_ns())
        with pytest.raises(StateMovedError):
            catalog.move_commitment(99, WAITING, JUDGED)

    def test_what_was_tried_least_is_reported_first(self, catalog: Catalog):
        for number in (1, 2, 3):
            catalog.record_commitment(asked(f"1.7.{number}", at_ns=T0_NS - number))
        catalog.record_commitment(asked("1.7.1", ae_title="MR"))
        for row in catalog.commitments_waiting(limit=9):
            catalog.move_commitment(row.number, WAITING, JUDGED)
        assert catalog.commitment_totals().judged == {"CT-ROOM-1": 3, "MR": 1}
        assert catalog.commitment_totals().oldest_ns == T0_NS - 3
        order = []
        for _ in range(4):
            row = catalog.commitment_to_report("CT-ROOM-1")
            order.append(row.transaction_uid)
            catalog.put_off_commitment(row.number)
        assert order == ["1.7.1", "1.7.2", "1.7.3", "1.7.1"]
        assert catalog.commitment_to_report("US") is None

    def test_waiting_commitments_are_given_page_by_page(self, catalog: Catalog):
        for number in range(5):
            catalog.record_commitment(asked(f"1.7.{number}"))
        first = catalog.commitments_waiting(limit=3)
        rest = catalog.commitments_waiting(after=first[-1].number, limit=3)
        assert [each.transaction_uid for each in first + rest] == [f"1.7.{n}" for n in range(5)]
        assert catalog.commitment_totals().waiting == 5

    def test_everything_that_is_kept_under_a_uid_is_found(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, n), f"1.9.{n}") for n in range(3)], node_id=NODE)
        (pack,) = seal_all(catalog, "first")
        served = catalog.existing([digest("1.9.0")])[digest("1.9.0")]
        others = [spooled((2, n), "1.9.0", content=b"%d" % n) for n in range(4)]
        catalog.record_spooled(others, node_id=NODE)
        (due,) = catalog.series_to_seal(quiet_before_ns=1 << 62, target_bytes=1, limit=9)
        rows = catalog.spooled_of_series(due.series, bytes_max=1 << 62)
        conflict, again = members_of(rows[:2])
        second = catalog.record_sealed(
            new_pack(due.study, due.series, "second"),
            members=[],
            conflicts=[conflict],
            repeated=[Sealed(again.spooled_id, again.uid_digest, again.ordinal)],
            lease=None,
        )
        catalog.set_aside([rows[3].id])
        catalog.set_pack_state(second, PackState.SEALED, PackState.AT_RISK)
        found = catalog.whereabouts([digest("1.9.0"), digest("1.9.1"), digest("9.9")])
        assert found[digest("1.9.0")] == Whereabouts(
            packed={
                served: PackState.SEALED,
                InstancePlace(second, conflict.ordinal): PackState.AT_RISK,
            },
            spooled=[SpoolPlace(2, 2)],
            set_aside=[rows[3].sha256],
        )
        assert list(found[digest("1.9.1")].packed.values()) == [PackState.SEALED]
        assert {place.pack for place in found[digest("1.9.1")].packed} == {pack}
        assert digest("9.9") not in found
        assert catalog.whereabouts([]) == {}

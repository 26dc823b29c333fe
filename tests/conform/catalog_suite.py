"""What every catalog does, whatever keeps it. A test module gives the fixtures `catalog`, a fresh
one, and `clock`, the ManualClock that it lives by."""

from datetime import UTC
from itertools import pairwise

import msgspec
import pytest

from conform.arrival_suite import ArrivalSuite
from conform.catalog_samples import (
    NODE,
    SECOND_NS,
    T0_NS,
    header,
    members_of,
    new_pack,
    seal_all,
    spooled,
)
from conform.commitment_suite import CommitmentSuite
from conform.conflict_suite import ConflictSuite, TwoPatientsSuite
from conform.forward_suite import ForwardSuite
from conform.rejection_suite import RejectionSuite
from fileroom.catalog.errors import (
    AlreadyStoredError,
    IllegalMoveError,
    NotInCatalogError,
    SegmentInUseError,
    SpoolPlaceError,
    StaleLeaseError,
    StateMovedError,
    UnmatchableError,
)
from fileroom.catalog.lifecycle import SEAL, CopyState, PackState, TaskState
from fileroom.catalog.moments import Zone
from fileroom.catalog.port import Catalog
from fileroom.catalog.query import Level, Search
from fileroom.catalog.rows import (
    InstancePlace,
    Located,
    Moved,
    Sealed,
    SpoolPlace,
    Standing,
    Tally,
    Task,
)
from fileroom.clock import ManualClock
from fileroom.dicom.match import empty, fuzzy, parse
from fileroom.dicom.uid import digest

EVER = {"quiet_before_ns": 1 << 62, "target_bytes": 1 << 62, "limit": 100}


def find(catalog: Catalog, level: Level = Level.STUDY, **asked):
    """Matches of keys (keywords in capitals) and of what else a `Search` has."""
    keys = {name: text for name, text in asked.items() if name[0].isupper()}
    rest = {"limit": 100} | {name: value for name, value in asked.items() if name not in keys}
    conditions = tuple(parse(keyword, text) for keyword, text in keys.items())
    return catalog.search(Search(level=level, partition="main", conditions=conditions, **rest))


def uids(rows, keyword: str = "StudyInstanceUID") -> list[str]:
    return [row.attributes[keyword] for row in rows]


def moment_of(attributes) -> tuple[str, str, str]:
    keywords = ("StudyDate", "StudyTime", "TimezoneOffsetFromUTC")
    date, time, offset = (attributes.get(keyword, "") for keyword in keywords)
    return date, time, offset


class SpoolSuite:
    """Instances that have landed."""

    def test_an_instance_is_found_as_soon_as_it_is_recorded(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)
        (row,) = find(catalog)
        assert row.attributes == {
            "PatientName": "Doe^Jane",
            "PatientID": "P-1",
            "PatientBirthDate": "19610412",
            "PatientSex": "F",
            "StudyInstanceUID": "1.2.1",
            "StudyDate": "20240131",
            "StudyTime": "101530",
            "AccessionNumber": "A-1",
            "StudyID": "S-1",
            "ModalitiesInStudy": "CT",
            "SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.2",
            "NumberOfStudyRelatedSeries": "1",
            "NumberOfStudyRelatedInstances": "1",
        }

    def test_recording_a_place_twice_is_recording_it_once(self, catalog: Catalog):
        rows = [spooled((1, 0), "1.9.1"), spooled((1, 500), "1.9.2")]
        catalog.record_spooled(rows, node_id=NODE)
        catalog.record_spooled([*rows, spooled((1, 900), "1.9.3"), rows[0]], node_id=NODE)
        (due,) = catalog.series_to_seal(**EVER)
        assert (due.spooled_count, due.spooled_bytes) == (3, 3000)

    def test_a_replayed_place_stays_sealed(self, catalog: Catalog):
        rows = [spooled((1, 0), "1.9.1"), spooled((1, 500), "1.9.2")]
        catalog.record_spooled(rows, node_id=NODE)
        seal_all(catalog, "first")
        catalog.record_spooled(rows, node_id=NODE)
        assert catalog.series_to_seal(**EVER) == []
        assert catalog.segments_in_use() == set()

    def test_a_place_that_names_another_instance_is_refused_with_its_batch(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)
        batch = [spooled((1, 500), "1.9.2"), spooled((1, 0), "1.9.3", study="1.2.3")]
        with pytest.raises(SpoolPlaceError):
            catalog.record_spooled(batch, node_id=NODE)
        assert uids(find(catalog)) == ["1.2.1"]
        assert catalog.totals().received == Tally(0, 1, 1000)
        # and the study whose rows went with the batch is made anew when it comes again
        catalog.record_spooled([spooled((1, 700), "1.9.3", study="1.2.3")], node_id=NODE)
        assert set(uids(find(catalog))) == {"1.2.1", "1.2.3"}

    def test_a_forgotten_segments_places_may_name_others(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)
        with pytest.raises(SegmentInUseError):
            catalog.forget_segment(1)
        seal_all(catalog, "first")
        catalog.forget_segment(1)
        catalog.record_spooled([spooled((1, 0), "1.9.2")], node_id=NODE)
        assert catalog.segments_in_use() == {1}

    def test_even_an_unforgotten_place_does_not_hide_another_instance(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)
        seal_all(catalog, "first")
        catalog.record_spooled([spooled((1, 0), "1.9.2")], node_id=NODE)
        assert find(catalog)[0].attributes["NumberOfStudyRelatedInstances"] == "2"

    def test_segments_are_in_use_until_their_last_instance_is_sealed(self, catalog: Catalog):
        places = [(1, 0), (1, 900), (7, 0), (300, 5), (301, 0)]
        catalog.record_spooled(
            [spooled(p, f"1.9.{n}", series=f"1.2.1.{n}") for n, p in enumerate(places)],
            node_id=NODE,
        )
        assert catalog.segments_in_use() == {1, 7, 300, 301}
        assert catalog.settled_count(1) == 0
        seal_all(catalog, "all")
        assert catalog.segments_in_use() == set()

    def test_a_series_gives_its_oldest_up_to_a_size_and_at_least_one(self, catalog: Catalog):
        catalog.record_spooled(
            [spooled((1, n), f"1.9.{n}", size_bytes=400) for n in range(5)], node_id=NODE
        )
        (due,) = catalog.series_to_seal(**EVER)
        taken = catalog.spooled_of_series(due.series, bytes_max=900)
        assert [row.place for row in taken] == [(1, 0), (1, 1)]
        assert taken[0].uid_digest == digest("1.9.0")
        assert len(catalog.spooled_of_series(due.series, bytes_max=1)) == 1

    def test_a_forgotten_packs_instances_are_recorded_again_from_the_spool(self, catalog: Catalog):
        rows = [spooled((1, n), f"1.9.{n}") for n in range(2)]
        catalog.record_spooled(rows, node_id=NODE)
        (lost,) = seal_all(catalog, "first")
        catalog.set_copy(lost, "p", None, CopyState.PENDING)
        digests = {digest("1.9.0"), digest("1.9.1")}
        assert catalog.uid_digests(lost) == digests
        catalog.record_spooled(rows, node_id=NODE)  # a replay: they lie in a pack
        assert catalog.totals().received == Tally()
        catalog.forget_pack(lost, places=[SpoolPlace(1, 0), SpoolPlace(1, 1)])
        assert (catalog.existing(digests), catalog.copies(lost)) == ({}, [])
        catalog.record_spooled(rows, node_id=NODE)
        assert catalog.totals().received.instances == 2
        (again,) = seal_all(catalog, "second")
        assert again > lost
        assert set(catalog.existing(digests)) == digests
        with pytest.raises(NotInCatalogError):
            catalog.forget_pack(lost, places=[])

    def test_a_record_is_settled_by_its_place_and_its_bytes_until_it_is_to_be_recorded_again(
        self, catalog: Catalog
    ):
        rows = [spooled((1, n), f"1.9.{n}") for n in range(2)]
        catalog.record_spooled(rows, node_id=NODE)
        first, second = (SpoolPlace(1, n) for n in range(2))
        of_both = {first: rows[0].sha256, second: rows[1].sha256}
        assert catalog.settled_among(of_both) == set()
        (pack,) = seal_all(catalog, "first")
        assert catalog.settled_among(of_both) == {first, second}
        assert catalog.settled_among({first: rows[1].sha256}) == set(), "another one's place"
        catalog.unsettle([first])
        assert catalog.settled_among(of_both) == {second}
        catalog.record_spooled(rows, node_id=NODE)
        assert catalog.totals().received.instances == 1
        assert len(catalog.uid_digests(pack)) == 2, "the pack stays as it is"

    def test_an_unreadable_record_leaves_the_queue_and_keeps_its_segment(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, 0), "1.9.1"), spooled((2, 0), "1.9.2")], node_id=NODE)
        (due,) = catalog.series_to_seal(**EVER)
        bad = catalog.spooled_of_series(due.series, bytes_max=1)[0]
        catalog.set_aside([bad.id])
        (due,) = catalog.series_to_seal(**EVER)
        assert due.spooled_count == 1
        seal_all(catalog, "rest")
        catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)  # a replay at start
        totals = catalog.totals()
        assert (totals.received, totals.set_aside) == (Tally(), Tally(0, 1, 1000))
        assert catalog.segments_in_use() == {1}
        with pytest.raises(SegmentInUseError):
            catalog.forget_segment(1)

    def test_a_record_that_was_set_aside_is_taken_up_again(self, catalog: Catalog):
        rows = [spooled((1, 0), "1.9.1"), spooled((1, 4096), "1.9.2"), spooled((2, 0), "1.9.3")]
        catalog.record_spooled(rows, node_id=NODE)
        first, second = catalog.held(1)
        assert (first.place, first.set_aside) == ((1, 0), False)
        catalog.set_aside([first.id, second.id])
        assert [each.set_aside for each in catalog.held(1)] == [True, True]
        catalog.take_up([second.id])
        assert [each.set_aside for each in catalog.held(1)] == [True, False]
        (due,) = catalog.series_to_seal(**EVER)
        assert due.spooled_count == 2
        totals = catalog.totals()
        assert (totals.received.instances, totals.set_aside.instances) == (2, 1)

    def test_a_record_is_not_taken_up_to_a_place_that_another_instance_has(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, 0), "1.9.1", content=b"one")], node_id=NODE)
        (one,) = catalog.held(1)
        catalog.set_aside([one.id])
        catalog.record_spooled([spooled((1, 0), "1.9.1", content=b"two")], node_id=NODE)
        catalog.take_up([one.id])
        assert [each.set_aside for each in catalog.held(1)] == [False, True]

    def test_what_a_later_instance_says_first_is_filled_in_and_nothing_is_overwritten(
        self, catalog: Catalog
    ):
        catalog.record_spooled(
            [spooled((1, 0), "1.9.1", PatientName="", StudyDate="", AccessionNumber="")],
            node_id=NODE,
        )
        catalog.record_spooled(
            [
                spooled((1, 1), "1.9.2", series="1.2.1.2", StudyID="other", Modality="SR"),
                spooled((1, 2), "1.9.3", series="1.2.1.3", PatientName="Roe^Jim", Modality="C"),
            ],
            node_id=NODE,
        )
        (row,) = find(catalog, PatientName="doe*", StudyDate="20240131", AccessionNumber="A-1")
        assert row.attributes["StudyID"] == "S-1"
        assert row.attributes["ModalitiesInStudy"] == "CT\\SR\\C"
        assert find(catalog, PatientName="roe*") == []

    def test_patients_without_an_id_are_not_one_patient(self, catalog: Catalog):
        catalog.record_spooled(
            [
                spooled((1, n), f"1.9.{n}", study=f"1.2.{n}", PatientID="", PatientName=name)
                for n, name in enumerate(["A^A", "B^B"])
            ],
            node_id=NODE,
        )
        found = find(catalog, Level.PATIENT)
        assert {row.attributes["PatientName"] for row in found} == {"A^A", "B^B"}

    def test_a_study_is_shown_under_its_own_patients_name_where_an_id_is_shared(
        self, catalog: Catalog
    ):
        catalog.record_spooled(
            [
                spooled((1, 0), "1.9.0", study="1.2.0", PatientName="A^A"),
                spooled((1, 1), "1.9.1", study="1.2.1", PatientName="B^B"),
            ],
            node_id=NODE,
        )
        (row,) = find(catalog, PatientName="B^B")
        assert row.attributes["StudyInstanceUID"] == "1.2.1"
        (patient,) = find(catalog, Level.PATIENT)
        assert patient.attributes["NumberOfPatientRelatedStudies"] == "2"

    def test_hostile_text_is_kept_as_text(self, catalog: Catalog):
        name = "'; DROP TABLE study; --\0\ud800^%_[a-z]*?"
        catalog.record_spooled(
            [spooled((1, 0), "1.9.1", PatientName=name, PatientID="P'\0\udfff" + "x" * 5000)],
            node_id=NODE,
        )
        (row,) = find(catalog)
        assert row.attributes["PatientName"] == "'; DROP TABLE study; --?^%_[a-z]*?"


class SealSuite:
    """From spooled instances to packs."""

    def test_a_series_is_due_when_it_is_quiet_or_big_enough(
        self, catalog: Catalog, clock: ManualClock
    ):
        clock.advance(60)
        for n, (at_s, size_bytes) in enumerate([(0, 10), (50, 10), (50, 900)]):
            catalog.record_spooled(
                [
                    spooled(
                        (1, n),
                        f"1.9.{n}",
                        series=f"1.2.1.{n}",
                        received_at_ns=T0_NS + at_s * SECOND_NS,
                        size_bytes=size_bytes,
                    )
                ],
                node_id=NODE,
            )
        due = catalog.series_to_seal(
            quiet_before_ns=T0_NS + 30 * SECOND_NS, target_bytes=900, limit=10
        )
        assert [each.series_instance_uid for each in due] == ["1.2.1.0", "1.2.1.2"]
        assert (due[0].partition, due[0].study_instance_uid) == ("main", "1.2.1")
        assert (due[0].oldest_ns, due[0].newest_ns) == (T0_NS, T0_NS)
        assert due[0].study_key_id is None

    def test_a_series_from_the_future_is_due_since_the_clock_was_set_back(
        self, catalog: Catalog, clock: ManualClock
    ):
        now_ns = clock.wall_ns()
        for n, at_ns in enumerate([now_ns, now_ns + 1]):
            new = spooled((1, n), f"1.9.{n}", series=f"1.2.1.{n}", received_at_ns=at_ns)
            catalog.record_spooled([new], node_id=NODE)
        due = catalog.series_to_seal(quiet_before_ns=0, target_bytes=1 << 62, limit=10)
        assert [each.series_instance_uid for each in due] == ["1.2.1.1"]

    def test_the_first_study_key_stays(self, catalog: Catalog):
        place = catalog.record_series("main", header("1.9.1"))
        assert catalog.set_study_key(place.study, b"1" * 16) == b"1" * 16
        assert catalog.set_study_key(place.study, b"2" * 16) == b"1" * 16
        with pytest.raises(NotInCatalogError):
            catalog.set_study_key(place.study + 99, b"1" * 16)

    def test_a_sealed_instance_is_located_in_its_pack_by_ordinal(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, n), f"1.9.{n}") for n in range(3)], node_id=NODE)
        before = catalog.locate(digest("1.9.2"))
        assert before.pack is None
        assert before.spooled is not None
        assert before.spooled.place == (1, 2)
        (number,) = seal_all(catalog, "first")
        after = catalog.locate(digest("1.9.2"))
        assert after.spooled is None
        assert after.pack is not None
        assert (after.pack.number, after.ordinal) == (number, 3)
        assert (after.pack.state, after.pack.local) == (PackState.SEALED, True)
        assert (after.pack.instance_count, after.pack.node_id) == (3, NODE)
        assert catalog.locate(digest("1.9.9")) == Located()

    def test_sealing_a_part_leaves_the_rest_in_the_queue(self, catalog: Catalog):
        catalog.record_spooled(
            [spooled((1, n), f"1.9.{n}", received_at_ns=T0_NS + n * SECOND_NS) for n in range(5)],
            node_id=NODE,
        )
        (due,) = catalog.series_to_seal(**EVER)
        rows = catalog.spooled_of_series(due.series, bytes_max=2000)
        catalog.record_sealed(
            new_pack(due.study, due.series, "part"), members=members_of(rows), lease=None
        )
        (left,) = catalog.series_to_seal(**EVER)
        assert (left.spooled_count, left.spooled_bytes) == (3, 3000)
        assert (left.oldest_ns, left.newest_ns) == (T0_NS + 2 * SECOND_NS, T0_NS + 4 * SECOND_NS)

    def test_an_instance_is_counted_once_wherever_it_lies(self, catalog: Catalog):
        def count() -> str:
            return find(catalog)[0].attributes["NumberOfStudyRelatedInstances"]

        catalog.record_spooled([spooled((1, n), f"1.9.{n}") for n in range(3)], node_id=NODE)
        catalog.record_spooled([spooled((1, 3), "1.9.0")], node_id=NODE)  # sent twice
        assert count() == "3"
        (due,) = catalog.series_to_seal(**EVER)
        rows = catalog.spooled_of_series(due.series, bytes_max=2000)
        catalog.record_sealed(
            new_pack(due.study, due.series, "part"), members=members_of(rows), lease=None
        )
        assert count() == "3"
        held = catalog.holdings("1.2.1")
        assert [row.uid_digest for row in held.spooled] == [digest("1.9.2")]
        duplicate = catalog.spooled_of_series(due.series, bytes_max=1 << 62)[-1]
        catalog.record_duplicates([duplicate.id], lease=None)
        seal_all(catalog, "rest")
        assert count() == "3"
        assert catalog.series_to_seal(**EVER) == []

    def test_two_data_sets_with_one_uid_are_both_kept_and_the_first_is_served(
        self, catalog: Catalog
    ):
        catalog.record_spooled([spooled((1, 0), "1.9.1"), spooled((1, 1), "1.9.2")], node_id=NODE)
        (first,) = seal_all(catalog, "first")
        catalog.record_spooled(
            [spooled((1, 2), "1.9.1", content=b"other"), spooled((1, 3), "1.9.3")], node_id=NODE
        )
        (due,) = catalog.series_to_seal(**EVER)
        other, new = catalog.spooled_of_series(due.series, bytes_max=1 << 62)
        assert catalog.existing([other.uid_digest, new.uid_digest]) == {
            other.uid_digest: (first, 1)
        }
        second = catalog.record_sealed(
            new_pack(due.study, due.series, "second"),
            members=[Sealed(new.id, new.uid_digest, 2)],
            conflicts=[Sealed(other.id, other.uid_digest, 1)],
            lease=None,
        )
        located = catalog.locate(digest("1.9.1"))
        assert located.pack is not None
        assert (located.pack.number, located.ordinal) == (first, 1)
        assert catalog.conflicting([digest("1.9.1")]) == {digest("1.9.1"): [(second, 1)]}
        held = catalog.holdings("1.2.1")
        assert held.conflicts == {(second, 1)}
        assert [pack.conflict_count for pack in held.packs] == [0, 1]
        assert find(catalog)[0].attributes["NumberOfStudyRelatedInstances"] == "3"
        assert catalog.totals().conflicts == 1
        assert catalog.series_to_seal(**EVER) == []

    def test_the_same_data_set_in_two_packs_is_served_and_counted_once_and_no_conflict(
        self, catalog: Catalog
    ):
        catalog.record_spooled([spooled((1, 0), "1.9.1"), spooled((1, 1), "1.9.2")], node_id=NODE)
        (first,) = seal_all(catalog, "first")
        place = catalog.record_series("main", header("1.9.1"))
        catalog.record_spooled([spooled((1, 2), "1.9.1")], node_id=NODE)
        (waits,) = catalog.spooled_of_series(place.series, bytes_max=1 << 62)
        found = new_pack(place.study, place.series, "found", providers=("dir", "s3"))
        second = catalog.record_sealed(
            found,
            members=[Sealed(None, digest("1.9.3"), 1)],
            repeated=[Sealed(waits.id, digest("1.9.1"), 2)],
            lease=None,
        )
        held = catalog.holdings("1.2.1")
        assert (held.conflicts, held.spooled) == ({(second, 2)}, [])
        assert [(pack.instance_count, pack.conflict_count) for pack in held.packs] == [
            (2, 0), (2, 1),
        ]  # fmt: skip
        assert catalog.existing([digest("1.9.1")]) == {digest("1.9.1"): (first, 1)}
        assert catalog.totals().conflicts == 0
        assert find(catalog)[0].attributes["NumberOfStudyRelatedInstances"] == "3"
        copies = [(each.provider, each.state) for each in catalog.copies(second)]
        assert copies == [("dir", CopyState.REPLICATED), ("s3", CopyState.REPLICATED)]
        assert catalog.uid_digests(second) == {digest("1.9.1"), digest("1.9.3")}

    def test_an_older_data_set_takes_the_place_of_the_one_that_was_served(self, catalog: Catalog):
        one, other = digest("1.9.1"), digest("1.9.2")
        catalog.record_spooled([spooled((1, 0), "1.9.1"), spooled((1, 1), "1.9.2")], node_id=NODE)
        (first,) = seal_all(catalog, "first")
        place = catalog.record_series("main", header("1.9.1"))
        members = [Sealed(None, one, 1), Sealed(None, other, 2)]
        older = new_pack(place.study, place.series, "older")
        moved = [Moved(one, InstancePlace(first, 1), Standing.CONFLICT)]
        with pytest.raises(AlreadyStoredError):
            catalog.record_sealed(older, members=members, moved=moved, lease=None)
        assert catalog.totals().conflicts == 0, "nothing of it was done"
        moved.append(Moved(other, InstancePlace(first, 2), Standing.REPEATED))
        second = catalog.record_sealed(older, members=members, moved=moved, lease=None)
        assert catalog.existing([one, other]) == {one: (second, 1), other: (second, 2)}
        assert catalog.conflicting([one, other]) == {one: [(first, 1)], other: [(first, 2)]}
        assert catalog.totals().conflicts == 1
        assert [pack.conflict_count for pack in catalog.packs(limit=9)] == [2, 0]
        third = catalog.record_sealed(
            new_pack(place.study, place.series, "third"),
            members=[],
            repeated=[Sealed(None, one, 1)],
            moved=[Moved(one, InstancePlace(first, 1), Standing.REPEATED)],
            lease=None,
        )
        assert catalog.conflicting([one]) == {one: [(first, 1), (third, 1)]}
        assert catalog.totals().conflicts == 0
        assert [pack.conflict_count for pack in catalog.packs(limit=9)] == [2, 0, 1]
        assert find(catalog)[0].attributes["NumberOfStudyRelatedInstances"] == "2"

    def test_a_member_that_got_a_pack_meanwhile_is_not_recorded_again(self, catalog: Catalog):
        rows = [spooled((1, 0), "1.9.1"), spooled((1, 1), "1.9.1", series="1.2.1.2")]
        catalog.record_spooled(rows, node_id=NODE)
        a, b = catalog.series_to_seal(**EVER)
        for due, name in ((a, "a"), (b, "b")):
            members = members_of(catalog.spooled_of_series(due.series, bytes_max=1))
            pack = new_pack(due.study, due.series, name)
            if name == "a":
                catalog.record_sealed(pack, members=members, lease=None)
            else:
                with pytest.raises(AlreadyStoredError):
                    catalog.record_sealed(pack, members=members, lease=None)
        assert len(catalog.packs(limit=10)) == 1
        assert [each.series for each in catalog.series_to_seal(**EVER)] == [b.series]

    def test_a_pack_is_recorded_once_by_its_sha256(self, catalog: Catalog):
        place = catalog.record_series("main", header("1.9.1"))
        pack = new_pack(place.study, place.series, "found", state=PackState.REPLICATED, local=False)
        members = [Sealed(None, digest("1.9.1"), 1)]
        number = catalog.record_sealed(pack, members=members, lease=None)
        assert catalog.record_sealed(pack, members=members, lease=None) == number
        (row,) = catalog.packs(limit=10)
        assert (row.state, row.local, row.sha256) == (PackState.REPLICATED, False, pack.sha256)

    def test_a_pack_belongs_to_a_series_of_its_study(self, catalog: Catalog):
        place = catalog.record_series("main", header("1.9.1"))
        for study, series in ((place.study, place.series + 1), (place.study + 1, place.series)):
            with pytest.raises(NotInCatalogError):
                catalog.record_sealed(new_pack(study, series, "x"), members=[], lease=None)

    def test_a_pack_does_not_begin_as_verified(self, catalog: Catalog):
        place = catalog.record_series("main", header("1.9.1"))
        with pytest.raises(IllegalMoveError):
            catalog.record_sealed(
                new_pack(place.study, place.series, "x", state=PackState.VERIFIED),
                members=[],
                lease=None,
            )

    def test_one_holder_at_a_time_has_a_lease(self, catalog: Catalog, clock: ManualClock):
        lease = catalog.lease("scrub", "7", holder="a", ttl_s=60)
        assert lease is not None
        assert catalog.lease("scrub", "7", holder="b", ttl_s=60) is None
        assert catalog.lease("scrub", "8", holder="b", ttl_s=60) is not None
        clock.advance(59)
        catalog.renew(lease, ttl_s=60)
        clock.advance(59)
        assert catalog.lease("scrub", "7", holder="b", ttl_s=60) is None
        catalog.release(lease)
        catalog.release(lease)
        assert catalog.lease("scrub", "7", holder="b", ttl_s=60) is not None

    def test_a_late_holder_is_refused_by_its_token(self, catalog: Catalog, clock: ManualClock):
        catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)
        (due,) = catalog.series_to_seal(**EVER)
        late = catalog.lease(SEAL, str(due.series), holder="a", ttl_s=60)
        assert late is not None
        assert catalog.series_to_seal(**EVER) == []  # somebody is at it
        clock.advance(61)
        (again,) = catalog.series_to_seal(**EVER)
        taken = catalog.lease(SEAL, str(again.series), holder="b", ttl_s=60)
        assert taken is not None
        assert taken.token > late.token
        rows = catalog.spooled_of_series(due.series, bytes_max=1)
        pack = new_pack(due.study, due.series, "late")
        with pytest.raises(StaleLeaseError):
            catalog.record_sealed(pack, members=members_of(rows), lease=late)
        with pytest.raises(StaleLeaseError):
            catalog.record_duplicates([rows[0].id], lease=late)
        with pytest.raises(StaleLeaseError):
            catalog.renew(late, ttl_s=60)
        catalog.release(late)  # does not take the other's away
        catalog.record_sealed(pack, members=members_of(rows), lease=taken)

    def test_a_lease_that_ran_out_counts_until_somebody_takes_it(
        self, catalog: Catalog, clock: ManualClock
    ):
        catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)
        lease = catalog.lease(SEAL, "1", holder="a", ttl_s=1)
        clock.advance(100)
        assert len(seal_all(catalog, "late", lease=lease)) == 1

    def test_voided_leases_are_stale(self, catalog: Catalog):
        lease = catalog.lease("seal", "1", holder="a", ttl_s=60)
        assert lease is not None
        catalog.void_leases()
        with pytest.raises(StaleLeaseError):
            catalog.renew(lease, ttl_s=1)
        again = catalog.lease("seal", "1", holder="a", ttl_s=60)
        assert again is not None
        assert again.token > lease.token


class PackSuite:
    """States."""

    @pytest.fixture
    def pack(self, catalog: Catalog) -> int:
        catalog.record_spooled([spooled((1, 0), "1.9.1")], node_id=NODE)
        (number,) = seal_all(catalog, "pack")
        return number

    def test_a_pack_goes_on_from_the_state_the_caller_saw(self, catalog: Catalog, pack: int):
        catalog.set_pack_state(pack, PackState.SEALED, PackState.REPLICATED)
        with pytest.raises(StateMovedError):
            catalog.set_pack_state(pack, PackState.SEALED, PackState.REPLICATED)
        with pytest.raises(IllegalMoveError):
            catalog.set_pack_state(pack, PackState.REPLICATED, PackState.COMMITTED)
        with pytest.raises(NotInCatalogError):
            catalog.set_pack_state(pack + 1, PackState.SEALED, PackState.REPLICATED)
        assert [row.number for row in catalog.packs(state=PackState.REPLICATED, limit=9)] == [pack]
        assert catalog.packs(state=PackState.SEALED, limit=9) == []

    def test_only_committed_local_packs_may_be_evicted(self, catalog: Catalog, pack: int):
        assert catalog.evictable(10) == []
        way = [PackState.SEALED, PackState.REPLICATED, PackState.VERIFIED, PackState.COMMITTED]
        for from_, to in pairwise(way):
            catalog.set_pack_state(pack, from_, to)
        assert [row.number for row in catalog.evictable(10)] == [pack]
        assert catalog.totals().local == Tally(1, 1, 5000)
        catalog.set_local(pack, False)
        assert catalog.evictable(10) == []
        assert catalog.totals().local == Tally()
        catalog.set_local(pack, True)
        catalog.set_pack_state(pack, PackState.COMMITTED, PackState.AT_RISK)
        assert catalog.evictable(10) == []
        with pytest.raises(NotInCatalogError):
            catalog.set_local(pack + 1, False)

    def test_packs_come_oldest_first_in_pages_and_by_number(self, catalog: Catalog):
        place = catalog.record_series("main", header("1.9.1"))
        numbers = [
            catalog.record_sealed(
                new_pack(place.study, place.series, str(n), received_oldest_ns=T0_NS - n),
                members=[],
                lease=None,
            )
            for n in range(4)
        ]
        oldest_first = catalog.packs(state=PackState.SEALED, limit=2)
        assert [row.number for row in oldest_first] == [numbers[3], numbers[2]]
        page = catalog.packs(after=numbers[1], limit=2)
        assert [row.number for row in page] == numbers[2:]
        chosen = catalog.packs(numbers=[numbers[2], numbers[0], 999], limit=9)
        assert [row.number for row in chosen] == [numbers[0], numbers[2]]

    def test_a_copy_keeps_the_facts_of_each_move(self, catalog: Catalog, pack: int):
        catalog.set_copy(pack, "dir", None, CopyState.PENDING)
        assert len(catalog.unverified_copies("dir", CopyState.PENDING, limit=9)) == 1
        catalog.set_copy(
            pack,
            "dir",
            CopyState.PENDING,
            CopyState.REPLICATED,
            version_id="v1",
            storage_class="STANDARD",
        )
        catalog.set_copy(
            pack,
            "dir",
            CopyState.REPLICATED,
            CopyState.VERIFIED,
            checksum_kind="read-back",
            verified_at_ns=5,
        )
        (copy,) = catalog.copies(pack)
        assert (copy.state, copy.version_id, copy.storage_class, copy.checksum_kind) == (
            CopyState.VERIFIED,
            "v1",
            "STANDARD",
            "read-back",
        )
        assert copy.verified_at_ns == 5
        assert catalog.totals().copies == {"dir": {CopyState.VERIFIED: Tally(1, 0, 5000)}}
        assert catalog.unverified_copies("dir", CopyState.PENDING, limit=9) == []

    def test_copies_move_by_the_table_and_from_where_they_are(self, catalog: Catalog, pack: int):
        with pytest.raises(IllegalMoveError):
            catalog.set_copy(pack, "dir", None, CopyState.VERIFIED)
        catalog.set_copy(pack, "dir", None, CopyState.PENDING)
        with pytest.raises(StateMovedError):
            catalog.set_copy(pack, "dir", None, CopyState.PENDING)
        with pytest.raises(IllegalMoveError):
            catalog.set_copy(pack, "dir", CopyState.PENDING, CopyState.VERIFIED)
        with pytest.raises(StateMovedError):
            catalog.set_copy(pack, "dir", CopyState.REPLICATED, CopyState.VERIFIED)
        with pytest.raises(NotInCatalogError):
            catalog.set_copy(pack + 1, "dir", None, CopyState.PENDING)

    def test_keys_have_copies_of_their_own(self, catalog: Catalog):
        key = b"K" * 16
        catalog.set_key_copy(key, 1, "dir", None, CopyState.PENDING)
        catalog.set_key_copy(key, 1, "dir", CopyState.PENDING, CopyState.REPLICATED)
        catalog.set_key_copy(
            key, 1, "dir", CopyState.REPLICATED, CopyState.VERIFIED, verified_at_ns=8
        )
        catalog.set_key_copy(key, 1, "s3", None, CopyState.REPLICATED)
        assert [
            (row.generation, row.provider, row.state, row.verified_at_ns)
            for row in catalog.key_copies(key)
        ] == [(1, "dir", CopyState.VERIFIED, 8), (1, "s3", CopyState.REPLICATED, 0)]
        with pytest.raises(StateMovedError):
            catalog.set_key_copy(key, 1, "s3", None, CopyState.PENDING)
        assert catalog.key_copies(b"L" * 16) == []

    def test_totals_say_how_much_is_in_each_state(self, catalog: Catalog, pack: int):
        catalog.record_spooled(
            [spooled((2, 0), "1.9.5", study="1.2.5", received_at_ns=T0_NS - 7)], node_id=NODE
        )
        totals = catalog.totals()
        assert (totals.patients, totals.studies, totals.series) == (1, 2, 2)
        assert totals.states == {PackState.SEALED: Tally(1, 1, 5000)}
        assert totals.received == Tally(0, 1, 1000)
        assert totals.oldest_uncommitted_ns == T0_NS - 7
        catalog.set_pack_state(pack, PackState.SEALED, PackState.REPLICATED)
        assert catalog.totals().states == {PackState.REPLICATED: Tally(1, 1, 5000)}

    def test_nothing_uncommitted_has_no_age(self, catalog: Catalog, pack: int):
        way = [PackState.SEALED, PackState.REPLICATED, PackState.VERIFIED, PackState.COMMITTED]
        for from_, to in pairwise(way):
            assert catalog.totals().oldest_uncommitted_ns == T0_NS
            catalog.set_pack_state(pack, from_, to)
        assert catalog.totals().oldest_uncommitted_ns is None


class SearchSuite:
    """PS3.4 §C.2.2.2 and PS3.18 §10.6."""

    @pytest.fixture(autouse=True)
    def studies(self, catalog: Catalog) -> None:
        told = [
            ("1.2.1", "Müller^Jörg", "P-1", "20240101", "0930", "A1", "CT"),
            ("1.2.2", "MULLER^ANNA", "P-2", "20240102", "2200", "A2", "MR"),
            (
                "1.2.3",
                "Yamada^Tarou=山田^太郎=やまだ^たろう",
                "P-3",
                "20240102",
                "0800",
                "A3",
                "CT",
            ),
            ("1.2.4", "Smith^John", "P-[4]*", "20240103", "", "", "US"),
            ("1.2.5", "", "", "", "", "", "CT"),
        ]
        for n, (study, name, patient_id, date, time, accession, modality) in enumerate(told):
            said = {
                "PatientName": name,
                "PatientID": patient_id,
                "StudyDate": date,
                "StudyTime": time,
                "AccessionNumber": accession,
                "StudyDescription": f"STUDY {n}",
            }
            for m, of_series in enumerate((modality, "SR")[: 1 + n % 2]):
                catalog.record_spooled(
                    [
                        spooled(
                            (1, 10 * n + m),
                            f"1.9.{n}.{m}",
                            study=study,
                            series=f"{study}.{m}",
                            Modality=of_series,
                            SeriesDescription=f"SERIES {m}",
                            **said,
                        )
                    ],
                    node_id=NODE,
                )

    def test_newest_studies_come_first_and_undated_last(self, catalog: Catalog):
        assert uids(find(catalog)) == ["1.2.4", "1.2.3", "1.2.2", "1.2.1", "1.2.5"]

    def test_limit_and_offset_count_matches(self, catalog: Catalog):
        assert uids(find(catalog, limit=2, offset=1)) == ["1.2.3", "1.2.2"]
        assert uids(find(catalog, limit=2, offset=4)) == ["1.2.5"]
        assert find(catalog, limit=0) == []
        # and where the matching happens outside of the index
        assert uids(find(catalog, limit=1, offset=1, StudyDescription="STUDY*")) == ["1.2.3"]

    @pytest.mark.parametrize(
        ("keyword", "text", "found"),
        [
            ("PatientID", "P-2", ["1.2.2"]),
            ("PatientID", "p-2", []),
            ("PatientID", "P-?", ["1.2.3", "1.2.2", "1.2.1"]),
            ("PatientID", "*[4]*", ["1.2.4"]),
            ("PatientID", "P-[1-4]*", []),
            ("PatientID", "*", ["1.2.4", "1.2.3", "1.2.2", "1.2.1", "1.2.5"]),
            ("PatientID", "", ["1.2.4", "1.2.3", "1.2.2", "1.2.1", "1.2.5"]),
            ("PatientName", "muller*", ["1.2.2", "1.2.1"]),
            ("PatientName", "MÜLLER^JORG", ["1.2.1"]),
            ("PatientName", "*j?*", ["1.2.4", "1.2.1"]),
            ("PatientName", "山田*", ["1.2.3"]),
            ("PatientName", "Yamada^Tarou", ["1.2.3"]),
            ("StudyDate", "20240102", ["1.2.3", "1.2.2"]),
            ("StudyDate", "20240102-", ["1.2.4", "1.2.3", "1.2.2"]),
            ("StudyDate", "-20240101", ["1.2.1"]),
            ("StudyDate", "20240101-20240102", ["1.2.3", "1.2.2", "1.2.1"]),
            ("AccessionNumber", "A3", ["1.2.3"]),
            ("AccessionNumber", "A*", ["1.2.3", "1.2.2", "1.2.1"]),
            ("StudyID", "S-1", ["1.2.4", "1.2.3", "1.2.2", "1.2.1", "1.2.5"]),
            ("StudyID", "S-2", []),
            ("StudyInstanceUID", "1.2.2", ["1.2.2"]),
            ("StudyInstanceUID", "1.2.2\\1.2.4\\1.2.99", ["1.2.4", "1.2.2"]),
            ("ModalitiesInStudy", "MR", ["1.2.2"]),
            ("ModalitiesInStudy", "SR", ["1.2.4", "1.2.2"]),
            ("ModalitiesInStudy", "C", []),
            ("ModalitiesInStudy", "?R", ["1.2.4", "1.2.2"]),
            ("StudyDescription", "STUDY 3", ["1.2.4"]),
            ("PatientSex", "F", ["1.2.4", "1.2.3", "1.2.2", "1.2.1", "1.2.5"]),
            ("PatientSex", "M", []),
        ],
    )
    def test_one_key_matches_as_the_standard_says(self, catalog: Catalog, keyword, text, found):
        assert uids(find(catalog, **{keyword: text})) == found

    @pytest.mark.parametrize(
        ("keyword", "found"),
        [
            ("PatientID", ["1.2.5"]),
            ("AccessionNumber", ["1.2.4", "1.2.5"]),
            ("StudyDate", ["1.2.5"]),
            ("PatientName", ["1.2.5"]),
            ("ModalitiesInStudy", []),
            ("StudyDescription", []),
        ],
    )
    def test_what_has_no_value_is_found_by_asking_for_none(self, catalog: Catalog, keyword, found):
        search = Search(level=Level.STUDY, partition="main", limit=9, conditions=(empty(keyword),))
        assert uids(catalog.search(search)) == found

    @pytest.mark.parametrize("level", Level)
    @pytest.mark.parametrize("keys", [{}, {"PatientName": "m*"}, {"PatientID": "P-*"}])
    def test_matches_are_counted_without_being_read(self, catalog: Catalog, level, keys):
        conditions = tuple(parse(keyword, text) for keyword, text in keys.items())
        search = Search(level=level, partition="main", limit=9, conditions=conditions)
        rows = catalog.search(search)
        asked = msgspec.structs.replace(search, limit=1, offset=1)
        assert catalog.count(asked) == len(rows)
        behind = msgspec.structs.replace(asked, after=rows[0].position)
        assert catalog.count(behind) == len(rows) - 1

    def test_all_keys_must_match(self, catalog: Catalog):
        assert uids(find(catalog, StudyDate="20240102", PatientName="m*")) == ["1.2.2"]
        assert find(catalog, PatientID="P-1", ModalitiesInStudy="MR") == []

    def test_date_and_time_ranges_are_one_range_of_moments(self, catalog: Catalog):
        keys = {"StudyDate": "20240101-20240102", "StudyTime": "0930-0800"}
        assert uids(find(catalog, **keys)) == ["1.2.3", "1.2.1"]
        conditions = tuple(parse(keyword, text) for keyword, text in keys.items())
        apart = Search(
            level=Level.STUDY,
            partition="main",
            limit=9,
            conditions=conditions,
            combined_datetime=False,
        )
        assert uids(catalog.search(apart)) == []

    def test_series_carry_what_their_study_says(self, catalog: Catalog):
        search = Search(level=Level.SERIES, partition="main", limit=9, study_instance_uid="1.2.2")
        rows = catalog.search(search)
        assert uids(rows, "SeriesInstanceUID") == ["1.2.2.0", "1.2.2.1"]
        assert rows[1].attributes["Modality"] == "SR"
        assert rows[1].attributes["PatientName"] == "MULLER^ANNA"
        assert rows[1].attributes["NumberOfSeriesRelatedInstances"] == "1"
        assert rows[1].attributes["NumberOfStudyRelatedSeries"] == "2"

    def test_series_match_by_their_own_and_their_studys_keys(self, catalog: Catalog):
        def series(**keys):
            return uids(find(catalog, Level.SERIES, **keys), "SeriesInstanceUID")

        assert series(Modality="SR") == ["1.2.4.1", "1.2.2.1"]
        assert series(SeriesInstanceUID="1.2.4.0\\1.2.1.0") == ["1.2.4.0", "1.2.1.0"]
        assert series(PatientID="P-2", SeriesDescription="*1") == ["1.2.2.1"]
        assert series(PatientName="smith*") == ["1.2.4.0", "1.2.4.1"]

    def test_patients_are_found_with_their_counts(self, catalog: Catalog):
        (row,) = find(catalog, Level.PATIENT, PatientName="MULLER^A*")
        assert row.attributes["PatientID"] == "P-2"
        assert row.attributes["NumberOfPatientRelatedStudies"] == "1"
        assert row.attributes["NumberOfPatientRelatedSeries"] == "2"
        assert row.attributes["NumberOfPatientRelatedInstances"] == "2"
        assert len(find(catalog, Level.PATIENT)) == 5
        assert len(find(catalog, Level.PATIENT, PatientID="P-*")) == 4

    def test_a_search_that_stopped_early_does_not_hold_later_ones_in_the_past(
        self, catalog: Catalog
    ):
        for _ in range(5):
            assert len(find(catalog, limit=1, StudyDescription="STUDY*")) == 1
            catalog.spooled_of_series(1, bytes_max=1)
        seal_all(catalog, "all")
        assert catalog.series_to_seal(**EVER) == []
        assert catalog.totals().received == Tally()

    def test_a_page_begins_behind_a_match_whatever_came_in_meanwhile(self, catalog: Catalog):
        def pages(**keys) -> list[str]:
            conditions = tuple(parse(keyword, text) for keyword, text in keys.items())
            asked = Search(level=Level.STUDY, partition="main", limit=2, conditions=conditions)
            found = []
            while page := catalog.search(asked):
                found += uids(page)
                asked = msgspec.structs.replace(asked, after=page[-1].position)
                place = (9, len(found))
                late = spooled(place, f"1.9.9.{len(found)}", study="1.2.9", StudyDate="20250101")
                catalog.record_spooled([late], node_id=NODE)
            return found

        assert pages() == ["1.2.4", "1.2.3", "1.2.2", "1.2.1", "1.2.5"]
        assert pages(PatientName="m*") == ["1.2.2", "1.2.1"]
        assert pages(StudyDate="-20240102") == ["1.2.3", "1.2.2", "1.2.1"]
        assert pages(StudyDate="20240102") == ["1.2.3", "1.2.2"]

    def test_only_what_is_asked_for_is_computed(self, catalog: Catalog):
        (row,) = find(catalog, PatientID="P-2", computed=frozenset({"InstanceAvailability"}))
        assert row.attributes["InstanceAvailability"] == "ONLINE"
        assert not [each for each in row.attributes if each.startswith("Number")]
        patients = frozenset({"NumberOfPatientRelatedInstances"})
        (row,) = find(catalog, PatientID="P-2", computed=patients)
        assert row.attributes["NumberOfPatientRelatedInstances"] == "2"

    def test_what_lies_nowhere_here_is_nearline_and_what_no_copy_is_left_of_offline(
        self, catalog: Catalog
    ):
        def said(level: Level = Level.STUDY, **keys: str) -> list[str]:
            wanted = frozenset({"InstanceAvailability"})
            rows = find(catalog, level, computed=wanted, PatientID="P-2", **keys)
            return [row.attributes["InstanceAvailability"] for row in rows]

        packs = catalog.packs(numbers=seal_all(catalog, "all"), limit=99)
        study = catalog.holdings("1.2.2").series[0].study
        first, second = [row.number for row in packs if row.study == study]
        catalog.set_copy(first, "bucket", None, CopyState.PENDING)
        catalog.set_copy(first, "bucket", CopyState.PENDING, CopyState.REPLICATED)
        assert said() == ["ONLINE"]
        catalog.set_local(first, False)
        assert (said(), said(Level.SERIES)) == (["NEARLINE"], ["NEARLINE", "ONLINE"])
        catalog.set_local(second, False)
        assert (said(), said(Level.PATIENT)) == (["OFFLINE"], ["OFFLINE"])
        assert said(Level.SERIES) == ["NEARLINE", "OFFLINE"]

    def test_a_study_tells_the_sop_classes_of_all_its_instances(self, catalog: Catalog):
        ct, mr = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
        one = spooled((3, 0), "1.9.70", study="1.2.1", series="1.2.1.0")
        other = msgspec.structs.replace(one.header, sop_class_uid=mr, sop_instance_uid="1.9.71")
        catalog.record_spooled([one], node_id=NODE)
        catalog.record_spooled(
            [msgspec.structs.replace(one, offset=1, header=other, sha256=b"o" * 32)], node_id=NODE
        )
        assert uids(find(catalog, SOPClassesInStudy=mr)) == ["1.2.1"]
        (row,) = find(catalog, StudyInstanceUID="1.2.1")
        assert row.attributes["SOPClassesInStudy"] == f"{ct}\\{mr}"
        assert len(find(catalog, SOPClassesInStudy=f"{mr}\\{ct}")) == 5

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("jorg muller", ["1.2.1"]),
            ("Mueller Joerg", ["1.2.1"]),
            ("mull", ["1.2.2", "1.2.1"]),
            ("たろう", ["1.2.3"]),
            ("山田太", ["1.2.3"]),
            ("taro yama", ["1.2.3"]),
            ("=山田", ["1.2.3"]),
            ("smithjohn", ["1.2.4"]),
            ("ohn", []),
            ("taro 山田", []),  # not in one component group
        ],
    )
    def test_a_name_is_found_by_its_words_under_fuzzy_matching(self, catalog: Catalog, name, found):
        search = Search(
            level=Level.STUDY,
            partition="main",
            limit=9,
            conditions=(fuzzy("PatientName", name),),
        )
        assert uids(catalog.search(search)) == found

    def test_moments_are_asked_for_and_told_in_the_askers_time_zone(self, catalog: Catalog):
        catalog.record_spooled(
            [
                spooled(
                    (3, 0),
                    "1.9.80",
                    study="1.2.8",
                    StudyDate="20240301",
                    StudyTime="003015",
                    TimezoneOffsetFromUTC="+0100",
                )
            ],
            node_id=NODE,
        )

        def asked(zone: Zone, **keys: str):
            return [
                (row.attributes["StudyInstanceUID"], *moment_of(row.attributes))
                for row in find(catalog, zone=zone, **keys)
            ]

        utc, tokyo = Zone(0, None), Zone(9 * 60, None)
        assert asked(utc, StudyDate="20240229") == [("1.2.8", "20240229", "233015", "+0000")]
        assert asked(utc, StudyDate="20240301") == []
        assert asked(tokyo, StudyDate="20240301-", StudyTime="0830-") == [
            ("1.2.8", "20240301", "083015", "+0900")
        ]
        # What states no offset is told as it is, unless the site's zone is known.
        assert asked(tokyo, AccessionNumber="A2") == [("1.2.2", "20240102", "2200", "")]
        assert asked(Zone(9 * 60, UTC), AccessionNumber="A2") == [
            ("1.2.2", "20240103", "0700", "+0900")
        ]
        assert uids(find(catalog, zone=Zone(9 * 60, UTC), StudyDate="20240103")) == [
            "1.2.4",
            "1.2.2",
        ]

    def test_an_attribute_that_is_not_kept_is_refused(self, catalog: Catalog):
        with pytest.raises(UnmatchableError):
            find(catalog, Modality="CT")
        with pytest.raises(UnmatchableError):
            find(catalog, Level.PATIENT, StudyDate="20240101")

    def test_partitions_do_not_see_one_another(self, catalog: Catalog):
        catalog.record_spooled(
            [spooled((2, 0), "1.9.77", study="1.2.1", partition="other", PatientID="P-1")],
            node_id=NODE,
        )
        assert len(find(catalog, PatientID="P-1")) == 1
        other = Search(level=Level.STUDY, partition="other", limit=9)
        assert [row.attributes["PatientName"] for row in catalog.search(other)] == ["Doe^Jane"]
        assert len(catalog.holdings("1.2.1", partition="other").spooled) == 1
        assert len(catalog.holdings("1.2.1").spooled) == 2
        none = Search(level=Level.STUDY, partition="nowhere", limit=9)
        assert catalog.search(none) == []

    def test_holdings_are_a_studys_or_a_series(self, catalog: Catalog):
        seal_all(catalog, "all")
        whole = catalog.holdings("1.2.2")
        assert [row.series_instance_uid for row in whole.series] == ["1.2.2.0", "1.2.2.1"]
        assert len(whole.packs) == 2
        part = catalog.holdings("1.2.2", "1.2.2.1")
        assert [row.series_instance_uid for row in part.series] == ["1.2.2.1"]
        assert part.series[0].attributes["Modality"] == "SR"
        assert part.packs == whole.packs[1:]
        assert catalog.holdings("1.2.99").series == []


class RecordSuite:
    """The node's own records."""

    def test_settings_are_kept_by_name(self, catalog: Catalog):
        assert catalog.setting("site") is None
        catalog.set_setting("site", "north")
        catalog.set_setting("site", "south")
        assert catalog.setting("site") == "south"

    def test_the_applied_index_only_grows(self, catalog: Catalog):
        assert catalog.applied_index() == 0
        catalog.set_applied_index(7)
        catalog.set_applied_index(7)
        with pytest.raises(StateMovedError):
            catalog.set_applied_index(6)
        assert catalog.applied_index() == 7

    def test_a_task_is_one_record_that_changes(self, catalog: Catalog, clock: ManualClock):
        task = Task(id="t1", kind="import", subject="folder", state=TaskState.RUNNING)
        catalog.put_task(task)
        created = catalog.task("t1")
        assert created is not None
        clock.advance(5)
        catalog.put_task(
            Task(
                id="t1",
                kind="import",
                subject="folder",
                state=TaskState.RUNNING,
                percent=12.5,
                bytes_done=10,
                bytes_total=80,
                rate_bytes_per_s=2.5,
                eta_s=28.0,
                cursor="file 3",
                last_error="",
                ledger_index=4,
            )
        )
        (row,) = catalog.tasks()
        assert (row.percent, row.eta_s, row.cursor, row.ledger_index) == (12.5, 28.0, "file 3", 4)
        assert row.created_at_ns == created.created_at_ns
        assert row.updated_at_ns == created.updated_at_ns + 5 * SECOND_NS
        assert catalog.tasks(kind="scrub") == []
        assert catalog.task("t2") is None

    def test_finished_tasks_are_kept_up_to_a_bound_and_others_always(
        self, catalog: Catalog, clock: ManualClock
    ):
        catalog.put_task(Task(id="runs", kind="k", state=TaskState.RUNNING))
        for n in range(1005):
            clock.advance(1)
            catalog.put_task(Task(id=f"t{n}", kind="k", state=TaskState.DONE))
        kept = {task.id for task in catalog.tasks(limit=5000)}
        assert len(kept) == 1001
        assert "runs" in kept
        assert "t4" not in kept
        assert "t5" in kept

    def test_refused_callers_are_counted_and_bounded(self, catalog: Catalog, clock: ManualClock):
        def refuse(address: str, count: int = 1) -> None:
            clock.advance(1)
            catalog.record_refused(
                address=address,
                calling_ae_title="EVIL\0\ud800" + "x" * 500,
                called_ae_title="FILEROOM",
                reason="not a peer",
                count=count,
            )

        for n in range(1005):
            refuse(f"10.0.0.{n}")
        refuse("10.0.0.1004", count=3)
        callers = catalog.refused_callers(limit=5000)
        assert len(callers) == 1000
        assert (callers[0].address, callers[0].count) == ("10.0.0.1004", 4)
        assert callers[0].last_at_ns - callers[0].first_at_ns == SECOND_NS
        assert len(callers[0].calling_ae_title) <= 64
        assert callers[-1].address == "10.0.0.5"

    def test_upkeep_changes_nothing_that_is_seen(self, catalog: Catalog):
        catalog.record_spooled([spooled((1, n), f"1.9.{n}") for n in range(50)], node_id=NODE)
        seal_all(catalog, "all")
        before = (find(catalog), catalog.totals())
        catalog.make_durable()
        catalog.shrink()
        catalog.check()
        assert (find(catalog), catalog.totals()) == before


class CatalogSuite(
    SpoolSuite,
    SealSuite,
    PackSuite,
    RecordSuite,
    ArrivalSuite,
    CommitmentSuite,
    ConflictSuite,
    ForwardSuite,
    TwoPatientsSuite,
    RejectionSuite,
):
    """All but the searches, which have a fixture of their own."""

"""What every catalog does with rejections."""

import pytest

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
from fileroom.catalog.errors import SegmentInUseError
from fileroom.catalog.port import Catalog
from fileroom.catalog.query import Level, Search
from fileroom.catalog.rejections import Rejection, RejectionTotals, Scope
from fileroom.catalog.rows import InstancePlace, Located, NewSpooled, Sealed, SpoolPlace
from fileroom.dicom.match import parse
from fileroom.dicom.uid import digest

STUDY, SERIES, OTHER = "1.2.1", "1.2.1.1", "1.2.1.2"
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"


def rejected(index: int, *scope, note: str = "", ends: bool = False, **said) -> Rejection:
    return Rejection(
        ledger_index=index,
        scope=Scope(*scope),
        decided_by="127.0.0.1",
        decided_at_ns=T0_NS + index,
        note_uid=note,
        ends_note=ends,
        **{"code": "113001", "reason": "wrong side"} | said,
    )


def find(catalog: Catalog, level: Level = Level.STUDY, **keys):
    conditions = tuple(parse(keyword, text) for keyword, text in keys.items())
    search = Search(level=level, partition="main", limit=100, conditions=conditions, computed=None)
    found = catalog.search(search)
    assert catalog.count(search) == len(found)
    return [row.attributes for row in found]


def served(catalog: Catalog, study: str = STUDY) -> int:
    """How many instances a reader of a study gets, by what is held for it."""
    held = catalog.holdings(study)
    return sum(each.instance_count - each.conflict_count for each in held.packs) + len(held.spooled)


def two_series(catalog: Catalog) -> None:
    """1.9.1 and 1.9.2 in the first, 1.9.3 in the second; a study of another patient."""
    catalog.record_spooled(
        [
            spooled((1, 0), "1.9.1"),
            spooled((1, 1), "1.9.2"),
            spooled((1, 2), "1.9.3", series=OTHER, Modality="SR"),
            spooled((1, 3), "1.9.4", study="1.2.2", series="1.2.2.1", PatientID="P-2"),
        ],
        node_id=NODE,
    )


class RejectionSuite:
    """Rejections."""

    @pytest.fixture(params=["in the spool", "in packs"])
    def held(self, catalog: Catalog, request) -> Catalog:
        two_series(catalog)
        if request.param == "in packs":
            seal_all(catalog, "pack")
        return catalog

    def test_a_rejected_study_is_found_by_nobody(self, held: Catalog):
        before = held.totals()
        held.record_rejected(rejected(7, STUDY))
        assert [each["StudyInstanceUID"] for each in find(held)] == ["1.2.2"]
        assert [each["PatientID"] for each in find(held, Level.PATIENT)] == ["P-2"]
        assert len(find(held, Level.SERIES)) == 1
        assert find(held, Level.SERIES, StudyInstanceUID=STUDY) == []
        assert held.locate(digest("1.9.1")) == Located()
        assert held.holdings(STUDY).series == []
        assert served(held) == 0
        assert held.totals() == before, "it is kept, and counted among what is"

    def test_a_rejected_series_leaves_the_rest_of_its_study(self, held: Catalog):
        held.record_rejected(rejected(7, STUDY, SERIES))
        (study,) = find(held, StudyInstanceUID=STUDY)
        assert study["NumberOfStudyRelatedSeries"] == "1"
        assert study["NumberOfStudyRelatedInstances"] == "1"
        (series,) = find(held, Level.SERIES, StudyInstanceUID=STUDY)
        assert series["SeriesInstanceUID"] == OTHER
        assert held.locate(digest("1.9.1")) == Located()
        assert held.locate(digest("1.9.3")) != Located()
        assert served(held) == 1
        assert held.holdings(STUDY, SERIES).series == []

    def test_a_rejected_instance_leaves_the_rest_of_its_series(self, held: Catalog):
        held.record_rejected(rejected(7, STUDY, SERIES, ("1.9.1",)))
        (series,) = find(held, Level.SERIES, SeriesInstanceUID=SERIES)
        assert series["NumberOfSeriesRelatedInstances"] == "1"
        assert series["NumberOfStudyRelatedInstances"] == "2"
        assert held.locate(digest("1.9.1")) == Located()
        assert held.locate(digest("1.9.2")) != Located()
        assert served(held) == 2

    def test_a_series_and_a_study_with_nothing_left_vanish(self, held: Catalog):
        held.record_rejected(rejected(7, STUDY, SERIES, ("1.9.1", "1.9.2")))
        (study,) = find(held, StudyInstanceUID=STUDY)
        assert study["NumberOfStudyRelatedSeries"] == "1"
        held.record_rejected(rejected(8, STUDY, OTHER, ("1.9.3",)))
        assert find(held, StudyInstanceUID=STUDY) == []
        assert held.holdings(STUDY).series == []

    def test_counts_of_a_patient_leave_out_what_is_hidden(self, held: Catalog):
        more = [spooled((2, 0), "1.9.7", study="1.2.3", series="1.2.3.1")]
        held.record_spooled(more, node_id=NODE)
        held.record_rejected(rejected(7, STUDY))
        search = Search(
            level=Level.PATIENT,
            partition="main",
            limit=9,
            conditions=(parse("PatientID", "P-1"),),
        )
        (row,) = held.search(search)
        counts = {name: text for name, text in row.attributes.items() if name[:8] == "NumberOf"}
        assert counts == {
            "NumberOfPatientRelatedStudies": "1",
            "NumberOfPatientRelatedSeries": "1",
            "NumberOfPatientRelatedInstances": "1",
        }

    def test_what_is_hidden_makes_nothing_less_available(self, catalog: Catalog):
        two_series(catalog)
        packs = seal_all(catalog, "pack")
        catalog.set_local(packs[0], False)
        search = Search(
            level=Level.STUDY,
            partition="main",
            limit=9,
            conditions=(parse("StudyInstanceUID", STUDY),),
            computed=frozenset({"InstanceAvailability"}),
        )
        assert catalog.search(search)[0].attributes["InstanceAvailability"] == "OFFLINE"
        catalog.record_rejected(rejected(7, STUDY, SERIES))
        assert catalog.search(search)[0].attributes["InstanceAvailability"] == "ONLINE"

    def test_members_that_are_hidden_are_named_among_those_not_to_serve(self, catalog: Catalog):
        two_series(catalog)
        packs = seal_all(catalog, "pack")
        catalog.record_rejected(rejected(7, STUDY, SERIES, ("1.9.2",)))
        held = catalog.holdings(STUDY, SERIES)
        assert held.conflicts == {InstancePlace(packs[0], 2)}
        assert [each.conflict_count for each in held.packs] == [1]
        assert [each.conflict_count for each in catalog.packs(numbers=packs[:1], limit=1)] == [0]

    def test_what_comes_for_it_later_is_hidden_too(self, catalog: Catalog):
        catalog.record_rejected(rejected(7, STUDY, SERIES, ("1.9.1",)))
        catalog.record_rejected(rejected(8, STUDY, OTHER))
        two_series(catalog)
        for _ in ("in the spool", "in packs"):
            (study,) = find(catalog, StudyInstanceUID=STUDY)
            assert study["NumberOfStudyRelatedInstances"] == "1"
            assert served(catalog) == 1
            assert catalog.locate(digest("1.9.1")) == Located()
            seal_all(catalog, "pack")

    def test_the_same_instance_again_stays_hidden(self, held: Catalog):
        held.record_rejected(rejected(7, STUDY, SERIES, ("1.9.1",)))
        held.record_spooled([spooled((2, 0), "1.9.1")], node_id=NODE)
        assert held.locate(digest("1.9.1")) == Located()
        assert served(held) == 2

    def test_an_instance_of_another_study_than_a_decision_says_stays(self, held: Catalog):
        held.record_rejected(rejected(7, "1.2.2", "1.2.2.1", ("1.9.1",)))
        held.record_rejected(rejected(8, STUDY, OTHER, ("1.9.1",)))
        assert held.locate(digest("1.9.1")) != Located()
        assert served(held) == 3

    def test_what_is_restored_is_as_it_was(self, held: Catalog):
        everything = [find(held, level) for level in Level]
        before = held.holdings(STUDY)
        scopes = ((STUDY,), (STUDY, SERIES), (STUDY, SERIES, ("1.9.1", "1.9.2")))
        for index, scope in enumerate(scopes):
            held.record_rejected(rejected(index, *scope))
            assert held.holdings(STUDY) != before
            held.record_restored(Scope(*scope), everything=False)
            assert held.holdings(STUDY) == before
            assert [find(held, level) for level in Level] == everything
            assert held.rejections(limit=9) == []

    def test_restoring_undoes_exactly_what_it_names(self, held: Catalog):
        held.record_rejected(rejected(1, STUDY, SERIES, ("1.9.1", "1.9.2")))
        held.record_rejected(rejected(2, STUDY, OTHER))
        held.record_rejected(rejected(3, STUDY))
        held.record_restored(Scope(STUDY), everything=False)
        assert find(held, StudyInstanceUID=STUDY) == []
        held.record_restored(Scope(STUDY, SERIES), everything=False)
        held.record_restored(Scope(STUDY, SERIES, ("1.9.2",)), everything=False)
        assert served(held) == 1
        assert [each.scope for each in held.rejections(limit=9)] == [
            Scope(STUDY, OTHER),
            Scope(STUDY, SERIES, ("1.9.1",)),
        ]
        held.record_restored(Scope(STUDY), everything=True)
        assert held.rejections(limit=9) == []
        assert served(held) == 3

    def test_restoring_everything_of_a_series_leaves_the_others(self, held: Catalog):
        held.record_rejected(rejected(1, STUDY, SERIES, ("1.9.1",)))
        held.record_rejected(rejected(2, STUDY, SERIES))
        held.record_rejected(rejected(3, STUDY, OTHER))
        held.record_restored(Scope(STUDY, SERIES), everything=True)
        assert [each.scope for each in held.rejections(limit=9)] == [Scope(STUDY, OTHER)]

    def test_a_later_decision_about_the_same_takes_its_place(self, catalog: Catalog):
        catalog.record_rejected(rejected(1, STUDY, SERIES, ("1.9.1", "1.9.2")))
        catalog.record_rejected(rejected(2, STUDY, SERIES, ("1.9.2", "1.9.3"), code="113037"))
        catalog.record_rejected(rejected(3, STUDY))
        catalog.record_rejected(rejected(4, STUDY, code="113038"))
        assert [
            (each.ledger_index, each.scope, each.code) for each in catalog.rejections(limit=9)
        ] == [
            (4, Scope(STUDY), "113038"),
            (2, Scope(STUDY, SERIES, ("1.9.2", "1.9.3")), "113037"),
            (1, Scope(STUDY, SERIES, ("1.9.1",)), "113001"),
        ]
        assert catalog.rejection_totals() == RejectionTotals(studies=1, series=0, instances=3)
        catalog.record_rejected(rejected(5, STUDY, SERIES, ("1.9.1", "1.9.2", "1.9.3")))
        assert [each.ledger_index for each in catalog.rejections(limit=9)] == [5, 4]

    def test_decisions_that_are_told_again_from_one_on_end_as_they_did(self, held: Catalog):
        decisions = [
            lambda: held.record_rejected(rejected(1, STUDY, SERIES, ("1.9.1",))),
            lambda: held.record_rejected(rejected(2, STUDY)),
            lambda: held.record_restored(Scope(STUDY), everything=True),
            lambda: held.record_rejected(rejected(4, STUDY, SERIES, ("1.9.1", "1.9.2"))),
            lambda: held.record_restored(Scope(STUDY, SERIES, ("1.9.2",)), everything=False),
        ]
        for decide in decisions:
            decide()
        ended = held.rejections(limit=9)
        for first in range(len(decisions)):
            for decide in decisions[first:]:
                decide()
            assert held.rejections(limit=9) == ended

    def test_decisions_are_listed_latest_first_by_study_and_in_pages(self, catalog: Catalog):
        said = rejected(1, STUDY, note="1.3.1", code="113039", reason="")
        catalog.record_rejected(said)
        catalog.record_rejected(rejected(2, "1.2.2"))
        catalog.record_rejected(rejected(3, STUDY, SERIES))
        assert [each.ledger_index for each in catalog.rejections(limit=2)] == [3, 2]
        assert catalog.rejections(before=2, limit=2) == [said]
        of_study = catalog.rejections(study_instance_uid=STUDY, limit=9)
        assert [each.ledger_index for each in of_study] == [3, 1]
        assert catalog.rejections(study_instance_uid="1.2.3", limit=9) == []

    def test_what_comes_for_a_whole_study_since_is_told(self, catalog: Catalog):
        two_series(catalog)
        for index, scope in enumerate(((STUDY,), (STUDY, SERIES), (STUDY, OTHER, ("1.9.3",)))):
            catalog.record_rejected(rejected(index, *scope))
        assert not any(each.outgrown for each in catalog.rejections(limit=9))
        late = spooled((2, 0), "1.9.8", series=OTHER, received_at_ns=T0_NS + SECOND_NS)
        catalog.record_spooled([late], node_id=NODE)
        outgrown = [each.ledger_index for each in catalog.rejections(limit=9) if each.outgrown]
        assert outgrown == [0]
        assert catalog.rejection_totals().outgrown == 1
        seal_all(catalog, "pack")  # with what came before, as its oldest instance says
        assert catalog.rejection_totals().outgrown == 0
        late = spooled((2, 1), "1.9.9", received_at_ns=T0_NS + SECOND_NS)
        catalog.record_spooled([late], node_id=NODE)
        rows = catalog.spooled_of_series(1, bytes_max=1 << 62)
        catalog.record_sealed(
            new_pack(1, 1, "later", received_oldest_ns=T0_NS + SECOND_NS),
            members=members_of(rows),
            lease=None,
        )
        outgrown = [each.ledger_index for each in catalog.rejections(limit=9) if each.outgrown]
        assert outgrown == [1, 0]

    def test_storage_commitment_is_told_where_it_lies_as_before(self, held: Catalog):
        uids = [digest(f"1.9.{n}") for n in range(1, 4)]
        before = held.whereabouts(uids)
        assert len(before) == 3
        held.record_rejected(rejected(1, STUDY))
        assert held.whereabouts(uids) == before

    def test_what_is_kept_is_told_hidden_or_not(self, held: Catalog):
        held.record_rejected(rejected(1, STUDY))
        uids = [digest(f"1.9.{n}") for n in range(1, 6)]
        assert held.kept(STUDY, uids) == {SERIES: set(uids[:2]), OTHER: {uids[2]}}
        assert held.kept(STUDY, []) == {SERIES: set(), OTHER: set()}
        assert held.kept("1.2.9", uids) == {}

    def test_further_data_sets_and_those_set_aside_are_kept_too(self, catalog: Catalog):
        two_series(catalog)
        (row,) = catalog.spooled_of_series(2, bytes_max=1)
        catalog.set_aside([row.id])
        rows = catalog.spooled_of_series(1, bytes_max=1 << 62)
        conflict = Sealed(None, digest("1.9.8"), 9)
        catalog.record_sealed(
            new_pack(1, 1, "pack"), members=members_of(rows), conflicts=[conflict], lease=None
        )
        uids = [digest(f"1.9.{n}") for n in (1, 3, 8)]
        assert catalog.kept(STUDY, uids) == {SERIES: {uids[0], uids[2]}, OTHER: {uids[1]}}

    def test_a_key_object_selection_waits_to_be_looked_at(self, catalog: Catalog):
        catalog.record_spooled([note((1, 5)), spooled((1, 6), "1.9.1")], node_id=NODE)
        (waiting,) = catalog.waiting_notes(limit=9)
        assert (waiting.place, waiting.followed) == (SpoolPlace(1, 5), False)
        catalog.forget_note(waiting.id)
        assert catalog.waiting_notes(limit=9) == []

    def test_a_segment_stays_for_the_note_in_it(self, catalog: Catalog):
        catalog.record_spooled([note((1, 5))], node_id=NODE)
        seal_all(catalog, "pack")
        assert catalog.segments_in_use() == {1}
        with pytest.raises(SegmentInUseError):
            catalog.forget_segment(1)
        (waiting,) = catalog.waiting_notes(limit=9)
        catalog.forget_note(waiting.id)
        assert catalog.segments_in_use() == set()
        catalog.forget_segment(1)

    def test_a_note_is_followed_once_whatever_is_restored_and_however_often_it_comes(
        self, catalog: Catalog
    ):
        catalog.record_spooled([note((1, 5))], node_id=NODE)
        catalog.record_rejected(rejected(1, STUDY, SERIES, ("1.9.1",), note="1.3.1"))
        assert [each.followed for each in catalog.waiting_notes(limit=9)] == [False]
        last = rejected(2, STUDY, OTHER, ("1.9.3",), note="1.3.1", ends=True)
        catalog.record_rejected(last)
        catalog.record_restored(Scope(STUDY), everything=True)
        catalog.record_spooled([note((2, 0))], node_id=NODE)
        assert [each.followed for each in catalog.waiting_notes(limit=9)] == [True, True]

    def test_a_record_that_was_sealed_is_no_note_to_look_at_again(self, catalog: Catalog):
        catalog.record_spooled([note((1, 5))], node_id=NODE)
        (waiting,) = catalog.waiting_notes(limit=9)
        catalog.forget_note(waiting.id)
        seal_all(catalog, "pack")
        catalog.record_spooled([note((1, 5))], node_id=NODE)
        assert catalog.waiting_notes(limit=9) == []


def note(place: tuple[int, int]) -> NewSpooled:
    said = header("1.3.1", series="1.2.1.7", sop_class=KEY_OBJECT_SELECTION, Modality="KO")
    return NewSpooled(
        segment=place[0],
        offset=place[1],
        partition="main",
        header=said,
        size_bytes=100,
        sha256=b"n" * 32,
        received_at_ns=T0_NS,
    )

"""What every catalog does with data sets that share a UID, and with studies of two patients."""

import hashlib

from conform.catalog_samples import NODE, T0_NS, header, new_pack, seal_all, spooled
from fileroom.catalog.conflicts import KnownPlace, Settlement
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import InstancePlace, Moved, SaidPatient, Sealed, Standing
from fileroom.dicom.uid import digest

UID = digest("1.9.1")
JANE = SaidPatient("P-1", "", "Doe^Jane", "19610412", 1)


def data(name: str) -> bytes:
    """The SHA-256 of a data set."""
    return hashlib.sha256(b"data " + name.encode()).digest()


def named(name: str) -> KnownPlace:
    """The one data set in the pack that `new_pack` makes of a name."""
    return KnownPlace(hashlib.sha256(name.encode()).digest(), 1, data(name))


def settlement(served: str, known: str = "AB", index: int = 7) -> Settlement:
    return Settlement(
        uid_digest=UID,
        served_sha256=data(served),
        known=tuple(map(named, known)),
        ledger_index=index,
        decided_at_ns=T0_NS,
        decided_by="127.0.0.1",
        reason="the second one is whole",
    )


def record(
    catalog: Catalog, name: str, standing: Standing, moved=(), *, holds="", replacement=False
) -> int:
    """A pack of a series that is there, with one data set under UID."""
    found = {each: [] for each in Standing}
    found[standing] = [Sealed(None, UID, 1, data(holds or name), replacement)]
    return catalog.record_sealed(
        new_pack(1, 1, name),
        members=found[Standing.SERVED],
        conflicts=found[Standing.CONFLICT],
        repeated=found[Standing.REPEATED],
        moved=moved,
        lease=None,
    )


def contested(catalog: Catalog) -> tuple[int, int]:
    """The packs of the first and the second data set."""
    catalog.record_series("main", header("1.9.1"))
    return record(catalog, "A", Standing.SERVED), record(catalog, "B", Standing.CONFLICT)


class ConflictSuite:
    """Conflicts, and decisions about them."""

    def test_a_conflict_is_open_until_it_is_settled(self, catalog: Catalog):
        a, b = contested(catalog)
        (found,) = catalog.contested(limit=9, settled=False)
        assert (found.uid_digest, found.served) == (UID, InstancePlace(a, 1))
        assert (found.others, found.is_open, found.settled) == ((InstancePlace(b, 1),), True, None)
        assert catalog.contest(UID) == found
        assert catalog.conflict_totals().open == 1
        catalog.record_settlement(settlement("A"))
        assert catalog.contested(limit=9, settled=False) == []
        (found,) = catalog.contested(limit=9)
        assert (found.served, found.is_open) == (InstancePlace(a, 1), False)
        assert found.settled == settlement("A", "")
        assert catalog.conflict_totals().open == 0

    def test_what_was_decided_is_served_and_counted(self, catalog: Catalog):
        a, b = contested(catalog)
        catalog.record_settlement(settlement("B"))
        located = catalog.locate(UID)
        assert (located.pack.number, located.ordinal) == (b, 1)
        assert catalog.existing([UID]) == {UID: InstancePlace(b, 1)}
        assert catalog.conflicting([UID]) == {UID: [InstancePlace(a, 1)]}
        held = catalog.holdings("1.2.1")
        assert held.conflicts == {InstancePlace(a, 1)}
        assert {row.number: row.conflict_count for row in held.packs} == {a: 1, b: 0}
        assert catalog.totals().conflicts == 1

    def test_a_later_decision_undoes_an_earlier_one(self, catalog: Catalog):
        a, b = contested(catalog)
        catalog.record_settlement(settlement("B", index=7))
        catalog.record_settlement(settlement("A", index=8))
        assert catalog.existing([UID]) == {UID: InstancePlace(a, 1)}
        catalog.record_settlement(settlement("B", index=7))
        assert catalog.existing([UID]) == {UID: InstancePlace(a, 1)}
        catalog.record_settlement(settlement("B", index=9))
        catalog.record_settlement(settlement("B", index=9))
        assert catalog.existing([UID]) == {UID: InstancePlace(b, 1)}
        assert {row.number: row.conflict_count for row in catalog.packs(limit=9)} == {a: 1, b: 0}

    def test_a_decision_waits_for_its_pack(self, catalog: Catalog):
        """A catalog that is made again hears of packs one after the other."""
        catalog.record_settlement(settlement("B"))
        a, b = contested(catalog)
        assert catalog.existing([UID]) == {UID: InstancePlace(b, 1)}
        assert catalog.conflicting([UID]) == {UID: [InstancePlace(a, 1)]}
        assert catalog.contested(limit=9, settled=False) == []

    def test_a_pack_that_comes_late_does_not_undo_a_decision(self, catalog: Catalog):
        catalog.record_series("main", header("1.9.1"))
        catalog.record_settlement(settlement("B"))
        b = record(catalog, "B", Standing.CONFLICT)
        assert catalog.existing([UID]) == {UID: InstancePlace(b, 1)}
        moved = [Moved(UID, InstancePlace(b, 1), Standing.CONFLICT)]
        a = record(catalog, "A", Standing.SERVED, moved)
        assert catalog.existing([UID]) == {UID: InstancePlace(b, 1)}
        assert catalog.conflicting([UID]) == {UID: [InstancePlace(a, 1)]}

    def test_what_comes_after_a_decision_is_a_conflict_again(self, catalog: Catalog):
        _, b = contested(catalog)
        catalog.record_settlement(settlement("B"))
        record(catalog, "C", Standing.CONFLICT)
        assert catalog.existing([UID]) == {UID: InstancePlace(b, 1)}
        (found,) = catalog.contested(limit=9, settled=False)
        assert (found.is_open, len(found.others)) == (True, 2)

    def test_what_takes_the_place_of_the_unreadable_after_a_decision_stays(self, catalog: Catalog):
        _, b = contested(catalog)
        catalog.record_settlement(settlement("B"))
        moved = [Moved(UID, InstancePlace(b, 1), Standing.CONFLICT)]
        c = record(catalog, "C", Standing.SERVED, moved, replacement=True)
        assert catalog.existing([UID]) == {UID: InstancePlace(c, 1)}
        assert catalog.contest(UID).is_open
        catalog.record_settlement(settlement("A", "ABC", index=9))
        assert catalog.existing([UID])[UID].pack != c
        assert not catalog.contest(UID).is_open

    def test_a_decision_knows_its_data_sets_in_other_packs_too(self, catalog: Catalog):
        """What a node that lost its catalog sealed again from the spool, while a provider was
        away; then the packs of before come back."""
        catalog.record_series("main", header("1.9.1"))
        catalog.record_settlement(settlement("B"))
        again = [Sealed(None, UID, 1, data("A")), Sealed(None, UID, 2, data("B"))]
        both = catalog.record_sealed(
            new_pack(1, 1, "again"), members=again[:1], conflicts=again[1:], lease=None
        )
        assert catalog.existing([UID]) == {UID: InstancePlace(both, 2)}
        assert not catalog.contest(UID).is_open
        moved = [
            Moved(UID, InstancePlace(both, 1), Standing.REPEATED),
            Moved(UID, InstancePlace(both, 2), Standing.CONFLICT),
        ]
        record(catalog, "A", Standing.SERVED, moved)
        assert catalog.existing([UID]) == {UID: InstancePlace(both, 2)}
        record(catalog, "B", Standing.REPEATED)
        assert catalog.existing([UID]) == {UID: InstancePlace(both, 2)}
        assert not catalog.contest(UID).is_open

    def test_what_comes_first_to_a_new_catalog_makes_way_for_what_was_decided(
        self, catalog: Catalog
    ):
        catalog.record_series("main", header("1.9.1"))
        catalog.record_settlement(settlement("B"))
        c = record(catalog, "C", Standing.SERVED)
        b = record(catalog, "B", Standing.CONFLICT)
        assert catalog.existing([UID]) == {UID: InstancePlace(b, 1)}
        assert catalog.conflicting([UID]) == {UID: [InstancePlace(c, 1)]}
        assert catalog.contest(UID).is_open

    def test_the_same_bytes_once_more_are_no_conflict(self, catalog: Catalog):
        catalog.record_series("main", header("1.9.1"))
        record(catalog, "A", Standing.SERVED)
        record(catalog, "B", Standing.REPEATED)
        assert catalog.contested(limit=9) == []
        assert catalog.contest(UID) is None
        assert catalog.conflict_totals().open == 0

    def test_conflicts_are_given_page_by_page(self, catalog: Catalog):
        rows = [spooled((1, n), f"1.9.{n}") for n in range(5)]
        catalog.record_spooled(rows, node_id=NODE)
        (first,) = seal_all(catalog, "first")
        digests = sorted(digest(f"1.9.{n}") for n in range(5))
        catalog.record_sealed(
            new_pack(1, 1, "again"),
            members=[],
            conflicts=[Sealed(None, uid, n) for n, uid in enumerate(digests)],
            lease=None,
        )
        seen, after = [], b""
        while page := catalog.contested(after=after, limit=2):
            seen += [each.uid_digest for each in page]
            after = page[-1].uid_digest
        assert seen == digests
        assert {each.served.pack for each in catalog.contested(limit=9)} == {first}


class TwoPatientsSuite:
    """Studies that say another patient too."""

    def say(self, catalog: Catalog, name: str, *said: SaidPatient, **header_said) -> int:
        place = catalog.record_series("main", header("1.9.1", **header_said))
        pack = new_pack(place.study, place.series, name, patients=said)
        return catalog.record_sealed(pack, members=[Sealed(None, digest(name), 1)], lease=None)

    def test_a_study_of_one_patient_is_not_listed(self, catalog: Catalog):
        self.say(catalog, "A", JANE, JANE._replace(name="DOE^JANE^^^"), JANE._replace(name=""))
        self.say(catalog, "B", JANE._replace(issuer="NORTH", birth_date=""))
        assert catalog.doubted_studies(limit=9) == []
        assert catalog.conflict_totals().doubted_studies == 0

    def test_whoever_differs_is_listed_with_the_series(self, catalog: Catalog):
        others = [
            JANE._replace(patient_id="P-2", instances=3),
            JANE._replace(patient_id=""),
            JANE._replace(name="Roe^Richard"),
            JANE._replace(birth_date="19700101"),
        ]
        self.say(catalog, "A", JANE, *others)
        self.say(catalog, "B", others[0], series="1.2.1.2")
        self.say(catalog, "C", others[0])
        (found,) = catalog.doubted_studies(limit=9)
        assert (found.study_instance_uid, found.partition) == ("1.2.1", "main")
        assert found.patient == JANE._replace(instances=0)
        assert [(each.series_instance_uid, each.said) for each in found.others] == [
            ("1.2.1.1", others[1]),
            ("1.2.1.1", others[3]),
            ("1.2.1.1", others[2]),
            ("1.2.1.1", others[0]._replace(instances=6)),
            ("1.2.1.2", others[0]),
        ]
        assert catalog.conflict_totals().doubted_studies == 1

    def test_two_issuers_of_one_id_are_two_patients(self, catalog: Catalog):
        self.say(catalog, "A", JANE._replace(issuer="SOUTH"), IssuerOfPatientID="NORTH")
        (found,) = catalog.doubted_studies(limit=9)
        assert found.patient.issuer == "NORTH"

    def test_a_pack_that_is_forgotten_is_forgotten_here_too(self, catalog: Catalog):
        number = self.say(catalog, "A", JANE._replace(patient_id="P-2"))
        catalog.forget_pack(number, places=[])
        assert catalog.doubted_studies(limit=9) == []

    def test_studies_are_given_page_by_page(self, catalog: Catalog):
        for n in range(3):
            self.say(catalog, f"A{n}", JANE._replace(patient_id="P-2"), study=f"1.2.{n}")
        seen, after = [], 0
        while page := catalog.doubted_studies(after=after, limit=2):
            seen += [each.study_instance_uid for each in page]
            after = page[-1].study
        assert seen == ["1.2.0", "1.2.1", "1.2.2"]

"""The conflicts of the dictionary catalog."""

from fileroom.catalog.conflicts import (
    ConflictTotals,
    Contested,
    DoubtedStudy,
    OtherPatient,
    Settlement,
)
from fileroom.catalog.rows import InstancePlace, SaidPatient


class DictConflicts:
    """`CatalogConflicts` over the dictionaries of a `DictCatalog`."""

    def __init__(self) -> None:
        super().__init__()
        self.settlements = {}  # by UID digest
        self.decided_data_sets = {}  # (pack's SHA-256, ordinal) to (UID digest, SHA-256)
        self.decided_places = {}  # place to (SHA-256, whether it is a later replacement)
        self.strangers = {}  # pack to (study, series, those who say another patient)

    def record_settlement(self, settlement):
        uid = settlement.uid_digest
        before = self.settlements.get(uid)
        if before is None or before.ledger_index < settlement.ledger_index:
            self.settlements[uid] = settlement
        numbers = {row.sha256: number for number, row in self.pack_rows.items()}
        for pack_sha256, ordinal, sha256 in settlement.known:
            self.decided_data_sets.setdefault((pack_sha256, ordinal), (uid, sha256))
            if pack_sha256 in numbers:
                place = InstancePlace(numbers[pack_sha256], ordinal)
                self.decided_places[place] = (sha256, False)
        self._serve_as_settled(uid)

    def serve_as_settled(self, number, pack, sealed):
        for each in sealed:
            if each.uid_digest in self.settlements:
                known = (pack.sha256, each.ordinal) in self.decided_data_sets
                place = InstancePlace(number, each.ordinal)
                self.decided_places[place] = (each.sha256, each.replacement and not known)
        for uid_digest in {each.uid_digest for each in sealed}:
            self._serve_as_settled(uid_digest)

    def _serve_as_settled(self, uid):
        """What is decided is served, but not in place of what the decision did not know."""
        settled = self.settlements.get(uid)
        if settled is None:
            return
        chosen = [
            (at in self.same, at)
            for at, of in self.further.items()
            if of == uid and self._sha256(at) == settled.served_sha256
        ]
        served = self.instances.get(uid)
        if not chosen or (served and self._sha256(served) == settled.served_sha256):
            return
        if served is not None:
            if self.decided_places.get(served, (b"", True))[1]:
                return
            self.further[served] = uid
            self._recount(served.pack, +1)
        place = min(chosen)[1]
        del self.further[place]
        self.same.discard(place)
        self._recount(place.pack, -1)
        self.instances[uid] = place

    def _sha256(self, place):
        return self.decided_places.get(place, (None, False))[0]

    def forget_decided(self, pack):
        self.decided_places = {
            at: told for at, told in self.decided_places.items() if at.pack != pack
        }

    def _recount(self, pack, more):
        row = self.pack_rows[pack]
        values = {name: getattr(row, name) for name in row.__struct_fields__}
        values["conflict_count"] += more
        self.pack_rows[pack] = type(row)(**values)

    def contested(self, *, after=b"", limit, settled=True):
        uids = {uid for at, uid in self.further.items() if at not in self.same}
        found = [self._contest(uid) for uid in sorted(uids) if uid > after]
        return [each for each in found if settled or each.is_open][:limit]

    def contest(self, uid_digest):
        found = self._contest(uid_digest)
        return found if found.others else None

    def _contest(self, uid):
        others = sorted(at for at, of in self.further.items() if of == uid and at not in self.same)
        settled = self.settlements.get(uid)
        served = self.instances.get(uid)
        known = set(self.decided_data_sets.values())
        return Contested(
            uid_digest=uid,
            served=None if served is None else InstancePlace(*served),
            others=tuple(InstancePlace(*each) for each in others),
            is_open=settled is None
            or served is None
            or self._sha256(served) != settled.served_sha256
            or any((uid, self._sha256(each)) not in known for each in others),
            settled=None if settled is None else without_known(settled),
        )

    def note_strangers(self, number, pack):
        study = self.studies[pack.study - 1]
        patient_id, issuer = self.patients[study.patient - 1].identity[1:3]
        strangers = [
            said
            for said in pack.patients
            if said.patient_id != patient_id
            or differ(said.issuer, issuer)
            or differ(said.birth_date, study.attributes.get("PatientBirthDate", ""))
            or differ(plain(said.name), plain(study.attributes.get("PatientName", "")))
        ]
        if strangers:
            self.strangers[number] = (pack.study, pack.series, strangers)

    def doubted_studies(self, *, after=0, limit):
        numbers = sorted({study for study, _, _ in self.strangers.values() if study > after})
        return [self._doubted(each) for each in numbers[:limit]]

    def _doubted(self, number):
        study = self.studies[number - 1]
        counts = {}
        for of, series, strangers in self.strangers.values():
            for said in strangers if of == number else ():
                key = (self.all_series[series - 1].uid, said.identity)
                counts[key] = counts.get(key, 0) + said.instances
        attributes = study.attributes
        patient_id, issuer = self.patients[study.patient - 1].identity[1:3]
        return DoubtedStudy(
            study=number,
            partition=study.partition,
            study_instance_uid=study.uid,
            patient=SaidPatient(
                patient_id,
                issuer,
                attributes.get("PatientName", ""),
                attributes.get("PatientBirthDate", ""),
                0,
            ),
            others=tuple(
                OtherPatient(series_instance_uid=uid, said=SaidPatient(*identity, count))
                for (uid, identity), count in sorted(counts.items())
            ),
        )

    def conflict_totals(self):
        return ConflictTotals(
            open=len(self.contested(limit=1 << 30, settled=False)),
            doubted_studies=len({study for study, _, _ in self.strangers.values()}),
        )


def without_known(settled):
    values = {name: getattr(settled, name) for name in Settlement.__struct_fields__}
    return Settlement(**values | {"known": ()})


def differ(one, other):
    return bool(one and other) and one != other


def plain(name):
    """Of plain Latin names what does not tell people apart: case, and empty components."""
    return tuple(group.casefold().rstrip("^ ") for group in name.split("=") if group.strip("^ "))

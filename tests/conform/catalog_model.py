"""The catalog as dictionaries: what the SQL is measured against, and a fake for other rooms.

It narrows nothing and remembers everything, so that a search is the standard's matching applied
to every row and a count is the length of a set.
"""

from dataclasses import dataclass, field

from conform.arrival_model import DictArrivals
from conform.commitment_model import DictCommitments
from conform.conflict_model import DictConflicts
from conform.forward_model import DictForwards
from conform.rejection_model import DictRejections
from fileroom.catalog.errors import (
    AlreadyStoredError,
    NotInCatalogError,
    SegmentInUseError,
    SpoolPlaceError,
    StaleLeaseError,
    StateMovedError,
    UnmatchableError,
)
from fileroom.catalog.levels import describe, plain_date, storable
from fileroom.catalog.lifecycle import (
    FINISHED,
    SEAL,
    UNCOMMITTED,
    CopyState,
    PackState,
    check_copy_move,
    check_pack_move,
)
from fileroom.catalog.moments import PAIRS, zoned
from fileroom.catalog.query import COMPUTED, COUNTS, MATCHABLE, Level, Position, SearchRow
from fileroom.catalog.rows import (
    CopyRow,
    HeldRecord,
    Holdings,
    InstancePlace,
    KeyCopyRow,
    Lease,
    Located,
    PackRow,
    RefusedCaller,
    SeriesPlace,
    SeriesRow,
    SeriesToSeal,
    SpooledRow,
    SpoolPlace,
    Standing,
    Tally,
    Totals,
)
from fileroom.clock import ManualClock
from fileroom.dicom.uid import digest

KEPT = 1000


@dataclass
class Patient:
    identity: tuple[str, str, str, str]  # partition, ID, issuer, lone study
    attributes: dict[str, str]


@dataclass
class Study:
    partition: str
    uid: str
    patient: int
    attributes: dict[str, str]
    modalities: list[str] = field(default_factory=list)
    sop_classes: list[str] = field(default_factory=list)
    key: bytes | None = None


@dataclass
class Series:
    study: int
    uid: str
    attributes: dict[str, str]


class DictCatalog(DictArrivals, DictRejections, DictConflicts, DictForwards, DictCommitments):
    """`fileroom.catalog.port.Catalog` in memory, on one thread."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.patients: list[Patient] = []
        self.studies: list[Study] = []
        self.all_series: list[Series] = []
        self.queue: dict[SpoolPlace, SpooledRow] = {}
        self.aside: dict[SpoolPlace, SpooledRow] = {}
        self.settled: dict[SpoolPlace, bytes] = {}
        self.instances: dict[bytes, InstancePlace] = {}
        self.further: dict[InstancePlace, bytes] = {}
        self.same: set[InstancePlace] = set()  # of those: no conflicts
        self.pack_rows: dict[int, PackRow] = {}
        self.packs_made = 0
        self.copy_rows: dict[tuple[int, str], CopyRow] = {}
        self.key_copy_rows: dict[tuple[bytes, int, str], KeyCopyRow] = {}
        self.leases: dict[tuple[str, str], tuple[Lease, int]] = {}
        self.token = 0
        self.settings: dict[str, str] = {}
        self.applied = 0
        self.task_rows = {}
        self.refused: dict[tuple[str, ...], RefusedCaller] = {}

    # spool

    def record_spooled(self, rows, *, node_id):
        new, named = {}, {}
        for row in rows:
            place = SpoolPlace(row.segment, row.offset)
            if named.setdefault(place, row.sha256) != row.sha256:
                raise SpoolPlaceError("another instance in the same call")
            held = new.get(place) or self.queue.get(place)
            if held is not None and held.sha256 != row.sha256:
                raise SpoolPlaceError("another instance")
            aside = self.aside.get(place)
            if (
                held is not None
                or self.settled.get(place) == row.sha256
                or (aside is not None and aside.sha256 == row.sha256)
            ):
                continue
            new[place] = row
        for row in rows:
            self.record_series(row.partition, row.header)
        for place, row in new.items():
            self.queue[place] = SpooledRow(
                place.segment << 40 | place.offset,
                place,
                self.record_series(row.partition, row.header).series,
                digest(row.header.sop_instance_uid),
                row.size_bytes,
                row.sha256,
                row.received_at_ns,
            )
        self.queue_notes(rows)

    def record_series(self, partition, header):
        described = describe(header)
        said = described.study | {
            keyword: value
            for keyword, value in (
                ("StudyDate", described.study_date),
                ("AccessionNumber", described.accession_number),
                ("StudyID", described.study_id),
            )
            if value
        }
        uid = header.study_instance_uid
        found = [s for s in self.studies if (s.partition, s.uid) == (partition, uid)]
        if found:
            study = found[0]
            study.attributes = said | study.attributes
        else:
            identity = (
                partition,
                described.patient_id,
                described.issuer,
                "" if described.patient_id else uid,
            )
            study = Study(partition, uid, self._patient(identity, described.patient), said)
            self.studies.append(study)
        if described.modality and described.modality not in study.modalities:
            study.modalities.append(described.modality)
        if header.sop_class_uid not in study.sop_classes:
            study.sop_classes.append(header.sop_class_uid)
        number = self.studies.index(study) + 1
        for n, series in enumerate(self.all_series, 1):
            if (series.study, series.uid) == (number, header.series_instance_uid):
                series.attributes = described.series | series.attributes
                return SeriesPlace(number, n)
        self.all_series.append(Series(number, header.series_instance_uid, described.series))
        return SeriesPlace(number, len(self.all_series))

    def _patient(self, identity, said) -> int:
        for n, patient in enumerate(self.patients, 1):
            if patient.identity == identity:
                patient.attributes = said | patient.attributes
                return n
        self.patients.append(Patient(identity, said))
        return len(self.patients)

    def spooled_of_series(self, series, *, bytes_max):
        taken, taken_bytes = [], 0
        for _, row in sorted(self.queue.items()):
            if row.series == series:
                taken_bytes += row.size_bytes
                if taken and taken_bytes > bytes_max:
                    break
                taken.append(row)
        return taken

    def set_aside(self, spooled_ids):
        for place, row in list(self.queue.items()):
            if row.id in spooled_ids:
                self.aside[place] = self.queue.pop(place)

    def take_up(self, spooled_ids):
        for place, row in list(self.aside.items()):
            if row.id in spooled_ids and place not in self.queue:
                self.queue[place] = self.aside.pop(place)

    def held(self, segment):
        rows = [(row, False) for row in self.queue.values()]
        rows += [(row, True) for row in self.aside.values()]
        return sorted(
            HeldRecord(row.id, row.place, aside) for row, aside in rows if row.place[0] == segment
        )

    def segments_in_use(self):
        return {place.segment for place in (*self.queue, *self.aside, *self.notes)}

    def settled_count(self, segment):
        return sum(place.segment == segment for place in self.settled)

    def forget_segment(self, segment):
        if segment in self.segments_in_use():
            raise SegmentInUseError("in use")
        self.settled = {p: sha for p, sha in self.settled.items() if p.segment != segment}

    # sealing

    def series_to_seal(self, *, quiet_before_ns, target_bytes, limit):
        due = []
        for n, series in enumerate(self.all_series, 1):
            rows = self.spooled_of_series(n, bytes_max=1 << 62)
            lease = self.leases.get((SEAL, str(n)))
            if not rows or (lease and lease[1] > self.clock.wall_ns()):
                continue
            study = self.studies[series.study - 1]
            times = [row.received_at_ns for row in rows]
            size_bytes = sum(row.size_bytes for row in rows)
            from_the_future = max(times) > self.clock.wall_ns()
            if max(times) <= quiet_before_ns or size_bytes >= target_bytes or from_the_future:
                due.append(
                    SeriesToSeal(
                        n,
                        series.study,
                        study.uid,
                        series.uid,
                        study.partition,
                        study.key,
                        len(rows),
                        size_bytes,
                        min(times),
                        max(times),
                    )
                )
        return sorted(due, key=lambda each: (each.oldest_ns, each.series))[:limit]

    def set_study_key(self, study, study_key_id):
        if study > len(self.studies):
            raise NotInCatalogError("no study")
        row = self.studies[study - 1]
        row.key = row.key or study_key_id
        return row.key

    def existing(self, uid_digests):
        return {each: self.instances[each] for each in uid_digests if each in self.instances}

    def conflicting(self, uid_digests):
        found: dict[bytes, list[InstancePlace]] = {}
        for place, uid_digest in sorted(self.further.items()):
            if uid_digest in uid_digests:
                found.setdefault(uid_digest, []).append(place)
        return found

    def record_sealed(
        self, pack, *, members, conflicts=(), repeated=(), moved=(), duplicates=(), lease
    ):
        check_pack_move(None, pack.state)
        self._fence(lease)
        known = [n for n, row in self.pack_rows.items() if row.sha256 == pack.sha256]
        number = known[0] if known else self.packs_made + 1
        if not known:
            if pack.study not in [s.study for s in self.all_series[pack.series - 1 :][:1]]:
                raise NotInCatalogError("no series")
            digests = [each.uid_digest for each in members]
            freed = {d for d, place, _ in moved if self.instances.get(d) == place}
            if (self.instances.keys() - freed) & set(digests) or len(set(digests)) < len(digests):
                raise AlreadyStoredError("stored")
            for uid_digest, place, standing in moved:
                self._move(uid_digest, place, standing)
            for each in members:
                self.instances[each.uid_digest] = InstancePlace(number, each.ordinal)
            for each in (*conflicts, *repeated):
                self.further[InstancePlace(number, each.ordinal)] = each.uid_digest
            self.same |= {InstancePlace(number, each.ordinal) for each in repeated}
            facts = {name: getattr(pack, name) for name in pack.__struct_fields__}
            del facts["patients"]
            for name in facts.pop("providers"):
                self.copy_rows[number, name] = CopyRow(
                    number, name, CopyState.REPLICATED, "", "", "", 0
                )
            self.packs_made = number
            self.pack_rows[number] = PackRow(
                number=number,
                instance_count=len(members) + len(conflicts) + len(repeated),
                conflict_count=len(conflicts) + len(repeated),
                **facts,
            )
            self.note_strangers(number, pack)
            self.forward_sealed(number, pack.state)
            self.serve_as_settled(number, pack, (*members, *conflicts, *repeated))
        sealed = (*members, *conflicts, *repeated)
        self._settle([*(each.spooled_id for each in sealed), *duplicates])
        return number

    def _move(self, uid_digest, place, standing):
        if self.instances.get(uid_digest) == place:
            del self.instances[uid_digest]
            row = self.pack_rows[place.pack]
            self.pack_rows[place.pack] = replaced(row, conflict_count=row.conflict_count + 1)
        self.further[place] = uid_digest
        self.same.discard(place)
        if standing is Standing.REPEATED:
            self.same.add(place)

    def record_duplicates(self, spooled_ids, *, lease):
        self._fence(lease)
        self._settle(spooled_ids)

    def _settle(self, spooled_ids):
        for place, row in list(self.queue.items()):
            if row.id in spooled_ids:
                self.settled[place] = self.queue.pop(place).sha256

    def _fence(self, lease):
        if lease is not None:
            held = self.leases.get((lease.kind, lease.subject))
            if held is None or held[0].token != lease.token:
                raise StaleLeaseError("stale")

    def lease(self, kind, subject, *, holder, ttl_s):
        held = self.leases.get((kind, subject))
        if held is not None and held[1] > self.clock.wall_ns():
            return None
        self.token += 1
        lease = Lease(kind, subject, holder, self.token)
        self.leases[kind, subject] = (lease, self.clock.wall_ns() + round(ttl_s * 1e9))
        return lease

    def renew(self, lease, *, ttl_s):
        self._fence(lease)
        expires_ns = self.clock.wall_ns() + round(ttl_s * 1e9)
        self.leases[lease.kind, lease.subject] = (lease, expires_ns)

    def release(self, lease):
        held = self.leases.get((lease.kind, lease.subject))
        if held is not None and held[0].token == lease.token:
            del self.leases[lease.kind, lease.subject]

    def void_leases(self):
        self.leases.clear()

    # packs

    def packs(self, *, state=None, numbers=None, after=0, limit):
        rows = [
            row
            for n, row in self.pack_rows.items()
            if (state is None or row.state == state)
            and (n in numbers if numbers is not None else n > after)
        ]
        if state is not None and numbers is None:
            rows.sort(key=lambda row: (row.received_oldest_ns, row.number))
        return rows[:limit]

    def _pack(self, pack) -> PackRow:
        if pack not in self.pack_rows:
            raise NotInCatalogError("no pack")
        return self.pack_rows[pack]

    def set_pack_state(self, pack, from_, to):
        check_pack_move(from_, to)
        if self._pack(pack).state != from_:
            raise StateMovedError("moved")
        self.pack_rows[pack] = replaced(self._pack(pack), state=to)

    def uid_digests(self, pack):
        served = {each for each, place in self.instances.items() if place.pack == pack}
        return served | {each for place, each in self.further.items() if place.pack == pack}

    def forget_pack(self, pack, *, places):
        self._pack(pack)
        del self.pack_rows[pack]
        self.strangers.pop(pack, None)
        self.forget_decided(pack)
        self.forward_forgotten(pack)
        self.instances = {d: at for d, at in self.instances.items() if at.pack != pack}
        self.further = {at: d for at, d in self.further.items() if at.pack != pack}
        self.copy_rows = {key: row for key, row in self.copy_rows.items() if key[0] != pack}
        self.unsettle(places)

    def settled_among(self, records):
        return {at for at, sha in records.items() if self.settled.get(at) == sha}

    def unsettle(self, places):
        self.settled = {at: sha for at, sha in self.settled.items() if at not in set(places)}

    def evictable(self, limit):
        rows = self.pack_rows.values()
        return [row for row in rows if row.local and row.state is PackState.COMMITTED][:limit]

    def set_local(self, pack, local):
        self.pack_rows[pack] = replaced(self._pack(pack), local=local)

    def copies(self, pack):
        return [row for key, row in sorted(self.copy_rows.items()) if key[0] == pack]

    def unverified_copies(self, provider, state, *, limit):
        rows = (row for _, row in sorted(self.copy_rows.items()))
        return [row for row in rows if (row.provider, row.state) == (provider, state)][:limit]

    def set_copy(self, pack, provider, from_, to, **facts):
        check_copy_move(from_, to)
        if from_ is None:
            self._pack(pack)
        row = self.copy_rows.get((pack, provider))
        if (row.state if row else None) != from_:
            raise StateMovedError("moved")
        row = row or CopyRow(pack, provider, to, "", "", "", 0)
        known = {name: fact for name, fact in facts.items() if fact is not None}
        self.copy_rows[pack, provider] = replaced(row, state=to, **known)

    def key_copies(self, study_key_id):
        return [row for key, row in sorted(self.key_copy_rows.items()) if key[0] == study_key_id]

    def set_key_copy(self, study_key_id, generation, provider, from_, to, *, verified_at_ns=None):
        check_copy_move(from_, to)
        key = (study_key_id, generation, provider)
        row = self.key_copy_rows.get(key)
        if (row.state if row else None) != from_:
            raise StateMovedError("moved")
        before = row.verified_at_ns if row else 0
        at_ns = before if verified_at_ns is None else verified_at_ns
        self.key_copy_rows[key] = KeyCopyRow(*key, to, at_ns)

    # finding

    def locate(self, uid_digest):
        spooled = [row for _, row in sorted(self.queue.items()) if row.uid_digest == uid_digest]
        place = self.instances.get(uid_digest)
        series = self.pack_rows[place.pack].series if place else spooled[0].series if spooled else 0
        if series and self.is_hidden(series, uid_digest):
            return Located()
        return Located(
            spooled[0] if spooled else None,
            self.pack_rows[place.pack] if place else None,
            place.ordinal if place else 0,
        )

    def holdings(self, study_instance_uid, series_instance_uid=None, *, partition=None):
        rows = []
        for n, series in enumerate(self.all_series, 1):
            study = self.studies[series.study - 1]
            if (
                study.uid == study_instance_uid
                and partition in (None, study.partition)
                and series_instance_uid in (None, series.uid)
            ):
                rows.append(SeriesRow(n, series.study, series.uid, series.attributes))
        packs, spooled = [], []
        for row in rows:
            packs += [pack for pack in self.pack_rows.values() if pack.series == row.series]
            spooled += self._unpacked(row.series)
        studies = {row.study for row in rows}
        conflicts = {p for p in self.further if self.pack_rows[p.pack].study in studies}
        rows, packs, conflicts, spooled = self.without_hidden(rows, packs, conflicts, spooled)
        return Holdings(rows, packs, frozenset(conflicts), spooled)

    def _unpacked(self, series) -> list[SpooledRow]:
        first: dict[bytes, SpooledRow] = {}
        for row in self.spooled_of_series(series, bytes_max=1 << 62):
            hidden = self.is_hidden(series, row.uid_digest)
            if row.uid_digest not in self.instances and not hidden:
                first.setdefault(row.uid_digest, row)
        return list(first.values())

    def _count(self, series_numbers) -> str:
        packed = sum(
            self.served_count(row)
            for row in self.pack_rows.values()
            if row.series in series_numbers
        )
        waiting = {row.uid_digest for n in series_numbers for row in self._unpacked(n)}
        return str(packed + len(waiting))

    def _series_of(self, studies) -> list[int]:
        return [n for n, series in enumerate(self.all_series, 1) if series.study in studies]

    def search(self, search):
        for condition in search.conditions:
            if condition.keyword not in MATCHABLE[search.level]:
                raise UnmatchableError("not kept")
        rows = {
            Level.PATIENT: self._patient_rows,
            Level.STUDY: self._study_rows,
            Level.SERIES: self._series_rows,
        }[search.level](search.partition)
        found = []
        for row in rows:
            told = row.attributes if search.zone is None else zoned(row.attributes, search.zone)
            if matches(search, told) and is_behind(search, row.position):
                wanted = COUNTS[search.level] if search.computed is None else search.computed
                uncomputed = COMPUTED[search.level] - wanted
                left = {k: v for k, v in told.items() if k not in uncomputed}
                found.append(SearchRow(left, row.study, row.series, row.position))
        return found[search.offset :][: max(0, search.limit)]

    def count(self, search):
        everything = replaced(search, limit=1 << 40, offset=0)
        return len(self.search(everything))

    def _availability(self, series: list[int]) -> str:
        """PS3.3 §C.4.23.1.1, the worst of the packs that have something to serve."""
        found = {"ONLINE"}
        for pack in self.pack_rows.values():
            if pack.series in series and self.served_count(pack) > 0:
                states = {row.state for row in self.copies(pack.number)}
                reachable = states & {CopyState.REPLICATED, CopyState.VERIFIED}
                found.add("ONLINE" if pack.local else "NEARLINE" if reachable else "OFFLINE")
        return max(found, key=("ONLINE", "NEARLINE", "OFFLINE").index)

    def _patient_counts(self, patient: int) -> dict[str, str]:
        studies = [m for m, study in enumerate(self.studies, 1) if study.patient == patient]
        series = self._series_of(studies)
        return {
            "NumberOfPatientRelatedStudies": str(sum(map(self.is_shown_study, studies))),
            "NumberOfPatientRelatedSeries": str(sum(map(self.is_shown, series))),
            "NumberOfPatientRelatedInstances": self._count(series),
            "InstanceAvailability": self._availability(series),
        }

    def _patient_rows(self, partition):
        for n, patient in reversed(list(enumerate(self.patients, 1))):
            if patient.identity[0] == partition and self.is_shown_patient(n):
                said = patient.attributes | self._identity(patient) | self._patient_counts(n)
                yield SearchRow(said, position=Position("", n, 0))

    def _study_rows(self, partition):
        newest = sorted(
            enumerate(self.studies, 1),
            key=lambda each: (each[1].attributes.get("StudyDate", ""), each[0]),
            reverse=True,
        )
        for n, study in newest:
            if study.partition == partition and self.is_shown_study(n):
                series = self._series_of([n])
                said = study.attributes | self._identity(self.patients[study.patient - 1])
                said |= self._patient_counts(study.patient)
                said["InstanceAvailability"] = self._availability(series)
                said["SOPClassesInStudy"] = "\\".join(study.sop_classes)
                if study.modalities:
                    said["ModalitiesInStudy"] = "\\".join(study.modalities)
                said["StudyInstanceUID"] = study.uid
                said["NumberOfStudyRelatedSeries"] = str(sum(map(self.is_shown, series)))
                said["NumberOfStudyRelatedInstances"] = self._count(series)
                dated = plain_date(said.get("StudyDate", ""))
                yield SearchRow(said, n, position=Position(dated, n, 0))

    def _series_rows(self, partition):
        for row in self._study_rows(partition):
            for n in filter(self.is_shown, self._series_of([row.study])):
                series = self.all_series[n - 1]
                own = {
                    "SeriesInstanceUID": series.uid,
                    "NumberOfSeriesRelatedInstances": self._count([n]),
                    "InstanceAvailability": self._availability([n]),
                }
                position = row.position._replace(series=n)
                said = row.attributes | series.attributes | own
                yield SearchRow(said, row.study, n, position)

    def _identity(self, patient: Patient) -> dict[str, str]:
        _, patient_id, issuer, _ = patient.identity
        said = {"PatientID": patient_id, "IssuerOfPatientID": issuer}
        return {keyword: text for keyword, text in said.items() if text}

    def totals(self):
        states: dict = {}
        copies: dict = {}
        for row in self.pack_rows.values():
            add(states, row.state, Tally(1, row.instance_count, row.size_bytes))
        for row in self.copy_rows.values():
            size_bytes = self.pack_rows[row.pack].size_bytes
            add(copies.setdefault(row.provider, {}), row.state, Tally(1, 0, size_bytes))
        local: dict = {}
        for row in self.pack_rows.values():
            add(local, row.local, Tally(1, row.instance_count, row.size_bytes))
        times = [row.received_at_ns for row in (*self.queue.values(), *self.aside.values())]
        times += [r.received_oldest_ns for r in self.pack_rows.values() if r.state in UNCOMMITTED]
        return Totals(
            patients=len(self.patients),
            studies=len(self.studies),
            series=len(self.all_series),
            conflicts=len(self.further.keys() - self.same),
            received=tally_of(self.queue),
            set_aside=tally_of(self.aside),
            states=states,
            local=local.get(True, Tally()),
            copies=copies,
            oldest_uncommitted_ns=min(times, default=None),
        )

    # records

    def put_task(self, task):
        now_ns = self.clock.wall_ns()
        before = self.task_rows.get(task.id)
        created_ns = before.created_at_ns if before else now_ns
        self.task_rows[task.id] = replaced(task, created_at_ns=created_ns, updated_at_ns=now_ns)
        done = [t for t in self.tasks(limit=1 << 30) if t.state in FINISHED]
        for old in done[KEPT:]:
            del self.task_rows[old.id]

    def task(self, id):
        return self.task_rows.get(id)

    def tasks(self, *, kind=None, limit=100):
        rows = [task for task in self.task_rows.values() if kind in (None, task.kind)]
        return sorted(rows, key=lambda task: (-task.updated_at_ns, task.id))[:limit]

    def setting(self, name):
        return self.settings.get(name)

    def set_setting(self, name, value):
        self.settings[name] = value

    def applied_index(self):
        return self.applied

    def set_applied_index(self, index):
        if index < self.applied:
            raise StateMovedError("back")
        self.applied = index

    def record_refused(self, *, count=1, **texts):
        now_ns = self.clock.wall_ns()
        kept = {name: storable(text[:64]) for name, text in texts.items()}
        key = tuple(kept.values())
        before = self.refused.get(key)
        self.refused[key] = RefusedCaller(
            **kept,
            count=before.count + count if before else count,
            first_at_ns=before.first_at_ns if before else now_ns,
            last_at_ns=now_ns,
        )
        if len(self.refused) > KEPT:
            del self.refused[min(self.refused, key=lambda each: self.refused[each].last_at_ns)]

    def refused_callers(self, *, limit=KEPT):
        rows = sorted(self.refused.values(), key=lambda row: -row.last_at_ns)
        return rows[:limit]

    def make_durable(self):
        pass

    def shrink(self):
        pass

    def check(self):
        pass

    def close(self):
        pass


def replaced(row, **changes):
    """A copy of a frozen struct with some fields changed."""
    return type(row)(
        **{name: changes.get(name, getattr(row, name)) for name in row.__struct_fields__}
    )


def tally_of(rows) -> Tally:
    return Tally(0, len(rows), sum(row.size_bytes for row in rows.values()))


def add(tallies: dict, key, more: Tally) -> None:
    known = tallies.get(key, Tally())
    tallies[key] = Tally(
        known.packs + more.packs,
        known.instances + more.instances,
        known.size_bytes + more.size_bytes,
    )


def is_behind(search, position: Position) -> bool:
    """Newest study first, then the later row; series in order."""
    if search.after is None:
        return True
    date, number, series = search.after
    if (position.study_date, position.number) == (date, number):
        return position.series > series
    return (position.study_date, position.number) < (date, number)


def matches(search, attributes) -> bool:
    """PS3.4 §C.2.2.2, one attribute after the other; the combined range by arithmetic."""
    conditions = list(search.conditions)
    if search.study_instance_uid not in (None, attributes.get("StudyInstanceUID")):
        return False
    ranges = {each.keyword: each for each in conditions if each.kind == "range"}
    for pair in PAIRS:
        if not search.combined_datetime or not set(pair) <= ranges.keys():
            continue
        date, time = ranges[pair[0]], ranges[pair[1]]
        if [bool(b) for b in date.values] == [bool(b) for b in time.values]:
            conditions = [each for each in conditions if each not in (date, time)]
            if not in_moments(date, time, attributes):
                return False
    return all(
        any(each.matches(value) for value in attributes.get(each.keyword, "").split("\\"))
        if each.kind != "empty"
        else not attributes.get(each.keyword, "").strip("\\ \0")
        for each in conditions
    )


def in_moments(date, time, attributes) -> bool:
    moment = attributes.get(date.keyword, "")
    if not moment:
        return False
    clock = attributes.get(time.keyword, "")
    (d1, d2), (t1, t2) = date.values, time.values
    after = not d1 or moment > d1 or (moment == d1 and (not clock or clock >= t1))
    before = not d2 or moment < d2 or (moment == d2 and (not clock or clock <= t2))
    return after and before

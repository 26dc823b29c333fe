"""Whatever is done in whatever order, the SQLite catalog says what the dictionaries say."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from conform.catalog_model import DictCatalog
from conform.catalog_samples import CT, NODE, T0_NS, new_pack, spooled
from conform.rejection_model import KEY_OBJECT_SELECTION
from fileroom.catalog.conflicts import KnownPlace, Settlement
from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.query import Level, Search
from fileroom.catalog.rejections import Rejection, Scope
from fileroom.catalog.rows import InstancePlace, Moved, SaidPatient, Sealed, Standing
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.dicom.match import parse
from fileroom.dicom.uid import digest
from fileroom.disk import Disk
from fileroom.errors import FileroomError

instances = st.sampled_from([f"1.9.{n}" for n in range(6)])
series = st.sampled_from(["1.2.1.1", "1.2.1.2", "1.2.2.1"])
places = st.tuples(st.integers(1, 2), st.integers(0, 5))
classes = st.sampled_from([CT, CT, KEY_OBJECT_SELECTION])
scopes = st.builds(
    lambda series, wide, uids: (
        Scope(series.rsplit(".", 1)[0])
        if wide == "study"
        else Scope(series.rsplit(".", 1)[0], series, tuple(sorted(uids)) if wide == "uids" else ())
    ),
    series,
    st.sampled_from(["study", "series", "uids", "uids"]),
    st.sets(instances, min_size=1, max_size=3),
)
arrivals = st.lists(
    st.builds(
        lambda place, instance, series, sop_class, content, second: spooled(
            place,
            instance,
            study=series.rsplit(".", 1)[0],
            series=series,
            sop_class=sop_class,
            # Equal bytes say the same UIDs.
            content=b" ".join([content, instance.encode(), series.encode(), sop_class.encode()]),
            received_at_ns=T0_NS + second,
        ),
        places,
        instances,
        series,
        classes,
        st.sampled_from([b"one", b"two"]),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=4,
)


class CatalogMachine(RuleBasedStateMachine):
    """Every rule is done to both; what one answers or raises the other must."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.path = Path(self.folder.name) / "catalog.db"
        self.sqlite = SqliteCatalog.create(self.path, key=b"k" * 32, clock=self.clock, disk=Disk())
        self.model = DictCatalog(self.clock)
        self.leases = []
        self.packs = 0
        self.decisions = 0

    def both(self, act):
        answers = []
        for catalog in (self.sqlite, self.model):
            try:
                answers.append(act(catalog))
            except FileroomError as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[1]

    @rule(rows=arrivals)
    def arrive(self, rows):
        self.both(lambda catalog: catalog.record_spooled(rows, node_id=NODE))

    @rule(
        number=st.integers(1, 3),
        size=st.integers(1, 4000),
        under=st.none() | st.integers(0, 3),
        first_only=st.booleans(),
    )
    def seal(self, number, size, under, first_only):
        lease = None
        if under is not None and under < len(self.leases):
            lease = self.leases[under]
        taken = self.both(lambda catalog: catalog.spooled_of_series(number, bytes_max=size))
        if not taken:
            return
        existing = self.both(lambda catalog: catalog.existing([r.uid_digest for r in taken]))
        members, conflicts, duplicates = [], [], []
        seen = set(existing) if first_only else set()
        for ordinal, row in enumerate(taken, 1):
            sealed = Sealed(row.id, row.uid_digest, ordinal)
            if row.uid_digest not in seen:
                members.append(sealed)
            elif row.sha256[0] % 2:
                conflicts.append(sealed)
            else:
                duplicates.append(row.id)
            seen.add(row.uid_digest)
        self.packs += 1
        study = self.model.all_series[number - 1].study
        pack = new_pack(study, number, str(self.packs), received_oldest_ns=T0_NS + size)
        if members or conflicts:
            self.both(
                lambda catalog: catalog.record_sealed(
                    pack,
                    members=members,
                    conflicts=conflicts,
                    duplicates=duplicates,
                    lease=lease,
                )
            )
        else:
            self.both(lambda catalog: catalog.record_duplicates(duplicates, lease=lease))

    @rule(
        number=st.integers(1, 3),
        instances=st.sets(instances, min_size=1, max_size=3),
        standing=st.sampled_from(Standing),
        displaced=st.sampled_from([Standing.CONFLICT, Standing.REPEATED]),
        provider=st.sampled_from(["dir", "s3"]),
        patient_id=st.sampled_from(["P-1", "P-2", ""]),
        replacement=st.booleans(),
    )
    def adopt(self, number, instances, standing, displaced, provider, patient_id, replacement):
        """A pack that was found, with whatever standing beside what is there."""
        if number > len(self.model.all_series):
            return
        taken = self.both(lambda catalog: catalog.existing([digest(each) for each in instances]))
        found = {Standing.SERVED: [], Standing.CONFLICT: [], Standing.REPEATED: []}
        for ordinal, uid in enumerate(sorted(instances), 1):
            sha256 = bytes([(self.packs + 1) % 3])
            found[standing].append(Sealed(None, digest(uid), ordinal, sha256, replacement))
        moved = [Moved(uid, InstancePlace(*place), displaced) for uid, place in taken.items()]
        self.packs += 1
        study = self.model.all_series[number - 1].study
        patients = (SaidPatient(patient_id, "", "", "", 1),)
        pack = new_pack(
            study, number, str(self.packs), providers=(provider,), local=False, patients=patients
        )
        self.both(
            lambda catalog: catalog.record_sealed(
                pack,
                members=found[Standing.SERVED],
                conflicts=found[Standing.CONFLICT],
                repeated=found[Standing.REPEATED],
                moved=moved if standing is Standing.SERVED else [],
                lease=None,
            )
        )

    @rule(
        instance=instances,
        serve=st.integers(0, 3),
        knows=st.integers(0, 3),
        index=st.integers(1, 9),
    )
    def settle(self, instance, serve, knows, index):
        """Of any data sets that are there; older and newer decisions, in any order."""
        uid = digest(instance)
        places = [at for at, of in self.model.further.items() if of == uid]
        places += [self.model.instances[uid]] if uid in self.model.instances else []
        if not places:
            return
        named = [
            KnownPlace(self.model.pack_rows[at.pack].sha256, at.ordinal, bytes([at.pack % 3]))
            for at in sorted(places)
        ]
        settlement = Settlement(
            uid_digest=uid,
            served_sha256=named[serve % len(named)].sha256,
            known=tuple(named[: knows + 1]),
            ledger_index=index,
            decided_at_ns=T0_NS,
            decided_by="127.0.0.1",
            reason="",
        )
        self.both(lambda catalog: catalog.record_settlement(settlement))

    @rule(scope=scopes, note=st.sampled_from(["", *(f"1.9.{n}" for n in range(3))]))
    def reject(self, scope, note):
        self.decisions += 1
        rejection = Rejection(
            ledger_index=self.decisions,
            scope=scope,
            code="113001",
            reason="",
            decided_by="somebody",
            decided_at_ns=T0_NS,
            note_uid=note,
            ends_note=bool(note),
        )
        self.both(lambda catalog: catalog.record_rejected(rejection))

    @rule(scope=scopes, everything=st.booleans())
    def restore(self, scope, everything):
        self.both(lambda catalog: catalog.record_restored(scope, everything=everything))

    @rule()
    def look_at_a_note(self):
        for each in self.both(lambda catalog: catalog.waiting_notes(limit=1)):
            self.both(lambda catalog, id=each.id: catalog.forget_note(id))

    @rule(number=st.integers(1, 3), count=st.integers(1, 2))
    def set_aside(self, number, count):
        rows = self.model.spooled_of_series(number, bytes_max=1 << 62)[:count]
        self.both(lambda catalog: catalog.set_aside([row.id for row in rows]))

    @rule(ids=st.sets(st.tuples(st.integers(1, 2), st.integers(0, 5)), max_size=3))
    def take_up(self, ids):
        self.both(lambda catalog: catalog.take_up([s << 40 | offset for s, offset in ids]))

    @rule(segment=st.integers(1, 2))
    def forget(self, segment):
        self.both(lambda catalog: catalog.forget_segment(segment))

    @rule(subject=st.sampled_from(["1", "2"]), ttl_s=st.integers(1, 20))
    def take_lease(self, subject, ttl_s):
        lease = self.both(lambda catalog: catalog.lease("seal", subject, holder="h", ttl_s=ttl_s))
        if lease is not None:
            self.leases.insert(0, lease)

    @rule(which=st.integers(0, 3), renew=st.booleans())
    def end_lease(self, which, renew):
        if which < len(self.leases):
            lease = self.leases[which]
            if renew:
                self.both(lambda catalog: catalog.renew(lease, ttl_s=10))
            else:
                self.both(lambda catalog: catalog.release(lease))

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(
        pack=st.integers(1, 4),
        from_=st.sampled_from(PackState),
        to=st.sampled_from(PackState),
    )
    def move_pack(self, pack, from_, to):
        self.both(lambda catalog: catalog.set_pack_state(pack, from_, to))

    @rule(
        pack=st.integers(1, 4),
        provider=st.sampled_from(["dir", "s3"]),
        from_=st.none() | st.sampled_from(CopyState),
        to=st.sampled_from(CopyState),
        at_ns=st.none() | st.integers(1, 9),
    )
    def move_copy(self, pack, provider, from_, to, at_ns):
        self.both(lambda catalog: catalog.set_copy(pack, provider, from_, to, verified_at_ns=at_ns))

    @rule(limit=st.integers(1, 2))
    def search_a_while(self, limit):
        search = Search(
            level=Level.STUDY,
            partition="main",
            limit=limit,
            conditions=(parse("PatientSex", "F"),),
        )
        self.both(lambda catalog: described(catalog.search(search)))

    @rule(pack=st.integers(1, 4), local=st.booleans())
    def evict(self, pack, local):
        self.both(lambda catalog: catalog.set_local(pack, local))

    @rule(durable=st.booleans())
    def reopen(self, durable):
        if durable:
            self.sqlite.make_durable()
        self.sqlite.close()
        self.sqlite = SqliteCatalog.open(self.path, key=b"k" * 32, clock=self.clock, disk=Disk())

    @invariant()
    def they_agree(self):
        self.both(lambda catalog: catalog.totals())
        self.both(lambda catalog: catalog.segments_in_use())
        self.both(lambda catalog: [catalog.held(segment) for segment in (1, 2)])
        self.both(
            lambda catalog: catalog.series_to_seal(
                quiet_before_ns=T0_NS + 2, target_bytes=3000, limit=9
            )
        )
        packs = self.both(lambda catalog: catalog.packs(limit=99))
        for pack in packs:
            self.both(lambda catalog, number=pack.number: catalog.copies(number))
        self.both(lambda catalog: catalog.evictable(99))
        for level in Level:
            search = Search(level=level, partition="main", limit=9)
            self.both(lambda catalog, search=search: described(catalog.search(search)))
        for study in ("1.2.1", "1.2.2"):
            self.both(lambda catalog, study=study: catalog.holdings(study))
        for n in range(6):
            self.both(lambda catalog, n=n: catalog.locate(digest(f"1.9.{n}")))
        self.both(lambda catalog: catalog.conflicting([digest(f"1.9.{n}") for n in range(6)]))
        self.both(lambda catalog: catalog.rejections(limit=99))
        self.both(lambda catalog: catalog.rejection_totals())
        self.both(lambda catalog: catalog.waiting_notes(limit=99))
        self.both(lambda catalog: catalog.kept("1.2.1", [digest(f"1.9.{n}") for n in range(6)]))
        self.both(lambda catalog: catalog.contested(limit=9))
        self.both(lambda catalog: catalog.contested(limit=9, settled=False))
        self.both(lambda catalog: catalog.doubted_studies(limit=9))
        self.both(lambda catalog: catalog.conflict_totals())

    def teardown(self):
        self.sqlite.check()
        self.sqlite.close()
        self.folder.cleanup()


def described(rows):
    """Rows without their numbers, which may differ where a transaction was given up."""
    return [row.attributes for row in rows]


CatalogMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCatalogMachine = CatalogMachine.TestCase

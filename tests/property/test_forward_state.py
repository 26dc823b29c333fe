"""Whatever is forwarded in whatever order, the SQLite catalog says what the dictionaries say."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from conform.catalog_model import DictCatalog
from conform.catalog_samples import NODE, seal_all, spooled
from fileroom.catalog.forwards import (
    ForwardCounts,
    ForwardedPack,
    NewForward,
    Progress,
    numbers,
    runs,
)
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.disk import Disk
from fileroom.errors import FileroomError

destinations = st.sampled_from(["pacs", "telerad"])
rules = st.sampled_from(["first", "second"])
studies = st.sampled_from(["1.2.1", "1.2.2"])
some = st.sets(st.integers(0, 3), min_size=1, max_size=4)
reasons = st.sampled_from(["bad", "no"])


class ForwardMachine(RuleBasedStateMachine):
    """Every step is done to both; what one answers or raises the other must."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.sqlite = SqliteCatalog.create(
            Path(self.folder.name) / "catalog.db", key=b"k" * 32, clock=self.clock, disk=Disk()
        )
        self.model = DictCatalog(self.clock)
        self.packs = 0
        self.both(lambda catalog: catalog.set_forward_rules({"first": "pacs"}))

    def both(self, act):
        answers = []
        for catalog in (self.sqlite, self.model):
            try:
                answers.append(act(catalog))
            except FileroomError as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[1]

    @rule(study=studies, second=st.integers(0, 3))
    def seal(self, study, second):
        self.packs += 1
        rows = [
            spooled((self.packs, n), f"1.9.{self.packs}.{n}", study=study, series=f"{study}.1")
            for n in range(4)
        ]
        self.clock.advance(second)
        self.both(lambda catalog: catalog.record_spooled(rows, node_id=NODE))
        self.both(lambda catalog: seal_all(catalog, f"pack {self.packs}"))

    @rule(pack=st.integers(1, 4), to=destinations, by=rules, ordinals=some)
    def route(self, pack, to, by, ordinals):
        asked = [NewForward(destination=to, rule=by, ordinals=tuple(sorted(ordinals)))]
        self.both(lambda catalog: catalog.route(pack, asked))

    @rule(to=destinations, kept=some, refused=st.dictionaries(st.integers(0, 3), reasons))
    def put_off(self, to, kept, refused):
        row = self.both(lambda catalog: catalog.forward_next(to, ("first", "second")))
        if row is None:
            return
        left = [each for each in row.left if each in kept]
        decided = [each for each in row.left if each not in kept]
        said_no = {each: refused[each] for each in decided if each in refused}
        stored = len(decided) - len(said_no)

        def act(catalog):
            progress = Progress(left=list(left), stored=stored, refused=dict(said_no))
            return catalog.put_off_forward(row, progress, error=f"after {len(left)}")

        self.both(act)

    @rule(to=destinations, refused=st.dictionaries(st.integers(0, 3), reasons))
    def end(self, to, refused):
        row = self.both(lambda catalog: catalog.forward_next(to, ("first", "second")))
        if row is None:
            return
        self.both(lambda catalog: catalog.forward_refused(row))
        by_reason: dict[str, tuple[int, ...]] = {}
        for ordinal, reason in sorted(refused.items()):
            by_reason[reason] = (*by_reason.get(reason, ()), ordinal)
        told = ForwardedPack(
            destination=row.destination,
            rule=row.rule,
            pack_sha256=row.pack_sha256,
            study_instance_uid=row.study_instance_uid,
            refused=by_reason,
            study=ForwardCounts(stored=len(row.left) + row.stored),
            forwarded_at_ns=self.clock.wall_ns(),
        )
        self.both(lambda catalog: catalog.record_forwarded(told))

    @rule(to=destinations, study=studies | st.just(""))
    def retry(self, to, study):
        self.both(lambda catalog: catalog.retry_refused(to, study))

    @rule(pack=st.integers(1, 4))
    def forget(self, pack):
        self.both(lambda catalog: catalog.forget_pack(pack, places=[]))

    @rule(days=st.integers(1, 60))
    def pass_time(self, days):
        self.clock.advance(days * 86_400)

    @invariant()
    def they_say_the_same(self):
        self.both(lambda catalog: catalog.packs_to_route(limit=9))
        self.both(lambda catalog: catalog.forward_totals())
        for study in ("", "1.2.1", "1.2.2"):
            self.both(lambda catalog, of=study: catalog.study_forwards("", of, limit=99))
            self.both(lambda catalog, of=study: catalog.refused_forwards(of, limit=99))

    def teardown(self):
        self.sqlite.close()
        self.folder.cleanup()


ForwardMachine.TestCase.settings = settings(
    deadline=None, suppress_health_check=list(HealthCheck), stateful_step_count=25, max_examples=40
)
TestForwarding = ForwardMachine.TestCase


def test_runs_say_numbers_and_are_read_back():
    assert runs([5, 0, 1, 2, 2]) == "0-2 5"
    assert numbers("0-2 5") == (0, 1, 2, 5)
    assert (runs([]), numbers("")) == ("", ())

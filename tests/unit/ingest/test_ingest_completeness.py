"""Studies that come are judged, and their senders asked, one peer apart from the other."""

import asyncio

import pytest

from conform.catalog_model import DictCatalog
from conform.catalog_samples import NODE, header, spooled
from fileroom.catalog.arrivals import ArrivalState, SeriesTold, Told
from fileroom.clock import ManualClock
from fileroom.errors import TransientError
from fileroom.ingest.arrivals import Arrivals
from fileroom.ingest.completeness import (
    DUE_MAX,
    STUDIES_AN_ASSOCIATION,
    CompletenessStage,
)
from fileroom.peer.association import UnreachableError
from fileroom.spool.record import Origin

QUIET_S = 300.0
STUDY, SERIES = "1.2.1", "1.2.1.1"


class Site:
    """A catalog in memory, what lands in it, and peers that answer what they are told to."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.catalog = DictCatalog(self.clock)
        self.arrivals = Arrivals()
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.counts: dict[str, int | None] = {}  # by study; None: no answer ever comes
        self.unreachable: set[str] = set()
        self.askable = {"CT1", "CT2"}
        self.landed = 0
        self.stage = self.started()

    def started(self) -> CompletenessStage:
        return CompletenessStage(
            catalog=self.catalog,
            clock=self.clock,
            arrivals=self.arrivals,
            quiet_s=QUIET_S,
            ask=self.ask,
            askable=self.askable.__contains__,
        )

    async def ask(self, ae_title, studies):
        self.asked.append((ae_title, tuple(studies)))
        if ae_title in self.unreachable:
            raise UnreachableError("no connection")
        for uid in studies:
            count = self.counts.get(uid, 0)
            if count is None:
                await asyncio.Event().wait()
            series = {f"{uid}.1": SeriesTold("CT", count)} if count else {}
            yield Told(asked_at_ns=self.clock.wall_ns(), instances=count, series=series)

    def lands(self, count=1, *, study=STUDY, ae_title="CT1", conversation="one", told=True):
        for _ in range(count):
            self.landed += 1
            uid, now_ns = f"1.9.{self.landed}", self.clock.wall_ns()
            named = {"study": study, "series": f"{study}.1"}
            row = spooled((1, self.landed * 4096), uid, received_at_ns=now_ns, **named)
            self.catalog.record_spooled([row], node_id=NODE)
            if told:
                origin = Origin("dimse", ae_title, "192.0.2.1", conversation)
                self.arrivals.came(header(uid, **named), origin, now_ns)

    async def after(self, duration_s=0.0):
        """The rounds of so much time, every five seconds, and what they begin."""
        for step_s in [5.0] * round(duration_s / 5) or [duration_s]:
            self.clock.advance(step_s)
            await self.stage.round()
            for _ in range(50):
                await asyncio.sleep(0)
            await asyncio.gather(*[t for t in self.stage._busy.values() if t.done()])
            await until(lambda: all(t.done() or self.hangs for t in self.stage._busy.values()))

    @property
    def hangs(self) -> bool:
        return None in self.counts.values()

    def view(self, study=STUDY):
        return self.stage.of(study)


async def until(holds):
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


@pytest.fixture
async def site():
    made = Site()
    yield made
    await made.stage.stop()


async def test_a_study_is_shown_with_what_its_sender_has_while_it_is_being_sent(site):
    site.counts[STUDY] = 600
    site.lands(412)
    await site.after(10)
    found = site.view()
    assert (found.state, found.reason) == ("arriving", "412 of 600, sender still sending")
    assert (found.have, found.expected, found.source, found.held) == (412, 600, "sender", 412)
    assert (found.series, found.ae_title) == ({SERIES: (412, 600)}, "CT1")
    assert site.asked == [("CT1", (STUDY,))]


async def test_a_study_is_complete_when_the_sender_has_no_more_than_is_here(site):
    site.counts[STUDY] = 5
    site.lands(3)
    await site.after(10)
    site.lands(2)
    site.arrivals.ended("one")
    await site.after(25)
    assert site.view().state == "arriving"
    await site.after(60)
    assert site.view().reason == "all 5 that the sender has are here"
    assert site.catalog.arrival(STUDY).state is ArrivalState.COMPLETE
    await site.after(3600)
    assert len(site.asked) == 2, "nobody is asked about what is complete"


async def test_a_study_whose_sender_stopped_early_is_incomplete_and_asked_about_less_and_less(site):
    site.counts[STUDY] = 5
    site.lands(3)
    site.arrivals.ended("one")
    await site.after(305)
    assert site.view().state == "incomplete"
    assert site.view().reason == "3 of 5, and nothing came for 300 s"
    early = len(site.asked)
    assert 2 <= early <= 5
    await site.after(6 * 3600)
    assert early < len(site.asked) <= 10
    late = len(site.asked)
    await site.after(6 * 3600)
    assert len(site.asked) == max(late, 10) == 10
    site.lands(2)
    await site.after(100)
    assert site.view().state == "complete"


async def test_a_sender_that_may_not_be_asked_is_not(site):
    site.askable.clear()
    site.lands(3)
    site.arrivals.ended("one")
    await site.after(400)
    assert site.asked == []
    assert site.view().state == "quiet"
    assert site.view().reason.startswith("3, and nothing came for 300 s; nobody says")
    site.askable.add("CT1")  # the settings are other ones
    site.counts[STUDY] = 5
    site.stage.reconsider()
    await site.after(5)
    assert site.view().state == "incomplete"


async def test_a_peer_that_is_away_or_never_answers_holds_up_no_other(site):
    site.unreachable.add("CT2")
    site.counts |= {"1.2.1": None, "1.2.2": 1, "1.2.3": 1}
    site.askable.add("CT3")
    for study, ae_title in (("1.2.1", "CT1"), ("1.2.2", "CT2"), ("1.2.3", "CT3")):
        site.lands(study=study, ae_title=ae_title, conversation=ae_title)
    await site.after(15)
    assert site.view("1.2.3").state == "complete"
    assert site.view("1.2.2").expected is None
    assert len([each for each in site.asked if each[0] == "CT1"]) == 1, "it is still being asked"
    assert site.catalog.arrival("1.2.2").asks == 1
    await site.stage.stop()


async def test_a_peer_is_asked_for_some_studies_at_a_time(site):
    for n in range(2 * STUDIES_AN_ASSOCIATION):
        site.counts[f"1.3.{n}"] = 1
        site.lands(study=f"1.3.{n}")
    await site.after(10)
    await site.after(5)
    assert [len(studies) for _, studies in site.asked] == [STUDIES_AN_ASSOCIATION] * 2
    assert len({uid for _, studies in site.asked for uid in studies}) == len(site.counts)


async def test_very_many_studies_of_one_peer_hide_none_of_another(site):
    for n in range(DUE_MAX + 10):
        site.lands(study=f"1.3.{n}", ae_title="CT1")
    site.clock.advance(1)
    site.counts[STUDY] = 1
    site.lands(ae_title="CT2")
    site.unreachable.add("CT1")
    await site.after(15)
    assert ("CT2", (STUDY,)) in site.asked
    assert site.view().state == "complete"


async def test_a_catalog_that_takes_nothing_just_now_gets_it_later(site, monkeypatch):
    def busy(arrivals):
        raise TransientError("busy")

    with monkeypatch.context() as patched:
        patched.setattr(site.catalog, "record_arrivals", busy)
        site.lands()
        with pytest.raises(TransientError):
            await site.stage.round()
    await site.stage.round()
    assert site.catalog.arrival(STUDY).ae_title == "CT1"


async def test_what_came_before_a_crash_is_found_and_judged_by_what_is_still_known(site):
    site.counts[STUDY] = 5
    site.lands(3)
    await site.after(10)
    site.arrivals = Arrivals()
    site.lands(study="1.2.9", told=False)  # which landed behind the last round
    site.stage = site.started()
    await site.after(5)
    assert site.view().reason.startswith("3 of 5, the last came")
    assert site.view("1.2.9").state == "arriving"
    await site.after(400)
    assert site.view().state == "incomplete"
    assert site.view("1.2.9").state == "quiet"


async def test_of_what_nobody_watched_only_what_is_here_is_told(site):
    assert site.view("1.2.8") is None
    site.lands(2, told=False)
    found = site.view()
    assert (found.state, found.held, found.first_at_s) == ("quiet", 2, None)

"""A catalog that is made anew learns from the ledger what was forwarded, and what is owed still."""

import hashlib

import pytest

from conform.catalog_model import DictCatalog
from conform.catalog_samples import T0_NS, header, new_pack
from fileroom.audit.forwarding import Forwarded as ForwardedEvent
from fileroom.audit.forwarding import ForwardPaused, ForwardRules
from fileroom.catalog.forwards import FORWARDED_KEPT_NS, ForwardCounts
from fileroom.catalog.lifecycle import PackState
from fileroom.clock import ManualClock
from fileroom.errors import IntegrityError
from fileroom.pack.format import object_name
from fileroom.recovery.forwarded import Forwarded

STUDY = "1.2.1"


def sha256_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def forwarded(name: str, *, stored: int, at_ns: int = T0_NS, rule: str = "all", refused=None):
    return ForwardedEvent(
        destination="pacs",
        rule=rule,
        pack=object_name(b"K" * 16, sha256_of(name)),
        study_instance_uid=STUDY,
        stored=1,
        warned=0,
        withdrawn=0,
        refused=refused or {},
        study_stored=stored,
        study_warned=0,
        study_withdrawn=0,
        study_refused=0,
        study_waiting=0,
        forwarded_at_ns=at_ns,
    )


def in_force(*names: str) -> ForwardRules:
    return ForwardRules(rules=dict.fromkeys(names, "pacs"))


@pytest.fixture
def catalog() -> DictCatalog:
    """A catalog that was just made anew, with three packs."""
    catalog = DictCatalog(ManualClock())
    place = catalog.record_series("main", header("1.9.1", study=STUDY))
    for name in ("before", "done", "owed"):
        found = new_pack(place.study, place.series, name, state=PackState.REPLICATED)
        catalog.record_sealed(found, members=[], lease=None)
    return catalog


def owed(catalog: DictCatalog) -> dict[str, set[str]]:
    """Which packs each rule is to be asked about."""
    names = {sha256_of(name): name for name in ("before", "done", "owed", "untold")}
    found: dict[str, set[str]] = {}
    for row in catalog.packs_to_route(limit=99):
        for rule in row.rules or {""}:
            found.setdefault(rule, set()).add(names[catalog.pack_rows[row.pack].sha256])
    return found


def test_rules_are_asked_about_what_was_sealed_since_they_began_and_was_not_forwarded(catalog):
    told = Forwarded()
    told.sealed(sha256_of("before"), 1)
    told.rules(in_force("all"), 2, T0_NS)
    told.sealed(sha256_of("done"), 3)
    told.forwarded(forwarded("done", stored=1))
    told.sealed(sha256_of("owed"), 5)
    told.rules(in_force("all", "late"), 6, T0_NS)
    for _ in range(2):
        told.record(catalog)
        told.owe(catalog)
        assert owed(catalog) == {"all": {"owed"}}
        assert catalog.forward_rules() == {"all": "pacs", "late": "pacs"}
        assert catalog.forward_counts("pacs", STUDY) == ForwardCounts(stored=1)


def test_a_rule_that_was_out_of_force_begins_anew(catalog):
    told = Forwarded()
    told.rules(in_force("all"), 0, T0_NS)
    told.sealed(sha256_of("owed"), 1)
    told.rules(in_force(), 2, T0_NS)
    told.rules(in_force("all"), 3, T0_NS)
    told.record(catalog)
    told.owe(catalog)
    assert "owed" not in owed(catalog).get("all", set())


def test_a_pack_that_the_ledger_does_not_tell_of_is_owed_if_it_came_later(catalog):
    place = catalog.record_series("main", header("1.9.1", study=STUDY))
    for name, at_ns in (("untold", T0_NS + 2), ("long ago", T0_NS)):
        pack = new_pack(place.study, place.series, name, received_oldest_ns=at_ns)
        catalog.record_sealed(pack, members=[], lease=None)
    told = Forwarded()
    for index, name in enumerate(("before", "done", "owed")):
        told.sealed(sha256_of(name), index)
    told.rules(in_force("all"), 9, T0_NS + 1)
    told.record(catalog)
    told.owe(catalog)
    assert owed(catalog) == {"all": {"untold"}}


def test_what_was_refused_is_listed_again_however_long_ago(catalog):
    told = Forwarded()
    told.rules(in_force("all"), 0, T0_NS)
    told.forwarded(forwarded("done", stored=0, refused={"it answered A900H": "0-1"}))
    told.forwarded(forwarded("owed", stored=1, at_ns=T0_NS + FORWARDED_KEPT_NS + 1))
    told.record(catalog)
    assert catalog.forward_totals()["pacs"].refused == 2
    told.forwarded(forwarded("done", stored=3, at_ns=T0_NS + FORWARDED_KEPT_NS + 2))
    told.record(catalog)
    assert catalog.forward_totals() == {}


def test_a_paused_destination_stays_paused(catalog):
    told = Forwarded()
    for name, paused in (("pacs", True), ("telerad", True), ("telerad", False)):
        told.paused(ForwardPaused(destination=name, paused=paused, principal="x", address="x"))
    told.record(catalog)
    assert catalog.paused_destinations() == {"pacs"}


def test_an_entry_that_names_no_pack_is_damage():
    told = ForwardedEvent(**{
        name: getattr(forwarded("done", stored=1), name)
        for name in ForwardedEvent.__struct_fields__
        if name != "pack"
    } | {"pack": "packs/none"})  # fmt: skip
    with pytest.raises(IntegrityError):
        Forwarded().forwarded(told)

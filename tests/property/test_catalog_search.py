"""A search by index finds what the standard's matching finds on every row."""

import tempfile
from datetime import UTC
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from conform.catalog_model import DictCatalog
from conform.catalog_samples import NODE, spooled
from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.moments import Zone
from fileroom.catalog.query import AVAILABILITY, COMPUTED, MATCHABLE, Level, Search
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.dicom.match import empty, fuzzy, parse
from fileroom.disk import Disk

LETTERS = "aAäÄ^=*?[]\\_% é😀\uffff"
words = st.text(LETTERS, max_size=4)
# What has one value (PS3.6) is compared as a whole by the indexes, whatever a sender puts there.
single = st.text(LETTERS.replace("\\", ""), max_size=4)
names = st.sampled_from(["Doe^Jane", "DOE^J", "Döe", "Doe^", "山田^太郎=やまだ"]) | words
dates = st.sampled_from(["20240101", "20240102", "20240103", "19991231"])
times = st.sampled_from(["0930", "120000", "235959"])
STORED = {
    "PatientName": names,
    "PatientID": st.sampled_from(["P1", "P12", "p1", "P[1]"]) | single,
    "StudyDate": dates | st.just(""),
    "StudyTime": times | st.just(""),
    "AccessionNumber": st.sampled_from(["A", "AB", ""]) | single,
    "StudyID": st.sampled_from(["S1", ""]),
    "Modality": st.sampled_from(["CT", "MR", "C", ""]),
    "StudyDescription": words,
    "TimezoneOffsetFromUTC": st.sampled_from(["", "+0000", "-0930", "+1400", "0100"]),
    "SeriesDate": dates | st.just(""),
    "SeriesTime": times | st.just(""),
}
patterns = st.sampled_from(["P*", "?1", "*[1]*", "A*", "*", "**", "a?*", "[*", "*\\*", "ä*"])
ASKED = {
    "PatientName": names | patterns | st.sampled_from(["doe*", "d?e*", "*jane", "=やまだ*"]),
    "PatientID": STORED["PatientID"] | words | patterns,
    "StudyDate": dates
    | st.builds("{}-{}".format, dates | st.just(""), dates | st.just("")).filter(
        lambda text: text != "-"
    ),
    "StudyTime": st.builds("{}-{}".format, times, times),
    "AccessionNumber": STORED["AccessionNumber"] | words | patterns,
    "StudyID": st.sampled_from(["S1", "S*", "S2"]),
    "StudyInstanceUID": st.sampled_from(["1.2.0", "1.2.3", "1.2.1\\1.2.2", "1.3"]),
    "ModalitiesInStudy": st.sampled_from(["CT", "C", "MR", "?T", "C*"]),
    "Modality": st.sampled_from(["CT", "C"]),
    "SeriesInstanceUID": st.sampled_from(["1.2.0.1", "1.2.1.1\\1.2.2.1"]),
    "StudyDescription": words | patterns,
    "SeriesDate": st.builds("{}-{}".format, dates, dates),
    "SeriesTime": st.builds("{}-{}".format, times, times),
    "SOPClassesInStudy": st.sampled_from(
        ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2\\1.2", "1.2"]
    ),
}
fuzzy_names = st.sampled_from(["doe jane", "jan", "doejane", "たろ", "D", "doé^j"]) | words


@st.composite
def searches(draw):
    level = draw(st.sampled_from(Level))
    keywords = sorted(MATCHABLE[level] & ASKED.keys())
    below = [None, None, None if level is Level.PATIENT else "1.2.1"]
    asked = draw(st.lists(st.sampled_from(keywords), max_size=3, unique=True))
    conditions = [parse(keyword, draw(ASKED[keyword])) for keyword in asked]
    if draw(st.booleans()):
        conditions.append(fuzzy("PatientName", draw(fuzzy_names)))
    if draw(st.booleans()):
        conditions.append(empty(draw(st.sampled_from(keywords))))
    zone = st.builds(Zone, st.sampled_from([0, 60, -570, 840, -720]), st.none() | st.just(UTC))
    return Search(
        level=level,
        partition="main",
        limit=draw(st.integers(1, 8)),
        offset=draw(st.integers(0, 3)),
        study_instance_uid=draw(st.sampled_from(below)),
        conditions=tuple(conditions),
        computed=draw(st.sampled_from([None, COMPUTED[level], frozenset({AVAILABILITY})])),
        combined_datetime=draw(st.booleans()),
        zone=draw(st.none() | zone),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    told=st.lists(st.fixed_dictionaries(STORED), min_size=1, max_size=8),
    asked=st.lists(searches(), min_size=1, max_size=8),
)
def test_an_index_never_hides_a_match(told, asked):
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock()
        model = DictCatalog(clock)
        catalog = SqliteCatalog.create(
            Path(folder) / "catalog.db", key=b"k" * 32, clock=clock, disk=Disk()
        )
        rows = [
            spooled((1, n), f"1.9.{n}", study=f"1.2.{n % 5}", series=f"1.2.{n % 5}.{n}", **said)
            for n, said in enumerate(told)
        ]
        for each in (catalog, model):
            each.record_spooled(rows, node_id=NODE)
        for search in asked:
            found = catalog.search(search)
            assert found == model.search(search)
            everything = structs.replace(search, limit=100, offset=0)
            assert paged(catalog, search) == catalog.search(everything)
            assert catalog.count(search) == len(catalog.search(everything))
        catalog.close()


def paged(catalog, search: Search):
    """All matches, read as pages of which each begins behind the one before."""
    found = []
    while True:
        after = found[-1].position if found else None
        page = catalog.search(structs.replace(search, limit=2, offset=0, after=after))
        if not page:
            return found
        found += page


@given(scanned=st.integers(1, 10))
@settings(max_examples=10, deadline=None)
def test_no_search_looks_at_more_rows_than_it_may(scanned):
    with tempfile.TemporaryDirectory() as folder:
        catalog = SqliteCatalog.create(
            Path(folder) / "catalog.db", key=b"k" * 32, clock=ManualClock(), disk=Disk()
        )
        rows = [spooled((1, n), f"1.9.{n}", study=f"1.2.{n}") for n in range(10)]
        catalog.record_spooled(rows, node_id=NODE)
        search = Search(
            level=Level.STUDY,
            partition="main",
            limit=1,
            conditions=(parse("StudyDescription", "nowhere"),),
            rows_scanned_max=scanned,
        )
        try:
            assert catalog.search(search) == []
            assert scanned >= 10
        except SearchTooBroadError:
            assert scanned < 10
        catalog.close()

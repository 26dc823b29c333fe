"""QIDO-RS: what a query asks of the archive, and what an answer holds."""

import asyncio
import weakref
import xml.etree.ElementTree as ET
from copy import copy
from io import BytesIO

import msgspec
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file

from corpus import ct_small
from dicomweb_fakes import World, call, world
from fileroom.dicomweb.location import BASE
from fileroom.dicomweb.qido import included
from fileroom.dicomweb.qido import keys as qido_keys
from fileroom.dicomweb.qido import query as qido_query
from fileroom.dicomweb.qido import search as qido
from fileroom.dicomweb.qido.keys import Found, keyword_of
from fileroom.errors import TransientError
from fileroom.http.refusals import BadRequestError
from fileroom.http.request import Limits

# PS3.18 Table 10.6.1-5, typed from the standard.
REQUIRED_KEYS = {
    Found.STUDIES: {
        "StudyDate": "00080020",
        "StudyTime": "00080030",
        "AccessionNumber": "00080050",
        "ModalitiesInStudy": "00080061",
        "ReferringPhysicianName": "00080090",
        "PatientName": "00100010",
        "PatientID": "00100020",
        "StudyInstanceUID": "0020000D",
        "StudyID": "00200010",
    },
    Found.SERIES: {
        "Modality": "00080060",
        "SeriesInstanceUID": "0020000E",
        "SeriesNumber": "00200011",
        "PerformedProcedureStepStartDate": "00400244",
        "PerformedProcedureStepStartTime": "00400245",
        "ScheduledProcedureStepID": "00400009",
        "RequestedProcedureID": "00401001",
    },
    Found.INSTANCES: {
        "SOPClassUID": "00080016",
        "SOPInstanceUID": "00080018",
        "InstanceNumber": "00200013",
    },
}
# PS3.18 Tables 10.6.3-3, -4 and -5, types R and U.
REQUIRED_ANSWERS = {
    Found.STUDIES: "00080020 00080030 00080050 00080061 00080090 00100010 00100020 00100030 "
    "00100040 0020000D 00200010 00201206 00201208",
    Found.SERIES: "00080060 0020000E 00200011 00201209 00081190",
    Found.INSTANCES: "00080016 00080018 00200013 00081190",
}


def read(fields, found=Found.STUDIES):
    return qido_query.read(fields, found, limit_default=100, limit_max=1000)


def slices(count: int, *, study: str = "1.2.3", series: int = 1, **attributes) -> list[bytes]:
    made = []
    for number in range(count):
        data_set = dcmread(ct_small())
        data_set.StudyInstanceUID = study
        data_set.SeriesInstanceUID = f"{study}.{series}"
        data_set.SOPInstanceUID = f"{study}.{series}.{number + 1}"
        data_set.InstanceNumber = number + 1
        for keyword, value in attributes.items():
            setattr(data_set, keyword, value)
        out = BytesIO()
        dcmwrite(out, data_set)
        made.append(out.getvalue())
    return made


def holding(*files: bytes, **options) -> World:
    here = world(**options)
    for each in files:
        here.archive.add(each)
    return here


async def rows(here: World, target: str):
    reply = await call(here.app, "GET", f"{BASE}{target}")
    assert reply.status == 200, reply.body
    assert reply.header("content-type") == "application/dicom+json"
    return reply.json()


# --- queries


@pytest.mark.parametrize("found", Found)
def test_every_required_key_is_matched_by_keyword_and_by_tag(found):
    wanted = {}
    for level in Found:
        wanted |= REQUIRED_KEYS[level]
        if level is found:
            break
    for keyword, tag in wanted.items():
        inside = keyword in ("ScheduledProcedureStepID", "RequestedProcedureID")
        names = [keyword, tag, tag.lower()]
        if inside:
            names = [f"RequestAttributesSequence.{keyword}", f"00400275.{tag}", keyword]
        for name in names:
            query = read([(name, "1")], found)
            assert [each.keyword for each in query.conditions] == [keyword]
            assert keyword in query.added


@pytest.mark.parametrize(
    "name",
    [
        *("", "Foo", "PatientComments", "00104000", "1234567", "0010001G", "limit "),
        *("Modality", "00080060", "SOPInstanceUID", "PatientName.PatientID"),
        "OtherPatientIDsSequence.00100020",
    ],
)
def test_a_name_that_cannot_be_matched_at_the_level_is_refused(name):
    with pytest.raises(BadRequestError, match="cannot be matched when searching for studies"):
        read([(name, "x")])


def test_a_name_that_cannot_be_shown_is_not_repeated():
    with pytest.raises(BadRequestError) as caught:
        read([("<script>" * 20, "x")])
    assert "script" not in str(caught.value)


def test_a_key_that_comes_twice_is_refused():
    with pytest.raises(BadRequestError, match="PatientID is in the query twice"):
        read([("PatientID", "1"), ("00100020", "2")])


@pytest.mark.parametrize("value", ["1.2.3,1.2.4", "1.2.3\\1.2.4"])
def test_uids_come_in_lists_by_comma_or_backslash(value):
    (condition,) = read([("StudyInstanceUID", value)]).conditions
    assert condition.kind == "uid_list"
    assert condition.values == ("1.2.3", "1.2.4")


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "a", "٣", "9" * 10, " 1"])
def test_limit_and_offset_are_plain_numbers(name, value):
    with pytest.raises(BadRequestError):
        read([(name, value)])
    with pytest.raises(BadRequestError):
        read([(name, "1"), (name, "2")])


def test_limits_have_a_default_and_a_greatest():
    assert read([]).limit == 100
    assert read([("limit", "5"), ("offset", "7")]).limit == 5
    assert read([("limit", "99999")]).limit == 1000
    assert read([("limit", "0")]).limit == 0


def test_included_fields_are_names_tags_lists_or_all():
    assert read([("includefield", "StudyDescription,00080201")]).added == {
        "StudyDescription",
        "TimezoneOffsetFromUTC",
    }
    assert read([("includefield", "Unknown"), ("includefield", "00104000")]).added == set()
    # Attributes of lower levels are not returned (PS3.18 §10.6.3.3.1).
    assert read([("includefield", "SeriesDescription")]).added == set()
    assert "StudyDescription" in read([("includefield", "all")]).added
    assert "SeriesDescription" in read([("includefield", "all")], Found.SERIES).added


@pytest.mark.parametrize("name", ["fuzzymatching", "emptyvaluematching", "multiplevaluematching"])
def test_a_switch_is_true_or_false_and_stands_once(name):
    assert read([(name, "true")]) == read([(name, "false")]) == read([])
    for wrong in ([(name, "yes")], [(name, "")], [(name, "true"), (name, "true")]):
        with pytest.raises(BadRequestError):
            read(wrong)


@pytest.mark.parametrize("order", [1, -1])
def test_names_are_matched_fuzzily_where_that_is_asked_for_and_nothing_else_is(order):
    fields = [("fuzzymatching", "true"), ("PatientName", "jo do"), ("PatientID", "jo do")]
    by_keyword = {each.keyword: each for each in read(fields[::order]).conditions}
    assert by_keyword["PatientName"].matches("Doe^John^^Dr")
    assert not by_keyword["PatientName"].matches("Doe^Jane")
    assert by_keyword["PatientID"].kind == "single"
    assert read([("PatientName", "jo do")]).conditions[0].kind == "single"


def test_no_value_is_asked_for_by_two_quotes_where_that_is_switched_on():
    # PS3.4 §C.2.2.2.7
    for keyword in ("PatientID", "StudyDate", "PatientName", "ReferringPhysicianName"):
        (condition,) = read([(keyword, '""'), ("emptyvaluematching", "true")]).conditions
        assert condition.matches("")
        assert condition.matches(None)
        assert not condition.matches("20240101")
        (condition,) = read([(keyword, '""')]).conditions
        assert not condition.matches("")
    (condition,) = read([("PatientID", ""), ("emptyvaluematching", "true")]).conditions
    assert condition.kind == "universal"


def test_all_of_several_values_must_be_there_where_that_is_switched_on():
    # PS3.4 §C.2.2.2.8: CT\\PT finds the studies that have both.
    switch = ("multiplevaluematching", "true")
    conditions = read([("ModalitiesInStudy", "CT\\PT"), switch]).conditions
    for modalities, expected in (("CT\\PT", True), ("PT\\SR\\CT", True), ("CT", False)):
        assert all(each.matches(modalities) for each in conditions) == expected
    with pytest.raises(BadRequestError, match="wildcard"):
        read([("ModalitiesInStudy", "CT\\P*"), switch])
    (one,) = read([("ModalitiesInStudy", "CT"), switch]).conditions
    assert one.kind == "single"


def test_content_parameters_are_no_keys():
    assert read([("accept", "application/dicom+json"), ("charset", "utf-8")]).conditions == ()


def test_tags_of_the_table_are_those_of_pydicom():
    from pydicom.datadict import keyword_for_tag

    for keyword, tag in qido_keys.TAGS.items():
        assert keyword_for_tag(int(tag, 16)) == keyword
        assert keyword_of(tag) == keyword


# --- what is asked of the archive


async def test_the_search_names_level_study_conditions_and_page():
    here = holding(*slices(1))
    await rows(here, "/studies?PatientID=1CT1&limit=5&offset=0")
    await rows(here, "/studies/1.2.3/series?Modality=CT")
    await rows(here, "/studies/1.2.3/series/1.2.3.1/instances?limit=2")
    studies, series, instances = here.archive.searches
    assert (studies.level, studies.study_instance_uid, studies.limit) == ("STUDY", None, 6)
    assert (series.level, series.study_instance_uid) == ("SERIES", "1.2.3")
    assert [each.keyword for each in series.conditions] == ["Modality"]
    assert instances.study_instance_uid == "1.2.3"
    assert [(c.keyword, c.values) for c in instances.conditions] == [
        ("SeriesInstanceUID", ("1.2.3.1",))
    ]


# --- answers


@pytest.mark.parametrize(
    "target, levels",
    [
        ("/studies", [Found.STUDIES]),
        ("/series", [Found.STUDIES, Found.SERIES]),
        ("/studies/1.2.3/series", [Found.SERIES]),
        ("/instances", [Found.STUDIES, Found.SERIES, Found.INSTANCES]),
        ("/studies/1.2.3/instances", [Found.SERIES, Found.INSTANCES]),
        ("/studies/1.2.3/series/1.2.3.1/instances", [Found.INSTANCES]),
    ],
)
async def test_a_match_has_the_required_attributes_of_its_levels_in_order(target, levels):
    here = holding(*slices(1))
    (row,) = await rows(here, target)
    for level in levels:
        for tag in REQUIRED_ANSWERS[level].split():
            assert tag in row, (level, tag)
    assert list(row) == sorted(row)
    assert row["0020000D"] == {"vr": "UI", "Value": ["1.2.3"]}
    if levels == [Found.INSTANCES]:
        assert "00100010" not in row


async def test_values_are_what_the_data_set_says():
    here = holding(*slices(2, AccessionNumber="A7", PatientBirthDate=""))
    (row,) = await rows(here, "/studies")
    assert row["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "CompressedSamples^CT1"}]}
    assert row["00080050"] == {"vr": "SH", "Value": ["A7"]}
    assert row["00100030"] == {"vr": "DA"}
    assert row["00201208"] == {"vr": "IS", "Value": [2]}
    assert row["00080056"] == {"vr": "CS", "Value": ["ONLINE"]}
    assert row["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    (instance,) = await rows(here, "/instances?SOPInstanceUID=1.2.3.1.2")
    assert instance["00280010"] == {"vr": "US", "Value": [128]}
    assert "00280008" not in instance  # Number of Frames is not known of this one


@pytest.mark.parametrize(
    "target, tail",
    [
        ("/studies", ""),
        ("/series", "/series/1.2.3.1"),
        ("/instances", "/series/1.2.3.1/instances/1.2.3.1.1"),
    ],
)
async def test_each_match_says_where_it_is_retrieved(target, tail):
    here = holding(*slices(1))
    (row,) = await rows(here, target)
    assert row["00081190"]["Value"] == [f"http://127.0.0.1:8642{BASE}/studies/1.2.3{tail}"]
    url = row["00081190"]["Value"][0].removeprefix("http://127.0.0.1:8642")
    assert (await call(here.app, "GET", url)).status == 200


async def test_request_attributes_are_an_item_for_each_request():
    here = holding(*slices(1))
    (instance,) = here.archive.instances.values()
    (row,) = await rows(here, "/series")
    assert "00400275" not in row
    instance.attributes |= {"ScheduledProcedureStepID": "S1\\S2", "RequestedProcedureID": "R1"}
    (row,) = await rows(here, "/series")
    assert row["00400275"] == {
        "vr": "SQ",
        "Value": [
            {
                "00400009": {"vr": "SH", "Value": ["S1"]},
                "00401001": {"vr": "SH", "Value": ["R1"]},
            },
            {"00400009": {"vr": "SH", "Value": ["S2"]}},
        ],
    }


async def test_included_attributes_come_where_they_are_known():
    here = holding(*slices(1))
    (plain,) = await rows(here, "/studies")
    (more,) = await rows(here, "/studies?includefield=StudyDescription,IssuerOfPatientID")
    assert "00081030" not in plain
    assert more["00081030"]["Value"] == ["e+1"]
    assert "00100021" not in more
    (everything,) = await rows(here, "/studies?includefield=all")
    assert "00081030" in everything


async def test_a_search_is_recorded_under_the_study_it_asks_about_or_under_none():
    here = holding(*slices(1))
    await rows(here, "/studies?PatientID=1CT1")
    await rows(here, "/studies/1.2.3/series")
    assert here.coverage.asked == [
        ("127.0.0.1", "", "search", "qido"),
        ("127.0.0.1", "1.2.3", "search", "qido"),
    ]
    assert here.coverage.bytes > 0


async def test_without_a_record_nothing_is_searched():
    here = holding(*slices(1))
    here.coverage.error = TransientError("the ledger cannot be written")
    for target in ("/studies", "/series", "/studies/1.2.3/instances"):
        assert (await call(here.app, "GET", BASE + target)).status == 503
    assert here.archive.searches == []


async def test_no_match_is_an_empty_list():
    # PS3.18 §10.6.3.1 since 2025; 204 before.
    reply = await call(world().app, "GET", f"{BASE}/studies?PatientID=nobody")
    assert (reply.status, reply.body) == (200, b"[]")


async def test_more_matches_than_were_sent_are_told_of_in_a_warning():
    here = holding(*slices(5), limits=Limits(results_default=3, results_max=4))
    reply = await call(here.app, "GET", f"{BASE}/instances")
    assert len(reply.json()) == 3
    told = (
        f"299 http://127.0.0.1:8642{BASE}: There are {{}} additional results that can be requested"
    )
    assert reply.all("warning") == [told.format(2)]
    rest = await call(here.app, "GET", f"{BASE}/instances?offset=3&limit=9")
    assert len(rest.json()) == 2
    assert rest.all("warning") == []
    most = await call(here.app, "GET", f"{BASE}/instances?limit=9")
    assert len(most.json()) == 4
    assert most.all("warning") == [told.format(1)]
    none = await call(here.app, "GET", f"{BASE}/instances?limit=0")
    assert none.json() == []
    assert none.all("warning") == [told.format(5)]
    # Of each instance of the whole archive it would have to be asked.
    some = await call(here.app, "GET", f"{BASE}/instances?Rows=128&limit=1")
    assert some.all("warning") == [told.format("").replace("  ", " ")]
    assert some.header("x-total-count") is None


@pytest.mark.parametrize(
    "target, query, remaining, total",
    [
        ("/studies", "limit=2", 1, 3),
        ("/studies", "limit=2&offset=1", None, 3),
        ("/studies", "limit=0", 3, 3),
        ("/studies", "offset=3", None, None),
        ("/studies", "", None, 3),
        ("/studies", "PatientID=nobody", None, 0),
        ("/series", "limit=1&offset=1", 2, 4),
        ("/studies/1.2.3/series", "limit=1", 1, 2),
        ("/studies/1.2.3/instances", "limit=1&offset=1", 3, 5),
        ("/studies/1.2.3/series/1.2.3.1/instances", "limit=1", 2, 3),
        ("/studies/1.2.3/instances", "limit=9&offset=1", None, 5),
        ("/studies/1.2.3/instances", "limit=1&Rows=128", 4, 5),
        ("/instances", "limit=1&offset=2", 4, 7),
        ("/instances", "", None, 7),
    ],
)
async def test_how_many_there_are_and_how_many_are_left_is_told(target, query, remaining, total):
    # PS3.18 §8.3.4.4.1
    files = slices(3) + slices(2, series=2) + slices(1, study="1.2.4") + slices(1, study="1.2.5")
    here = holding(*files)
    reply = await call(here.app, "GET", f"{BASE}{target}?{query}")
    told = f"There are {remaining} additional results that can be requested"
    assert [each.split(": ", 1)[1] for each in reply.all("warning")] == [told][: bool(remaining)]
    assert reply.header("x-total-count") == (None if total is None else str(total))


async def test_head_tells_what_get_does_without_the_matches():
    here = holding(*slices(3))
    target = f"{BASE}/instances?limit=2"
    got, head = [await call(here.app, method, target) for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (200, b"")
    assert head.headers == got.headers


async def test_attributes_of_instances_are_included_from_their_own_metadata():
    here = holding(*slices(1, PatientComments="slow", StudyComments="none"))
    target = "/studies/1.2.3/series/1.2.3.1/instances?includefield="
    (row,) = await rows(here, f"{target}PatientComments,00081030&includefield=PixelData,00091002")
    assert row["00104000"] == {"vr": "LT", "Value": ["slow"]}
    assert row["00081030"]["Value"] == ["e+1"]
    assert row["7FE00010"]["BulkDataURI"].endswith("/instances/1.2.3.1.1/bulkdata/7FE00010")
    assert "00091002" not in row  # nobody said whose private element is meant
    assert "00324000" not in row
    assert list(row) == sorted(row)
    (row,) = await rows(here, f"{target}Nonsense,99999999,0028,PatientComments.PatientID")
    assert "00104000" not in row or "Value" in row["00104000"]


async def test_what_stands_in_sequences_is_included_alone_or_with_all_that_is_there():
    file = dcmread(get_testdata_file("reportsi.dcm", download=False))
    out = BytesIO()
    dcmwrite(out, file)
    here = holding(out.getvalue())
    study = f"/studies/{file.StudyInstanceUID}/instances?includefield="
    (whole,) = await rows(here, f"{study}ContentSequence")
    assert len(whole["0040A730"]["Value"]) == len(file.ContentSequence)
    assert len(whole["0040A730"]["Value"][0]) > 2
    (part,) = await rows(
        here, f"{study}0040A730.0040A040,ContentSequence.ConceptNameCodeSequence.CodeValue"
    )
    for item, said in zip(part["0040A730"]["Value"], file.ContentSequence, strict=True):
        assert item["0040A040"]["Value"] == [said.ValueType]
        code = said.ConceptNameCodeSequence[0].CodeValue
        assert item["0040A043"]["Value"] == [{"00080100": {"vr": "SH", "Value": [code]}}]
        assert len(item) == 2
    (both,) = await rows(here, f"{study}0040A730.0040A040&includefield=0040A730")
    assert both["0040A730"] == whole["0040A730"]


async def test_all_brings_everything_that_the_metadata_of_an_instance_has():
    here = holding(*slices(1))
    (row,) = await rows(here, "/instances?includefield=all")
    (metadata,) = await rows(here, "/studies/1.2.3/metadata")
    ours = {"00080005", "00080056", "00081190", "00080061", "00201206", "00201208", "00201209"}
    assert {tag: row[tag] for tag in metadata.keys() - ours} == {
        tag: metadata[tag] for tag in metadata.keys() - ours
    }
    assert row.keys() - metadata.keys() <= ours
    assert row["00080005"]["Value"] == ["ISO_IR 192"]
    assert list(row) == sorted(row)


async def test_matches_are_given_as_xml_part_by_part():
    here = holding(*slices(2))
    accept = {"accept": 'multipart/related; type="application/dicom+xml"'}
    reply = await call(here.app, "GET", f"{BASE}/instances", headers=accept)
    assert reply.status == 200
    assert reply.header("content-type").startswith(
        'multipart/related; type="application/dicom+xml"; boundary='
    )
    boundary = reply.header("content-type").split('boundary="')[1].rstrip('"').encode()
    parts = reply.body.split(b"--" + boundary)[1:-1]
    assert len(parts) == 2
    for number, part in enumerate(parts, 1):
        head, document = part.removesuffix(b"\r\n").split(b"\r\n\r\n", 1)
        assert b"Content-Type: application/dicom+xml\r\n" in head
        model = ET.fromstring(document)
        (uid,) = [each for each in model if each.get("tag") == "00080018"]
        assert uid[0].text == f"1.2.3.1.{number}"
    none = await call(here.app, "GET", f"{BASE}/studies?PatientID=nobody", headers=accept)
    assert (none.status, none.body) == (204, b"")


async def test_pages_do_not_overlap():
    here = holding(*slices(5))
    seen = []
    for offset in range(0, 6, 2):
        seen += await rows(here, f"/instances?limit=2&offset={offset}")
    assert [each["00200013"]["Value"] for each in seen] == [[1], [2], [3], [4], [5]]


@pytest.mark.parametrize(
    "query", ["%FF=1", "PatientID=%FF", "&".join(["limit=1"] * 200), "PatientID=\u00e9"]
)
async def test_a_query_that_cannot_be_decoded_is_400(query):
    assert (await call(world().app, "GET", f"{BASE}/studies?{query}")).status == 400


async def test_names_in_any_script_are_asked_and_answered_in_utf_8():
    here = holding(
        *slices(1, SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎")
    )
    found = await rows(here, "/studies?PatientName=*%E5%B1%B1%E7%94%B0*")
    assert len(found) == 1


async def test_xml_without_parts_is_not_given():
    reply = await call(
        world().app, "GET", f"{BASE}/studies", headers={"accept": "application/dicom+xml"}
    )
    assert reply.status == 406


# --- what a search may cost


async def test_not_every_series_is_asked_how_many_instances_it_has(monkeypatch):
    here = holding(*(each for n in range(4) for each in slices(2, series=n)))
    for most, told in ((3, "There are 7 additional"), (2, "There are additional")):
        monkeypatch.setattr(qido, "SERIES_COUNTED_MAX", most + 1)
        reply = await call(here.app, "GET", f"{BASE}/instances?limit=1")
        assert told in reply.header("warning")


async def test_what_is_included_costs_by_what_there_is_and_not_by_what_is_asked():
    class Asked(dict):
        def __iter__(self):
            raise AssertionError("there may be any number of them")

        items = keys = values = __iter__

    item = {"00080100": {"vr": "SH", "Value": ["a"]}, "00080102": {"vr": "SH"}}
    said = msgspec.json.encode(
        {"00080005": {"vr": "CS"}, "0040A730": {"vr": "SQ", "Value": [item, {}]}}
    )
    found = included.chosen(said, Asked({"0040A730": Asked({"00080100": None}), "00100010": None}))
    assert {tag: msgspec.json.decode(each) for tag, each in found.items()} == {
        "0040A730": {"vr": "SQ", "Value": [{"00080100": item["00080100"]}, {}]}
    }


def test_what_is_included_is_nested_no_deeper_than_anybody_needs():
    assert included.tag_path("00081115." * included.DEPTH_MAX + "00080005") is not None
    assert included.tag_path("00081115." * (included.DEPTH_MAX + 1) + "00080005") is None


async def test_no_instance_is_kept_until_its_page_is_complete():
    here = holding(*slices(1))
    (only,) = here.archive.instances.values()
    real = here.archive.instance_matches
    made: list[weakref.ref] = []

    async def many(search):
        async for row, _ in real(search):
            for number in range(20):
                assert sum(each() is not None for each in made) <= 2
                one = copy(only)
                one.sop_instance_uid = f"1.2.3.9.{number}"
                made.append(weakref.ref(one))
                yield row, one

    here.archive.instance_matches = many
    assert len(await rows(here, "/instances?includefield=all")) == 20
    assert len(made) == 20


async def test_a_page_of_instances_ends_where_it_becomes_too_large_and_says_so(monkeypatch):
    monkeypatch.setattr(qido, "PAGE_BYTES_MAX", 3_000)
    here = holding(*slices(5))
    reply = await call(here.app, "GET", f"{BASE}/instances?includefield=all")
    found = [each["00080018"]["Value"][0] for each in reply.json()]
    assert 0 < len(found) < 5
    assert reply.header("x-total-count") == "5"
    assert f"There are {5 - len(found)} additional" in reply.header("warning")
    while len(found) < 5:
        page = await rows(here, f"/instances?includefield=all&offset={len(found)}")
        found += [each["00080018"]["Value"][0] for each in page]
    assert found == [f"1.2.3.1.{n}" for n in range(1, 6)]


@pytest.mark.parametrize("target", ["/series", "/instances"])
async def test_others_have_their_turn_while_matches_are_written(target):
    here = holding(*(each for n in range(40) for each in slices(1, series=n)))
    turns = 0

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.create_task(others())
    seen = []
    await asyncio.sleep(0)
    real = here.coverage.covers

    async def covers(*given, **named):
        seen.append(turns)
        return await real(*given, **named)

    here.coverage.covers = covers
    await here.app(
        {
            "type": "http",
            "method": "GET",
            "path": f"{BASE}{target}",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8642")],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8642),
            "scheme": "http",
        },
        asyncio.Event().wait,
        lambda message: _noted(seen, turns),
    )
    beside.cancel()
    assert seen[1] - seen[0] >= 4  # of 40 matches, before the header fields


async def _noted(seen, turns):
    seen.append(turns)

"""QIDO-RS: what a query asks of the archive, and what an answer holds."""

from io import BytesIO

import pytest
from pydicom import dcmread, dcmwrite

from corpus import ct_small
from dicomweb_fakes import World, call, world
from fileroom.dicomweb import qido_keys, qido_query
from fileroom.dicomweb.app import BASE
from fileroom.dicomweb.qido_keys import Found, keyword_of
from fileroom.dicomweb.refusals import BadRequestError
from fileroom.dicomweb.request import Limits
from fileroom.errors import TransientError

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
def test_switches_we_do_not_have_are_answered_with_a_warning(name):
    assert read([(name, "false")]).warnings == ()
    (warning,) = read([(name, "true")]).warnings
    assert warning.startswith(f"The {name} parameter is not supported.")
    with pytest.raises(BadRequestError):
        read([(name, "yes")])


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
    warning = f"299 http://127.0.0.1:8642{BASE}: There are additional results that can be requested"
    assert reply.all("warning") == [warning]
    rest = await call(here.app, "GET", f"{BASE}/instances?offset=3&limit=9")
    assert len(rest.json()) == 2
    assert rest.all("warning") == []
    most = await call(here.app, "GET", f"{BASE}/instances?limit=9")
    assert len(most.json()) == 4
    assert most.all("warning") == [warning]
    none = await call(here.app, "GET", f"{BASE}/instances?limit=0&fuzzymatching=true")
    assert none.json() == []
    assert len(none.all("warning")) == 2


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


async def test_only_json_is_given():
    reply = await call(
        world().app, "GET", f"{BASE}/studies", headers={"accept": "application/dicom+xml"}
    )
    assert reply.status == 406

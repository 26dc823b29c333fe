"""C-FIND as PS3.4 §C.4.1 has it: what is asked, what is answered, and when it ends."""

import asyncio
from datetime import UTC

import pytest
from pydicom import Dataset

from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.dicom.identifier import SIZE_BYTES_MAX
from fileroom.dimse import instance_keys, query_scp
from fileroom.dimse.operation import GoneError, Refused
from fileroom.disk import Disk
from fileroom.errors import IntegrityError, TransientError
from fileroom.wire.message import Command
from fileroom.wire.presentation import AcceptedContext
from fileroom.wire.sop_class import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from query_parts import (
    AE_TITLE,
    EXPLICIT,
    READER,
    Asker,
    Coverage,
    Found,
    Library,
    find,
    operation,
    provision_of,
    written,
)

CT, MR, SR = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.88.11",
)
STUDY_KEYS = (
    "PatientName",
    "PatientID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ModalitiesInStudy",
    "SOPClassesInStudy",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
    "NumberOfPatientRelatedStudies",
    "NumberOfPatientRelatedSeries",
    "NumberOfPatientRelatedInstances",
)
RELATIONAL, COMBINED, FUZZY, ZONED = (bytes(n == m for m in range(4)) for n in range(4))
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"
KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"
ARABIC = "قباني^لنزار"
GERMAN = "Äneas^Rüdiger"


def instance(study: int, series: int, number: int, **said: object) -> Dataset:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.SOPClassUID = CT
    data_set.SOPInstanceUID = f"1.2.{study}.{series}.{number}"
    data_set.StudyDate, data_set.StudyTime = f"2024010{study}", "101530"
    data_set.AccessionNumber, data_set.Modality = f"A{study}", "CT"
    data_set.PatientName, data_set.PatientID = f"Doe^Jane{study}", f"P{study}"
    data_set.StudyInstanceUID = f"1.2.{study}"
    data_set.SeriesInstanceUID = f"1.2.{study}.{series}"
    data_set.SeriesNumber, data_set.InstanceNumber = series, number
    for keyword, value in said.items():
        setattr(data_set, keyword, value)
    return data_set


def item(**said: object) -> Dataset:
    found = Dataset()
    for keyword, value in said.items():
        setattr(found, keyword, value)
    return found


REQUESTED = [
    item(RequestedProcedureID="R1"),
    item(RequestedProcedureID="R2", ScheduledProcedureStepID="S2"),
]
SAID = [
    instance(1, 1, 1, PatientName=JAPANESE, RequestAttributesSequence=REQUESTED),
    instance(1, 1, 2, PatientName=JAPANESE, RequestAttributesSequence=REQUESTED, KVP=120.5),
    instance(1, 2, 1, PatientName=JAPANESE, SOPClassUID=SR, Modality="SR"),
    instance(2, 1, 1, PatientName=KOREAN, Modality="MR", SOPClassUID=MR),
    instance(3, 1, 1, PatientName=ARABIC),
    instance(4, 1, 1, PatientName=GERMAN, PatientID="P3", IssuerOfPatientID="OTHER"),
]


@pytest.fixture
def library(tmp_path):
    catalog = SqliteCatalog.create(
        tmp_path / "catalog.db", key=b"k" * 32, clock=ManualClock(), disk=Disk()
    )
    yield Library(catalog, SAID)
    catalog.close()


def query(level: str, **keys: object) -> Dataset:
    asked = item(SpecificCharacterSet="ISO_IR 192", QueryRetrieveLevel=level)
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


def series_of(study: int, **keys: object) -> Dataset:
    return query("SERIES", StudyInstanceUID=f"1.2.{study}", SeriesInstanceUID="", **keys)


def images_of(study: int, series: int, **keys: object) -> Dataset:
    return query(
        "IMAGE",
        StudyInstanceUID=f"1.2.{study}",
        SeriesInstanceUID=f"1.2.{study}.{series}",
        **{"SOPInstanceUID": "", **keys},
    )


def refusal(found: Found) -> tuple[int, object]:
    assert found.data_sets == []
    return found.last.status, found.last.elements.get("OffendingElement")


async def test_a_study_is_answered_with_all_that_is_asked_for(library):
    keys = dict.fromkeys(STUDY_KEYS, "")
    found = await find(library, query("STUDY", StudyInstanceUID="1.2.1", **keys))
    assert (found.last.status, found.statuses) == (0x0000, [0xFF00])
    [answer] = found.data_sets
    assert answer == query(
        "STUDY",
        PatientName=JAPANESE,
        PatientID="P1",
        StudyInstanceUID="1.2.1",
        StudyDate="20240101",
        StudyTime="101530",
        AccessionNumber="A1",
        ModalitiesInStudy=["CT", "SR"],
        SOPClassesInStudy=[CT, SR],
        NumberOfStudyRelatedSeries=2,
        NumberOfStudyRelatedInstances=3,
        NumberOfPatientRelatedStudies=1,
        NumberOfPatientRelatedSeries=2,
        NumberOfPatientRelatedInstances=3,
        InstanceAvailability="ONLINE",
        RetrieveAETitle=AE_TITLE,
    )


async def test_the_unique_keys_are_answered_unasked(library):
    found = await find(library, query("STUDY"))
    assert found.values("StudyInstanceUID") == ["1.2.4", "1.2.3", "1.2.2", "1.2.1"]
    images = await find(library, images_of(1, 1))
    assert images.values("SeriesInstanceUID") == ["1.2.1.1", "1.2.1.1"]


async def test_patients_are_told_apart_by_their_issuer(library):
    asked = query("PATIENT", PatientID="P3", IssuerOfPatientID="", NumberOfPatientRelatedStudies="")
    found = await find(library, asked, root=PATIENT_ROOT_FIND)
    assert found.values("IssuerOfPatientID") == ["OTHER", ""]
    assert found.values("NumberOfPatientRelatedStudies") == ["1", "1"]


async def test_studies_of_an_id_that_several_patients_have_are_not_mixed(library):
    asked = query("STUDY", PatientID="P3")
    found = await find(library, asked, root=PATIENT_ROOT_FIND)
    assert refusal(found) == (0xA900, (0x00100020,))
    asked.IssuerOfPatientID = "OTHER"
    found = await find(library, asked, root=PATIENT_ROOT_FIND)
    assert found.values("StudyInstanceUID") == ["1.2.4"]
    asked.IssuerOfPatientID = ""
    found = await find(library, asked, root=PATIENT_ROOT_FIND, extended=RELATIONAL)
    assert found.values("StudyInstanceUID") == ["1.2.4", "1.2.3"]
    assert (await find(library, asked)).values("StudyInstanceUID") == ["1.2.4", "1.2.3"]


@pytest.mark.parametrize("name", [JAPANESE, KOREAN, ARABIC, GERMAN])
@pytest.mark.parametrize("part", ["{}", "{}*"])
async def test_a_name_is_found_by_each_of_its_component_groups(library, name, part):
    for group in name.split("="):
        found = await find(library, query("STUDY", PatientName=part.format(group)))
        assert found.values("PatientName") == [name]
        found = await find(library, query("STUDY", PatientName=part.format(group[:3])))
        assert (name in found.values("PatientName")) == (part == "{}*" or len(group) <= 3)


@pytest.mark.parametrize(
    ("character_set", "name", "found", "told"),
    [
        (["", "ISO 2022 IR 87"], "*山田*", JAPANESE, ["", "ISO 2022 IR 87"]),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "=やまだ*", None, None),
        (["", "ISO 2022 IR 149"], "홍*", KOREAN, ["", "ISO 2022 IR 149"]),
        ("ISO_IR 127", ARABIC, ARABIC, "ISO_IR 127"),
        ("ISO_IR 100", "äneas*", GERMAN, "ISO_IR 100"),
        ("ISO_IR 100", "aneas*", GERMAN, "ISO_IR 100"),
        ("ISO_IR 100", "hong*", KOREAN, "ISO_IR 192"),  # it has no Hangul
        ("ISO_IR 192", "吉*", None, None),
    ],
)
async def test_the_askers_character_set_is_read_and_answered_in(
    library, character_set, name, found, told
):
    asked = query("STUDY", PatientName=name)
    asked.SpecificCharacterSet = character_set
    answered = await find(library, asked)
    assert answered.values("PatientName") == ([found] if found else [])
    assert [each.SpecificCharacterSet for each in answered.data_sets] == ([told] if found else [])


async def test_a_plain_query_for_a_plain_answer_names_no_character_set(library):
    asked = query("SERIES", StudyInstanceUID="1.2.4", Modality="")
    del asked.SpecificCharacterSet
    [answer] = (await find(library, asked)).data_sets
    assert "SpecificCharacterSet" not in answer


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.2"])
async def test_answers_are_in_the_transfer_syntax_of_the_request(library, syntax):
    found = await find(library, query("STUDY", PatientName="hong*"), syntax=syntax)
    assert found.values("PatientName") == [KOREAN]


async def test_an_item_matches_with_all_its_keys_or_not(library):
    def asked(**keys: str) -> Dataset:
        return series_of(1, RequestAttributesSequence=[item(**keys)])

    whole = await find(library, series_of(1, RequestAttributesSequence=[]))
    told = {each.SeriesInstanceUID: each.RequestAttributesSequence for each in whole.data_sets}
    assert [each.RequestedProcedureID for each in told["1.2.1.1"]] == ["R1", "R2"]
    assert told["1.2.1.2"] == []

    found = await find(library, asked(RequestedProcedureID="R1"))
    assert found.data_sets[0].RequestAttributesSequence == [item(RequestedProcedureID="R1")]
    found = await find(library, asked(RequestedProcedureID="R*", ScheduledProcedureStepID="S2"))
    assert [len(each.RequestAttributesSequence) for each in found.data_sets] == [1]
    found = await find(library, asked(RequestedProcedureID="R1", ScheduledProcedureStepID="S2"))
    assert found.data_sets == []  # each is there, and not in one item


async def test_whatever_an_instance_says_can_be_asked_for_and_matched(library):
    found = await find(library, images_of(1, 1, KVP="", StudyDescription="", NumberOfFrames=""))
    assert found.statuses == [0xFF00, 0xFF00]
    assert [each.KVP for each in found.data_sets] == [None, 120.5]
    assert (await find(library, images_of(1, 1, KVP="120.50"))).values("KVP") == ["120.5"]
    assert (await find(library, images_of(1, 1, KVP="121"))).data_sets == []
    both = item(RequestedProcedureID="R2", ScheduledProcedureStepID="")
    found = await find(library, images_of(1, 1, RequestAttributesSequence=[both]))
    assert [len(each.RequestAttributesSequence) for each in found.data_sets] == [1, 1]
    mixed = item(RequestedProcedureID="R1", ScheduledProcedureStepID="S2")
    assert (await find(library, images_of(1, 1, RequestAttributesSequence=[mixed]))).data_sets == []


async def test_a_private_key_is_none_that_is_supported(library):
    asked = images_of(1, 1)
    asked.add_new(0x00091001, "LO", "")
    found = await find(library, asked)
    assert found.statuses == [0xFF01, 0xFF01]


async def test_keys_in_more_items_than_are_looked_at_are_refused(library, monkeypatch):
    monkeypatch.setattr(instance_keys, "LOOKED_AT_MAX", 4)
    two = item(RequestedProcedureID="", ScheduledProcedureStepID="")
    found = await find(library, images_of(1, 1, RequestAttributesSequence=[two]))
    assert found.statuses == [0xFF00, 0xFF00]  # two keys in two items, of each instance anew
    three = item(RequestedProcedureID="", ScheduledProcedureStepID="", AccessionNumber="")
    found = await find(library, images_of(1, 1, RequestAttributesSequence=[three]))
    assert (found.last.status, found.data_sets) == (0xC000, [])
    assert found.last.comment == "over 4 keys in the items of an instance"


async def test_an_instance_is_found_by_its_uid_alone_where_that_was_negotiated(library):
    asked = query("IMAGE", SOPInstanceUID=["1.2.1.2.1", "1.2.2.1.1", "1.2.9"], Modality="SR")
    found = await find(library, asked, extended=RELATIONAL)
    assert found.values("StudyInstanceUID") == ["1.2.1"]
    assert refusal(await find(library, asked)) == (0xA900, (0x0020000D, 0x0020000E))


async def test_series_are_found_across_studies_where_that_was_negotiated(library):
    asked = query("SERIES", Modality="CT", PatientName="", StudyInstanceUID="")
    found = await find(library, asked, extended=RELATIONAL)
    assert found.values("SeriesInstanceUID") == ["1.2.4.1", "1.2.3.1", "1.2.1.1"]
    assert found.values("PatientName") == [GERMAN, ARABIC, JAPANESE]


@pytest.mark.parametrize(
    ("root", "asked", "tags"),
    [
        (STUDY_ROOT_FIND, query("PATIENT", PatientID=""), (0x00080052,)),
        (STUDY_ROOT_FIND, query("WORKLIST"), (0x00080052,)),
        (STUDY_ROOT_FIND, item(PatientID="P1"), (0x00080052,)),
        (STUDY_ROOT_FIND, query("SERIES"), (0x0020000D,)),
        (STUDY_ROOT_FIND, query("SERIES", StudyInstanceUID=["1.2.1", "1.2.2"]), (0x0020000D,)),
        (PATIENT_ROOT_FIND, query("STUDY"), (0x00100020,)),
        (PATIENT_ROOT_FIND, query("STUDY", PatientID="P*"), (0x00100020,)),
        (
            PATIENT_ROOT_FIND,
            query("IMAGE", StudyInstanceUID="1.2.1"),
            (0x00100020, 0x0020000E),
        ),
    ],
)
async def test_what_does_not_fit_the_model_is_refused_with_the_key_at_fault(
    library, root, asked, tags
):
    assert refusal(await find(library, asked, root=root)) == (0xA900, tags)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (query("STUDY", PatientName="*", StudyDescription=""), 0xFF00),
        (query("STUDY", OtherPatientNames=""), 0xFF01),
        (query("STUDY", Modality="SR"), 0xFF01),  # of another level, and so not matched
        (query("STUDY", NumberOfStudyRelatedInstances=3), 0xFF01),
        (query("STUDY", ModalitiesInStudy=["CT", "MR"]), 0xFF01),
        (query("STUDY", ProcedureCodeSequence=[item(CodeValue="X")]), 0xFF01),
        (query("STUDY", TimezoneOffsetFromUTC="+0100"), 0xFF01),
    ],
)
async def test_a_key_that_is_not_supported_is_said_to_be_none(library, asked, status):
    found = await find(library, asked)
    assert found.statuses == [status] * 4
    for answer in found.data_sets:
        for tag in asked.keys() - answer.keys():
            raise AssertionError(f"{tag} is not answered")
        if status == 0xFF01 and "OtherPatientNames" in asked:
            assert answer["OtherPatientNames"].is_empty
        if "ProcedureCodeSequence" in asked:
            assert answer.ProcedureCodeSequence == []


async def test_dates_and_times_are_matched_apart_or_together_as_negotiated(library):
    asked = query("STUDY", StudyDate="20240101-20240103", StudyTime="110000-100000")
    assert (await find(library, asked)).data_sets == []
    found = await find(library, asked, extended=COMBINED)
    assert found.values("StudyInstanceUID") == ["1.2.2"]


async def test_names_are_matched_by_their_words_where_that_was_negotiated(library):
    asked = query("STUDY", PatientName="ruediger aeneas")
    assert (await find(library, asked)).data_sets == []
    found = await find(library, asked, extended=FUZZY)
    assert found.values("PatientName") == [GERMAN]
    found = await find(library, query("STUDY", PatientName="太郎 山田"), extended=FUZZY)
    assert found.values("PatientName") == [JAPANESE]


async def test_moments_are_in_the_askers_time_zone_where_that_was_negotiated(library):
    asked = query(
        "STUDY", TimezoneOffsetFromUTC="-1030", StudyDate="20231231", StudyTime="", PatientID=""
    )
    found = await find(library, asked, extended=ZONED, timezone=UTC)
    assert found.statuses == [0xFF00]
    [answer] = found.data_sets
    assert (answer.StudyDate, answer.StudyTime) == ("20231231", "234530")
    assert (answer.TimezoneOffsetFromUTC, answer.PatientID) == ("-1030", "P1")
    assert (await find(library, asked, extended=ZONED)).data_sets == []  # the site's is not known


async def test_moments_of_an_instance_are_shifted_and_matched_together(tmp_path):
    catalog = SqliteCatalog.create(
        tmp_path / "catalog.db", key=b"k" * 32, clock=ManualClock(), disk=Disk()
    )
    said = {"TimezoneOffsetFromUTC": "+0000", "ContentTime": "233000", "AcquisitionTime": "1200"}
    library = Library(catalog, [instance(1, 1, 1, ContentDate="20240101", **said)])
    moved = {"ContentDate": "20240102", "TimezoneOffsetFromUTC": "+0100"}
    found = await find(library, images_of(1, 1, **moved), extended=ZONED)
    assert found.values("ContentDate") == ["20240102"]
    found = await find(library, images_of(1, 1, ContentDate="20240102"))
    assert found.data_sets == []
    ranges = {"ContentDate": "20240101-20240102", "ContentTime": "2300-2200"}
    assert (await find(library, images_of(1, 1, **ranges))).data_sets == []
    found = await find(library, images_of(1, 1, **ranges), extended=COMBINED)
    assert found.values("ContentTime") == ["233000"]
    catalog.close()


async def test_a_query_is_on_record_before_its_first_match_leaves(library):
    seen = []
    asker = Asker()
    coverage = Coverage()
    asker.on_answer = lambda: seen.append(list(coverage.covered))
    provision = provision_of(library, coverage=coverage)
    await operation(written(query("STUDY")), lambda: provision).perform(asker)
    assert seen == [[("", "search", "dimse-find")]] * 4
    assert coverage.size_bytes > 0
    found = await find(library, series_of(2))
    assert found.coverage.covered == [("1.2.2", "search", "dimse-find")]
    hostile = series_of(2)
    hostile["StudyInstanceUID"]._value = "1.2/../" * 10
    found = await find(library, hostile)
    assert found.coverage.covered == [("", "search", "dimse-find")]


async def test_a_cancel_between_two_answers_ends_the_query(library):
    asker = Asker()
    provision = provision_of(library, coverage=Coverage())
    begun = operation(written(query("STUDY")), lambda: provision)
    asker.on_answer = lambda: asyncio.get_running_loop().call_soon(begun.cancel)
    assert (await begun.perform(asker)).status == 0xFE00
    assert 1 <= len(asker.answers) <= 2


async def test_a_cancel_while_the_catalog_is_asked_is_answered_at_once(library):
    library.gate = asyncio.get_running_loop().create_future()
    provision = provision_of(library, coverage=Coverage())
    begun = operation(written(query("STUDY")), lambda: provision)
    performing = asyncio.ensure_future(begun.perform(Asker()))
    while not library.searches:
        await asyncio.sleep(0)
    begun.cancel()
    assert (await performing).status == 0xFE00
    assert not library.gate.done()


async def test_pages_are_of_a_bounded_size_and_small_at_first(library):
    await find(library, query("STUDY"))
    assert [search.limit for search in library.searches] == [100]


async def test_a_peer_that_leaves_ends_its_query(library):
    asker = Asker()

    def leave() -> None:
        asker.is_open = False

    asker.on_answer = leave
    with pytest.raises(GoneError):
        await find(library, query("STUDY"), asker=asker)
    assert len(asker.answers) == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x08\x00\x52\x00CS\xff\xff", 0xC000),
        (b"not a data set at all!", 0xC000),
        (b"", 0xA900),
        (bytes(SIZE_BYTES_MAX + 100), 0xC000),
    ],
)
async def test_what_is_no_identifier_is_refused(library, data, status):
    found = await find(library, data)
    assert found.last.status == status
    assert found.data_sets == []
    assert found.coverage.covered == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TransientError("away"), 0xA700),
        (IntegrityError("damaged"), 0xA700),
        (SearchTooBroadError("100000 rows"), 0xA700),
    ],
)
async def test_a_search_that_fails_says_whether_it_may_work_later(library, error, status):
    async def search(_):
        raise error

    library.search = search
    found = await find(library, query("STUDY"))
    assert (found.last.status, found.last.comment) == (status, str(error))


async def test_a_node_that_cannot_read_yet_is_out_of_resources():
    def provision():
        raise TransientError("keys locked")

    last = await operation(written(query("STUDY")), provision).perform(Asker())
    assert (last.status, last.comment) == (0xA700, "keys locked")


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        ({"CommandDataSetType": 0x0101, "AffectedSOPClassUID": STUDY_ROOT_FIND}, 0xA900),
        ({"CommandDataSetType": 1, "AffectedSOPClassUID": PATIENT_ROOT_FIND}, 0x0122),
    ],
)
def test_a_command_that_is_none_is_refused(elements, status):
    context = AcceptedContext(1, STUDY_ROOT_FIND, EXPLICIT)
    command = Command(1, {"CommandField": 0x20, "MessageID": 1, **elements})
    refused = query_scp.begin(command, context, lambda: None, READER)
    assert isinstance(refused, Refused)
    assert refused.answer.status == status

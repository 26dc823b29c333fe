"""What a C-GET or C-MOVE asks for: PS3.4 §C.4.2.2.1, §C.6.1 and §C.6.2."""

import pytest

from fileroom.catalog.errors import SearchTooBroadError
from fileroom.dicom.identifier import Identifier, Key
from fileroom.dimse import retrieve_keys
from fileroom.dimse.query_keys import MismatchedIdentifierError
from fileroom.dimse.retrieve_keys import portions, read, series_of
from fileroom.retrieve.packs import UnavailableError
from fileroom.wire.sop_class import PATIENT_ROOT_GET, STUDY_ROOT_MOVE
from instances import part10, uids
from retrieve_fakes import PARTITION, HeldInstance, MemoryArchive

TAGS = {
    "level": (0x00080052, "CS"),
    "patient": (0x00100020, "LO"),
    "issuer": (0x00100021, "LO"),
    "study": (0x0020000D, "UI"),
    "series": (0x0020000E, "UI"),
    "image": (0x00080018, "UI"),
}
PATIENT = "QZX-90210-PATIENT"


def asked(**keys: str) -> Identifier:
    return {TAGS[name][0]: Key(TAGS[name][1], value) for name, value in keys.items()}


def library() -> MemoryArchive:
    """Two studies of one patient: series 1 and 2 of three instances, and series 1 of one."""
    places = [(1, 1, n) for n in range(3)] + [(1, 2, n) for n in range(3)] + [(2, 1, 0)]
    return MemoryArchive([HeldInstance(part10(*place)) for place in places])


async def found(sop_class: str, **keys: str) -> list[str]:
    archive = library()
    wanted = read(asked(**keys), sop_class)
    return [
        each.sop_instance_uid.removeprefix("1.2.826.0.1.3680043.10.999.")
        for series in await series_of(archive, wanted, PARTITION)
        async for portion in portions(archive, wanted, series)
        for each in portion.instances
    ]


ALL_OF_1_1 = ["10001.10001.10000", "10001.10001.10001", "10001.10001.10002"]
ALL_OF_1_2 = ["10001.10002.10000", "10001.10002.10001", "10001.10002.10002"]
ALL_OF_2 = ["10002.10001.10000"]
STUDY, SERIES, IMAGE = uids(1, 1, 2)
OTHER_STUDY = uids(2, 1, 0)[0]


async def test_each_level_gives_what_is_below_its_keys():
    below = {"patient": PATIENT, "study": STUDY, "series": SERIES, "image": IMAGE}
    assert await found(PATIENT_ROOT_GET, level="PATIENT", patient=PATIENT) == [
        *ALL_OF_1_1,
        *ALL_OF_1_2,
        *ALL_OF_2,
    ]
    for root, patient in ((PATIENT_ROOT_GET, {"patient": PATIENT}), (STUDY_ROOT_MOVE, {})):
        study = {**patient, "study": STUDY}
        series = {**study, "series": SERIES}
        assert await found(root, level="STUDY", **study) == ALL_OF_1_1 + ALL_OF_1_2
        assert await found(root, level="SERIES", **series) == ALL_OF_1_1
        assert await found(root, level="IMAGE", **series, image=IMAGE) == ALL_OF_1_1[2:]
    # Keys below the level, and those that are none, do not count.
    assert await found(STUDY_ROOT_MOVE, level="STUDY", **below) == ALL_OF_1_1 + ALL_OF_1_2


async def test_lists_of_uids_give_each_of_them_once():
    other = uids(1, 2, 0)[1]
    lists = {"level": "SERIES", "study": STUDY, "series": f"{SERIES}\\{other}\\{SERIES}"}
    assert await found(STUDY_ROOT_MOVE, **lists) == ALL_OF_1_1 + ALL_OF_1_2
    studies = {"level": "STUDY", "study": f"{STUDY}\\{OTHER_STUDY}"}
    assert await found(STUDY_ROOT_MOVE, **studies) == ALL_OF_1_1 + ALL_OF_1_2 + ALL_OF_2
    images = f"{uids(1, 1, 0)[2]}\\1.2.3\\{IMAGE}"
    of_series = {"level": "IMAGE", "study": STUDY, "series": SERIES, "image": images}
    assert await found(STUDY_ROOT_MOVE, **of_series) == [ALL_OF_1_1[0], ALL_OF_1_1[2]]


async def test_what_is_not_below_the_keys_above_is_not_given():
    assert await found(PATIENT_ROOT_GET, level="STUDY", patient="OTHER", study=STUDY) == []
    of_other = {"level": "SERIES", "study": OTHER_STUDY, "series": SERIES}
    assert await found(STUDY_ROOT_MOVE, **of_other) == []
    assert await found(STUDY_ROOT_MOVE, **{**of_other, "level": "IMAGE", "image": IMAGE}) == []


@pytest.mark.parametrize(
    ("root", "keys", "tag"),
    [
        (STUDY_ROOT_MOVE, {}, "level"),
        (STUDY_ROOT_MOVE, {"level": "PATIENT", "patient": PATIENT}, "level"),
        (STUDY_ROOT_MOVE, {"level": "FRAME"}, "level"),
        (PATIENT_ROOT_GET, {"level": "PATIENT"}, "patient"),
        (PATIENT_ROOT_GET, {"level": "PATIENT", "patient": "A\\B"}, "patient"),
        (PATIENT_ROOT_GET, {"level": "PATIENT", "patient": "A*"}, "patient"),
        (PATIENT_ROOT_GET, {"level": "STUDY", "study": STUDY}, "patient"),
        (STUDY_ROOT_MOVE, {"level": "STUDY"}, "study"),
        (STUDY_ROOT_MOVE, {"level": "STUDY", "study": "1.2.*"}, "study"),
        (STUDY_ROOT_MOVE, {"level": "SERIES", "series": SERIES}, "study"),
        (STUDY_ROOT_MOVE, {"level": "SERIES", "study": "1.2\\1.3", "series": SERIES}, "study"),
        (STUDY_ROOT_MOVE, {"level": "IMAGE", "study": STUDY, "image": IMAGE}, "series"),
        (STUDY_ROOT_MOVE, {"level": "IMAGE", "study": STUDY, "series": SERIES}, "image"),
    ],
)
def test_an_identifier_that_the_model_does_not_have_names_the_key_at_fault(root, keys, tag):
    with pytest.raises(MismatchedIdentifierError) as error:
        read(asked(**keys), root)
    assert error.value.tags == (TAGS[tag][0],)
    assert PATIENT not in str(error.value)


async def test_several_patients_with_one_id_are_not_mixed():
    archive = library()
    wanted = read(asked(level="PATIENT", patient=PATIENT), PATIENT_ROOT_GET)

    async def search(search):
        return [object(), object()]

    archive.search = search
    with pytest.raises(MismatchedIdentifierError, match="name its issuer"):
        await series_of(archive, wanted, PARTITION)
    issued = read(asked(level="PATIENT", patient=PATIENT, issuer="NORTH"), PATIENT_ROOT_GET)
    assert [each.keyword for each in issued.patient] == ["PatientID", "IssuerOfPatientID"]


async def test_nothing_found_in_an_incomplete_catalog_is_not_nothing():
    archive = library()
    archive.incomplete = UnavailableError("a provider was away")
    with pytest.raises(UnavailableError):
        await series_of(
            archive, read(asked(level="STUDY", study="1.2"), STUDY_ROOT_MOVE), PARTITION
        )
    known = read(asked(level="STUDY", study=STUDY), STUDY_ROOT_MOVE)
    assert len(await series_of(archive, known, PARTITION)) == 2


async def test_a_retrieve_of_too_many_series_is_refused(monkeypatch):
    monkeypatch.setattr(retrieve_keys, "SERIES_MAX", 2)
    wanted = read(asked(level="PATIENT", patient=PATIENT), PATIENT_ROOT_GET)
    with pytest.raises(SearchTooBroadError):
        await series_of(library(), wanted, PARTITION)


async def test_instances_out_of_reach_are_named_where_they_were_asked_for():
    archive = library()
    archive.away[SERIES] = UnavailableError("a provider is away")
    keys = {"study": STUDY, "series": SERIES}
    image = read(asked(level="IMAGE", **keys, image=IMAGE), STUDY_ROOT_MOVE)
    (series,) = await series_of(archive, image, PARTITION)
    (portion,) = [each async for each in portions(archive, image, series)]
    assert (portion.missing, list(portion.missing_uids)) == (1, [IMAGE])
    whole = read(asked(level="SERIES", **keys), STUDY_ROOT_MOVE)
    (series,) = await series_of(archive, whole, PARTITION)
    (portion,) = [each async for each in portions(archive, whole, series)]
    assert (portion.missing, list(portion.missing_uids)) == (3, [])

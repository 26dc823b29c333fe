"""C-FIND answers what a naive reading of PS3.4 §C.2.2.2 finds in the data sets themselves."""

import asyncio
import re
import tempfile
import unicodedata
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from fileroom.catalog.sqlite import SqliteCatalog
from fileroom.clock import ManualClock
from fileroom.disk import Disk
from fileroom.wire.sop_class import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from query_parts import Library, find

CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11"
NAMES = ["Doe^Jane", "DOE^John", "Müller^Jörg", "Yamada^Tarou=山田^太郎=やまだ^たろう", ""]
DATES, TIMES = ["20231231", "20240101", "20240102", ""], ["0930", "120000", "235959.5", ""]
PATIENT = {
    "PatientName": st.sampled_from(NAMES),
    "PatientBirthDate": st.sampled_from(["19610412", ""]),
    "PatientSex": st.sampled_from(["F", "M", ""]),
}
STUDY = {
    "StudyDate": st.sampled_from(DATES),
    "StudyTime": st.sampled_from(TIMES),
    "AccessionNumber": st.sampled_from(["A1", "A12", "B[1]", ""]),
    "StudyID": st.sampled_from(["S1", "S2", ""]),
    "StudyDescription": st.sampled_from(["CT HEAD", "ct head", "MR*", ""]),
}
SERIES = {
    "Modality": st.sampled_from(["CT", "MR", "SR"]),
    "SeriesNumber": st.sampled_from(["1", "2", ""]),
    "SeriesDescription": st.sampled_from(["axial", "sagittal", ""]),
}
IMAGE = {
    "SOPClassUID": st.sampled_from([CT, SR]),
    "InstanceNumber": st.sampled_from(["1", "2", ""]),
    "ImageComments": st.sampled_from(["good", "bad", ""]),
    "ContentDate": st.sampled_from(DATES),
    "KVP": st.sampled_from(["120", "80.5", ""]),
}
ASKED = {
    "PatientName": ["doe*", "DOE^J?n?*", "muller^jorg", "*山田*", "やまだ^たろう", "=山田*", "Doe"],
    "PatientID": ["P1", "P?", "P*"],
    "PatientBirthDate": ["19610412", "19600101-", "-19610411"],
    "PatientSex": ["F", "?"],
    "StudyDate": ["20240101", "20240101-", "-20231231", "20231231-20240101"],
    "StudyTime": ["093000", "0930-12", "-1200", "235959-"],
    "AccessionNumber": ["A1", "A*", "B[1]", "?[*"],
    "StudyID": ["S1", "S?"],
    "StudyDescription": ["CT HEAD", "CT*", "MR?", "*E*"],
    "ModalitiesInStudy": ["CT", "S?", "MR"],
    "SOPClassesInStudy": [CT, f"{SR}\\1.2.3"],
    "Modality": ["CT", "?R"],
    "SeriesNumber": ["1", "01", "7"],
    "SeriesDescription": ["axial", "*a*"],
    "InstanceNumber": ["1", "+2"],
    "SOPClassUID": [CT, f"{CT}\\{SR}"],
    "ImageComments": ["good", "?ad"],
    "ContentDate": ["20240101-", "-20240101"],
    "KVP": ["120.0", "80.5"],
}
UNIQUE = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
LEVELS = list(UNIQUE)
OWN = {
    "PATIENT": [*PATIENT, "PatientID"],
    "STUDY": [*STUDY, "ModalitiesInStudy", "SOPClassesInStudy"],
    "SERIES": list(SERIES),
    "IMAGE": list(IMAGE),
}
DATE_LIKE = {"PatientBirthDate": 8, "StudyDate": 8, "ContentDate": 8, "StudyTime": 13}


@st.composite
def libraries(draw) -> list[Dataset]:
    """A few patients with all that is theirs; what is said at a level is said alike."""
    found = []
    for patient in range(draw(st.integers(1, 2))):
        of_patient = draw(st.fixed_dictionaries(PATIENT)) | {"PatientID": f"P{patient}"}
        for study in range(draw(st.integers(1, 2))):
            of_study = of_patient | draw(st.fixed_dictionaries(STUDY))
            for series in range(draw(st.integers(1, 2))):
                of_series = of_study | draw(st.fixed_dictionaries(SERIES))
                for number in range(draw(st.integers(1, 2))):
                    uids = [f"1.2.{patient}", str(study), str(series), str(number)]
                    said = of_series | draw(st.fixed_dictionaries(IMAGE))
                    said |= {
                        UNIQUE[level]: ".".join(uids[: n + 1])
                        for n, level in enumerate(LEVELS)
                        if n
                    }
                    found.append(data_set_of(said))
    return found


def data_set_of(said: dict[str, str]) -> Dataset:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    for keyword, text in said.items():
        setattr(data_set, keyword, text.split("\\") if "\\" in text else text)
    return data_set


@st.composite
def queries(draw) -> tuple[str, str, bool, dict[str, str]]:
    """Root, level, whether it is relational, and the keys."""
    root = draw(st.sampled_from([PATIENT_ROOT_FIND, STUDY_ROOT_FIND]))
    levels = LEVELS if root == PATIENT_ROOT_FIND else LEVELS[1:]
    level = draw(st.sampled_from(levels))
    relational = draw(st.booleans())
    keys = {}
    uid = ["P0", "1.2.0.0", "1.2.0.0.0", "1.2.0.0.0.0"]
    for n, above in enumerate(LEVELS):
        if above in levels and n < LEVELS.index(level) and not relational:
            keys[UNIQUE[above]] = uid[n]
    keys[UNIQUE[level]] = draw(st.sampled_from(["", uid[LEVELS.index(level)]]))
    at = [name for each in LEVELS[: LEVELS.index(level) + 1] for name in OWN[each]]
    for keyword in draw(st.lists(st.sampled_from(at), max_size=3, unique=True)):
        keys.setdefault(keyword, draw(st.sampled_from(["", *ASKED[keyword]])))
    return root, level, relational, keys


def value_of(keyword: str, instances: list[Dataset]) -> str:
    """What an entity says that these instances make up."""
    if keyword in ("ModalitiesInStudy", "SOPClassesInStudy"):
        of_one = "Modality" if keyword.startswith("Mod") else "SOPClassUID"
        return "\\".join(dict.fromkeys(str(each[of_one].value) for each in instances))
    value = instances[0][keyword].value
    return "" if value is None else str(value)


def folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    bare = "".join(each for each in decomposed if not 0x300 <= ord(each) < 0x370)
    return unicodedata.normalize("NFC", bare).lower()


def is_like(pattern: str, text: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None


def matches(keyword: str, asked: str, said: str) -> bool:
    """PS3.4 §C.2.2.2, in as few words as it can be said in."""
    if not asked:
        return True
    if not said:
        return False
    if keyword.endswith("UID") or keyword == "SOPClassesInStudy":
        return bool(set(asked.split("\\")) & set(said.split("\\")))
    if keyword == "PatientName":
        wanted, groups = folded(asked).split("="), folded(said).split("=")
        if len(wanted) == 1:
            return any(is_like(wanted[0], group) for group in groups)
        groups += [""] * 3
        return all(not w or is_like(w, g) for w, g in zip(wanted, groups, strict=False))
    if keyword in DATE_LIKE:
        digits = DATE_LIKE[keyword]
        low, hyphen, high = asked.partition("-")
        if not hyphen:
            return asked == said
        plain = said.replace(".", "")  # of a second's fraction, PS3.5 §6.2
        earliest, latest = plain.ljust(digits, "0"), plain.ljust(digits, "9")
        return latest >= low.ljust(digits, "0") and (
            not high or earliest <= high.ljust(digits, "9")
        )
    if keyword in ("SeriesNumber", "InstanceNumber", "KVP"):
        return float(asked) == float(said)
    return any(is_like(asked, each) for each in said.split("\\"))


def expected(library: list[Dataset], level: str, keys: dict[str, str]) -> dict[str, list[str]]:
    """The matches by their unique key, with what they say to each key."""
    entities: dict[str, list[Dataset]] = {}
    for each in library:
        entities.setdefault(str(each[UNIQUE[level]].value), []).append(each)
    found = {}
    for uid, instances in entities.items():
        study = instances[0].StudyInstanceUID
        of_study = [each for each in library if study == each.StudyInstanceUID]
        said = {
            keyword: value_of(keyword, of_study if keyword.endswith("InStudy") else instances)
            for keyword in keys
        }
        if all(matches(keyword, keys[keyword], said[keyword]) for keyword in keys):
            found[uid] = [said[keyword] for keyword in sorted(keys)]
    return found


def told(answer: Dataset, keyword: str) -> str:
    value = answer[keyword].value
    if value is None:
        return ""
    return "\\".join(map(str, value)) if answer[keyword].VM > 1 else str(value)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(library=libraries(), asked=st.lists(queries(), min_size=1, max_size=12))
def test_a_query_is_answered_as_the_data_sets_themselves_answer_it(library, asked):
    with tempfile.TemporaryDirectory() as folder:
        catalog = SqliteCatalog.create(
            Path(folder) / "catalog.db", key=b"k" * 32, clock=ManualClock(), disk=Disk()
        )
        archive = Library(catalog, library)
        for root, level, relational, keys in asked:
            identifier = data_set_of(keys | {"QueryRetrieveLevel": level})
            found = asyncio.run(find(archive, identifier, root=root, extended=bytes([relational])))
            assert found.last.status == 0, (found.last, level, keys)
            assert set(found.statuses) <= {0xFF00}
            answers = {
                told(each, UNIQUE[level]): [told(each, keyword) for keyword in sorted(keys)]
                for each in found.data_sets
            }
            assert len(answers) == len(found.data_sets)
            assert answers == expected(library, level, keys), (level, keys)
        catalog.close()

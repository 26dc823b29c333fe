"""Elements of the DICOM JSON Model as keys: pydicom writes both sides."""

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from fileroom.dicom.identifier import Key, decode
from fileroom.dicom.json_key import item_of, key_of
from query_parts import EXPLICIT, written


@pytest.mark.parametrize(
    ("element", "key"),
    [
        ({"vr": "LO"}, Key("LO", "")),
        ({"vr": "SQ"}, Key("SQ", ())),
        ({"vr": "OB", "InlineBinary": "AA=="}, Key("OB", None)),
        ({"vr": "OW", "BulkDataURI": "x"}, Key("OW", None)),
        ({"vr": "PN", "Value": [{"Ideographic": "山田"}, None]}, Key("PN", "=山田\\")),
        ({"vr": "DS", "Value": [1.0, 0.1 + 0.2, -1e-7]}, Key("DS", "1\\0.3\\-1e-07")),
        ({"vr": "DS", "Value": [-1.2345678901234567e-300]}, Key("DS", "-1.23456789e-300")),
        ({"vr": "FD", "Value": [0.1 + 0.2]}, Key("FD", "0.30000000000000004")),
        ({"vr": "IS", "Value": [7, None, "x"]}, Key("IS", "7\\\\x")),
        ({"vr": "AT", "Value": ["00181063"]}, Key("AT", "00181063")),
    ],
)
def test_an_element_is_a_key(element, key):
    assert key_of(element) == key


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "reportsi.dcm"])
def test_a_key_is_the_same_from_json_and_from_bytes(name):
    data_set = Dataset()
    for element in dcmread(get_testdata_file(name, download=False)):
        if element.VR not in ("OB", "OW", "UN", "DS", "FD", "FL") and element.tag.group < 0x4000:
            data_set.add(element)
    for found in data_set.iterall():
        if found.VR == "DS":
            found.value = None
    from_json = item_of(data_set.to_json_dict())
    assert from_json == decode(written(data_set), EXPLICIT)

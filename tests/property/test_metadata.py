"""Metadata of any shape: written so that every walker reads it to its end, or refused by type."""

import json
from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st

from fileroom.dicom.dataset_index import Window, data_set_of
from fileroom.dicom.encoding import LITTLE
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.json_model import instance_json
from fileroom.dicom.json_reading import element_head, elements_of, write_data_set
from fileroom.dicom.value_writing import padded
from fileroom.dicom.xml_model import native_model
from fileroom.dicom.xml_reading import native_elements
from fileroom.wire.json_array import JsonArrayError, JsonArraySplitter

EXPLICIT = "1.2.840.10008.1.2.1"

ODD_KEYS = st.one_of(
    st.just("7FE00010"), st.text(max_size=9), st.integers(0, 0xFFFFFFFF).map("{:08X}".format)
)
KEYS = st.one_of(
    st.sampled_from(["00080018", "00081140", "00281010", "00090010", "00091001"]),
    st.builds("{:04X}{:04X}".format, st.integers(4, 0x40), st.integers(1, 0xFFFF)),
)
TEXT = st.text(
    st.characters(exclude_characters="\\=", exclude_categories=("Cs", "Cc")), max_size=12
)
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\="))
INTEGERS = {
    "IS": (-(1 << 31), (1 << 31) - 1),
    "SL": (-(1 << 31), (1 << 31) - 1),
    "SS": (-(1 << 15), (1 << 15) - 1),
    "SV": (-(1 << 63), (1 << 63) - 1),
    "UL": (0, (1 << 32) - 1),
    "US": (0, (1 << 16) - 1),
    "UV": (0, (1 << 64) - 1),
}
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
VALUES: dict[str, st.SearchStrategy] = {
    **{vr: st.integers(*ends) for vr, ends in INTEGERS.items()},
    **dict.fromkeys(("DS", "FD", "FL"), FLOATS),
    **dict.fromkeys(("AE", "AS", "CS", "DA", "DT", "TM", "UI", "UR"), ASCII),
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UT"), TEXT),
    "AT": st.integers(0, 0xFFFFFFFF).map("{:08X}".format),
    "PN": st.dictionaries(st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), TEXT),
}
MULTIPLE = {*VALUES} - {"LT", "ST", "UR", "UT"}
BINARY = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.text(max_size=20),
    st.sampled_from(["\\", "a=b", "\x1b(B", "ISO_IR 192", {}, [], {"Alphabetic": 1}]),
)


def of_vr(vr: str) -> st.SearchStrategy:
    values = st.lists(VALUES[vr], max_size=3 if vr in MULTIPLE else 1)
    return values.map(lambda v: {"vr": vr, "Value": v} if v else {"vr": vr})


APART = st.builds(
    lambda vr, uri: {"vr": vr, "BulkDataURI": uri},
    st.sampled_from([*BINARY, "UT", "FD", "US"]),
    st.text(min_size=1, max_size=9),
)
INLINE = st.builds(
    lambda vr, data: {"vr": vr, "InlineBinary": b64encode(data).decode()},
    st.sampled_from(BINARY),
    st.binary(max_size=9),
)
ATTRIBUTES = st.one_of(st.sampled_from(sorted(VALUES)).flatmap(of_vr), APART, INLINE)
ODD_ATTRIBUTES = st.one_of(
    st.builds(
        lambda vr, v: {"vr": vr, "Value": v},
        st.sampled_from([*VALUES, *BINARY, "SQ", "XX"]),
        st.lists(SCALARS, max_size=3),
    ),
    st.dictionaries(st.sampled_from(["vr", "Value", "InlineBinary", "BulkDataURI"]), SCALARS),
)


def data_sets(items: st.SearchStrategy) -> st.SearchStrategy:
    sequences = st.lists(items, max_size=3).map(lambda v: {"vr": "SQ", "Value": v})
    return st.dictionaries(KEYS, st.one_of(ATTRIBUTES, sequences), max_size=6)


def with_something_odd(data_set: dict, key: str, attribute: dict) -> dict:
    return {**data_set, key: attribute}


good_data_set = st.recursive(data_sets(st.just({})), data_sets, max_leaves=6)
any_data_set = st.one_of(
    good_data_set,
    st.builds(
        with_something_odd, good_data_set, st.one_of(KEYS, ODD_KEYS), st.one_of(ODD_ATTRIBUTES)
    ),
)


@given(any_data_set, st.binary(max_size=5))
def test_any_metadata_is_refused_or_written_so_that_it_is_walked_to_its_end(said, value):
    text = json.dumps(said).encode("utf-8", "surrogatepass")
    try:
        written = write_data_set(elements_of(text))
    except InstanceError:
        return
    data, position = b"", 0
    for each in written.references:  # and it may be filled in at every place
        filled = element_head(each.tag, each.vr, len(padded(value, each.vr)))
        data += written.data[position : each.offset] + filled + padded(value, each.vr)
        position = each.offset
    data += written.data[position:]
    found = list(data_set_of(Window.over(data), implicit=False, order=LITTLE).elements())
    assert not any(each.torn for each in found)
    tags = [each.tag for each in found]
    assert tags == sorted(set(tags))
    assert len(data) % 2 == 0
    json.loads(instance_json(data, EXPLICIT))


@given(good_data_set)
def test_what_is_right_is_written(said):
    assert write_data_set(elements_of(json.dumps(said).encode())).discarded == 0


@given(any_data_set)
def test_our_own_xml_of_any_metadata_says_what_the_json_says(said):
    try:
        written = write_data_set(elements_of(json.dumps(said).encode("utf-8", "surrogatepass")))
    except InstanceError:
        return
    told = instance_json(written.data, EXPLICIT)
    try:
        again = write_data_set(native_elements(native_model(told)))
    except InstanceError:
        return  # of private elements without a creator, and of what XML cannot hold
    known = {0x00080005, *(each.tag for each in _elements(written.data))}
    assert {each.tag for each in _elements(again.data)} <= known


def _elements(data: bytes) -> list:
    return list(data_set_of(Window.over(data), implicit=False, order=LITTLE).elements())


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_xml_by_type(data):
    try:
        native_elements(data)
    except InstanceError:
        return


@given(st.lists(any_data_set, max_size=4), st.integers(1, 40), st.integers(0, 3))
def test_an_array_is_split_into_its_objects_however_it_is_cut(objects, cut, indent):
    text = json.dumps(objects, indent=indent or None).encode()
    splitter = JsonArraySplitter(object_bytes_max=1 << 20, depth_max=200, brackets_max=1 << 20)
    found = []
    for start in range(0, len(text), cut):
        splitter.feed(text[start : start + cut])
        while (each := splitter.next_object()) is not None:
            found.append(json.loads(each))
    splitter.finish()
    assert found == objects


@given(st.text(alphabet='[]{}",\\:a1 \n', max_size=60), st.integers(1, 60))
def test_a_split_agrees_with_a_reader_of_json_about_what_an_array_of_objects_is(text, cut):
    data = text.encode()
    splitter = JsonArraySplitter(object_bytes_max=1 << 20, depth_max=200, brackets_max=1 << 20)
    found = []
    try:
        for start in range(0, len(data), cut):
            splitter.feed(data[start : start + cut])
            while (each := splitter.next_object()) is not None:
                found.append(each)
        splitter.finish()
    except JsonArrayError:
        found = None
    try:
        read = json.loads(text)
    except ValueError:
        return  # what is inside an object is for a decoder to judge
    if isinstance(read, list) and all(isinstance(each, dict) for each in read):
        assert found is not None
        assert [json.loads(each) for each in found] == read
    else:
        assert found is None

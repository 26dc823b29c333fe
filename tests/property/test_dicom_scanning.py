"""Whatever the bytes and however they are cut: one header or one refusal, and always JSON."""

import itertools
import json
import zlib
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_samples import (
    BIG_ENDIAN,
    CT_ELEMENTS,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ct_big_endian,
    ct_explicit,
    ct_implicit,
    explicit,
    implicit,
    item,
    undefined_sequence,
)
from fileroom.dicom.dataset_index import index
from fileroom.dicom.frame_table import FrameTableError
from fileroom.dicom.frames import inflated_layout, pixel_layout
from fileroom.dicom.header import Header, HeaderScanner, InstanceError
from fileroom.dicom.inflate import InflatedDataSet
from fileroom.dicom.json_model import JsonWriter
from fileroom.dicom.part10 import Part10Splitter, Part10Start, write_header
from fileroom.dicom.uid import is_safe

SETTINGS = settings(
    max_examples=settings().max_examples * 3 // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def nested() -> bytes:
    """A CT slice with sequences of undefined length in it, one of them wanted."""
    code = undefined_sequence(0x00321064, item(explicit(0x00080100, "SH", b"CT"), defined=False))
    fields = code + explicit(0x00400009, "SH", b"STEP") + explicit(0x00401001, "SH", b"REQ1")
    request = undefined_sequence(0x00400275, item(fields, defined=False), item(fields))
    study = undefined_sequence(0x00081110, item(b""), item(implicit(0x00081155, b"1.2\0")))
    first, last = CT_ELEMENTS[:6], CT_ELEMENTS[6:-1]
    pixels = explicit(*CT_ELEMENTS[-1])
    return ct_explicit(first) + study + ct_explicit(last) + request + pixels


def deflated() -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(nested()) + stream.flush()


DATA_SETS = [
    (ct_explicit(), EXPLICIT),
    (ct_implicit(), IMPLICIT),
    (ct_big_endian(), BIG_ENDIAN),
    (nested(), EXPLICIT),
    (deflated(), DEFLATED),
    (ct_explicit(list(reversed(CT_ELEMENTS))), EXPLICIT),
]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[bytes, str]:
    """A data set, as it should be or with some bytes changed, cut or put in."""
    data, syntax = draw(st.sampled_from(DATA_SETS))
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        match draw(st.sampled_from(["set", "cut", "insert", "length"])):
            case "set":
                changed[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del changed[at : at + draw(st.integers(1, 20))]
            case "insert":
                changed[at:at] = draw(st.binary(max_size=12))
            case "length":
                changed[at : at + 4] = draw(
                    st.sampled_from([b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", bytes(4)])
                )
    return bytes(changed), draw(st.sampled_from([syntax, syntax, syntax, EXPLICIT, IMPLICIT]))


def outcome(data: bytes, syntax: str, cuts: list[int]) -> Header | str:
    """The header, or the text of the refusal."""
    scanner = HeaderScanner(syntax)
    try:
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            scanner.feed(memoryview(data)[start:end])
        return scanner.finish()
    except InstanceError as error:
        return str(error)


@SETTINGS
@given(damaged(), st.data())
def test_any_split_gives_the_same_header_or_the_same_refusal(
    made: tuple[bytes, str], data: st.DataObject
) -> None:
    stream, syntax = made
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    whole = outcome(stream, syntax, [])
    assert outcome(stream, syntax, cuts) == whole
    assert outcome(stream, syntax, list(range(1, len(stream)))) == whole
    if isinstance(whole, Header):
        uids = [whole.sop_class_uid, whole.sop_instance_uid]
        uids += [whole.study_instance_uid, whole.series_instance_uid]
        assert all(map(is_safe, uids))
        assert all(whole.attributes.values())


@SETTINGS
@given(
    st.one_of(damaged(), st.tuples(st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT])))
)
def test_every_data_set_has_an_index_json_and_frames_or_a_refusal(
    made: tuple[bytes, str],
) -> None:
    data, syntax = made

    def read(start: int, end: int) -> bytes:
        assert 0 <= start <= end
        return data[start:end]

    position = None
    for each in index(read, len(data), syntax):
        assert each.start <= each.value_start <= each.value_end <= each.end
        assert position is None or each.start == position
        position = each.end
    writer = JsonWriter()
    written = writer.instance_json(data, syntax)
    assert list(json.loads(written)) == sorted(json.loads(written))
    assert writer.instance(read, len(data), syntax) == written
    with suppress(FrameTableError):
        inflated = InflatedDataSet(read, len(data))
        table = inflated_layout(inflated)
        for frame in {0, table.count - 1}:
            with suppress(InstanceError):
                ((start, end),) = table.ranges(frame)
                inflated.reach(end)
                assert len(inflated.read(start, end)) == end - start
    try:
        table = pixel_layout(read, len(data), syntax)
    except FrameTableError:
        return
    if syntax != DEFLATED:
        for frame in {0, table.count - 1}:
            assert all(0 <= a <= b <= len(data) for a, b in table.ranges(frame))


@SETTINGS
@given(st.binary(max_size=40), st.lists(st.integers(0, 600), max_size=8), st.booleans())
def test_any_split_of_a_file_begins_its_data_set_at_the_same_byte(
    rest: bytes, cuts: list[int], is_file: bool
) -> None:
    head = write_header("1.2", "1.2.3", EXPLICIT, source_ae_title="AE") if is_file else b"\2\0" * 70
    data = head + rest

    def split(pieces: list[bytes]) -> tuple[Part10Start, bytes] | str:
        splitter = Part10Splitter()
        try:
            for number, piece in enumerate(pieces):
                start = splitter.feed(piece)
                if start is not None:
                    return start, bytes(splitter.remainder) + b"".join(pieces[number + 1 :])
            return splitter.finish(), b""
        except InstanceError as error:
            return str(error)

    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert split(pieces) == split([data])

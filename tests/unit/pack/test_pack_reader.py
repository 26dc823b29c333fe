"""Reading a pack: ranges, metadata, proof; and everything that must be refused."""

import base64
import hashlib
import io
import json
import os
import zipfile

import pytest

from fileroom.errors import IntegrityError, RefusedError
from fileroom.pack.format import DamagedPackError, NewerPackError
from fileroom.pack.metadata import EncapsulatedFrames, NativeFrames, timestamp_ns
from fileroom.pack.reader import PackReader
from unit.pack.packs import (
    GOLDEN,
    HEAD,
    STUDY_KEY,
    STUDY_KEY_ID,
    Made,
    golden_pack,
    make_pack,
    random_bodies,
    tink_open,
    tink_seal,
)


def reader_of(data: bytes) -> PackReader:
    return PackReader(
        lambda start, end: data[start:end],
        key=STUDY_KEY,
        tink_header=data[:40],
        size_bytes=len(data),
    )


def verify(data: bytes, sha256: bytes | None = None):
    return reader_of(data).verify(sha256=sha256 or hashlib.sha256(data).digest())


def foreign_pack(change=lambda metadata: None, *, members=None, level=6) -> bytes:
    """A pack made by Tink and zipfile, whose metadata `change` may alter."""
    body = b"a data set"
    metadata = {
        "format": {"major": 1, "minor": 0},
        "writer": "another",
        "site": "s",
        "partition": "p",
        "study_instance_uid": "2.25.1",
        "series_instance_uid": "2.25.2",
        "instances": [
            {
                "file": "instances/000001.dcm",
                "start": 50,
                "end": 50 + len(HEAD + body),
                "dataset_offset": len(HEAD),
                "sop_class_uid": "1.2",
                "sop_instance_uid": "2.25.3",
                "transfer_syntax_uid": "1.2.840.10008.1.2",
                "original_sha256": hashlib.sha256(body).hexdigest(),
                "stored_sha256": hashlib.sha256(body).hexdigest(),
                "transform": None,
                "frames": None,
                "received_at": "2026-11-24T05:48:12.000000001Z",
                "received_from": {
                    "channel": "import",
                    "calling_ae_title": "",
                    "address": "",
                    "conversation": "",
                },
                "attributes": {},
                "dicom_json": {},
            }
        ],
    }
    change(metadata)
    text = metadata.pop("text", None) or json.dumps(metadata)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members or [("instances/000001.dcm", HEAD + body)]:
            archive.writestr(zipfile.ZipInfo(name), data)
        info = zipfile.ZipInfo("metadata.json")
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, text, compresslevel=level)
    return tink_seal(out.getvalue())


# What must work.


def test_the_golden_pack_of_version_1_0_opens_and_is_whole():
    data = golden_pack().read_bytes()
    metadata = verify(data, bytes.fromhex(golden_pack().name))
    assert (metadata.site, metadata.partition) == ("golden", "radiology")
    first, second = metadata.instances
    assert first.frames() == NativeFrames(528, 80_000, 1)
    assert isinstance(second.frames(), EncapsulatedFrames)
    assert len(second.frames().frames) == 2
    assert second.preamble == b"MZ" + bytes(126)
    assert first.preamble == b""
    assert first.attributes()["PatientName"] == "GOLDEN^PACK"
    assert timestamp_ns(first.received_at) % 10 == 1
    assert json.loads(bytes(second.dicom_json))["00280008"]["Value"] == [2]


def test_a_frame_of_the_golden_pack_is_where_its_metadata_says():
    reader = reader_of(golden_pack().read_bytes())
    instance = reader.metadata().instances[0]
    frames = instance.frames()
    data = reader.read(instance.start, instance.end)
    assert data[frames.offset - 12 : frames.offset - 4] == b"\xe0\x7f\x10\x00OW\0\0"
    assert frames.offset + frames.frame_length_bytes == len(data)


def test_a_pack_made_with_tink_and_zipfile_is_read():
    data = foreign_pack()
    [instance] = verify(data).instances
    assert reader_of(data).read(instance.start, instance.end) == HEAD + b"a data set"


def test_any_range_is_the_plaintexts():
    made = make_pack(random_bodies(200_000))
    plain, reader = tink_open(made.data), made.reader()
    edges = [0, 1, 65_479, 65_480, 65_481, 130_999, 131_000, 131_001, len(plain) - 1, len(plain)]
    for start in edges:
        for end in edges:
            if start <= end:
                assert reader.read(start, end) == plain[start:end]


def test_a_range_costs_one_read_of_its_own_segments():
    made, asked = make_pack(random_bodies(1_000_000)), []

    def read(start: int, end: int) -> bytes:
        asked.append((start, end))
        return made.data[start:end]

    facts = {"tink_header": made.written.tink_header, "size_bytes": made.written.size_bytes}
    PackReader(read, key=STUDY_KEY, **facts).read(131_000, 131_000 + 65_521)
    assert asked == [(131_072, 131_072 + 2 * 65_536)]


def test_planning_and_opening_apart_is_reading():
    made = make_pack(random_bodies(300_000))
    reader = made.reader()
    start, end = reader.plan(70_000, 200_000)
    opened = reader.open(70_000, 200_000, memoryview(made.data)[start:end])
    assert opened == made.plaintext()[70_000:200_000]


def test_metadata_is_read_from_its_place_in_the_catalog_with_one_read():
    made = make_pack(random_bodies(10, 300_000))
    start, asked = made.written.metadata_offset, []

    def read(start: int, end: int) -> bytes:
        asked.append(start)
        return made.data[start:end]

    facts = {"tink_header": made.written.tink_header, "size_bytes": made.written.size_bytes}
    at = start, start + made.written.metadata_size_bytes
    metadata = PackReader(read, key=STUDY_KEY, **facts).metadata(at)
    assert len(metadata.instances) == 2
    assert len(asked) == 1
    assert made.reader().metadata() == metadata


def test_progress_ends_at_the_size_and_can_cancel():
    made, done = make_pack(random_bodies(3_000_000)), []
    made.reader().verify(sha256=made.written.sha256, progress=done.append)
    assert done == [1 << 20, 2 << 20, len(made.data)]

    def cancel(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        made.reader().verify(sha256=made.written.sha256, progress=cancel)


def test_keys_that_are_not_known_are_ignored():
    def later(metadata):
        metadata["format"]["minor"] = 7
        metadata["later"] = {"a": [1]}
        metadata["instances"][0]["later"] = None
        metadata["instances"][0]["transform"] = {
            "codec": "x",
            "original_transfer_syntax_uid": "1.2",
            "original_size_bytes": 5,
            "later": 1,
        }

    metadata = verify(foreign_pack(later))
    assert metadata.format.minor == 7
    assert metadata.instances[0].transform.codec == "x"


def test_a_member_that_is_not_known_is_ignored():
    members = [("instances/000001.dcm", HEAD + b"a data set"), ("later.bin", b"x" * 100)]
    assert len(verify(foreign_pack(members=members)).instances) == 1


# What must be refused.


def make() -> Made:
    return make_pack(random_bodies(150_000, 20))


def test_a_pack_that_was_swapped_for_another_of_the_same_key_and_size_is_refused():
    bodies = random_bodies(150_000)
    made, other = make_pack(bodies), make_pack(bodies)
    assert len(made.data) == len(other.data)
    with pytest.raises(DamagedPackError):
        made.reader(data=other.data).read(0, 10)
    with pytest.raises(DamagedPackError):
        made.reader(data=other.data).verify(sha256=made.written.sha256)


def test_a_pack_whose_header_was_replaced_is_refused():
    made = make()
    changed = os.urandom(40) + made.data[40:]
    with pytest.raises(DamagedPackError, match="header"):
        made.reader(data=changed).verify(sha256=hashlib.sha256(changed).digest())


def test_a_renamed_pack_is_refused():
    made, other = make(), make()
    with pytest.raises(DamagedPackError, match="SHA-256 of the pack"):
        made.reader().verify(sha256=other.written.sha256)


def test_another_key_is_refused():
    with pytest.raises(DamagedPackError, match="segment 0"):
        make().reader(key=bytes(32)).read(0, 10)


@pytest.mark.parametrize("size", [2 * 65_536, 65_536])
def test_a_pack_cut_at_a_segments_border_is_refused_with_and_without_a_catalog(size):
    made = make()
    cut = made.data[:size]
    with pytest.raises(DamagedPackError, match="B came for"):
        made.reader(data=cut).verify(sha256=made.written.sha256)
    with pytest.raises(DamagedPackError, match="the last"):
        reader_of(cut).metadata()
    with pytest.raises(DamagedPackError, match="the last"):
        verify(cut)


def test_a_pack_without_its_middle_segment_is_refused():
    made = make()
    cut = made.data[:65_536] + made.data[2 * 65_536 :]
    with pytest.raises(DamagedPackError):
        verify(cut)


def test_two_exchanged_segments_are_refused():
    data = make_pack(random_bodies(250_000)).data
    a, b = slice(65_536, 131_072), slice(131_072, 196_608)
    swapped = data[:65_536] + data[b] + data[a] + data[196_608:]
    with pytest.raises(DamagedPackError, match="segment 1 does not open"):
        verify(swapped)


@pytest.mark.parametrize("change", [-65_536, -1, 1, 65_536])
def test_a_wrong_size_in_the_catalog_is_refused(change):
    made = make()
    reader = made.reader(size_bytes=len(made.data) + change)
    with pytest.raises(DamagedPackError):
        reader.metadata()
    with pytest.raises(DamagedPackError):
        reader.verify(sha256=made.written.sha256)


def test_a_pack_with_something_behind_it_is_refused():
    made = make()
    for more in (b"x", bytes(65_536)):
        with pytest.raises(DamagedPackError):
            verify(made.data + more)


def test_a_flipped_bit_anywhere_is_refused():
    made = make_pack(random_bodies(70_000))
    places = {*range(0, 60), *range(0, len(made.data), 997), *range(65_520, 65_560)}
    for at in {*places, len(made.data) - 1}:
        changed = bytearray(made.data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(DamagedPackError):
            made.reader(data=bytes(changed)).verify(sha256=made.written.sha256)


def test_every_refusal_is_an_integrity_error_without_a_patients_data():
    made = make()
    with pytest.raises(IntegrityError) as caught:
        made.reader(key=bytes(32)).read(0, 10)
    assert caught.value.__cause__ is None
    assert "00000000" not in str(caught.value)


def test_a_higher_major_is_refused_as_newer_even_if_all_else_is_unknown():
    def next_major(metadata):
        metadata["format"]["major"] = 2

    def another_world(metadata):
        metadata.clear()
        metadata |= {"format": {"major": 2, "minor": 0}, "instances": "elsewhere"}

    for change in (next_major, another_world):
        with pytest.raises(NewerPackError, match=r"2\.0"):
            verify(foreign_pack(change))
    assert issubclass(NewerPackError, RefusedError)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"format":{"major":1}}',
        '{"format":{"major":"1","minor":0},"instances":[]}',
        '{"x":' + "[" * 200_000 + "]" * 200_000 + "}",
        "\xff",
    ],
)
def test_metadata_that_is_not_version_1_is_refused(text):
    with pytest.raises(DamagedPackError):
        verify(foreign_pack(lambda metadata: metadata.update(text=text or " ")))


def test_fields_that_are_decoded_late_are_refused_late():
    def wrong(metadata):
        metadata["instances"][0]["attributes"] = {"a": 1}
        metadata["instances"][0]["frames"] = {"kind": "other"}

    [instance] = verify(foreign_pack(wrong)).instances
    with pytest.raises(DamagedPackError):
        instance.attributes()
    with pytest.raises(DamagedPackError):
        instance.frames()


def test_metadata_that_inflates_beyond_256_mib_is_refused():
    bomb = foreign_pack(lambda metadata: metadata.update(text=" " * (257 << 20)), level=1)
    assert len(bomb) < 3 << 20
    with pytest.raises(DamagedPackError, match="over the limit"):
        verify(bomb)
    reader, end = reader_of(bomb), reader_of(bomb).plaintext_size_bytes
    start = 50 + len(HEAD) + 10 + 30 + 13
    with pytest.raises(DamagedPackError, match="inflates beyond"):
        reader.metadata((start, end))


@pytest.mark.parametrize(
    "field, value",
    [
        ("start", 49),
        ("start", -1),
        ("end", 55),
        ("end", 10**9),
        ("dataset_offset", 0),
        ("dataset_offset", 10**6),
        ("file", "instances/000002.dcm"),
        ("file", "../../etc/passwd"),
        ("stored_sha256", "0" * 64),
        ("stored_sha256", ""),
    ],
)
def test_metadata_that_differs_from_the_members_is_refused(field, value):
    def wrong(metadata):
        metadata["instances"][0][field] = value

    with pytest.raises(DamagedPackError):
        verify(foreign_pack(wrong))


@pytest.mark.parametrize(
    "members",
    [
        [("instances/000002.dcm", HEAD + b"a data set")],
        [("instances/000001.dcm", HEAD + b"a data set")] * 2,
        [("instances/000001.dcm", HEAD + b"a data set"), ("instances/000002.dcm", b"")],
        [("x", b""), ("instances/000001.dcm", HEAD + b"a data set")],
        [("other", b"")],
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_are_not_described_are_refused(members):
    with pytest.raises(DamagedPackError):
        verify(foreign_pack(members=members))


def changed_plaintext(change) -> bytes:
    plain = bytearray(tink_open(foreign_pack()))
    change(plain)
    return tink_seal(bytes(plain))


def test_a_wrong_crc_in_both_headers_is_refused():
    def wrong(plain: bytearray) -> None:
        right = bytes(plain[14:18])
        at = plain.rindex(right)
        plain[14:18] = plain[at : at + 4] = b"\1\2\3\4"

    with pytest.raises(DamagedPackError, match="CRC-32"):
        verify(changed_plaintext(wrong))


def test_a_local_header_that_differs_from_the_directory_is_refused():
    def wrong(plain: bytearray) -> None:
        plain[10:12] = b"\1\1"

    with pytest.raises(DamagedPackError, match="local header at 0"):
        verify(changed_plaintext(wrong))


def test_bytes_between_the_members_are_refused():
    plain = tink_open(foreign_pack())
    at = plain.index(b"PK\1\2")
    with pytest.raises(DamagedPackError):
        verify(tink_seal(plain[:at] + b"hidden" + plain[at:]))


def test_an_archive_comment_is_refused():
    plain = tink_open(foreign_pack())
    with pytest.raises(DamagedPackError):
        verify(tink_seal(plain[:-2] + b"\3\0abc"))


def test_a_plaintext_that_is_no_zip_is_refused():
    for text in (b"x", os.urandom(100_000)):
        with pytest.raises(DamagedPackError, match="ZIP"):
            verify(tink_seal(text))


def test_the_reader_does_not_show_its_key():
    reader = make().reader()
    for shown in (repr(reader), repr(vars(reader))):
        assert STUDY_KEY.hex() not in shown
        assert repr(STUDY_KEY) not in shown
        assert base64.b64encode(STUDY_KEY).decode() not in shown


def test_the_golden_pack_lies_where_its_name_says():
    assert golden_pack().relative_to(GOLDEN).parts[:2] == ("packs", STUDY_KEY_ID.hex())
    assert hashlib.sha256(golden_pack().read_bytes()).hexdigest() == golden_pack().name

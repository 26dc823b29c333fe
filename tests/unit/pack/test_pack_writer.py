"""Writing a pack: what the sink gets, what is returned, what is refused."""

import hashlib
import zlib

import msgspec
import pytest

from fileroom.pack import writer as writer_module
from fileroom.pack.format import DamagedPackError, PackFullError
from fileroom.pack.metadata import Transform
from fileroom.pack.writer import PackWriter
from unit.pack.packs import HEAD, STUDY_KEY, SUBJECT, entry, make_pack, random_bodies, tink_open


def add(writer: PackWriter, data: bytes, **changed: object) -> int:
    arguments = {
        "head": HEAD,
        "body": [data],
        "body_size_bytes": len(data),
        "crc32": None,
        "entry": entry(1, data),
    } | changed
    return writer.add_instance(**arguments)


def test_tink_opens_a_pack_of_every_length_around_a_segment():
    for size in range(64_800, 65_560, 40):
        made = make_pack(random_bodies(size))
        assert tink_open(made.data) == made.plaintext()


def test_what_is_returned_is_what_was_written():
    made = make_pack(random_bodies(100, 300_000))
    written = made.written
    assert written.sha256 == hashlib.sha256(made.data).digest()
    assert written.size_bytes == len(made.data)
    assert written.tink_header == made.data[:40]
    plain = tink_open(made.data)
    assert written.plaintext_size_bytes == len(plain)
    assert written.instance_count == 2
    start = written.metadata_offset
    deflated = plain[start : start + written.metadata_size_bytes]
    assert zlib.decompress(deflated, -15).startswith(b'{"format":{"major":1,"minor":0},"writer":"')
    assert plain[start - 13 : start] == b"metadata.json"


def test_a_pack_without_instances_is_a_pack():
    made = make_pack([])
    assert made.reader().verify(sha256=made.written.sha256).instances == []


def test_two_packs_of_the_same_instances_share_no_salt_and_no_nonce():
    first, second = make_pack([b"same"]), make_pack([b"same"])
    assert first.data[1:33] != second.data[1:33]
    assert first.data[33:40] != second.data[33:40]


def test_a_header_for_test_vectors_makes_the_same_pack_twice():
    header = b"\x28" + bytes(39)
    assert make_pack([b"same"], header=header).data == make_pack([b"same"], header=header).data


@pytest.mark.parametrize("cut", [1, 7, 65_480, 65_520, 262_144, 10_000_000])
def test_the_pack_does_not_depend_on_how_a_body_is_cut(cut):
    header, [body] = b"\x28" + bytes(39), random_bodies(400_000)
    if cut < 1000:
        body = body[:3000]
    pieces = [bytearray(body[at : at + cut]) for at in range(0, len(body), cut)]
    out = bytearray()
    writer = PackWriter(out.extend, key=STUDY_KEY, subject=SUBJECT, header=header)
    add(writer, body, body=[memoryview(piece) for piece in pieces])
    writer.finish()
    assert out == make_pack([body], header=header).data


def test_the_sink_gets_whole_mebibytes_and_a_rest():
    sizes = []
    writer = PackWriter(lambda block: sizes.append(len(block)), key=STUDY_KEY, subject=SUBJECT)
    for _ in range(5):
        add(writer, bytes(700_000))
    written = writer.finish()
    assert set(sizes[:-1]) == {1 << 20}
    assert sum(sizes) == written.size_bytes


def test_ordinals_count_from_zero():
    writer = PackWriter(lambda _: None, key=STUDY_KEY, subject=SUBJECT)
    assert [add(writer, b"x"), add(writer, b"y")] == [0, 1]
    assert writer.instance_count == 2


def test_a_crc_that_is_given_is_written_and_the_body_read_once():
    out, body = bytearray(), random_bodies(1000)[0]
    writer = PackWriter(out.extend, key=STUDY_KEY, subject=SUBJECT)
    add(writer, body, body=iter([body]), crc32=zlib.crc32(HEAD + body))
    writer.finish()
    assert tink_open(bytes(out))[14:18] == zlib.crc32(HEAD + body).to_bytes(4, "little")


def test_a_large_body_without_a_crc_is_asked_for_twice_and_never_held(monkeypatch):
    monkeypatch.setattr(writer_module, "HELD_BODY_BYTES_MAX", 1000)
    out, body, asked = bytearray(), random_bodies(100_000)[0], []
    writer = PackWriter(out.extend, key=STUDY_KEY, subject=SUBJECT)

    def pieces():
        asked.append(len(out))
        yield from (body[at : at + 999] for at in range(0, len(body), 999))

    add(writer, body, body=pieces)
    writer.finish()
    assert asked == [0, 0]
    assert tink_open(bytes(out))[14:18] == zlib.crc32(HEAD + body).to_bytes(4, "little")


@pytest.mark.parametrize("crc32", [None, 1])
@pytest.mark.parametrize("given", [99, 101])
def test_a_body_of_another_length_than_announced_is_refused_and_ends_the_writer(given, crc32):
    writer = PackWriter(lambda _: None, key=STUDY_KEY, subject=SUBJECT)
    with pytest.raises(DamagedPackError, match=str(given)):
        add(writer, bytes(100), body=[bytes(given)], crc32=crc32)
    with pytest.raises(AssertionError):
        writer.finish()


def test_a_body_that_fails_ends_the_writer():
    writer = PackWriter(lambda _: None, key=STUDY_KEY, subject=SUBJECT)

    def failing():
        yield b"x"
        raise OSError

    with pytest.raises(OSError):
        add(writer, b"xy", body=failing)
    with pytest.raises(AssertionError):
        add(writer, b"x")


def test_an_instance_that_does_not_fit_leaves_the_pack_as_it_was(monkeypatch):
    out = bytearray()
    writer = PackWriter(out.extend, key=STUDY_KEY, subject=SUBJECT)
    add(writer, b"first")
    monkeypatch.setattr(writer_module, "METADATA_SIZE_BYTES_MAX", 1000)
    with pytest.raises(PackFullError):
        add(writer, b"second")
    monkeypatch.undo()
    monkeypatch.setattr(writer_module, "INSTANCE_COUNT_MAX", 1)
    assert writer.full
    with pytest.raises(PackFullError):
        add(writer, b"second")
    assert writer.finish().instance_count == 1
    assert b"second" not in tink_open(bytes(out))


def test_a_pack_is_full_when_its_metadata_is_large(monkeypatch):
    writer = PackWriter(lambda _: None, key=STUDY_KEY, subject=SUBJECT)
    assert not writer.full
    monkeypatch.setattr(writer_module, "METADATA_FULL_BYTES", 500)
    add(writer, b"x")
    assert writer.full


def test_dicom_json_over_its_limit_is_left_out(monkeypatch):
    monkeypatch.setattr(writer_module, "DICOM_JSON_SIZE_BYTES_MAX", 10)
    made = make_pack([b"x"])
    [instance] = made.reader().metadata().instances
    assert bytes(instance.dicom_json) == b"null"


def test_what_the_writer_is_told_is_what_a_reader_learns():
    transform = Transform("htj2k", "1.2.840.10008.1.2.1", 1234)
    preamble = b"II*\0" + bytes(124)
    made = make_pack([b"abc"], transform=transform, preamble=preamble)
    told = entry(1, b"abc", transform=transform, preamble=preamble)
    metadata = made.reader().metadata()
    assert metadata.site == "site"
    assert metadata.partition == "partition"
    assert (metadata.study_instance_uid, metadata.series_instance_uid) == ("2.25.1", "2.25.2")
    [instance] = metadata.instances
    assert instance.file == "instances/000001.dcm"
    assert (instance.start, instance.end) == (50, 50 + len(HEAD) + 3)
    assert instance.dataset_offset == len(HEAD)
    assert instance.attributes() == told.attributes
    assert instance.frames() == told.frames
    assert bytes(instance.dicom_json) == bytes(told.dicom_json)
    for name in told.__struct_fields__:
        if name not in {"attributes", "frames", "dicom_json"}:
            assert getattr(instance, name) == getattr(told, name)
    assert made.reader().read(instance.start, instance.end) == HEAD + b"abc"


def test_an_empty_preamble_is_not_written():
    text = msgspec.json.encode(entry(1, b""))
    assert b"preamble" not in text
    assert b'"transform":null' in text

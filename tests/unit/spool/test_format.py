"""The bytes of a segment: read from a file made without our code, and ours read without it."""

import hashlib
import shutil
import zlib
from array import array
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tink import aead, proto_keyset_format, secret_key_access
from tink.proto import aes_gcm_pb2, tink_pb2

from fileroom.spool import format as segment_format
from fileroom.spool.failure import DamagedSegmentError, NewerFormatError
from fileroom.spool.reader import SpoolReader
from fileroom.spool.record import Place
from spool_parts import KEY, data_set, finish, land, open_spool

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "spool_1_0"
GOLDEN_KEY = bytes(range(32))


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    shutil.copy(GOLDEN / "00000001.seg", tmp_path)
    return tmp_path


def test_a_segment_of_version_1_0_is_read(golden: Path) -> None:
    spool = open_spool(golden)
    first, second = spool.recovered()
    assert first.place == Place(1, 3 * 4096)
    assert first.size_bytes == 40
    # printf 'forty bytes, as a modality would send it' | sha256sum
    assert first.sha256.hex() == (
        "9d96a050c4cfeaddd02b290ef0602e063ff5faba5d8b45e45c398b53691e51dd"
    )
    assert first.description.header.attributes == {
        "PatientName": "Müller^Änne",
        "Modality": "CT",
    }
    assert first.description.origin.calling_ae_title == "CT_ROOM_2"
    assert first.description.received_at_ns == 1_764_000_000_123_456_789
    assert second.description.preamble == bytes(127) + b"P"
    assert spool.damage == ()
    reader = SpoolReader(golden, key=GOLDEN_KEY)
    assert reader.open(first.place).read(0, 40) == b"forty bytes, as a modality would send it"
    assert list(reader.open(second.place).chunks()) == []


def test_what_we_seal_is_the_golden_segment_byte_for_byte() -> None:
    golden = (GOLDEN / "00000001.seg").read_bytes()
    header = segment_format.seal_segment_header(
        1,
        spool_key=GOLDEN_KEY,
        segment_key=bytes(range(0x20, 0x40)),
        nonce=bytes(range(0x40, 0x4C)),
        created_at_ns=1_764_000_000_123_456_789,
    )
    assert header == golden[:4096]
    cipher = segment_format.FrameCipher(bytes(range(0x20, 0x40)), segment=1)
    plaintext = b"forty bytes, as a modality would send it"
    frame = memoryview(bytearray(b"\xff" * 4096))
    cipher.seal_into(
        frame, plaintext, segment_format.FrameHeader(b"FRSD", len(plaintext), 4096, 0, 0)
    )
    assert frame == golden[4096:8192]
    end = memoryview(bytearray(56))
    cipher.seal_into(
        end, segment_format.encode_end(2), segment_format.FrameHeader(b"FRSE", 8, 5 * 4096, 0, 0)
    )
    assert end == golden[-56:]


async def test_our_segment_is_read_with_the_format_page_and_tink_alone(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    data = data_set("a", 600_000)
    spooled = await land(spool, "1", data)
    await spool.close()
    content = (tmp_path / "00000001.seg").read_bytes()

    def at(offset: int, size: int) -> bytes:
        return content[offset : offset + size]

    def number(offset: int, size: int) -> int:
        return int.from_bytes(at(offset, size), "big")

    assert at(0, 16) == b"FRSPOOL\0\0\1\0\0\0\0\0\1"
    assert number(84, 4) == zlib.crc32(at(0, 84))
    assert at(88, 4008) == bytes(4008)
    segment_key = AESGCM(KEY).decrypt(at(24, 12), at(36, 48), b"fileroom-spool-v1" + at(0, 24))
    opener = tink_aes_gcm(segment_key)

    def opened(offset: int) -> bytes:
        assert number(offset + 8, 8) == offset
        assert number(offset + 28, 4) == zlib.crc32(at(offset, 28))
        sealed = at(offset + 32, number(offset + 4, 4) + 16)
        return opener.decrypt(bytes(4) + at(offset + 8, 8) + sealed, at(offset, 32))

    place = spooled.place.offset
    assert at(place, 4) == b"FRSC"
    commit = opened(place)
    assert commit[:8] == (600_000).to_bytes(8, "big")
    assert commit[8:40] == hashlib.sha256(data).digest()
    assert commit[40:48] == (4096).to_bytes(8, "big")
    assert commit[48:52] == (3).to_bytes(4, "big")
    offsets = [int.from_bytes(commit[56 + 8 * n : 64 + 8 * n], "big") for n in range(3)]
    assert offsets == [4096, 4096 + 64 * 4096, 4096 + 128 * 4096]
    assert b"".join(map(opened, offsets)) == data
    assert int.from_bytes(commit[52:56], "big") == len(commit) - 80
    assert commit[80:].startswith(b"\x86\xa9partition\xa4main\xa6header\x85")
    assert at(len(content) - 56, 4) == b"FRSE"
    assert opened(len(content) - 56) == (1).to_bytes(8, "big")


def tink_aes_gcm(key: bytes) -> aead.Aead:
    """Tink's AES-256-GCM over a raw key: nonce, ciphertext, tag."""
    aead.register()
    keyset = tink_pb2.Keyset(primary_key_id=1)
    added = keyset.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
    added.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmKey"
    added.key_data.value = aes_gcm_pb2.AesGcmKey(key_value=key).SerializeToString()
    added.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
    handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(aead.Aead)


async def test_every_frame_begins_at_a_block_and_no_nonce_is_used_twice(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    landings = [spool.landing() for _ in range(3)]
    for n, landing in enumerate(landings):
        await finish(landing, f"{n}", data_set(f"{n}", 300_000 * n))
    await spool.close()
    content = (tmp_path / "00000001.seg").read_bytes()
    offsets = [n for n in range(0, len(content), 4096) if content[n : n + 3] == b"FRS"][1:]
    nonces = [content[n + 8 : n + 16] for n in offsets]
    assert len(set(nonces)) == len(nonces) == 2 + 3 + 3 + 1
    for start, stop in pairwise(offsets):
        frame_bytes = 48 + int.from_bytes(content[start + 4 : start + 8], "big")
        assert content[start + frame_bytes : stop] == bytes(stop - start - frame_bytes)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("00000001.seg", 1),
        ("12345678.seg", 12345678),
        ("123456789.seg", 123456789),
        ("1.seg", None),
        ("0000001a.seg", None),
        ("٠٠٠٠٠٠٠١.seg", None),
        ("000000001.seg", None),
        ("00000001.seg.tmp", None),
        ("00000001", None),
        (".seg", None),
    ],
)
def test_only_segment_names_are_segments(name: str, number: int | None) -> None:
    assert segment_format.segment_number(name) == number


def test_a_header_of_another_key_number_or_version_is_refused() -> None:
    block = (GOLDEN / "00000001.seg").read_bytes()[:4096]
    with pytest.raises(DamagedSegmentError, match="does not open"):
        segment_format.open_segment_header(block, 1, spool_key=bytes(32))
    with pytest.raises(DamagedSegmentError, match="that of segment 1"):
        segment_format.open_segment_header(block, 2, spool_key=GOLDEN_KEY)
    with pytest.raises(DamagedSegmentError, match="no valid segment header"):
        segment_format.open_segment_header(block[:80], 1, spool_key=GOLDEN_KEY)
    newer = bytearray(block)
    newer[9] = 2
    newer[84:88] = zlib.crc32(newer[:84]).to_bytes(4, "big")
    with pytest.raises(NewerFormatError, match="format 2"):
        segment_format.open_segment_header(newer, 1, spool_key=GOLDEN_KEY)


@pytest.mark.parametrize("field", range(32))
def test_a_changed_byte_of_a_frame_header_makes_it_no_header(field: int) -> None:
    frame = bytearray((GOLDEN / "00000001.seg").read_bytes()[4096:8192])
    assert segment_format.parse_frame_header(frame, 4096) is not None
    frame[field] ^= 1
    assert segment_format.parse_frame_header(frame, 4096) is None


def test_a_frame_elsewhere_than_its_offset_is_none() -> None:
    frame = (GOLDEN / "00000001.seg").read_bytes()[4096:8192]
    assert segment_format.parse_frame_header(frame, 8192) is None
    assert segment_format.parse_frame_header(frame[:31], 4096) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c._replace(size_bytes=c.size_bytes + 262_096),
        lambda c: c._replace(offsets=c.offsets[::-1]),
        lambda c: c._replace(mark=900_001),
    ],
)
def test_a_commit_that_contradicts_itself_is_damage(change) -> None:  # type: ignore[no-untyped-def]
    good = segment_format.Commit(500_000, bytes(32), 4096, array("Q", [4096, 266_240]), b"d")
    header = segment_format.FrameHeader(b"FRSC", 80, 900_000, 0, 2)
    encoded = segment_format.encode_commit(good)
    assert segment_format.decode_commit(encoded, header, segment=1) == good
    with pytest.raises(DamagedSegmentError):
        segment_format.decode_commit(segment_format.encode_commit(change(good)), header, segment=1)
    for wrong in (encoded[:-1], encoded + b"x", encoded[:55], b""):
        with pytest.raises(DamagedSegmentError):
            segment_format.decode_commit(wrong, header, segment=1)

"""Names, sizes and the encryption layer, against vectors of Tink and OpenSSL."""

import hashlib
import subprocess

import pytest

from fileroom.pack.format import (
    DamagedPackError,
    instance_name,
    new_header,
    object_name,
    pack_key,
    parse_object_name,
    split_header,
)
from fileroom.pack.segment import SegmentCipher, Segments, ciphertext_size_bytes
from unit.pack.packs import STUDY_KEY, tink_open, tink_seal

# docs/format/pack.md §7, vectors A and B: made by Tink 1.16.1 (C++).
SHORT = bytes.fromhex(
    "28"  # header length
    "1fb83069c939827354b615dcf5582079e4c3ad4059b89735bfd8969745eeb35c"  # salt
    "3f611995b830c0"  # nonce prefix
    "94fd5ffc6412690633"  # "Fileroom\n"
    "296fe1a55f14595f118b63642d1f845e"  # tag
)
LONG_HEADER = bytes.fromhex(
    "28d261be0600328062d74c2a77869fdbaf7c949a7703dbc3840aeecc077f6c7e663269e273454120"
)
LONG_SHA256 = "d77d6a8e163b614460a9679b1d2c41a16c68f429f701403d6ac4a7bb1507135a"
LONG_TEXT = bytes(i % 251 for i in range(200_000))


def test_the_pack_key_is_the_one_that_openssl_derives():
    salt, _ = split_header(SHORT[:40])
    derived = "c611e55d5ccea9ca8f95e155b54bc56e84663193c86d7c7f2f0fe886cdcfffc3"
    assert pack_key(STUDY_KEY, salt).hex() == derived


def test_openssl_derives_the_pack_key_of_the_document_here_too():
    options = [
        "digest:SHA256",
        f"hexkey:{STUDY_KEY.hex()}",
        f"hexsalt:{LONG_HEADER[1:33].hex()}",
        f"hexinfo:{b'fileroom-pack-v1'.hex()}",
    ]
    command = ["openssl", "kdf", "-keylen", "32", "-binary"]
    command += [part for option in options for part in ("-kdfopt", option)] + ["HKDF"]
    derived = subprocess.run(command, check=True, capture_output=True).stdout
    assert derived == pack_key(STUDY_KEY, LONG_HEADER[1:33])


def test_a_segment_that_tink_sealed_opens():
    cipher = SegmentCipher(STUDY_KEY, SHORT[:40])
    assert cipher.open(0, True, SHORT[40:]) == b"Fileroom\n"


def test_a_short_segment_is_sealed_to_the_bytes_that_tink_wrote():
    cipher = SegmentCipher(STUDY_KEY, SHORT[:40])
    assert cipher.seal(0, True, b"Fileroom\n") == SHORT[40:]


def test_four_segments_are_sealed_to_the_bytes_that_tink_wrote():
    cipher, sealed, start = SegmentCipher(STUDY_KEY, LONG_HEADER), LONG_HEADER, 0
    for index, size in enumerate((65_480, 65_520, 65_520, 3_480)):
        sealed += cipher.seal(index, index == 3, LONG_TEXT[start : start + size])
        start += size
    assert len(sealed) == 200_104
    assert hashlib.sha256(sealed).hexdigest() == LONG_SHA256


@pytest.mark.parametrize(
    "size", [1, 65_479, 65_480, 65_481, 131_000, 131_001, 131_000 + 65_520, 131_000 + 65_521]
)
def test_sizes_at_the_borders_are_those_of_tink(size):
    sealed = tink_seal(bytes(size))
    assert len(sealed) == ciphertext_size_bytes(size)
    segments = Segments(len(sealed))
    assert segments.plaintext_size_bytes == size
    assert segments.count == -(-len(sealed) // 65_536)
    assert len(tink_open(sealed)) == size


@pytest.mark.parametrize("size", [0, 1, 39, 40, 55, 56, 65_537, 65_552, 131_072 + 16])
def test_a_size_that_no_pack_can_have_is_refused(size):
    with pytest.raises(DamagedPackError):
        Segments(size)


def test_a_pack_of_more_than_two_to_the_32_segments_is_refused():
    with pytest.raises(DamagedPackError):
        Segments((1 << 48) + 17)
    assert Segments(1 << 48).count == 1 << 32


def test_a_range_is_planned_by_the_segments_that_hold_it():
    segments = Segments(ciphertext_size_bytes(200_000))
    assert segments.plan(0, 1) == range(1)
    assert segments.plan(65_479, 65_481) == range(2)
    assert segments.plan(65_480, 131_000) == range(1, 2)
    assert segments.plan(199_999, 200_000) == range(3, 4)
    assert segments.ciphertext_range(range(2)) == (40, 131_072)
    assert segments.ciphertext_range(range(1, 4)) == (65_536, 200_104)


@pytest.mark.parametrize("start, end", [(-1, 5), (5, 5), (6, 5), (0, 200_001)])
def test_a_range_outside_of_the_plaintext_is_our_mistake(start, end):
    with pytest.raises(ValueError):
        Segments(200_104).plan(start, end)


@pytest.mark.parametrize("header", [b"", bytes(40), SHORT[:39], SHORT[:41], b"\x18" + SHORT[1:40]])
def test_a_header_that_is_not_a_pack_is_refused(header):
    with pytest.raises(DamagedPackError):
        SegmentCipher(STUDY_KEY, header)


def test_a_header_is_length_salt_and_prefix():
    assert new_header(SHORT[1:33], SHORT[33:40]) == SHORT[:40]


def test_an_object_is_named_by_its_key_and_its_digest():
    name = object_name(bytes(range(16)), bytes(range(32)))
    assert name == (
        "packs/000102030405060708090a0b0c0d0e0f/"
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    )
    assert parse_object_name(name) == (bytes(range(16)), bytes(range(32)))


@pytest.mark.parametrize("name", ["packs/../x", "keyring/site/x", "packs/" + "A" * 32 + "/x", ""])
def test_what_is_no_packs_name_is_none(name):
    assert parse_object_name(name) is None
    assert parse_object_name(f"packs/{'a' * 32}/{'b' * 64}\n") is None


def test_the_first_instance_is_number_one():
    assert instance_name(0) == "instances/000001.dcm"
    assert instance_name(999_998) == "instances/999999.dcm"


def test_a_cipher_does_not_show_its_key():
    cipher = SegmentCipher(STUDY_KEY, SHORT[:40])
    assert STUDY_KEY.hex() not in repr(cipher)
    assert repr(STUDY_KEY) not in repr(cipher)

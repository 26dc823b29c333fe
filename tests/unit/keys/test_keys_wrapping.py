"""One key under another, against bytes of Tink and OpenSSL."""

import base64
import json

import pytest
from tink import aead, json_proto_keyset_format, secret_key_access

from fileroom.errors import RefusedError, TransientError
from fileroom.keys.keyfile import ITERATIONS_MIN, KeyFile, LazyKeyFile
from fileroom.keys.port import DamagedKeyError, KeysLockedError, WrongSecretError
from fileroom.keys.wrapping import context_of, unwrap, wrap
from unit.keys.golden_keys import (
    PASSPHRASE,
    RECOVERY_KEY,
    SITE_KEY,
    SITE_KEY_ID,
    STUDY_KEY,
    STUDY_KEY_ID,
    quick,
)

# docs/format/keyring.md §5: nonce, ciphertext, tag, made by Tink 1.16.1 (C++).
WRAPPED_STUDY_KEY = bytes.fromhex(
    "4b733302fa5fe865eaa8a411"
    "9d153b84753621d7646c63dbe543807475ed0dcec5cbb0354cee3031fc5eaa11"
    "86dfac8e9254e5e7655f85276f9b3366"
)
WRAPPED_BY_RECOVERY = bytes.fromhex(
    "87b7bd85dd9017aec9fa2e26"
    "96b7cc10bc4c459954f2b5bec0987b4b3a1683120cb3cf36f3928ba140604f4a"
    "0be634df145ac51a8d6dd2fac5702ffe"
)
# The derived key is `openssl kdf`'s, the wrap Tink's.
DERIVED_KEY = bytes.fromhex("6d3344f7e68d6bba9b432ff79e29b3bab65c4490dd96eea4bdc4c83c2162f314")
PASSPHRASE_BLOB = bytes.fromhex(
    "01"  # version
    "000003e8"  # 1,000 iterations
    "101112131415161718191a1b1c1d1e1f"  # salt
    "0d53557b1b985b2f4cd9e37a"  # nonce
    "540d4d4f5105492bde2e611246592553af5816d7e152dd538cf88b92c4f8a724"
    "2e9d04fb7b47f18f85a17a5100d854a0"  # tag
)
STUDY = context_of("study", STUDY_KEY_ID.hex(), "1", "radiology")
SITE_PORT = context_of("site", SITE_KEY_ID.hex(), "port")


def test_a_context_is_lines():
    assert STUDY == (b"fileroom-keyring-v1\nstudy\nb0b1b2b3b4b5b6b7b8b9babbbcbdbebf\n1\nradiology")


def test_a_study_key_that_tink_wrapped_opens():
    assert unwrap(SITE_KEY, WRAPPED_STUDY_KEY, context=STUDY) == STUDY_KEY


def test_a_key_is_wrapped_to_the_bytes_that_tink_wrote():
    nonce = WRAPPED_STUDY_KEY[:12]
    assert wrap(SITE_KEY, STUDY_KEY, context=STUDY, nonce=nonce) == WRAPPED_STUDY_KEY


def test_the_recovery_key_opens_what_tink_wrapped():
    context = context_of("site", SITE_KEY_ID.hex(), "recovery")
    assert unwrap(RECOVERY_KEY, WRAPPED_BY_RECOVERY, context=context) == SITE_KEY


def test_tink_unwraps_what_we_wrap():
    value = base64.b64encode(b"\x1a\x20" + SITE_KEY).decode()
    key_data = {
        "typeUrl": "type.googleapis.com/google.crypto.tink.AesGcmKey",
        "keyMaterialType": "SYMMETRIC",
        "value": value,
    }
    key = {"keyId": 1, "status": "ENABLED", "outputPrefixType": "RAW", "keyData": key_data}
    aead.register()
    keyset = json.dumps({"primaryKeyId": 1, "key": [key]})
    handle = json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
    wrapped = wrap(SITE_KEY, STUDY_KEY, context=STUDY, nonce=bytes(12))
    assert handle.primitive(aead.Aead).decrypt(wrapped, STUDY) == STUDY_KEY


@pytest.mark.parametrize(
    "lines",
    [
        ("study", STUDY_KEY_ID.hex(), "2", "radiology"),
        ("study", STUDY_KEY_ID.hex(), "1", "cardiology"),
        ("study", "0" * 32, "1", "radiology"),
        ("inner", STUDY_KEY_ID.hex(), "1", "radiology"),
    ],
)
def test_a_wrap_does_not_pass_for_another(lines):
    with pytest.raises(DamagedKeyError):
        unwrap(SITE_KEY, WRAPPED_STUDY_KEY, context=context_of(*lines))


def test_a_changed_or_cut_wrap_is_refused():
    for at in range(60):
        changed = bytearray(WRAPPED_STUDY_KEY)
        changed[at] ^= 1
        with pytest.raises(DamagedKeyError):
            unwrap(SITE_KEY, bytes(changed), context=STUDY)
        with pytest.raises(DamagedKeyError):
            unwrap(SITE_KEY, WRAPPED_STUDY_KEY[:at], context=STUDY)


def test_a_line_end_cannot_move_a_border():
    with pytest.raises(AssertionError):
        context_of("study", "a\nb", "c")


# The passphrase port.


def test_the_passphrase_opens_what_openssl_and_tink_made():
    assert unwrap(DERIVED_KEY, PASSPHRASE_BLOB[21:], context=SITE_PORT) == SITE_KEY
    assert quick().unwrap(PASSPHRASE_BLOB, context=SITE_PORT) == SITE_KEY


def test_composed_and_decomposed_accents_are_one_passphrase():
    port = quick("Ro\u0308ntgen room 7")
    assert port.unwrap(PASSPHRASE_BLOB, context=SITE_PORT) == SITE_KEY


def test_a_new_blob_has_a_new_salt_and_nonce_and_opens():
    port = quick()
    first, second = (port.wrap(SITE_KEY, context=SITE_PORT) for _ in range(2))
    assert first[5:21] != second[5:21]
    assert first[21:33] != second[21:33]
    assert len(first) == 81
    assert port.unwrap(second, context=SITE_PORT) == SITE_KEY


def test_without_being_told_otherwise_a_wrap_costs_600_000_iterations():
    blob = KeyFile(PASSPHRASE).wrap(SITE_KEY, context=SITE_PORT)
    assert blob[:5] == b"\x01" + (600_000).to_bytes(4, "big")
    assert ITERATIONS_MIN == 600_000


def test_another_passphrase_is_refused_as_wrong():
    with pytest.raises(WrongSecretError):
        quick("another").unwrap(PASSPHRASE_BLOB, context=SITE_PORT)
    assert issubclass(WrongSecretError, RefusedError)


def test_a_blob_opens_in_its_own_context_only():
    with pytest.raises(WrongSecretError):
        quick().unwrap(PASSPHRASE_BLOB, context=context_of("site", "0" * 32, "port"))


@pytest.mark.parametrize(
    "head",
    [
        b"\x02" + (1000).to_bytes(4, "big"),
        b"\x01" + bytes(4),
        b"\x01" + (10_000_001).to_bytes(4, "big"),
        b"\x01" + b"\xff" * 4,
    ],
)
def test_a_blob_that_would_keep_us_busy_is_refused_at_once(head):
    with pytest.raises(DamagedKeyError):
        quick().unwrap(head + PASSPHRASE_BLOB[5:], context=SITE_PORT)


def test_a_blob_of_another_length_is_refused():
    for blob in (b"", PASSPHRASE_BLOB[:80], PASSPHRASE_BLOB + b"x"):
        with pytest.raises(DamagedKeyError):
            quick().unwrap(blob, context=SITE_PORT)


def test_a_passphrase_is_read_when_a_key_is_asked_for_and_each_time_anew():
    said = iter([PASSPHRASE, "another", PASSPHRASE])
    port = LazyKeyFile(lambda: next(said))
    assert port.unwrap(PASSPHRASE_BLOB, context=SITE_PORT) == SITE_KEY
    with pytest.raises(WrongSecretError):
        port.unwrap(PASSPHRASE_BLOB, context=SITE_PORT)
    assert quick().unwrap(port.wrap(STUDY_KEY, context=SITE_PORT), context=SITE_PORT) == STUDY_KEY
    assert port.name == KeyFile.name


def test_a_passphrase_that_is_away_locks_the_keys():
    def away():
        raise KeysLockedError("no passphrase just now")

    for ask in (LazyKeyFile(away).wrap, LazyKeyFile(away).unwrap):
        with pytest.raises(KeysLockedError):
            ask(STUDY_KEY, context=SITE_PORT)
    assert issubclass(KeysLockedError, TransientError)


def test_the_passphrase_is_not_shown():
    assert PASSPHRASE not in repr(quick())

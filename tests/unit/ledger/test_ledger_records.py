"""Entries and encrypted bodies against the format page's vector."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileroom.ledger import record
from fileroom.ledger.record import Entry, EventSizeError, Record, RecordError, Stored
from golden import ledger_v1 as golden

CIPHER = AESGCM(golden.BODY_KEY)


def sealed(kind=golden.KIND, body=golden.BODY, *, salt=golden.SALT, nonce=golden.NONCE):
    return record.seal(kind, body, time_ns=golden.TIME_NS, cipher=CIPHER, salt=salt, nonce=nonce)


def test_a_record_is_the_one_on_the_format_page():
    assert sealed() == Stored(golden.ENTRY, golden.SEALED_BODY)


def test_the_format_pages_record_opens():
    opened = record.unseal(Stored(golden.ENTRY, golden.SEALED_BODY), index=7, cipher=CIPHER)
    assert opened == Record(7, golden.TIME_NS, "started", {"version": "0.1.0"})


def test_an_entry_says_time_kind_and_hash_and_nothing_of_the_body():
    assert Entry.parse(golden.ENTRY) == Entry(golden.TIME_NS, "started", golden.BODY_HASH)
    secret = b'{"study_instance_uid":"1.2.840.99"}'
    entry = sealed("received", secret).entry
    assert b"1.2.840" not in entry
    assert len(entry) < 200


def test_the_salt_hides_a_body_that_could_be_guessed():
    one = sealed(salt=b"a" * 32)
    other = sealed(salt=b"b" * 32)
    assert one.entry != other.entry


@pytest.mark.parametrize(
    "change",
    [
        lambda entry, body: Stored(entry, body[:12] + bytes([body[12] ^ 1]) + body[13:]),
        lambda entry, body: Stored(entry, bytes([body[0] ^ 1]) + body[1:]),
        lambda entry, body: Stored(entry, body[:-1]),
        lambda entry, body: Stored(entry, body[:59]),
        lambda entry, body: Stored(entry, b""),
        lambda entry, body: Stored(entry.replace(b"started", b"stopped"), body),
        lambda entry, body: Stored(entry.replace(b"\n17", b"\n18"), body),
        lambda entry, body: Stored(entry, sealed(body=b"{}").body),
    ],
)
def test_a_changed_record_or_anothers_body_is_an_integrity_error(change):
    with pytest.raises(RecordError):
        record.unseal(change(golden.ENTRY, golden.SEALED_BODY), index=0, cipher=CIPHER)


def test_another_key_does_not_open_a_body():
    with pytest.raises(RecordError, match="does not open"):
        record.unseal(sealed(), index=0, cipher=AESGCM(b"x" * 32))


@pytest.mark.parametrize("body", [b"[]", b"1", b"{", b"[" * 100_000, b'{"a":' * 50_000])
def test_a_body_that_is_no_object_is_an_integrity_error(body):
    with pytest.raises(RecordError, match="not a JSON object"):
        record.unseal(sealed(body=body), index=0, cipher=CIPHER)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        golden.ENTRY[:-1],
        golden.ENTRY + b"\n",
        golden.ENTRY.replace(b"-v1", b"-v2"),
        golden.ENTRY.replace(b"\n17", b"\n017"),
        golden.ENTRY.replace(b"started", b"Started"),
        golden.ENTRY.replace(b"started", b"s" * 65),
        golden.ENTRY.replace(b"us=\n", b"ut=\n"),  # base64 with bits behind the last byte
        golden.ENTRY.replace(b"\n", b"\r\n"),
    ],
)
def test_an_entry_has_one_spelling(entry):
    with pytest.raises(RecordError):
        Entry.parse(entry)


def test_the_largest_body_is_taken_and_a_larger_one_refused():
    room = record.BODY_BYTES_MAX - len('{"a":""}')
    encoded = record.encode_body({"a": "x" * room})
    assert record.unseal(sealed(body=encoded), index=0, cipher=CIPHER).body["a"] == "x" * room
    with pytest.raises(EventSizeError, match="262145 B"):
        record.encode_body({"a": "x" * (room + 1)})

"""Entries and encrypted bodies: docs/format/ledger.md §2 and §3 as code. Pure."""

import base64
import binascii
import re
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileroom.errors import IntegrityError, RefusedError

FORMAT = "fileroom-event-v1"
KIND = re.compile(r"[a-z][a-z0-9.-]{0,63}")
SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
BODY_BYTES_MAX = 262_144
SALT_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SEALED_BYTES_MAX = NONCE_BYTES + SALT_BYTES + BODY_BYTES_MAX + TAG_BYTES

_ENTRY = re.compile(
    FORMAT.encode() + rb"\n(0|[1-9][0-9]{0,19})\n([a-z][a-z0-9.-]{0,63})\n([A-Za-z0-9+/]{43}=)\n"
)
_json = msgspec.json.Encoder()


class RecordError(IntegrityError):
    """An entry or a body is not what the log says it is."""


class EventSizeError(RefusedError):
    """The event's body is larger than the ledger takes."""


class Stored(NamedTuple):
    """One record as it is kept: the entry, and the body encrypted."""

    entry: bytes
    body: bytes


class Record(msgspec.Struct, frozen=True):
    """One record as it is read."""

    index: int
    time_ns: int
    kind: str
    body: dict[str, Any]


class Entry(NamedTuple):
    """The public part: `body_hash` is SHA-256 of salt and body."""

    time_ns: int
    kind: str
    body_hash: bytes

    def encoded(self) -> bytes:
        """The entry's one spelling."""
        body_hash = base64.b64encode(self.body_hash).decode()
        return f"{FORMAT}\n{self.time_ns}\n{self.kind}\n{body_hash}\n".encode()

    @classmethod
    def parse(cls, data: bytes) -> "Entry":
        """Read an entry.

        Raises:
            RecordError: it is not spelled as the format spells it, or of a later format.
        """
        match = _ENTRY.fullmatch(data)
        if match is not None:
            try:
                body_hash = base64.b64decode(match[3], validate=True)
            except binascii.Error:
                body_hash = b""
            entry = cls(int(match[1]), match[2].decode(), body_hash)
            if entry.encoded() == data:
                return entry
        raise RecordError(f"an entry of {len(data)} B is not of format {FORMAT}")


def encode_body(body: object) -> bytes:
    """The JSON of a body: a mapping, or a msgspec struct.

    Raises:
        EventSizeError: over 262,144 bytes.
    """
    encoded = _json.encode(body)
    if len(encoded) > BODY_BYTES_MAX:
        raise EventSizeError(f"a body of {len(encoded)} B is over our {BODY_BYTES_MAX} B")
    return encoded


def seal(
    kind: str, body: bytes, *, time_ns: int, cipher: AESGCM, salt: bytes, nonce: bytes
) -> Stored:
    """Make the record of one event.

    Args:
        body: from `encode_body`.
        salt, nonce: 32 and 12 fresh random bytes. Why random: docs/format/ledger.md §3.
    """
    assert KIND.fullmatch(kind), "the kinds are ours, and public"
    assert len(salt) == SALT_BYTES
    assert len(nonce) == NONCE_BYTES
    salted = salt + body
    entry = Entry(time_ns, kind, sha256(salted).digest()).encoded()
    return Stored(entry, nonce + cipher.encrypt(nonce, salted, entry))


def unseal(stored: Stored, *, index: int, cipher: AESGCM) -> Record:
    """Decrypt a record and check its body against its entry.

    Args:
        index: its number in the log, for the result and for messages.

    Raises:
        RecordError: another key, another entry's body, or damage.
    """
    entry = Entry.parse(stored.entry)
    nonce, ciphertext = stored.body[:NONCE_BYTES], stored.body[NONCE_BYTES:]
    if len(ciphertext) < SALT_BYTES + TAG_BYTES or len(stored.body) > SEALED_BYTES_MAX:
        raise RecordError(f"the body of entry {index} has {len(stored.body)} B")
    try:
        salted = cipher.decrypt(nonce, ciphertext, stored.entry)
    except InvalidTag:
        raise RecordError(f"the body of entry {index} does not open") from None
    if sha256(salted).digest() != entry.body_hash:
        raise RecordError(f"the body of entry {index} is not the one its entry names")
    try:
        body = msgspec.json.decode(salted[SALT_BYTES:], type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise RecordError(f"the body of entry {index} is not a JSON object") from None
    return Record(index, entry.time_ns, entry.kind, body)

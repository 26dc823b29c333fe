"""Signed notes with Ed25519 keys (c2sp.org/signed-note). Pure."""

import base64
import binascii
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fileroom.errors import IntegrityError

SIZE_BYTES_MAX = 1 << 20
SIGNATURES_MAX = 100
ED25519 = b"\x01"  # signature type of a plain Ed25519 key
KEY_ID_BYTES = 4


class NoteError(IntegrityError):
    """The note is malformed, or not signed as it must be. Its text is not to be used."""


class VerifierKey(NamedTuple):
    """A name and the Ed25519 public key that signs under it."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        encoded = base64.b64encode(ED25519 + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read `<name>+<key id>+<base64 of type and key>`.

        Raises:
            NoteError: it is misspelled, of another type, or its key id is not its own.
        """
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        material = _decoded(encoded)
        if not is_key_name(name) or len(material) != 33 or material[:1] != ED25519:
            raise NoteError(f"a verifier key of {len(text)} characters is no Ed25519 key")
        key = cls(name, material[1:])
        if key.key_id.hex() != key_id:
            raise NoteError("the verifier key's id is not the one of its name and key")
        return key

    @classmethod
    def of_seed(cls, name: str, seed: bytes) -> "VerifierKey":
        """The key whose private seed (RFC 8032 §5.1.5) is `seed`."""
        private_key = Ed25519PrivateKey.from_private_bytes(seed)
        return cls(name, private_key.public_key().public_bytes_raw())


def is_key_name(name: str) -> bool:
    """Whether `name` may stand on a signature line: not empty, no white space, no plus."""
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name)


def sign(text: str, *, name: str, seed: bytes) -> bytes:
    """The note of `text`, which ends with a newline, signed with one Ed25519 key."""
    assert text.endswith("\n")
    assert is_key_name(name)
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(text.encode())
    encoded = base64.b64encode(VerifierKey.of_seed(name, seed).key_id + signature).decode()
    return f"{text}\n— {name} {encoded}\n".encode()


def verified_text(note: bytes, keys: Sequence[VerifierKey]) -> str:
    """The text of a note that at least one of `keys` has signed.

    Raises:
        NoteError: malformed; or no signature of a known key; or a known key's does not verify.
    """
    text, signatures = _parse(note)
    known = {(key.name, key.key_id): key for key in keys}
    verified = 0
    for name, material in signatures:
        key = known.get((name, material[:KEY_ID_BYTES]))
        if key is None:
            continue
        try:
            public_key = Ed25519PublicKey.from_public_bytes(key.public_key)
            public_key.verify(material[KEY_ID_BYTES:], text.encode())
        except InvalidSignature:
            raise NoteError("the signature of a known key does not verify") from None
        verified += 1
    if not verified:
        raise NoteError(f"none of {len(signatures)} signatures is by a known key")
    return text


def _parse(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > SIZE_BYTES_MAX:
        raise NoteError(f"a note of {len(note)} B is over our {SIZE_BYTES_MAX} B")
    try:
        decoded = note.decode()
    except UnicodeDecodeError:
        raise NoteError("a note must be UTF-8") from None
    if any(c < " " and c != "\n" for c in decoded):
        raise NoteError("a note must hold no control character but the newline")
    body, blank, tail = decoded.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise NoteError("a note ends with a blank line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteError(f"{len(lines)} signatures are over our {SIGNATURES_MAX}")
    return body + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    material = _decoded(encoded)
    if dash != "—" or not is_key_name(name) or len(material) <= KEY_ID_BYTES:
        raise NoteError("a signature line is malformed")
    return name, material


def _decoded(text: str) -> bytes:
    """The bytes of strict base64 text; empty where it is none."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return decoded if base64.b64encode(decoded).decode() == text else b""

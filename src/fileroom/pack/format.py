"""What docs/format/pack.md fixes: names, sizes, limits, the 40-byte header, the pack key. Pure."""

import re

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fileroom.errors import IntegrityError, RefusedError

ASSOCIATED_DATA = b"fileroom-pack-v1"
MAJOR, MINOR = 1, 0

KEY_SIZE_BYTES = 32
SALT_SIZE_BYTES = 32
NONCE_PREFIX_SIZE_BYTES = 7
HEADER_SIZE_BYTES = 1 + SALT_SIZE_BYTES + NONCE_PREFIX_SIZE_BYTES
SEGMENT_SIZE_BYTES = 65_536
TAG_SIZE_BYTES = 16
SEGMENT_COUNT_MAX = 1 << 32

METADATA_NAME = "metadata.json"
INSTANCE_COUNT_MAX = 999_999
MEMBER_COUNT_MAX = 1_000_000
METADATA_SIZE_BYTES_MAX = 256 << 20
METADATA_FULL_BYTES = 32 << 20
DICOM_JSON_SIZE_BYTES_MAX = 32 << 20

_OBJECT_NAME = re.compile(r"packs/([0-9a-f]{32})/([0-9a-f]{64})", re.ASCII)


class DamagedPackError(IntegrityError):
    """These bytes are not the pack that was sealed: changed, cut, swapped, or under another key."""


class NewerPackError(RefusedError):
    """A later program wrote this pack in a form that this one does not know."""


class PackFullError(RefusedError):
    """The instance does not fit into this pack; nothing of it was written. Start another."""


def object_name(study_key_id: bytes, sha256: bytes) -> str:
    """The object's name at a provider: the key it is sealed with and the digest of its bytes."""
    assert len(study_key_id) == 16
    assert len(sha256) == 32
    return f"packs/{study_key_id.hex()}/{sha256.hex()}"


def parse_object_name(name: str) -> tuple[bytes, bytes] | None:
    """Study key id and SHA-256 from an object's name, or None if it is not a pack's."""
    found = _OBJECT_NAME.fullmatch(name)
    return (bytes.fromhex(found[1]), bytes.fromhex(found[2])) if found else None


def instance_name(ordinal: int) -> str:
    """The member's name for the instance at `ordinal`, which counts from 0; names count from 1."""
    return f"instances/{ordinal + 1:06d}.dcm"


def new_header(salt: bytes, nonce_prefix: bytes) -> bytes:
    """The 40 bytes before segment 0. Salt and prefix must be random and never used before."""
    assert len(salt) == SALT_SIZE_BYTES
    assert len(nonce_prefix) == NONCE_PREFIX_SIZE_BYTES
    return bytes((HEADER_SIZE_BYTES,)) + salt + nonce_prefix


def split_header(header: bytes) -> tuple[bytes, bytes]:
    """Salt and nonce prefix of a header.

    Raises:
        DamagedPackError: not 40 bytes that begin with 28H.
    """
    if len(header) != HEADER_SIZE_BYTES or header[0] != HEADER_SIZE_BYTES:
        raise DamagedPackError(f"a pack's header is 40 bytes from 28H on, not {len(header)} bytes")
    return header[1 : 1 + SALT_SIZE_BYTES], header[1 + SALT_SIZE_BYTES :]


def pack_key(study_key: bytes, salt: bytes) -> bytes:
    """The key of one pack's segments (docs/format/pack.md §2)."""
    assert len(study_key) == KEY_SIZE_BYTES
    derivation = HKDF(SHA256(), length=KEY_SIZE_BYTES, salt=salt, info=ASSOCIATED_DATA)
    return derivation.derive(study_key)

"""One key encrypted under another: docs/format/keyring.md §1. Pure.

A wrap names what it wraps, so that the ledger's key cannot be passed off as the spool's, nor one
study's key as another's.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fileroom.keys.port import DamagedKeyError

KEY_SIZE_BYTES = 32
NONCE_SIZE_BYTES = 12
WRAPPED_SIZE_BYTES = NONCE_SIZE_BYTES + KEY_SIZE_BYTES + 16


def context_of(*lines: str) -> bytes:
    """The associated data of a wrap. Only the last line may hold a line end."""
    assert not any("\n" in line for line in lines[:-1])
    return "\n".join(("fileroom-keyring-v1", *lines)).encode()


def wrap(by: bytes, key: bytes, *, context: bytes, nonce: bytes) -> bytes:
    """`key` under `by`, 60 bytes. `nonce` is 12 random bytes."""
    assert len(key) == KEY_SIZE_BYTES
    assert len(nonce) == NONCE_SIZE_BYTES
    return nonce + AESGCM(by).encrypt(nonce, key, context)


def unwrap(by: bytes, wrapped: bytes, *, context: bytes) -> bytes:
    """The key inside `wrapped`.

    Raises:
        DamagedKeyError: changed bytes, another wrapping key, or wrapped as something else.
    """
    if len(wrapped) != WRAPPED_SIZE_BYTES:
        raise DamagedKeyError(f"a wrapped key is {WRAPPED_SIZE_BYTES} B long, not {len(wrapped)}")
    nonce, sealed = wrapped[:NONCE_SIZE_BYTES], wrapped[NONCE_SIZE_BYTES:]
    try:
        return AESGCM(by).decrypt(nonce, sealed, context)
    except InvalidTag:
        raise DamagedKeyError("a wrapped key does not open") from None

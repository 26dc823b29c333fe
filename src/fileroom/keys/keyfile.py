"""The key port of the embedded set-up: a passphrase, by hand or from a credential file."""

import os
import unicodedata
from collections.abc import Callable
from hashlib import pbkdf2_hmac
from struct import Struct

from fileroom.keys.port import DamagedKeyError, WrongSecretError
from fileroom.keys.wrapping import NONCE_SIZE_BYTES, WRAPPED_SIZE_BYTES, unwrap, wrap

VERSION = 1
ITERATIONS_MIN = 600_000
ITERATIONS_MAX = 10_000_000
SALT_SIZE_BYTES = 16
HEAD = Struct(f">BI{SALT_SIZE_BYTES}s")  # docs/format/keyring.md §3


class KeyFile:
    """Wraps by a key derived from a passphrase (PBKDF2-HMAC-SHA-256, SP 800-132 §5.3).

    Args:
        passphrase: any text but an empty one; composed and decomposed accents are the same.
        iterations: of new wraps. Fewer than the default are for tests.
    """

    name = "passphrase"

    def __init__(self, passphrase: str, *, iterations: int = ITERATIONS_MIN) -> None:
        if not passphrase:
            raise WrongSecretError("the passphrase is empty")
        assert 0 < iterations <= ITERATIONS_MAX
        self._passphrase = unicodedata.normalize("NFC", passphrase).encode()
        self._iterations = iterations

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        salt = os.urandom(SALT_SIZE_BYTES)
        derived = self._derive(salt, self._iterations)
        wrapped = wrap(derived, key, context=context, nonce=os.urandom(NONCE_SIZE_BYTES))
        return HEAD.pack(VERSION, self._iterations, salt) + wrapped

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        if len(wrapped) != HEAD.size + WRAPPED_SIZE_BYTES:
            raise DamagedKeyError(f"a passphrase blob of {len(wrapped)} B")
        version, iterations, salt = HEAD.unpack_from(wrapped)
        # The count comes from a bucket: it must not be able to keep a node busy for days.
        if version != VERSION or not 0 < iterations <= ITERATIONS_MAX:
            raise DamagedKeyError(f"a passphrase blob of version {version}, {iterations} rounds")
        try:
            derived = self._derive(salt, iterations)
            return unwrap(derived, wrapped[HEAD.size :], context=context)
        except DamagedKeyError:
            # Its object's digest is right, so the bytes are those that were written.
            raise WrongSecretError("the passphrase does not open the site key") from None

    def _derive(self, salt: bytes, iterations: int) -> bytes:
        return pbkdf2_hmac("sha256", self._passphrase, salt, iterations)


class LazyKeyFile:
    """A `KeyFile` whose passphrase is read when a key is asked for, each time anew.

    So what is wrong with the keyring itself is told also while there is no passphrase.

    Args:
        read: gives the passphrase; raises KeysLockedError where there is none now.
    """

    name = KeyFile.name

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        return KeyFile(self._read()).wrap(key, context=context)

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        return KeyFile(self._read()).unwrap(wrapped, context=context)

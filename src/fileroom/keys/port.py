"""The key port: who wraps the site key, and what can go wrong with keys."""

from typing import Protocol

from fileroom.errors import IntegrityError, RefusedError, TransientError


class KeysLockedError(TransientError):
    """The keeper of the site key cannot be asked now. The node stays up and refuses work."""


class WrongSecretError(RefusedError):
    """The passphrase or recovery key is not the one this keyring was made with."""


class NewerKeyringError(RefusedError):
    """A later program wrote this key object in a form that this one does not know."""


class KeyringExistsError(RefusedError):
    """There is a keyring in this folder; making another would orphan every pack."""


class KeyMissingError(IntegrityError):
    """No object holds this study key here. Its packs cannot be opened until one is brought back."""


class DamagedKeyError(IntegrityError):
    """A key object is not what was written, or another site key wraps it."""


class KeyEncryption(Protocol):
    """A keeper of one key that never leaves it, asked once at start."""

    @property
    def name(self) -> str:
        """What the site object calls this port (docs/format/keyring.md §2)."""
        ...

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Encrypt a 32-byte key so that only the same `context` opens it.

        Raises:
            KeysLockedError: the keeper cannot be reached.
        """
        ...

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """The key that `wrap` was given.

        Raises:
            KeysLockedError: the keeper cannot be reached.
            WrongSecretError: it does not hold the key that wrapped this, or as something else.
        """
        ...

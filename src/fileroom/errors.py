"""The error families. What a caller should do is the type; what happened is the message."""

from typing import Any


class FileroomError(Exception):
    """The root of every error this package raises on purpose. Never raised itself.

    Every error survives a copy and the way to another process, whatever its `__init__` asks for:
    one that does not ends the worker process's pool instead of telling what is wrong.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (type(self), self.args, self.__dict__)


class RefusedError(FileroomError):
    """The request is well formed and the answer is no. Do not retry; tell the asker why."""


class PeerError(FileroomError):
    """The other side broke its protocol. Close this conversation; others go on."""


class TransientError(FileroomError):
    """It may work later, unchanged. Only the stage's own schedule retries it."""


class UncertainError(FileroomError):
    """It may have happened. Find out before doing it again (see provider.readback)."""


class IntegrityError(FileroomError):
    """Stored bytes are not the bytes that were stored. Never retried, never skipped:
    the copy is marked suspect, the ledger says so, and repair is from another copy."""


def _remade(kind: type[FileroomError], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(named)
    return error

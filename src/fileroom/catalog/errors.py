"""What can go wrong with the catalog, by what the caller should do."""

from fileroom.errors import IntegrityError, RefusedError, TransientError


class CatalogMissingError(RefusedError):
    """There is no catalog file. Create one and rebuild it from spool, packs and ledger."""


class CatalogUnreadableError(IntegrityError):
    """The file is damaged, half made, or of another key. Set it aside and rebuild.

    Once the open catalog has raised this, it goes on raising it: the file is given up.
    """


class NewerCatalogError(RefusedError):
    """A newer program has written the catalog; this one must not touch it."""


class SchemaChangedError(RefusedError):
    """A migration that was applied is not the one this program carries under its number."""


class CatalogBusyError(TransientError):
    """Another process held the write lock for too long, or the catalog is closed."""


class CatalogFullError(TransientError):
    """The disk had no room; the transaction has left nothing."""


class IllegalMoveError(RefusedError):
    """A state does not lead to that one (see lifecycle.py)."""


class StateMovedError(TransientError):
    """The row is no longer in the state that the caller saw. Look again."""


class StaleLeaseError(TransientError):
    """The lease has gone to another holder; whatever was done under it does not count."""


class NotInCatalogError(RefusedError):
    """No row has that number."""


class AlreadyStoredError(TransientError):
    """A member's UID got an instance row meanwhile. Ask `existing` again and decide anew."""


class SpoolPlaceError(IntegrityError):
    """Two different instances were recorded at one place of the spool."""


class SegmentInUseError(RefusedError):
    """The segment still holds instances that lie nowhere else."""


class SearchTooBroadError(RefusedError):
    """Finding the answer needs more rows than one search may look at. Narrow the search."""


class UnmatchableError(RefusedError):
    """The catalog does not keep that attribute at that level."""

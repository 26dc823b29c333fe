"""Promised: the storage commitments that a stretch of the ledger tells of."""

from typing import TypeAlias

from fileroom.audit.event import CommitmentReported, CommitmentRequested
from fileroom.catalog.commitments import (
    REPORTED_KEPT_NS,
    CatalogCommitments,
    NewCommitment,
    ReportedCommitment,
)
from fileroom.catalog.references import Folded, unfolded

Key: TypeAlias = tuple[str, str]  # AE title, Transaction UID


class Promised:
    """Fed with the ledger's events in order; then gives the catalog what came of them.

    Invariant: holds what is open, and of what is over one week; so that the ledger of years fits.
    """

    def __init__(self) -> None:
        self._open: dict[Key, NewCommitment] = {}
        self._over: dict[Key, ReportedCommitment] = {}
        self._parts: dict[tuple[Key, str], dict[int, Folded]] = {}

    def requested(self, told: CommitmentRequested) -> None:
        """Take a part of a request. Parts of one that was never answered stay without effect."""
        key = (told.ae_title, told.transaction_uid)
        parts = self._parts.setdefault((key, told.referenced_sha256), {})
        parts[told.part] = told.references
        if len(parts) < told.parts:
            return
        del self._parts[key, told.referenced_sha256]
        self._over.pop(key, None)
        references = {each for part in parts.values() for each in unfolded(part)}
        self._open[key] = NewCommitment(
            ae_title=told.ae_title,
            transaction_uid=told.transaction_uid,
            references=tuple(sorted(references)),
            requested_at_ns=told.requested_at_ns,
        )

    def reported(self, told: CommitmentReported) -> None:
        """Take the end of one."""
        key = (told.ae_title, told.transaction_uid)
        self._open.pop(key, None)
        self._over.pop(key, None)
        self._over[key] = ReportedCommitment(
            ae_title=told.ae_title,
            transaction_uid=told.transaction_uid,
            referenced_sha256=bytes.fromhex(told.referenced_sha256),
            requested_at_ns=told.requested_at_ns,
            reported_at_ns=told.reported_at_ns,
        )
        while (first := next(iter(self._over.values()))).reported_at_ns < (
            told.reported_at_ns - REPORTED_KEPT_NS
        ):
            del self._over[first.ae_title, first.transaction_uid]

    def record(self, catalog: CatalogCommitments) -> None:
        """Let the catalog know. Twice does no harm."""
        for over in self._over.values():
            catalog.record_reported(over)
        for open_ in self._open.values():
            catalog.record_commitment(open_)

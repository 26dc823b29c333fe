"""Decisions about what is stored, as bodies of the ledger: docs/format/ledger.md §8. Pure.

The ledger is their truth: each commits when it is appended, and is applied to the catalog after.
"""

import msgspec

from fileroom.audit.body import Event

CONFLICT_SETTLED = "conflict.settled"


class By(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides, by which door."""

    principal_kind: str
    principal: str
    address: str
    channel: str


class Decided(Event, frozen=True, kw_only=True):
    """Somebody decides. `reason` is their own words, which may name a patient."""

    by: By
    reason: str
    decided_at_ns: int


class KnownDataSet(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A data set in a pack. Both are write-once, so that this stays true.

    Attributes:
        pack: SHA-256 of the pack, hexadecimal.
        ordinal: its index among the pack's instances, from 0.
        sha256: of the data set as it came, hexadecimal; "" where no copy could be read.
    """

    pack: str
    ordinal: int
    sha256: str


class ConflictSettled(Decided, frozen=True, kw_only=True):
    """Which of the data sets under a SOP Instance UID is served from now on.

    Attributes:
        served_sha256: of that data set as it came, hexadecimal.
        known: all that were in packs when it was decided, in order. What comes later is a new
            conflict.
    """

    sop_instance_uid: str
    served_sha256: str
    known: tuple[KnownDataSet, ...]

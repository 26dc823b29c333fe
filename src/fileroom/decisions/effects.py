"""What each decision does to the catalog: the one way, when it is taken and at a later start."""

from collections.abc import Callable, Mapping
from typing import Any

from fileroom.audit.decided import ConflictSettled, Decided, KnownDataSet
from fileroom.audit.rejected import InstancesRejected, InstancesRestored
from fileroom.catalog.conflicts import KnownPlace, Settlement
from fileroom.catalog.port import Catalog
from fileroom.catalog.rejections import Rejection, Scope
from fileroom.dicom.uid import digest


def _settle(catalog: Catalog, index: int, decided: ConflictSettled) -> None:
    catalog.record_settlement(
        Settlement(
            uid_digest=digest(decided.sop_instance_uid),
            served_sha256=bytes.fromhex(decided.served_sha256),
            known=tuple(_known(each) for each in decided.known),
            ledger_index=index,
            decided_at_ns=decided.decided_at_ns,
            decided_by=decided.by.principal,
            reason=decided.reason,
        )
    )


def _known(told: KnownDataSet) -> KnownPlace:
    return KnownPlace(bytes.fromhex(told.pack), told.ordinal, bytes.fromhex(told.sha256))


def _reject(catalog: Catalog, index: int, decided: InstancesRejected) -> None:
    note = decided.note_sop_instance_uid
    catalog.record_rejected(
        Rejection(
            ledger_index=index,
            scope=_scope(decided),
            code=decided.code,
            reason=decided.reason,
            decided_by=decided.by.principal,
            decided_at_ns=decided.decided_at_ns,
            note_uid=note,
            ends_note=bool(note) and decided.part == decided.parts - 1,
        )
    )


def _restore(catalog: Catalog, index: int, decided: InstancesRestored) -> None:
    catalog.record_restored(_scope(decided), everything=decided.everything)


def _scope(decided: InstancesRejected | InstancesRestored) -> Scope:
    return Scope(decided.study_instance_uid, decided.series_instance_uid, decided.sop_instance_uids)


EFFECTS: Mapping[type[Decided], Callable[[Catalog, int, Any], None]] = {
    ConflictSettled: _settle,
    InstancesRejected: _reject,
    InstancesRestored: _restore,
}


def apply(catalog: Catalog, index: int, decided: Decided) -> None:
    """Let the catalog know of a decision. Twice, and before what it is about is known, does no
    harm.

    Args:
        index: of its entry in the ledger.
    """
    EFFECTS[type(decided)](catalog, index, decided)

"""References of a storage commitment as JSON keeps them: UIDs that begin alike, the beginning once.

Instances of one series mostly have UIDs that differ in their last component, so that one costs a
few bytes. Pure.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TypeAlias

from fileroom.dicom.commitment import Reference

Folded: TypeAlias = dict[str, dict[str, list[str]]]
"""SOP Class UID to the instance UIDs without their last component, to the last components."""


def folded(references: Iterable[Reference]) -> Folded:
    """The references as JSON; `unfolded` gives them back in order."""
    told: Folded = {}
    for sop_class_uid, sop_instance_uid in references:
        stem, _, last = sop_instance_uid.rpartition(".")
        told.setdefault(sop_class_uid, {}).setdefault(stem, []).append(last)
    return told


def unfolded(told: Mapping[str, Mapping[str, Iterable[str]]]) -> tuple[Reference, ...]:
    """The references, each once and in order."""
    found = {
        Reference(sop_class_uid, f"{stem}.{last}" if stem else last)
        for sop_class_uid, stems in told.items()
        for stem, lasts in stems.items()
        for last in lasts
    }
    return tuple(sorted(found))


def digest_of(references: Iterable[Reference]) -> bytes:
    """SHA-256 by which two requests are known to be about the same, the references in order."""
    lines = (f"{sop_class_uid} {uid}\n" for sop_class_uid, uid in references)
    return sha256("".join(lines).encode()).digest()

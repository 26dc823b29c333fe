"""Standing: which data set under a SOP Instance UID is served, and what the others are. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from fileroom.catalog.rows import InstancePlace, Standing

OWN = 0  # in place of a pack's number, before it has one; packs count from 1


class DataSet(NamedTuple):
    """One of the data sets in packs under one SOP Instance UID.

    Attributes:
        sha256: of the data set as it came, hexadecimal; "" where its pack cannot be read.
        received_at: as `pack.metadata.timestamp` writes it, so that texts sort by time.
        conflict: whether it was decided at sealing that another one is served.
        replacement: whether it was decided at sealing that this one is, because what came before
            could not be read any more.
    """

    place: InstancePlace
    sha256: str
    received_at: str
    conflict: bool
    replacement: bool = False


def standings(data_sets: Sequence[DataSet]) -> dict[InstancePlace, Standing]:
    """How each of them stands, in whatever order their packs were found (invariant 8).

    The first that came is served, but never one that sealing called a conflict: the one that was
    served then may lie where nobody can look just now. Where sealing found that what came before
    could not be read, the last that took its place is served. Equal bytes are one instance, however
    often they lie in packs. What cannot be read is equal to nothing, and older than all.
    """
    by_age = sorted(
        data_sets, key=lambda each: (each.conflict, each.received_at, each.place.pack == OWN, each)
    )
    if replacements := [each for each in by_age if each.replacement]:
        by_age.remove(replacements[-1])
        by_age.insert(0, replacements[-1])
    found: dict[InstancePlace, Standing] = {}
    seen: set[str] = set()
    for number, each in enumerate(by_age):
        if number == 0 and not each.conflict:
            found[each.place] = Standing.SERVED
        else:
            found[each.place] = Standing.REPEATED if each.sha256 in seen else Standing.CONFLICT
        if each.sha256:
            seen.add(each.sha256)
    return found

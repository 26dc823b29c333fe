"""When a pack's copies are enough to be COMMITTED. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

ONE_COPY_SAME_DISK = "one copy, same disk"


class Rule(NamedTuple):
    """How many providers must hold a verified copy of the pack and of its wrapped keys."""

    copies_min: int


class Site(NamedTuple):
    """What is known of where a provider keeps its bytes.

    Attributes:
        disk: names the disk; two providers of one disk are one. Empty: a service or machine that
            shares no disk with another provider.
        own_disk: whether it is the disk of the node's own data folder.
    """

    disk: str
    own_disk: bool


class Placement(NamedTuple):
    """Whether the pack may be COMMITTED, why, and what status must say beside it.

    Attributes:
        providers: those whose copies count, by name.
    """

    committed: bool
    reason: str
    warnings: tuple[str, ...]
    providers: tuple[str, ...]


def decide(
    *,
    copies: Iterable[str],
    key_copies: Iterable[str],
    site_key_copies: Iterable[str],
    rule: Rule,
    sites: Mapping[str, Site],
) -> Placement:
    """Decide about one pack.

    A provider counts when it holds all three: a pack whose keys lie elsewhere is lost with
    either. Copies on one disk count once. A provider whose site is not known does not count.

    Args:
        copies: providers with a verified copy of the pack.
        key_copies: providers with a verified copy of its wrapped study key.
        site_key_copies: providers with a verified copy of the newest wrapped site key.
    """
    assert rule.copies_min >= 1
    packs, keys, site_keys = set(copies), set(key_copies), set(site_key_copies)
    whole = sorted(packs & keys & site_keys & set(sites))
    holders: dict[str, str] = {}
    for provider in whole:
        disk = sites[provider].disk
        holders.setdefault(f"disk {disk}" if disk else f"provider {provider}", provider)
    providers = tuple(sorted(holders.values()))
    count = len(providers)
    warnings: tuple[str, ...] = ()
    if whole and all(sites[provider].own_disk for provider in whole):
        warnings = (ONE_COPY_SAME_DISK,)
    if count >= rule.copies_min:
        reason = f"{count} of {rule.copies_min} verified copies with their keys"
        return Placement(True, reason, warnings, providers)
    lacking = [
        f"{count} of {rule.copies_min} verified copies with their keys",
        *([f"{len(packs - keys)} without their key"] if packs - keys else []),
        *([f"{len(packs - site_keys)} without the site key"] if packs - site_keys else []),
        *([f"{len(whole) - count} on a disk that counts already"] if len(whole) > count else []),
        *([f"{len(packs - set(sites))} of unknown site"] if packs - set(sites) else []),
    ]
    return Placement(False, ", ".join(lacking), warnings, providers)

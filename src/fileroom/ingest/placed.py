"""Placed: what placement says of a pack by the verified copies that the catalog knows now."""

from collections.abc import Iterable, Mapping

from fileroom.catalog.lifecycle import CopyState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import CopyRow, KeyCopyRow, PackRow
from fileroom.keys.objects import SITE_KEY
from fileroom.policy import placement


def placed(
    catalog: Catalog,
    pack: PackRow,
    *,
    rule: placement.Rule,
    sites: Mapping[str, placement.Site],
) -> placement.Placement:
    """Whether the providers in use hold enough verified copies of a pack and of its keys."""
    site_keys = catalog.key_copies(SITE_KEY)
    # An older one opens by a passphrase that was replaced.
    newest = max((each.generation for each in site_keys), default=0)
    return placement.decide(
        copies=_verified(catalog.copies(pack.number)),
        key_copies=_verified(catalog.key_copies(pack.study_key_id)),
        site_key_copies=_verified(each for each in site_keys if each.generation == newest),
        rule=rule,
        sites=sites,
    )


def _verified(copies: Iterable[CopyRow | KeyCopyRow]) -> list[str]:
    return [each.provider for each in copies if each.state is CopyState.VERIFIED]

"""Placed: what placement says of a pack by the verified copies that the catalog knows now."""

from collections.abc import Mapping

from fileroom.catalog.lifecycle import CopyState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import PackRow
from fileroom.policy import placement


def placed(
    catalog: Catalog,
    pack: PackRow,
    *,
    rule: placement.Rule,
    sites: Mapping[str, placement.Site],
) -> placement.Placement:
    """Whether the providers in use hold enough verified copies of a pack and of its key."""
    keys = catalog.key_copies(pack.study_key_id)
    return placement.decide(
        copies=[
            each.provider
            for each in catalog.copies(pack.number)
            if each.state is CopyState.VERIFIED
        ],
        key_copies=[each.provider for each in keys if each.state is CopyState.VERIFIED],
        rule=rule,
        sites=sites,
    )

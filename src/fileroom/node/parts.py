"""What a node is put together from: `assemble` opens it, `wiring` gives it out."""

from collections.abc import Mapping
from dataclasses import dataclass

from fileroom.catalog.batch import Intake
from fileroom.catalog.port import Catalog
from fileroom.clock import Clock
from fileroom.disk import Disk
from fileroom.ingest.workshop import Workshop
from fileroom.keys.keyring import Keyring
from fileroom.ledger.log import Ledger
from fileroom.link.metered import Meter
from fileroom.node.folder import Folder
from fileroom.node.settings import Settings
from fileroom.policy import placement
from fileroom.provider.port import Provider
from fileroom.spool.landing import Spool


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The stores and services of a node, open."""

    settings: Settings
    folder: Folder
    node_id: str
    disk: Disk
    clock: Clock
    keyring: Keyring
    catalog: Catalog
    ledger: Ledger
    spool: Spool
    intake: Intake
    meter: Meter
    providers: Mapping[str, Provider]
    sites: Mapping[str, placement.Site]
    workshop: Workshop

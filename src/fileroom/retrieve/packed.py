"""Data sets in packs by place, for whoever has to compare with what is stored already."""

import asyncio

from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import InstancePlace, PackRow
from fileroom.errors import IntegrityError
from fileroom.pack.metadata import Instance
from fileroom.retrieve.packs import PackSource


class PackedDataSets:
    """Reads what packs hold, wherever they lie."""

    def __init__(self, catalog: Catalog, packs: PackSource) -> None:
        self._catalog = catalog
        self._packs = packs

    async def sha256(self, place: InstancePlace) -> bytes:
        """SHA-256 of the data set as it came. Raises UnavailableError, IntegrityError."""
        _, instance = await self._found(place)
        return bytes.fromhex(instance.original_sha256)

    async def data_set(
        self, place: InstancePlace, *, size_bytes_max: int
    ) -> tuple[str, bytes | None]:
        """Transfer Syntax UID and bytes; no bytes where there are more than `size_bytes_max`.

        Raises:
            UnavailableError, IntegrityError
        """
        pack, instance = await self._found(place)
        start = instance.start + instance.dataset_offset
        if instance.end - start > size_bytes_max:
            return instance.transfer_syntax_uid, None
        data = await self._packs.read(pack, start, instance.end)
        return instance.transfer_syntax_uid, data

    async def _found(self, place: InstancePlace) -> tuple[PackRow, Instance]:
        packs = await asyncio.to_thread(self._catalog.packs, numbers=[place.pack], limit=1)
        if not packs:
            raise IntegrityError(f"an instance lies in pack {place.pack}, which has no row")
        metadata = await self._packs.metadata(packs[0])
        if place.ordinal >= len(metadata.instances):
            raise IntegrityError(f"pack {place.pack} has no instance {place.ordinal}")
        return packs[0], metadata.instances[place.ordinal]

"""Data sets in packs by place, for whoever has to compare with what is stored already."""

import asyncio
from collections.abc import Collection, Sequence

from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import InstancePlace, PackRow
from fileroom.errors import IntegrityError
from fileroom.pack.metadata import Instance, Metadata
from fileroom.retrieve.packs import PackSource

VOUCHED = (PackState.VERIFIED, PackState.COMMITTED)


class PackedDataSets:
    """Reads what packs hold, wherever they lie.

    All of it raises UnavailableError while no copy can be reached, and IntegrityError where none
    holds what was sealed or none is at a provider in use.

    Args:
        in_use: names of the providers.
    """

    def __init__(self, catalog: Catalog, packs: PackSource, *, in_use: Collection[str]) -> None:
        self._catalog = catalog
        self._packs = packs
        self._in_use = in_use

    async def sha256(self, place: InstancePlace) -> bytes:
        """SHA-256 of the data set as it came, by the pack's own word."""
        _, instance = await self._found(place)
        return bytes.fromhex(instance.original_sha256)

    async def data_set(
        self, place: InstancePlace, *, size_bytes_max: int
    ) -> tuple[str, bytes | None]:
        """Transfer Syntax UID and bytes; no bytes where there are more than `size_bytes_max`."""
        pack, instance = await self._found(place)
        start = instance.start + instance.dataset_offset
        if instance.end - start > size_bytes_max:
            return instance.transfer_syntax_uid, None
        data = await self._packs.read(pack, start, instance.end)
        return instance.transfer_syntax_uid, data

    async def check(self, place: InstancePlace) -> None:
        """Return if the data set can be read back.

        Every byte of it is read, unless its pack was evicted and has a verified copy: else an
        archive that is sent again as a whole would be read as a whole from its providers. A read
        that goes wrong makes a pack AT_RISK, of which nothing is taken on trust.
        """
        pack, instance = await self._found(place)
        if not pack.local and pack.state in VOUCHED and CopyState.VERIFIED in await self._at(pack):
            return
        start = instance.start + instance.dataset_offset
        if (await self._packs.digest(pack, start, instance.end)).hex() != instance.stored_sha256:
            raise IntegrityError(f"instance {place.ordinal} of pack {place.pack} is another one")

    async def _at(self, pack: PackRow) -> set[CopyState]:
        """The states of its copies at the providers in use."""
        copies = await asyncio.to_thread(self._catalog.copies, pack.number)
        return {each.state for each in copies if each.provider in self._in_use}

    async def members(self, pack: int) -> Sequence[Instance]:
        """What a pack says of its instances, by ordinal."""
        return (await self.metadata(pack)).instances

    async def metadata(self, pack: int) -> Metadata:
        """All that a pack says of itself."""
        return (await self._opened(pack))[1]

    async def _found(self, place: InstancePlace) -> tuple[PackRow, Instance]:
        pack, metadata = await self._opened(place.pack)
        members = metadata.instances
        if place.ordinal >= len(members):
            raise IntegrityError(f"pack {place.pack} has no instance {place.ordinal}")
        return pack, members[place.ordinal]

    async def _opened(self, number: int) -> tuple[PackRow, Metadata]:
        packs = await asyncio.to_thread(self._catalog.packs, numbers=[number], limit=1)
        if not packs:
            raise IntegrityError(f"an instance lies in pack {number}, which has no row")
        (pack,) = packs
        if not pack.local and not await self._at(pack):
            raise IntegrityError(f"no provider in use has a copy of pack {number}")
        return pack, await self._packs.metadata(pack)

"""Adopt: a pack that the catalog does not know gets its rows from its own metadata."""

from collections.abc import Callable, Sequence

import msgspec

from fileroom.catalog.lifecycle import PackState
from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import NewPack, Sealed, SpooledRow
from fileroom.clock import Clock
from fileroom.dicom.header import Header
from fileroom.dicom.uid import digest
from fileroom.errors import IntegrityError
from fileroom.pack.format import HEADER_SIZE_BYTES
from fileroom.pack.metadata import Instance, Metadata, timestamp_ns
from fileroom.pack.reader import PackReader

Read = Callable[[int, int], bytes]
EVERYTHING_BYTES = 1 << 62


class FoundPack(msgspec.Struct, frozen=True, kw_only=True):
    """A pack that lies somewhere under its name.

    Attributes:
        read: gives its ciphertext bytes [start, end).
        local: whether the file lies on this node's disk.
    """

    sha256: bytes
    study_key_id: bytes
    size_bytes: int
    local: bool
    read: Read


class Opened(msgspec.Struct, frozen=True):
    """A found pack whose metadata could be read with its study key."""

    found: FoundPack
    tink_header: bytes
    plaintext_size_bytes: int
    metadata: Metadata
    metadata_range: tuple[int, int]
    received_oldest_ns: int


def open_pack(found: FoundPack, *, study_key: bytes) -> Opened:
    """Read the metadata of a pack through the end of the pack, which proves its size.

    Raises:
        IntegrityError: it is not the pack that was sealed with this key.
        NewerPackError: a later program wrote it.
    """
    if found.size_bytes <= HEADER_SIZE_BYTES:
        raise IntegrityError(f"no pack is {found.size_bytes} B long")
    tink_header = bytes(found.read(0, HEADER_SIZE_BYTES))
    reader = PackReader(
        found.read, key=study_key, tink_header=tink_header, size_bytes=found.size_bytes
    )
    metadata = reader.metadata()
    if not metadata.instances:
        raise IntegrityError("a pack without instances")
    return Opened(
        found=found,
        tink_header=tink_header,
        plaintext_size_bytes=reader.plaintext_size_bytes,
        metadata=metadata,
        metadata_range=reader.metadata_range(),
        received_oldest_ns=min(timestamp_ns(each.received_at) for each in metadata.instances),
    )


class Adopter:
    """Records packs. Call with the oldest first, since the first under a UID is served."""

    def __init__(self, *, catalog: Catalog, clock: Clock, node_id: str) -> None:
        self._catalog = catalog
        self._clock = clock
        self._node_id = node_id

    def adopt(self, opened: Opened) -> int:
        """Record the pack's patient, study, series and instances; return its number.

        Spooled rows of the very same data sets are settled by it: a crash between naming the
        file and recording it is healed here.
        """
        metadata, found = opened.metadata, opened.found
        place = self._catalog.record_series(
            metadata.partition, header_of(metadata, metadata.instances[0])
        )
        self._catalog.set_study_key(place.study, found.study_key_id)
        waiting = {
            (row.uid_digest, row.sha256): row
            for row in self._catalog.spooled_of_series(place.series, bytes_max=EVERYTHING_BYTES)
        }
        members, conflicts = self._sorted(metadata.instances, waiting)
        start, end = opened.metadata_range
        pack = NewPack(
            study=place.study,
            series=place.series,
            sha256=found.sha256,
            study_key_id=found.study_key_id,
            tink_header=opened.tink_header,
            size_bytes=found.size_bytes,
            plaintext_size_bytes=opened.plaintext_size_bytes,
            metadata_offset=start,
            metadata_size_bytes=end - start,
            received_oldest_ns=opened.received_oldest_ns,
            sealed_at_ns=self._clock.wall_ns(),
            node_id=self._node_id,
            state=PackState.SEALED if found.local else PackState.REPLICATED,
            local=found.local,
        )
        return self._catalog.record_sealed(pack, members=members, conflicts=conflicts, lease=None)

    def _sorted(
        self, instances: Sequence[Instance], waiting: dict[tuple[bytes, bytes], SpooledRow]
    ) -> tuple[list[Sealed], list[Sealed]]:
        """Members that are served, and conflicts with what came before them (invariant 8).

        What was decided at sealing stands in the metadata, so that a rebuild never serves the
        other one of two.
        """
        digests = [digest(each.sop_instance_uid) for each in instances]
        taken = set(self._catalog.existing(set(digests)))
        members: list[Sealed] = []
        conflicts: list[Sealed] = []
        by_age = sorted(range(len(instances)), key=lambda n: instances[n].received_at)
        for ordinal in by_age:
            uid_digest = digests[ordinal]
            original = bytes.fromhex(instances[ordinal].original_sha256)
            row = waiting.get((uid_digest, original))
            sealed = Sealed(row.id if row else None, uid_digest, ordinal)
            if instances[ordinal].conflict or uid_digest in taken:
                conflicts.append(sealed)
            else:
                members.append(sealed)
                taken.add(uid_digest)
        return members, conflicts


def header_of(metadata: Metadata, instance: Instance) -> Header:
    """The header that the catalog was told when the instance came."""
    return Header(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        study_instance_uid=metadata.study_instance_uid,
        series_instance_uid=metadata.series_instance_uid,
        attributes=instance.attributes(),
    )

"""Headers, spooled rows and packs to put into a catalog."""

import hashlib
from collections.abc import Sequence
from typing import Any

from fileroom.catalog.port import Catalog
from fileroom.catalog.rows import Lease, NewPack, NewSpooled, Sealed, SpooledRow
from fileroom.dicom.header import Header

T0_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
NODE = "node-a"
CT = "1.2.840.10008.5.1.4.1.1.2"


def header(
    instance: str,
    *,
    study: str = "1.2.1",
    series: str = "1.2.1.1",
    sop_class: str = CT,
    **said: str,
) -> Header:
    """The header of one CT image; keywords say more or otherwise, "" leaves one out."""
    attributes = {
        "PatientName": "Doe^Jane",
        "PatientID": "P-1",
        "PatientBirthDate": "19610412",
        "PatientSex": "F",
        "StudyDate": "20240131",
        "StudyTime": "101530",
        "AccessionNumber": "A-1",
        "StudyID": "S-1",
        "Modality": "CT",
        "SeriesNumber": "2",
    } | said
    return Header(
        sop_class,
        instance,
        study,
        series,
        {keyword: text for keyword, text in attributes.items() if text},
    )


def spooled(
    place: tuple[int, int],
    instance: str,
    *,
    content: bytes | None = None,
    size_bytes: int = 1000,
    received_at_ns: int = T0_NS,
    partition: str = "main",
    **said: Any,
) -> NewSpooled:
    """An instance at a place of the spool; by default each UID has bytes of its own."""
    return NewSpooled(
        segment=place[0],
        offset=place[1],
        partition=partition,
        header=header(instance, **said),
        size_bytes=size_bytes,
        sha256=hashlib.sha256(content if content is not None else instance.encode()).digest(),
        received_at_ns=received_at_ns,
    )


def new_pack(study: int, series: int, name: str, **facts: Any) -> NewPack:
    """A pack whose SHA-256 is that of `name`."""
    values = {
        "study": study,
        "series": series,
        "sha256": hashlib.sha256(name.encode()).digest(),
        "study_key_id": b"K" * 16,
        "tink_header": b"T" * 40,
        "size_bytes": 5000,
        "plaintext_size_bytes": 4900,
        "metadata_offset": 4500,
        "metadata_size_bytes": 300,
        "received_oldest_ns": T0_NS,
        "sealed_at_ns": T0_NS + SECOND_NS,
        "node_id": NODE,
    }
    return NewPack(**values | facts)


def members_of(rows: Sequence[SpooledRow]) -> list[Sealed]:
    """Spooled rows as the members of a pack, in their order."""
    return [Sealed(row.id, row.uid_digest, ordinal) for ordinal, row in enumerate(rows, 1)]


def seal_all(catalog: Catalog, name: str, *, lease: Lease | None = None) -> list[int]:
    """Seal whatever is spooled, a pack for each series; first data sets only."""
    numbers = []
    for due in catalog.series_to_seal(quiet_before_ns=1 << 62, target_bytes=1 << 62, limit=1000):
        rows = catalog.spooled_of_series(due.series, bytes_max=1 << 62)
        numbers.append(
            catalog.record_sealed(
                new_pack(due.study, due.series, f"{name}-{due.series}"),
                members=members_of(rows),
                lease=lease,
            )
        )
    return numbers

"""Everything that a catalog says of the archive, as rows that two catalogs can be compared by.

Row numbers are a catalog's own: in their place stand UIDs and the packs' SHA-256. Left out is what
a catalog that is made again does not know (docs/format/catalog.md §5): when a pack was sealed and a
copy was verified, which spool records lie in packs, leases, tasks and callers.
"""

import json
from typing import Any

from fileroom.catalog.sqlite import SqliteCatalog

PACKED = "FROM {0} JOIN pack ON pack.number = {0}.pack"
OF_SERIES = "JOIN series ON series.id = {0}.series JOIN study ON study.id = series.study"
QUERIES = {
    "patient": (
        "SELECT partition.name, patient_id, issuer, lone_study, attributes"
        " FROM patient JOIN partition ON partition.number = patient.partition"
    ),
    "study": (
        "SELECT partition.name, uid, patient_id, issuer, lone_study, study_date, accession_number,"
        " study_id, modalities, hex(study_key_id), study.attributes"
        " FROM study JOIN partition ON partition.number = study.partition"
        " JOIN patient ON patient.id = study.patient"
    ),
    "study_name": "SELECT folded, uid FROM study_name JOIN study ON study.id = study_name.study",
    "series": (
        "SELECT study.uid, series.uid, series.attributes"
        " FROM series JOIN study ON study.id = series.study"
    ),
    "instance": "SELECT hex(uid_digest), hex(sha256), ordinal " + PACKED.format("instance"),
    "conflict": "SELECT hex(uid_digest), hex(sha256), ordinal, same " + PACKED.format("conflict"),
    "pack": (
        "SELECT hex(sha256), study.uid, series.uid, hex(pack.study_key_id), hex(tink_header),"
        " size_bytes, plaintext_size_bytes, metadata_offset, metadata_size_bytes, instance_count,"
        " conflict_count, state, local, node_id, received_oldest_ns FROM pack "
        + OF_SERIES.format("pack")
        + " JOIN node ON node.number = pack.node"
    ),
    "copy": (
        "SELECT hex(sha256), provider, copy.state, copy.size_bytes, checksum_kind, version_id,"
        " storage_class " + PACKED.format("copy")
    ),
    "key_copy": "SELECT hex(study_key_id), generation, provider, state FROM key_copy",
    "spooled": (
        "SELECT spooled.id, series.uid, hex(uid_digest), size_bytes, hex(sha256), received_at_ns"
        " FROM spooled " + OF_SERIES.format("spooled")
    ),
    "set_aside": "SELECT id FROM set_aside",
    "pending": (
        "SELECT series.uid, spooled_count, spooled_bytes, oldest_ns, newest_ns FROM pending "
        + OF_SERIES.format("pending")
    ),
    "rejection": (
        "SELECT ledger_index, study_uid, series_uid, named, code, reason, decided_by,"
        " decided_at_ns, note_uid FROM rejection"
    ),
    "rejected_instance": "SELECT rejection, hex(uid_digest), uid FROM rejected_instance",
    "followed_note": "SELECT hex(uid_digest) FROM followed_note",
    "settlement": (
        "SELECT hex(uid_digest), hex(served_sha256), ledger_index, decided_at_ns, decided_by,"
        " reason FROM settlement"
    ),
    "settled_data_set": (
        "SELECT hex(pack_sha256), ordinal, hex(uid_digest), hex(sha256) FROM settled_data_set"
    ),
    "settled_place": (
        "SELECT hex(pack.sha256), ordinal, hex(settled_place.sha256), replacement "
        + PACKED.format("settled_place")
    ),
    "other_patient": (
        "SELECT hex(sha256), patient_id, issuer, name, birth_date, other_patient.instance_count "
        + PACKED.format("other_patient")
    ),
    "forward_rule": "SELECT name, destination FROM forward_rule",
    "forward_paused": "SELECT destination FROM forward_paused",
    "forward_study": "SELECT study_uid, destination, stored, warned, withdrawn FROM forward_study",
    "pack_total": "SELECT * FROM pack_total WHERE packs > 0",
    "copy_total": "SELECT * FROM copy_total WHERE packs > 0",
}


def dumped(catalog: SqliteCatalog) -> dict[str, list[Any]]:
    """Every table's rows, sorted."""
    with catalog._file.reading() as connection:
        return {
            table: sorted(_readable(row) for row in connection.execute(sql))
            for table, sql in QUERIES.items()
        }


def _readable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """With a JSON object as its sorted items, whatever order they were written in."""
    return tuple(
        str(sorted(json.loads(value).items())) if str(value).startswith("{") else value
        for value in row
    )

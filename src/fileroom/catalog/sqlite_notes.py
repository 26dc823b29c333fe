"""Spool records that may be rejection notes, queued until somebody has looked at them."""

from collections.abc import Sequence

import msgspec

from fileroom.catalog.rows import NewSpooled
from fileroom.catalog.sqlite_connection import Connection
from fileroom.dicom.rejection import KEY_OBJECT_SELECTION

_json = msgspec.json.Encoder()

_QUEUE = """
INSERT OR IGNORE INTO note_waiting
SELECT spooled.id, uid_digest FROM json_each(?) CROSS JOIN spooled ON spooled.id = value
"""


def may_reject(row: NewSpooled) -> bool:
    """Whether an instance is of the class that rejection notes are of."""
    return row.header.sop_class_uid == KEY_OBJECT_SELECTION


def queue_notes(connection: Connection, spooled_ids: Sequence[int]) -> None:
    """Queue those of the records that wait in the spool."""
    if spooled_ids:
        connection.execute(_QUEUE, (_json.encode(spooled_ids).decode(),))

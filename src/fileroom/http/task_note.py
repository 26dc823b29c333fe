"""What is said about a long task that runs outside of the node. Pure."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Line = Annotated[str, Meta(max_length=200, pattern=r"^[ -~]*$")]


class TaskNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a task is.

    Attributes:
        bytes_total: 0 where nobody has counted.
        cursor: where it would go on.
        last_error: why it stands still; nothing of a patient.
    """

    kind: Literal["import"]
    state: Literal["RUNNING", "WAITING", "DONE", "CANCELLED"]
    bytes_done: Count
    bytes_total: Count = 0
    cursor: Line = ""
    last_error: Line = ""

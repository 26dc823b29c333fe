"""The signed tree head of a log (c2sp.org/tlog-checkpoint). Pure."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import NamedTuple

from fileroom.errors import IntegrityError
from fileroom.ledger import note
from fileroom.ledger.merkle import HASH_BYTES

SIZE_MAX = (1 << 63) - 1
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointError(IntegrityError):
    """A note's text is not that of a checkpoint of this log."""


class LedgerForkError(IntegrityError):
    """Two trees of one log of which neither extends the other, or a log shorter than its own
    checkpoint. Sign nothing; a person decides which one is the ledger."""


class Checkpoint(NamedTuple):
    """What a log says about itself: `root` is the root of its first `size` entries."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text; we write no extension lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse(text: str) -> Checkpoint:
    """Read a note's text. Extension lines are allowed and dropped.

    Raises:
        CheckpointError: malformed.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] != "" or not all(lines[:-1]):
        raise CheckpointError(f"a checkpoint has 3 or more lines, this one {len(lines) - 1}")
    origin, size, encoded = lines[:3]
    if not _SIZE.fullmatch(size) or int(size) > SIZE_MAX:
        raise CheckpointError("a checkpoint's size is not a decimal number below 2^63")
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != HASH_BYTES or base64.b64encode(root).decode() != encoded:
        raise CheckpointError("a checkpoint's root is not the base64 of 32 bytes")
    return Checkpoint(origin, int(size), root)


def signed(checkpoint: Checkpoint, *, seed: bytes) -> bytes:
    """The checkpoint as a note, signed with Ed25519 under the origin's name.

    The caller has made sure that the tree extends every tree signed before.
    """
    return note.sign(checkpoint.text(), name=checkpoint.origin, seed=seed)


def verified(data: bytes, *, origin: str, keys: Sequence[note.VerifierKey]) -> Checkpoint:
    """The checkpoint in a note.

    Raises:
        NoteError: malformed, or not signed by one of `keys`.
        CheckpointError: signed, but no checkpoint of the log `origin`.
    """
    checkpoint = parse(note.verified_text(data, keys))
    if checkpoint.origin != origin:
        raise CheckpointError("the checkpoint is one of another log")
    return checkpoint

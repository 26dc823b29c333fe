"""What became of a put whose answer was lost, told from what is there now.

    stat   ─► after_uncertain_put ─► RETRY | CORRUPT | READ
    digest ─► after_digest ─► CREATED | CORRUPT

The put may still be on its way when the provider is asked, so RETRY is safe only because every
put creates and never overwrites, under a name that carries the bytes' SHA-256: the later of two
finds the other's object.
Pure.
"""

from enum import Enum


class Verdict(Enum):
    """What to do next."""

    CREATED = "created"  # the object is there: as good as an answer
    RETRY = "retry"  # nothing is there: put again
    READ = "read"  # something of the right size is there: read it back and ask `after_digest`
    CORRUPT = "corrupt"  # other bytes are there: never overwritten; an IntegrityError


def after_uncertain_put(*, found_size_bytes: int | None, size_bytes: int) -> Verdict:
    """What to do, by the size of the object that is there now (None: none is).

    A size alone never proves the bytes, so the answer is not CREATED yet.
    """
    if found_size_bytes is None:
        return Verdict.RETRY
    return Verdict.READ if found_size_bytes == size_bytes else Verdict.CORRUPT


def after_digest(*, found: bytes, expected: bytes) -> Verdict:
    """What to do, by the SHA-256 of the bytes that are there now."""
    return Verdict.CREATED if found == expected else Verdict.CORRUPT

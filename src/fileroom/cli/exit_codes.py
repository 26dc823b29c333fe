"""What a verb's exit code means: one table, the same for every verb and every release.

docs/exit-codes.md is made from it. A number never changes its meaning.
"""

import enum

from fileroom.errors import (
    FileroomError,
    IntegrityError,
    PeerError,
    RefusedError,
    TransientError,
    UncertainError,
)


class ExitCode(enum.IntEnum):
    """The codes. `meaning` is the sentence of the table."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "ExitCode":
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "Done."
    BUG = 1, "A mistake of the program. Please report the line that it printed."
    USAGE = 2, "The command line cannot be understood: unknown verb, flag or value."
    SETTINGS = 3, "The settings are wrong: the file, a FILEROOM_ variable or a flag."
    REFUSED = 4, "Understood and refused, for a reason that asking again does not change."
    NOT_FOUND = 5, "What was asked for is not there."
    UNAVAILABLE = (
        6,
        "Not now: folder in use, keys locked, node or peer not reached, disk or file refused.",
    )
    INTEGRITY = 7, "Stored bytes are not the bytes that were stored. Nothing was changed."
    PARTIAL = 8, "Done in part: some items were refused, and the report says which and why."
    PEER = 9, "The other side broke its protocol, or its answer was lost."
    WARNINGS = 10, "`doctor` found something to look at."
    UNFIT = 11, "`doctor` found something that stops this node from working."
    INTERRUPTED = 130, "Stopped by Ctrl-C."


FAMILIES: tuple[tuple[type[FileroomError], ExitCode], ...] = (
    (RefusedError, ExitCode.REFUSED),
    (TransientError, ExitCode.UNAVAILABLE),
    (IntegrityError, ExitCode.INTEGRITY),
    (PeerError, ExitCode.PEER),
    (UncertainError, ExitCode.PEER),
)


class NotFoundError(RefusedError):
    """What the verb was asked for is not there."""


def exit_code_of(error: FileroomError) -> ExitCode:
    """The code that an error of ours ends the program with."""
    from fileroom.node.config import ConfigError

    if isinstance(error, ConfigError):
        return ExitCode.SETTINGS
    if isinstance(error, NotFoundError):
        return ExitCode.NOT_FOUND
    return next((code for kind, code in FAMILIES if isinstance(error, kind)), ExitCode.BUG)

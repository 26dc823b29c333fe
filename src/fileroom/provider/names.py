"""Names of objects: what every provider can keep and no file system can misread.

A name is segments of A-Z a-z 0-9 . _ - joined by slashes. A segment does not begin with a dot, so
there is no `..` and nothing hidden, and does not end with one, which some file systems drop.
Pure.
"""

import re

from fileroom.provider.port import NameRefusedError

NAME_BYTES_MAX = 512
SEGMENT_BYTES_MAX = 128
MUTABLE = re.compile(r"ledger/[^/]+/checkpoint")
_SEGMENT = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_PREFIX = re.compile(r"[A-Za-z0-9._/-]*")


def check_name(name: str) -> None:
    """Raise NameRefusedError unless `name` is one."""
    segments = name.split("/")
    if len(name) > NAME_BYTES_MAX:
        raise NameRefusedError(f"a name of {len(name)} characters, at most {NAME_BYTES_MAX}")
    for number, segment in enumerate(segments):
        if len(segment) > SEGMENT_BYTES_MAX or _SEGMENT.fullmatch(segment) is None:
            raise NameRefusedError(
                f"segment {number} of a name ({len(segment)} characters) is outside the grammar"
            )


def is_name(name: str) -> bool:
    """Whether `name` is one."""
    try:
        check_name(name)
    except NameRefusedError:
        return False
    return True


def check_mutable(name: str) -> None:
    """Raise NameRefusedError unless `name` is that of an object which may be replaced."""
    check_name(name)
    if MUTABLE.fullmatch(name) is None:
        raise NameRefusedError("only a ledger's checkpoint may be replaced")


def check_prefix(prefix: str) -> None:
    """Raise NameRefusedError unless a name can begin with `prefix`."""
    if len(prefix) > NAME_BYTES_MAX or _PREFIX.fullmatch(prefix) is None:
        raise NameRefusedError(f"a prefix of {len(prefix)} characters is outside the grammar")
    if any(segment.startswith(".") for segment in prefix.split("/")):
        raise NameRefusedError("no segment begins with a dot")

"""What every table of the settings is made of. Pure."""

import re

import msgspec

LIVE = {"live": True}  # a key that a running node takes over at SIGHUP, without a restart
SECRET = {"secret": True}  # a key whose value stands in no log, document or event
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
AE_TITLE = re.compile(r"(?! *$)[ -\[\]-~]{1,16}")  # PS3.5 §6.2: no backslash, no control character


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file. Its class docstring's first line is printed above it."""


def require(holds: bool, message: str) -> None:
    """Raise ValueError with `message` unless it holds."""
    if not holds:
        raise ValueError(message)


def is_ae_title(text: str) -> bool:
    """Whether `text` may stand as an AE title (PS3.5 §6.2): 1 to 16 characters, not all spaces."""
    return AE_TITLE.fullmatch(text) is not None


def require_ae_title(text: str) -> None:
    """Raise ValueError unless `text` may stand as an AE title."""
    require(
        is_ae_title(text), "ae_title must be 1 to 16 printable ASCII characters without a backslash"
    )

"""Application Entity titles as PDUs carry them: 16 bytes (PS3.8 §9.3.2, PS3.5 §6.2). Pure."""

import re

from fileroom.wire.item import invalid

SIZE_BYTES = 16
# Default repertoire without control characters and without backslash (PS3.5 §6.2).
TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")


def parse(value: bytes) -> str:
    """The title in a 16-byte field, without the spaces around it, which mean nothing.

    NULs behind the title are taken for padding too: senders that copy C strings exist.

    Raises:
        MalformedPduError: it is empty, or has a control character, a backslash or a byte
            outside ASCII.
    """
    text = value.rstrip(b"\0").decode("latin-1").strip(" ")
    if not is_valid(text):
        raise invalid(f"an AE title of {len(text)} characters is not in the default repertoire")
    return text


def is_valid(title: str) -> bool:
    """Whether `title` is 1 to 16 allowed characters without a space at either end."""
    return TITLE.fullmatch(title) is not None


def encode(title: str) -> bytes:
    assert is_valid(title), "an AE title is checked where it is configured"
    return title.encode("ascii").ljust(SIZE_BYTES)

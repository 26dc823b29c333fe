"""Entity tags, and the fields that ask by them (RFC 9110 §8.8.3, §13.1). Pure."""

import re
from collections.abc import Iterable
from hashlib import sha256

_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_DIGITS = 32  # 128 of SHA-256's bits: nobody gains by making two representations look alike


def entity_tag(parts: Iterable[bytes | str], *, strong: bool) -> str:
    """The tag of a representation that is told apart from all others by `parts`, in their order.

    Args:
        strong: whether equal parts mean equal bytes, and not only that both say the same.
    """
    digest = sha256()
    for part in parts:
        data = part.encode("utf-8") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return f'{"" if strong else "W/"}"{digest.hexdigest()[:_DIGITS]}"'


def lists(field: str, tag: str, *, strongly: bool = False) -> bool:
    """Whether an If-Match or If-None-Match field has "*" or this tag.

    Args:
        strongly: weak tags match nothing, as If-Match wants it (RFC 9110 §8.8.3.2).
    """
    if field.strip(" \t") == "*":
        return True
    found = (each.group() for each in _TAG.finditer(field))
    if strongly:
        return not tag.startswith("W/") and tag in found
    return _opaque(tag) in map(_opaque, found)


def names(field: str, tag: str) -> bool:
    """Whether an If-Range field is this tag, and it is strong (RFC 9110 §13.1.5). A date is no
    tag."""
    return field.strip(" \t") == tag and not tag.startswith("W/")


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")

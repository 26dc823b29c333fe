"""HTML that is escaped by construction: text becomes markup only by `element`. Pure."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias, Union

VOID = frozenset({"br", "img", "input", "link", "meta"})  # elements without an end tag


class Markup(str):
    """Text that is HTML. Whatever is not of this type is escaped before it stands on a page."""

    __slots__ = ()


Child: TypeAlias = Union[str, int, "Markup", Iterable["Child"], None]
Attribute: TypeAlias = str | int | bool | None


def element(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """One element.

    Args:
        children: markup as it is, all other text escaped; None is nothing, and what is iterable
            is its items.
        attributes: `class_` and `for_` are `class` and `for`, an underscore inside is a hyphen;
            True is an attribute without a value, False and None are none.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Children one behind the other."""
    return Markup("".join(_child(each) for each in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int):
        return escape(printable(str(child)))
    return joined(child)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(printable(str(value)))}"'


def printable(text: str) -> str:
    """`text` without what no page may hold or what turns its surroundings around: control
    characters, lone surrogates, and the overrides of writing direction (U+202A to U+202E, U+2066
    to U+2069), with which a value could be read as another one."""
    return "".join(each for each in text if not _is_unprintable(ord(each)))


def _is_unprintable(code: int) -> bool:
    return (
        code < 0x20
        or 0x7F <= code < 0xA0
        or 0xD800 <= code < 0xE000
        or 0x202A <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
    )

"""Attributes of an instance that a search wants beside those that every match has. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from fileroom.dicom.dictionary import is_private, tag_of_keyword

DEPTH_MAX = 16
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_elements = msgspec.json.Decoder(dict[str, msgspec.Raw])
_sequence = msgspec.json.Decoder(dict[str, object])

# Tags to what is wanted of them: all, or of a sequence's items these again.
Wanted: TypeAlias = "Mapping[str, Wanted | None]"


def tag_path(attribute: str) -> tuple[str, ...] | None:
    """The tags of an attribute that is written as keywords or tags, with a dot behind each
    sequence (PS3.18 §8.3.4.1); None where one is unknown, or private: no creator says whose."""
    path = []
    for each in attribute.split(".", DEPTH_MAX):
        tag = int(each, 16) if _TAG.fullmatch(each) else tag_of_keyword(each)
        if tag is None or is_private(tag):
            return None
        path.append(f"{tag:08X}")
    return tuple(path)


def wanted(paths: Iterable[tuple[str, ...]]) -> Wanted:
    """Several paths as one; a sequence that is wanted as a whole comes as a whole."""
    found: dict[str, Wanted | None] = {}
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for first, *rest in paths:
        by_first.setdefault(first, []).append(tuple(rest))
    for first, rests in by_first.items():
        found[first] = None if () in rests else wanted(rests)
    return found


def chosen(dicom_json: bytes, asked: Wanted) -> dict[str, bytes]:
    """Those elements of an instance's DICOM JSON, by tag."""
    found: dict[str, bytes] = {}
    # By what the instance has and not by what is asked, of which there may be any number.
    for tag, raw in _elements.decode(dicom_json).items():
        if tag not in asked:
            continue
        inner = asked[tag]
        if inner is None:
            found[tag] = bytes(raw)
        else:
            found[tag] = msgspec.json.encode(_of_items(_sequence.decode(raw), inner))
    return found


def everything(dicom_json: bytes) -> dict[str, bytes]:
    """All elements of an instance's DICOM JSON, by tag."""
    return {tag: bytes(raw) for tag, raw in _elements.decode(dicom_json).items()}


def _of_items(element: Mapping[str, object], asked: Wanted) -> Mapping[str, object]:
    items = element.get("Value")
    if element.get("vr") != "SQ" or not isinstance(items, list):
        return element
    return {"vr": "SQ", "Value": [_of_item(each, asked) for each in items]}


def _of_item(item: Mapping[str, Mapping[str, object]], asked: Wanted) -> dict[str, object]:
    found: dict[str, object] = {}
    for tag, element in item.items():
        if tag in asked:
            inner = asked[tag]
            found[tag] = element if inner is None else _of_items(element, inner)
    return found

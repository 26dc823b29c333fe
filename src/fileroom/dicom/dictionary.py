"""What the data dictionaries know of a tag, through pydicom's tables (PS3.6 §6). Pure.

pydicom takes half a second to load and is loaded at the first look-up, never at import: the
process that receives never looks up.
"""

from functools import lru_cache
from typing import Final

from fileroom.dicom.encoding import UNDEFINED, ByteOrder

PIXEL_REPRESENTATION: Final = 0x00280103
LUT_DESCRIPTOR: Final = 0x00283002
LUT_DATA: Final = 0x00283006
WAVEFORM_BITS_ALLOCATED: Final = 0x54001004
PALETTE_DESCRIPTORS: Final = frozenset({0x00281101, 0x00281102, 0x00281103, LUT_DESCRIPTOR})
# Of PS3.6 §A, and not in pydicom's table.
NEWER_UIDS: Final = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}
AMBIGUOUS: Final = frozenset({"OB or OW", "US or SS", "US or OW", "US or SS or OW"})


def is_private(tag: int) -> bool:
    """Whether the tag's group number is odd, PS3.5 §7.8."""
    return bool(tag & 0x10000)


def creator_tag(tag: int) -> int | None:
    """The tag of the private creator that reserves the block of private element `tag`
    (PS3.5 §7.8.1); None if the element is in no block."""
    block = tag >> 8 & 0xFF
    return (tag & 0xFFFF0000) | block if block >= 0x10 else None


@lru_cache(maxsize=16384)
def vr_of(tag: int) -> str:
    """The VR of a standard element, possibly one of `AMBIGUOUS`; "" if there is none."""
    from pydicom.datadict import dictionary_VR

    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UL" if tag & 0xFFFF == 0 else ""  # group lengths have no entries


@lru_cache(maxsize=16384)
def keyword_of(tag: int) -> str:
    """The keyword of a standard element; "" if there is none."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag)


@lru_cache(maxsize=4096)
def private_vr_of(tag: int, creator: str) -> str:
    """The VR that vendor `creator` gives to private element `tag`; "" if it is not known."""
    from pydicom.datadict import private_dictionary_VR

    try:
        return str(private_dictionary_VR(tag, creator))
    except KeyError:
        return ""


@lru_cache(maxsize=4096)
def tag_of_keyword(keyword: str) -> int | None:
    """The tag of the standard element with that keyword; None if there is none."""
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(keyword)


def vr_of_keyword(keyword: str) -> str:
    """The VR of the attribute with that keyword; "" if there is none."""
    tag = tag_of_keyword(keyword)
    return "" if tag is None else vr_of(tag)


def needs_creator(tag: int, vr: bytes) -> bool:
    """Whether the VR of this element depends on its private creator."""
    return is_private(tag) and vr in (b"", b"UN") and tag & 0xFFFF >= 0x1000


def settled_vr(tag: int, vr: bytes, length: int, creator: str) -> str:
    """The VR to read a value by, where the data set states none or UN: what pydicom does.

    Args:
        vr: as stated.
        creator: text of the private creator, where `needs_creator`.

    Returns:
        A VR, or one of `AMBIGUOUS`, to be settled by `unambiguous_vr`.
    """
    if vr not in (b"", b"UN"):
        return vr.decode("latin-1")
    if length == UNDEFINED and vr == b"UN":
        return "SQ"  # PS3.5 §6.2.2
    if is_private(tag):
        if 0x10 <= tag & 0xFFFF < 0x100:
            return "LO"
        known = private_vr_of(tag, creator) if creator and needs_creator(tag, vr) else ""
    elif vr and length >= 0xFFFF:
        known = ""  # too long for the known VR's own length field: UN on purpose
    else:
        known = vr_of(tag)
    if length == UNDEFINED and (not known or is_private(tag)):
        return "SQ"
    return known or "UN"


def unambiguous_vr(
    tag: int, vr: str, *, implicit: bool, siblings: dict[int, bytes], order: ByteOrder
) -> str:
    """Settle an ambiguous VR by other elements, as PS3.5 §A.1 and PS3.3 §C.7.6.3.1 say.

    Args:
        siblings: raw values of the elements that decide, as far as they are there.
    """
    if vr == "US or SS":
        return "SS" if number(siblings.get(PIXEL_REPRESENTATION), order) else "US"
    if tag == LUT_DATA:
        return "US" if number(siblings.get(LUT_DESCRIPTOR), order) == 1 else "OW"
    if vr == "OB or OW" and not implicit:
        return "OW" if number(siblings.get(WAVEFORM_BITS_ALLOCATED), order) > 8 else "OB"
    return "OW"


def number(value: bytes | None, order: ByteOrder) -> int:
    """The first 16-bit number of `value`; 0 if there is none."""
    return order.u16(value, 0)[0] if value and len(value) >= 2 else 0


def uid_name(uid: str) -> str:
    """What PS3.6 §A calls a UID; "" if it has no entry."""
    from pydicom._uid_dict import UID_dictionary

    if uid in NEWER_UIDS:
        return NEWER_UIDS[uid]
    return UID_dictionary[uid][0] if uid in UID_dictionary else ""


def known_uids() -> tuple[str, ...]:
    """All of PS3.6 §A, in order."""
    from pydicom._uid_dict import UID_dictionary

    return tuple(UID_dictionary)

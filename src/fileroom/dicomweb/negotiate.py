"""Which representation an Accept field gets (PS3.18 §8.7). Pure.

Where we leave the standard. Without a transfer-syntax parameter PS3.18 §8.7.3.4 asks for Explicit
VR Little Endian, whatever is stored, unless only a lossy or an oversize form is there. Nothing is
transcoded here yet, so instances are then given as they are stored: bit for bit what came in, named
in Content-Type and in the file meta group, as other archives do; a refusal would keep images from
clients that never send the parameter. Pixel data outside a Part 10 file does not describe itself,
so a frame asked for as plain application/octet-stream is refused with 406 where the stored form is
compressed or big-endian: a missing image harms less than a wrong one. With `transfer-syntax=*`, as
viewers send it, octet-stream brings compressed frames too, and says so in each part.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from fileroom.wire import media_type
from fileroom.wire.media_type import MediaType

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
JSON = "application/json"
OCTETS = "application/octet-stream"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

# Frames of these are bare little-endian pixels, the same bytes in each of them.
BARE_PIXELS = frozenset(
    {
        "1.2.840.10008.1.2",
        EXPLICIT_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.1.98",
        "1.2.840.10008.1.2.1.99",
    }
)
BIG_ENDIAN = "1.2.840.10008.1.2.2"

_JPEG = "1.2.840.10008.1.2.4."
# PS3.18 Table 8.7.3-5, and the retired JPEG processes, which are of the same media type.
FRAME_MEDIA_TYPE: dict[str, str] = {
    **{f"{_JPEG}{n}": "image/jpeg" for n in (*range(50, 67), 70)},
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    **{f"{_JPEG}{n}": "image/jls" for n in (80, 81)},
    **{f"{_JPEG}{n}": "image/jp2" for n in (90, 91)},
    **{f"{_JPEG}{n}": "image/jpx" for n in (92, 93)},
    **{f"{_JPEG}{n}": "image/jphc" for n in (201, 202, 203)},
    **{f"{_JPEG}{n}": "image/jxl" for n in (110, 111, 112)},
    **{f"{_JPEG}{n}": "video/mpeg" for n in ("100", "100.1", "101", "101.1")},
    **{f"{_JPEG}{n}{s}": "video/mp4" for n in range(102, 107) for s in ("", ".1")},
    **{f"{_JPEG}{n}": "video/H265" for n in (107, 108)},
}
# Names that clients still use for the same thing.
ALIASES = {
    "image/x-dicom-rle": "image/dicom-rle",
    "image/dicom+rle": "image/dicom-rle",
    "image/x-jls": "image/jls",
    "image/dicom+jls": "image/jls",
    "image/jpeg2000": "image/jp2",
    "image/dicom+jp2": "image/jp2",
    "video/mpeg2": "video/mpeg",
    "video/h265": "video/H265",
}


class Choice(NamedTuple):
    """The representation to send.

    Attributes:
        multipart: whether it is wrapped in multipart/related.
        name: the media type of the body or of each part, without parameters.
        content_type: the same with its transfer syntax.
    """

    multipart: bool
    name: str
    content_type: str


class Wanted(NamedTuple):
    """One media range, taken apart. `multipart` is None where either way is welcome."""

    multipart: bool | None
    name: str
    transfer_syntax_uid: str | None


@lru_cache(maxsize=256)
def wanted(accept: str) -> tuple[Wanted, ...]:
    """What an Accept field asks for, the most wanted first.

    Raises:
        MediaTypeError: it is no Accept field.
    """
    return tuple(_wanted(each) for each in media_type.parse_accept(accept))


@lru_cache(maxsize=256)
def _refused(accept: str) -> tuple[Wanted, ...]:
    return tuple(_wanted(each) for each in media_type.parse_refused(accept))


def _wanted(each: MediaType) -> Wanted:
    syntax = each.parameter("transfer-syntax")
    if each.name == "*/*":
        return Wanted(None, "*/*", syntax)
    if not each.name.startswith("multipart/"):
        return Wanted(False, ALIASES.get(each.name, each.name), syntax)
    if each.name not in ("multipart/related", "multipart/*"):
        return Wanted(True, each.name, syntax)
    inner = media_type.parse(each.parameter("type") or "*/*")
    name = ALIASES.get(inner.name, inner.name)
    return Wanted(True, name, syntax or inner.parameter("transfer-syntax"))


def _fits(name: str, pattern: str) -> bool:
    if pattern == name or pattern == "*/*":
        return True
    return pattern.endswith("/*") and name.startswith(pattern[:-1])


def _each_wanted(accepts: tuple[str, ...]) -> Iterator[Wanted]:
    """The accept parameter of the query goes before the header field (PS3.18 §8.7.8.1)."""
    for accept in accepts:
        yield from wanted(accept)


def _ways(each: Wanted, *, single: bool) -> tuple[bool, ...]:
    """With multipart, or without it where that may be, as a range has it; the usual one first."""
    if each.multipart is None:
        return (True, False) if single else (True,)
    return (each.multipart,) if each.multipart or single else ()


def _exactness(each: Wanted) -> tuple[int, bool, bool]:
    stars = each.name.count("*")
    return -stars, each.multipart is not None, each.transfer_syntax_uid not in (None, "*")


def _is_allowed(
    accepts: tuple[str, ...], by: Wanted, name: str, *, multipart: bool, syntax: str | None = None
) -> bool:
    """Whether no range of weight 0 names a representation more exactly than the one that it fits
    (RFC 9110 §12.5.1): `image/jls;q=0, */*` is all but JPEG-LS."""
    return not any(
        each.multipart in (None, multipart)
        and _fits(name, each.name)
        and each.transfer_syntax_uid in (None, "*", syntax)
        and _exactness(each) > _exactness(by)
        for accept in accepts
        for each in _refused(accept)
    )


@lru_cache(maxsize=256)
def choose_instance(
    accepts: tuple[str, ...], transfer_syntax_uid: str, *, single: bool
) -> Choice | None:
    """How to send an instance that is stored in `transfer_syntax_uid`; None: not acceptable.

    Args:
        accepts: Accept fields, the one that counts most first.
        single: whether the resource is one instance, which may go without multipart
            (PS3.18 §10.4.4).
    """
    for each in _each_wanted(accepts):
        if not _fits(DICOM, each.name):
            continue
        if each.transfer_syntax_uid not in (None, "*", transfer_syntax_uid):
            continue
        for multipart in _ways(each, single=single):
            if _is_allowed(accepts, each, DICOM, multipart=multipart, syntax=transfer_syntax_uid):
                content_type = f"{DICOM}; transfer-syntax={transfer_syntax_uid}"
                return Choice(multipart, DICOM, content_type)
    return None


@lru_cache(maxsize=256)
def choose_frames(
    accepts: tuple[str, ...], transfer_syntax_uid: str, *, single: bool
) -> Choice | None:
    """How to send frames that are stored in `transfer_syntax_uid`; None: not acceptable.

    Args:
        single: whether one frame is asked for, which may go without multipart.
    """
    bare = transfer_syntax_uid in BARE_PIXELS
    own = OCTETS if bare else FRAME_MEDIA_TYPE.get(transfer_syntax_uid, OCTETS)
    syntaxes = {"*", transfer_syntax_uid}
    if bare:
        syntaxes.add(EXPLICIT_LITTLE_ENDIAN)
    syntax = EXPLICIT_LITTLE_ENDIAN if bare else transfer_syntax_uid
    for each in _each_wanted(accepts):
        if each.name == OCTETS:
            name, silent_is_right = OCTETS, bare
        elif _fits(own, each.name):
            name, silent_is_right = own, own != OCTETS or bare or each.name == "*/*"
        else:
            continue
        if each.transfer_syntax_uid not in syntaxes and not (
            each.transfer_syntax_uid is None and silent_is_right
        ):
            continue
        for multipart in _ways(each, single=single):
            if _is_allowed(accepts, each, name, multipart=multipart, syntax=syntax):
                return Choice(multipart, name, f"{name}; transfer-syntax={syntax}")
    return None


@lru_cache(maxsize=256)
def choose_model(accepts: tuple[str, ...], *, single: bool) -> Choice | None:
    """How to send data sets without their bulk data (PS3.18 §8.7.3.1); None: not acceptable.

    Args:
        single: whether there is one data set, which may go as XML without multipart.
    """
    for each in _each_wanted(accepts):
        if not each.multipart:
            for name in (DICOM_JSON, JSON):
                if _fits(name, each.name) and _is_allowed(accepts, each, name, multipart=False):
                    return Choice(False, name, name)
        if _fits(DICOM_XML, each.name):
            for multipart in _ways(each, single=single):
                if _is_allowed(accepts, each, DICOM_XML, multipart=multipart):
                    return Choice(multipart, DICOM_XML, DICOM_XML)
    return None


@lru_cache(maxsize=256)
def first_of(names: tuple[str, ...], accepts: tuple[str, ...]) -> str | None:
    """The most wanted of these media types, without multipart; None: not acceptable."""
    for each in _each_wanted(accepts):
        if not each.multipart:
            for name in names:
                if _fits(name, each.name) and _is_allowed(accepts, each, name, multipart=False):
                    return name
    return None

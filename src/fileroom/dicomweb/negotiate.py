"""Which representation an Accept field gets (PS3.18 §8.7). Pure.

Instances without a transfer-syntax parameter are Explicit VR Little Endian (PS3.18 §8.7.3.4), but
for what may have been compressed with loss and what cannot be made so: these come as they are
stored, named in Content-Type and in the file meta group. `transfer-syntax=*` and the stored one by
its name get the stored bytes.

Pixel data outside a Part 10 file does not describe itself, so a frame asked for as plain
application/octet-stream is pixels or is refused: a missing image harms less than a wrong one. With
`transfer-syntax=*`, as viewers send it, octet-stream brings compressed frames too, and says so in
each part; and where every media type is welcome, a frame comes in its own.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from fileroom.dicom.encoding import BARE_PIXELS
from fileroom.pixels.view import MEDIA_TYPES
from fileroom.wire import media_type
from fileroom.wire.media_type import MediaType

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
JSON = "application/json"
OCTETS = "application/octet-stream"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

_JPEG = "1.2.840.10008.1.2.4."
# Whose frames were, or may have been, compressed with loss.
LOSSY = frozenset(f"{_JPEG}{n}" for n in (50, 51, 53, 55, 81, 91, 203))
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
# The default transfer syntaxes of media types (the same table), as which frames can be made.
MADE_AS: dict[str, str] = {
    "image/jpeg": f"{_JPEG}70",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": f"{_JPEG}80",
    "image/jp2": f"{_JPEG}90",
    "image/jphc": f"{_JPEG}201",
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
        transfer_syntax_uid: that of what is sent; empty where it is no pixel data.
    """

    multipart: bool
    name: str
    content_type: str
    transfer_syntax_uid: str = ""


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


def _with_syntax(name: str, syntax: str, *, multipart: bool) -> Choice:
    return Choice(multipart, name, f"{name}; transfer-syntax={syntax}", syntax)


@lru_cache(maxsize=256)
def choose_instance(
    accepts: tuple[str, ...], stored_uid: str, *, single: bool, makes: frozenset[str]
) -> Choice | None:
    """How to send an instance that is stored in `stored_uid`; None: not acceptable.

    Args:
        accepts: Accept fields, the one that counts most first.
        single: whether the resource is one instance, which may go without multipart
            (PS3.18 §10.4.4).
        makes: transfer syntaxes that it can be given in besides.
    """
    for each in _each_wanted(accepts):
        if not _fits(DICOM, each.name):
            continue
        for syntax in _of_instance(each.transfer_syntax_uid, stored_uid, makes):
            for multipart in _ways(each, single=single):
                if _is_allowed(accepts, each, DICOM, multipart=multipart, syntax=syntax):
                    return _with_syntax(DICOM, syntax, multipart=multipart)
    return None


def _default_syntax(stored_uid: str, makes: frozenset[str]) -> str:
    """The transfer syntax of an instance for whom none is named (PS3.18 §8.7.3.4)."""
    made = EXPLICIT_LITTLE_ENDIAN in makes and stored_uid not in LOSSY
    return EXPLICIT_LITTLE_ENDIAN if made else stored_uid


def _of_instance(asked: str | None, stored_uid: str, makes: frozenset[str]) -> tuple[str, ...]:
    """Transfer syntaxes that an instance can be given in as it was asked for, the best first."""
    if asked is None:
        return tuple(dict.fromkeys((_default_syntax(stored_uid, makes), stored_uid, *makes)))
    if asked in ("*", stored_uid):
        return (stored_uid,)
    return (asked,) if asked in makes else ()


@lru_cache(maxsize=256)
def choose_frames(
    accepts: tuple[str, ...], stored_uid: str, *, single: bool, makes: frozenset[str] = frozenset()
) -> Choice | None:
    """How to send frames that are stored in `stored_uid`; None: not acceptable.

    Args:
        single: whether one frame is asked for, which may go without multipart.
        makes: transfer syntaxes that they can be given in besides.
    """
    for each in _each_wanted(accepts):
        for name, syntax in _of_frames(each, stored_uid, makes):
            for multipart in _ways(each, single=single):
                if _is_allowed(accepts, each, name, multipart=multipart, syntax=syntax):
                    return _with_syntax(name, syntax, multipart=multipart)
    return None


def _of_frames(each: Wanted, stored_uid: str, makes: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Media types and transfer syntaxes in which frames fit a range, the stored form first."""
    asked = each.transfer_syntax_uid
    bare = stored_uid in BARE_PIXELS
    syntax = EXPLICIT_LITTLE_ENDIAN if bare else stored_uid
    own = OCTETS if bare else FRAME_MEDIA_TYPE.get(stored_uid, OCTETS)
    octets_made = EXPLICIT_LITTLE_ENDIAN in makes
    if each.name == OCTETS:
        name, silent_is_right = OCTETS, bare
    else:
        name = own
        silent_is_right = own != OCTETS or bare or (each.name == "*/*" and not octets_made)
    fits = _fits(name, each.name)
    if fits and (asked in ("*", stored_uid, syntax) or (asked is None and silent_is_right)):
        yield name, syntax
    if octets_made and _fits(OCTETS, each.name) and asked in (None, EXPLICIT_LITTLE_ENDIAN):
        yield OCTETS, EXPLICIT_LITTLE_ENDIAN
    made = MADE_AS.get(each.name, "")
    if made in makes and asked in (None, "*", made):
        yield each.name, made


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
def choose_picture(accepts: tuple[str, ...], *, single: bool) -> Choice | None:
    """How to send pictures (PS3.18 §8.7.4); None: not acceptable. They have no transfer syntax.

    Args:
        single: whether there is one, which goes without multipart unless that is asked for.
    """
    for each in _each_wanted(accepts):
        for name in MEDIA_TYPES:
            if not _fits(name, each.name):
                continue
            for multipart in reversed(_ways(each, single=single)):
                if _is_allowed(accepts, each, name, multipart=multipart):
                    return Choice(multipart, name, name)
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

"""What a request of the URI service asks for (PS3.18 §9.1.2, §9.4.1.2, §9.5.1.2). Pure.

A parameter that is not known is passed over (§8.3); one that would change the answer and is not
done is refused, for an image that is not what was asked for is taken for it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from fileroom.dicom import uid
from fileroom.dicomweb.negotiate import DICOM, first_of
from fileroom.http.refusals import BadRequestError, NotAcceptableError
from fileroom.pixels.view import MEDIA_TYPES, QUALITY, Region, View, Window

# The names that the query has for what stands in the path elsewhere.
NAMED: Final = (("studyUID", "study"), ("seriesUID", "series"), ("objectUID", "instance"))
NOT_DONE: Final = (
    "anonymize",
    "annotation",
    "imageAnnotation",
    "presentationUID",
    "presentationSeriesUID",
)
OF_PICTURES: Final = (
    "frameNumber",
    "rows",
    "columns",
    "region",
    "windowCenter",
    "windowWidth",
    "imageQuality",
)
OF_INSTANCES: Final = "transferSyntax"
KNOWN: Final = frozenset(
    {"requestType", "contentType", "charset", OF_INSTANCES}
    | {name for name, _ in NAMED}
    | {*NOT_DONE, *OF_PICTURES}
)

_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_DECIMAL: Final = re.compile(
    r"[+-]?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})([eE][+-]?[0-9]{1,2})?"
)


class Asked(NamedTuple):
    """A request of the URI service.

    Attributes:
        transfer_syntax_uid: of an instance; "*" is the stored one, None: none is named.
        frame: of a picture; frames count from 0.
        view: None: the instance itself is asked for.
    """

    transfer_syntax_uid: str | None = None
    frame: int = 0
    view: View | None = None


def asked_of(query: Iterable[tuple[str, str]], accept: str | None) -> Asked:
    """What a query asks for.

    Args:
        accept: the Accept field, which counts where the query has no contentType.

    Raises:
        BadRequestError, ViewError: it is malformed, or has parameters that do not go together.
        NotAcceptableError: a media type, a parameter or a de-identification that is not given.
    """
    given = list(query)
    counted = Counter(name for name, _ in given)
    for name in sorted(KNOWN & counted.keys()):
        if counted[name] > 1:
            raise BadRequestError(f"{name} is there {counted[name]} times")
    told = dict(given)
    if told.get("requestType") != "WADO":
        raise BadRequestError("requestType is WADO")
    for name, _ in NAMED:
        if not told.get(name):
            raise BadRequestError(f"{name} is missing")
    _refuse_not_done(told)
    media_type = _media_type(told.get("contentType") or accept or "*/*")
    if media_type == DICOM:
        _refuse(told, OF_PICTURES, "is of pictures, and an instance is asked for")
        return Asked(transfer_syntax_uid=_transfer_syntax(told))
    _refuse(told, (OF_INSTANCES,), "is of instances, and a picture is asked for")
    return Asked(frame=_integer(told, "frameNumber", 1) - 1, view=_view(told, media_type))


def _refuse_not_done(told: Mapping[str, str]) -> None:
    if told.get("anonymize", "yes") != "yes":
        raise BadRequestError("anonymize is yes, or left out")
    for name in NOT_DONE:
        if name in told:
            # PS3.18 §9.4.2.3 lets us refuse; to pass it over would show what it was to hide.
            raise NotAcceptableError(f"{name} is not done here")


def _refuse(told: Mapping[str, str], names: Iterable[str], why: str) -> None:
    for name in names:
        if name in told:
            raise BadRequestError(f"{name} {why}")


def _media_type(wanted: str) -> str:
    """A picture where either would do (PS3.18 §9.3)."""
    found = first_of((*MEDIA_TYPES, DICOM), (wanted,))
    if found is None:
        raise NotAcceptableError(f"instances are given as {', '.join((DICOM, *MEDIA_TYPES))}")
    return found


def _transfer_syntax(told: Mapping[str, str]) -> str | None:
    asked = told.get(OF_INSTANCES)
    if asked is not None and asked != "*" and not uid.is_valid(asked):
        raise BadRequestError("transferSyntax is no UID")
    return asked


def _view(told: Mapping[str, str], media_type: str) -> View:
    return View(
        media_type=media_type,
        window=_window(told),
        columns_max=_integer(told, "columns") if "columns" in told else None,
        rows_max=_integer(told, "rows") if "rows" in told else None,
        region=_region(told),
        quality=_integer(told, "imageQuality", QUALITY),
    )


def _window(told: Mapping[str, str]) -> Window | None:
    center, width = told.get("windowCenter"), told.get("windowWidth")
    if center is None and width is None:
        return None
    if center is None or width is None:
        raise BadRequestError("windowCenter and windowWidth go together")
    return Window(_decimal(center, "windowCenter"), _decimal(width, "windowWidth"))


def _region(told: Mapping[str, str]) -> Region | None:
    asked = told.get("region")
    if asked is None:
        return None
    edges = [_decimal(each, "region") for each in asked.split(",")]
    if len(edges) != 4 or not all(0 <= each <= 1 for each in edges):
        raise BadRequestError("region is four numbers from 0 to 1, separated by commas")
    left, top, right, bottom = edges
    if not (left < right and top < bottom):
        raise BadRequestError("region is left, top, right and bottom, with something in between")
    return Region(left, top, right - left, bottom - top, in_fractions=True)


def _integer(told: Mapping[str, str], name: str, default: int = 0) -> int:
    text = told.get(name)
    if text is None:
        return default
    if _INTEGER.fullmatch(text) is None or int(text) == 0:
        raise BadRequestError(f"{name} is a whole number from 1")
    return int(text)


def _decimal(text: str, name: str) -> float:
    if _DECIMAL.fullmatch(text) is None:
        raise BadRequestError(f"{name} has a part that is no decimal number")
    return float(text)

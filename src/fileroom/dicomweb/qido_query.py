"""The query of a search request, read (PS3.18 §8.3.4). Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fileroom.dicom import match
from fileroom.dicom.match import Condition
from fileroom.dicomweb.qido_keys import INCLUDABLE, MATCHED, OWN_LEVEL, Found, keyword_of
from fileroom.dicomweb.refusals import BadRequestError

ALL = "all"
UNSUPPORTED_SWITCHES = {
    "fuzzymatching": "The fuzzymatching parameter is not supported. Only literal matching has "
    "been performed.",
    "emptyvaluematching": "The emptyvaluematching parameter is not supported. Empty Value "
    "Matching has not been performed.",
    "multiplevaluematching": "The multiplevaluematching parameter is not supported. Multiple "
    "Value Matching has not been performed.",
}
CONTENT_PARAMETERS = frozenset({"accept", "charset"})  # PS3.18 §8.3.3
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Query:
    """What a search asks.

    Attributes:
        added: keywords that were matched or included, to be returned beside the required ones.
        warnings: sentences for the Warning field.
    """

    conditions: tuple[Condition, ...]
    limit: int
    offset: int
    added: frozenset[str]
    warnings: tuple[str, ...]


def read(
    fields: Iterable[tuple[str, str]], found: Found, *, limit_default: int, limit_max: int
) -> Query:
    """Read a query.

    An attribute that cannot be matched here is refused. PS3.18 §8.3 would have it ignored; but
    a filter that is ignored answers with other patients' studies.

    Raises:
        BadRequestError: a name is unknown, or a value is wrong or given twice.
    """
    conditions: dict[str, Condition] = {}
    included: set[str] = set()
    numbers: dict[str, int] = {}
    warnings: list[str] = []
    for name, value in fields:
        if name in ("limit", "offset"):
            numbers[name] = _number(name, value, again=name in numbers)
        elif name == "includefield":
            included |= _included(value, found)
        elif name in UNSUPPORTED_SWITCHES:
            if _switch(name, value):
                warnings.append(UNSUPPORTED_SWITCHES[name])
        elif name not in CONTENT_PARAMETERS:
            keyword = _matched(name, found)
            if keyword in conditions:
                raise BadRequestError(f"{keyword} is in the query twice")
            conditions[keyword] = match.parse(keyword, _values(keyword, value))
    return Query(
        conditions=tuple(conditions.values()),
        limit=min(numbers.get("limit", limit_default), limit_max),
        offset=numbers.get("offset", 0),
        added=frozenset(included | conditions.keys()),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _number(name: str, value: str, *, again: bool) -> int:
    if again or _NUMBER.fullmatch(value) is None:
        raise BadRequestError(f"{name} is to be one number without a sign")
    return int(value)


def _switch(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise BadRequestError(f"{name} is to be true or false")
    return value == "true"


def _included(value: str, found: Found) -> set[str]:
    """Keywords that includefield names; what we do not keep is left out (PS3.18 §10.6.3.3)."""
    keywords: set[str] = set()
    for each in value.split(","):
        if each == ALL:
            keywords |= OWN_LEVEL[found]
        else:
            keyword = keyword_of(each)
            if keyword in INCLUDABLE[found]:
                keywords.add(keyword)
    return keywords


def _matched(name: str, found: Found) -> str:
    keyword = keyword_of(name)
    if keyword is None or keyword not in MATCHED[found]:
        shown = name if len(name) <= 64 and name.isascii() and name.isprintable() else "a name"
        raise BadRequestError(f"{shown} cannot be matched when searching for {found.value}")
    return keyword


def _values(keyword: str, value: str) -> str:
    """Lists of UIDs are separated by commas here, by backslashes in DICOM (PS3.18 §8.3.4.1)."""
    return value.replace(",", "\\") if keyword.endswith("UID") else value

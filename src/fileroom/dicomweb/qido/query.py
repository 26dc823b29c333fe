"""The query of a search request, read (PS3.18 §8.3.4). Pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fileroom.dicom import match
from fileroom.dicom.match import Condition
from fileroom.dicomweb.qido import included
from fileroom.dicomweb.qido.keys import (
    INCLUDABLE,
    MATCHED,
    MULTIPLE_VALUED,
    OWN_LEVEL,
    Found,
    keyword_of,
)
from fileroom.http.refusals import BadRequestError

ALL = "all"
FUZZY = "fuzzymatching"
EMPTY = "emptyvaluematching"
MULTIPLE = "multiplevaluematching"
SWITCHES = (FUZZY, EMPTY, MULTIPLE)
CONTENT_PARAMETERS = frozenset({"accept", "charset"})  # PS3.18 §8.3.3
NO_VALUE = '""'  # PS3.4 §C.2.2.2.7
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Query:
    """What a search asks.

    Attributes:
        added: keywords that are matched or included, to be returned beside the required ones.
        paths: other attributes of instances that are included, as `included.tag_path` has them.
        everything: all attributes of instances are.
    """

    conditions: tuple[Condition, ...]
    limit: int
    offset: int
    added: frozenset[str]
    paths: tuple[tuple[str, ...], ...]
    everything: bool


@dataclass(slots=True)
class _Included:
    keywords: set[str] = field(default_factory=set)
    paths: list[tuple[str, ...]] = field(default_factory=list)
    everything: bool = False


def read(
    fields: Iterable[tuple[str, str]], found: Found, *, limit_default: int, limit_max: int
) -> Query:
    """Read a query.

    An attribute that cannot be matched here is refused. PS3.18 §8.3 would have it ignored; but
    a filter that is ignored answers with other patients' studies.

    Raises:
        BadRequestError: a name is unknown, or a value is wrong or given twice.
    """
    keys: dict[str, str] = {}
    wanted = _Included()
    numbers: dict[str, int] = {}
    switches: dict[str, bool] = {}
    for name, value in fields:
        if name in ("limit", "offset"):
            numbers[name] = _number(name, value, again=name in numbers)
        elif name == "includefield":
            _include(value, found, wanted)
        elif name in SWITCHES:
            switches[name] = _switch(name, value, again=name in switches)
        elif name not in CONTENT_PARAMETERS:
            keyword = _matched(name, found)
            if keyword in keys:
                raise BadRequestError(f"{keyword} is in the query twice")
            keys[keyword] = value
    on = frozenset(name for name, given in switches.items() if given)
    return Query(
        conditions=tuple(
            each for keyword, value in keys.items() for each in _conditions(keyword, value, on)
        ),
        limit=min(numbers.get("limit", limit_default), limit_max),
        offset=numbers.get("offset", 0),
        added=frozenset(wanted.keywords | keys.keys()),
        paths=tuple(dict.fromkeys(wanted.paths)),
        everything=wanted.everything,
    )


def _number(name: str, value: str, *, again: bool) -> int:
    if again or _NUMBER.fullmatch(value) is None:
        raise BadRequestError(f"{name} is to be one number without a sign")
    return int(value)


def _switch(name: str, value: str, *, again: bool) -> bool:
    if again or value not in ("true", "false"):
        raise BadRequestError(f"{name} is to be true or false, and once")
    return value == "true"


def _include(value: str, found: Found, wanted: _Included) -> None:
    """Note what includefield names; what we do not keep is left out (PS3.18 §10.6.3.3)."""
    of_instances = found is Found.INSTANCES
    for each in value.split(","):
        keyword = keyword_of(each)
        if each == ALL:
            wanted.keywords |= OWN_LEVEL[found]
            wanted.everything |= of_instances
        elif keyword is not None:
            wanted.keywords.add(keyword)
        elif of_instances and (path := included.tag_path(each)) is not None:
            wanted.paths.append(path)
    wanted.keywords &= INCLUDABLE[found]


def _matched(name: str, found: Found) -> str:
    keyword = keyword_of(name)
    if keyword is None or keyword not in MATCHED[found]:
        shown = name if len(name) <= 64 and name.isascii() and name.isprintable() else "a name"
        raise BadRequestError(f"{shown} cannot be matched when searching for {found.value}")
    return keyword


def _conditions(keyword: str, value: str, on: frozenset[str]) -> Iterator[Condition]:
    """What a key asks under the kinds of matching that are switched on (PS3.4 §C.2.2.2)."""
    vr = match.vr_of(keyword)
    if EMPTY in on and value == NO_VALUE:
        yield match.empty(keyword)
    elif MULTIPLE in on and keyword in MULTIPLE_VALUED and "\\" in value:
        for each in value.split("\\"):
            if "*" in each or "?" in each:
                raise BadRequestError(f"{keyword} has a wildcard among several values")
            yield match.parse(keyword, each)
    elif FUZZY in on and vr == "PN":
        yield match.fuzzy(keyword, value)
    elif vr == "UI":
        # Lists of UIDs are separated by commas here, by backslashes in DICOM (PS3.18 §8.3.4.1).
        yield match.parse(keyword, value.replace(",", "\\"))
    else:
        yield match.parse(keyword, value)

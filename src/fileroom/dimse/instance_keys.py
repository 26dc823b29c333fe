"""Keys at IMAGE level that no catalog and no header keeps: from the instance's own data set. Pure.

All other attributes of the instance (PS3.4 Table C.6-4) are optional keys here, sequences and what
stands in them included.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from fileroom.catalog.moments import OFFSET, PAIRS, is_within, pair_up, zoned
from fileroom.dicom import match
from fileroom.dicom.identifier import Identifier, Key
from fileroom.dicom.json_key import key_of
from fileroom.dicom.match import Condition
from fileroom.dimse.query_keys import TIMEZONE_OFFSET, Query, is_matchable
from fileroom.errors import RefusedError

# Elements that are looked at in the items of one instance: each key once in each item, and all of
# it in one turn of the loop. Six of each frame, where there are thousands, are far below.
LOOKED_AT_MAX: Final = 50_000

# Attributes whose moments belong together, by their place in a data set (PS3.6 §6).
MOMENTS = {
    0x00080012: "InstanceCreationDate",
    0x00080013: "InstanceCreationTime",
    0x00080022: "AcquisitionDate",
    0x00080023: "ContentDate",
    0x00080032: "AcquisitionTime",
    0x00080033: "ContentTime",
}
TAGS = {keyword: tag for tag, keyword in MOMENTS.items()} | {OFFSET: TIMEZONE_OFFSET}
_data_set = msgspec.json.Decoder(dict[str, msgspec.Raw])
_element = msgspec.json.Decoder(dict[str, object])


class TooManyItemsError(RefusedError):
    """What is asked of the items of an instance is more than is looked at."""


class InstanceKeys:
    """The keys of one query that are answered so, and whether an instance matches them."""

    def __init__(self, query: Query) -> None:
        self._query = query
        asked = {MOMENTS[tag]: key for tag, key in query.own.items() if tag in MOMENTS}
        # What makes a moment is read together, also where one half of it is asked for.
        self._moments = [each for pair in PAIRS if asked.keys() & {*pair} for each in pair]
        conditions = tuple(
            match.parse(keyword, key.value, vr=_vr(keyword))
            for keyword, key in asked.items()
            if isinstance(key.value, str)
        )
        combined = query.extended.combined_datetime
        self._together, self._apart = pair_up(conditions) if combined else ((), conditions)
        self._looked_at = 0  # of the instance at hand

    def __bool__(self) -> bool:
        return bool(self._query.own)

    def matches(self, dicom_json: bytes) -> Identifier | None:
        """What the instance with this DICOM JSON object answers; None where it is no match.

        Raises:
            TooManyItemsError: over LOOKED_AT_MAX elements in items would have to be looked at.
        """
        self._looked_at = 0
        said = _data_set.decode(dicom_json)
        moments = self._moments_of(said)
        if not all(is_within(pair, moments) for pair in self._together):
            return None
        if not all(each.matches(moments.get(each.keyword)) for each in self._apart):
            return None
        told: Identifier = {}
        for tag, wanted in self._query.own.items():
            keyword = MOMENTS.get(tag)
            if keyword is not None:
                told[tag] = Key(_vr(keyword), moments.get(keyword, ""))
                continue
            answered = self._matching(wanted, _found(said, tag) or _empty(wanted))
            if answered is None:
                return None
            told[tag] = answered
        return told

    def _moments_of(self, said: Mapping[str, msgspec.Raw]) -> Mapping[str, str]:
        """Dates and times by keyword, as the asker's clocks have them."""
        found = {keyword: _found(said, TAGS[keyword]) for keyword in (*self._moments, OFFSET)}
        texts = {
            keyword: key.value
            for keyword, key in found.items()
            if key is not None and isinstance(key.value, str)
        }
        return texts if self._query.zone is None else zoned(texts, self._query.zone)

    def _matching(self, wanted: Key, found: Key) -> Key | None:
        """What is told of an element that matches, None of one that does not (PS3.4
        §C.2.2.2)."""
        if isinstance(wanted.value, tuple):
            return self._matching_items(wanted.value, found)
        value = _told(found)
        if not isinstance(wanted.value, str) or not wanted.value:
            return value
        if "\\" in wanted.value and found.vr != "UI":
            return value  # no list of values is matched but that of UIDs
        text = value.value if isinstance(value.value, str) else ""
        condition = _condition(wanted.value, found.vr, self._query.extended.fuzzy)
        return value if condition.matches(text) else None

    def _matching_items(self, wanted: tuple[Identifier, ...], found: Key) -> Key | None:
        items = found.value if isinstance(found.value, tuple) else ()
        if len(wanted) != 1 or not wanted[0] or not is_matchable(Key("SQ", wanted)):
            return Key("SQ", items)
        keys = wanted[0]
        matching = []
        for item in items:
            self._looked_at += len(keys)
            if self._looked_at > LOOKED_AT_MAX:
                raise TooManyItemsError(f"over {LOOKED_AT_MAX} keys in the items of an instance")
            told = {
                tag: self._matching(key, item.get(tag, _empty(key))) for tag, key in keys.items()
            }
            kept = {tag: key for tag, key in told.items() if key is not None}
            if len(kept) == len(told):
                matching.append(kept)
        if not matching and not _is_universal(keys):
            return None
        return Key("SQ", tuple(matching))


def _found(said: Mapping[str, msgspec.Raw], tag: int) -> Key | None:
    raw = said.get(f"{tag:08X}")
    return None if raw is None else key_of(_element.decode(raw))


def _vr(keyword: str) -> str:
    return "DA" if keyword.endswith("Date") else "TM"


def _empty(wanted: Key) -> Key:
    return Key(wanted.vr, () if wanted.vr == "SQ" else "")


def _told(found: Key) -> Key:
    return Key(found.vr, "") if found.value is None else found


def _is_universal(keys: Identifier) -> bool:
    return all(
        all(map(_is_universal, key.value)) if isinstance(key.value, tuple) else not key.value
        for key in keys.values()
    )


@lru_cache(maxsize=1024)
def _condition(text: str, vr: str, fuzzy: bool) -> Condition:
    return match.fuzzy("", text) if fuzzy and vr == "PN" else match.parse("", text, vr=vr)

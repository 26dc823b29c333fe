"""What a C-FIND may ask at each level, and how its identifier is read (PS3.4 §C.6). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from typing import NamedTuple

from fileroom.catalog import query
from fileroom.catalog.moments import Zone, offset_minutes
from fileroom.catalog.query import COMPUTED, MATCHABLE
from fileroom.dicom import match, uid
from fileroom.dicom.header_attributes import ATTRIBUTES, REQUEST_ATTRIBUTES, SPECIFIC_CHARACTER_SET
from fileroom.dicom.identifier import Identifier, Key
from fileroom.dicom.match import Condition
from fileroom.errors import RefusedError
from fileroom.wire.sop_class import PATIENT_ROOT

QUERY_RETRIEVE_LEVEL = 0x00080052
RETRIEVE_AE_TITLE = 0x00080054
INSTANCE_AVAILABILITY = 0x00080056
TIMEZONE_OFFSET = 0x00080201
REQUEST_ATTRIBUTES_SEQUENCE = 0x00400275
PATIENT_ID = 0x00100020
# Its time is not kept in headers, so both are answered from the data set.
ACQUISITION_DATE = 0x00080022
RETRIEVE_AE_TITLE_KEYWORD = "RetrieveAETitle"


class Level(StrEnum):
    """Values of Query/Retrieve Level (PS3.4 §C.6.1, §C.6.2), from the top."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


LEVELS = tuple(Level)
UNIQUE = {
    Level.PATIENT: PATIENT_ID,
    Level.STUDY: 0x0020000D,
    Level.SERIES: 0x0020000E,
    Level.IMAGE: 0x00080018,
}
# Above the instance the catalog answers; an instance's header keeps some more.
IN_CATALOG = {Level.PATIENT: query.Level.PATIENT, Level.STUDY: query.Level.STUDY}


class Attribute(NamedTuple):
    """One key: the level from which downwards it is answered."""

    keyword: str
    vr: str
    level: Level


def _level_of(keyword: str) -> Level:
    for level in query.Level:
        if keyword in MATCHABLE[level] or keyword in COMPUTED[level]:
            return Level(level)
    return Level.IMAGE


_COMPUTED_TAGS = {
    INSTANCE_AVAILABILITY: "InstanceAvailability",
    0x00201200: "NumberOfPatientRelatedStudies",
    0x00201202: "NumberOfPatientRelatedSeries",
    0x00201204: "NumberOfPatientRelatedInstances",
    0x00201206: "NumberOfStudyRelatedSeries",
    0x00201208: "NumberOfStudyRelatedInstances",
    0x00201209: "NumberOfSeriesRelatedInstances",
}
_OTHER_TAGS = {
    0x00080061: "ModalitiesInStudy",
    0x00080062: "SOPClassesInStudy",
    0x00083002: "AvailableTransferSyntaxUID",
}
KEYS: Mapping[int, Attribute] = {
    **{
        tag: Attribute(keyword, vr, _level_of(keyword))
        for tag, (keyword, vr) in ATTRIBUTES.items()
        if tag not in (SPECIFIC_CHARACTER_SET, ACQUISITION_DATE)
    },
    **{
        tag: Attribute(keyword, match.vr_of(keyword), _level_of(keyword))
        for tag, keyword in (_COMPUTED_TAGS | _OTHER_TAGS).items()
    },
    RETRIEVE_AE_TITLE: Attribute(RETRIEVE_AE_TITLE_KEYWORD, "AE", Level.PATIENT),
}
ITEM_KEYS: Mapping[int, Attribute] = {
    tag: Attribute(keyword, vr, Level.SERIES) for tag, (keyword, vr) in REQUEST_ATTRIBUTES.items()
}
NEVER_MATCHED = frozenset({*_COMPUTED_TAGS, RETRIEVE_AE_TITLE, TIMEZONE_OFFSET})


class MismatchedIdentifierError(RefusedError):
    """The identifier is none that this SOP class has (PS3.4 Table C.4-1, A900).

    Attributes:
        tags: of the keys at fault.
    """

    def __init__(self, message: str, *, tags: tuple[int, ...]) -> None:
        super().__init__(message)
        self.tags = tags


class Extended(NamedTuple):
    """The extended behaviour that was agreed (PS3.4 §C.5.1.1)."""

    relational: bool = False
    combined_datetime: bool = False
    fuzzy: bool = False
    timezone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One C-FIND.

    Attributes:
        conditions: on what catalog and headers keep.
        item_conditions: on one and the same item of Request Attributes Sequence.
        own: keys that are answered from an instance's data set, and are conditions on it.
        told: what is answered from what catalog and headers keep.
        item_told: the keys of Request Attributes Sequence; None: it is not asked for.
        empty: keys that are not supported, as they are answered: without a value.
        ignored: whether a key is not supported, or has a value that nothing is matched with.
        unambiguous: whether Patient ID has to be that of one patient.
    """

    level: Level
    conditions: tuple[Condition, ...]
    item_conditions: tuple[Condition, ...]
    own: Identifier
    told: Mapping[int, Attribute]
    item_told: frozenset[int] | None
    empty: Identifier
    ignored: bool
    unambiguous: bool
    extended: Extended
    zone: Zone | None
    character_set: str

    @property
    def study_instance_uid(self) -> str:
        """The one study that is asked about; empty: several may be, or what is named is none."""
        for each in self.conditions:
            if each.keyword == "StudyInstanceUID" and len(each.values) == 1:
                return each.values[0] if uid.is_safe(each.values[0]) else ""
        return ""


def read(
    identifier: Identifier, sop_class_uid: str, extended: bytes, *, site: tzinfo | None
) -> Query:
    """What an identifier asks.

    Args:
        extended: as agreed for the SOP class.
        site: the time zone of data sets that state none, where it is known.

    Raises:
        MismatchedIdentifierError: there is no such level in the model, or a unique key above the
            level is missing (PS3.4 §C.4.1.2.1).
    """
    agreed = Extended(*map(bool, extended[: len(Extended._fields)]))
    root = Level.PATIENT if sop_class_uid in PATIENT_ROOT else Level.STUDY
    level = level_of(identifier, root)
    above = LEVELS[LEVELS.index(root) : LEVELS.index(level)]
    if not agreed.relational:
        require_unique(identifier, above)
    reader = _Reader(level, agreed)
    for tag, key in identifier.items():
        reader.take(tag, key)
    zone = _zone(identifier, site) if agreed.timezone else None
    if zone is not None:
        reader.ignored.discard(TIMEZONE_OFFSET)
    for each in (*above, level):
        reader.told.setdefault(UNIQUE[each], KEYS[UNIQUE[each]])
    return Query(
        level=level,
        conditions=tuple(reader.conditions),
        item_conditions=tuple(reader.item_conditions),
        own=reader.own,
        told=reader.told,
        item_told=reader.item_told,
        empty=reader.empty,
        ignored=bool(reader.ignored),
        unambiguous=Level.PATIENT in above and not agreed.relational,
        extended=agreed,
        zone=zone,
        character_set=_text(identifier.get(SPECIFIC_CHARACTER_SET)),
    )


def level_of(identifier: Identifier, root: Level) -> Level:
    """The level that an identifier names. Raises MismatchedIdentifierError."""
    said = _text(identifier.get(QUERY_RETRIEVE_LEVEL))
    for level in LEVELS[LEVELS.index(root) :]:
        if said == level:
            return level
    raise MismatchedIdentifierError(
        f"no Query/Retrieve Level of the {root} root", tags=(QUERY_RETRIEVE_LEVEL,)
    )


def require_unique(identifier: Identifier, above: tuple[Level, ...]) -> None:
    """Refuse an identifier without one value in the unique key of each level above.

    Raises:
        MismatchedIdentifierError: there is none, or several, or a pattern.
    """
    missing = []
    for level in above:
        value = _text(identifier.get(UNIQUE[level]))
        wild = level is Level.PATIENT and ("*" in value or "?" in value)
        if not value or "\\" in value or wild:
            missing.append(UNIQUE[level])
    if missing:
        raise MismatchedIdentifierError(
            f"unique keys above the level without one value: {len(missing)}", tags=tuple(missing)
        )


def _zone(identifier: Identifier, site: tzinfo | None) -> Zone | None:
    minutes = offset_minutes(_text(identifier.get(TIMEZONE_OFFSET)))
    return None if minutes is None else Zone(minutes, site)


def _text(key: Key | None) -> str:
    return key.value if key is not None and isinstance(key.value, str) else ""


class _Reader:
    """Takes the keys of an identifier apart."""

    def __init__(self, level: Level, extended: Extended) -> None:
        self._level = level
        self._extended = extended
        self.conditions: list[Condition] = []
        self.item_conditions: list[Condition] = []
        self.own: Identifier = {}
        self.told: dict[int, Attribute] = {}
        self.item_told: frozenset[int] | None = None
        self.empty: Identifier = {}
        self.ignored: set[int] = set()

    def take(self, tag: int, key: Key) -> None:
        """Take the next key."""
        if tag in (SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL):
            return
        attribute = KEYS.get(tag)
        if attribute is not None and LEVELS.index(attribute.level) <= LEVELS.index(self._level):
            self.told[tag] = attribute
            if tag in NEVER_MATCHED:
                if key.value:
                    self.ignored.add(tag)
            else:
                self._match(tag, key, attribute, self.conditions)
        elif self._level is Level.IMAGE and is_own(tag):
            self.own[tag] = key
            if not is_matchable(key):
                self.ignored.add(tag)
        elif self._level is Level.SERIES and tag == REQUEST_ATTRIBUTES_SEQUENCE:
            self._take_items(tag, key)
        else:
            self.empty[tag] = Key(key.vr, () if key.vr == "SQ" else "")
            self.ignored.add(tag)

    def _take_items(self, tag: int, key: Key) -> None:
        if not isinstance(key.value, tuple) or len(key.value) > 1:
            self.ignored.add(tag)
        item = key.value[0] if isinstance(key.value, tuple) and key.value else {}
        for inner, each in item.items():
            attribute = ITEM_KEYS.get(inner)
            if attribute is None:
                self.ignored.add(inner)
            else:
                self._match(inner, each, attribute, self.item_conditions)
        self.item_told = frozenset(item.keys() & ITEM_KEYS.keys()) or frozenset(ITEM_KEYS)

    def _match(self, tag: int, key: Key, attribute: Attribute, conditions: list[Condition]) -> None:
        keyword, vr, _ = attribute
        if not is_matchable(key) or not isinstance(key.value, str):
            self.ignored.add(tag)
        elif "\\" in key.value and vr != "UI":
            self.ignored.add(tag)  # a list, which only UIDs are matched with
        elif key.value:
            fuzzy = vr == "PN" and self._extended.fuzzy
            parse = match.fuzzy if fuzzy else match.parse
            conditions.append(parse(keyword, key.value))


def is_own(tag: int) -> bool:
    """Whether a key may be answered from an instance's data set: it is no private one."""
    return not tag >> 16 & 1 and tag >> 16 > 0x0007 and tag != TIMEZONE_OFFSET


def is_matchable(key: Key) -> bool:
    """Whether a key can be matched: it is text, or a sequence of one item at the most."""
    if isinstance(key.value, tuple):
        return len(key.value) <= 1 and all(is_matchable(each) for each in _inner(key))
    return key.value is not None


def _inner(key: Key) -> list[Key]:
    assert isinstance(key.value, tuple)
    return [each for item in key.value for each in item.values()]

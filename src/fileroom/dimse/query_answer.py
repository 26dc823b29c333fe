"""A match as the identifier that answers it (PS3.4 §C.4.1.1.3.2). Pure."""

from collections.abc import Mapping

from fileroom.catalog.moments import OFFSET
from fileroom.catalog.query import COMPUTED
from fileroom.catalog.query import Level as SearchLevel
from fileroom.dicom import identifier
from fileroom.dicom.identifier import Identifier, Key
from fileroom.dicom.match import Condition
from fileroom.dimse.query_keys import (
    INSTANCE_AVAILABILITY,
    ITEM_KEYS,
    QUERY_RETRIEVE_LEVEL,
    REQUEST_ATTRIBUTES_SEQUENCE,
    RETRIEVE_AE_TITLE,
    TIMEZONE_OFFSET,
    Query,
)


class Answers:
    """The answers to one query.

    Args:
        ae_title: from whom what is found can be retrieved.
    """

    def __init__(self, query: Query, *, ae_title: str, transfer_syntax_uid: str) -> None:
        self._query = query
        self._transfer_syntax_uid = transfer_syntax_uid
        self._always: Identifier = {
            **query.empty,
            QUERY_RETRIEVE_LEVEL: Key("CS", query.level),
            RETRIEVE_AE_TITLE: Key("AE", ae_title),
        }
        self._told = {
            tag: (attribute.vr, attribute.keyword)
            for tag, attribute in query.told.items()
            if tag != RETRIEVE_AE_TITLE
        }
        self._told[INSTANCE_AVAILABILITY] = ("CS", "InstanceAvailability")

    @property
    def computed(self) -> frozenset[str]:
        """What of catalog.query.COMPUTED they tell."""
        told = {keyword for _, keyword in self._told.values()}
        return frozenset(told & COMPUTED[SearchLevel.SERIES])

    def of(self, attributes: Mapping[str, str], own: Identifier) -> bytes | None:
        """One answer, encoded; None where the match turns out to be none, because no item of
        Request Attributes Sequence matches all that is asked of one.

        Args:
            attributes: of the match; those that it does not have are told without a value.
            own: what its data set answers.
        """
        told = self._always | {
            tag: Key(vr, attributes.get(keyword, "")) for tag, (vr, keyword) in self._told.items()
        }
        told |= own
        if attributes.get(OFFSET):
            told[TIMEZONE_OFFSET] = Key("SH", attributes[OFFSET])
        if self._query.item_told is not None:
            items = _items(attributes, self._query.item_conditions)
            if not items and self._query.item_conditions:
                return None
            told[REQUEST_ATTRIBUTES_SEQUENCE] = Key(
                "SQ", tuple(_item(each, self._query.item_told) for each in items)
            )
        return identifier.encode(
            told, self._transfer_syntax_uid, character_set=self._query.character_set
        )


def _items(
    attributes: Mapping[str, str], conditions: tuple[Condition, ...]
) -> list[dict[str, str]]:
    """The items that match, each as what it says."""
    values = {each.keyword: _values(attributes, each.keyword) for each in ITEM_KEYS.values()}
    count = max(map(len, values.values()))
    items = [
        {keyword: each[number] for keyword, each in values.items() if number < len(each)}
        for number in range(count)
    ]
    return [
        item
        for item in items
        if all(condition.matches(item.get(condition.keyword)) for condition in conditions)
    ]


def _values(attributes: Mapping[str, str], keyword: str) -> list[str]:
    text = attributes.get(keyword, "")
    return text.split("\\") if text else []


def _item(said: Mapping[str, str], told: frozenset[int]) -> Identifier:
    return {
        tag: Key(attribute.vr, said.get(attribute.keyword, ""))
        for tag, attribute in ITEM_KEYS.items()
        if tag in told
    }

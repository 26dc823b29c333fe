"""One match of a search in the DICOM JSON Model (PS3.18 §F.2)."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from fileroom.dicom import json_model
from fileroom.dicomweb.qido import included
from fileroom.dicomweb.qido.keys import COMPUTED_TAGS, IN_SEQUENCE, SEQUENCE, TAGS, Column, Found
from fileroom.dicomweb.qido.query import Query
from fileroom.dicomweb.wado.instances import with_urls
from fileroom.http.ports import StoredInstance

ROWS_A_TURN = 8
CHARACTER_SET = {"00080005": msgspec.json.encode({"vr": "CS", "Value": ["ISO_IR 192"]})}
_encode = msgspec.json.Encoder().encode


class Writer:
    """Writes the matches of one search."""

    def __init__(
        self, found: Found, columns: Sequence[Column], query: Query, base_url: str
    ) -> None:
        self._found = found
        self._columns = columns
        self._base_url = base_url
        self._everything = query.everything
        self._wanted = included.wanted(query.paths)
        self._written = 0

    async def row(self, attributes: Mapping[str, str], instance: StoredInstance | None) -> bytes:
        """One match, its attributes in the order of their tags."""
        self._written += 1
        if self._written % ROWS_A_TURN == 0:
            # Nothing here need wait; others shall have their turn, and so shall whoever notices
            # that the caller has gone.
            await asyncio.sleep(0)
        elements = dict(CHARACTER_SET)
        for column in self._columns:
            element = self._element(attributes, column)
            if element:
                elements[column.tag] = element
        if instance is not None and (self._everything or self._wanted):
            said = await with_urls(instance, self._base_url)
            if self._everything:
                more = included.everything(said)
            else:
                more = included.chosen(said, self._wanted)
            own = {tag: each for tag, each in more.items() if tag not in COMPUTED_TAGS}
            elements = dict(sorted((elements | own | CHARACTER_SET).items()))
        written = [b'"%s":%s' % (tag.encode("ascii"), each) for tag, each in elements.items()]
        return b"{" + b",".join(written) + b"}"

    def _element(self, attributes: Mapping[str, str], column: Column) -> bytes:
        """An element of a match, encoded; empty: it is left out."""
        keyword = column.keyword
        if keyword == "RetrieveURL":
            return _encoded(keyword, self._url(attributes))
        if keyword == SEQUENCE:
            return _request_attributes(attributes)
        value = attributes.get(keyword, "")
        if not value and not column.required:
            return b""
        return _encoded(keyword, value)

    def _url(self, attributes: Mapping[str, str]) -> str:
        url = f"{self._base_url}/studies/{attributes.get('StudyInstanceUID', '')}"
        if self._found is not Found.STUDIES:
            url += f"/series/{attributes.get('SeriesInstanceUID', '')}"
        if self._found is Found.INSTANCES:
            url += f"/instances/{attributes.get('SOPInstanceUID', '')}"
        return url


@lru_cache(maxsize=16_384)
def _encoded(keyword: str, value: str) -> bytes:
    """An element. Most of a page was written before, for another match or another asker."""
    return _encode(json_model.element(keyword, value))


def _request_attributes(attributes: Mapping[str, str]) -> bytes:
    """The sequence, with one item for each request; empty where none is known."""
    values = [attributes.get(keyword, "").split("\\") for keyword in IN_SEQUENCE]
    count = max(map(len, values))
    items = [
        {
            TAGS[keyword]: json_model.element(keyword, each[number])
            for keyword, each in zip(IN_SEQUENCE, values, strict=True)
            if number < len(each) and each[number]
        }
        for number in range(count)
    ]
    items = [item for item in items if item]
    return _encode({"vr": "SQ", "Value": items}) if items else b""

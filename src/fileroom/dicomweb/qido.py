"""QIDO-RS: searching for studies, series and instances (PS3.18 §10.6).

A search without a match is answered by 200 and an empty list, as the standard says since 2025
(PS3.18 §10.6.3.1; up to 2024 it was 204), since clients parse the list either way.
"""

from collections.abc import Mapping

import msgspec

from fileroom.catalog.query import Level, Search
from fileroom.dicom import json_model, match
from fileroom.dicomweb import negotiate, qido_keys, qido_query
from fileroom.dicomweb.answers import answer
from fileroom.dicomweb.qido_keys import IN_SEQUENCE, SEQUENCE, TAGS, Column, Found
from fileroom.dicomweb.refusals import Header, NotAcceptableError
from fileroom.dicomweb.request import Request, Service

CHANNEL = "qido"
PURPOSE = "search"
ONLINE = "ONLINE"
CHARACTER_SET = msgspec.json.encode({"vr": "CS", "Value": ["ISO_IR 192"]})
_ENCODER = msgspec.json.Encoder()


async def studies(service: Service, request: Request) -> None:
    """GET /studies."""
    await _search(service, request, Found.STUDIES)


async def series(service: Service, request: Request) -> None:
    """GET /series and /studies/{study}/series."""
    await _search(service, request, Found.SERIES)


async def instances(service: Service, request: Request) -> None:
    """GET /instances, /studies/{study}/instances and below a series."""
    await _search(service, request, Found.INSTANCES)


async def _search(service: Service, request: Request, found: Found) -> None:
    media_type = negotiate.choose_json(request.accepts())
    if media_type is None:
        raise NotAcceptableError("matches are given as application/dicom+json")
    limits = service.limits
    query = qido_query.read(
        request.query(),
        found,
        limit_default=limits.results_default,
        limit_max=limits.results_max,
    )
    conditions = query.conditions
    study, below = request.parameters.get("study"), request.parameters.get("series")
    if below is not None:
        conditions = (*conditions, match.parse("SeriesInstanceUID", below))
    search = Search(
        level=Level.STUDY if found is Found.STUDIES else Level.SERIES,
        partition=service.partition,
        study_instance_uid=study,
        conditions=conditions,
        # One more than is sent tells whether there are more.
        limit=query.limit + 1,
        offset=query.offset,
    )
    # Attributes are read too: the search is on record before its first match leaves (invariant
    # 11), under the study that it asks about, or under none where it asks about all.
    record = await service.coverage.covers(
        request.principal, study or "", purpose=PURPOSE, channel=CHANNEL
    )
    if found is Found.INSTANCES:
        rows = await service.archive.search_instances(search)
    else:
        rows = await service.archive.search(search)
    columns = qido_keys.columns(
        found,
        below_study=study is not None,
        below_series=below is not None,
        added=query.added,
    )
    sent = rows[: query.limit]
    body = (
        b"[" + b",".join([_row(each.attributes, columns, found, request) for each in sent]) + b"]"
    )
    warnings = list(query.warnings)
    if len(rows) > query.limit:
        warnings.append("There are additional results that can be requested")
    record.count(bytes=len(body))
    await answer(request, 200, media_type, body, _warning_fields(request, warnings))


def _warning_fields(request: Request, warnings: list[str]) -> list[Header]:
    """Warning fields in the form of PS3.18 §8.3.4.2 and §8.3.4.4.1."""
    return [(b"warning", f"299 {request.base_url}: {each}".encode("ascii")) for each in warnings]


def _row(
    attributes: Mapping[str, str], columns: tuple[Column, ...], found: Found, request: Request
) -> bytes:
    """One match in the DICOM JSON Model (PS3.18 §F.2)."""
    pieces = [b'{"00080005":' + CHARACTER_SET]
    for column in columns:
        element = _element(attributes, column, found, request)
        if element is not None:
            pieces.append(b'"%s":%s' % (column.tag.encode("ascii"), _ENCODER.encode(element)))
    return b",".join(pieces) + b"}"


def _element(
    attributes: Mapping[str, str], column: Column, found: Found, request: Request
) -> object | None:
    keyword = column.keyword
    if keyword == "RetrieveURL":
        return json_model.element(keyword, _url(attributes, found, request))
    if keyword == SEQUENCE:
        return _request_attributes(attributes)
    if keyword == "InstanceAvailability":
        return json_model.element(keyword, attributes.get(keyword) or ONLINE)
    value = attributes.get(keyword, "")
    if not value and not column.required:
        return None
    return json_model.element(keyword, value)


def _request_attributes(attributes: Mapping[str, str]) -> object | None:
    """The sequence, with one item for each request; None where none is known."""
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
    return {"vr": "SQ", "Value": items} if items else None


def _url(attributes: Mapping[str, str], found: Found, request: Request) -> str:
    url = f"{request.base_url}/studies/{attributes.get('StudyInstanceUID', '')}"
    if found is not Found.STUDIES:
        url += f"/series/{attributes.get('SeriesInstanceUID', '')}"
    if found is Found.INSTANCES:
        url += f"/instances/{attributes.get('SOPInstanceUID', '')}"
    return url

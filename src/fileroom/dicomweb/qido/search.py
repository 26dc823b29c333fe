"""QIDO-RS: searching for studies, series and instances (PS3.18 §10.6).

A search without a match is answered by 200 and an empty list, as the standard says since 2025
(PS3.18 §10.6.3.1; up to 2024 it was 204), since clients parse the list either way. A multipart
body has no way to be empty, so in XML it is 204 still.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import msgspec

from fileroom.catalog.query import (
    COMPUTED,
    MATCHABLE,
    SERIES_COUNTS,
    Level,
    Position,
    Search,
)
from fileroom.dicom import match
from fileroom.dicomweb import models, negotiate
from fileroom.dicomweb.location import base_url
from fileroom.dicomweb.qido import keys as qido_keys
from fileroom.dicomweb.qido import query as qido_query
from fileroom.dicomweb.qido.keys import Found
from fileroom.dicomweb.qido.matches import Writer
from fileroom.dicomweb.qido.query import Query
from fileroom.http.answers import answer_head
from fileroom.http.paging import Place, name_of
from fileroom.http.refusals import Header, NotAcceptableError
from fileroom.http.request import Request, Service

CHANNEL = "qido"
PURPOSE = "search"
LEVEL = {Found.STUDIES: Level.STUDY, Found.SERIES: Level.SERIES, Found.INSTANCES: Level.SERIES}
SERIES_COUNTED_MAX = 1_000  # for the number of instances that are left
TOTAL = b"x-total-count"
PAGE_BYTES_MAX = 64 << 20  # of instances as JSON; a page ends there, and the rest is another one's


class Page(NamedTuple):
    """What one request gives.

    Attributes:
        rows: the matches as they are sent. An instance holds all that its pack says, so none is
            kept until the page is complete.
        behind: how many matches come behind them; None: some, and to count them would cost more
            than finding them.
    """

    rows: Sequence[bytes]
    behind: int | None


async def studies(service: Service, request: Request) -> None:
    """GET or HEAD of /studies."""
    await _search(service, request, Found.STUDIES)


async def series(service: Service, request: Request) -> None:
    """GET or HEAD of /series and /studies/{study}/series."""
    await _search(service, request, Found.SERIES)


async def instances(service: Service, request: Request) -> None:
    """GET or HEAD of /instances, /studies/{study}/instances and below a series."""
    await _search(service, request, Found.INSTANCES)


async def _search(service: Service, request: Request, found: Found) -> None:
    form = negotiate.choose_model(request.accepts(), single=False)
    if form is None:
        raise NotAcceptableError(
            "matches are given as application/dicom+json, or as application/dicom+xml in "
            "multipart/related"
        )
    query = qido_query.read(
        request.query(),
        found,
        limit_default=service.limits.results_default,
        limit_max=service.limits.results_max,
    )
    study, below = request.parameters.get("study"), request.parameters.get("series")
    columns = qido_keys.columns(
        found,
        below_study=study is not None,
        below_series=below is not None,
        added=query.added,
    )
    conditions = query.conditions
    if below is not None:
        conditions = (*conditions, match.parse("SeriesInstanceUID", below))
    level = LEVEL[found]
    search = Search(
        level=level,
        partition=service.partition,
        study_instance_uid=study,
        conditions=conditions,
        computed=COMPUTED[level] & {each.keyword for each in columns},
        limit=query.limit,
        offset=query.offset,
    )
    # Attributes are read too: the search is on record before its first match leaves (invariant
    # 11), under the study that it asks about, or under none where it asks about all.
    record = await service.coverage.covers(
        request.principal, study or "", purpose=PURPOSE, channel=CHANNEL
    )
    writer = Writer(found, columns, query, base_url(request))
    if found is Found.INSTANCES:
        page = await _instances(service, request, search, writer)
    else:
        page = await _of_catalog(service, request, search, writer)
    headers = _paging_fields(request, query, page)
    if not page.rows and form.multipart:
        await answer_head(request, 204, headers)
        return

    async def described() -> AsyncIterator[bytes]:
        for row in page.rows:
            yield row

    await models.send(request, form, described(), record=record, headers=headers)


async def _of_catalog(service: Service, request: Request, search: Search, writer: Writer) -> Page:
    """A page of studies or series."""
    name = _name(request)
    start = service.pages.start(name, search.offset)
    # One more than is sent tells whether there are more.
    asked = msgspec.structs.replace(
        search, after=start.after, offset=start.skip, limit=search.limit + 1
    )
    rows = await service.archive.search(asked)
    sent = rows[: search.limit]
    behind: int | None = 0
    if len(rows) > search.limit:
        places = [Place(each.position) for each in sent]
        service.pages.keep(name, search.offset, places)
        counted = await service.archive.count(asked)
        behind = None if counted is None else max(1, counted - start.skip - len(sent))
    return Page([await writer.row(each.attributes, None) for each in sent], behind)


async def _instances(service: Service, request: Request, search: Search, writer: Writer) -> Page:
    """A page of instances. None is looked at behind it, unless that alone tells how many there
    are and all of them are in one study."""
    name, offset = _name(request), search.offset
    by_uid = any(each.keyword == "SOPInstanceUID" for each in search.conditions)
    # Instances that are asked for by name come in the order of their names, a page like any other.
    start = service.pages.start(b"" if by_uid else name, offset)
    own = any(each.keyword not in MATCHABLE[Level.SERIES] for each in search.conditions)
    skip, passed = start.skip, set(start.passed)
    sent: list[bytes] = []
    sent_bytes = 0
    places: list[Place] = []
    behind: int | None = 0
    looked_at, series = 0, None
    asked = msgspec.structs.replace(search, after=start.after)
    async for row, instance in service.archive.instance_matches(asked):
        if row.position != series:
            looked_at, series = 0, row.position
        looked_at += 1
        if instance.sop_instance_uid in passed:
            passed.discard(instance.sop_instance_uid)
        elif skip:
            skip -= 1
        elif len(sent) < search.limit and sent_bytes < PAGE_BYTES_MAX:
            sent.append(await writer.row(row.attributes, instance))
            sent_bytes += len(sent[-1])
            places.append(Place(row.position, instance.sop_instance_uid))
        elif own and search.study_instance_uid is not None:
            behind = (behind or 0) + 1
        else:
            before = looked_at - 1 + len(passed)
            behind = None if own else await _counted(service, search, row.position, before)
            break
    if behind != 0 and not by_uid:
        service.pages.keep(name, offset, places)
    return Page(sent, behind)


async def _counted(service: Service, search: Search, series: Position, before: int) -> int | None:
    """How many instances there are in this series and those behind it, without the `before` that
    are on this page or earlier ones; None where too many series would have to be asked."""
    rows = await service.archive.search(
        msgspec.structs.replace(
            search,
            after=series._replace(series=series.series - 1),
            offset=0,
            limit=SERIES_COUNTED_MAX + 1,
            computed=SERIES_COUNTS,
        )
    )
    if len(rows) > SERIES_COUNTED_MAX:
        return None
    found = sum(int(each.attributes["NumberOfSeriesRelatedInstances"]) for each in rows)
    return max(1, found - before)


def _name(request: Request) -> bytes:
    principal = request.principal
    return name_of(f"{principal.name} {principal.address}", request.scope["path"], request.query())


def _paging_fields(request: Request, query: Query, page: Page) -> list[Header]:
    """How many matches there are and how many are left (PS3.18 §8.3.4.4.1)."""
    fields: list[Header] = []
    if page.behind is not None and (page.rows or not query.offset or page.behind):
        total = query.offset + len(page.rows) + page.behind
        fields.append((TOTAL, b"%d" % total))
    if page.behind != 0:
        many = "" if page.behind is None else f"{page.behind} "
        text = f"299 {base_url(request)}: There are {many}additional results that can be requested"
        fields.append((b"warning", text.encode("ascii")))
    return fields

"""Data sets that share a SOP Instance UID, studies that say two patients: looked at, settled."""

from typing import Any

import msgspec

from fileroom.access.identity import LOOPBACK, place
from fileroom.decisions.conflicts import (
    Conflict,
    ConflictDesk,
    NoConflictError,
    NoReasonError,
)
from fileroom.http.answers import answer
from fileroom.http.refusals import BadRequestError, ForbiddenError, NotFoundError
from fileroom.http.request import Request, Service
from fileroom.web.bodies import JSON, document_of

CHANNEL = "http"
LISTED = 100
BODY_BYTES_MAX = 8192  # a reason of 1,000 characters, each escaped


class Settling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a settle request says: which data set to serve, by its SHA-256, and why."""

    serve: str
    reason: str


_settling = msgspec.json.Decoder(Settling)


async def listed(service: Service, request: Request) -> None:
    """GET of the conflicts: `limit`, `after` a key, `settled=true` for those that are, too."""
    desk, asked = _desk(service), dict(request.query())
    await _covered(service, request, "")
    found = await desk.listed(
        after=_key(asked.get("after", "")),
        limit=_number(asked.get("limit", str(LISTED))),
        settled=asked.get("settled") == "true",
    )
    await _answer(request, {"conflicts": found})


async def doubted(service: Service, request: Request) -> None:
    """GET of the studies that say two patients: `limit`, `after` a key."""
    desk, asked = _desk(service), dict(request.query())
    await _covered(service, request, "")
    found = await desk.doubted(
        after=_number(asked.get("after", "0")), limit=_number(asked.get("limit", str(LISTED)))
    )
    await _answer(request, {"studies": found})


async def shown(service: Service, request: Request) -> None:
    """GET of one conflict, with the tags in which its data sets differ."""
    await _answer(request, await _shown(service, request))


async def values(service: Service, request: Request) -> None:
    """GET of what its data sets say in these tags; on the node's own machine only."""
    if place(request.principal) != LOOPBACK:
        raise ForbiddenError("values are shown on the node's own machine only")
    conflict = await _shown(service, request)
    said = await _desk(service).values(conflict.sop_instance_uid)
    await _answer(request, {"conflict": conflict, "values": said})


async def settle(service: Service, request: Request) -> None:
    """POST of a decision: which data set is served from now on, and why."""
    desk = _desk(service)
    asked = await document_of(
        service, request, _settling, what="decision about a conflict", bytes_max=BODY_BYTES_MAX
    )
    try:
        index = await desk.settle(
            request.parameters["instance"],
            asked.serve,
            who=request.principal,
            channel=CHANNEL,
            reason=asked.reason,
        )
    except NoConflictError as error:
        raise NotFoundError(str(error)) from error
    except NoReasonError as error:
        raise BadRequestError(str(error)) from error
    await _answer(request, {"ledger_index": index})


async def _shown(service: Service, request: Request) -> Conflict:
    """The conflict of the path, its reading on record (invariant 11)."""
    try:
        found = await _desk(service).show(request.parameters["instance"])
    except NoConflictError as error:
        raise NotFoundError(str(error)) from error
    for study in sorted({each.study_instance_uid for each in found.data_sets}):
        await _covered(service, request, study)
    return found


async def _covered(service: Service, request: Request, study: str) -> None:
    await service.coverage.covers(request.principal, study, purpose="conflict", channel=CHANNEL)


async def _answer(request: Request, document: Any) -> None:
    await answer(request, 200, JSON, msgspec.json.encode(document))


def _desk(service: Service) -> ConflictDesk:
    if service.conflicts is None:
        raise NotFoundError("there is no such resource")
    return service.conflicts


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadRequestError("a limit or a place is a number")
    return int(text)


def _key(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadRequestError("a key is hexadecimal digits") from None

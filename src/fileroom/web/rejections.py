"""What is rejected: told, decided, undone."""

from collections.abc import Awaitable
from typing import Any

import msgspec

from fileroom.catalog.rejections import Scope
from fileroom.decisions.rejections import (
    BadScopeError,
    NotKeptError,
    NotRejectedError,
    RejectionDesk,
    UnknownReasonError,
)
from fileroom.dicom.uid import is_safe
from fileroom.http.answers import answer
from fileroom.http.refusals import BadRequestError, NotFoundError
from fileroom.http.request import Request, Service
from fileroom.web.bodies import JSON, document_of

CHANNEL = "http"
LISTED = 100
BODY_BYTES_MAX = 1 << 20


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request is about, and why."""

    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uids: tuple[str, ...] = ()
    reason: str = ""

    @property
    def scope(self) -> Scope:
        return Scope(self.study_instance_uid, self.series_instance_uid, self.sop_instance_uids)


class Rejecting(Named, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be rejected; `code` is of PS3.16 CID 7010."""

    code: str


class Restoring(Named, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be shown again."""

    everything: bool = False


_rejecting = msgspec.json.Decoder(Rejecting)
_restoring = msgspec.json.Decoder(Restoring)


async def listed(service: Service, request: Request) -> None:
    """GET of what is hidden, the latest decision first: `limit`, `before` a decision, `study`."""
    desk, asked = _desk(service), dict(request.query())
    study = asked.get("study")
    if study is not None and not is_safe(study):
        raise BadRequestError("a study is named by its UID")
    before = None if "before" not in asked else _number(asked["before"])
    limit = _number(asked.get("limit", str(LISTED)))
    record = await service.coverage.covers(
        request.principal, study or "", purpose="rejections", channel=CHANNEL
    )
    record.count()
    found = await desk.listed(study_instance_uid=study, before=before, limit=limit)
    await _answer(request, {"rejections": found})


async def reject(service: Service, request: Request) -> None:
    """POST of a decision that hides a study, a series of it, or instances."""
    desk = _desk(service)
    asked = await document_of(
        service, request, _rejecting, what="rejection", bytes_max=BODY_BYTES_MAX
    )
    await _take(
        request,
        desk.reject(
            asked.scope,
            code=asked.code,
            reason=asked.reason,
            who=request.principal,
            channel=CHANNEL,
        ),
    )


async def restore(service: Service, request: Request) -> None:
    """POST of a decision that shows again what was rejected as exactly that."""
    desk = _desk(service)
    asked = await document_of(
        service, request, _restoring, what="restoration", bytes_max=BODY_BYTES_MAX
    )
    await _take(
        request,
        desk.restore(
            asked.scope,
            everything=asked.everything,
            reason=asked.reason,
            who=request.principal,
            channel=CHANNEL,
        ),
    )


async def _take(request: Request, decision: Awaitable[object]) -> None:
    """Wait until a decision is taken, and answer what came of it."""
    try:
        decisions = await decision
    except (UnknownReasonError, BadScopeError) as error:
        raise BadRequestError(str(error)) from error
    except (NotKeptError, NotRejectedError) as error:
        raise NotFoundError(str(error)) from error
    await _answer(request, {"decisions": decisions})


async def _answer(request: Request, document: Any) -> None:
    await answer(request, 200, JSON, msgspec.json.encode(document))


def _desk(service: Service) -> RejectionDesk:
    if service.rejections is None:
        raise NotFoundError("there is no such resource")
    return service.rejections


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadRequestError("a limit or a decision is a number")
    return int(text)

"""What is forwarded to other archives: looked at, tried again, paused."""

from typing import Any

import msgspec

from fileroom.catalog.forwards import StudyForward
from fileroom.dicom.uid import is_safe
from fileroom.forward.send import UnknownDestinationError
from fileroom.http.answers import answer
from fileroom.http.ports import Forwards
from fileroom.http.refusals import BadRequestError, NotFoundError
from fileroom.http.request import Request, Service
from fileroom.web.bodies import JSON, document_of

CHANNEL = "http"
PURPOSE = "forward"
LISTED = 100
LISTED_MAX = 10_000


class Retrying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a retry says: one study, or all; and whether all of the one study is sent again."""

    study: str = ""
    everything: bool = False


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request that says all by its path."""


_retrying = msgspec.json.Decoder(Retrying)
_nothing = msgspec.json.Decoder(Nothing)


async def listed(service: Service, request: Request) -> None:
    """GET of the studies that are not all forwarded: `destination`, `limit`; `study` shows one that
    is, too, and which of its instances were refused."""
    forwards, asked = _forwards(service), dict(request.query())
    study = _study(asked.get("study", ""))
    record = await service.coverage.covers(
        request.principal, study, purpose=PURPOSE, channel=CHANNEL
    )
    limit = _limit(asked.get("limit", str(LISTED)))
    found = await forwards.studies(asked.get("destination", ""), study, limit=limit)
    document: dict[str, Any] = {"studies": [_shown(each) for each in found]}
    if study:
        document["refused"] = [
            {
                "destination": each.destination,
                "rule": each.rule,
                "sop_instance_uid": each.sop_instance_uid,
                "reason": each.reason,
            }
            for each in await forwards.refused(study)
        ]
    record.count()
    await _answer(request, document)


async def retry(service: Service, request: Request) -> None:
    """POST to try a destination now, also what it refused."""
    forwards = _forwards(service)
    asked = await document_of(service, request, _retrying, what="retry")
    to, study = request.parameters["destination"], _study(asked.study)
    if asked.everything and not study:
        raise BadRequestError("everything is sent again of one study only")
    try:
        count = await forwards.retry(to, study, everything=asked.everything, by=request.principal)
    except UnknownDestinationError as error:
        raise NotFoundError(str(error)) from error
    await _answer(request, {"destination": to, "instances": count})


async def pause(service: Service, request: Request) -> None:
    """POST to let a destination get nothing until it is resumed."""
    await _paused(service, request, True)


async def resume(service: Service, request: Request) -> None:
    """POST to let a destination go on."""
    await _paused(service, request, False)


async def _paused(service: Service, request: Request, paused: bool) -> None:
    forwards = _forwards(service)
    await document_of(service, request, _nothing, what="request")
    to = request.parameters["destination"]
    try:
        await forwards.pause(to, paused, by=request.principal)
    except UnknownDestinationError as error:
        raise NotFoundError(str(error)) from error
    await _answer(request, {"destination": to, "paused": paused})


def _shown(study: StudyForward) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(study)
    counts = shown.pop("counts")
    since_ns, changed_at_ns = shown.pop("since_ns"), shown.pop("changed_at_ns")
    return {
        **shown,
        "in": study.counts.taken,
        "out": study.counts.stored,
        **counts,
        "since_s": since_ns / 1e9 or None,
        "changed_at_s": changed_at_ns / 1e9 or None,
    }


async def _answer(request: Request, document: Any) -> None:
    await answer(request, 200, JSON, msgspec.json.encode(document))


def _forwards(service: Service) -> Forwards:
    if service.forwards is None:
        raise NotFoundError("there is no such resource")
    return service.forwards


def _study(text: str) -> str:
    if text and not is_safe(text):
        raise BadRequestError("study is no UID")
    return text


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequestError("limit is a number")
    return min(int(text), LISTED_MAX)

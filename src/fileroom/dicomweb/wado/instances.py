"""WADO-RS: studies, series, instances and their metadata (PS3.18 §10.4)."""

from collections.abc import AsyncIterator, Sequence

from fileroom.dicomweb import models, negotiate
from fileroom.dicomweb.conditional import tag_of, unchanged
from fileroom.dicomweb.flowing import MadePart, send_made, send_made_parts
from fileroom.dicomweb.location import base_url, instance_url
from fileroom.dicomweb.ranges import Part, send_bare, send_parts
from fileroom.dicomweb.wado import transcoded
from fileroom.http.ports import ReadRecord, StoredInstance
from fileroom.http.refusals import NotAcceptableError, NotFoundError
from fileroom.http.request import Request, Service

CHANNEL = "wado"
PURPOSE = "retrieve"
# A "BulkDataURI" of ours in DICOM JSON. In a text value the quotes would be escaped, so this
# sequence of bytes stands nowhere else.
PLACEHOLDER = b'"BulkDataURI":"bulkdata/'


async def held(service: Service, request: Request) -> Sequence[StoredInstance]:
    """The instances that the path names. Raises NotFoundError where there is none."""
    path = request.parameters
    found = await service.archive.holdings(path["study"], path.get("series"), path.get("instance"))
    if not found:
        raise NotFoundError("there is no such resource")
    return found


async def covered(service: Service, request: Request) -> ReadRecord:
    """Have the read recorded, durably, before its first byte leaves (invariant 11)."""
    return await service.coverage.covers(
        request.principal, request.parameters["study"], purpose=PURPOSE, channel=CHANNEL
    )


async def instances(service: Service, request: Request) -> None:
    """GET or HEAD of a study, a series or an instance.

    It is given whole or not at all: where one instance of a study cannot be sent in an acceptable
    transfer syntax the answer is 406, not 206 with some of the images.
    """
    found = await held(service, request)
    accepts = request.accepts()
    single = "instance" in request.parameters
    choices = [transcoded.choose(accepts, each, single=single) for each in found]
    chosen = [choice for choice in choices if choice is not None]
    if len(chosen) < len(found):
        raise NotAcceptableError(
            f"{len(found) - len(chosen)} of {len(found)} instances are stored in a form that the "
            "Accept field leaves out, and cannot be given in one that it names"
        )
    record = await covered(service, request)
    form = transcoded.form_of(found, chosen)
    tag = tag_of(found, *form, strong=not chosen[0].multipart)
    if await unchanged(request, tag):
        return
    if any(map(transcoded.is_made, found, chosen)):
        await _send_made(service, request, found, chosen, record, tag=tag)
    elif chosen[0].multipart:
        parts = [
            Part(
                [("Content-Type", choice.content_type), ("Content-Length", str(each.size_bytes))],
                each,
                [(0, each.size_bytes)],
            )
            for each, choice in zip(found, chosen, strict=True)
        ]
        await send_parts(request, negotiate.DICOM, parts, record, unit="instances", tag=tag)
    else:
        await send_bare(
            request,
            found[0],
            [(0, found[0].size_bytes)],
            chosen[0].content_type,
            record,
            unit="instances",
            tag=tag,
            headers=[transcoded.ATTACHED],
        )


async def _send_made(
    service: Service,
    request: Request,
    found: Sequence[StoredInstance],
    chosen: Sequence[negotiate.Choice],
    record: ReadRecord,
    *,
    tag: str,
) -> None:
    """Send instances of which some are transcoded on the way, one after another."""
    accepts = request.accepts()
    if not chosen[0].multipart:
        media_type, pieces = await transcoded.file_of(service, accepts, found[0], chosen[0])
        await send_made(
            request,
            media_type,
            pieces,
            record,
            unit="instances",
            tag=tag,
            headers=[transcoded.ATTACHED],
        )
        return

    async def parts() -> AsyncIterator[MadePart]:
        for each, choice in zip(found, chosen, strict=True):
            media_type, pieces = await transcoded.file_of(service, accepts, each, choice)
            yield MadePart([("Content-Type", media_type)], pieces)

    await send_made_parts(request, negotiate.DICOM, parts(), record, unit="instances", tag=tag)


async def metadata(service: Service, request: Request) -> None:
    """GET or HEAD of what the data sets of a study, a series or an instance say, without bulk
    data (PS3.18 §10.4.1.1)."""
    form = negotiate.choose_model(request.accepts(), single="instance" in request.parameters)
    if form is None:
        raise NotAcceptableError(
            "metadata is given as application/dicom+json, or as application/dicom+xml in "
            "multipart/related"
        )
    found = await held(service, request)
    record = await covered(service, request)
    tag = tag_of(found, form.name, base_url(request), strong=False)
    if await unchanged(request, tag, models.CODED_BY):
        return

    async def described() -> AsyncIterator[bytes]:
        for each in found:
            yield await with_urls(each, base_url(request))

    await models.send(request, form, described(), record=record, tag=tag)


async def with_urls(instance: StoredInstance, base_url: str) -> bytes:
    """An instance's DICOM JSON with its bulk data placeholders made absolute URLs."""
    url = f'"BulkDataURI":"{instance_url(instance, base_url)}/bulkdata/'
    described = await instance.dicom_json()
    return described.replace(PLACEHOLDER, url.encode("ascii"))

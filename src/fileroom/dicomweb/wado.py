"""WADO-RS: studies, series, instances and their metadata (PS3.18 §10.4)."""

from collections.abc import AsyncIterator, Sequence

from fileroom.dicomweb import negotiate
from fileroom.dicomweb.answers import Outflow, answer
from fileroom.dicomweb.ports import Buffer, ReadRecord, StoredInstance
from fileroom.dicomweb.ranges import Part, send_bare, send_parts
from fileroom.dicomweb.refusals import NotAcceptableError, NotFoundError
from fileroom.dicomweb.request import Request, Service

CHANNEL = "wado"
PURPOSE = "retrieve"
# A "BulkDataURI" of ours in DICOM JSON. In a text value the quotes would be escaped, so this
# sequence of bytes stands nowhere else.
PLACEHOLDER = b'"BulkDataURI":"bulkdata/'
# Metadata of more than this is sent as it is made, without a Content-Length.
JOINED_INSTANCES_MAX = 512
JOINED_BYTES_MAX = 32 << 20


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
    choices = [
        negotiate.choose_instance(accepts, each.transfer_syntax_uid, single=single)
        for each in found
    ]
    chosen = [choice for choice in choices if choice is not None]
    if len(chosen) < len(found):
        raise NotAcceptableError(
            f"{len(found) - len(chosen)} of {len(found)} instances are stored in a form that the "
            "Accept field leaves out, and this archive does not transcode"
        )
    record = await covered(service, request)
    if not chosen[0].multipart:
        await send_bare(
            request,
            found[0],
            [(0, found[0].size_bytes)],
            chosen[0].content_type,
            record,
            unit="instances",
            headers=[(b"content-disposition", b'attachment; filename="instance.dcm"')],
        )
        return
    parts = [
        Part(
            [("Content-Type", choice.content_type), ("Content-Length", str(each.size_bytes))],
            each,
            [(0, each.size_bytes)],
        )
        for each, choice in zip(found, chosen, strict=True)
    ]
    await send_parts(request, negotiate.DICOM, parts, record, unit="instances")


async def metadata(service: Service, request: Request) -> None:
    """GET the DICOM JSON of a study, a series or an instance, without bulk data."""
    media_type = negotiate.choose_json(request.accepts())
    if media_type is None:
        raise NotAcceptableError("metadata is given as application/dicom+json")
    found = await held(service, request)
    record = await covered(service, request)

    async def pieces() -> AsyncIterator[bytes]:
        for number, each in enumerate(found):
            yield (b"," if number else b"[") + await with_urls(each, request.base_url)
        yield b"]"

    flowing, gathered, gathered_bytes = pieces(), list[bytes](), 0
    async for piece in flowing:
        gathered.append(piece)
        gathered_bytes += len(piece)
        if len(gathered) > JOINED_INSTANCES_MAX or gathered_bytes > JOINED_BYTES_MAX:
            break
    else:
        await answer(request, 200, media_type, b"".join(gathered))
        record.count(bytes=gathered_bytes)
        return

    async def all_pieces() -> AsyncIterator[Buffer]:
        for piece in gathered:
            yield piece
        async for piece in flowing:
            yield piece

    await Outflow(request, 200, media_type, None, record=record).send_all(all_pieces())


async def with_urls(instance: StoredInstance, base_url: str) -> bytes:
    """An instance's DICOM JSON with its bulk data placeholders made absolute URLs."""
    url = f'"BulkDataURI":"{instance_url(instance, base_url)}/bulkdata/'
    described = await instance.dicom_json()
    return described.replace(PLACEHOLDER, url.encode("ascii"))


def instance_url(instance: StoredInstance, base_url: str) -> str:
    """The URL under which an instance is retrieved."""
    return (
        f"{base_url}/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances/{instance.sop_instance_uid}"
    )

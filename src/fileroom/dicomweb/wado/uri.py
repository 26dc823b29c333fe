"""WADO-URI: an instance, or a picture of one of its frames, by query parameters (PS3.18 §9)."""

from fileroom.dicomweb.conditional import tag_of, unchanged
from fileroom.dicomweb.flowing import Whole, send_made
from fileroom.dicomweb.negotiate import DICOM
from fileroom.dicomweb.ranges import send_bare
from fileroom.dicomweb.wado import transcoded
from fileroom.dicomweb.wado.instances import covered, held
from fileroom.dicomweb.wado.uri_query import Asked, asked_of
from fileroom.http.ports import StoredInstance
from fileroom.http.refusals import BadRequestError, NotAcceptableError
from fileroom.http.request import Request, Service
from fileroom.pixels.view import View
from fileroom.retrieve.render import made_by


async def retrieve(service: Service, request: Request) -> None:
    """GET or HEAD of the one instance that the query names. Study and series must be those of the
    instance."""
    asked = asked_of(request.query(), request.header(b"accept"))
    instance = (await held(service, request))[0]
    if asked.view is None:
        await _send_instance(service, request, instance, asked)
    else:
        await _send_picture(service, request, instance, asked.frame, asked.view)


async def _send_instance(
    service: Service, request: Request, instance: StoredInstance, asked: Asked
) -> None:
    """Send the Part 10 file (PS3.18 §9.4). Its media type has no parameter (§8.7.3.5.2)."""
    syntax = asked.transfer_syntax_uid
    accepts = (DICOM if syntax is None else f"{DICOM}; transfer-syntax={syntax}",)
    choice = transcoded.choose(accepts, instance, single=True)
    if choice is None:
        raise NotAcceptableError(
            f"this is stored in transfer syntax {instance.transfer_syntax_uid}, and cannot be "
            "given in the one that is asked for"
        )
    record = await covered(service, request)
    tag = tag_of([instance], *transcoded.form_of([instance], [choice]), strong=True)
    if await unchanged(request, tag):
        return
    if transcoded.is_made(instance, choice):
        _, pieces = await transcoded.file_of(service, accepts, instance, choice)
        await send_made(
            request,
            DICOM,
            pieces,
            record,
            unit="instances",
            tag=tag,
            headers=[transcoded.ATTACHED],
        )
        return
    await send_bare(
        request,
        instance,
        [(0, instance.size_bytes)],
        DICOM,
        record,
        unit="instances",
        tag=tag,
        headers=[transcoded.ATTACHED],
    )


async def _send_picture(
    service: Service, request: Request, instance: StoredInstance, frame: int, view: View
) -> None:
    """Send a frame as an image for the eye (PS3.18 §9.5)."""
    record = await covered(service, request)
    form = (view.media_type, f"frame {frame}", view.key(), made_by())
    tag = tag_of([instance], *form, strong=True)
    if await unchanged(request, tag):
        return
    count = await service.renderer.frame_count(instance)
    if frame >= count:
        # Of a frame that is not there the clause says 400 (PS3.18 §9.5.2.1).
        raise BadRequestError(f"the instance has {count} frames")
    picture = Whole(await service.renderer.render(instance, frame, view))
    await send_bare(
        request, picture, picture.ranges, view.media_type, record, unit="frames", tag=tag
    )

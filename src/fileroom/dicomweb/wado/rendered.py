"""WADO-RS: pictures of studies, series, instances and frames (PS3.18 §10.4.1.1.3), and their
thumbnails (§10.4.1.1.4)."""

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import replace

from fileroom.dicomweb import negotiate
from fileroom.dicomweb.conditional import tag_of, unchanged
from fileroom.dicomweb.flowing import MadePart, Whole, send_made_parts
from fileroom.dicomweb.location import base_url, instance_url
from fileroom.dicomweb.ranges import send_bare
from fileroom.dicomweb.wado.frames import frame_numbers
from fileroom.dicomweb.wado.instances import covered, held
from fileroom.http.ports import StoredInstance
from fileroom.http.refusals import Header, NotAcceptableError, NotFoundError, TooLargeError
from fileroom.http.request import Request, Service
from fileroom.pixels.view import JPEG, MEDIA_TYPES, View, parse_thumbnail_view, parse_view
from fileroom.retrieve.render import NotRenderableError, made_by

THUMBNAIL_SIDE = 200
_ONLY = f"pictures are given as {' or '.join(MEDIA_TYPES)}"

Picture = tuple[StoredInstance, int]  # and the frame, from 0


async def rendered(service: Service, request: Request) -> None:
    """GET or HEAD of pictures of all frames that the path names: each a part of its own, or a
    single one bare."""
    asked = dict(request.query())
    view = parse_view(asked, JPEG)
    found = await held(service, request)
    record = await covered(service, request)  # to know how many there are something is read
    pictures, left_out = await _pictures(service, request, found)
    choice = negotiate.choose_picture(request.accepts(), single=len(pictures) == 1)
    if choice is None:
        raise NotAcceptableError(
            f"{_ONLY}, of {len(pictures)} frames as multipart/related; /frames/1/rendered is one"
        )
    view = replace(view, media_type=choice.name)
    frames = ",".join(str(frame) for _, frame in pictures) if "frames" in request.parameters else ""
    form = (choice.content_type, view.key(), frames, made_by())
    tag = tag_of(found, *form, strong=not choice.multipart)
    if await unchanged(request, tag):
        return
    warnings = _warnings(request, asked, len(found), left_out)
    if not choice.multipart:
        made = Whole(await service.renderer.render(*pictures[0], view))
        await send_bare(
            request,
            made,
            made.ranges,
            choice.content_type,
            record,
            unit="frames",
            tag=tag,
            headers=warnings,
        )
        return

    async def parts() -> AsyncIterator[MadePart]:
        for instance, frame in pictures:
            made = await service.renderer.render(instance, frame, view)
            url = f"{instance_url(instance, base_url(request))}/frames/{frame + 1}/rendered"
            fields = [
                ("Content-Type", choice.content_type),
                ("Content-Location", url),
                ("Content-Length", str(len(made))),
            ]
            yield MadePart(fields, Whole(made).pieces())

    await send_made_parts(
        request, choice.name, parts(), record, unit="frames", tag=tag, headers=warnings
    )


async def _pictures(
    service: Service, request: Request, found: Sequence[StoredInstance]
) -> tuple[list[Picture], int]:
    """The frames that the path names, and how many instances were left out because they are no
    images.

    Raises:
        NotRenderableError: all of them.
        NotFoundError: there is no such frame.
        TooLargeError: there are more than one request may have.
    """
    most = service.limits.frames_max
    if "frames" in request.parameters:
        numbers = frame_numbers(request.parameters["frames"], most)
        count = await service.renderer.frame_count(found[0])
        if max(numbers) > count:
            raise NotFoundError(f"the instance has {count} frames")
        return [(found[0], number - 1) for number in numbers], 0
    pictures: list[Picture] = []
    left_out = 0
    for instance in found:
        try:
            count = await service.renderer.frame_count(instance)
        except NotRenderableError:
            if len(found) == 1:
                raise
            left_out += 1
            continue
        if len(pictures) + count > most:
            raise TooLargeError(f"over {most} frames in one request")
        pictures += ((instance, frame) for frame in range(count))
    if not pictures:
        raise NotRenderableError(f"none of {len(found)} instances is an image that can be shown")
    return pictures, left_out


def _warnings(
    request: Request, asked: dict[str, str], found_count: int, left_out: int
) -> list[Header]:
    """What was asked for and is not done (PS3.18 §8.3.5.1.1), as Warning fields."""
    texts = []
    if "annotation" in asked:
        texts.append(f"The following annotation values are not supported: {asked['annotation']}")
    if left_out:
        texts.append(f"{left_out} of {found_count} instances are no images and were left out")
    service = f"299 {base_url(request)}: "
    return [(b"warning", f"{service}{text}".encode("ascii")) for text in texts]


async def thumbnail(service: Service, request: Request) -> None:
    """GET or HEAD of one small picture that stands for a study, a series, an instance or its
    frames."""
    media_type = negotiate.first_of(MEDIA_TYPES, request.accepts())
    if media_type is None:
        raise NotAcceptableError(_ONLY)
    view = parse_thumbnail_view(dict(request.query()), media_type, THUMBNAIL_SIDE)
    numbers = _numbers(request, service.limits.frames_max)
    found = await held(service, request)
    record = await covered(service, request)
    form = (view.key(), ",".join(map(str, numbers)), made_by())
    tag = tag_of(found, media_type, *form, strong=True)
    if await unchanged(request, tag):
        return
    made = Whole(await _thumbnail(service, request, found, numbers, view))
    await send_bare(request, made, made.ranges, media_type, record, unit="frames", tag=tag)


def _numbers(request: Request, most: int) -> list[int]:
    if "frames" not in request.parameters:
        return []
    return frame_numbers(request.parameters["frames"], most)


async def _thumbnail(
    service: Service,
    request: Request,
    found: Sequence[StoredInstance],
    numbers: Sequence[int],
    view: View,
) -> bytes:
    if "instance" not in request.parameters:
        return await service.thumbnails.of(found, view)
    # Of several frames the first that is named stands for all.
    frame = numbers[0] - 1 if numbers else None
    return await service.thumbnails.of_frame(found[0], frame, view)

"""WADO-RS: frames of one instance (PS3.18 §10.4.1.1).

Native frames are octets in little-endian order (PS3.18 §8.7.3.3.1), whatever they lie in: those of
a deflated data set are Explicit VR Little Endian, and those of one bit a pixel begin at an octet
each, though frames in a data set may begin inside one (PS3.5 §8.1.1).
"""

import re
from collections.abc import Sequence

from fileroom.dicomweb import negotiate
from fileroom.dicomweb.conditional import tag_of, unchanged
from fileroom.dicomweb.location import base_url, instance_url
from fileroom.dicomweb.ranges import Part, Ranges, length_of, send_bare, send_parts
from fileroom.dicomweb.wado.instances import covered, held
from fileroom.http.ports import Frames, Source, StoredInstance
from fileroom.http.refusals import (
    BadRequestError,
    NotAcceptableError,
    NotFoundError,
    TooLargeError,
)
from fileroom.http.request import Request, Service

_FRAME_LIST = re.compile(r"[1-9][0-9]{0,9}(,[1-9][0-9]{0,9})*")


async def frames(service: Service, request: Request) -> None:
    """GET or HEAD of frames by number; numbers count from 1 and come in the order asked."""
    numbers = frame_numbers(request.parameters["frames"], service.limits.frames_max)
    instance = (await held(service, request))[0]
    table = await instance.frames()
    if max(numbers) > table.count:
        raise NotFoundError(f"the instance has {table.count} frames")
    await send_frames(service, request, instance, table, numbers)


def frame_numbers(text: str, frames_max: int) -> list[int]:
    """The numbers of a {frames} path segment.

    Raises:
        BadRequestError: it is no list of numbers from 1.
        TooLargeError: it has more than `frames_max`.
    """
    if _FRAME_LIST.fullmatch(text) is None:
        raise BadRequestError("frames are asked for as numbers from 1, separated by commas")
    numbers = [int(each) for each in text.split(",")]
    if len(numbers) > frames_max:
        raise TooLargeError(f"{len(numbers)} frames in one request, over {frames_max}")
    return numbers


async def send_frames(
    service: Service,
    request: Request,
    instance: StoredInstance,
    table: Frames,
    numbers: Sequence[int],
) -> None:
    """Send frames, each a part of its own, or a single one bare where that is asked for."""
    url = instance_url(instance, base_url(request))
    located = [(f"{url}/frames/{number}", await table.ranges(number - 1)) for number in numbers]
    await send_located(
        service,
        request,
        instance,
        table,
        located,
        transfer_syntax_uid=instance.transfer_syntax_uid,
    )


async def send_located(
    service: Service,
    request: Request,
    instance: StoredInstance,
    source: Source,
    located: Sequence[tuple[str, Ranges]],
    *,
    transfer_syntax_uid: str,
) -> None:
    """Send stretches of one instance.

    Args:
        located: the URL of each, and its ranges of `source`, which is made of `instance`.
        transfer_syntax_uid: how they are encoded.
    """
    choice = negotiate.choose_frames(
        request.accepts(), transfer_syntax_uid, single=len(located) == 1
    )
    if choice is None:
        raise NotAcceptableError(
            f"this is stored in transfer syntax {transfer_syntax_uid}, which the Accept field "
            "leaves out, and this archive does not transcode"
        )
    record = await covered(service, request)
    urls = [url for url, _ in located]
    tag = tag_of([instance], choice.content_type, *urls, strong=not choice.multipart)
    if await unchanged(request, tag):
        return
    if not choice.multipart:
        await send_bare(
            request, source, located[0][1], choice.content_type, record, unit="frames", tag=tag
        )
        return
    parts = [
        Part(
            [
                ("Content-Type", choice.content_type),
                ("Content-Location", url),
                ("Content-Length", str(length_of(ranges))),
            ],
            source,
            ranges,
        )
        for url, ranges in located
    ]
    await send_parts(request, choice.name, parts, record, unit="frames", tag=tag)

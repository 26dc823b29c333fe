"""WADO-RS: frames of one instance (PS3.18 §10.4.1.1).

Pixels are octets in little-endian order (PS3.18 §8.7.3.3.1), whatever they lie in: those of a
deflated data set are Explicit VR Little Endian, those of one bit a pixel begin at an octet each,
though frames in a data set may begin inside one (PS3.5 §8.1.1), and compressed ones are decoded
frame by frame. In other media types than its own (§8.7.3.3.2) a frame is compressed anew, without
loss.
"""

import re
from collections.abc import AsyncIterator, Sequence

from fileroom.dicom.instance_error import InstanceError
from fileroom.dicomweb import negotiate
from fileroom.dicomweb.conditional import tag_of, unchanged
from fileroom.dicomweb.flowing import MadePart, Whole, send_made_parts
from fileroom.dicomweb.location import base_url, instance_url
from fileroom.dicomweb.negotiate import Choice
from fileroom.dicomweb.ranges import Part, Ranges, length_of, send_bare, send_parts
from fileroom.dicomweb.wado.instances import covered, held
from fileroom.http.ports import Frames, MadeFrames, Source, StoredInstance
from fileroom.http.refusals import (
    BadRequestError,
    NotAcceptableError,
    NotFoundError,
    TooLargeError,
)
from fileroom.http.request import Request, Service
from fileroom.retrieve.made_frames import forms_of
from fileroom.retrieve.transcode import codecs

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
    stored_uid = instance.transfer_syntax_uid
    makes = forms_of(stored_uid)
    choice = _chosen(request, stored_uid, single=len(numbers) == 1, makes=makes)
    url = instance_url(instance, base_url(request))
    wanted = [(f"{url}/frames/{number}", number - 1) for number in numbers]
    if choice.transfer_syntax_uid not in makes:
        located = [(url, await table.ranges(frame)) for url, frame in wanted]
        await _send(service, request, instance, table, located, choice)
        return
    await covered(service, request)  # the description of an instance is read for it
    try:
        made = await service.transcoder.frames(instance, choice.transfer_syntax_uid)
        if choice.name == negotiate.OCTETS:
            located = [(url, await made.ranges(frame)) for url, frame in wanted]
            await _send(service, request, instance, made, located, choice, made_by=codecs())
        else:
            await _send_compressed(service, request, instance, made, wanted, choice)
    except InstanceError as error:
        raise NotAcceptableError(f"it cannot be made so: {error}") from error


async def send_value(
    service: Service,
    request: Request,
    instance: StoredInstance,
    source: Source,
    located: tuple[str, Ranges],
    *,
    transfer_syntax_uid: str,
) -> None:
    """Send a value of one instance.

    Args:
        located: its URL, and its ranges of `source`, which is made of `instance`.
        transfer_syntax_uid: how it is encoded.
    """
    choice = _chosen(request, transfer_syntax_uid, single=True)
    await _send(service, request, instance, source, [located], choice)


def _chosen(
    request: Request, stored_uid: str, *, single: bool, makes: frozenset[str] = frozenset()
) -> Choice:
    choice = negotiate.choose_frames(request.accepts(), stored_uid, single=single, makes=makes)
    if choice is None:
        raise NotAcceptableError(
            f"this is stored in transfer syntax {stored_uid}, which the Accept field leaves out, "
            "and cannot be given in a form that it names"
        )
    return choice


async def _send(
    service: Service,
    request: Request,
    instance: StoredInstance,
    source: Source,
    located: Sequence[tuple[str, Ranges]],
    choice: Choice,
    *,
    made_by: str = "",
) -> None:
    """Send stretches of `source`, whose lengths are known."""
    record = await covered(service, request)
    urls = [url for url, _ in located]
    form = (choice.content_type, made_by, *urls)
    tag = tag_of([instance], *form, strong=not choice.multipart)
    if await unchanged(request, tag):
        return
    if not choice.multipart:
        await send_bare(
            request, source, located[0][1], choice.content_type, record, unit="frames", tag=tag
        )
        return
    parts = [
        Part(_fields(choice, url, length_of(ranges)), source, ranges) for url, ranges in located
    ]
    await send_parts(request, choice.name, parts, record, unit="frames", tag=tag)


async def _send_compressed(
    service: Service,
    request: Request,
    instance: StoredInstance,
    made: MadeFrames,
    wanted: Sequence[tuple[str, int]],
    choice: Choice,
) -> None:
    """Send frames that are compressed when their turn comes; a bare one before, for it may be
    asked for by range."""
    record = await covered(service, request)
    form = (choice.content_type, codecs(), *(url for url, _ in wanted))
    tag = tag_of([instance], *form, strong=not choice.multipart)
    if await unchanged(request, tag):
        return
    if not choice.multipart:
        source = Whole(await made.frame(wanted[0][1]))
        await send_bare(
            request, source, source.ranges, choice.content_type, record, unit="frames", tag=tag
        )
        return

    async def parts() -> AsyncIterator[MadePart]:
        for url, number in wanted:
            frame = await made.frame(number)
            fields = _fields(choice, url, len(frame))
            yield MadePart(fields, Whole(frame).pieces())

    await send_made_parts(request, choice.name, parts(), record, unit="frames", tag=tag)


def _fields(choice: Choice, url: str, size_bytes: int) -> list[tuple[str, str]]:
    return [
        ("Content-Type", choice.content_type),
        ("Content-Location", url),
        ("Content-Length", str(size_bytes)),
    ]

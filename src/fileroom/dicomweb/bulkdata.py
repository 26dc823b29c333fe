"""WADO-RS: what a BulkDataURI of the metadata names (PS3.18 §10.4.1.1, §8.7.3.3)."""

import asyncio

from fileroom.dicom import dataset_index
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.part10 import Part10Splitter
from fileroom.dicomweb import negotiate
from fileroom.dicomweb.frames import send_frames, send_located
from fileroom.dicomweb.ports import StoredInstance
from fileroom.dicomweb.refusals import NotFoundError, TooLargeError
from fileroom.dicomweb.request import Request, Service
from fileroom.dicomweb.wado import covered, held, instance_url

PIXEL_DATA_TAGS = frozenset({"7FE00008", "7FE00009", "7FE00010"})
DEFLATED = "1.2.840.10008.1.2.1.99"
HEAD_BYTES = 4096


async def bulkdata(service: Service, request: Request) -> None:
    """GET or HEAD of one element's value.

    Encapsulated pixel data comes frame by frame (PS3.18 §8.7.3.3.2); every other value is one
    representation.
    """
    path = request.parameters["element"].upper()
    instance = (await held(service, request))[0]
    syntax = instance.transfer_syntax_uid
    is_pixels = path in PIXEL_DATA_TAGS
    if is_pixels and syntax in negotiate.FRAME_MEDIA_TYPE:
        table = await instance.frames()
        if table.count > service.limits.frames_max:
            raise TooLargeError(f"{table.count} frames in one request")
        await send_frames(service, request, instance, table, range(1, table.count + 1))
        return
    if syntax == DEFLATED:
        raise NotFoundError("bulk data of a deflated data set is not given on its own")
    # Finding the element reads the instance, which is a read like any other.
    await covered(service, request)
    where = await located(instance, path)
    url = f"{instance_url(instance, request.base_url)}/bulkdata/{path}"
    little = syntax != negotiate.BIG_ENDIAN
    await send_located(
        service,
        request,
        instance,
        [(url, [where])],
        transfer_syntax_uid=negotiate.EXPLICIT_LITTLE_ENDIAN if little else syntax,
    )


async def located(instance: StoredInstance, path: str) -> tuple[int, int]:
    """Where an element's value lies in an instance's file, as [start, end).

    Args:
        path: tags of 8 hexadecimal digits and, between them, numbers of items.

    Raises:
        NotFoundError: there is no such element, or its value is empty.
    """
    offset = await _dataset_offset(instance)
    loop = asyncio.get_running_loop()

    def read(start: int, end: int) -> bytes:
        # Walking a data set is synchronous and may be long, so it runs in a thread; its reads
        # are this loop's.
        coming = instance.read(offset + start, offset + end)
        return asyncio.run_coroutine_threadsafe(coming, loop).result()

    try:
        start, end = await asyncio.to_thread(
            dataset_index.bulk_range,
            read,
            instance.size_bytes - offset,
            instance.transfer_syntax_uid,
            path,
        )
    except InstanceError as error:
        raise NotFoundError("there is no such element") from error
    if start >= end:
        raise NotFoundError("the element has no value")
    return offset + start, offset + end


async def _dataset_offset(instance: StoredInstance) -> int:
    """How many bytes of the file stand before its data set."""
    splitter = Part10Splitter()
    for position in range(0, instance.size_bytes, HEAD_BYTES):
        end = min(position + HEAD_BYTES, instance.size_bytes)
        start = splitter.feed(await instance.read(position, end))
        if start is not None:
            return start.dataset_offset
    return splitter.finish().dataset_offset

"""WADO-RS: what a BulkDataURI of the metadata names (PS3.18 §10.4.1.1, §8.7.3.3)."""

from fileroom.dicom.encoding import encapsulates
from fileroom.dicomweb import negotiate
from fileroom.dicomweb.location import base_url, instance_url
from fileroom.dicomweb.wado.frames import send_frames, send_value
from fileroom.dicomweb.wado.instances import covered, held
from fileroom.http.refusals import TooLargeError
from fileroom.http.request import Request, Service

PIXEL_DATA_TAGS = frozenset({"7FE00008", "7FE00009", "7FE00010"})


async def bulkdata(service: Service, request: Request) -> None:
    """GET or HEAD of one element's value.

    Encapsulated pixel data comes frame by frame (PS3.18 §8.7.3.3.2); every other value is one
    representation.
    """
    path = request.parameters["element"].upper()
    instance = (await held(service, request))[0]
    syntax = instance.transfer_syntax_uid
    is_pixels = path in PIXEL_DATA_TAGS
    if is_pixels and encapsulates(syntax):
        table = await instance.frames()
        if table.count > service.limits.frames_max:
            raise TooLargeError(f"{table.count} frames in one request")
        await send_frames(service, request, instance, table, range(1, table.count + 1))
        return
    # Finding the element reads the instance, which is a read like any other.
    await covered(service, request)
    data_set = instance.data_set()
    where = await data_set.value(path)
    url = f"{instance_url(instance, base_url(request))}/bulkdata/{path}"
    little = syntax != negotiate.BIG_ENDIAN
    await send_value(
        service,
        request,
        instance,
        data_set,
        (url, [where]),
        transfer_syntax_uid=negotiate.EXPLICIT_LITTLE_ENDIAN if little else syntax,
    )

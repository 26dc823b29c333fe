"""The answer to a STOW-RS request on its way out, as DICOM JSON or XML (PS3.18 §10.5.3)."""

import asyncio
import secrets

import msgspec

from fileroom.dicom.xml_model import native_model
from fileroom.dicomweb.location import base_url
from fileroom.dicomweb.negotiate import DICOM_XML, Choice
from fileroom.dicomweb.ranges import related
from fileroom.dicomweb.stow import report as stow_report
from fileroom.dicomweb.stow.report import Outcome
from fileroom.errors import FileroomError
from fileroom.http.answers import answer
from fileroom.http.refusals import Header, headers_of, reason_of, status_of
from fileroom.http.request import Request
from fileroom.wire.multipart import closing, part_header

CREATED = (b"location", b"content-location")  # PS3.18 Table 10.5.3-2


async def report(
    request: Request, form: Choice, outcomes: list[Outcome], broken: FileroomError | None
) -> None:
    """Tell what became of each instance. Raises `broken` where there is none to tell of.

    Args:
        form: as `negotiate.choose_model` chose it.
        broken: why the body was not read to its end.
    """
    if broken is not None and not outcomes:
        raise broken
    headers: list[Header] = []
    if broken is None:
        status = stow_report.status(outcomes)
        if status == 503:
            headers = headers_of(next(each.error for each in outcomes if each.error is not None))
    else:
        status = status_of(broken)
        warning = f"299 {base_url(request)}: {reason_of(broken)}"
        headers = [*headers_of(broken), (b"warning", warning.encode("ascii", "replace"))]
    study = request.parameters.get("study")
    found = stow_report.data_set(outcomes, base_url(request), study, broken=broken is not None)
    for url in found[stow_report.RETRIEVE_URL].get("Value", ()):
        if any(each.received is not None for each in outcomes):
            headers += [(name, url.encode("ascii", "replace")) for name in CREATED]
    content_type, body = await _in_form(form, msgspec.json.encode(found))
    await answer(request, status, content_type, body, headers)


async def _in_form(form: Choice, dicom_json: bytes) -> tuple[str, bytes]:
    """The media type and the body of an answer, from its DICOM JSON."""
    if form.name != DICOM_XML:
        return form.content_type, dicom_json
    document = await asyncio.to_thread(native_model, dicom_json)
    if not form.multipart:
        return form.content_type, document
    boundary = secrets.token_hex(16)
    head = part_header(boundary, [("Content-Type", form.content_type)], first=True)
    return related(form.name, boundary), head + document + closing(boundary)

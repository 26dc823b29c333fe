"""The page at /: studies, newest first, and the form to search for them."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from fileroom.catalog.errors import SearchTooBroadError
from fileroom.catalog.query import AVAILABILITY, STUDY_COUNTS, Level, Search, SearchRow
from fileroom.dicom import uid
from fileroom.http.answers import answer, answer_head
from fileroom.http.refusals import BadRequestError
from fileroom.http.request import Request, Service
from fileroom.http.searches import Asked
from fileroom.web import search_form, shown
from fileroom.web.bodies import body_of
from fileroom.web.markup import Child, Markup, element
from fileroom.web.page import HEADERS, MEDIA_TYPE, page, place

CHANNEL = "page"
PURPOSE = "search"
STUDIES_A_PAGE = 50
PAGES_MAX = 200  # who has turned so many finds by searching
FORM = "application/x-www-form-urlencoded"
FORGOTTEN = "This search is no longer kept. Please search again."
TOO_BROAD = (
    "Too many studies would have to be looked at. Please add a date, a patient ID or a name."
)
NOTHING = Asked()
COMPUTED = STUDY_COUNTS | {AVAILABILITY}
HEADINGS = (
    *("Patient", "Patient ID", "Study", "Date", "Modalities", "Accession"),
    *("Series", "Images", "Availability"),
)


async def show(service: Service, request: Request) -> None:
    """GET or HEAD of /: the newest studies, or those of a search that is kept."""
    query = dict(request.query())
    number = _number(query.get("page", "1"))
    name = query.get("search", "")
    asked = service.searches.find(request.principal, name) if name else NOTHING
    if asked is None:
        await _refuse(request, 404, FORGOTTEN)
        return
    wanted = Search(
        level=Level.STUDY,
        partition=service.partition,
        conditions=search_form.conditions(asked),
        computed=COMPUTED,
        limit=STUDIES_A_PAGE + 1,  # one more tells whether there is another page
        offset=(number - 1) * STUDIES_A_PAGE,
    )
    # Attributes are read: the search is on record before its first match leaves (invariant 11).
    record = await service.coverage.covers(request.principal, "", purpose=PURPOSE, channel=CHANNEL)
    try:
        rows = await service.archive.search(wanted)
        counted = await service.archive.count(msgspec.structs.replace(wanted, offset=0))
    except SearchTooBroadError:
        await _refuse(request, 413, TOO_BROAD, asked)
        return
    body = page(
        request,
        "Studies",
        element("h1", "Studies"),
        search_form.form(asked, action=place(request, "/")),
        _matches(request, rows[:STUDIES_A_PAGE], searched=any(asked), counted=counted),
        _pages(request, number, name, more=len(rows) > STUDIES_A_PAGE),
    )
    await answer(request, 200, MEDIA_TYPE, body, HEADERS)
    record.count(bytes=0 if request.is_head else len(body))


async def search(service: Service, request: Request) -> None:
    """POST of the form to /: has the search kept and sends the browser to its matches."""
    try:
        asked = search_form.read(await body_of(service, request, FORM, what="search"))
    except search_form.FormError as error:
        await _refuse(request, 400, str(error))
        return
    target = place(request, "/")
    if any(asked):
        target += f"?search={service.searches.keep(request.principal, asked)}"
    await answer_head(request, 303, [*HEADERS, (b"location", target.encode("ascii"))])


async def _refuse(request: Request, status: int, problem: str, asked: Asked = NOTHING) -> None:
    """The page without studies, and why."""
    body = page(
        request,
        "Studies",
        element("h1", "Studies"),
        element("p", problem, class_="problem", role="alert"),
        search_form.form(asked, action=place(request, "/")),
    )
    await answer(request, status, MEDIA_TYPE, body, HEADERS)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= PAGES_MAX):
        raise BadRequestError(f"a page is a number from 1 to {PAGES_MAX}")
    return int(text)


def _matches(
    request: Request, rows: Sequence[SearchRow], *, searched: bool, counted: int | None
) -> Markup:
    if not rows:
        told = "No study matches." if searched else "There are no studies here yet."
        return element("p", told, class_="none", role="status")
    number = "Many studies" if counted is None else shown.counted(counted, "study", "studies")
    told = f"{number}{' found' if searched else ''}, newest first"
    return element(
        "div",
        element(
            "table",
            element("caption", told),
            element(
                "thead", element("tr", (element("th", each, scope="col") for each in HEADINGS))
            ),
            element("tbody", (_row(request, each.attributes) for each in rows)),
        ),
        class_="wide",
        role="region",
        aria_label="Studies found",
        tabindex="0",
    )


def _row(request: Request, study: Mapping[str, str]) -> Markup:
    return element(
        "tr",
        element(
            "th",
            _linked(request, study),
            element("small", _born(study)),
            scope="row",
            data_label=HEADINGS[0],
        ),
        (
            element("td", told, data_label=heading)
            for heading, told in zip(HEADINGS[1:], _cells(study), strict=True)
        ),
    )


def _linked(request: Request, study: Mapping[str, str]) -> Child:
    told = shown.name(study.get("PatientName", "")) or "No name"
    study_uid = study.get("StudyInstanceUID", "")
    if not uid.is_safe(study_uid):
        return told
    return element("a", told, href=place(request, f"/studies/{study_uid}"))


def _born(patient: Mapping[str, str]) -> str:
    born = shown.date(patient.get("PatientBirthDate", ""))
    sex = shown.sex(patient.get("PatientSex", ""))
    return ", ".join(each for each in (f"born {born}" if born else "", sex) if each)


def _cells(study: Mapping[str, str]) -> Iterator[Child]:
    yield study.get("PatientID", "")
    yield study.get("StudyDescription", "") or "–"
    day, time = shown.date(study.get("StudyDate", "")), shown.time(study.get("StudyTime", ""))
    yield element("span", day, " ", element("small", time), class_="nobreak")
    yield shown.listed(study.get("ModalitiesInStudy", ""))
    yield study.get("AccessionNumber", "")
    yield study.get("NumberOfStudyRelatedSeries", "")
    yield study.get("NumberOfStudyRelatedInstances", "")
    yield shown.availability(study.get("InstanceAvailability", ""))


def _pages(request: Request, number: int, name: str, *, more: bool) -> Markup | None:
    if number == 1 and not more:
        return None

    def link(text: str, to: int) -> Markup:
        kept = f"search={name}&" if name else ""
        return element("a", text, href=f"{place(request, '/')}?{kept}page={to}")

    return element(
        "nav",
        link("Newer", number - 1) if number > 1 else None,
        element("span", f"Page {number}", aria_current="page"),
        link("Older", number + 1) if more and number < PAGES_MAX else None,
        element("span", "Search to see older studies.") if more and number == PAGES_MAX else None,
        class_="pages",
        aria_label="Pages",
    )

"""The study list, the search form, the page of a study: what stands on them, and what does not."""

import re
from io import BytesIO
from itertools import pairwise
from urllib.parse import urlencode
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite

from corpus import ct_small
from dicomweb_fakes import call, world
from fileroom.access.identity import of_address
from fileroom.catalog.errors import SearchTooBroadError
from fileroom.errors import TransientError
from fileroom.http.searches import Asked, Searches
from fileroom.web import search_form

FORM = {"content-type": "application/x-www-form-urlencoded", "origin": "http://127.0.0.1:8642"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&lt;"


def slices(count=1, *, study="1.2.3", series="1.2.3.4", **attributes):
    """Part 10 files of one series."""
    for number in range(count):
        data_set = dcmread(ct_small())
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = study, series
        data_set.SOPInstanceUID = f"{series}.{number + 1}"
        for keyword, value in attributes.items():
            setattr(data_set, keyword, value)
        out = BytesIO()
        dcmwrite(out, data_set)
        yield out.getvalue()


def filled(*series, **options):
    """A door whose archive holds these."""
    here = world(**options)
    for each in series:
        for part10 in each:
            here.archive.add(part10)
    return here


def text_of(reply):
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", reply.body.decode()))


async def searched(here, path="/", **fields):
    return await call(here.app, "POST", path, headers=FORM, body=[urlencode(fields).encode()])


# --- the list


async def test_the_list_tells_of_each_study_what_a_person_looks_for():
    here = filled(
        slices(
            2,
            PatientName="Doe^Jane",
            PatientID="A1",
            StudyDescription="Head",
            StudyDate="20260115",
            StudyTime="101530",
            AccessionNumber="ACC7",
            PatientBirthDate="19610412",
            PatientSex="F",
        ),
        slices(1, series="1.2.3.5", PatientName="Doe^Jane", PatientID="A1", Modality="MR"),
    )
    reply = await call(here.app, "GET", "/")
    assert reply.status == 200
    assert reply.header("content-type") == "text/html; charset=utf-8"
    told = text_of(reply)
    for each in ("1 study, newest first", "Doe, Jane", "A1", "born 1961-04-12, female", "Head",
                 "2026-01-15 10:15", "CT, MR", "ACC7", "ready"):  # fmt: skip
        assert each in told, each
    cells = re.findall(r'<td data-label="(Series|Images)">(\d+)</td>', reply.body.decode())
    assert cells == [("Series", "2"), ("Images", "3")]
    assert '<a href="/studies/1.2.3">Doe, Jane</a>' in reply.body.decode()


async def test_an_archive_without_studies_says_so():
    assert "There are no studies here yet." in text_of(await call(world().app, "GET", "/"))


async def test_who_has_no_name_can_be_opened_all_the_same():
    here = filled(slices(PatientName=""))
    reply = await call(here.app, "GET", "/")
    assert '<a href="/studies/1.2.3">No name</a>' in reply.body.decode()


async def test_a_page_has_fifty_studies_and_says_where_the_others_are():
    here = filled(*(slices(study=f"1.2.{n}", series=f"1.2.{n}.1") for n in range(1, 121)))
    first = (await call(here.app, "GET", "/")).body.decode()
    second = (await call(here.app, "GET", "/?page=2")).body.decode()
    third = (await call(here.app, "GET", "/?page=3")).body.decode()
    links = [re.findall(r'href="/studies/([0-9.]+)"', each) for each in (first, second, third)]
    assert [len(each) for each in links] == [50, 50, 20]
    assert len({each for page in links for each in page}) == 120
    assert "120 studies, newest first" in first
    assert 'href="/?page=2">Older' in first
    assert "Newer" not in first
    assert 'href="/?page=1">Newer' in second
    assert "Older" not in third


@pytest.mark.parametrize("page", ["0", "-1", "x", "201", "٣", "1e1", "99999999999999999999"])
async def test_a_page_that_is_no_number_is_refused(page):
    assert (await call(world().app, "GET", f"/?{urlencode({'page': page})}")).status == 400


async def test_reading_the_list_is_on_record_before_it_leaves():
    here = filled(slices())
    reply = await call(here.app, "GET", "/")
    assert here.coverage.asked == [("127.0.0.1", "", "search", "page")]
    assert here.coverage.bytes == len(reply.body)
    here.coverage.error = TransientError("the ledger does not answer")
    refused = await call(here.app, "GET", "/")
    assert refused.status == 503
    assert b"CompressedSamples" not in refused.body


async def test_head_has_the_header_fields_and_no_body():
    here = filled(slices())
    got, head = [await call(here.app, each, "/") for each in ("GET", "HEAD")]
    assert head.body == b""
    assert head.header("content-length") == str(len(got.body))


# --- searching


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"name": "jan do"}, {"1.2.1"}),
        ({"name": "müll"}, {"1.2.2"}),
        ({"name": "*uller*"}, {"1.2.2"}),
        ({"id": "A1"}, {"1.2.1"}),
        ({"id": "A*"}, {"1.2.1", "1.2.2"}),
        ({"accession": "ACC2"}, {"1.2.2"}),
        ({"modality": "mr"}, {"1.2.2"}),
        ({"since": "2026-02-01"}, {"1.2.2"}),
        ({"until": "2026-01-15"}, {"1.2.1"}),
        ({"since": "2026-01-15", "until": "2026-01-15"}, {"1.2.1"}),
        ({"name": "doe", "id": "A2"}, set()),
        ({"name": " ", "id": ""}, {"1.2.1", "1.2.2"}),
    ],
)
async def test_a_search_finds_what_its_fields_say_together(fields, found):
    here = filled(
        slices(study="1.2.1", series="1.2.1.1", PatientName="Doe^Jane", PatientID="A1",
               StudyDate="20260115", Modality="CT", AccessionNumber="ACC1"),
        slices(study="1.2.2", series="1.2.2.1", PatientName="Muller^Hans", PatientID="A2",
               StudyDate="20260316", Modality="MR", AccessionNumber="ACC2"),
    )  # fmt: skip
    sent = await searched(here, **fields)
    assert sent.status == 303
    reply = await call(here.app, "GET", sent.header("location"))
    assert set(re.findall(r'href="/studies/([0-9.]+)"', reply.body.decode())) == found
    assert ("No study matches." in text_of(reply)) == (not found)


async def test_no_address_holds_what_was_searched_for():
    studies = [(f"1.2.{number}", f"1.2.{number}.1") for number in range(1, 60)]
    here = filled(*(slices(study=a, series=b, PatientName="Doe^Jane") for a, b in studies))
    sent = await searched(here, name="Doe", id="", since="1990-01-01")
    assert re.fullmatch(r"/\?search=[A-Za-z0-9_-]{22}", sent.header("location"))
    reply = await call(here.app, "GET", sent.header("location"))
    addresses = re.findall(r'(?:href|src|action)="([^"]*)"', reply.body.decode())
    assert any("page=2" in each and "search=" in each for each in addresses)
    assert not [each for each in addresses if "doe" in each.lower() or "1990" in each]
    assert 'value="Doe"' in reply.body.decode()


async def test_a_search_is_kept_for_the_one_who_sent_it_only():
    searches = Searches(kept_max=2)
    me, other = of_address("127.0.0.1"), of_address("127.0.0.2")
    first, second = searches.keep(me, Asked(name="a")), searches.keep(me, Asked(name="b"))
    assert searches.find(me, first) == Asked(name="a")
    assert searches.find(other, first) is None
    assert searches.find(me, "nothing") is None
    third = searches.keep(me, Asked(name="c"))
    assert searches.find(me, second) is None
    assert None not in (searches.find(me, first), searches.find(me, third))


async def test_a_search_that_is_forgotten_says_so_and_finds_nothing_else():
    here = filled(slices(PatientName="Doe^Jane"))
    reply = await call(here.app, "GET", "/?search=unknown&page=1")
    assert reply.status == 404
    assert "Please search again." in text_of(reply)
    assert "Doe" not in text_of(reply)


@given(st.binary(max_size=200))
def test_whatever_is_sent_as_a_form_is_a_search_or_no_form(body):
    try:
        asked = search_form.read(body)
    except search_form.FormError:
        return
    assert all(len(each) <= search_form.TEXT_LENGTH_MAX for each in asked)
    search_form.conditions(asked)


@pytest.mark.parametrize(
    "body",
    [
        b"name=%ff",
        b"other=1",
        b"name=a&name=b",
        b"name=" + b"a" * 200,
        b"name=a%00b",
        b"since=yesterday",
        b"since=20260115",
        b"since=2026-02-30",
        b"since=2026-02-02&until=2026-02-01",
        b"modality=C%5CT",
        b"&".join(b"name=a" for _ in range(100)),
    ],
)
async def test_a_form_that_says_nothing_searchable_is_told_so_on_the_page(body):
    reply = await call(world().app, "POST", "/", headers=FORM, body=[body])
    assert reply.status == 400
    assert 'role="alert"' in reply.body.decode()


async def test_a_search_that_is_too_broad_is_told_so_on_the_page():
    here = filled(slices())

    async def refuse(search):
        raise SearchTooBroadError("over 100000 rows")

    here.archive.search = refuse
    sent = await searched(here, name="d")
    reply = await call(here.app, "GET", sent.header("location"))
    assert reply.status == 413
    assert "Too many studies" in text_of(reply)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({**FORM, "origin": "https://evil.example"}, 403),
        ({**FORM, "origin": "null"}, 403),
    ],
)
async def test_a_form_of_another_page_is_refused(fields, status):
    reply = await call(world().app, "POST", "/", headers=fields, body=[b"name=a"])
    assert reply.status == status


async def test_a_form_without_end_is_refused():
    body = [b"name=" + b"a" * 5000] * 2
    assert (await call(world().app, "POST", "/", headers=FORM, body=body)).status == 413


# --- one study


async def test_a_study_shows_its_series_with_pictures_and_ways_to_open_it():
    here = filled(
        slices(3, PatientName="Doe^Jane", SeriesDescription="Axial", SeriesNumber=2),
        slices(1, series="1.2.3.5", PatientName="Doe^Jane", Modality="SR", SeriesNumber=10,
               SeriesDescription="Report"),
    )  # fmt: skip
    reply = await call(here.app, "GET", "/studies/1.2.3")
    page, told = reply.body.decode(), text_of(reply)
    assert reply.status == 200
    assert "<h1>Doe, Jane</h1>" in page
    assert told.index("2. Axial") < told.index("10. Report")
    assert "CT · 3 objects" in told
    pictures = re.findall(r'<img src="([^"]*)"', page)
    assert pictures == ["/dicomweb/studies/1.2.3/series/1.2.3.4/thumbnail?viewport=240,240"]
    assert 'href="/studies/1.2.3/files.zip"' in page
    assert "fileroom viewer install" in told
    assert here.coverage.asked == [("127.0.0.1", "1.2.3", "search", "page")]


async def test_a_study_that_is_not_there_is_404():
    for path in ("/studies/1.2.9", "/studies/1.2.9/files.zip"):
        assert (await call(filled(slices()).app, "GET", path)).status == 404


async def test_the_files_of_a_study_come_as_one_zip_bit_for_bit():
    parts = [*slices(2), *slices(1, series="1.2.3.5")]
    here = filled(parts)
    reply = await call(here.app, "GET", "/studies/1.2.3/files.zip")
    assert reply.status == 200
    assert reply.header("content-disposition") == 'attachment; filename="study.zip"'
    with ZipFile(BytesIO(reply.body)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "series-0001/000001.dcm", "series-0001/000002.dcm", "series-0002/000001.dcm",
        ]  # fmt: skip
        assert [archive.read(each) for each in archive.namelist()] == parts
    assert here.coverage.asked == [("127.0.0.1", "1.2.3", "retrieve", "page")]
    assert here.coverage.instances == 3


async def test_files_that_cannot_be_read_are_no_half_of_a_zip():
    here = filled(slices())
    here.archive.read_error = TransientError("the provider is away")
    assert (await call(here.app, "GET", "/studies/1.2.3/files.zip")).status == 503


# --- what a page must never do


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3"])
async def test_no_value_of_a_data_set_becomes_markup(path):
    here = filled(
        slices(
            PatientName=f"{HOSTILE}^x", PatientID=HOSTILE[:60], StudyDescription=HOSTILE,
            SeriesDescription=HOSTILE, AccessionNumber=HOSTILE[:16], Modality=HOSTILE[:16],
            StudyDate="20260115", BodyPartExamined=HOSTILE[:16], ReferringPhysicianName=HOSTILE,
            PatientSex=HOSTILE[:16], SeriesNumber=None,
        )
    )  # fmt: skip
    reply = await call(here.app, "GET", path)
    page = reply.body.decode()
    assert reply.status == 200
    assert "script" not in re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", page)
    assert not re.findall(r"<[^>]*\son\w+=", page)
    assert "&lt;script&gt;" in page


async def test_no_text_that_was_searched_for_becomes_markup():
    here = world()
    sent = await searched(here, name=HOSTILE, id=HOSTILE, accession=HOSTILE)
    page = (await call(here.app, "GET", sent.header("location"))).body.decode()
    assert "script" not in re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", page)


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/viewer/"])
async def test_a_page_lets_nothing_in_and_nobody_look(path):
    reply = await call(filled(slices(PatientName="Doe^Jane")).app, "GET", path)
    page = reply.body.decode()
    (policy,) = reply.all("content-security-policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.header("x-content-type-options") == "nosniff"
    assert reply.header("referrer-policy") == "same-origin"
    assert reply.all("cache-control") == ["no-store"]
    for forbidden in ("<script", "style=", "://", "<iframe", "javascript:"):
        assert forbidden not in page
    assert "Doe" not in re.search(r"<title>(.*?)</title>", page)[1]


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/viewer/"])
async def test_a_page_has_a_language_one_main_heading_and_a_label_for_every_field(path):
    page = (await call(filled(slices()).app, "GET", path)).body.decode()
    assert '<html lang="en">' in page
    assert page.count("<h1") == 1
    levels = [int(each) for each in re.findall(r"<h([1-6])", page)]
    assert all(low + 1 >= high for low, high in pairwise(levels))
    fields = re.findall(r'<input [^>]*id="(\w+)"', page)
    assert all(f'<label for="{each}">' in page for each in fields)
    assert all(' alt="' in each for each in re.findall(r"<img [^>]*>", page))
    assert 'href="#content"' in page
    assert '<main id="content"' in page


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/viewer/"])
async def test_under_a_prefix_every_reference_carries_it(path):
    here = filled(slices(), prefix="/images")
    for asked in (path, f"/images{path}"):
        reply = await call(here.app, "GET", asked)
        addresses = re.findall(r'(?:href|src|action)="([^"]*)"', reply.body.decode())
        assert addresses
        assert all(each.startswith(("/images/", "#")) for each in addresses), addresses
    sent = await searched(here, path="/images/", name="x")
    assert sent.header("location").startswith("/images/?search=")


async def test_the_style_of_the_pages_and_their_icon_are_served():
    served = {"page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"}
    for name, media_type in served.items():
        reply = await call(world().app, "GET", f"/static/{name}")
        assert (reply.status, reply.header("content-type")) == (200, media_type)
        assert b"://" not in reply.body.replace(b"http://www.w3.org/2000/svg", b"")
        again = {"if-none-match": reply.header("etag")}
        assert (await call(world().app, "GET", f"/static/{name}", headers=again)).status == 304
    for name in ("other.css", "..", "%2e%2e", "__init__.py"):
        assert (await call(world().app, "GET", f"/static/{name}")).status == 404

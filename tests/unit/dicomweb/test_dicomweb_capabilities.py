"""What the door says of itself: capabilities, methods, OpenAPI."""

import json
import xml.etree.ElementTree as ET

import pytest

from dicomweb_fakes import call, world
from fileroom.dicomweb.location import BASE
from fileroom.dicomweb.qido.keys import MATCHED, Found
from fileroom.http import openapi
from fileroom.http import operation as described_by
from fileroom.node.resources import TABLE

WADL = "application/vnd.sun.wadl+xml"
NAMESPACE = "{http://wadl.dev.java.net/2009/02}"
# PS3.18 Table H-1, the rows of the Studies Service that are there; typed from the standard.
RESOURCES = {
    "studies": {"SearchForStudies", "StoreInstances"},
    "studies/{study}": {"RetrieveInstancesOfStudy", "StoreInstancesOfStudy"},
    "studies/{study}/metadata": {"RetrieveMetadataOfStudy"},
    "studies/{study}/series": {"SearchForSeriesOfStudy"},
    "studies/{study}/instances": {"SearchForInstancesOfStudy"},
    "studies/{study}/series/{series}": {"RetrieveInstancesOfSeries"},
    "studies/{study}/series/{series}/metadata": {"RetrieveMetadataOfSeries"},
    "studies/{study}/series/{series}/instances": {"SearchForInstancesOfSeries"},
    "studies/{study}/series/{series}/instances/{instance}": {"RetrieveInstancesOfInstance"},
    "studies/{study}/series/{series}/instances/{instance}/metadata": {"RetrieveMetadataOfInstance"},
    "studies/{study}/series/{series}/instances/{instance}/frames/{frames}": {
        "RetrieveFramesOfFrames"
    },
    "studies/{study}/series/{series}/instances/{instance}/bulkdata/{element}": {
        "RetrieveBulkdataOfElement"
    },
    "wado": {"RetrieveByUri"},
    "series": {"SearchForSeries"},
    "instances": {"SearchForInstances"},
}


def resources(parent: ET.Element, path: str = "") -> dict[str, ET.Element]:
    found = {}
    for each in parent.findall(f"{NAMESPACE}resource"):
        name = f"{path}/{each.get('path')}".lstrip("/")
        found[name] = each
        found |= resources(each, name)
    return found


@pytest.mark.parametrize("path", [BASE, f"{BASE}/"])
@pytest.mark.parametrize("accept", [None, WADL, f"application/json; q=0.5, {WADL}", "*/*"])
async def test_capabilities_are_a_wadl_document_of_every_resource(path, accept):
    fields = {} if accept is None else {"accept": accept}
    reply = await call(world().app, "OPTIONS", path, headers=fields)
    assert reply.status == 200
    assert reply.header("content-type") == WADL
    assert reply.header("allow") == "OPTIONS"
    document = ET.fromstring(reply.body)
    assert document.tag == f"{NAMESPACE}application"
    (top,) = document
    assert top.get("base") == f"http://127.0.0.1:8642{BASE}"
    found = resources(top)
    for name, transactions in RESOURCES.items():
        methods = found[name].findall(f"{NAMESPACE}method")
        assert {each.get("id") for each in methods if each.get("name") != "HEAD"} == transactions
    ids = [each.get("id") for each in document.iter(f"{NAMESPACE}method")]
    assert len(ids) == len(set(ids))


async def test_capabilities_say_what_can_be_asked_and_in_which_forms():
    reply = await call(world().app, "OPTIONS", BASE)
    studies = resources(ET.fromstring(reply.body)[0])["studies"]
    (search,) = [each for each in studies if each.get("id") == "SearchForStudies"]
    params = {each.get("name"): each.get("style") for each in search.iter(f"{NAMESPACE}param")}
    assert params.keys() >= MATCHED[Found.STUDIES] | {"limit", "offset", "fuzzymatching"}
    assert (params["limit"], params["Accept-Encoding"]) == ("query", "header")
    given = {each.get("mediaType") for each in search.iter(f"{NAMESPACE}representation")}
    assert given == {
        "application/dicom+json",
        "application/json",
        'multipart/related; type="application/dicom+xml"',
    }


async def test_who_wants_json_gets_the_openapi_document_and_other_forms_are_406():
    here = world()
    asked = await call(here.app, "OPTIONS", BASE, headers={"accept": "application/json"})
    served = await call(here.app, "GET", f"{BASE}/openapi.json")
    assert asked.body == served.body == openapi.encoded(TABLE)
    assert asked.header("content-type") == served.header("content-type") == "application/json"
    refused = await call(here.app, "OPTIONS", BASE, headers={"accept": "text/html"})
    assert refused.status == 406


@pytest.mark.parametrize(
    "path, allow",
    [
        (f"{BASE}/studies", "GET, HEAD, POST, OPTIONS"),
        (f"{BASE}/studies/1.2/series", "GET, HEAD, OPTIONS"),
        (f"{BASE}/studies/1.2/series/1.3/instances/1.4/frames/1", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/tasks/0123456789abcdef", "POST, OPTIONS"),
    ],
)
async def test_every_resource_tells_its_methods(path, allow):
    here = world()
    reply = await call(here.app, "OPTIONS", path)
    assert (reply.status, reply.body, reply.header("allow")) == (204, b"", allow)
    assert here.coverage.asked == []
    assert (await call(here.app, "OPTIONS", "/nothing")).status == 404


def test_the_openapi_document_has_every_row_of_the_table_and_no_other():
    document = json.loads(openapi.encoded(TABLE))
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert described == {(each.method, each.template.replace("*}", "}")) for each in TABLE.routes}
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(TABLE.routes)
    parameters = document["components"]["parameters"]
    for each in operations:
        assert {"403", *each["responses"]} == set(each["responses"])
        for one in each.get("parameters", ()):
            assert one["$ref"].removeprefix("#/components/parameters/") in parameters
    (server,) = document["servers"]
    assert server["url"] == ".."


def test_every_handler_says_what_it_takes_and_gives():
    assert {each.handler for each in TABLE.routes} == TABLE.operations.keys()
    for operation in TABLE.operations.values():
        assert set(operation.statuses) <= described_by.STATUSES.keys()

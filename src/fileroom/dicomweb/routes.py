"""Every resource of this service, as one table.

The matrix test of access walks its rows, the capabilities and docs/openapi.json are made of it, and
a row without a handler fails at start.
"""

from collections.abc import Mapping
from typing import Final

from fileroom.access.grant import Action
from fileroom.dicomweb import capabilities
from fileroom.dicomweb.location import BASE
from fileroom.dicomweb.operations import OPERATIONS, PARAMETERS
from fileroom.dicomweb.qido import search
from fileroom.dicomweb.stow import store
from fileroom.dicomweb.wado import bulkdata, frames, instances, rendered, uri
from fileroom.dicomweb.wado.uri_query import NAMED
from fileroom.http import told
from fileroom.http.resources import Handler, Resources
from fileroom.http.routing import Route

_STUDY = f"{BASE}/studies/{{study}}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_PICTURED = (_STUDY, _SERIES, _INSTANCE, f"{_INSTANCE}/frames/{{frames}}")

ROUTES: Final[tuple[Route, ...]] = (
    Route("POST", f"{BASE}/studies", Action.STORE, "store"),
    Route("POST", _STUDY, Action.STORE, "store"),
    Route("GET", f"{BASE}/studies", Action.FIND, "search_studies"),
    Route("GET", f"{BASE}/series", Action.FIND, "search_series"),
    Route("GET", f"{BASE}/instances", Action.FIND, "search_instances"),
    Route("GET", f"{_STUDY}/series", Action.FIND, "search_series"),
    Route("GET", f"{_STUDY}/instances", Action.FIND, "search_instances"),
    Route("GET", f"{_SERIES}/instances", Action.FIND, "search_instances"),
    Route("GET", _STUDY, Action.GET, "retrieve_instances"),
    Route("GET", _SERIES, Action.GET, "retrieve_instances"),
    Route("GET", _INSTANCE, Action.GET, "retrieve_instances"),
    Route("GET", f"{_STUDY}/metadata", Action.GET, "retrieve_metadata"),
    Route("GET", f"{_SERIES}/metadata", Action.GET, "retrieve_metadata"),
    Route("GET", f"{_INSTANCE}/metadata", Action.GET, "retrieve_metadata"),
    Route("GET", f"{_INSTANCE}/frames/{{frames}}", Action.GET, "retrieve_frames"),
    Route("GET", f"{_INSTANCE}/bulkdata/{{element*}}", Action.GET, "retrieve_bulkdata"),
    *(Route("GET", f"{each}/rendered", Action.GET, "retrieve_rendered") for each in _PICTURED),
    *(Route("GET", f"{each}/thumbnail", Action.GET, "retrieve_thumbnail") for each in _PICTURED),
    Route("GET", f"{BASE}/wado", Action.GET, "retrieve_by_uri", NAMED),
    Route("GET", "/wado", Action.GET, "retrieve_by_uri", NAMED),
    Route("OPTIONS", BASE, Action.DESCRIBE, "capabilities"),
    Route("OPTIONS", f"{BASE}/", Action.DESCRIBE, "capabilities"),
    Route("GET", f"{BASE}/openapi.json", Action.DESCRIBE, "openapi"),
)
HANDLERS: Final[Mapping[str, Handler]] = {
    "store": store.store,
    "search_studies": search.studies,
    "search_series": search.series,
    "search_instances": search.instances,
    "retrieve_instances": instances.instances,
    "retrieve_metadata": instances.metadata,
    "retrieve_frames": frames.frames,
    "retrieve_bulkdata": bulkdata.bulkdata,
    "retrieve_rendered": rendered.rendered,
    "retrieve_thumbnail": rendered.thumbnail,
    "retrieve_by_uri": uri.retrieve,
    "capabilities": capabilities.capabilities,
    "openapi": told.openapi,
}
RESOURCES: Final = Resources(ROUTES, HANDLERS, OPERATIONS, PARAMETERS)

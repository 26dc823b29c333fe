"""All that the web door has, room by room."""

from typing import Final

from fileroom.dicomweb import routes as dicomweb
from fileroom.http.operation import Table
from fileroom.http.resources import Resources, table_of
from fileroom.web import page_routes as pages
from fileroom.web import routes as web

RESOURCES: Final[tuple[Resources, ...]] = (
    dicomweb.RESOURCES,
    web.RESOURCES,
    pages.RESOURCES,
)
TABLE: Final[Table] = table_of(RESOURCES)

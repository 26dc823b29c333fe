"""The pages and the viewer, as one table. Pure."""

from typing import Final

from fileroom.access.grant import Action
from fileroom.http.operation import Operation, Taken
from fileroom.http.resources import Resources
from fileroom.http.routing import Route
from fileroom.web import files, static_files, study_list, study_page, viewer

HTML: Final = "text/html"
ANYTHING: Final = "*/*"

RESOURCES: Final = Resources(
    (
        Route("GET", "/", Action.FIND, "show_studies"),
        Route("POST", "/", Action.FIND, "search_page"),
        Route("GET", "/studies/{study}", Action.FIND, "show_study"),
        Route("GET", "/studies/{study}/files.zip", Action.GET, "download_study"),
        Route("GET", "/static/{file}", Action.PAGE, "static_file"),
        Route("GET", "/viewer", Action.PAGE, "enter_viewer"),
        Route("GET", "/viewer/", Action.PAGE, "viewer"),
        Route("GET", "/viewer/{file*}", Action.PAGE, "viewer"),
    ),
    {
        "show_studies": study_list.show,
        "search_page": study_list.search,
        "show_study": study_page.show,
        "download_study": files.send,
        "static_file": static_files.serve,
        "enter_viewer": viewer.enter,
        "viewer": viewer.serve,
    },
    {
        "show_studies": Operation(
            "The page of studies",
            "",
            "",
            gives=(HTML,),
            query=(
                Taken("search", "a search that the page's form began"),
                Taken("page", "which page of its matches", "integer"),
            ),
            statuses=(200, 400, 404, 413, 503),
        ),
        "search_page": Operation(
            "Search on the page of studies",
            "",
            "",
            gives=(HTML,),
            takes=(study_list.FORM,),
            statuses=(303, 400, 413, 415, 503),
        ),
        "show_study": Operation(
            "The page of one study", "", "", gives=(HTML,), statuses=(200, 404, 503)
        ),
        "download_study": Operation(
            "A study's files as one ZIP",
            "",
            "",
            gives=(files.MEDIA_TYPE,),
            statuses=(200, 404, 503),
        ),
        "static_file": Operation(
            "Style and icon of the pages", "", "", gives=(ANYTHING,), statuses=(200, 304, 404)
        ),
        "enter_viewer": Operation("Where the viewer is", "", "", statuses=(308,)),
        "viewer": Operation(
            "The viewer, where one is installed",
            "",
            "",
            gives=(ANYTHING,),
            statuses=(200, 304, 404),
        ),
    },
    {"study": "Study Instance UID", "file": "a file's name"},
)

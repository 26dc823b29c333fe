"""Fileroom's own resources, as one table. Pure."""

from collections.abc import Mapping
from typing import Final

from fileroom.access.grant import Action
from fileroom.http.operation import JSON, Operation, Taken
from fileroom.http.resources import Handler, Resources
from fileroom.http.routing import Route
from fileroom.web import completeness, conflicts, forwards, peers, rejections, tasks

ROUTES: Final = (
    Route("POST", "/tasks/{task}", Action.NOTE, "note_task"),
    Route("POST", "/peers/{peer}/echo", Action.TEST, "echo_peer"),
    Route("GET", "/forwards", Action.FORWARD, "list_forwards"),
    Route("POST", "/forwards/{destination}/retry", Action.FORWARD, "retry_forwards"),
    Route("POST", "/forwards/{destination}/pause", Action.FORWARD, "pause_forwards"),
    Route("POST", "/forwards/{destination}/resume", Action.FORWARD, "resume_forwards"),
    Route("GET", "/conflicts", Action.FIND, "list_conflicts"),
    Route("GET", "/conflicts/studies", Action.FIND, "list_doubted_studies"),
    Route("GET", "/conflicts/{instance}", Action.FIND, "show_conflict"),
    Route("GET", "/conflicts/{instance}/values", Action.GET, "show_conflict_values"),
    Route("POST", "/conflicts/{instance}/settle", Action.DECIDE, "settle_conflict"),
    Route("GET", "/rejections", Action.FIND, "list_rejections"),
    Route("POST", "/rejections", Action.DECIDE, "reject"),
    Route("POST", "/rejections/restore", Action.DECIDE, "restore"),
    Route("GET", "/studies/{study}/completeness", Action.FIND, "show_completeness"),
    Route("GET", "/healthz", Action.HEALTH, "healthz"),
    Route("GET", "/metrics", Action.METRICS, "metrics"),
    Route("GET", "/status", Action.STATUS, "status"),
)
HANDLERS: Final[Mapping[str, Handler]] = {
    "note_task": tasks.note,
    "echo_peer": peers.echo,
    "list_forwards": forwards.listed,
    "retry_forwards": forwards.retry,
    "pause_forwards": forwards.pause,
    "resume_forwards": forwards.resume,
    "list_conflicts": conflicts.listed,
    "list_doubted_studies": conflicts.doubted,
    "show_conflict": conflicts.shown,
    "show_conflict_values": conflicts.values,
    "settle_conflict": conflicts.settle,
    "show_completeness": completeness.shown,
    "list_rejections": rejections.listed,
    "reject": rejections.reject,
    "restore": rejections.restore,
}
_PAGE: Final = (
    Taken("limit", "how many matches to return at most", "integer"),
    Taken("after", "the key of the last one that is known"),
)
_CHANGED: Final = (200, 400, 404, 413, 415, 503)
OPERATIONS: Final[Mapping[str, Operation]] = {
    "note_task": Operation(
        "Note how far a long task is",
        "",
        "",
        gives=(JSON,),
        takes=(JSON,),
        statuses=(200, 400, 404, 413, 415),
    ),
    "echo_peer": Operation("Ask a peer for a C-ECHO", "", "", gives=(JSON,), statuses=(200, 404)),
    "list_forwards": Operation(
        "What waits for other archives, and what they refused",
        "",
        "",
        gives=(JSON,),
        query=(
            Taken("destination", "the name of a peer"),
            Taken("study", "a Study Instance UID, whose all is shown"),
            Taken("limit", "how many studies to return at most", "integer"),
        ),
        statuses=(200, 400, 404),
    ),
    "retry_forwards": Operation(
        "Try a destination now", "", "", gives=(JSON,), takes=(JSON,), statuses=_CHANGED
    ),
    "pause_forwards": Operation(
        "Send nothing to a destination", "", "", gives=(JSON,), takes=(JSON,), statuses=_CHANGED
    ),
    "resume_forwards": Operation(
        "Go on sending to a destination", "", "", gives=(JSON,), takes=(JSON,), statuses=_CHANGED
    ),
    "list_conflicts": Operation(
        "Data sets that share a SOP Instance UID",
        "",
        "",
        gives=(JSON,),
        query=(*_PAGE, Taken("settled", "true: those that are settled, too", "boolean")),
        statuses=(200, 400),
    ),
    "list_doubted_studies": Operation(
        "Studies that say two patients", "", "", gives=(JSON,), query=_PAGE, statuses=(200, 400)
    ),
    "show_conflict": Operation(
        "One conflict, with the tags that differ", "", "", gives=(JSON,), statuses=(200, 404)
    ),
    "show_conflict_values": Operation(
        "What its data sets say in these tags", "", "", gives=(JSON,), statuses=(200, 404)
    ),
    "settle_conflict": Operation(
        "Decide which data set is served",
        "",
        "",
        gives=(JSON,),
        takes=(JSON,),
        statuses=(200, 400, 404, 413, 415, 503),
    ),
    "list_rejections": Operation(
        "What is rejected: since when, by whom, why",
        "",
        "",
        gives=(JSON,),
        query=(
            Taken("limit", "how many decisions to return at most", "integer"),
            Taken("before", "the last decision that is known", "integer"),
            Taken("study", "of this study only"),
        ),
        statuses=(200, 400),
    ),
    "reject": Operation(
        "Hide a study, a series or instances",
        "",
        "",
        gives=(JSON,),
        takes=(JSON,),
        statuses=(200, 400, 404, 413, 415, 503),
    ),
    "restore": Operation(
        "Show again what was rejected",
        "",
        "",
        gives=(JSON,),
        takes=(JSON,),
        statuses=(200, 400, 404, 413, 415, 503),
    ),
    "show_completeness": Operation(
        "Whether all of a study has come", "", "", gives=(JSON,), statuses=(200, 400, 404)
    ),
    "healthz": Operation("Is it well", "", "", gives=(JSON,), statuses=(200, 503)),
    "metrics": Operation("Figures", "", "", gives=("text/plain",), statuses=(200, 404)),
    "status": Operation("Everything", "", "", gives=(JSON,), statuses=(200, 404)),
}
PARAMETERS: Final = {
    "task": "the task's id, 16 to 64 hexadecimal digits",
    "peer": "the peer's name in the settings",
    "destination": "the name of the peer that something is forwarded to",
}
RESOURCES: Final = Resources(ROUTES, HANDLERS, OPERATIONS, PARAMETERS)

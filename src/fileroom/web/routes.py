"""Fileroom's own resources, as one table. Pure."""

from collections.abc import Mapping
from typing import Final

from fileroom.access.grant import Action
from fileroom.http.operation import JSON, Operation
from fileroom.http.resources import Handler, Resources
from fileroom.http.routing import Route
from fileroom.web import peers, tasks

ROUTES: Final = (
    Route("POST", "/tasks/{task}", Action.NOTE, "note_task"),
    Route("POST", "/peers/{peer}/echo", Action.TEST, "echo_peer"),
    Route("GET", "/healthz", Action.HEALTH, "healthz"),
    Route("GET", "/metrics", Action.METRICS, "metrics"),
    Route("GET", "/status", Action.STATUS, "status"),
)
HANDLERS: Final[Mapping[str, Handler]] = {"note_task": tasks.note, "echo_peer": peers.echo}
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
    "healthz": Operation("Is it well", "", "", gives=(JSON,), statuses=(200, 503)),
    "metrics": Operation("Figures", "", "", gives=("text/plain",), statuses=(200, 404)),
    "status": Operation("Everything", "", "", gives=(JSON,), statuses=(200, 404)),
}
PARAMETERS: Final = {
    "task": "the task's id, 16 to 64 hexadecimal digits",
    "peer": "the peer's name in the settings",
}
RESOURCES: Final = Resources(ROUTES, HANDLERS, OPERATIONS, PARAMETERS)

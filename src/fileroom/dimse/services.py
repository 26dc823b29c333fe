"""The services of this door as data: what is asked for, and what must be granted for it. Pure."""

from typing import NamedTuple

from fileroom.access.grant import Action
from fileroom.wire.message import CommandField


class Service(NamedTuple):
    """One DIMSE service that we provide."""

    name: str
    command_field: CommandField
    action: Action


ECHO = Service("C-ECHO", CommandField.C_ECHO_RQ, Action.ECHO)
STORE = Service("C-STORE", CommandField.C_STORE_RQ, Action.STORE)
SERVICES = (ECHO, STORE)
BY_FIELD = {int(service.command_field): service for service in SERVICES}

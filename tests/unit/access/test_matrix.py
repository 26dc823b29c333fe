"""Every way in × every kind of caller. A route or service without a row here fails the test, and
so does a row whose way in is gone."""

import pytest

from fileroom.access import identity
from fileroom.access.decide import decide
from fileroom.access.grant import Action, Object
from fileroom.dimse.server import SERVICES
from fileroom.node.resources import TABLE

STUDY = "/dicomweb/studies/{study}"
SERIES = f"{STUDY}/series/{{series}}"
INSTANCE = f"{SERIES}/instances/{{instance}}"

# What each way in is to the chokepoint. Whoever adds one decides here who may take it.
WAYS_IN = {
    "C-ECHO": Action.ECHO,
    "C-STORE": Action.STORE,
    "C-FIND": Action.FIND,
    "C-GET": Action.GET,
    "C-MOVE": Action.GET,
    "N-ACTION": Action.COMMIT,
    "POST /dicomweb/studies": Action.STORE,
    f"POST {STUDY}": Action.STORE,
    "GET /dicomweb/studies": Action.FIND,
    "GET /dicomweb/series": Action.FIND,
    "GET /dicomweb/instances": Action.FIND,
    f"GET {STUDY}/series": Action.FIND,
    f"GET {STUDY}/instances": Action.FIND,
    f"GET {SERIES}/instances": Action.FIND,
    f"GET {STUDY}": Action.GET,
    f"GET {SERIES}": Action.GET,
    f"GET {INSTANCE}": Action.GET,
    f"GET {STUDY}/metadata": Action.GET,
    f"GET {SERIES}/metadata": Action.GET,
    f"GET {INSTANCE}/metadata": Action.GET,
    f"GET {INSTANCE}/frames/{{frames}}": Action.GET,
    f"GET {INSTANCE}/bulkdata/{{element*}}": Action.GET,
    "OPTIONS /dicomweb": Action.DESCRIBE,
    "OPTIONS /dicomweb/": Action.DESCRIBE,
    "GET /dicomweb/openapi.json": Action.DESCRIBE,
    "POST /tasks/{task}": Action.NOTE,
    "POST /peers/{peer}/echo": Action.TEST,
    "GET /healthz": Action.HEALTH,
    "GET /metrics": Action.METRICS,
    "GET /status": Action.STATUS,
}
# Whoever may have a thing may have its header fields, and no one else.
WAYS_IN |= {f"HEAD {way[4:]}": action for way, action in WAYS_IN.items() if way[:4] == "GET "}
# A resource tells its methods to whoever may ask what the door has.
WAYS_IN |= {
    f"OPTIONS {way.split(' ')[1]}": Action.DESCRIBE for way in WAYS_IN if way.count(" ") == 1
}

ALL = set(Action)
CALLERS = {
    "127.0.0.1": ALL,
    "127.8.9.10": ALL,
    "::1": ALL,
    "::ffff:127.0.0.1": ALL,
    "10.1.2.3": {Action.HEALTH},
    "192.168.0.7": {Action.HEALTH},
    "203.0.113.9": {Action.HEALTH},
    "2001:db8::7": {Action.HEALTH},
    "fe80::1%eth0": {Action.HEALTH},
    "::ffff:10.1.2.3": {Action.HEALTH},
    "0.0.0.0": {Action.HEALTH},
    "": {Action.HEALTH},
    "unix:/run/fileroom/http.sock": {Action.HEALTH},
}


def ways_in():
    """What the doors really have, as (name, action, whether it is about one study)."""
    services = [(each.name, each.action, False) for each in SERVICES]
    routes = [
        (f"{each.method} {each.template}", each.action, "{study}" in each.template)
        for each in TABLE.routes
    ]
    return services + routes


def test_every_way_in_has_a_row_and_every_row_a_way_in():
    assert {name: action for name, action, _ in ways_in()} == WAYS_IN
    assert len(ways_in()) == len(WAYS_IN)


def test_every_action_that_a_door_asks_for_is_one_of_the_chokepoints():
    assert [name for name, action, _ in ways_in() if not isinstance(action, Action)] == []


@pytest.mark.parametrize(("address", "may"), CALLERS.items())
@pytest.mark.parametrize(("name", "action", "of_study"), ways_in())
def test_every_caller_at_every_way_in(name, action, of_study, address, may):
    object = Object("1.2.3") if of_study else Object()
    for ae_title in (None, "FILEROOM"):
        decision = decide(identity.of_address(address, ae_title=ae_title), action, object)
        assert decision.allowed == (WAYS_IN[name] in may)
        assert decision.reason

"""Every way in × every kind of caller. A route or service without a row here fails the test, and
so does a row whose way in is gone."""

from ipaddress import ip_network

import pytest

from fileroom.access import identity
from fileroom.access.decide import decide
from fileroom.access.entities import Entities, Peer
from fileroom.access.grant import SERVICES as GRANTABLE
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
    "C-MOVE": Action.MOVE,
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
    f"GET {STUDY}/rendered": Action.GET,
    f"GET {SERIES}/rendered": Action.GET,
    f"GET {INSTANCE}/rendered": Action.GET,
    f"GET {INSTANCE}/frames/{{frames}}/rendered": Action.GET,
    f"GET {STUDY}/thumbnail": Action.GET,
    f"GET {SERIES}/thumbnail": Action.GET,
    f"GET {INSTANCE}/thumbnail": Action.GET,
    f"GET {INSTANCE}/frames/{{frames}}/thumbnail": Action.GET,
    "OPTIONS /dicomweb": Action.DESCRIBE,
    "OPTIONS /dicomweb/": Action.DESCRIBE,
    "GET /dicomweb/openapi.json": Action.DESCRIBE,
    "POST /tasks/{task}": Action.NOTE,
    "POST /peers/{peer}/echo": Action.TEST,
    "GET /forwards": Action.FORWARD,
    "POST /forwards/{destination}/retry": Action.FORWARD,
    "POST /forwards/{destination}/pause": Action.FORWARD,
    "POST /forwards/{destination}/resume": Action.FORWARD,
    "GET /conflicts": Action.FIND,
    "GET /conflicts/studies": Action.FIND,
    "GET /conflicts/{instance}": Action.FIND,
    "GET /conflicts/{instance}/values": Action.GET,
    "POST /conflicts/{instance}/settle": Action.DECIDE,
    "GET /rejections": Action.FIND,
    "POST /rejections": Action.DECIDE,
    "POST /rejections/restore": Action.DECIDE,
    "GET /": Action.FIND,
    "POST /": Action.FIND,
    "GET /studies/{study}": Action.FIND,
    "GET /studies/{study}/files.zip": Action.GET,
    "GET /static/{file}": Action.PAGE,
    "GET /viewer": Action.PAGE,
    "GET /viewer/": Action.PAGE,
    "GET /viewer/{file*}": Action.PAGE,
    "GET /studies/{study}/completeness": Action.FIND,
    "GET /dicomweb/wado": Action.GET,
    "GET /wado": Action.GET,
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
SERVICES_OF = {each.name: each.action for each in SERVICES}
# What each AE title of ours gives, and what each peer may, as an operator would write it.
TITLES = {
    "FILEROOM": {"C-ECHO", "C-STORE", "C-FIND", "C-GET", "C-MOVE", "N-ACTION"},
    "RESEARCH": {"C-ECHO", "C-FIND", "C-MOVE"},
    "INBOX": {"C-STORE"},
    "CLOSED": set(),
}
PEERS = {
    ("CT1", "192.0.2.21"): {"C-ECHO", "C-STORE", "N-ACTION"},
    ("READING", "192.0.2.70"): {"C-ECHO", "C-FIND", "C-GET", "C-MOVE"},
    ("ALL", "2001:db8::7"): TITLES["FILEROOM"],
}
NO_PEERS = (
    ("CT1", "192.0.2.70"),
    ("READING", "192.0.2.21"),
    ("ct1", "192.0.2.21"),
    ("FILEROOM", "192.0.2.21"),
    ("", "192.0.2.21"),
    ("CT1", "127.0.0.1"),
    ("CT1", ""),
)
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


def entities(*, peers=PEERS):
    return Entities(
        {title: {SERVICES_OF[each] for each in gives} for title, gives in TITLES.items()},
        [
            Peer(title.lower(), title, (ip_network(address),), {SERVICES_OF[each] for each in may})
            for (title, address), may in peers.items()
        ],
    )


@pytest.mark.parametrize("name", SERVICES_OF)
@pytest.mark.parametrize("called", [*TITLES, "OTHER"])
@pytest.mark.parametrize(("calling", "address"), [*PEERS, *NO_PEERS])
def test_every_title_and_every_peer_at_every_service(calling, address, called, name):
    known = entities()
    may = PEERS.get((calling, address), set()) & TITLES.get(called, set())
    for study in ("", "1.2.3"):
        object = Object(study, called)
        decision = decide(known.caller(address, calling), SERVICES_OF[name], object, known)
        assert decision.allowed == (name in may)
        assert decision.reason


@pytest.mark.parametrize("name", SERVICES_OF)
@pytest.mark.parametrize("called", [*TITLES, "OTHER"])
@pytest.mark.parametrize("address", CALLERS)
@pytest.mark.parametrize("peers", [{}, {("CT1", "192.0.2.21"): set()}])
def test_until_a_peer_has_rights_this_machine_has_those_of_the_title(address, called, name, peers):
    known = entities(peers=peers)
    decision = decide(
        known.caller(address, "CT1"), SERVICES_OF[name], Object(ae_title=called), known
    )
    is_here = CALLERS[address] == ALL
    assert decision.allowed == (is_here and name in TITLES.get(called, set()))


@pytest.mark.parametrize(("name", "action", "of_study"), ways_in())
def test_peers_with_rights_change_nothing_where_no_title_is_called(name, action, of_study):
    known = entities()
    for address in CALLERS:
        principal = identity.of_address(address)
        without = decide(principal, action, Object())
        assert decide(principal, action, Object(), known) == without


def test_titles_and_peers_can_be_given_every_service_and_nothing_else():
    assert {each.action for each in SERVICES} == GRANTABLE

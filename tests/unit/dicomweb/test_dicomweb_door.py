"""What every request passes: route, host, caller, access, errors, header fields of each answer."""

import pytest

from corpus import ct_small
from dicomweb_fakes import call, world
from fileroom.access.decide import decide
from fileroom.dicomweb.location import BASE
from fileroom.errors import IntegrityError, PeerError, RefusedError, TransientError
from fileroom.http import routing
from fileroom.http.answers import Answer
from fileroom.http.app import WebApp
from fileroom.http.refusals import MethodNotAllowedError, NotFoundError, status_of
from fileroom.http.routing import Route, Router
from fileroom.node.resources import RESOURCES, TABLE
from fileroom.retrieve.packs import UnavailableError
from fileroom.spool.failure import SpaceError

ROUTES = TABLE.routes
OF_THE_NODE = {"healthz", "metrics", "status"}
INSTANCE = "/dicomweb/studies/1.2/series/1.3/instances/1.4"


@pytest.fixture
def one():
    """A door whose archive holds one CT slice."""
    here = world()
    here.archive.add(ct_small().read_bytes())
    return here


def path_of(here) -> str:
    (instance,) = here.archive.instances.values()
    return (
        f"{BASE}/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances/{instance.sop_instance_uid}"
    )


def filled(template: str) -> str:
    for name, value in {"study": "1.2", "series": "1.3", "instance": "1.4"}.items():
        template = template.replace(f"{{{name}}}", value)
    return template.replace("{frames}", "1").replace("{element*}", "7FE00010")


# --- routes


def test_every_row_has_a_handler_and_every_handler_a_row():
    handlers = {name for each in RESOURCES for name in each.handlers} | {"allowed"}
    assert {route.handler for route in ROUTES} == handlers | OF_THE_NODE
    assert len({(route.method, route.template) for route in ROUTES}) == len(ROUTES)


def test_a_path_is_found_with_its_parameters():
    router = Router(ROUTES)
    route, parameters = router.match("GET", f"{INSTANCE}/frames/1,2")
    assert route.handler == "retrieve_frames"
    assert parameters == {"study": "1.2", "series": "1.3", "instance": "1.4", "frames": "1,2"}


@pytest.mark.parametrize(
    "path",
    [
        *("", "//", "/studies", "relative", f"{BASE}//", f"{BASE}/studies/"),
        *(f"{BASE}/studies/1.2/", f"{BASE}/studies/1.2/instances/1.4", f"{BASE}//studies"),
        *(f"{INSTANCE}/frames", f"{INSTANCE}/frames/", f"{INSTANCE}/pixels"),
    ],
)
def test_a_path_without_a_template_is_not_found(path):
    with pytest.raises(NotFoundError):
        Router(ROUTES).match("GET", path)


def test_a_wrong_method_names_the_right_ones():
    with pytest.raises(MethodNotAllowedError) as caught:
        Router(ROUTES).match("DELETE", f"{BASE}/studies/1.2")
    assert caught.value.allow == ("GET", "HEAD", "POST", "OPTIONS")
    with pytest.raises(MethodNotAllowedError):
        Router(ROUTES).match("GET", BASE)


def test_a_row_that_is_there_twice_is_our_mistake():
    row = ROUTES[0]
    with pytest.raises(AssertionError):
        Router([row, Route(row.method, row.template, row.action, "other")])
    assert routing.METHODS


async def test_unknown_paths_and_methods_answer_404_and_405(one):
    assert (await call(one.app, "GET", "/nothing")).status == 404
    reply = await call(one.app, "PUT", f"{BASE}/studies")
    assert reply.status == 405
    assert reply.header("allow") == "GET, HEAD, POST, OPTIONS"


# --- access


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.template}")
async def test_a_caller_from_elsewhere_is_refused_on_every_route_before_any_work(route):
    here = world(extra={"healthz": fine, "metrics": fine, "status": fine})
    refused = []
    here.app._refused = lambda *facts: refused.append(facts)
    reply = await call(here.app, route.method, filled(route.template), client=("10.0.0.9", 1))
    if route.handler == "healthz":
        assert reply.status == 200
        return
    assert reply.status == 403
    assert here.archive.searches == []
    assert here.receiver.origins == []
    assert here.coverage.asked == []
    ((principal, action, _),) = refused
    assert (principal.address, action) == ("10.0.0.9", route.action)


async def fine() -> Answer:
    return Answer(200, "application/json", b"{}")


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.template}")
async def test_a_door_with_nothing_behind_it_says_so_to_whoever_may_ask_and_to_nobody_else(route):
    def nothing():
        raise TransientError("keys locked")

    app = WebApp(
        nothing, decide, RESOURCES, extra={"healthz": fine, "metrics": fine, "status": fine}
    )
    reply = await call(app, route.method, filled(route.template))
    if route.handler in OF_THE_NODE:
        assert reply.status == 200
    else:
        assert (reply.status, reply.header("retry-after")) == (503, "10")
        if route.method != "HEAD":
            assert reply.json() == {"status": 503, "reason": "keys locked"}
    reply = await call(app, route.method, filled(route.template), client=("10.0.0.9", 1))
    assert reply.status == (200 if route.handler == "healthz" else 403)
    assert b"locked" not in reply.body


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"host": "evil.example"}, 421),
        ("POST", {"origin": "https://evil.example"}, 403),
    ],
)
async def test_a_caller_that_comes_as_only_an_attack_does_is_told_of(method, headers, status):
    refused = []
    here = world(refused=lambda *facts: refused.append(facts))
    reply = await call(here.app, method, f"{BASE}/studies", headers=headers)
    assert reply.status == status
    ((principal, action, reason),) = refused
    assert (principal.address, action) == ("127.0.0.1", "reach")
    assert "evil" not in reason


async def test_a_caller_without_an_address_is_refused(one):
    assert (await call(one.app, "GET", f"{BASE}/studies", client=None)).status == 403


async def test_access_is_asked_before_the_uids_are_looked_at(one):
    bad = f"{BASE}/studies/not-a-uid/metadata"
    assert (await call(one.app, "GET", bad, client=("10.0.0.9", 1))).status == 403
    assert (await call(one.app, "GET", bad)).status == 400


@pytest.mark.parametrize(
    "uid", ["..", "1.2/../3", "1..2", "1.2.", "x1", "1.2%00", "1" * 65, "1.2;rm -rf", "١.٢", "1\n2"]
)
async def test_what_is_no_uid_never_reaches_the_archive(one, uid):
    reply = await call(one.app, "GET", f"{BASE}/studies/{uid}")
    assert reply.status in (400, 404)
    assert uid.encode() not in reply.body
    assert one.coverage.asked == []


# --- who calls, and by which name


async def test_forwarded_for_counts_from_a_trusted_proxy_only():
    here = world(trusted_proxies=["10.0.0.0/8"])
    says_loopback = {"x-forwarded-for": "127.0.0.1"}
    target = f"{BASE}/studies"
    from_proxy = await call(here.app, "GET", target, headers=says_loopback, client=("10.1.1.1", 1))
    assert from_proxy.status == 200
    liar = await call(here.app, "GET", target, headers=says_loopback, client=("192.0.2.1", 1))
    assert liar.status == 403


@pytest.mark.parametrize(
    "field, status",
    [
        ("127.0.0.1, 192.0.2.7", 403),  # the last address that is no proxy's is the caller
        ("192.0.2.7, 127.0.0.1", 200),
        ("192.0.2.7, 127.0.0.1, 10.2.2.2", 200),
        ("[::1]", 200),
        ("::ffff:127.0.0.1", 200),
        ("rubbish", 403),
        ("127.0.0.1, rubbish", 403),
        ("", 403),
    ],
)
async def test_the_caller_behind_a_proxy_is_the_nearest_that_is_no_proxy(field, status):
    here = world(trusted_proxies=["10.0.0.0/8"])
    reply = await call(
        here.app,
        "GET",
        f"{BASE}/studies",
        headers={"x-forwarded-for": field},
        client=("10.1.1.1", 1),
    )
    assert reply.status == status


@pytest.mark.parametrize(
    "host, status",
    [
        ("127.0.0.1:8642", 200),
        ("[::1]:8642", 200),
        ("localhost", 200),
        ("LocalHost:80", 200),
        ("archive.example:8642", 200),
        # A page that points its own name at this machine would read answers as its own.
        ("rebound.attacker.example:8642", 421),
        ("127.0.0.1.attacker.example", 421),
        ("", 400),
        ("a b", 400),
        ("x" * 300, 400),
        ('127.0.0.1"', 400),
        ("127.0.0.1/..", 400),
    ],
)
async def test_only_addresses_and_own_names_are_answered_for(host, status):
    here = world(host_names=["localhost", "archive.example"])
    reply = await call(here.app, "GET", f"{BASE}/studies", headers={"host": host})
    assert reply.status == status


async def test_urls_carry_the_name_that_the_caller_used_and_the_prefix_of_the_proxy():
    here = world(prefix="/images", trusted_proxies=["127.0.0.1"])
    here.archive.add(ct_small().read_bytes())
    headers = {
        "host": "inside:8642",
        "x-forwarded-host": "pacs.example",
        "x-forwarded-proto": "https",
        "x-forwarded-for": "127.0.0.2",
    }
    for target in (f"/images{BASE}/studies", f"{BASE}/studies"):
        reply = await call(here.app, "GET", target, headers=headers)
        (row,) = reply.json()
        (url,) = row["00081190"]["Value"]
        assert url.startswith("https://pacs.example/images/dicomweb/studies/1.3.6")


@pytest.mark.parametrize(
    "host, server, base",
    [
        ("127.0.0.1", ("127.0.0.1", 8642), "http://127.0.0.1:8642"),  # dicomweb-client 0.61
        ("localhost", ("127.0.0.1", 8642), "http://localhost:8642"),
        ("[::1]", ("::1", 8642), "http://[::1]:8642"),
        ("127.0.0.1", ("127.0.0.1", 80), "http://127.0.0.1"),
        ("192.0.2.1", ("172.17.0.2", 8642), "http://192.0.2.1"),  # a port mapped to ours
        ("127.0.0.1:99", ("127.0.0.1", 8642), "http://127.0.0.1:99"),
    ],
)
async def test_a_port_that_the_caller_left_out_is_the_sockets_own(host, server, base):
    here = world()
    here.archive.add(ct_small().read_bytes())
    headers = {"host": host}
    reply = await call(here.app, "GET", f"{BASE}/studies", headers=headers, server=server)
    (row,) = reply.json()
    assert row["00081190"]["Value"][0].startswith(f"{base}/dicomweb/")


# --- pages of other origins


async def test_other_origins_get_nothing_unless_they_are_listed(one):
    page = {"origin": "https://viewer.example"}
    reply = await call(one.app, "GET", f"{BASE}/studies", headers=page)
    assert reply.status == 200
    assert reply.header("access-control-allow-origin") is None
    sending = await call(one.app, "POST", f"{BASE}/studies", headers=page)
    assert sending.status == 403
    assert one.receiver.origins == []


async def test_a_listed_origin_may_read_and_ask_before_sending():
    here = world(cors_origins=["https://viewer.example"])
    page = {"origin": "https://viewer.example"}
    reply = await call(here.app, "GET", f"{BASE}/studies", headers=page)
    assert reply.header("access-control-allow-origin") == "https://viewer.example"
    assert "origin" in reply.all("vary")
    asks = {"access-control-request-method": "POST"}
    asked = await call(here.app, "OPTIONS", f"{BASE}/studies", headers=page | asks)
    assert asked.status == 204
    for name in ("content-type", "if-none-match", "range"):
        assert name in (asked.header("access-control-allow-headers") or "")
    missing = await call(here.app, "GET", f"{BASE}/studies/1.2", headers=page)
    assert missing.status == 404
    assert missing.header("access-control-allow-origin") == "https://viewer.example"
    elsewhere = {"origin": "https://else.example"}
    other = await call(here.app, "OPTIONS", f"{BASE}/studies", headers=elsewhere | asks)
    assert other.status == 403
    assert other.header("access-control-allow-origin") is None


async def test_a_page_is_answered_nothing_before_it_asks_unless_it_is_listed(one):
    page = {"origin": "https://viewer.example", "access-control-request-method": "GET"}
    asked = await call(one.app, "OPTIONS", f"{BASE}/studies", headers=page)
    assert asked.status == 403
    assert asked.header("access-control-allow-origin") is None
    assert asked.header("access-control-allow-methods") is None


async def test_our_own_pages_are_no_other_origin(one):
    reply = await call(
        one.app, "POST", f"{BASE}/studies", headers={"origin": "http://127.0.0.1:8642"}
    )
    assert reply.status == 400  # it came as far as the missing Content-Type


# --- answers


async def test_every_answer_forbids_caching_guessing_and_embedding(one):
    good = await call(one.app, "GET", f"{path_of(one)}/metadata")
    image = await call(one.app, "GET", path_of(one))
    bad = await call(one.app, "GET", f"{BASE}/studies/1.2")
    for reply in (good, image, bad):
        assert reply.header("cache-control") == "no-store"
        assert reply.header("x-content-type-options") == "nosniff"
        assert "default-src 'none'" in (reply.header("content-security-policy") or "")
        assert reply.header("cross-origin-resource-policy") == "same-origin"
        assert int(reply.header("content-length") or -1) == len(reply.body)


@pytest.mark.parametrize(
    "error, status",
    [
        (PeerError("x"), 400),
        (RefusedError("x"), 409),
        (TransientError("x"), 503),
        (UnavailableError("x", retry_after_s=7), 503),
        (SpaceError("x"), 507),
        (IntegrityError("x"), 500),
    ],
)
def test_each_family_of_errors_has_its_status(error, status):
    assert status_of(error) == status


async def test_bytes_that_are_not_available_now_are_answered_by_503_and_when_to_ask_again(one):
    one.archive.read_error = UnavailableError("no provider answers", retry_after_s=7)
    reply = await call(one.app, "GET", path_of(one))
    assert reply.status == 503
    assert reply.header("retry-after") == "7"
    assert reply.json() == {"status": 503, "reason": "no provider answers"}


async def test_damaged_bytes_are_our_error_and_their_place_stays_with_us(one, caplog):
    one.archive.read_error = IntegrityError("tag of segment 3 in pack 17")
    reply = await call(one.app, "GET", path_of(one))
    assert reply.status == 500
    assert b"17" not in reply.body
    assert "segment 3" in caplog.text


async def test_an_error_of_ours_tells_neither_the_caller_nor_the_log_its_text(one, caplog):
    one.archive.read_error = KeyError("DOE^JOHN")  # type: ignore[assignment]
    reply = await call(one.app, "GET", path_of(one))
    assert reply.status == 500
    assert b"DOE" not in reply.body
    assert "KeyError at" in caplog.text
    assert "DOE" not in caplog.text


async def test_injected_routes_answer_what_their_handlers_give():
    async def healthz() -> Answer:
        return Answer(503, "application/json", b'{"status":"unavailable"}', [(b"x", b"y")])

    here = world(extra={"healthz": healthz})
    reply = await call(here.app, "GET", "/healthz", client=("10.0.0.9", 1))
    assert (reply.status, reply.body, reply.header("x")) == (503, b'{"status":"unavailable"}', "y")
    assert (await call(here.app, "GET", "/metrics")).status == 404

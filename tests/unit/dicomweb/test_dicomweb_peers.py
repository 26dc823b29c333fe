"""POST to ask whether a peer answers: what a Test button shows."""

import pytest

from dicomweb_fakes import call, world
from fileroom.errors import FileroomError
from fileroom.peer.association import BrokenOffError, RejectedError, UnreachableError
from fileroom.peer.echo import UnknownPeerError
from fileroom.peer.status import FailedStatusError


class Peers:
    """One that answers, or not."""

    def __init__(self, error: FileroomError | None = None) -> None:
        self.asked: list[str] = []
        self._error = error

    async def echo(self, name: str) -> float:
        self.asked.append(name)
        if self._error is not None:
            raise self._error
        return 0.0123456


async def test_a_peer_that_answers_is_told_with_how_long_it_took():
    peers = Peers()
    reply = await call(world(peers=peers).app, "POST", "/peers/pacs/echo")
    assert (reply.status, peers.asked) == (200, ["pacs"])
    assert reply.json() == {"peer": "pacs", "answers": True, "took_s": 0.0123}


@pytest.mark.parametrize(
    "error",
    [
        UnreachableError("no connection: refused"),
        RejectedError("the peer rejected the association: called AE title not recognized"),
        BrokenOffError("the peer aborted, source 0, reason 0"),
        FailedStatusError("the peer answered 0122H", status=0x0122),
    ],
)
async def test_what_is_wrong_with_a_peer_is_no_error_of_the_request(error):
    reply = await call(world(peers=Peers(error)).app, "POST", "/peers/pacs/echo")
    assert reply.status == 200
    assert reply.json() == {"peer": "pacs", "answers": False, "problem": str(error)}


async def test_a_peer_that_nobody_named_is_not_there():
    unknown = Peers(UnknownPeerError("no peer of that name"))
    assert (await call(world(peers=unknown).app, "POST", "/peers/x/echo")).status == 404
    assert (await call(world().app, "POST", "/peers/pacs/echo")).status == 404


async def test_a_page_of_another_origin_and_another_machine_ask_in_vain():
    peers = Peers()
    headers = {"origin": "http://evil.example"}
    reply = await call(world(peers=peers).app, "POST", "/peers/pacs/echo", headers=headers)
    assert reply.status == 403
    app = world(peers=peers).app
    reply = await call(app, "POST", "/peers/pacs/echo", client="10.0.0.9")
    assert (reply.status, peers.asked) == (403, [])

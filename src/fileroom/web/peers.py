"""Whether another archive or modality answers: what a Test button asks for."""

import msgspec

from fileroom.errors import FileroomError
from fileroom.http.answers import answer
from fileroom.http.refusals import NotFoundError
from fileroom.http.request import Request, Service
from fileroom.peer.echo import UnknownPeerError

JSON = "application/json"


async def echo(service: Service, request: Request) -> None:
    """POST to ask a peer of the settings for a C-ECHO. A peer that does not answer is no error of
    this request: the answer says what is wrong with it."""
    if service.peers is None:
        raise NotFoundError("there is no such resource")
    name = request.parameters["peer"]
    try:
        took_s = await service.peers.echo(name)
    except UnknownPeerError as error:
        raise NotFoundError(str(error)) from error
    except FileroomError as error:
        told = {"peer": name, "answers": False, "problem": str(error)}
    else:
        told = {"peer": name, "answers": True, "took_s": round(took_s, 4)}
    await answer(request, 200, JSON, msgspec.json.encode(told))

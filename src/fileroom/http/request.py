"""One request on its way through the door, and what all handlers share."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fileroom.access.identity import Principal
from fileroom.decisions.conflicts import ConflictDesk
from fileroom.decisions.rejections import RejectionDesk
from fileroom.http.operation import Table
from fileroom.http.paging import Pages
from fileroom.http.ports import (
    Archive,
    Completeness,
    Coverage,
    Forwards,
    Peers,
    Receiver,
    Renderer,
    Tasks,
    Thumbnails,
    Transcoder,
)
from fileroom.http.refusals import BadRequestError, DisconnectedError
from fileroom.http.routing import Route
from fileroom.http.searches import Searches

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

QUERY_FIELDS_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may cost.

    Attributes:
        body_bytes_max: of a STOW-RS request, all parts together, and of all instances that it
            makes of them.
        parts_max: parts of one STOW-RS request, instances in it, references from metadata to parts,
            and frames that are parts; each costs a few hundred bytes.
        metadata_bytes_max: of metadata in one STOW-RS request, all instances together, with the
            header fields of all parts.
        instance_metadata_bytes_max: of metadata of one instance, which is read at once.
        idle_s: silence of a sender after which its request is given up.
        results_default, results_max: matches in one search answer, where the query has no limit
            and at most.
        frames_max: frames in one request.
        finishing_max: instances of one request that wait for the disk while later ones arrive.
            The more there are, the more of them one sync serves.
        finishing_bytes_max: what the spool may hold of them unwritten, at most 2 MiB of each.
    """

    body_bytes_max: int = 64 << 30
    parts_max: int = 10_000
    metadata_bytes_max: int = 64 << 20
    instance_metadata_bytes_max: int = 4 << 20
    idle_s: float = 60.0
    results_default: int = 1_000
    results_max: int = 10_000
    frames_max: int = 10_000
    finishing_max: int = 32
    finishing_bytes_max: int = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the handlers work with.

    Attributes:
        partition: where searches look.
        tasks: takes notes about long tasks; where there is none they are answered 404.
        completeness, peers, conflicts, forwards, rejections: as `tasks`.
        pages: where searches that are read page by page have come to.
        reading: held by whoever reads metadata of an instance, so that one is in memory at a time.
        searches: what people searched for on the page.
        viewer_directory: where a viewer lies once one is installed; None: nowhere.
    """

    archive: Archive
    receiver: Receiver
    coverage: Coverage
    transcoder: Transcoder
    renderer: Renderer
    thumbnails: Thumbnails
    partition: str
    limits: Limits = field(default_factory=Limits)
    tasks: Tasks | None = None
    peers: Peers | None = None
    completeness: Completeness | None = None
    conflicts: ConflictDesk | None = None
    forwards: Forwards | None = None
    rejections: RejectionDesk | None = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    pages: Pages = field(default_factory=Pages)
    searches: Searches = field(default_factory=Searches)
    viewer_directory: Path | None = None


@dataclass(slots=True)
class Request:
    """One request whose caller is known and allowed.

    Attributes:
        root_url: of this node as the caller reaches it, without a slash at its end.
        prefix: the path of `root_url`.
        table: all ways in, to tell of them.
        route: the row of the table that it came by.
        parameters: what stands for the template's parameters.
        cors: header fields that let the caller's page read the answer.
    """

    scope: Scope
    receive: Receive
    send: Send
    principal: Principal
    root_url: str
    prefix: str
    table: Table
    route: Route
    parameters: dict[str, str]
    cors: list[tuple[bytes, bytes]]
    started: bool = False

    @property
    def is_head(self) -> bool:
        """Whether only the header fields are wanted."""
        return bool(self.scope["method"] == "HEAD")

    @property
    def address(self) -> str:
        """The caller's network address."""
        return self.principal.address

    def header(self, name: bytes) -> str | None:
        """A header field; several lines of one name are joined by commas (RFC 9110 §5.3)."""
        return header_of(self.scope, name)

    def accepts(self) -> tuple[str, ...]:
        """The Accept fields of this request, the one that counts most first (PS3.18 §8.7.8.1)."""
        header = self.header(b"accept")
        fields = ("*/*" if header is None else header,)
        if b"accept" not in self.scope["query_string"]:
            return fields
        named = [value for key, value in self.query() if key == "accept"]
        return (", ".join(named), *fields) if named else fields

    def query(self) -> list[tuple[str, str]]:
        """The query's names and values, in order.

        Raises:
            BadRequestError: it is not UTF-8, or has too many fields.
        """
        return query_fields(self.scope["query_string"])

    async def next_message(self) -> Message:
        """The next message of the body. Raises DisconnectedError where the caller hung up."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError("the caller hung up")
        return message


def header_of(scope: Scope, name: bytes) -> str | None:
    """A header field of a request; several lines of one name are joined by commas."""
    found = [value for key, value in scope["headers"] if key == name]
    if not found:
        return None
    joined: bytes = b", ".join(found)
    return joined.decode("latin-1")


@lru_cache(maxsize=256)
def _query_fields(query: bytes) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(
            parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=QUERY_FIELDS_MAX,
            )
        )
    except ValueError as error:
        # The error's text may repeat the value.
        raise BadRequestError("the query is not percent-encoded UTF-8 of few fields") from error


def query_fields(query: bytes) -> list[tuple[str, str]]:
    """The names and values of a query. Raises BadRequestError."""
    return list(_query_fields(query)) if query else []


def named_in_query(query: bytes, named: Sequence[tuple[str, str]]) -> dict[str, str]:
    """What stands in a query for parameters that no path has; of one that is missing, empty or
    repeated nothing, and of a query that cannot be read: whoever answers refuses these.

    Args:
        named: the name in the query, and that of the parameter.
    """
    try:
        given = query_fields(query) if named else []
    except BadRequestError:
        return {}
    found = {}
    for name, parameter in named:
        values = [value for key, value in given if key == name]
        if len(values) == 1 and values[0]:
            found[parameter] = values[0]
    return found

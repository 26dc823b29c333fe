"""What this door refuses by itself, and the one table from errors to HTTP statuses."""

from collections.abc import Sequence

from fileroom.catalog.errors import SearchTooBroadError, UnmatchableError
from fileroom.dicom.inflate import InflatedTooLargeError
from fileroom.dicom.xml_model import XmlTooLargeError
from fileroom.errors import (
    FileroomError,
    IntegrityError,
    PeerError,
    RefusedError,
    TransientError,
    UncertainError,
)
from fileroom.pixels.rendering import RenderingTooLargeError
from fileroom.retrieve.opened import NoFramesError, NoValueError
from fileroom.retrieve.render import NotRenderableError
from fileroom.spool.failure import SpaceError
from fileroom.wire.byte_range import UnsatisfiableRangeError

Header = tuple[bytes, bytes]

RETRY_AFTER_S = 10


class BadRequestError(PeerError):
    """The request does not say anything we can do."""


class ForbiddenError(RefusedError):
    """`access.decide` said no, or the request came by a way that only an attack takes."""


class NotFoundError(RefusedError):
    """There is no such resource."""


class MethodNotAllowedError(RefusedError):
    """The resource has no such method. `allow` has those it has."""

    def __init__(self, allow: Sequence[str]) -> None:
        super().__init__(f"this resource answers {', '.join(allow)} only")
        self.allow = tuple(allow)


class NotAcceptableError(RefusedError):
    """There is no representation of the resource that the Accept field allows."""


class ChangedError(RefusedError):
    """What is here is not what the request makes its condition."""


class TooLargeError(RefusedError):
    """The request is over a limit of this node."""


class UnsupportedMediaTypeError(RefusedError):
    """The request's body is of a kind we do not take."""


class MisdirectedError(RefusedError):
    """The request names a host that this node does not answer for."""


class SilentPeerError(PeerError):
    """The peer sent nothing of its body for too long."""


class DisconnectedError(PeerError):
    """The peer hung up. Nobody is there to be answered."""


# The first row that fits counts. A read that fails by IntegrityError is no fault of the caller.
STATUS: tuple[tuple[type[FileroomError], int], ...] = (
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (NoFramesError, 404),
    (NoValueError, 404),
    (UnmatchableError, 400),
    (SearchTooBroadError, 413),
    (MethodNotAllowedError, 405),
    (NotAcceptableError, 406),
    (NotRenderableError, 406),
    (SilentPeerError, 408),
    (ChangedError, 412),
    (TooLargeError, 413),
    (RenderingTooLargeError, 413),
    (InflatedTooLargeError, 413),
    (XmlTooLargeError, 413),
    (UnsupportedMediaTypeError, 415),
    (UnsatisfiableRangeError, 416),
    (MisdirectedError, 421),
    (SpaceError, 507),
    (TransientError, 503),
    (UncertainError, 503),
    (IntegrityError, 500),
    (PeerError, 400),
    (RefusedError, 409),
)


def status_of(error: FileroomError) -> int:
    """The HTTP status that tells a peer what this error means for it."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def headers_of(error: FileroomError) -> list[Header]:
    """The header fields that belong to an error's status."""
    if isinstance(error, MethodNotAllowedError):
        return [(b"allow", ", ".join(error.allow).encode("ascii"))]
    if isinstance(error, UnsatisfiableRangeError):
        return [(b"content-range", b"bytes */%d" % error.size_bytes)]
    if isinstance(error, SilentPeerError):
        return [(b"connection", b"close")]
    if isinstance(error, TransientError | UncertainError):
        seconds = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
        return [(b"retry-after", b"%d" % max(1, round(seconds)))]
    return []


def without_frames(error: FileroomError) -> FileroomError:
    """An error that is kept: what it says, but not the frames that it came by, which would keep all
    that was being read in them."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def reason_of(error: FileroomError) -> str:
    """What the caller may be told. Our errors hold numbers, tags and lengths, never values."""
    if isinstance(error, IntegrityError):
        return "stored bytes are damaged; the archive's own copies will be used to repair them"
    return str(error)

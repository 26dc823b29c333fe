"""Answers that depend on what the caller has already (RFC 9110 §13)."""

from collections.abc import Iterable

from fileroom.http.answers import answer_head
from fileroom.http.ports import StoredInstance
from fileroom.http.refusals import ChangedError, Header
from fileroom.http.request import Request
from fileroom.wire import entity_tag


def tag_of(instances: Iterable[StoredInstance], *form: str, strong: bool) -> str:
    """The entity tag of what is made of these instances' data sets, in this order.

    Args:
        form: what else tells one representation from another: media types, the URL that others
            in it begin with.
        strong: as for `entity_tag`.
    """
    parts: list[bytes | str] = [*form]
    for each in instances:
        parts += (each.data_set_sha256, each.transfer_syntax_uid, str(each.size_bytes))
    return entity_tag.entity_tag(parts, strong=strong)


def validators(tag: str, *varying: str) -> list[Header]:
    """ETag, if there is one, and Vary with the request's fields that chose the representation."""
    vary = (b"vary", ", ".join(("accept", *varying)).encode("ascii"))
    return [(b"etag", tag.encode("ascii")), vary] if tag else [vary]


async def unchanged(request: Request, tag: str, *varying: str) -> bool:
    """Answer 304 if the caller has the representation `tag` already (RFC 9110 §13.2.2).

    It is a read all the same, and is to be on record: the caller now knows that what it has is
    what is here.

    Returns:
        Whether the request is answered.

    Raises:
        ChangedError: it wants another one or nothing.
    """
    wanted = request.header(b"if-match")
    if wanted is not None and not entity_tag.lists(wanted, tag, strongly=True):
        raise ChangedError("what is here is not what If-Match names")
    known = request.header(b"if-none-match")
    if known is None or not entity_tag.lists(known, tag):
        return False
    await answer_head(request, 304, validators(tag, *varying))
    return True

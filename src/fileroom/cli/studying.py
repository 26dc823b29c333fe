"""`fileroom study`: how much of a study has come."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from fileroom.cli.exit_codes import NotFoundError
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import in_time, tell
from fileroom.errors import PeerError, RefusedError

if TYPE_CHECKING:
    from fileroom.ingest.completeness import StudyView


def study(study: str, /, *, shared: Shared = SHARED) -> None:
    """Say whether all of a study has come, by Study Instance UID.

    What its sender counts is believed most, then what its instances say, then that nothing comes
    any more.
    """
    import time

    from fileroom.cli.connection import node_of
    from fileroom.dicom.uid import is_valid
    from fileroom.ingest.completeness import StudyView

    if not is_valid(study):
        raise RefusedError("this is not a UID (PS3.5 §9.1)")
    settings = shared.settings()
    if not settings.data_directory.is_dir():
        raise NotFoundError(f"there is no data folder {settings.data_directory}")
    with node_of(settings) as node:
        told = node.completeness(study)
    try:
        view = msgspec.convert(told, StudyView)
    except msgspec.ValidationError as error:
        raise PeerError(f"the node's answer cannot be read: {error}") from error
    tell(told, _lines(view, now_s=time.time()), as_json=shared.json)


def _lines(view: "StudyView", *, now_s: float) -> Iterator[str]:
    yield f"{view.state}: {view.reason}"
    if view.last_at_s is not None:
        sender = f" from AE {view.ae_title}" if view.ae_title else ""
        yield f"{'last instance':18}{in_time(max(0.0, now_s - view.last_at_s))} ago{sender}"
    if view.asked_at_s is not None:
        yield f"{'sender asked':18}{in_time(max(0.0, now_s - view.asked_at_s))} ago"
    for uid, (held, expected) in view.series.items():
        yield f"{held:>8} of {'?' if expected is None else expected:<8}{uid}"

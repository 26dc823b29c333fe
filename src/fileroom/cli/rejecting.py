"""`fileroom reject`, `restore` and `rejected`: what is kept and hidden, and shown again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import tell

LISTED = 100

Series = Annotated[str, Parameter(help="Series Instance UID: that series of the study only.")]
Instances = Annotated[
    list[str] | None,
    Parameter(
        name="--instance",
        help="SOP Instance UID: that instance only; may be repeated.",
        negative="",
    ),
]


def reject(
    study: str,
    /,
    *,
    reason: Annotated[
        str,
        Parameter(
            help="113001 quality, 113037 patient safety, 113038 incorrect modality worklist entry, "
            "113039 data retention policy expired."
        ),
    ],
    series: Series = "",
    instance: Instances = None,
    note: Annotated[str, Parameter(help="Why, in your words; it goes into the ledger.")] = "",
    shared: Shared = SHARED,
) -> None:
    """Hide a study, a series of it or instances from all who search and read; nothing is
    deleted. A study or a series that is rejected stays hidden whatever else comes for it."""
    asked = _named(study, series, instance, note) | {"code": reason}
    _decide("/rejections", asked, "hidden from now on", shared)


def restore(
    study: str,
    /,
    *,
    series: Series = "",
    instance: Instances = None,
    everything: Annotated[
        bool, Parameter(help="Also what was rejected in it, one by one.", negative="")
    ] = False,
    note: Annotated[str, Parameter(help="Why, in your words; it goes into the ledger.")] = "",
    shared: Shared = SHARED,
) -> None:
    """Show again what was rejected as exactly that: the study as a whole, a series, instances."""
    asked = _named(study, series, instance, note) | {"everything": everything}
    _decide("/rejections/restore", asked, "shown again", shared)


def rejected(
    study: str = "",
    /,
    *,
    limit: Annotated[int, Parameter(help="How many decisions at most; up to 100.")] = LISTED,
    before: Annotated[
        int | None, Parameter(help="Only decisions before this entry of the ledger.")
    ] = None,
    shared: Shared = SHARED,
) -> None:
    """List what is hidden: since when, by whom, why. The latest decision comes first."""
    from fileroom.cli.connection import node_of
    from fileroom.dicom.uid import is_safe
    from fileroom.errors import RefusedError

    if study and not is_safe(study):
        raise RefusedError("this is not a UID")
    query = f"limit={limit}" + (f"&study={study}" if study else "")
    query += "" if before is None else f"&before={before}"
    with node_of(shared.settings()) as node:
        found = node.document(f"/rejections?{query}")
    lines = [line for each in found["rejections"] for line in _lines(each)]
    tell(found, lines or ["nothing is rejected"], as_json=shared.json)


def _named(study: str, series: str, instances: list[str] | None, note: str) -> dict[str, Any]:
    return {
        "study_instance_uid": study,
        "series_instance_uid": series,
        "sop_instance_uids": instances or [],
        "reason": note,
    }


def _decide(path: str, asked: dict[str, Any], told: str, shared: Shared) -> None:
    from fileroom.cli.connection import node_of

    with node_of(shared.settings()) as node:
        done = node.post(path, asked)
    entries = ", ".join(map(str, done["decisions"]))
    document = {**asked, **done}
    tell(document, [f"{told}; ledger entries: {entries}"], as_json=shared.json)


def _lines(rejection: dict[str, Any]) -> Iterator[str]:
    since = datetime.fromtimestamp(rejection["at_s"], UTC)
    named = rejection["sop_instance_uids"]
    series = rejection["series_instance_uid"]
    what = f"instances: {len(named)}" if named else "the series" if series else "the study"
    yield f"{rejection['study_instance_uid']}  {what}"
    if series:
        yield f"  series {series}"
    for uid in named:
        yield f"  instance {uid}"
    by = f"by {rejection['by']}, entry {rejection['decision']}"
    yield f"  {rejection['code']} {rejection['meaning']}, since {since:%Y-%m-%d %H:%M} UTC, {by}"
    if rejection["note_sop_instance_uid"]:
        yield f"  by rejection note {rejection['note_sop_instance_uid']}"
    if rejection["reason"]:
        yield f"  {rejection['reason']}"
    if rejection["outgrown"]:
        yield "  more has come for it since, and is hidden too"
    yield "  it can be restored at any time: nothing deletes it"

"""`fileroom conflicts`: data sets that share a SOP Instance UID, and studies of two patients."""

from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter

from fileroom.cli.client import NodeUnavailableError
from fileroom.cli.connection import node_of
from fileroom.cli.exit_codes import NotFoundError
from fileroom.cli.options import SHARED, Shared
from fileroom.cli.output import in_bytes, tell
from fileroom.dicom.uid import is_safe

PAGE = 1000
TEXT_LENGTH_MAX = 200  # of a value in a line


def list_conflicts(
    *,
    settled: Annotated[bool, Parameter(help="Those that are settled, too.", negative="")] = False,
    limit: Annotated[int, Parameter(help="How many of either at most.")] = PAGE,
    shared: Shared = SHARED,
) -> None:
    """List what nobody has decided about: UIDs of several data sets, studies of two patients."""
    with node_of(shared.settings()) as node:
        query = f"limit={min(limit, PAGE)}"
        told = f"{query}&settled=true" if settled else query
        conflicts = node.document(f"/conflicts?{told}")["conflicts"]
        studies = node.document(f"/conflicts/studies?{query}")["studies"]
    lines = [line for each in conflicts for line in _conflict_lines(each)]
    lines += [line for each in studies for line in _study_lines(each)]
    document = {"conflicts": conflicts, "studies": studies}
    tell(document, lines or ["no conflicts"], as_json=shared.json)


def show(
    uid: str,
    /,
    *,
    values: Annotated[
        bool, Parameter(help="What they say where they differ; the ledger records it.", negative="")
    ] = False,
    shared: Shared = SHARED,
) -> None:
    """Show one conflict: the data sets, who sent them and in which tags they differ."""
    with node_of(shared.settings()) as node:
        if values:
            found = node.document(f"{_path(uid)}/values")
            document, conflict = found, found["conflict"]
        else:
            document = conflict = node.document(_path(uid))
    lines = list(_conflict_lines(conflict))
    for each in conflict["data_sets"]:
        if each["differs"] is not None and not each["is_served"]:
            differs = " ".join(f"({tag[:4]},{tag[4:]})" for tag in each["differs"])
            lines.append(f"  {each['number']} differs in {differs or 'no element'}")
    for each, said in zip(conflict["data_sets"], document.get("values", ()), strict=False):
        for tag, element in said.items():
            lines.append(f"  {each['number']} ({tag[:4]},{tag[4:]}) {_said(element)}")
    tell(document, lines, as_json=shared.json)


def settle(
    uid: str,
    /,
    *,
    serve: Annotated[
        int, Parameter(help="The number that `show` gives it; 1 is the one that came first.")
    ],
    reason: Annotated[str, Parameter(help="Why; it goes into the ledger.")],
    shared: Shared = SHARED,
) -> None:
    """Decide which of the data sets is served. All are kept; a later decision undoes it."""
    with node_of(shared.settings()) as node:
        conflict = node.document(_path(uid))
        numbered = {each["number"]: each for each in conflict["data_sets"]}
        if any(each["problem"] for each in numbered.values()):
            raise NodeUnavailableError(
                "a data set cannot be read just now, so that none has a number"
            )
        if serve not in numbered:
            raise NotFoundError(f"it has no data set {serve}; there are {len(numbered)}")
        sha256 = numbered[serve]["sha256"]
        done = node.post(f"{_path(uid)}/settle", {"serve": sha256, "reason": reason})
    document = {"sop_instance_uid": uid, "serves_sha256": sha256, **done}
    told = f"data set {serve} is served from now on; ledger entry {done['ledger_index']}"
    tell(document, [told], as_json=shared.json)


def _path(uid: str) -> str:
    if not is_safe(uid):
        raise NotFoundError("that is no SOP Instance UID")
    return f"/conflicts/{uid}"


def _conflict_lines(conflict: dict[str, Any]) -> Iterator[str]:
    state = "open" if conflict["is_open"] else "settled"
    yield f"{conflict['sop_instance_uid'] or conflict['key']}  {state}"
    for each in conflict["data_sets"]:
        serves = "served" if each["is_served"] else "kept"
        if each["problem"]:
            yield f"  {each['number']}  {serves:7}{each['problem']}"
            continue
        sender = " ".join(each[name] for name in ("channel", "calling_ae_title", "address"))
        size = in_bytes(each["size_bytes"])
        yield f"  {each['number']}  {serves:7}{each['received_at']}  {size:>9}  {sender}"
    if settled := conflict["settled"]:
        yield f"  entry {settled['ledger_index']}, by {settled['by']}: {settled['reason']}"


def _study_lines(study: dict[str, Any]) -> Iterator[str]:
    yield f"{study['study_instance_uid']}  study of two patients"
    for each in study["others"]:
        differs = " ".join(f"({tag[:4]},{tag[4:]})" for tag in each["differs"])
        told = f"{each['instances']} instances say another patient in {differs}"
        yield f"  series {each['series_instance_uid']}: {told}"


def _said(element: dict[str, Any]) -> str:
    """An element of the DICOM JSON Model as a line; what is in a sequence is only counted."""
    values = element.get("Value", [])
    if element["vr"] == "SQ":
        return f"{len(values)} items"
    names = [each.get("Alphabetic", "") if isinstance(each, dict) else each for each in values]
    text = "\\".join(map(str, names))[:TEXT_LENGTH_MAX]
    # What a sender wrote must not steer the terminal.
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return shown or f"{element['vr']} without text"

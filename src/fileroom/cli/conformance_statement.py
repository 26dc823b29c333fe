"""The tables of docs/conformance-statement.md (PS3.2 §N), from what the doors go by."""

from collections.abc import Iterable, Iterator

from fileroom.dicom import uid
from fileroom.dicom.dictionary import known_uids, uid_name
from fileroom.dimse.admission import REASONS
from fileroom.dimse.limits import Limits
from fileroom.dimse.services import SERVICES, Service
from fileroom.dimse.storage_scp import FAILURES
from fileroom.node.resources import TABLE
from fileroom.wire import transfer_syntax


def tables() -> str:
    """All tables of the statement, each under its heading."""
    sections = (
        ("Identification", _identification()),
        ("Services of the DICOM door", _services()),
        ("Association policies", _policies()),
        ("Rejections", _rejections()),
        ("C-STORE failures", _failures()),
        ("Storage SOP classes", _storage_classes()),
        ("Transfer syntaxes for storage", _transfer_syntaxes()),
        ("Resources of the web door", _resources()),
    )
    return "\n".join(
        f"### {heading}\n\n" + "\n".join(lines) + "\n" for heading, lines in sections
    ).rstrip("\n")


def _identification() -> Iterator[str]:
    yield from _table(
        ("what", "value"),
        [
            ("Implementation Class UID", f"`{uid.IMPLEMENTATION_CLASS_UID}`"),
            ("Implementation Version Name", f"`{uid.IMPLEMENTATION_VERSION_NAME}`"),
            ("Application Context Name", "`1.2.840.10008.3.1.1.1`"),
        ],
    )


def _services() -> Iterator[str]:
    plain = ", ".join(uid_name(each) for each in sorted(transfer_syntax.UNCOMPRESSED))
    rows = []
    for service in SERVICES:
        if service.sop_classes is None:
            rows.append((service.name, "those of storage, below", "as below", _roles(service)))
        else:
            rows += [
                (service.name, f"{uid_name(each)} `{each}`", plain, _roles(service))
                for each in sorted(service.sop_classes)
            ]
    yield from _table(("service", "SOP class", "transfer syntaxes", "our role"), rows)


def _roles(service: Service) -> str:
    return f"SCP; who asks needs the right `{service.action}`"


def _policies() -> Iterator[str]:
    limits = Limits()
    yield from _table(
        ("what", "default"),
        [
            ("associations at once", str(limits.associations_max)),
            ("— of one peer or address", str(limits.associations_per_peer_max)),
            ("largest P-DATA-TF that we take", f"{limits.pdu_size_bytes_max} B"),
            ("outstanding operations, where negotiated", str(limits.operations_max)),
            ("ARTIM timer", f"{limits.artim_s:g} s"),
            ("silence after which we abort", f"{limits.idle_timeout_s:g} s"),
        ],
    )


def _rejections() -> Iterator[str]:
    rows = [
        (str(each.result), str(each.source), str(each.reason), text)
        for each, text in REASONS.items()
    ]
    yield from _table(("result", "source", "reason", "when"), rows)


def _failures() -> Iterator[str]:
    rows = [
        (f"{status:04X}", status.name.replace("_", " ").lower(), f"`{kind.__name__}`")
        for kind, status in FAILURES
    ]
    yield from _table(("status", "meaning", "error of the program"), rows)


def _storage_classes() -> Iterator[str]:
    yield (
        f"All below `{uid.STORAGE_ROOT}`, also those that later editions add, and what a peer "
        "announces as storage by SOP Class Common Extended Negotiation. Known by name:"
    )
    yield ""
    names = [(uid_name(each), f"`{each}`") for each in known_uids() if _is_known_storage(each)]
    private = sorted(each for each in uid.STORAGE_ELSEWHERE if not uid_name(each))
    yield from _table(
        ("SOP class", "UID"), [*names, *(("private", f"`{each}`") for each in private)]
    )


def _is_known_storage(candidate: str) -> bool:
    return uid.is_storable_sop_class(candidate) and candidate != uid.STORAGE_ROOT


def _transfer_syntaxes() -> Iterator[str]:
    rows = [(uid_name(each) or "-", f"`{each}`") for each in sorted(transfer_syntax.STORABLE)]
    yield from _table(("transfer syntax", "UID"), rows)


def _resources() -> Iterator[str]:
    rows = [
        (each.method, f"`{each.template}`", f"`{each.action}`")
        for each in sorted(TABLE.routes, key=lambda route: (route.template, route.method))
    ]
    yield from _table(("method", "resource", "right needed"), rows)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"

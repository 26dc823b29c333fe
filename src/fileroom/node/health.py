"""What a node says about itself: the status, and the answer of /healthz.

The status is made once by the node; the web page, the command line, /healthz and /metrics show
it. It holds counts, bytes and ages, never an attribute of a data set.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from fileroom.catalog import rows
from fileroom.catalog.lifecycle import PackState
from fileroom.catalog.rejections import RejectionTotals
from fileroom.catalog.rows import Tally, Totals
from fileroom.link.metered import Meter

STATES = ("RECEIVED", *PackState)
RUNNING, KEYS_LOCKED, STARTING, CLOSED = "running", "keys locked", "starting", "closed"
UNCOUNTED = frozenset({KEYS_LOCKED, STARTING})  # the catalog is not open
FROM_CATALOG = (
    *("states", "patients", "studies", "series", "conflicts", "set_aside", "local"),
    *("unsettled_conflicts", "studies_of_two_patients", "arrivals", "rejections"),
    *("oldest_uncommitted_s", "commitments", "forwards", "refused_callers", "providers", "tasks"),
)


class Amount(msgspec.Struct, kw_only=True):
    """How much of something there is."""

    instances: int = 0
    size_bytes: int = 0


class ProviderStatus(msgspec.Struct, kw_only=True):
    """Copies at one provider: packs per state of their copy."""

    copies: dict[str, int] = {}
    size_bytes: int = 0
    last_error: str = ""


class CallTotals(msgspec.Struct, kw_only=True):
    """Provider calls of one kind in one lane since the start."""

    provider: str
    kind: str
    lane: str
    requests: int
    sent_bytes: int = 0
    received_bytes: int = 0


class TaskStatus(msgspec.Struct, kw_only=True):
    """One long task, as its record in the catalog has it.

    Attributes:
        bytes_total: 0 where nobody has counted.
        cursor: where it goes on.
        updated_at_s: when it was heard of last, in seconds since 1970-01-01 UTC.
    """

    id: str
    kind: str
    state: str
    percent: float = 0.0
    bytes_done: int = 0
    bytes_total: int = 0
    rate_bytes_per_s: float = 0.0
    eta_s: float | None = None
    cursor: str = ""
    last_error: str = ""
    updated_at_s: float = 0.0


class RefusedCaller(msgspec.Struct, kw_only=True):
    """A DICOM caller that was turned away, and how often."""

    ae_title: str
    address: str
    reason: str
    count: int = 1
    last_at_s: float = 0.0


class Commitments(msgspec.Struct, kw_only=True):
    """Storage commitments that peers asked for and that are open.

    Attributes:
        waiting: for one of their instances.
        untold: decided, and the peer is still to be told.
        oldest_s: age of the oldest of all; None: there is none.
    """

    waiting: int = 0
    untold: int = 0
    oldest_s: float | None = None


class Forward(msgspec.Struct, kw_only=True):
    """What is forwarded to one destination.

    Attributes:
        waiting: instances that it has not decided on.
        oldest_s: for how long the first of them has waited; None: nothing waits.
        refused: instances that it refused for good.
        paused: whether somebody has it wait.
        last_error: why something came to nothing the last time; empty: nothing did.
    """

    waiting: int = 0
    oldest_s: float | None = None
    refused: int = 0
    paused: bool = False
    last_error: str = ""


class Arrivals(msgspec.Struct, kw_only=True):
    """Studies that have not come whole, as far as one can tell.

    Attributes:
        oldest_s: since when the oldest of those that arrive does; None: there is none.
        incomplete: nothing of them comes any more, and there should be more.
    """

    arriving: int = 0
    oldest_s: float | None = None
    incomplete: int = 0


class Status(msgspec.Struct, kw_only=True):
    """Everything that `fileroom status` shows and /status answers.

    Attributes:
        state: "running"; "keys locked" while the key port cannot be reached or does not open the
            site key; "starting" from then until the catalog agrees with the disk; "closed" for a
            folder that no node serves just now.
        states: instances and bytes per state (`STATES`); a missing one is zero.
        oldest_uncommitted_s: age of the oldest instance that is not COMMITTED; None: there is none.
        conflicts: data sets that are kept and not served, since another one has their UID;
            `unsettled_conflicts` counts the UIDs that nobody has decided about.
        studies_of_two_patients: those some of whose instances say another patient.
        rejections: what is kept and hidden, which all other counts have in them.
        set_aside: received records that cannot be read back; they are kept.
        local: what of the packs lies on this node's disk.
        warnings: sentences that stay until their cause is gone, such as "one copy, same disk".
    """

    site: str
    version: str
    node_id: str = ""
    state: str = RUNNING
    uptime_s: float = 0.0
    states: dict[str, Amount] = {}
    patients: int = 0
    studies: int = 0
    series: int = 0
    conflicts: int = 0
    unsettled_conflicts: int = 0
    studies_of_two_patients: int = 0
    rejections: RejectionTotals = msgspec.field(default_factory=RejectionTotals)
    set_aside: Amount = msgspec.field(default_factory=Amount)
    local: Amount = msgspec.field(default_factory=Amount)
    oldest_uncommitted_s: float | None = None
    commitments: Commitments = msgspec.field(default_factory=Commitments)
    arrivals: Arrivals = msgspec.field(default_factory=Arrivals)
    forwards: dict[str, Forward] = {}
    disk_free_bytes: int = 0
    disk_reserve_bytes: int = 0
    associations: int = 0
    refused: dict[str, int] = {}  # by reason, since the start
    refused_callers: list[RefusedCaller] = []
    providers: dict[str, ProviderStatus] = {}
    calls: list[CallTotals] = []
    tasks: list[TaskStatus] = []
    warnings: list[str] = []

    @property
    def is_counted(self) -> bool:
        """Whether what only the catalog knows (`FROM_CATALOG`) is known."""
        return self.state not in UNCOUNTED


def document(status: Status) -> dict[str, Any]:
    """The status as /status answers it. What is not known now is left out, rather than zero."""
    whole: dict[str, Any] = msgspec.to_builtins(status)
    if not status.is_counted:
        for name in FROM_CATALOG:
            del whole[name]
    return whole


def counted(totals: Totals, *, wall_ns: int) -> dict[str, Any]:
    """The fields of a Status that the catalog's totals give."""
    received = {"RECEIVED": _amount(totals.received)}
    oldest_ns = totals.oldest_uncommitted_ns
    return {
        "states": received | {str(state): _amount(each) for state, each in totals.states.items()},
        "patients": totals.patients,
        "studies": totals.studies,
        "series": totals.series,
        "conflicts": totals.conflicts,
        "set_aside": _amount(totals.set_aside),
        "local": _amount(totals.local),
        "oldest_uncommitted_s": None if oldest_ns is None else (wall_ns - oldest_ns) / 1e9,
        "providers": {
            name: ProviderStatus(
                copies={str(state): each.packs for state, each in copies.items()},
                size_bytes=sum(each.size_bytes for each in copies.values()),
            )
            for name, copies in totals.copies.items()
        },
    }


def refused(callers: Iterable[rows.RefusedCaller]) -> list[RefusedCaller]:
    """Callers that were turned away, as a status shows them."""
    return [
        RefusedCaller(
            ae_title=each.calling_ae_title,
            address=each.address,
            reason=each.reason,
            count=each.count,
            last_at_s=each.last_at_ns / 1e9,
        )
        for each in callers
    ]


def calls(meter: Meter) -> list[CallTotals]:
    """The meter's counts, whatever the calls were for."""
    summed: dict[tuple[str, str, str], CallTotals] = {}
    for key, count in meter.snapshot().items():
        of = (key.provider, key.kind, key.lane)
        total = summed.setdefault(
            of, CallTotals(provider=key.provider, kind=key.kind, lane=key.lane, requests=0)
        )
        total.requests += count.requests
        total.sent_bytes += count.sent_bytes
        total.received_bytes += count.received_bytes
    return list(summed.values())


def _amount(tally: Tally) -> Amount:
    return Amount(instances=tally.instances, size_bytes=tally.size_bytes)


def healthz(status: Status) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON body for a load balancer or a monitor.

    503 while new work would be refused: keys locked, starting, or the disk below its reserve.
    """
    reasons = []
    if status.state != RUNNING:
        reasons.append(status.state)
    if status.disk_free_bytes < status.disk_reserve_bytes:
        reasons.append("disk below its reserve")
    body = {"status": "unavailable" if reasons else "ok", "reasons": reasons}
    return (503 if reasons else 200), body

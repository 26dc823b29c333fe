"""The status in the Prometheus text format: what /metrics answers."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fileroom.node.health import KEYS_LOCKED, STATES, Amount, Status

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics(status: Status) -> bytes:
    """The status in the Prometheus text format, with this process's memory, time and files."""
    registry = CollectorRegistry()
    registry.register(_Families(status))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        if status.is_counted:
            yield from _catalog_values(status)
            yield from _forwards(status)
        yield from _single_values(status)
        yield _counter(
            "fileroom_refused",
            "Requests and instances refused since the start, by reason.",
            ["reason"],
            [([reason], count) for reason, count in status.refused.items()],
        )
        labels = ["provider", "kind", "lane"]
        for what in ("requests", "sent_bytes", "received_bytes"):
            yield _counter(
                f"fileroom_provider_{what}",
                f"Provider calls since the start: {what.replace('_', ' ')}.",
                labels,
                [([c.provider, c.kind, c.lane], getattr(c, what)) for c in status.calls],
            )


def _catalog_values(status: Status) -> Iterator[Metric]:
    totals = {state: status.states.get(state, Amount()) for state in STATES}
    yield _gauge(
        "fileroom_instances",
        "Instances by state.",
        ["state"],
        [([state], each.instances) for state, each in totals.items()],
    )
    yield _gauge(
        "fileroom_stored_bytes",
        "Bytes of data sets by state.",
        ["state"],
        [([state], each.size_bytes) for state, each in totals.items()],
    )
    yield GaugeMetricFamily(
        "fileroom_oldest_uncommitted_seconds",
        "Age of the oldest instance that is not COMMITTED; 0 if there is none.",
        value=status.oldest_uncommitted_s or 0.0,
    )
    open_ = status.commitments
    yield _gauge(
        "fileroom_commitments",
        "Storage commitments that wait for instances, or whose peer is still to be told.",
        ["state"],
        [(["waiting"], open_.waiting), (["untold"], open_.untold)],
    )
    yield GaugeMetricFamily(
        "fileroom_oldest_commitment_seconds",
        "Age of the oldest storage commitment that is open; 0 if there is none.",
        value=open_.oldest_s or 0.0,
    )
    yield from _arrivals(status)
    yield from _undecided(status)
    yield _gauge(
        "fileroom_copies",
        "Packs at a provider by state of the copy.",
        ["provider", "state"],
        [
            ([name, state], count)
            for name, provider in status.providers.items()
            for state, count in provider.copies.items()
        ],
    )


def _arrivals(status: Status) -> Iterator[Metric]:
    come = status.arrivals
    yield _gauge(
        "fileroom_studies_not_whole",
        "Studies that are arriving, or that are incomplete since nothing of them comes any more.",
        ["state"],
        [(["arriving"], come.arriving), (["incomplete"], come.incomplete)],
    )
    yield GaugeMetricFamily(
        "fileroom_oldest_arriving_study_seconds",
        "Since when the oldest study that is arriving does; 0 if there is none.",
        value=come.oldest_s or 0.0,
    )


def _undecided(status: Status) -> Iterator[Metric]:
    yield _gauge(
        "fileroom_undecided",
        "UIDs of several data sets, and studies of two patients, that wait for a decision.",
        ["what"],
        [
            (["conflict"], status.unsettled_conflicts),
            (["two patients"], status.studies_of_two_patients),
        ],
    )


def _forwards(status: Status) -> Iterator[Metric]:
    forwards = status.forwards
    yield _gauge(
        "fileroom_forward_instances",
        "Instances that wait for a destination, or that it refused for good.",
        ["destination", "state"],
        [
            ([to, state], getattr(each, state))
            for to, each in forwards.items()
            for state in ("waiting", "refused")
        ],
    )
    yield _gauge(
        "fileroom_oldest_forward_seconds",
        "For how long the first instance waits for a destination; 0 if there is none.",
        ["destination"],
        [([to], each.oldest_s or 0.0) for to, each in forwards.items()],
    )
    yield _gauge(
        "fileroom_forward_paused",
        "1 while a destination is paused.",
        ["destination"],
        [([to], float(each.paused)) for to, each in forwards.items()],
    )


def _single_values(status: Status) -> Iterator[Metric]:
    build = GaugeMetricFamily("fileroom_build", "The running version.", labels=["version"])
    build.add_metric([status.version], 1)
    yield build
    for name, text, value in (
        ("fileroom_up_seconds", "Time since the start.", status.uptime_s),
        (
            "fileroom_keys_locked",
            "1 while the site key is not open and all work is refused.",
            float(status.state == KEYS_LOCKED),
        ),
        ("fileroom_disk_free_bytes", "Free bytes under the data folder.", status.disk_free_bytes),
        (
            "fileroom_disk_reserve_bytes",
            "Free bytes below which new work is refused.",
            status.disk_reserve_bytes,
        ),
        ("fileroom_associations", "Associations open now.", status.associations),
        (
            "fileroom_warnings",
            "Warnings that stand now; /status has their text.",
            len(status.warnings),
        ),
    ):
        yield GaugeMetricFamily(name, text, value=value)


Rows = Iterable[tuple[list[str], float]]


def _gauge(name: str, text: str, labels: list[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: list[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family

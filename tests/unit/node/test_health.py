"""What a node says about itself."""

from prometheus_client.parser import text_string_to_metric_families

from fileroom.catalog.lifecycle import CopyState, PackState
from fileroom.catalog.rows import Tally, Totals
from fileroom.node.health import (
    Amount,
    Arrivals,
    CallTotals,
    Commitments,
    ProviderStatus,
    Status,
    counted,
    healthz,
)
from fileroom.node.metrics import metrics


def test_a_node_that_takes_work_is_well():
    status = Status(site="north", version="1", disk_free_bytes=10, disk_reserve_bytes=10)
    assert healthz(status) == (200, {"status": "ok", "reasons": []})


def test_a_node_that_would_refuse_work_is_not():
    status = Status(site="n", version="1", state="keys locked", disk_reserve_bytes=1)
    code, body = healthz(status)
    assert code == 503
    assert body["reasons"] == ["keys locked", "disk below its reserve"]


def test_the_metrics_are_what_prometheus_reads():
    status = Status(
        site="north",
        version="1.2",
        states={"COMMITTED": Amount(instances=7, size_bytes=900)},
        oldest_uncommitted_s=3.5,
        commitments=Commitments(waiting=3, untold=2, oldest_s=86_400.0),
        arrivals=Arrivals(arriving=2, oldest_s=90.0, incomplete=1),
        unsettled_conflicts=3,
        studies_of_two_patients=1,
        disk_free_bytes=10**12,
        refused={"out of room": 2},
        providers={"copies": ProviderStatus(copies={"VERIFIED": 4})},
        calls=[CallTotals(provider="copies", kind="put", lane="NEW", requests=5, sent_bytes=99)],
        warnings=["one copy, same disk"],
    )
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics(status).decode())
        for sample in family.samples
    }
    assert samples["fileroom_instances", "COMMITTED"] == 7
    assert samples["fileroom_instances", "SEALED"] == 0
    assert samples["fileroom_stored_bytes", "COMMITTED"] == 900
    assert samples["fileroom_oldest_uncommitted_seconds",] == 3.5
    assert samples["fileroom_commitments", "waiting"] == 3
    assert samples["fileroom_commitments", "untold"] == 2
    assert samples["fileroom_oldest_commitment_seconds",] == 86_400
    assert samples["fileroom_studies_not_whole", "arriving"] == 2
    assert samples["fileroom_studies_not_whole", "incomplete"] == 1
    assert samples["fileroom_oldest_arriving_study_seconds",] == 90
    assert samples["fileroom_disk_free_bytes",] == 10**12
    assert samples["fileroom_refused_total", "out of room"] == 2
    assert samples["fileroom_copies", "VERIFIED", "copies"] == 4
    assert samples["fileroom_provider_requests_total", "NEW", "copies", "put"] == 5
    assert samples["fileroom_provider_sent_bytes_total", "NEW", "copies", "put"] == 99
    assert samples["fileroom_undecided", "conflict"] == 3
    assert samples["fileroom_undecided", "two patients"] == 1
    assert samples["fileroom_warnings",] == 1
    assert samples["fileroom_build", "1.2"] == 1


def test_the_catalogs_totals_become_the_counts_of_a_status():
    totals = Totals(
        patients=1,
        studies=2,
        series=3,
        conflicts=4,
        received=Tally(instances=5, size_bytes=50),
        set_aside=Tally(instances=1),
        states={PackState.COMMITTED: Tally(packs=6, instances=60, size_bytes=600)},
        local=Tally(packs=1, instances=10, size_bytes=100),
        copies={"copies": {CopyState.VERIFIED: Tally(packs=6, size_bytes=600)}},
        oldest_uncommitted_ns=1_000_000_000,
    )
    status = Status(site="n", version="1", **counted(totals, wall_ns=3_500_000_000))
    assert status.states["RECEIVED"] == Amount(instances=5, size_bytes=50)
    assert status.states["COMMITTED"] == Amount(instances=60, size_bytes=600)
    assert status.oldest_uncommitted_s == 2.5
    assert status.providers["copies"].copies == {"VERIFIED": 6}
    assert (status.patients, status.studies, status.series, status.conflicts) == (1, 2, 3, 4)
    assert status.set_aside.instances == 1

"""Every provider call is counted under its lane."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from conform.memory_provider import MemoryProvider
from fileroom.errors import UncertainError
from fileroom.link.metered import Count, Kind, Meter, Metered
from fileroom.provider.port import Call, Lane, NotThereError, UnreachableError

NEW = Call(Lane.NEW, "replicate", "aa")
SCRUB = Call(Lane.SCRUB, "scrub")
DATA = b"0123456789"
SHA256 = hashlib.sha256(DATA).digest()


async def test_requests_and_bytes_are_counted_by_provider_kind_lane_and_purpose(
    tmp_path: Path,
) -> None:
    meter = Meter()
    provider = Metered(MemoryProvider("a"), meter)
    other = Metered(MemoryProvider("b"), meter)
    (tmp_path / "source").write_bytes(DATA)
    await provider.put_if_absent("x", DATA, sha256=SHA256, call=NEW)
    await provider.put_if_absent("y", tmp_path / "source", sha256=SHA256, call=NEW)
    await other.put_if_absent("x", DATA, sha256=SHA256, call=NEW)
    await provider.get("x", 2, 5, call=SCRUB)
    await provider.digest("x", call=SCRUB)
    await provider.stat("x", call=SCRUB)
    await provider.replace("ledger/s/checkpoint", b"abc", call=NEW)
    await provider.delete_object("x", call=NEW)
    assert meter.snapshot() == {
        Kind("a", "put_if_absent", "new", "replicate"): Count(requests=2, sent_bytes=20),
        Kind("b", "put_if_absent", "new", "replicate"): Count(requests=1, sent_bytes=10),
        Kind("a", "get", "scrub", "scrub"): Count(requests=1, received_bytes=3),
        Kind("a", "digest", "scrub", "scrub"): Count(requests=1, received_bytes=10),
        Kind("a", "stat", "scrub", "scrub"): Count(requests=1),
        Kind("a", "replace", "new", "replicate"): Count(requests=1, sent_bytes=3),
        Kind("a", "delete_object", "new", "replicate"): Count(requests=1),
    }
    assert meter.by_study() == {
        ("a", "aa"): Count(requests=4, sent_bytes=23),
        ("b", "aa"): Count(requests=1, sent_bytes=10),
    }


async def test_a_failed_call_is_counted_and_its_bytes_only_if_they_may_have_gone() -> None:
    fake = MemoryProvider("a")
    meter = Meter()
    provider = Metered(fake, meter)
    fake.lose_answers("unreachable", "after")
    with pytest.raises(UnreachableError):
        await provider.put_if_absent("x", DATA, sha256=SHA256, call=NEW)
    with pytest.raises(UncertainError):
        await provider.put_if_absent("x", DATA, sha256=SHA256, call=NEW)
    with pytest.raises(NotThereError):
        await provider.get("y", 0, 1, call=NEW)
    counts = meter.snapshot()
    assert counts[Kind("a", "put_if_absent", "new", "replicate")] == Count(
        requests=2, failed=2, sent_bytes=10
    )
    assert counts[Kind("a", "get", "new", "replicate")] == Count(requests=1, failed=1)


async def test_a_listing_is_a_request_for_each_thousand_objects() -> None:
    fake = MemoryProvider("a")
    fake.objects = {f"packs/{n:05d}": b"" for n in range(2500)}
    meter = Meter()
    provider = Metered(fake, meter)
    assert len([each async for each in provider.list("", call=SCRUB)]) == 2500
    assert meter.snapshot() == {Kind("a", "list", "scrub", "scrub"): Count(requests=3)}


async def test_no_call_goes_without_a_call() -> None:
    provider = Metered(MemoryProvider(), Meter())
    with pytest.raises(AssertionError, match="on whose behalf"):
        await provider.stat("x", call=None)  # type: ignore[arg-type]


async def test_the_counts_are_bounded() -> None:
    meter = Meter(studies_max=3)
    for n in range(100):
        meter.count("a", "get", Call(Lane.NEW, f"purpose {n}", f"{n:02d}"), received_bytes=1)
    assert len(meter.snapshot()) == 65
    assert meter.snapshot()[Kind("a", "get", "new", "other")].requests == 36
    assert [study for _, study in meter.by_study()] == ["97", "98", "99"]
    assert sum(each.received_bytes for each in meter.snapshot().values()) == 100


async def test_a_snapshot_does_not_change_afterwards() -> None:
    meter = Meter()
    meter.count("a", "get", NEW)
    before = meter.snapshot()
    meter.count("a", "get", NEW)
    assert before[Kind("a", "get", "new", "replicate")].requests == 1


async def test_a_metered_provider_keeps_name_and_domain() -> None:
    fake = MemoryProvider("a")
    provider = Metered(fake, Meter())
    assert (provider.name, provider.domain) == ("a", fake.domain)
    await asyncio.gather(*[provider.stat("x", call=NEW) for _ in range(50)])
    assert len(fake.calls) == 50

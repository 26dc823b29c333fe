"""A series in portions: what is out of reach is counted, and holds up nothing else."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from fileroom.catalog.rows import Holdings, InstancePlace, Located
from fileroom.errors import FileroomError, IntegrityError
from fileroom.retrieve import archive as module
from fileroom.retrieve.archive import Archive
from fileroom.retrieve.packs import UnavailableError
from fileroom.spool.failure import DamagedSegmentError, SegmentGoneError


class Parts:
    """Catalog, packs and spool of one series.

    Attributes:
        packs: what each pack's metadata is: names of instances, or an error.
        spooled: names of instances in the spool, and what opening one raises.
        moved: where those are found that have left the spool: an instance, nothing, or an error.
    """

    def __init__(self) -> None:
        self.packs: list[list[str] | FileroomError] = []
        self.conflicts: set[InstancePlace] = set()
        self.spooled: dict[str, FileroomError | None] = {}
        self.moved: dict[str, str | FileroomError | None] = {}

    async def settled(self) -> None: ...

    def holdings(self, study_uid: str, series_uid: str) -> Holdings:
        assert (study_uid, series_uid) == ("1.2", "1.2.3")
        packs = [
            SimpleNamespace(
                number=number,
                instance_count=len(names) if isinstance(names, list) else 7,
                conflict_count=sum(place.pack == number for place in self.conflicts),
            )
            for number, names in enumerate(self.packs)
        ]
        rows = [SimpleNamespace(place=(name, 0), uid_digest=name) for name in self.spooled]
        return Holdings([], cast(Any, packs), frozenset(self.conflicts), cast(Any, rows))

    async def metadata(self, pack: Any) -> Any:
        names = self.packs[pack.number]
        if isinstance(names, FileroomError):
            raise names
        return SimpleNamespace(instances=[SimpleNamespace(sop_instance_uid=each) for each in names])

    def open(self, place: Any) -> Any:
        error = self.spooled[place[0]]
        if error is not None:
            raise error
        return place[0]

    def locate(self, digest: str) -> Located:
        found = self.moved[digest]
        if isinstance(found, FileroomError):
            raise found
        if found is None:
            return Located()
        self.packs.append([found])
        return Located(pack=cast(Any, SimpleNamespace(number=len(self.packs) - 1)), ordinal=0)

    def held_metadata(self, pack: Any) -> None:
        return None


@pytest.fixture
def parts(monkeypatch) -> Parts:
    monkeypatch.setattr(
        module,
        "SpooledStored",
        lambda instance, *_: SimpleNamespace(sop_instance_uid=instance),
    )
    return Parts()


async def portions(parts: Parts) -> list[tuple[list[str], int, str]]:
    stub = cast(Any, parts)
    archive = Archive(catalog=stub, intake=stub, packs=stub, spool=stub, complete=lambda: True)
    return [
        ([each.sop_instance_uid for each in found.instances], found.missing, str(found.why or ""))
        async for found in archive.portions("1.2", "1.2.3")
    ]


async def test_packs_come_one_by_one_and_what_lies_in_the_spool_behind_them(parts, monkeypatch):
    monkeypatch.setattr(module, "PORTION", 2)
    parts.packs = [["a", "b"], ["c"]]
    parts.spooled = dict.fromkeys("def")
    assert await portions(parts) == [
        (["a", "b"], 0, ""),
        (["c"], 0, ""),
        (["d", "e"], 0, ""),
        (["f"], 0, ""),
    ]


async def test_conflicts_are_not_given(parts):
    parts.packs = [["a", "b"], ["x"]]
    parts.conflicts = {InstancePlace(0, 1), InstancePlace(1, 0)}
    assert await portions(parts) == [(["a"], 0, "")]


async def test_a_pack_out_of_reach_is_counted_and_holds_up_no_other(parts):
    parts.packs = [["a"], UnavailableError("away"), IntegrityError("damaged"), ["b"]]
    parts.conflicts = {InstancePlace(1, 3)}
    assert await portions(parts) == [
        (["a"], 0, ""),
        ([], 6, "away"),
        ([], 7, "damaged"),
        (["b"], 0, ""),
    ]


async def test_instances_that_left_the_spool_meanwhile_are_found_where_they_went(parts):
    parts.spooled = {"a": SegmentGoneError("gone"), "b": None, "c": None}
    parts.moved = {"a": "a", "b": None, "c": UnavailableError("away")}
    assert await portions(parts) == [(["a"], 0, ""), ([], 0, ""), ([], 1, "away")]


async def test_a_damaged_instance_is_counted_and_holds_up_no_other(parts):
    torn = DamagedSegmentError("torn", segment=1, offset=2)
    parts.spooled = {"a": torn, "b": None}
    parts.moved = {"a": torn, "b": "b"}
    assert await portions(parts) == [([], 1, "torn (segment 1, offset 2)"), (["b"], 0, "")]

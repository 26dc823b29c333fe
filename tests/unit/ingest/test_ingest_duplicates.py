"""What a spooled record is, by what is known under its SOP Instance UID (invariant 8)."""

import hashlib

import msgspec
import pytest

from fileroom.catalog.rows import InstancePlace, Moved, NewPack, Sealed, Standing
from fileroom.dicom.header import HeaderScanner
from fileroom.dicom.uid import digest
from fileroom.errors import IntegrityError, TransientError
from fileroom.ingest import duplicates
from fileroom.ingest.duplicates import IncompleteError
from instances import EXPLICIT_LITTLE, dataset, uids
from unit.ingest.stages import way_in

KEY = (1, 1, 1)
UID = digest(uids(*KEY)[2])
ONE, TWO, THREE = (dataset(*KEY, size_bytes=size) for size in (256, 512, 768))
PADDING = b"\xfc\xff\xfc\xffOB\x00\x00\x02\x00\x00\x00\x00\x00"  # Data Set Trailing Padding
PADDED = ONE + PADDING


@pytest.fixture
async def way(tmp_path):
    async with way_in(tmp_path) as made:
        yield made


class Packs:
    """Packs as the catalog has them, whose data sets are given here.

    Attributes:
        rotten: places that no copy gives.
        away: whether nobody can be asked.
        checked: places that were read back.
    """

    def __init__(self, way):
        self.way = way
        self.held = {}
        self.rotten = set()
        self.away = False
        self.checked = []

    def hold(self, *data_sets, conflicts=()):
        """A pack of the key's series with these data sets; the numbers in `conflicts` are not
        served."""
        series = self.way.catalog.record_series("main", header())
        sealed = [Sealed(None, UID, n) for n in range(len(data_sets))]
        name = hashlib.sha256(b"".join(data_sets) + bytes([len(self.held)])).digest()
        number = self.way.catalog.record_sealed(
            NewPack(
                study=series.study,
                series=series.series,
                sha256=name,
                study_key_id=b"k" * 16,
                tink_header=b"t" * 40,
                size_bytes=1,
                plaintext_size_bytes=1,
                metadata_offset=0,
                metadata_size_bytes=0,
                received_oldest_ns=0,
                sealed_at_ns=0,
                node_id="0a0b",
            ),
            members=[each for each in sealed if each.ordinal not in conflicts],
            conflicts=[each for each in sealed if each.ordinal in conflicts],
            lease=None,
        )
        places = [InstancePlace(number, n) for n in range(len(data_sets))]
        self.held |= dict(zip(places, data_sets, strict=True))
        return places

    def _data(self, place):
        if self.away:
            raise TransientError("out of reach")
        if place in self.rotten:
            raise IntegrityError("damaged")
        return self.held[place]

    async def sha256(self, place):
        if self.away:
            raise TransientError("out of reach")
        return hashlib.sha256(self.held[place]).digest()  # the metadata has not rotted

    async def data_set(self, place, *, size_bytes_max):
        data = self._data(place)
        return EXPLICIT_LITTLE, data if len(data) <= size_bytes_max else None

    async def check(self, place):
        self.checked.append(place)
        self._data(place)


def header():
    scanner = HeaderScanner(EXPLICIT_LITTLE)
    scanner.feed(ONE)
    return scanner.finish()


@pytest.fixture
def packs(way):
    return Packs(way)


async def verdicts(way, packs, *sent):
    """A word for each of the data sets that are sent now, and what was decided."""
    for data in sent:
        await way.land(KEY, data=data)
    rows = way.catalog.spooled_of_series(1, bytes_max=1 << 40)
    sorter = way.sorter(packs)
    found = await sorter.sort(rows)
    kept = {each.id for each in found.kept}
    dropped = {each.id for each in found.duplicates}
    assert kept | dropped == {each.id for each in rows}, "every row is somewhere"
    assert not kept & dropped
    assert found.conflicts | found.replacing.keys() <= kept
    words = []
    for row in rows:
        if row.id in dropped:
            words.append("same")
        elif row.id in found.conflicts:
            words.append("conflict")
        else:
            words.append("replacement" if row.id in found.replacing else "new")
    return words, found


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([ONE], ["new"]),
        ([ONE, ONE], ["new", "same"]),
        ([ONE, PADDED], ["new", "same"]),
        ([ONE, TWO], ["new", "conflict"]),
        ([ONE, TWO, TWO, ONE, THREE], ["new", "conflict", "same", "same", "conflict"]),
    ],
)
async def test_within_the_spool_the_first_is_served(way, packs, sent, words):
    assert (await verdicts(way, packs, *sent))[0] == words
    assert packs.checked == []


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([ONE], ["same"]),
        ([PADDED], ["same"]),
        ([TWO], ["conflict"]),
        ([TWO, ONE, TWO], ["conflict", "same", "same"]),
    ],
)
async def test_beside_a_pack_that_can_be_read_the_pack_is_served(way, packs, sent, words):
    (served,) = packs.hold(ONE)
    assert (await verdicts(way, packs, *sent))[0] == words
    assert packs.checked == [served], "once, however many are compared with it"


async def test_a_conflict_that_is_stored_is_not_stored_again(way, packs):
    packs.hold(ONE)
    packs.hold(TWO, conflicts={0})
    assert (await verdicts(way, packs, TWO, THREE))[0] == ["same", "conflict"]


async def test_a_conflict_that_has_rotted_is_stored_again_and_not_served(way, packs):
    packs.hold(ONE)
    packs.rotten.update(packs.hold(TWO, conflicts={0}))
    assert (await verdicts(way, packs, TWO))[0] == ["conflict"]


async def test_a_conflict_that_only_a_cache_still_gives_is_stored_again(way, packs, monkeypatch):
    packs.hold(ONE)
    (other,) = packs.hold(TWO, conflicts={0})

    async def check(place):
        if place == other:
            raise IntegrityError("no copy gives it")

    monkeypatch.setattr(packs, "check", check)
    words, _ = await verdicts(way, packs, TWO, TWO + PADDING)
    assert words == ["conflict", "same"]


async def test_what_is_sent_again_is_served_in_place_of_what_has_rotted(way, packs):
    (served,) = packs.hold(ONE)
    packs.rotten.add(served)
    words, found = await verdicts(way, packs, ONE, ONE, TWO)
    assert words == ["replacement", "same", "conflict"]
    (moved,) = found.replacing.values()
    assert moved == [Moved(UID, served, Standing.REPEATED)], "and no conflict with itself"


async def test_so_is_another_data_set_and_then_the_conflict_is_shown(way, packs):
    (served,) = packs.hold(ONE)
    packs.rotten.add(served)
    words, found = await verdicts(way, packs, TWO)
    assert words == ["replacement"]
    assert [*found.replacing.values()] == [[Moved(UID, served, Standing.CONFLICT)]]


async def test_a_conflict_is_no_conflict_any_more_once_the_same_is_served(way, packs):
    (served,), (other,) = packs.hold(ONE), packs.hold(TWO, conflicts={0})
    packs.rotten.add(served)
    words, found = await verdicts(way, packs, TWO)
    assert words == ["replacement"]
    (moved,) = found.replacing.values()
    assert set(moved) == {
        Moved(UID, served, Standing.CONFLICT),
        Moved(UID, other, Standing.REPEATED),
    }


async def test_where_only_a_conflict_is_in_packs_the_first_is_served_and_the_other_kept_once(
    way, packs
):
    (other,) = packs.hold(TWO, conflicts={0})
    words, found = await verdicts(way, packs, ONE, TWO)
    assert words == ["replacement", "same"]
    assert [*found.replacing.values()] == [[]], "the conflict stays one"
    assert packs.checked == [other]


async def test_nothing_takes_a_place_while_the_catalog_does_not_know_all_there_is(way, packs):
    (served,) = packs.hold(ONE)
    way.is_complete = False
    assert (await verdicts(way, packs, TWO))[0] == ["conflict"]
    packs.rotten.add(served)
    with pytest.raises(IncompleteError):
        await verdicts(way, packs)
    way.is_complete = True
    assert (await verdicts(way, packs))[0] == ["replacement"]


async def test_where_only_a_conflict_is_in_packs_the_same_is_served_when_it_comes(way, packs):
    (other,) = packs.hold(TWO, conflicts={0})
    words, found = await verdicts(way, packs, TWO)
    assert words == ["replacement"]
    assert [*found.replacing.values()] == [[Moved(UID, other, Standing.REPEATED)]]


async def test_nothing_is_decided_while_nobody_can_be_asked(way, packs):
    packs.hold(ONE)
    packs.away = True
    with pytest.raises(TransientError):
        await verdicts(way, packs, ONE)
    packs.away = False
    assert (await verdicts(way, packs))[0] == ["same"]


async def test_data_sets_too_large_to_compare_are_the_same_by_their_bytes_only(
    way, packs, monkeypatch
):
    monkeypatch.setattr(duplicates, "COMPARED_BYTES_MAX", len(ONE))
    packs.hold(ONE)
    assert (await verdicts(way, packs, PADDED, ONE))[0] == ["conflict", "same"]


async def test_a_record_that_is_distrusted_and_does_not_open_is_set_apart(way, packs):
    await way.land(KEY, data=ONE)
    await way.land(KEY, data=ONE)
    (segment,) = (way.folder / "spool").iterdir()
    content = bytearray(segment.read_bytes())
    content[4096 + 600] ^= 1  # in the first record's data
    segment.write_bytes(content)
    rows = way.catalog.spooled_of_series(1, bytes_max=1 << 40)
    sorter = way.sorter(packs)
    sorter.distrust(rows)
    found = await sorter.sort(rows)
    assert ([*found.unreadable], [*found.kept]) == (rows[:1], rows[1:])


async def test_a_record_that_is_distrusted_and_is_another_one_is_set_apart(way, packs):
    await way.land(KEY, data=ONE)
    (row,) = way.catalog.spooled_of_series(1, bytes_max=1 << 40)
    expected = msgspec.structs.replace(row, sha256=hashlib.sha256(TWO).digest())
    sorter = way.sorter(packs)
    sorter.distrust([expected])
    assert (await sorter.sort([expected])).unreadable == [expected]

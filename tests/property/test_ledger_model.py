"""The log against a list, its copies against the log: any order of appends, restarts, failures,
publications and restores."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.audit.publish import Publisher
from fileroom.audit.restore import restore
from fileroom.clock import ManualClock
from fileroom.disk import Disk, SyncError
from fileroom.ledger import segment
from fileroom.ledger.log import LedgerWriteError
from fileroom.ledger.record import Stored
from fileroom.ledger.tiles import TileTree
from ledger_parts import (
    BODY_KEY,
    KEY,
    SEED,
    SITE,
    MemoryProvider,
    audited_size,
    numbers,
    open_ledger,
)

STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 40)),
    st.tuples(st.just("fail"), st.sampled_from(["write", "sync", "allocate"])),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("publish"), st.none()),
    st.tuples(st.just("lose the site"), st.none()),
)


class FailingDisk(Disk):
    failing = ""

    def write(self, descriptor, buffers, offset):
        if self.failing == "write":
            super().write(descriptor, [b"".join(buffers)[:100]], offset)
            raise OSError(28, "no space left")
        super().write(descriptor, buffers, offset)

    def sync(self, descriptor):
        if self.failing == "sync":
            raise SyncError("fdatasync failed with errno 5")
        # No power is lost in these tests, so nothing has to wait for the medium.

    def allocate(self, descriptor, size_bytes):
        if self.failing == "allocate":
            raise OSError(28, "no space left")
        super().allocate(descriptor, size_bytes)

    def sync_directory(self, path):
        pass


async def run(root, steps):
    disk, provider = FailingDisk(), MemoryProvider()
    site, model, published = root / "0", 0, 0
    ledger = open_ledger(site, disk=disk, segment_size_bytes=4096)
    for number, (step, argument) in enumerate(steps):
        if step == "append":
            waiting = [ledger.append_nowait("started", {"n": model + n}) for n in range(argument)]
            model += argument
            assert [await each for each in waiting] == list(range(model - argument, model))
        elif step == "fail":
            disk.failing = argument
            try:
                assert await ledger.append("started", {"n": model}) == model
                model += 1
            except LedgerWriteError:
                pass
            disk.failing = ""
        elif step == "publish":
            assert await Publisher(ledger, provider, signing_seed=SEED).publish() == model
            assert audited_size(provider.objects) == model
            published = model
        else:
            await ledger.close()
            if step == "lose the site" and published:
                shutil.rmtree(site)
                site, model = root / f"{number + 1}", published
                await restore(
                    provider,
                    site,
                    site=SITE,
                    body_key=BODY_KEY,
                    key=KEY,
                    disk=disk,
                    clock=ManualClock(),
                )
            ledger = open_ledger(site, disk=disk, segment_size_bytes=4096)
            if ledger.size > model:  # an event that was not told may have survived a failed sync
                model = ledger.size
        assert ledger.size == model
    assert numbers(ledger) == list(range(model))
    assert ledger.verify() == ledger.root()
    await ledger.close()


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=14))
def test_the_log_holds_what_it_acknowledged_in_order(steps):
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(run(Path(root), steps))


@given(
    st.lists(
        st.lists(
            st.tuples(st.binary(max_size=60), st.binary(max_size=200)), min_size=1, max_size=5
        ),
        max_size=6,
    ),
    st.data(),
)
def test_batches_are_read_back_up_to_the_first_that_is_not_whole(batches, data):
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "00000001.seg"
        written = [segment.header_bytes(1, "general", TileTree())]
        ends, first = [], 0
        for records in batches:
            written.append(segment.batch_bytes(first, [Stored(*each) for each in records]))
            first += len(records)
            ends.append(sum(map(len, written)))
        whole = b"".join(written)
        cut = data.draw(st.integers(len(written[0]), len(whole)))
        left = whole[:cut] + bytes(data.draw(st.integers(0, 100)))
        path.write_bytes(left)
        found = segment.Segment.find(path, 1, site="general")
        read = [[tuple(each) for each in batch.records] for batch in found.batches()]
        assert read == batches[: sum(left[:end] == whole[:end] for end in ends)]


@given(st.binary(max_size=300), st.integers(0, 3), st.data())
def test_rubbish_behind_the_batches_ends_the_log_and_breaks_nothing(rubbish, count, data):
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "00000001.seg"
        batches = [
            segment.batch_bytes(index, [Stored(b"entry", b"body")]) for index in range(count)
        ]
        if data.draw(st.booleans()):
            rubbish = segment.BATCH_MAGIC + rubbish
        header = segment.header_bytes(1, "general", TileTree())
        path.write_bytes(header + b"".join(batches) + rubbish)
        found = segment.Segment.find(path, 1, site="general")
        assert len(list(found.batches())) == count
        assert not segment.holds_later_batch(rubbish, index=count)
        later = segment.batch_bytes(count + 1, [Stored(b"entry", b"body")])
        assert segment.holds_later_batch(rubbish + later, index=count)

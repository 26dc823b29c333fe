"""Any split of the bytes and any order of landings: a dict is the model."""

import asyncio
import gc
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.spool.landing import Landing
from spool_parts import data_set, description, name_of, open_spool, read_back

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("write"), st.integers(0, 3), st.integers(0, 300_000)),
        st.tuples(st.just("commit"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("abandon"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("rotate"), st.just(0), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(actions=ACTIONS)
@settings(deadline=None, max_examples=60)
def test_the_spool_holds_what_was_committed_and_nothing_else(
    actions: list[tuple[str, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory), actions))
    gc.collect()


async def play(directory: Path, actions: list[tuple[str, int, int]]) -> None:
    committed: dict[str, bytes] = {}
    landings: dict[int, tuple[Landing, bytes]] = {}
    spool = open_spool(directory, segment_size_bytes=500_000)
    for step, (action, which, size_bytes) in enumerate(actions):
        if action == "begin" and which not in landings:
            landings[which] = (spool.landing(), b"")
        elif action == "write" and which in landings:
            landing, data = landings[which]
            more = data_set(f"{step}", size_bytes)
            landing.write(more)
            landings[which] = (landing, data + more)
        elif action == "commit" and which in landings:
            landing, data = landings.pop(which)
            spooled = await landing.commit(description(f"{step}"))
            assert spooled.size_bytes == len(data)
            committed[f"{step}"] = data
        elif action == "abandon" and which in landings:
            landings.pop(which)[0].abandon()
        elif action == "rotate":
            await spool.rotate()
        elif action == "restart":
            await spool.close()
            landings.clear()
            spool = open_spool(directory, segment_size_bytes=500_000)
    found = {name_of(each): read_back(directory, each.place) for each in spool.recovered()}
    assert found == committed
    assert spool.damage == ()
    await spool.close()

"""Every target takes its corpus, and whatever can be made of that, without a mistake of ours.

`make test` looks at a fixed number of inputs for each, `make fuzz` at a hundred times as many.
An input that finds something goes into the corpus under a name of its own.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.mutation import CORPUS, mutated, seeds
from fuzz.targets import TARGETS_BY_NAME

SEED_BYTES_MAX = 8 << 10
CORPUS_BYTES_MAX = 320 << 10


@pytest.mark.parametrize("name", TARGETS_BY_NAME)
def test_a_target_takes_its_corpus(name: str) -> None:
    corpus = seeds(name)
    assert corpus
    for data in (*corpus, b"", b"\0"):
        TARGETS_BY_NAME[name](data)


@pytest.mark.parametrize("name", TARGETS_BY_NAME)
def test_a_target_takes_what_is_nearly_right(name: str) -> None:
    target = TARGETS_BY_NAME[name]

    @settings(max_examples=3 * settings().max_examples, suppress_health_check=list(HealthCheck))
    @given(mutated(seeds(name)) | st.binary(max_size=400))
    def takes(data: bytes) -> None:
        target(data)

    takes()


def test_the_corpus_is_small_and_has_a_folder_for_each_target() -> None:
    assert {each.name for each in CORPUS.iterdir()} == set(TARGETS_BY_NAME)
    sizes = [each.stat().st_size for each in CORPUS.rglob("*") if each.is_file()]
    assert max(sizes) <= SEED_BYTES_MAX
    assert sum(sizes) <= CORPUS_BYTES_MAX

"""Inputs that are nearly right: seeds of the corpus, changed the way attacks change them."""

from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"
SIZE_BYTES_MAX = 1 << 16
# Numbers at which sums wrap round and comparisons turn, in either byte order.
EDGES = tuple(
    number.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for number in (0, 1, (1 << 8 * size) - 1, (1 << 8 * size) - 2, 1 << 8 * size - 1)
    for order in ("little", "big")
)
KINDS = st.sampled_from(["set", "edge", "cut", "insert", "repeat", "end", "splice"])
SMALL = st.integers(1, 64)


def seeds(target: str) -> list[bytes]:
    """What the corpus has for a target, in order of the names."""
    return [each.read_bytes() for each in sorted((CORPUS / target).iterdir())]


@st.composite
def mutated(draw: st.DrawFn, corpus: Sequence[bytes]) -> bytes:
    """A seed, with up to eight changes."""
    data = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(KINDS):
            case "set":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
            case "edge":
                edge = draw(st.sampled_from(EDGES))
                data[at : at + len(edge)] = edge
            case "cut":
                del data[at : at + draw(SMALL)]
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case "repeat":
                data[at:at] = data[at : at + draw(SMALL)] * draw(st.integers(1, 40))
            case "end":
                del data[at:]
            case "splice":
                other = draw(st.sampled_from(corpus))
                data[at:] = other[draw(st.integers(0, max(len(other) - 1, 0))) :]
        del data[SIZE_BYTES_MAX:]
    return bytes(data)

"""Proofs of every tree shape: each that is made is accepted, each that is changed is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.ledger import merkle
from fileroom.ledger.merkle import ProofError
from fileroom.ledger.tiles import TileTree

LEAVES = [merkle.leaf_hash(str(each).encode()) for each in range(600)]


def nodes(level, number):
    return merkle.tree_hash(LEAVES[number << level : (number + 1) << level])


def root(size):
    return merkle.range_hash(0, size, nodes) if size else merkle.EMPTY_ROOT


def changed(proof, data):
    """Another proof: one hash flipped, left out, or put in."""
    how = data.draw(st.sampled_from(["flip", "drop", "insert"] if proof else ["insert"]))
    at = data.draw(st.integers(0, len(proof) - (how != "insert")))
    if how == "insert":
        return [*proof[:at], data.draw(st.sampled_from(LEAVES[:3])), *proof[at:]]
    if how == "drop":
        return [*proof[:at], *proof[at + 1 :]]
    return [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]


@given(st.integers(0, 600))
def test_a_grown_tree_and_a_split_tree_have_one_root(size):
    tree = TileTree()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    assert tree.root() == merkle.tree_hash(LEAVES[:size]) == root(size)


@given(st.integers(1, 600), st.data())
def test_inclusion(size, data):
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, nodes)
    merkle.verify_inclusion(LEAVES[index], index=index, size=size, proof=proof, root=root(size))
    with pytest.raises(ProofError):
        merkle.verify_inclusion(
            LEAVES[index], index=index, size=size, proof=changed(proof, data), root=root(size)
        )
    other = data.draw(st.integers(0, size - 1).filter(lambda each: each != index) | st.just(size))
    with pytest.raises(ProofError):
        merkle.verify_inclusion(LEAVES[index], index=other, size=size, proof=proof, root=root(size))


@given(st.integers(1, 600), st.data())
def test_consistency(new_size, data):
    old_size = data.draw(st.integers(1, new_size))
    proof = merkle.consistency_proof(old_size, new_size, nodes)
    sizes = {"old_size": old_size, "new_size": new_size}
    roots = {"old_root": root(old_size), "new_root": root(new_size)}
    merkle.verify_consistency(**sizes, **roots, proof=proof)
    with pytest.raises(ProofError):
        merkle.verify_consistency(**sizes, **roots, proof=changed(proof, data))
    with pytest.raises(ProofError):
        merkle.verify_consistency(**sizes, **(roots | {"old_root": LEAVES[0][::-1]}), proof=proof)
    with pytest.raises(ProofError):
        merkle.verify_consistency(**sizes, **(roots | {"new_root": LEAVES[0][::-1]}), proof=proof)


@given(
    st.integers(-2, 700),
    st.integers(-2, 700),
    st.lists(st.binary(max_size=40) | st.sampled_from(LEAVES), max_size=12),
    st.binary(max_size=33),
)
def test_any_rubbish_is_refused_with_a_proof_error(one, other, proof, hash_):
    with pytest.raises(ProofError):
        merkle.verify_inclusion(hash_, index=one, size=other, proof=proof, root=b"no root")
    if one != other or proof:
        with pytest.raises(ProofError):
            merkle.verify_consistency(
                old_size=one, new_size=other, old_root=hash_, new_root=b"no root", proof=proof
            )

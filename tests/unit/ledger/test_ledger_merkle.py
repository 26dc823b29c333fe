"""Merkle hashing and proofs against RFC 6962's own definition and other projects' vectors."""

import base64
import json
from hashlib import sha256

import pytest

from corpus import BESIDE
from fileroom.ledger import merkle
from fileroom.ledger.merkle import ProofError, leaf_hash, node_hash

# The eight leaves and their roots that every implementation of RFC 6962 tests with
# (certificate-transparency, merkletree_test.cc).
LEAVES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def mth(leaves):
    """MTH as RFC 6962 §2.1 writes it, for comparison."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def nodes_of(leaves):
    return lambda level, n: mth(leaves[n << level : (n + 1) << level])


def in_hex(hashes):
    return [each.hex() for each in hashes]


def test_leaf_and_node_hashes_are_those_of_the_rfc():
    assert (
        leaf_hash(b"L123456").hex()
        == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    )
    assert (
        node_hash(b"N123", b"N456").hex()
        == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )
    assert (
        merkle.EMPTY_ROOT.hex()
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_a_growing_tree_has_the_known_root_at_every_size():
    tree = merkle.CompactRange()
    assert tree.root() == merkle.EMPTY_ROOT
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        tree.push(leaf_hash(leaf))
        assert tree.root().hex() == root


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_known_inclusion_proofs_are_made_and_accepted(index, size):
    proof = merkle.inclusion_proof(index, size, nodes_of(LEAVES))
    assert in_hex(proof) == INCLUSION[index, size]
    root = bytes.fromhex(ROOTS[size - 1])
    merkle.verify_inclusion(
        leaf_hash(LEAVES[index]), index=index, size=size, proof=proof, root=root
    )


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_known_consistency_proofs_are_made_and_accepted(old, new):
    proof = merkle.consistency_proof(old, new, nodes_of(LEAVES))
    assert in_hex(proof) == CONSISTENCY[old, new]
    merkle.verify_consistency(
        old_size=old,
        new_size=new,
        old_root=bytes.fromhex(ROOTS[old - 1]),
        new_root=bytes.fromhex(ROOTS[new - 1]),
        proof=proof,
    )


def other_projects_cases():
    path = BESIDE / "vectors" / "merkle-proofs.json"
    if not path.is_file():
        return []
    return json.loads(path.read_text())["cases"]


def case_is_accepted(case):
    hashes = {
        key: base64.b64decode(case[key] or "")
        for key in ("root", "leafHash", "root1", "root2")
        if key in case
    }
    proof = [base64.b64decode(each) for each in case["proof"] or []]
    try:
        if "leafIdx" in case:
            merkle.verify_inclusion(
                hashes["leafHash"],
                index=case["leafIdx"],
                size=case["treeSize"],
                proof=proof,
                root=hashes["root"],
            )
        else:
            merkle.verify_consistency(
                old_size=case["size1"],
                new_size=case["size2"],
                old_root=hashes["root1"],
                new_root=hashes["root2"],
                proof=proof,
            )
    except ProofError:
        return False
    return True


def test_the_verifiers_agree_with_transparency_dev_on_every_vector():
    cases = other_projects_cases()
    if not cases:
        pytest.skip("merkle-proofs.json does not lie beside the checkout")
    assert len(cases) == 196
    assert [each["file"] for each in cases if case_is_accepted(each) == each["wantErr"]] == []


def test_an_empty_old_tree_proves_nothing():
    for new_size in (0, 1):
        with pytest.raises(ProofError):
            merkle.verify_consistency(
                old_size=0,
                new_size=new_size,
                old_root=merkle.EMPTY_ROOT,
                new_root=merkle.EMPTY_ROOT,
                proof=[],
            )


def test_a_leaf_hash_of_another_length_is_refused():
    with pytest.raises(ProofError, match="32 bytes"):
        merkle.verify_inclusion(b"", index=0, size=1, proof=[], root=b"")

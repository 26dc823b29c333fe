"""Tile names and bytes against c2sp.org/tlog-tiles."""

import pytest

from fileroom.ledger import merkle, tiles
from fileroom.ledger.tiles import Tile, TileError, TileTree


def leaves(count):
    return [merkle.leaf_hash(str(each).encode()) for each in range(count)]


def grown(count):
    """The tree of `count` leaves, and every full tile on the way."""
    tree, full = TileTree(), []
    for each in leaves(count):
        full += tree.append(each)
    return tree, full


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 1234067, 256, "tile/0/x001/x234/067"),  # the specification's own example
        (0, 0, 256, "tile/0/000"),
        (63, 999, 1, "tile/63/999.p/1"),
        (1, 1000, 255, "tile/1/x001/000.p/255"),
    ],
)
def test_tiles_are_named_as_the_specification_names_them(level, index, width, path):
    assert tiles.tile_path(level, index, width) == path


def test_entry_bundles_are_named_as_the_specification_names_them():
    assert tiles.bundle_path(1234067) == "tile/entries/x001/x234/067"
    assert tiles.bundle_path(273, 112) == "tile/entries/273.p/112"


@pytest.mark.parametrize(
    "text", ["000", "999.p/255", "x001/000", "x001/x234/067", "x001/x234/067.p/1"]
)
def test_a_tile_number_is_read_back(text):
    index, width = tiles.parse_number(text)
    assert tiles.bundle_path(index, width) == f"tile/entries/{text}"


MISSPELLED = ["", "0", "00", "0000", "x000/001", "001/x002", "x001", "x001/x234/067/", "../000"]
MISSPELLED += ["000.p/0", "000.p/256", "000.p/999", "000.p/01", "000.p/", "000.p/1/2", "000\n"]
MISSPELLED += ["٠٠٠", "_"]


@pytest.mark.parametrize("text", MISSPELLED)
def test_a_misspelled_tile_number_is_refused(text):
    with pytest.raises(TileError):
        tiles.parse_number(text)


def test_a_tree_of_70000_has_the_tiles_that_the_specification_lists():
    tree, full = grown(70_000)
    assert [sum(each.level == level for each in full) for level in range(3)] == [273, 1, 0]
    partial = {each.level: (each.index, each.width) for each in tree.partial_tiles()}
    assert partial == {0: (273, 112), 1: (1, 17), 2: (0, 1)}


def test_a_tree_of_256_has_one_full_tile_and_a_partial_one_of_width_1_above_it():
    tree, full = grown(256)
    assert full == [Tile(0, 0, b"".join(leaves(256)))]
    assert tree.partial_tiles() == [Tile(1, 0, tree.root())]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 513, 65_535, 65_536, 65_800])
def test_a_tree_goes_on_from_its_edge(size):
    tree, _ = grown(size)
    resumed = TileTree.resume(size, tree.edge())
    assert (resumed.size, resumed.root()) == (size, tree.root())
    for each in leaves(300):
        assert list(resumed.append(each)) == list(tree.append(each))
    assert resumed.partial_tiles() == tree.partial_tiles()
    assert resumed.root() == tree.root()


def test_a_copy_does_not_grow_with_the_tree():
    tree, _ = grown(255)
    copy = tree.copy()
    tree.append(b"x" * 32)
    assert copy.size == 255
    assert copy.partial_tiles() == grown(255)[0].partial_tiles()


@pytest.mark.parametrize("size", [1, 7, 256, 700, 66_000])
def test_proofs_out_of_tiles_verify_against_the_root(size):
    tree, full = grown(size)
    known = {each.path: each.hashes for each in [*full, *tree.partial_tiles()]}
    node = tiles.node_reader(size, lambda *address: known[tiles.tile_path(*address)])
    all_leaves = leaves(size)
    for index in {0, size // 3, size - 1}:
        proof = merkle.inclusion_proof(index, size, node)
        merkle.verify_inclusion(
            all_leaves[index], index=index, size=size, proof=proof, root=tree.root()
        )
    for old in {1, size // 2 or 1, size}:
        merkle.verify_consistency(
            old_size=old,
            new_size=size,
            old_root=grown(old)[0].root(),
            new_root=tree.root(),
            proof=merkle.consistency_proof(old, size, node),
        )


def test_a_bundle_is_length_prefixed_entries():
    assert tiles.bundle([b"", b"ab"]) == b"\x00\x00\x00\x02ab"
    assert tiles.entries_of(b"\x00\x00\x00\x02ab", width=2) == [b"", b"ab"]
    longest = b"x" * 65_535
    assert tiles.entries_of(tiles.bundle([longest]), width=1) == [longest]


@pytest.mark.parametrize(
    ("data", "width"),
    [(b"", 1), (b"\x00", 1), (b"\x00\x02a", 1), (b"\x00\x00", 2), (b"\x00\x00\x00\x00", 1)],
)
def test_a_bundle_that_is_cut_or_of_another_width_is_refused(data, width):
    with pytest.raises(TileError):
        tiles.entries_of(data, width=width)


def test_a_tile_of_another_length_is_refused():
    assert tiles.hashes_of(b"a" * 32 + b"b" * 32, width=2) == [b"a" * 32, b"b" * 32]
    for length in (0, 32, 63, 65):
        with pytest.raises(TileError):
            tiles.hashes_of(bytes(length), width=2)


def test_the_root_of_a_full_tile_stands_in_the_tile_above():
    _, full = grown(65_536)
    assert tiles.hashes_of(full[-1].hashes, width=256)[7] == merkle.tree_hash(
        tiles.hashes_of(full[7].hashes, width=256)
    )

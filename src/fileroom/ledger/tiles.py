"""Hash tiles and entry bundles: their names and bytes (c2sp.org/tlog-tiles). Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from struct import Struct

import msgspec

from fileroom.errors import IntegrityError
from fileroom.ledger.merkle import HASH_BYTES, CompactRange, Node, tree_hash

HEIGHT = 8
WIDTH = 1 << HEIGHT  # hashes in a full tile, entries in a full bundle
ENTRY_BYTES_MAX = 65_535
BUNDLE_BYTES_MAX = WIDTH * (2 + ENTRY_BYTES_MAX)

ENTRY_LENGTH = Struct(">H")
_NUMBER = re.compile(r"((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class TileError(IntegrityError):
    """A tile, a bundle or its name is not what tlog-tiles says."""


class Tile(msgspec.Struct, frozen=True):
    """`hashes` of `level`, one behind the other, from number index·256 on."""

    level: int
    index: int
    hashes: bytes

    @property
    def width(self) -> int:
        return len(self.hashes) // HASH_BYTES

    @property
    def path(self) -> str:
        return tile_path(self.level, self.index, self.width)


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Name of a tile below the log's prefix: `tile/<L>/<N>[.p/<W>]`."""
    assert 0 <= level <= 63
    return f"tile/{level}/{_number(index, width)}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Name of an entry bundle below the log's prefix: `tile/entries/<N>[.p/<W>]`."""
    return f"tile/entries/{_number(index, width)}"


def parse_number(text: str) -> tuple[int, int]:
    """Read `<N>[.p/<W>]` as (index, width).

    Raises:
        TileError: it is not spelled as tlog-tiles spells it.
    """
    match = _NUMBER.fullmatch(text)
    if match is not None:
        index = int(match[1].replace("x", "").replace("/", "") + match[2])
        width = int(match[3] or WIDTH)
        if width <= WIDTH and _number(index, width) == text:
            return index, width
    raise TileError(f"a tile number of {len(text)} characters is misspelled")


def partial_width(level: int, size: int) -> int:
    """Hashes in the partial tile at `level` of a tree of `size`; 0 where there is none."""
    return (size >> (HEIGHT * level)) % WIDTH


def hashes_of(tile: bytes, *, width: int) -> list[bytes]:
    """The hashes in a tile.

    Raises:
        TileError: it does not hold `width` of them.
    """
    if len(tile) != width * HASH_BYTES:
        raise TileError(f"a tile of width {width} has {width * HASH_BYTES} B, this one {len(tile)}")
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def bundle(entries: Iterable[bytes]) -> bytes:
    """The bundle of `entries`, at most 256 of at most 65,535 bytes each."""
    return b"".join(ENTRY_LENGTH.pack(len(each)) + each for each in entries)


def entries_of(data: bytes, *, width: int) -> list[bytes]:
    """The entries in a bundle.

    Raises:
        TileError: it does not hold just `width` whole entries.
    """
    entries, end = _first_entries(data, width)
    if end != len(data):
        raise TileError(f"a bundle of {len(data)} B holds more than {width} entries")
    return entries


def bundle_beginning(data: bytes, *, width: int) -> list[bytes]:
    """The first `width` entries in a bundle that may be wider.

    Raises:
        TileError: it does not hold them whole.
    """
    return _first_entries(data, width)[0]


def _first_entries(data: bytes, width: int) -> tuple[list[bytes], int]:
    entries: list[bytes] = []
    at = 0
    for _ in range(width):
        begin = at + ENTRY_LENGTH.size
        at = begin + (ENTRY_LENGTH.unpack_from(data, at)[0] if begin <= len(data) else 0)
        if at > len(data):
            raise TileError(f"a bundle of {len(data)} B does not hold {width} entries")
        entries.append(data[begin:at])
    return entries, at


def node_reader(size: int, read: Callable[[int, int, int], bytes]) -> Node:
    """Complete subtrees of a tree of `size`, for proofs, out of its tiles.

    Args:
        read: `read(level, index, width)` returns the bytes of that tile.
    """

    def node(level: int, number: int) -> bytes:
        tile_level, above = divmod(level, HEIGHT)
        first = number << above
        index, at = divmod(first, WIDTH)
        full = (index + 1) << (HEIGHT * (tile_level + 1)) <= size
        width = WIDTH if full else partial_width(tile_level, size)
        hashes = hashes_of(read(tile_level, index, width), width=width)
        return tree_hash(hashes[at : at + (1 << above)])

    return node


class TileTree:
    """A growing tree with the tiles at its right edge: root and new tiles without the old ones."""

    def __init__(self) -> None:
        self._range = CompactRange()
        self._edge: list[bytearray] = []  # by level: the partial tile, or empty

    @property
    def size(self) -> int:
        return self._range.size

    def root(self) -> bytes:
        """Root of the tree so far."""
        return self._range.root()

    def append(self, leaf: bytes) -> Sequence[Tile]:
        """Append a leaf hash; return the tiles that became full, lowest first."""
        full: Sequence[Tile] = ()
        size = self._range.size + 1
        for level, node in self._range.push(leaf):
            tile_level, above = divmod(level, HEIGHT)
            if above:
                continue
            if tile_level == len(self._edge):
                self._edge.append(bytearray())
            tile = self._edge[tile_level]
            tile += node
            if len(tile) == WIDTH * HASH_BYTES:
                index = (size >> (HEIGHT * (tile_level + 1))) - 1
                full = [*full, Tile(tile_level, index, bytes(tile))]
                tile.clear()
        return full

    def partial_tiles(self) -> list[Tile]:
        """The partial tiles of the tree so far, lowest first; levels without one are left out."""
        return [
            Tile(level, self.size >> (HEIGHT * (level + 1)), bytes(hashes))
            for level, hashes in enumerate(self._edge)
            if hashes
        ]

    def copy(self) -> "TileTree":
        copied = TileTree()
        copied._range = self._range.copy()
        copied._edge = [bytearray(each) for each in self._edge]
        return copied

    def edge(self) -> bytes:
        """The partial tiles' hashes, level 0 first: with the size, all that `resume` needs."""
        return b"".join(self._edge)

    @classmethod
    def resume(cls, size: int, edge: bytes) -> "TileTree":
        """The tree of `size` whose `edge()` was `edge`; the length is the caller's to check."""
        assert len(edge) == edge_bytes(size)
        tree = cls()
        at = 0
        for level in range(_levels(size)):
            end = at + partial_width(level, size) * HASH_BYTES
            tree._edge.append(bytearray(edge[at:end]))
            at = end
        stack: list[bytes] = []
        for partial in reversed(tree._edge):
            hashes = hashes_of(bytes(partial), width=len(partial) // HASH_BYTES)
            first = 0
            for bit in reversed(range(HEIGHT)):
                if len(hashes) & (1 << bit):
                    stack.append(tree_hash(hashes[first : first + (1 << bit)]))
                    first += 1 << bit
        tree._range = CompactRange(size=size, stack=stack)
        return tree


def edge_bytes(size: int) -> int:
    """Length of `TileTree.edge()` of a tree of `size`."""
    return HASH_BYTES * sum(partial_width(level, size) for level in range(_levels(size)))


def _levels(size: int) -> int:
    return -(-size.bit_length() // HEIGHT)


def _number(index: int, width: int) -> str:
    assert index >= 0
    assert 1 <= width <= WIDTH
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*(f"x{each}" for each in groups[:-1]), groups[-1]])
    return path if width == WIDTH else f"{path}.p/{width}"

"""Merkle tree hashing, inclusion and consistency proofs (RFC 6962 §2.1, RFC 9162 §2.1). Pure."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from fileroom.errors import IntegrityError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""`node(level, n)` is the hash of a complete subtree: leaves [n·2^level, (n+1)·2^level)."""


class ProofError(IntegrityError):
    """The proof does not show what it claims."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of the leaf that holds `entry`."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of the inner node above two hashes."""
    return sha256(b"\x01" + left + right).digest()


def tree_hash(hashes: Sequence[bytes]) -> bytes:
    """Root over nodes of one level, of which each is complete; a full tile's root is one.

    Args:
        hashes: leaf hashes, or equally high subtrees' hashes, from left to right.
    """
    tree = CompactRange()
    for each in hashes:
        tree.push(each)
    return tree.root()


class CompactRange:
    """The few hashes from which a growing tree's root follows: one per bit set in its size."""

    def __init__(self, *, size: int = 0, stack: Sequence[bytes] = ()) -> None:
        assert len(stack) == size.bit_count()
        self.size = size
        self._stack = list(stack)

    def push(self, node: bytes, *, level: int = 0) -> list[tuple[int, bytes]]:
        """Append the complete subtree of 2^level leaves whose hash is `node`.

        Returns:
            The nodes this completed, as (level, hash), lowest first; `node` itself is the first.
        """
        position = self.size >> level
        assert position << level == self.size, "a subtree begins at a multiple of its own size"
        self.size += 1 << level
        completed = [(level, node)]
        while position & 1:
            node = node_hash(self._stack.pop(), node)
            level += 1
            position >>= 1
            completed.append((level, node))
        self._stack.append(node)
        return completed

    def root(self) -> bytes:
        """Root of the tree so far."""
        if not self._stack:
            return EMPTY_ROOT
        *rest, root = self._stack
        for left in reversed(rest):
            root = node_hash(left, root)
        return root

    def copy(self) -> "CompactRange":
        return CompactRange(size=self.size, stack=self._stack)


def range_hash(start: int, end: int, node: Node) -> bytes:
    """MTH(D[start:end]) where `start` is a multiple of the least power of two >= end - start."""
    assert 0 <= start < end
    level = (end - start).bit_length() - 1
    if end - start == 1 << level:
        return node(level, start >> level)
    middle = start + (1 << level)
    return node_hash(range_hash(start, middle, node), range_hash(middle, end, node))


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[0:size]): the hashes that lead from a leaf to the root (RFC 6962 §2.1.1)."""
    assert 0 <= index < size
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(range_hash(middle, end, node))
            end = middle
        else:
            proof.append(range_hash(start, middle, node))
            start = middle
    proof.reverse()
    return proof


def consistency_proof(old_size: int, new_size: int, node: Node) -> list[bytes]:
    """PROOF(old_size, D[0:new_size]): shows that one tree extends the other (RFC 6962 §2.1.2)."""
    assert 0 < old_size <= new_size
    proof: list[bytes] = []
    start, end, whole = 0, new_size, True  # whole: the old tree is just D[start:old_size]
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            proof.append(range_hash(middle, end, node))
            end = middle
        else:
            proof.append(range_hash(start, middle, node))
            start, whole = middle, False
    if not whole:
        proof.append(range_hash(start, end, node))
    proof.reverse()
    return proof


def verify_inclusion(
    leaf: bytes, *, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf hash `leaf` stands at `index` in the tree (RFC 9162 §2.1.3.2).

    Raises:
        ProofError: it does not, or nothing shows it.
    """
    if not 0 <= index < size:
        raise ProofError(f"index {index} does not lie in a tree of {size}")
    _require_hashes([leaf, *proof])
    position, last = index, size - 1
    computed = leaf
    for each in proof:
        if last == 0:
            raise ProofError(f"{len(proof)} hashes are too many for index {index} of {size}")
        if position & 1 or position == last:
            computed = node_hash(each, computed)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            computed = node_hash(computed, each)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError(f"{len(proof)} hashes are too few for index {index} of {size}")
    if computed != root:
        raise ProofError(f"the proof for index {index} of {size} leads to another root")


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `new_size` extends that of `old_size` (RFC 9162 §2.1.4.2).

    Raises:
        ProofError: it does not, or nothing shows it. An empty old tree shows nothing.
    """
    if not 0 < old_size <= new_size:
        raise ProofError(f"no proof leads from a tree of {old_size} to one of {new_size}")
    if old_size == new_size:
        if proof or old_root != new_root:
            raise ProofError(f"two trees of {old_size} are not one")
        return
    _require_hashes([*proof, old_root])
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if not path:
        raise ProofError(f"no hashes lead from a tree of {old_size} to one of {new_size}")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = path[0]
    for each in path[1:]:
        if last == 0:
            raise ProofError(f"{len(proof)} hashes are too many from {old_size} to {new_size}")
        if position & 1 or position == last:
            old, new = node_hash(each, old), node_hash(each, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, each)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError(f"{len(proof)} hashes are too few from {old_size} to {new_size}")
    if old != old_root or new != new_root:
        raise ProofError(f"the proof from {old_size} to {new_size} leads to other roots")


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _require_hashes(values: Sequence[bytes]) -> None:
    for each in values:
        if len(each) != HASH_BYTES:
            raise ProofError(f"a hash has {HASH_BYTES} bytes, this one {len(each)}")

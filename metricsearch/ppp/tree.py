"""The PPP-tree of one pivot space: a trie over pivot-permutation prefixes in flat arrays (spec section 2).

Nodes stand in preorder. An inner node knows the end of its subtree, so a traversal that prunes just jumps there, and
needs neither child lists nor a heap. Every record is a bit-packed suffix (the pivots below its leaf, stored once per
distinct prefix), one flag bit and the object's ordinal in ⌈log2 n⌉ bits. The arrays never change: inserted objects
wait outside (`content.py`) until they are consolidated into new arrays.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.ppp import _kernels

LEAF_BITS = 88  # what one more leaf costs here; the paper's implementation charges 128 for its own (spec section 2.4)
MAX_PREFIX_LENGTH = 127  # levels share a byte with the leaf flag


def pivot_bits(n_pivots: int) -> int:
    """Bits per pivot index, ⌈log2 k⌉ and at least 1."""
    return max(1, (n_pivots - 1).bit_length())


def ordinal_bits(n: int) -> int:
    """Bits per object ordinal, ⌈log2 n⌉ and at least 1."""
    return max(1, (n - 1).bit_length())


def flat_code_bits(n: int, n_spaces: int, n_pivots: int, prefix_length: int) -> int:
    """Bits per object of uncompressed PPP-Codes with IDs: λ·(l·b_p + b_id), spec equation (6)."""
    return n_spaces * (prefix_length * pivot_bits(n_pivots) + ordinal_bits(n))


@dataclass(frozen=True, slots=True)
class PPPTree:
    """One space's tree over n records with prefixes of length l; all arrays are read-only.

    One entry per node, in preorder. pivot (uint16): the pivot that leads to the node. level (uint8): its level, plus
    128 for a leaf. first (int32): its first record. skip (uint32): for an inner node the first node after its subtree;
    for a leaf the number of suffix pivots stored before its own. Bit pools (uint64): suffixes, starts, ids.
    """

    pivot: NDArray[np.uint16]
    level: NDArray[np.uint8]
    first: NDArray[np.int32]
    skip: NDArray[np.uint32]
    suffixes: NDArray[np.uint64]
    starts: NDArray[np.uint64]
    ids: NDArray[np.uint64]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name; `PPPTree(**arrays)` is the inverse."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def nodes(self) -> tuple[NDArray[np.generic], ...]:
        """What the kernels call `nodes`."""
        return self.pivot, self.level, self.first, self.skip

    @property
    def pools(self) -> tuple[NDArray[np.uint64], ...]:
        """What the kernels call `pools`."""
        return self.suffixes, self.starts, self.ids


def build_tree(prefixes: NDArray[np.uint16], n_pivots: int) -> PPPTree:
    """Tree over the prefixes (n, l) of ordinals 0..n-1. The same prefixes give the same bits."""
    n, length = prefixes.shape
    order = np.lexsort(prefixes.T[::-1])  # stable: equal prefixes stay in order of their ordinals
    shared = np.zeros(n, dtype=np.uint8)
    _kernels.common_prefix_lengths(prefixes, order, shared)
    bits = pivot_bits(n_pivots)
    n_suffixes = int((shared < length).sum())
    max_children = min(n_pivots, max(n, 1))
    # A split below level 1 makes fewer than n_suffixes · bits / LEAF_BITS children on its level.
    most = min(1 + max_children + length * (n_suffixes * bits // LEAF_BITS + 1), 1 + length * max(n, 1))
    if n_suffixes * length >= 2**32:
        raise InvalidInputError(f"objects: {n:,} objects are too many for one index; split the collection")
    pivot, level = np.empty(most, dtype=np.uint16), np.empty(most, dtype=np.uint8)
    first, skip = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.uint32)
    n_nodes, n_stored = _kernels.split_nodes(
        prefixes, order, shared, max_children, bits, LEAF_BITS, pivot, level, first, skip
    )
    pivot, level, first, skip = (array[:n_nodes].copy() for array in (pivot, level, first, skip))
    _kernels.link_subtrees(level, skip)
    suffixes, starts, ids = _words(n_stored * bits), _words(n), _words(n * ordinal_bits(n))
    _kernels.pack_records(prefixes, order, shared, level, first, bits, ordinal_bits(n), suffixes, starts, ids)
    arrays = (pivot, level, first, skip, suffixes, starts, ids)
    for array in arrays:
        array.flags.writeable = False
    return PPPTree(*arrays)


def decode_tree(tree: PPPTree, n: int, n_pivots: int, prefix_length: int) -> NDArray[np.uint16]:
    """Prefixes (n, l) uint16 by ordinal: the inverse of `build_tree`."""
    prefixes = np.empty((n, prefix_length), dtype=np.uint16)
    if n:
        _kernels.unpack_records(*tree.nodes, *tree.pools, pivot_bits(n_pivots), ordinal_bits(n), prefixes)
    return prefixes


def check_tree(tree: PPPTree, n: int, n_pivots: int, prefix_length: int, where: str) -> None:
    """Raise CorruptedError unless the arrays make a tree over n records: kernels walk them without bounds checks."""
    if not (_nodes_fit(tree, n, n_pivots, prefix_length) and _pools_fit(tree, n, n_pivots, prefix_length)):
        raise CorruptedError(f"{where}: the index arrays do not fit {n} objects; rebuild the index")


def _nodes_fit(tree: PPPTree, n: int, n_pivots: int, prefix_length: int) -> bool:
    n_nodes = len(tree.level)
    dtypes = [array.dtype for array in tree.arrays().values()]
    expected = [np.uint16, np.uint8, np.int32, np.uint32, np.uint64, np.uint64, np.uint64]
    if dtypes != expected or n_nodes == 0 or any(array.shape != (n_nodes,) for array in tree.nodes):
        return False
    level, leaf = tree.level & 127, tree.level > 127
    bounds = np.append(tree.first, n)
    # In preorder the next node is at most one level deeper, and only below an inner node.
    steps = np.diff(level.astype(np.int64)) <= np.where(leaf[:-1], 0, 1)
    inner = np.flatnonzero(~leaf)
    skips = tree.skip[inner].astype(np.int64)
    return bool(
        level[0] == 0
        and level.max() <= prefix_length
        and steps.all()
        and tree.pivot.max() < n_pivots
        and bounds[0] == 0
        and (np.diff(bounds.astype(np.int64)) >= 0).all()
        and (skips > inner).all()
        and (skips <= n_nodes).all()
    )


def _pools_fit(tree: PPPTree, n: int, n_pivots: int, prefix_length: int) -> bool:
    if len(tree.starts) != len(_words(n)) or len(tree.ids) != len(_words(n * ordinal_bits(n))):
        return False
    leaf = np.flatnonzero(tree.level > 127)
    first, stop = tree.first[leaf], np.append(tree.first, n)[leaf + 1]
    n_suffixes = np.empty(len(leaf), dtype=np.int64)
    _kernels.count_starts(tree.starts, first, stop, n_suffixes)
    stored = n_suffixes * (prefix_length - (tree.level[leaf] & 127).astype(np.int64))
    offsets = np.cumsum(stored) - stored
    if not np.array_equal(tree.skip[leaf], offsets):
        return False
    if len(tree.suffixes) != len(_words(int(stored.sum()) * pivot_bits(n_pivots))):
        return False
    seen = np.zeros(n, dtype=np.bool_)
    return bool(
        _kernels.pools_are_sound(
            tree.suffixes, tree.ids, stored.sum(), pivot_bits(n_pivots), n_pivots, ordinal_bits(n), seen
        )
    )


def _words(n_bits: int) -> NDArray[np.uint64]:
    return np.zeros(n_bits // 64 + 2, dtype=np.uint64)  # one spare word for reads across the end

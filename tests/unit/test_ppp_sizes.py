"""Shape and size of the PPP-tree against equations (5) and (6), counted by the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import ppp as oracle

from metricsearch.ppp import flat_code_bits
from metricsearch.ppp.tree import LEAF_BITS, build_tree, decode_tree


@pytest.mark.parametrize("n_pivots", [2, 3, 128, 129, 512])
@pytest.mark.parametrize("n_objects", [2, 3, 4, 5, 1000, 20_000_000])
def test_flat_code_bits(n_objects, n_pivots):
    ref = oracle.flat_bits_per_object(5, n_pivots, 8, oracle.bits_for(n_objects))
    assert flat_code_bits(n_objects, 5, n_pivots, 8) == ref


def skewed_prefixes(seed, n_objects, n_pivots, length):
    """Low pivots are near to most objects, so that some cells are crowded and others nearly empty."""
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.random((n_objects, n_pivots)) + 0.08 * np.arange(n_pivots), axis=1)
    return order[:, :length].astype(np.uint16)


def nodes_of(tree):
    """{prefix of the node: whether it has children}, from the preorder arrays."""
    out, path = {}, []
    for node in range(tree.level.size):
        level = int(tree.level[node]) % 128
        path = path[: max(level - 1, 0)] + ([int(tree.pivot[node])] if level else [])
        out[tuple(path)] = int(tree.level[node]) < 128
    return out


@given(seed=st.integers(0, 2**20), n_objects=st.integers(1, 6000), n_pivots=st.integers(2, 30))
def test_leaves_split_by_the_rule_of_bits_saved(seed, n_objects, n_pivots):
    length = min(4, n_pivots)
    prefixes = skewed_prefixes(seed, n_objects, n_pivots, length)
    distinct = {tuple(row) for row in prefixes.tolist()}
    id_bits = oracle.bits_for(n_objects)
    nodes = nodes_of(build_tree(prefixes, n_pivots))
    below = {}
    for prefix in distinct:
        for level in range(length + 1):
            below.setdefault(prefix[:level], set()).add(prefix)
    for node, is_inner in nodes.items():
        level = len(node)
        n_branches = len({prefix[level] for prefix in below[node]}) if level < length else 0
        # a suffix is stored once whatever the number of its objects, so it counts as one record
        record_bits = (length - level) * oracle.bits_for(n_pivots) + id_bits + 1
        used_bits = len(below[node]) * record_bits
        splits = oracle.leaf_splits(used_bits, level, n_branches, n_pivots, length, id_bits, leaf_bits=LEAF_BITS)
        assert is_inner == splits, node
    leaves = [node for node, is_inner in nodes.items() if not is_inner]
    assert sorted(prefix for leaf in leaves for prefix in below[leaf]) == sorted(distinct)


@given(seed=st.integers(0, 2**20), n_objects=st.integers(0, 3000), n_pivots=st.integers(1, 70))
def test_decoding_inverts_encoding(seed, n_objects, n_pivots):
    length = min(5, n_pivots)
    prefixes = skewed_prefixes(seed, n_objects, n_pivots, length)
    comp = decode_tree(build_tree(prefixes, n_pivots), n_objects, n_pivots, length)
    assert np.array_equal(comp, prefixes)

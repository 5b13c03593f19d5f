"""Jitted loops of the PPP-tree: building, decoding, threshold-guided traversal, rank merge.

Words used below: n records in lexicographic order of their prefixes, l pivots per prefix, bits are packed
little-endian into uint64 words (one spare word at the end so that a read may cross into it).
"""

import numpy as np

from metricsearch.accelerate import kernel


@kernel
def _read_word(words, bit):
    """64 bits of `words` from position `bit`."""
    word = bit >> 6
    shift = np.uint64(bit & 63)
    # Two shifts, because a shift by 64 is undefined.
    return (words[word] >> shift) | ((words[word + 1] << np.uint64(1)) << (np.uint64(63) - shift))


@kernel
def _write_bits(words, bit, value, width):
    """Put the low `width` <= 32 bits of `value` at position `bit` of zeroed `words`."""
    word = bit >> 6
    shift = bit & 63
    words[word] |= np.uint64(value) << np.uint64(shift)
    if shift + width > 64:
        words[word + 1] |= np.uint64(value) >> np.uint64(64 - shift)


@kernel
def common_prefix_lengths(prefixes, order, out):
    """out[i] = pivots that records i-1 and i of the sorted order share; out[0] = 0.

    prefixes : (n, l) uint16     order : (n,) int64     out : (n,) uint8
    """
    length = prefixes.shape[1]
    for i in range(1, order.size):
        a, b = order[i - 1], order[i]
        v = 0
        while v < length and prefixes[a, v] == prefixes[b, v]:
            v += 1
        out[i] = v
    if order.size:
        out[0] = 0


@kernel
def split_nodes(prefixes, order, shared, max_children, pivot_bits, leaf_bits, pivot, level, first, skip):
    """Cut the sorted records into the nodes of a PPP-tree, in preorder; returns (nodes, suffix pivots stored).

    A leaf at level v splits when leaving out its next pivot saves more bits than the new leaves cost
    (spec section 2.4): suffixes · pivot_bits > children · leaf_bits. Level 0 always splits, level l never.
    shared : (n,) uint8, common_prefix_lengths     max_children : most children a node can have
    pivot (uint16), level (uint8, + 128 for a leaf), first (int32: first record): written, one per node
    skip (uint32): written for leaves, how many suffix pivots the leaves before it hold; see link_subtrees
    """
    n, length = prefixes.shape
    stack = np.empty((length * max_children + 1, 2), dtype=np.int64)
    stack_level = np.empty(length * max_children + 1, dtype=np.int64)
    stack[0, 0], stack[0, 1], stack_level[0] = 0, n, 0
    depth = 1
    n_nodes = 0
    n_stored = 0
    while depth > 0:
        depth -= 1
        begin, end, v = stack[depth, 0], stack[depth, 1], stack_level[depth]
        level[n_nodes] = v
        first[n_nodes] = begin
        pivot[n_nodes] = prefixes[order[begin], v - 1] if v > 0 else 0
        n_nodes += 1
        n_suffixes = 0
        n_children = 0
        for i in range(begin, end):
            if i == begin or shared[i] < length:
                n_suffixes += 1
            if i == begin or shared[i] <= v:
                n_children += 1
        if v < length and end > begin and (v == 0 or n_suffixes * pivot_bits > n_children * leaf_bits):
            child_end = end
            for i in range(end - 1, begin - 1, -1):  # last child first: the first one is popped next
                if i == begin or shared[i] <= v:
                    stack[depth, 0], stack[depth, 1], stack_level[depth] = i, child_end, v + 1
                    depth += 1
                    child_end = i
        else:
            level[n_nodes - 1] |= 128
            skip[n_nodes - 1] = n_stored
            n_stored += n_suffixes * (length - v)
    return n_nodes, n_stored


@kernel
def link_subtrees(level, skip):
    """skip[i] = first node after the subtree of inner node i, for nodes in preorder; leaves keep theirs."""
    n_nodes = level.size
    following = np.full(128, n_nodes, dtype=np.int64)  # next node of each level
    for i in range(n_nodes - 1, -1, -1):
        v = level[i] & 127
        if level[i] < 128:
            nearest = n_nodes
            for u in range(v + 1):
                nearest = min(nearest, following[u])
            skip[i] = nearest
        following[v] = i


@kernel
def pack_records(prefixes, order, shared, level, first, pivot_bits, id_bits, suffixes, starts, ids):
    """Write suffixes, "new suffix" flags and ordinals of all leaves into zeroed bit pools (uint64)."""
    n, length = prefixes.shape
    bit = 0
    for node in range(level.size):
        if level[node] < 128:
            continue
        stop = first[node + 1] if node + 1 < level.size else n
        for i in range(first[node], stop):
            _write_bits(ids, i * id_bits, order[i], id_bits)
            if i == first[node] or shared[i] < length:
                _write_bits(starts, i, 1, 1)
                for v in range(level[node] & 127, length):
                    _write_bits(suffixes, bit, prefixes[order[i], v], pivot_bits)
                    bit += pivot_bits


@kernel
def unpack_records(pivot, level, first, skip, suffixes, starts, ids, pivot_bits, id_bits, prefixes):
    """Inverse of pack_records: prefixes[ordinal] = its l pivots."""
    n, length = prefixes.shape
    pivot_mask = (np.uint64(1) << np.uint64(pivot_bits)) - np.uint64(1)
    id_mask = (np.uint64(1) << np.uint64(id_bits)) - np.uint64(1)
    current = np.zeros(length, dtype=np.uint16)
    for node in range(level.size):
        v = level[node] & 127
        if v > 0:
            current[v - 1] = pivot[node]
        if level[node] < 128:
            continue
        stop = first[node + 1] if node + 1 < level.size else n
        bit = np.int64(skip[node]) * pivot_bits
        for i in range(first[node], stop):
            if _read_word(starts, i) & np.uint64(1):
                for j in range(v, length):
                    current[j] = _read_word(suffixes, bit) & pivot_mask
                    bit += pivot_bits
            ordinal = np.int64(_read_word(ids, i * id_bits) & id_mask)
            for j in range(length):
                prefixes[ordinal, j] = current[j]


@kernel
def count_starts(starts, first, stop, counts):
    """counts[i] = "new suffix" flags among the records first[i] .. stop[i] - 1."""
    for i in range(first.size):
        counts[i] = 0
        for record in range(first[i], stop[i]):
            counts[i] += np.int64((starts[record >> 6] >> np.uint64(record & 63)) & np.uint64(1))


@kernel
def pools_are_sound(suffixes, ids, n_stored, pivot_bits, n_pivots, id_bits, seen):
    """Whether all stored pivots exist and the ordinals are 0..n-1, each once. seen : (n,) bool, all False, written"""
    pivot_mask = (np.uint64(1) << np.uint64(pivot_bits)) - np.uint64(1)
    id_mask = (np.uint64(1) << np.uint64(id_bits)) - np.uint64(1)
    for i in range(n_stored):
        if _read_word(suffixes, i * pivot_bits) & pivot_mask >= np.uint64(n_pivots):
            return False
    for i in range(seen.size):
        ordinal = np.int64(_read_word(ids, i * id_bits) & id_mask)
        if ordinal >= seen.size or seen[ordinal]:
            return False
        seen[ordinal] = True
    return True


@kernel
def _discordance(ranks, i, rank):
    """Kendall term of position i: pivots of the query's permutation that overtake it (spec section 1.2)."""
    smaller = 0
    for h in range(i):
        if ranks[h] < rank:
            smaller += 1
    ranks[i] = rank
    return rank - smaller


@kernel
def collect(nodes, pools, widths, table, fill, n_kendall, low, high, removed, out_keys, out_ordinals):
    """All records with low < key <= high, in tree order, by one depth-first pass with pruning.

    nodes  : (pivot, level, first, skip) arrays of the tree
    pools  : (suffixes, starts, ids) bit pools
    widths : (pivot_bits, id_bits, n records)
    table  : (l, k) float64, contribution of pivot p at position i; keys are summed from position 0 on, so records
             with equal prefixes get equal bits wherever the tree was cut
    fill   : (l + 1,) float64, least that positions v.. can still add (admissible)
    n_kendall : 0 for keys that are sums over `table`; else the number of positions that count, and row 0 of `table`
                holds the query's rank of each pivot
    removed : (n,) bool or empty, by ordinal
    out_keys, out_ordinals : written up to their length
    Returns (records found, records looked at); found may exceed the output's length: then call again with more room.
    """
    pivot, level, first, skip = nodes
    suffixes, starts, ids = pools
    pivot_bits, id_bits, n = widths
    length = table.shape[0]
    pivot_mask = (np.uint64(1) << np.uint64(pivot_bits)) - np.uint64(1)
    id_mask = (np.uint64(1) << np.uint64(id_bits)) - np.uint64(1)
    partial = np.zeros(length + 1)
    ranks = np.zeros(length + 1)
    limit = high + 1e-9 * abs(high)  # the bound is summed in another order than the keys
    capacity = out_keys.size
    n_found = 0
    n_looked = 0
    node = 0
    while node < level.size:
        v = np.int64(level[node] & 127)
        is_leaf = level[node] > 127
        if v > 0:
            if n_kendall == 0:
                partial[v] = partial[v - 1] + table[v - 1, pivot[node]]
            elif v <= n_kendall:
                partial[v] = partial[v - 1] + _discordance(ranks, v - 1, table[0, pivot[node]])
            else:
                partial[v] = partial[v - 1]
        if partial[v] + fill[v] > limit:
            node = node + 1 if is_leaf else int(skip[node])
            continue
        if not is_leaf:
            node += 1
            continue
        stop = first[node + 1] if node + 1 < level.size else n
        bit = np.int64(skip[node]) * pivot_bits
        key = partial[v]
        fits = (length - v) * pivot_bits <= 64
        n_looked += stop - first[node]
        for i in range(first[node], stop):
            if (starts[i >> 6] >> np.uint64(i & 63)) & np.uint64(1):
                key = partial[v]
                if n_kendall > 0:
                    for j in range(v, n_kendall):
                        code = _read_word(suffixes, bit + (j - v) * pivot_bits) & pivot_mask
                        key += _discordance(ranks, j, table[0, code])
                elif fits:
                    codes = _read_word(suffixes, bit)
                    for j in range(v, length):
                        key += table[j, codes & pivot_mask]
                        codes >>= np.uint64(pivot_bits)
                else:
                    for j in range(v, length):
                        key += table[j, _read_word(suffixes, bit + (j - v) * pivot_bits) & pivot_mask]
                bit += (length - v) * pivot_bits
            if low < key <= high:
                ordinal = np.int64(_read_word(ids, i * id_bits) & id_mask)
                if removed.size == 0 or not removed[ordinal]:
                    if n_found < capacity:
                        out_keys[n_found] = key
                        out_ordinals[n_found] = ordinal
                    n_found += 1
        node += 1
    return n_found, n_looked


@kernel
def flat_keys(prefixes, table, n_kendall, out):
    """Keys of uncompressed prefixes (n, l) uint16, summed exactly as in `collect`."""
    n, length = prefixes.shape
    ranks = np.zeros(length + 1)
    for i in range(n):
        key = 0.0
        if n_kendall == 0:
            for j in range(length):
                key += table[j, prefixes[i, j]]
        else:
            for j in range(n_kendall):
                key += _discordance(ranks, j, table[0, prefixes[i, j]])
        out[i] = key


@kernel
def merge_rounds(keys, ordinals, position, stop, exhausted, next_rank, dense, min_hits, n_wanted, hits, found):
    """Rounds of PPPRank (spec section 3.3) over λ sorted lists; returns the number of reported ordinals.

    keys (float64), ordinals (int64) : the lists one behind the other; list j is position[j] .. stop[j] - 1
    position, next_rank : (λ,) int64, advanced: first unread entry, rank of the next group
    exhausted : (λ,) bool, no entry follows list j. A list that merely ends here stops the merge before the first
                round that would need its continuation.
    dense     : ranks count groups; otherwise they count entries
    hits      : (n,) uint8, in how many spaces an ordinal was met
    found : (ordinals, aggregated ranks, hits by the end of that round), written; whole rounds, so up to n
    """
    out, out_rank, out_hits = found
    n_spaces = position.size
    n_out = 0
    while n_out < n_wanted:
        rank = np.int64(2**62)
        for j in range(n_spaces):
            if position[j] < stop[j] or not exhausted[j]:
                rank = min(rank, next_rank[j])
        if rank == 2**62:
            break
        blocked = False
        for j in range(n_spaces):
            if next_rank[j] == rank and position[j] == stop[j] and not exhausted[j]:
                blocked = True
        if blocked:
            break
        n_before = n_out
        for j in range(n_spaces):
            if next_rank[j] != rank or position[j] == stop[j]:
                continue
            begin = position[j]
            i = begin
            while i < stop[j] and keys[i] == keys[begin]:
                ordinal = ordinals[i]
                hits[ordinal] += 1
                if hits[ordinal] == min_hits:
                    out[n_out] = ordinal
                    out_rank[n_out] = rank
                    n_out += 1
                i += 1
            position[j] = i
            next_rank[j] += 1 if dense else i - begin
        for i in range(n_before, n_out):
            out_hits[i] = hits[out[i]]
    return n_out

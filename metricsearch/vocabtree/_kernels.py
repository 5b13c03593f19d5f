"""Jitted loops that read inverted files to count, to measure images, and to score them against a query.

An entry of a file is varint((gap - 1) << 1 | several), then, if several, varint(tf - 2). Where one list or image ends
is known from the starts. Lists are walked in the order of their words, so whatever is summed up per image is summed in
the order of the image's own words: the result does not depend on the images around it.
"""

import numpy as np

from metricsearch.accelerate import kernel


@kernel
def _get_varint(source, at):
    """(value, place behind it) of the varint at source[at]."""
    byte = np.int64(source[at])
    at += 1
    if byte < 128:
        return byte, at
    value = byte & 127
    shift = 7
    while True:
        byte = np.int64(source[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128 or shift == 56:  # 63 bits: damaged bytes must not lead on and on, nor below zero
            return value, at
        shift += 7


@kernel
def _get_entry(source, at):
    """(gap, tf, place behind it) of the entry at source[at]."""
    value, at = _get_varint(source, at)
    tf = np.int64(1)
    if value & 1:
        tf, at = _get_varint(source, at)
        tf += 2
    return (value >> 1) + 1, tf, at


# ---------------------------------------------------------------------- counting


@kernel
def count_images(postings, list_starts, nodes, n_images, block, counts):
    """Add to counts[node] the number of different images of each inner node.

    nodes: (n_inner, n_lists) int32, number of the list's ancestor, all levels numbered on from each other, the level
    next to the leaves first. block: images that are worked on at a time, so that they stay in the cache. counts:
    (n_nodes,) int64.
    """
    n_inner = nodes.shape[0]
    n_lists = list_starts.size - 1
    last = np.full((n_images, n_inner), -1, np.int32)
    cursors = list_starts[:n_lists].copy()
    last_images = np.full(n_lists, -1, np.int64)
    for begin in range(0, n_images, block):
        limit = min(begin + block, n_images)
        for j in range(n_lists):
            at = cursors[j]
            image = last_images[j]
            while at < list_starts[j + 1]:
                gap, _, next_at = _get_entry(postings, at)
                if image + gap >= limit:
                    break
                at = next_at
                image += gap
                for t in range(n_inner):
                    if last[image, t] == nodes[t, j]:
                        break  # the same node here is the same node at all levels above
                    last[image, t] = nodes[t, j]
                    counts[nodes[t, j]] += 1
            cursors[j] = at
            last_images[j] = image


@kernel
def measure_images(postings, list_starts, weights, nodes, node_weights, n_images, l2, root, block, sums):
    """Add to sums (n_images,) float64 the powers of each image's d_i = m_i w_i: |d_i|, or d_i ** 2 with l2.

    weights: (n_lists,) float64, of the leaves. nodes, block: as of `count_images`; node_weights: by node. root:
    sqrt(m_i). Returns the numbers of entries and of descriptors read; -1, -1 where a list does not end at its place,
    so is damaged.
    """
    n_inner = nodes.shape[0]
    n_lists = list_starts.size - 1
    last = np.full((n_images, n_inner), -1, np.int32)
    counts = np.zeros((n_images, n_inner), np.int64)
    cursors = list_starts[:n_lists].copy()
    last_images = np.full(n_lists, -1, np.int64)
    n_entries = 0
    n_descriptors = np.int64(0)
    for begin in range(0, n_images, block):
        limit = min(begin + block, n_images)
        for j in range(n_lists):
            at = cursors[j]
            image = last_images[j]
            weight = abs(weights[j])
            while at < list_starts[j + 1]:
                gap, tf, next_at = _get_entry(postings, at)
                if image + gap >= limit:
                    break
                at = next_at
                image += gap
                n_entries += 1
                n_descriptors += tf
                value = weight * (np.sqrt(np.float64(tf)) if root else np.float64(tf))
                sums[image] += value * value if l2 else value
                for t in range(n_inner):
                    if last[image, t] == nodes[t, j]:
                        counts[image, t] += tf
                        continue
                    if last[image, t] >= 0:
                        count = np.float64(counts[image, t])
                        value = abs(node_weights[last[image, t]]) * (np.sqrt(count) if root else count)
                        sums[image] += value * value if l2 else value
                    last[image, t] = nodes[t, j]
                    counts[image, t] = tf
            cursors[j] = at
            last_images[j] = image
        for i in range(begin, limit):
            for t in range(n_inner):
                if last[i, t] >= 0:
                    count = np.float64(counts[i, t])
                    value = abs(node_weights[last[i, t]]) * (np.sqrt(count) if root else count)
                    sums[i] += value * value if l2 else value
    for j in range(n_lists):
        if cursors[j] != list_starts[j + 1]:
            return -1, np.int64(-1)
    return n_entries, n_descriptors


# ---------------------------------------------------------------------- searching


@kernel
def lists_of_ranges(leaves, directory, shift, lows, highs, firsts, ends):
    """Lists firsts[i]:ends[i] of the words lows[i] <= word < highs[i], all int64.

    directory: (n,) int64, directory[b]: first list whose word >> shift is b or more; so a search stays near.
    """
    for i in range(lows.size):
        for side in range(2):
            word = highs[i] if side else lows[i]
            bucket = min(word >> shift, directory.size - 1)
            low = directory[bucket]
            high = directory[min(bucket + 1, directory.size - 1)]
            while low < high:
                middle = (low + high) >> 1
                if np.int64(leaves[middle]) < word:
                    low = middle + 1
                else:
                    high = middle
            if side:
                ends[i] = low
            else:
                firsts[i] = low


@kernel
def _part(q, d, l2):
    """What one common node adds: min(|q|, |d|) of numbers of one sign (L1), or their product (L2)."""
    if l2:
        return q * d
    if (q < 0) != (d < 0):
        return 0.0
    return min(abs(q), abs(d))


@kernel
def plan_lists(leaves, firsts, ends, powers, level_starts, nodes, lists, places):
    """Which lists of a segment the query needs; returns their number n and fills lists[:n] and places[:n].

    firsts, ends: ranges of lists, ascending. powers: (n_levels,) int64, leaves below a node: 1, then of the level
    above, ... level_starts: (n_levels + 1,) int64; nodes[level_starts[t]:level_starts[t + 1]]: the query's nodes of
    that level, ascending, int64. lists: (.,) int64. places: (., n_levels) int32, for each level where the list's node
    is in `nodes`; -1: it is not.
    """
    n_levels = powers.size
    at_node = level_starts[:n_levels].copy()
    n = 0
    for r in range(firsts.size):
        for j in range(firsts[r], ends[r]):
            word = np.int64(leaves[j])
            needed = False
            for t in range(n_levels):
                node = word // powers[t] if t else word
                p = at_node[t]
                while p < level_starts[t + 1] and nodes[p] < node:
                    p += 1
                at_node[t] = p
                places[n, t] = -1
                if p < level_starts[t + 1] and nodes[p] == node:
                    places[n, t] = p
                    needed = True
            if needed:
                lists[n] = j
                n += 1
    return n


@kernel
def walk_lists(postings, list_starts, lists, places, q, w, l2, root, rows, first, end, touched, block):
    """Add up what images have in common with the query.

    lists, places: of `plan_lists`. q, w: (n_nodes,) float64, q_i of the unit query and weights w_i of the database.
    rows: (all images, 2 n_levels) float64: sum, 1 / norm, then for each inner level the place + 1 of the query's node
    that was touched last, and m_i so far ("last touched node", NS06 §4). Those of the segment are rows first..end - 1.
    touched: uint8, one for 64 rows. block: rows that are worked on at a time, so that they stay in the cache.
    """
    n_inner = places.shape[1] - 1
    n = lists.size
    cursors = np.empty(n, np.int64)
    last_rows = np.full(n, first - 1, np.int64)
    for i in range(n):
        cursors[i] = list_starts[lists[i]]
    for begin in range(first, end, block):
        limit = min(begin + block, end)
        for i in range(n):
            at = cursors[i]
            stop = list_starts[lists[i] + 1]
            row = last_rows[i]
            leaf = places[i, 0]
            q_leaf = q[leaf] if leaf >= 0 else 0.0
            w_leaf = w[leaf] if leaf >= 0 else 0.0
            while at < stop:
                value = np.int64(postings[at])
                next_at = at + 1
                if value >= 128:
                    byte = np.int64(postings[next_at])
                    next_at += 1
                    value = (value & 127) | (byte & 127) << 7
                    shift = 14
                    while byte >= 128 and shift < 63:
                        byte = np.int64(postings[next_at])
                        next_at += 1
                        value |= (byte & 127) << shift
                        shift += 7
                next_row = row + (value >> 1) + 1
                if next_row >= limit:
                    break
                row = next_row
                at = next_at
                tf = np.int64(1)
                d = w_leaf
                if value & 1:
                    tf, at = _get_varint(postings, at)
                    tf += 2
                    d = w_leaf * (np.sqrt(np.float64(tf)) if root else np.float64(tf))
                touched[row >> 6] = 1
                inverse = rows[row, 1]
                if l2:
                    rows[row, 0] += q_leaf * (d * inverse)
                else:  # weights of leaves are never below zero
                    rows[row, 0] += min(q_leaf, d * inverse)
                for t in range(1, n_inner + 1):
                    place = places[i, t]
                    if place < 0:
                        continue
                    c = 2 * t
                    if rows[row, c] == place + 1:
                        rows[row, c + 1] += tf
                        continue
                    if rows[row, c] > 0:
                        p = np.int64(rows[row, c]) - 1
                        count = rows[row, c + 1]
                        rows[row, 0] += _part(q[p], (np.sqrt(count) if root else count) * w[p] * inverse, l2)
                    rows[row, c] = place + 1
                    rows[row, c + 1] = tf
            cursors[i] = at
            last_rows[i] = row


@kernel
def _is_worse(score, image_id, other, other_id):
    return score > other or (score == other and image_id > other_id)


@kernel
def take_best(rows, touched, image_ids, q, w, l2, root, scale, least, scores, ids):
    """The best images of the touched ones, in no order: (how many, images that share a node); clears rows and touched.

    q, w: as of `walk_lists`. The score is scale * (1 - sum), at least `least`, with l2 its root. scores, ids: (k,)
    float64, int64, a heap with the worst on top, k >= 1. Rows with 1 / norm = 0 (removed, or
    nothing to compare) are never taken.
    """
    k = scores.size
    n = 0
    n_sharing = 0
    bound = -np.inf  # sums below it are surely too small
    for block in range(touched.size):
        if not touched[block]:
            continue
        touched[block] = 0
        for row in range(64 * block, min(64 * block + 64, rows.shape[0])):
            total = rows[row, 0]
            sharing = total != 0
            rows[row, 0] = 0.0
            inverse = rows[row, 1]
            for c in range(2, rows.shape[1], 2):
                if rows[row, c] > 0:
                    sharing = True
                    p = np.int64(rows[row, c]) - 1
                    count = rows[row, c + 1]
                    total += _part(q[p], (np.sqrt(count) if root else count) * w[p] * inverse, l2)
                    rows[row, c] = 0.0
            if not sharing or inverse == 0:
                continue
            n_sharing += 1
            if total < bound:
                continue
            score = max(scale * (1 - total), least)
            if l2:
                score = np.sqrt(score)
            image_id = image_ids[row]
            if n == k:
                if not _is_worse(scores[0], ids[0], score, image_id):
                    continue
                # The new one takes the place of the worst and sinks to where it belongs.
                place = 0
                while 2 * place + 1 < k:
                    child = 2 * place + 1
                    if child + 1 < k and _is_worse(scores[child + 1], ids[child + 1], scores[child], ids[child]):
                        child += 1
                    if not _is_worse(scores[child], ids[child], score, image_id):
                        break
                    scores[place] = scores[child]
                    ids[place] = ids[child]
                    place = child
            else:
                place = n
                n += 1
                while place and _is_worse(score, image_id, scores[(place - 1) // 2], ids[(place - 1) // 2]):
                    scores[place] = scores[(place - 1) // 2]
                    ids[place] = ids[(place - 1) // 2]
                    place = (place - 1) // 2
            scores[place] = score
            ids[place] = image_id
            if n == k:
                worst = scores[0] * scores[0] if l2 else scores[0]
                bound = 1 - worst / scale - 1e-14  # different sums may round to one score
    return n, n_sharing

"""Jitted loops of Hamming embedding: signatures, and the votes of matching ones.

An entry of a file is varint((gap - 1) << 1 | several), then, if several, varint(tf - 2). Where one list or image ends
is known from the starts.
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


# ---------------------------------------------------------------------- voting


@kernel
def walk_signatures(
    postings,
    list_starts,
    signatures,
    signature_starts,
    lists,
    query,
    weights,
    similarity,
    threshold,
    rows,
    base,
    touched,
):
    """Votes of Hamming embedding for the images of one segment; returns (lists, entries) walked.

    lists: (n,) int64, list of each query feature, -1: none. query: (n,) uint64. weights: (n,) float64. similarity:
    (65,) float64, by Hamming distance. rows, base, touched: as of `walk_lists`; rows[., 1]: 1 / root of the image's
    self-similarity.
    """
    n_lists = 0
    n_entries = 0
    for i in range(lists.size):
        j = lists[i]
        if j < 0 or weights[i] == 0:
            continue
        n_lists += 1
        at = list_starts[j]
        end = list_starts[j + 1]
        taken = signature_starts[j]
        row = base - 1
        while at < end:
            gap, tf, at = _get_entry(postings, at)
            row += gap
            n_entries += 1
            votes = 0.0
            n_votes = 0
            for s in range(taken, taken + tf):
                x = signatures[s] ^ query[i]
                x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
                x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
                x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                distance = np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))
                if distance <= threshold:
                    n_votes += 1
                    votes += similarity[distance]
            taken += tf
            if n_votes:
                touched[row >> 6] = 1
                rows[row, 0] += votes / np.sqrt(np.float64(n_votes)) * weights[i] * rows[row, 1]
    return n_lists, n_entries


# ---------------------------------------------------------------------- signatures


@kernel
def project(descriptors, projection, out):
    """out (n, 64) float32 = descriptors (n, d) float32 times projection (d, 64) float32, summed in order of d.

    No matrix product: that one may round differently with the number of rows.
    """
    for i in range(descriptors.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
        for c in range(descriptors.shape[1]):
            x = descriptors[i, c]
            for j in range(out.shape[1]):
                out[i, j] += x * projection[c, j]


@kernel
def pack_signs(values, medians, places, out):
    """out (n,) uint64: bit j says whether values[i, j] > medians[places[i], j]."""
    for i in range(values.shape[0]):
        bits = np.uint64(0)
        for j in range(values.shape[1]):
            if values[i, j] > medians[places[i], j]:
                bits |= np.uint64(1) << np.uint64(j)
        out[i] = bits


@kernel
def group_medians(values, order, starts, out):
    """out (n_groups, 64) float32: medians of the columns of values[order[starts[g]:starts[g + 1]]]."""
    for g in range(starts.size - 1):
        n = starts[g + 1] - starts[g]
        column = np.empty(n, np.float32)
        for j in range(values.shape[1]):
            for i in range(n):
                column[i] = values[order[starts[g] + i], j]
            ascending = np.sort(column)
            out[g, j] = (ascending[(n - 1) // 2] + ascending[n // 2]) / np.float32(2)

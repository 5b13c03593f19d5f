"""Jitted loops of the data sets."""

import numpy as np

from metricsearch.accelerate import kernel

# Step and finaliser of SplitMix64 (Steele, Lea, Flood 2014). Typed: numba adds uint64 and int as floats.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


@kernel
def draw_bags(key, first, pair_counts, pool_words, pool_tfs, starts, words):
    """Write the words of synthetic images first, first + 1, ... with repetition; return how many there are.

    key         : uint64, everything depends on it
    first       : int, number of the first image
    pair_counts : (n_real,) int64, different words of each real image
    pool_words  : (n_pool,) uint32 and pool_tfs (n_pool,) uint32, all (word, tf) of the real images; n_pool < 2**32
    starts      : (n + 1,) int64, filled: where the words of an image begin
    words       : (capacity,) uint32, filled as far as it goes; with none of them the call only counts
    """
    n_real, n_pool = np.uint64(pair_counts.size), np.uint64(pool_words.size)
    filled = 0
    for i in range(starts.size - 1):
        starts[i] = filled
        state = key + np.uint64(first + i) * _STEP
        state = (state ^ (state >> _SHIFT_30)) * _FACTOR_1
        state = (state ^ (state >> _SHIFT_27)) * _FACTOR_2
        state = state ^ (state >> _SHIFT_31)
        n_pairs = pair_counts[((state >> _SHIFT_32) * n_real) >> _SHIFT_32]
        for _ in range(n_pairs):
            state += _STEP
            r = (state ^ (state >> _SHIFT_30)) * _FACTOR_1
            r = (r ^ (r >> _SHIFT_27)) * _FACTOR_2
            r = r ^ (r >> _SHIFT_31)
            pair = ((r >> _SHIFT_32) * n_pool) >> _SHIFT_32
            tf = int(pool_tfs[pair])
            if words.size:
                for place in range(filled, filled + tf):
                    words[place] = pool_words[pair]
            filled += tf
    starts[starts.size - 1] = filled
    return filled

"""How a budget of memory is shared between prefixes and sketch.

What the measurements say (paper_results.md, "Fewer candidates at equal memory"): a sketch orders candidates so much
better than prefixes do that prefixes only have to lead to them. So there is one space, with as many pivots as the
objects allow, since the sketch uses the same pivots and gets better with each; a prefix of two pivots; and all other
bytes are the sketch's. Only where no useful sketch fits are there prefixes alone, as the paper has them.
"""

from typing import Any

import numpy as np

from metricsearch.errors import InvalidInputError
from metricsearch.ppp.content import sample_size
from metricsearch.ppp.tree import LEAF_BITS, ordinal_bits, pivot_bits
from metricsearch.sketches import MAX_BYTES
from metricsearch.validation import check_positive

# (objects at least, pivots, prefix length), the first that fits; a pivot for 8 objects costs 1.4 bytes each
_ONE_SPACE = ((8192, 1024, 2), (4096, 512, 2), (2048, 256, 2), (1024, 128, 2), (512, 64, 2), (0, 16, 1))
_LEAST_SKETCH = 8  # set, not measured: below it prefixes get all bytes
_PREFIXES_ALONE = ((4, 256, 8), (4, 256, 6), (2, 256, 8), (2, 256, 5), (1, 256, 8), (1, 256, 4), (1, 64, 2))


def most_prefix_bytes(n: int, n_spaces: int, n_pivots: int, prefix_length: int) -> float:
    """Upper bound of the bytes per object of prefixes, directory, ordinals and sample, of objects with IDs 0 .. n - 1.

    All suffixes different, every pivot a leaf of level 1; what leaves below it cost, they save (spec section 2.4).
    """
    leaves = min(n_pivots, n) + 1
    words = 4 * 2 * 64  # spare words of the bit pools, see tree.py
    bits = n * (1 + ordinal_bits(n) + (prefix_length - 1) * pivot_bits(n_pivots)) + leaves * LEAF_BITS + words
    return n_spaces * (bits / 8 + 2 * prefix_length * sample_size(n)) / n


def split_budget(bytes_per_object: float, n: int) -> dict[str, Any]:
    """Parameters of `PPPCodes` (λ, k, l and the sketch) for n objects with IDs 0 .. n - 1.

    Raises InvalidInputError for a budget that holds no index at all.
    """
    is_number = isinstance(bytes_per_object, int | float | np.number) and not isinstance(bytes_per_object, bool)
    if not is_number or not bytes_per_object > 0:
        raise InvalidInputError(f"bytes_per_object: expected a number > 0, got {bytes_per_object!r}")
    check_positive(n, "n")
    k, length = next((k, length) for least, k, length in _ONE_SPACE if n >= least)
    # k pivots give at most k coordinates: a byte for each, and one for the altitude.
    n_left = int(min(bytes_per_object - most_prefix_bytes(n, 1, k, length), MAX_BYTES, k + 1))
    if n_left >= _LEAST_SKETCH and k < n:
        return {"n_spaces": 1, "n_pivots": k, "prefix_length": length, "sketch": "product", "sketch_bytes": n_left}
    for n_spaces, k, length in (*_PREFIXES_ALONE, (1, min(16, n), 1)):
        if n_spaces * k <= n and most_prefix_bytes(n, n_spaces, k, length) <= bytes_per_object:
            return {"n_spaces": n_spaces, "n_pivots": k, "prefix_length": length}
    least = most_prefix_bytes(n, 1, min(16, n), 1)
    raise InvalidInputError(
        f"bytes_per_object: {n:,} objects need at least {least:.1f}, got {bytes_per_object}; raise the budget"
    )

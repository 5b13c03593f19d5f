"""Metrics of bit strings, sets and strings: Hamming, Jaccard, Levenshtein."""

import numpy as np
from numpy.typing import NDArray

from metricsearch.spaces import _kernels
from metricsearch.spaces.batches import Batch, dense_view, kernel_view, ragged_view
from metricsearch.spaces.metric import Metric, check_pair
from metricsearch.spaces.objects import BITS, SETS, STRINGS

_WORD_BITS = 64


class Hamming(Metric):
    """Number of bits that differ."""

    name = "hamming"
    kind = BITS

    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """See `Metric.distances`."""
        check_pair(self.kind, query, objects)
        q, x = dense_view(query, np.uint8), dense_view(objects, np.uint8)
        if q.shape[1] % 8 == 0:  # whole machine words; two compiled forms of the kernel
            q, x = kernel_view(q.view(np.uint64), np.uint64), kernel_view(x.view(np.uint64), np.uint64)
        out = np.empty(len(x))
        _kernels.hamming(q[0], x, out)
        return out


class Jaccard(Metric):
    """1 - |A & B| / |A | B|, 0 for two empty sets. A metric: M. Levandowsky, D. Winter, Nature 234, 1971."""

    name = "jaccard"
    kind = SETS

    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """See `Metric.distances`."""
        check_pair(self.kind, query, objects)
        out = np.empty(len(objects))
        _kernels.jaccard(ragged_view(query, np.int64)[0], *ragged_view(objects, np.int64), out)
        return out


class Levenshtein(Metric):
    """Least number of insertions, deletions and substitutions of code points that turn one string into the other."""

    name = "levenshtein"
    kind = STRINGS

    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """See `Metric.distances`. Queries of up to 64 code points are about m times as fast as longer ones."""
        check_pair(self.kind, query, objects)
        symbols = ragged_view(query, np.uint32)[0]
        values, offsets = ragged_view(objects, np.uint32)
        out = np.empty(len(objects))
        if symbols.size == 0:
            out[:] = np.diff(offsets)
        elif symbols.size <= _WORD_BITS:
            keys, masks = np.zeros(256, dtype=np.uint32), np.zeros(256, dtype=np.uint64)
            _kernels.levenshtein_bits(symbols, values, offsets, keys, masks, out)
        else:
            _kernels.levenshtein_rows(symbols, values, offsets, np.empty(symbols.size + 1, dtype=np.int64), out)
        return out

"""Inverted lists of ordinals, compressed: what MI-File and NAPP read."""

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines import _kernels
from metricsearch.baselines.permutations import smallest

_UNSEEN = 2**32 - 1


class PostingLists:
    """Lists of ascending ordinals 0..n-1; the gaps between them in Rice code, all lists end to end in one array.

    A gap g is floor(g / 2^b) zeros, a one, and the b low bits of g. Each list has the b that is best for gaps of its
    mean length, were they geometric (A. Kiely, IPN Progress Report 42-159, 2004).
    members: (n, m) unsigned; row i names the m different lists, below n_lists, that ordinal i is in.
    """

    def __init__(self, members: NDArray[np.unsignedinteger], n_lists: int) -> None:
        self._n = len(members)
        counts, last, n_bits = (np.empty(n_lists, dtype=np.int64) for _ in range(3))
        _kernels.measure_lists(members, counts, last)
        self._widths = _remainder_widths((last + 1 - counts) / np.maximum(counts, 1))
        _kernels.measure_codes(members, self._widths, last, n_bits)
        self._starts = np.concatenate([[0], np.cumsum(n_bits)])
        self._words = np.zeros(int(self._starts[-1]) // 64 + 2, dtype=np.uint64)  # a spare one for reads across the end
        _kernels.write_codes(members, self._widths, last, self._starts[:-1].copy(), self._words)

    def best(
        self, numbers: NDArray[np.int64], amounts: NDArray[np.int64], first: int, n: int, highest: int = _UNSEEN - 1
    ) -> tuple[NDArray[np.int64], int]:
        """The n ordinals of least score among those in the lists `numbers`, and how many postings were read.

        An ordinal's score is `first` plus the amounts (m,) of those of the lists `numbers` (m,) that hold it; it must
        lie in 0..2^32 - 2 after every list. Ordinals of a score above `highest` are left out. Ties by ordinal.
        """
        scores = np.full(self._n, _UNSEEN, dtype=np.uint32)
        n_read = _kernels.add_postings(
            self._words, self._starts, self._widths, numbers, amounts, first, _UNSEEN, scores
        )
        found = np.flatnonzero(scores <= highest)
        return found[smallest(scores[found], n)], n_read

    def memory_report(self) -> dict[str, int]:
        """Bytes of all arrays; those of "list offsets" do not grow with n."""
        return {"postings": self._words.nbytes, "list offsets": self._starts.nbytes + self._widths.nbytes}


def _remainder_widths(mean_gaps: NDArray[np.float64]) -> NDArray[np.uint8]:
    """b of every list: 1 + floor(log2(log(φ - 1) / log(mean / (mean + 1)))), φ the golden ratio, and at least 0."""
    golden = (1 + np.sqrt(5)) / 2
    with np.errstate(divide="ignore"):  # a mean gap of 0 gives b = 0
        best = 1 + np.floor(np.log2(np.log(golden - 1) / np.log(mean_gaps / (mean_gaps + 1))))
    widths: NDArray[np.uint8] = np.maximum(best, 0).astype(np.uint8)
    return widths

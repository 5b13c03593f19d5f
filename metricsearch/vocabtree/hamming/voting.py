"""Votes of Hamming embedding; see `hamming` for the rules."""

import time

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.vocabtree._kernels import lists_of_ranges
from metricsearch.vocabtree.hamming._kernels import walk_signatures
from metricsearch.vocabtree.results import TreeSearchResult
from metricsearch.vocabtree.scorer import Scorer, best_images, directory_of, packed_result
from metricsearch.vocabtree.scoring_options import SIGNATURE_BITS

SIGMA = 16.0


def search_signatures(
    scorer: Scorer,
    words: NDArray[np.uint32],
    signatures: NDArray[np.uint64],
    k: int,
    threshold: int,
    quantise_ms: float,
) -> TreeSearchResult:
    """The k best images for query features with words (n,) and signatures (n,).

    Scores are 1 - similarity, so that smaller is better; below 0 where an image repeats a word more often than it is
    like itself. Ties by ID.
    """
    begin = time.perf_counter()
    order = np.argsort(words, kind="stable")
    words, signatures = words[order], signatures[order]
    w_query, w_database = scorer.weights_of(words)
    self_similarity = np.sqrt((w_query * w_query).sum())
    weights = w_query * w_database / self_similarity if self_similarity > 0 else np.zeros(len(words))
    similarity = np.exp(-(np.arange(SIGNATURE_BITS + 1.0) ** 2) / SIGMA**2)
    lows = words.astype(np.int64)
    n_lists = n_entries = 0
    with scorer.working_memory() as (rows, touched):
        for i, segment in enumerate(scorer.state.segments):
            if segment.signatures is None:
                raise CorruptedError("segments: without signatures; build the tree again")
            firsts, ends = np.empty_like(lows), np.empty_like(lows)
            directory = directory_of(segment, scorer.state.n_words)
            lists_of_ranges(segment.leaves, *directory, lows, lows + 1, firsts, ends)
            walked = walk_signatures(
                segment.postings,
                segment.list_starts,
                segment.signatures,
                segment.signature_starts(),
                np.where(ends > firsts, firsts, -1),
                signatures,
                weights,
                similarity,
                threshold,
                rows,
                scorer.bases[i],
                touched,
            )
            n_lists, n_entries = n_lists + walked[0], n_entries + walked[1]
        none = np.empty(0)
        ids, scores, n_sharing = best_images(rows, touched, scorer.image_ids, k, none, none, False, False, 1.0, -np.inf)
    return packed_result(ids, scores, len(np.unique(words)), (n_lists, n_entries, n_sharing), quantise_ms, begin)

"""From what a user asks to the scorer that answers: options, words of the query, scorers that are kept."""

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, MissingIndexError
from metricsearch.validation import check_choice, check_integer, check_positive
from metricsearch.vocabtree.counts import AnyStatistics, KeptStatistics, Statistics
from metricsearch.vocabtree.hamming.voting import search_signatures
from metricsearch.vocabtree.results import TreeSearchResult
from metricsearch.vocabtree.scorer import Scorer
from metricsearch.vocabtree.scoring_options import NORMS, Scoring
from metricsearch.vocabtree.state import Counts, TreeState

KEPT_SCORERS = 4


class ScorerCache:
    """The scorers used last, and the statistics they are made from; made anew when images or weights have changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scorers: dict[Scoring, Scorer] = {}
        self._made_for: TreeState | Counts | None = None
        self._statistics: AnyStatistics | None = None

    def get(self, state: TreeState, scoring: Scoring) -> Scorer:
        """The scorer of this state. Raises InvalidInputError."""
        with self._lock:
            scorer = self._scorers.pop(scoring, None)
            if scorer is None or scorer.state is not state:
                scorer = Scorer(state, scoring, self._statistics_of(state), scorer)
            self._scorers[scoring] = scorer  # the one used last comes last
            while len(self._scorers) > KEPT_SCORERS:
                del self._scorers[next(iter(self._scorers))]
            return scorer

    def statistics(self, state: TreeState) -> AnyStatistics:
        """N and N_i that weights come from."""
        with self._lock:
            return self._statistics_of(state)

    def _statistics_of(self, state: TreeState) -> AnyStatistics:
        counts = state.weights.counts
        made_for = state if counts is None else counts  # kept counts outlive changes of the images
        if self._statistics is None or self._made_for is not made_for:
            self._made_for = made_for
            self._scorers.clear()  # made from other counts: of no more use, and they keep older segments alive
            self._statistics = (
                Statistics(state.segments, state.removed, state.branching, state.depth)
                if counts is None
                else KeptStatistics(counts)
            )
        return self._statistics

    @property
    def n_bytes(self) -> int:
        """Bytes of all scorers."""
        with self._lock:
            return sum(scorer.n_bytes for scorer in self._scorers.values())


def resolve_scoring(norm: str | None, scoring: Scoring | None, state: TreeState) -> Scoring:
    """The options of a query. Raises InvalidInputError."""
    if scoring is not None and not isinstance(scoring, Scoring):
        raise InvalidInputError(f"scoring: expected Scoring(...), got {scoring!r:.60}")
    if norm is not None:
        check_choice(norm, "norm", NORMS)
        if scoring is not None and scoring.norm != norm:
            raise InvalidInputError(f"norm: {norm}, but scoring has norm {scoring.norm}; give one of them")
    options = scoring or Scoring(norm=norm or "l1")
    options.check_levels(state.depth)
    if options.hamming_threshold is not None and state.hamming is None:
        raise InvalidInputError("hamming_threshold: the tree has no signatures; make it with hamming=True and call fit")
    return options


def search_words(scorer: Scorer, words: NDArray[np.uint32], k: int) -> TreeSearchResult:
    """Search for checked words with repetition. Raises InvalidInputError with Hamming embedding."""
    if scorer.scoring.hamming_threshold is not None:
        raise InvalidInputError("hamming_threshold: signatures are made from descriptors; call search")
    different, counts = np.unique(words, return_counts=True)
    return scorer.search(different, counts.astype(np.float64), k)


def search_descriptors(
    scorer: Scorer, descriptors: Any, k: int, n_assignments: int, n_checks: int | None
) -> TreeSearchResult:
    """Search for descriptors, each in its `n_assignments` nearest leaves; see `VocabularyTree.search`.

    Raises InvalidInputError, MissingIndexError.
    """
    check_positive(n_assignments, "n_assignments")
    if n_checks is not None:
        check_integer(n_checks, "n_checks", n_assignments)
    state, threshold = scorer.state, scorer.scoring.hamming_threshold
    if state.vocabulary is None:
        raise MissingIndexError("vocabulary: not trained yet; call fit, or search for words with search_words")
    checked = state.vocabulary.check_descriptors(descriptors, "descriptors")
    begin = time.perf_counter()
    shares = None
    if n_assignments == 1 and n_checks in (None, 1):
        words = state.vocabulary.quantize(checked, 1)
    else:
        table, distances = state.vocabulary.quantize_soft(checked, n_assignments, 1, n_checks=n_checks)
        words, shares = table.ravel(), soft_shares(distances).ravel()
    if threshold is not None and state.hamming is not None:
        repeated = np.repeat(checked, len(words) // max(len(checked), 1), axis=0) if shares is not None else checked
        signatures = state.hamming.signatures(repeated, words)
        return search_signatures(scorer, words, signatures, k, threshold, 1e3 * (time.perf_counter() - begin))
    different, place = np.unique(words, return_inverse=True)
    counts = np.bincount(place, weights=shares, minlength=len(different)).astype(np.float64)
    used = counts > 0  # shares may be too small for a float64
    return scorer.search(different[used], counts[used], k, 1e3 * (time.perf_counter() - begin))


def soft_shares(distances: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(n, r) float64, how much of each descriptor counts for each of its leaves; sums to 1 (spec §3.3).

    exp(-d^2 / (2 sigma^2)) with sigma^2 half the mean squared distance of the descriptors to their nearest leaf, so
    that nothing depends on the unit of the descriptors. distances: (n, r), ascending.
    """
    squared = distances.astype(np.float64) ** 2
    scale = squared[:, :1].mean() if len(squared) else 0.0
    above = squared - squared[:, :1]
    raw = np.exp(-above / scale) if scale > 0 else (above == 0).astype(np.float64)
    shares: NDArray[np.float64] = raw / raw.sum(axis=1, keepdims=True)
    return shares

"""Weights w_i of the nodes of a level (NS06 §4, formula (4); spec §1.5), stop-lists and blocked lists included."""

import numpy as np
from numpy.typing import NDArray

from metricsearch.vocabtree.counts import AnyStatistics, LevelCounts
from metricsearch.vocabtree.scoring_options import Scoring

Floats = NDArray[np.float64]


class LevelWeights:
    """Weights of one level for one scoring.

    w_i = ln(N / N_i) or ln(N_parent / N_i); N, N_parent and N_i of 0 count as 1 (A2). A node that is stopped, blocked,
    or unseen and dropped has weight 0 for queries and images; any other one has weight 1 on a side without entropy.
    """

    def __init__(self, statistics: AnyStatistics, scoring: Scoring, level: int, branching: int) -> None:
        self._scoring, self._branching = scoring, branching
        exact = scoring.exact_frequency and scoring.frequency == "image"
        counts = statistics.level(level, exact)
        frequencies = _frequencies(counts, scoring)
        self._nodes = counts.nodes
        self._used = ~_stopped(frequencies, scoring)
        if scoring.max_list_length is not None:
            self._used &= counts.list_lengths <= scoring.max_list_length
        self._total = max(statistics.n_descriptors if scoring.frequency == "word" else statistics.n_images, 1)
        self._parents: tuple[NDArray[np.uint32], NDArray[np.int64]] | None = None
        if scoring.relative_to == "parent" and level > 1:
            above = statistics.level(level - 1, exact)
            self._parents = above.nodes, _frequencies(above, scoring)
        self._weights = self._reference(self._nodes) - np.log(frequencies)

    def _reference(self, nodes: NDArray[np.uint32]) -> Floats:
        """ln of N or N_parent of each node."""
        if self._parents is None:
            return np.full(len(nodes), np.log(self._total))
        above, frequencies = self._parents
        place, seen = _places(above, nodes // np.uint32(self._branching))
        return np.log(np.where(seen, frequencies[place], 1)) if len(above) else np.zeros(len(nodes))

    def of(self, nodes: NDArray[np.uint32]) -> tuple[Floats, Floats]:
        """(n,) float64 weights of nodes in a query, and in images of the database."""
        place, seen = _places(self._nodes, nodes)
        if len(self._nodes):
            weights, used = self._weights[place], self._used[place]
        else:
            weights, used = np.zeros(len(nodes)), np.zeros(len(nodes), dtype=bool)
        unseen = ~seen
        if unseen.any():
            weights[unseen] = self._reference(nodes[unseen])
            used[unseen] = not self._scoring.drop_unseen
        scoring = self._scoring
        return (
            np.where(used, weights if scoring.entropy_query else 1.0, 0.0),
            np.where(used, weights if scoring.entropy_database else 1.0, 0.0),
        )

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays that are its own."""
        return self._used.nbytes + self._weights.nbytes


def _frequencies(counts: LevelCounts, scoring: Scoring) -> NDArray[np.int64]:
    if scoring.frequency == "word":
        return counts.occurrences
    if scoring.exact_frequency and counts.n_images is not None:
        return counts.n_images
    return counts.list_lengths


def _stopped(frequencies: NDArray[np.int64], scoring: Scoring) -> NDArray[np.bool_]:
    """Which of the occurring nodes are on a stop-list; ties by node number."""
    stopped = np.zeros(len(frequencies), dtype=bool)
    for share, keys in ((scoring.stop_most, -frequencies), (scoring.stop_least, frequencies)):
        n = int(np.floor(len(frequencies) * share / 100))
        if n:
            stopped[np.argsort(keys, kind="stable")[:n]] = True
    return stopped


def _places(nodes: NDArray[np.uint32], wanted: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(place of each wanted node in the ascending `nodes`, whether it is there)."""
    place = np.searchsorted(nodes, wanted)
    if not len(nodes):
        return place, np.zeros(len(wanted), dtype=bool)
    place = np.minimum(place, len(nodes) - 1)
    return place, nodes[place] == wanted

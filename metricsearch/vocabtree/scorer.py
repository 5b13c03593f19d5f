"""Scoring of a query against all images (NS06 §4; spec §1.5, §1.6), prepared for many queries.

For unit vectors formula (3) is 2 - 2 * sum of min(q_i, d_i) (L1; min of absolute values, where signs agree) and the
root of 2 - 2 * sum of q_i d_i (L2), so that only lists of the query's nodes are read. Lists of inner nodes are virtual:
those of the leaves below.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.vocabtree._kernels import lists_of_ranges, measure_images, plan_lists, take_best, walk_lists
from metricsearch.vocabtree.building import offsets_of
from metricsearch.vocabtree.counts import CACHED_ROWS, AnyStatistics, node_numbers
from metricsearch.vocabtree.results import TreeSearchResult, TreeSearchStats
from metricsearch.vocabtree.scoring_options import Scoring
from metricsearch.vocabtree.segment import Segment
from metricsearch.vocabtree.state import TreeState
from metricsearch.vocabtree.weights import LevelWeights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BLOCK = 64  # rows that share a mark
_DIRECTORY_SHARE = 8  # lists per entry of a directory, about
_NEAR = 0.01  # L2 scores below it lose digits in 2 - 2 * sum and are computed literally
_NEAR_SLACK = 1e-12  # of squared scores


@dataclass(frozen=True, slots=True, eq=False)
class QueryVector:
    """A query on all used levels, the leaves first, ready for `walk_lists`: nodes with q_i and w_i different from 0.

    level_starts: (levels + 1,). nodes: int64, ascending on each level. q: q_i of the unit vector. w: of the database.
    """

    level_starts: Ints
    nodes: Ints
    q: Floats
    w: Floats


class Scorer:
    """Scores queries against one state of a tree by one `Scoring`. For use by several threads at once.

    Weights and the norms of images are computed here; those of `previous` are used again, where its statistics are the
    same. statistics: N and N_i. bases: (n_segments + 1,) int64, first row of each segment's images in `image_ids`.
    """

    def __init__(
        self, state: TreeState, scoring: Scoring, statistics: AnyStatistics, previous: "Scorer | None" = None
    ) -> None:
        scoring.check_levels(state.depth)
        self.scoring = scoring
        self.statistics = statistics
        self.state = state
        self._powers = np.array([state.branching**t for t in range(scoring.levels)], dtype=np.int64)
        if previous is not None and previous.statistics is statistics:
            self._levels: list[LevelWeights] = previous._levels
            known: dict[int, Floats] = previous._inverses
        else:
            levels = range(state.depth, state.depth - scoring.levels, -1)
            self._levels = [LevelWeights(statistics, scoring, level, state.branching) for level in levels]
            known = {}
        self._inverses: dict[int, Floats] = {
            s.uid: known[s.uid] if s.uid in known else self._inverse_norms(s) for s in state.segments if s.n_images
        }
        self.bases = offsets_of([s.n_images for s in state.segments])
        self.image_ids = np.concatenate([np.empty(0, np.int64), *(s.image_ids for s in state.segments)])
        self._free: list[tuple[Floats, NDArray[np.uint8]]] = []  # working memory of searches that are done
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ preparing

    def _inverse_norms(self, segment: Segment) -> Floats:
        """(n_images,) float64, 1 / |d|; 0 for images with nothing to compare. Removed images have theirs too.

        For Hamming embedding, 1 / root of the self-similarity instead, the sum of w_i^2 over an image's descriptors.
        """
        scoring, branching = self.scoring, self.state.branching
        weights = self._levels[0].of(segment.leaves)[1]
        nodes = np.empty((scoring.levels - 1, len(segment.leaves)), dtype=np.int32)
        node_weights = [np.empty(0)]
        n_nodes = 0
        for t in range(1, scoring.levels):
            firsts, numbers = node_numbers(segment, t, branching)
            nodes[t - 1] = numbers + n_nodes
            n_nodes += len(firsts)
            node_weights.append(self._levels[t].of(segment.leaves[firsts] // np.uint32(self._powers[t]))[1])
        by_hamming = scoring.hamming_threshold is not None
        l2 = scoring.norm == "l2"
        sums = np.zeros(segment.n_images)
        found = measure_images(
            segment.postings,
            segment.list_starts,
            weights * weights if by_hamming else weights,
            nodes,
            np.concatenate(node_weights),
            segment.n_images,
            l2,
            scoring.burstiness,
            CACHED_ROWS // scoring.levels,
            sums,
        )
        if found != (segment.list_lengths.sum(), segment.occurrences.sum()):
            raise CorruptedError("postings: an inverted list is damaged; find the file with verify() and restore it")
        norms = np.sqrt(sums) if l2 or by_hamming else sums
        return np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)

    @contextmanager
    def working_memory(self) -> Iterator[tuple[Floats, NDArray[np.uint8]]]:
        """(rows, touched) as of `walk_lists`, for one search; the kernels leave them as they were."""
        with self._lock:
            memory = self._free.pop() if self._free else None
        if memory is None:
            rows = np.zeros((len(self.image_ids), 2 * self.scoring.levels))
            for i, (segment, removed) in enumerate(zip(self.state.segments, self.state.removed, strict=True)):
                part = rows[self.bases[i] : self.bases[i + 1]]
                if segment.n_images:
                    part[:, 1] = self._inverses[segment.uid]
                part[removed, 1] = 0.0
            memory = rows, np.zeros(-(-len(rows) // BLOCK), dtype=np.uint8)
        yield memory
        with self._lock:  # not after an error: it may not be clean
            self._free.append(memory)

    @property
    def n_bytes(self) -> int:
        """Bytes of weights, norms and working memory."""
        with self._lock:
            working = sum(rows.nbytes + touched.nbytes for rows, touched in self._free)
        norms: int = sum(inverse.nbytes for inverse in self._inverses.values())
        return working + norms + self.image_ids.nbytes + sum(level.n_bytes for level in self._levels)

    # ------------------------------------------------------------------ searching

    def search(self, words: NDArray[np.uint32], counts: Floats, k: int, quantise_ms: float = 0.0) -> TreeSearchResult:
        """The k best images for a query of different words, (n,) ascending, that count (n,) > 0 each.

        See `VocabularyTree.search`; there all is checked.
        """
        begin = time.perf_counter()
        query = self._query_vector(words, counts)
        ids, scores, walked = self._best(query, k)
        if self.scoring.norm == "l2" and len(scores) and scores[0] < _NEAR:
            ids, scores = self._literal(query, words, counts, ids, scores, k)
        return packed_result(ids, scores, len(words), walked, quantise_ms, begin)

    def weights_of(self, words: NDArray[np.uint32]) -> tuple[Floats, Floats]:
        """(n,) float64 weights of leaves in a query, and in images of the database."""
        leaves: LevelWeights = self._levels[0]
        return leaves.of(words)

    def _vector(self, words: NDArray[np.uint32], counts: Any, side: int) -> tuple[Ints, Ints, Floats, Floats]:
        """(level_starts, nodes, unit vector, weights of the database); side: 0 query, 1 database."""
        nodes, values, database = [], [], []
        for t, level in enumerate(self._levels):
            ancestors = words // np.uint32(self._powers[t]) if t else words
            n = counts
            if t and len(words):
                firsts = np.flatnonzero(np.concatenate([[True], ancestors[1:] != ancestors[:-1]]))
                ancestors, n = ancestors[firsts], np.add.reduceat(counts, firsts)
            weights = level.of(ancestors)
            nodes.append(ancestors.astype(np.int64))
            values.append((np.sqrt(n) if self.scoring.burstiness else n) * weights[side])
            database.append(weights[1])
        vector = np.concatenate(values)
        norm = np.sqrt((vector * vector).sum()) if self.scoring.norm == "l2" else np.abs(vector).sum()
        if norm > 0:
            vector /= norm
        return offsets_of([len(part) for part in nodes]), np.concatenate(nodes), vector, np.concatenate(database)

    def _query_vector(self, words: NDArray[np.uint32], counts: Floats) -> QueryVector:
        starts, nodes, q, w = self._vector(words, counts, 0)
        shared = (q != 0) & (w != 0)
        return QueryVector(offsets_of(shared)[starts], nodes[shared], q[shared], w[shared])

    def _best(self, query: QueryVector, k: int) -> tuple[Ints, Floats, tuple[int, int, int]]:
        """(ids, scores, (lists, entries, images that share a node)) of the k best, in order."""
        l2, root = self.scoring.norm == "l2", self.scoring.burstiness
        lows, highs = self._ranges(query)
        n_lists = n_entries = 0
        if not len(lows):
            return np.empty(0, np.int64), np.empty(0), (0, 0, 0)
        with self.working_memory() as (rows, touched):
            for i, segment in enumerate(self.state.segments):
                lists, places = self._plan(segment, query, lows, highs)
                walk_lists(
                    segment.postings,
                    segment.list_starts,
                    lists,
                    places,
                    query.q,
                    query.w,
                    l2,
                    root,
                    rows,
                    self.bases[i],
                    self.bases[i + 1],
                    touched,
                    CACHED_ROWS // self.scoring.levels,
                )
                n_lists += len(lists)
                n_entries += int(segment.list_lengths[lists].sum())
            best = best_images(rows, touched, self.image_ids, k, query.q, query.w, l2, root, 2.0, 0.0)
        return best[0], best[1], (n_lists, n_entries, best[2])

    def _plan(self, segment: Segment, query: QueryVector, lows: Ints, highs: Ints) -> tuple[Ints, NDArray[np.int32]]:
        """(lists, places) of a segment that the query needs, as of `plan_lists`."""
        firsts, ends = np.empty_like(lows), np.empty_like(highs)
        lists_of_ranges(segment.leaves, *directory_of(segment, self.state.n_words), lows, highs, firsts, ends)
        lists = np.empty((ends - firsts).sum(), dtype=np.int64)
        places = np.empty((len(lists), self.scoring.levels), dtype=np.int32)
        n = plan_lists(segment.leaves, firsts, ends, self._powers, query.level_starts, query.nodes, lists, places)
        return lists[:n], places[:n]

    def _ranges(self, query: QueryVector) -> tuple[Ints, Ints]:
        """Words below the query's nodes, low <= word < high, as ascending ranges that do not meet."""
        powers = np.repeat(self._powers, np.diff(query.level_starts))
        lows, highs = query.nodes * powers, (query.nodes + 1) * powers
        if len(self._powers) == 1 or not len(lows):
            return lows, highs
        order = np.lexsort((-highs, lows))  # a range lies within another or beside it
        lows, highs = lows[order], highs[order]
        outer = np.ones(len(lows), dtype=bool)
        outer[1:] = lows[1:] >= np.maximum.accumulate(highs)[:-1]
        return lows[outer], highs[outer]

    def _literal(
        self, query: QueryVector, words: NDArray[np.uint32], counts: Floats, ids: Ints, scores: Floats, k: int
    ) -> tuple[Ints, Floats]:
        """The k best, with scores below `_NEAR` as |q - d| literally: in 2 - 2 * sum the digits of a small root cancel.

        All images that could be among the k best are compared, so that ties are broken by ID.
        """
        worst = scores[-1] ** 2
        n = k
        while len(ids) == n and scores[-1] < _NEAR and scores[-1] ** 2 <= worst + _NEAR_SLACK:
            n *= 4
            ids, scores, _ = self._best(query, n)
        starts, nodes, q, _ = self._vector(words, counts, 0)
        keys = nodes + np.repeat(np.arange(len(starts) - 1) * self.state.n_words, np.diff(starts))
        for place in np.flatnonzero(scores < _NEAR):
            starts, nodes, d, _ = self._vector(*self._content_of(ids[place]), 1)
            other = nodes + np.repeat(np.arange(len(starts) - 1) * self.state.n_words, np.diff(starts))
            union = np.union1d(keys, other)
            difference = np.zeros(len(union))
            difference[np.searchsorted(union, keys)] = q
            difference[np.searchsorted(union, other)] -= d
            scores[place] = np.sqrt((difference * difference).sum())
        order = np.lexsort((ids, scores))[:k]
        return ids[order], scores[order]

    def _content_of(self, image_id: int) -> tuple[NDArray[np.uint32], Floats]:
        for segment, removed in zip(self.state.segments, self.state.removed, strict=True):
            number = int(segment.find(np.array([image_id]), removed)[0])
            if number >= 0:
                words, tfs = segment.words_of(number)
                return words, tfs.astype(np.float64)
        raise KeyError(image_id)  # never: it was found in a list


def directory_of(segment: Segment, n_words: int) -> tuple[Ints, int]:
    """(directory, shift) as of `lists_of_ranges`; kept with the segment."""
    if "directory" not in segment.derived:
        n_buckets = len(segment.leaves) // _DIRECTORY_SHARE + 1
        shift = max(((n_words - 1) // n_buckets).bit_length(), 0)
        bounds = np.arange(((n_words - 1) >> shift) + 2, dtype=np.int64) << shift
        segment.derived["directory"] = np.searchsorted(segment.leaves, bounds).astype(np.int64), shift
    directory: tuple[Ints, int] = segment.derived["directory"]
    return directory


def best_images(
    rows: Floats,
    touched: NDArray[np.uint8],
    image_ids: Ints,
    k: int,
    q: Floats,
    w: Floats,
    l2: bool,
    root: bool,
    scale: float,
    least: float,
) -> tuple[Ints, Floats, int]:
    """(ids, scores, images that share a node) of the k best touched images, in order; see `take_best`."""
    k = min(k, len(image_ids))
    scores, ids = np.empty(k), np.empty(k, dtype=np.int64)
    n, n_sharing = take_best(rows, touched, image_ids, q, w, l2, root, scale, least, scores, ids)
    scores, ids = scores[:n], ids[:n]
    order = np.lexsort((ids, scores))
    return ids[order], scores[order], n_sharing


def packed_result(
    ids: Ints, scores: Floats, n_words: int, walked: tuple[int, int, int], quantise_ms: float, begin: float
) -> TreeSearchResult:
    """A result with its costs; begin: `perf_counter` when scoring began."""
    stats = TreeSearchStats(
        n_words=n_words,
        n_lists=int(walked[0]),
        n_entries=int(walked[1]),
        n_images_touched=int(walked[2]),
        quantise_ms=quantise_ms,
        score_ms=1e3 * (time.perf_counter() - begin),
    )
    return TreeSearchResult(ids, scores, stats)

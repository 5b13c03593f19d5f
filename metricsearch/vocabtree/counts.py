"""N and N_i: how many images and descriptors pass through each node (NS06 §4; spec §1.5, §1.6)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metricsearch.vocabtree._kernels import count_images
from metricsearch.vocabtree.building import build_segment, offsets_of
from metricsearch.vocabtree.segment import Segment
from metricsearch.vocabtree.state import Counts

CACHED_ROWS = 2**15  # images worked on at a time, over the number of levels: they fit in a core's second-level cache
Removed = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class LevelCounts:
    """Occurring nodes of one level, (n,) uint32 ascending, and (n,) int64 for each: its virtual list, its descriptors.

    n_images: different images; None where they were not asked for.
    """

    nodes: NDArray[np.uint32]
    list_lengths: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    n_images: NDArray[np.int64] | None


class Statistics:
    """Counts of the images of a tree that were not removed; a level is counted when first asked for."""

    def __init__(self, segments: Sequence[Segment], removed: Sequence[Removed], branching: int, depth: int) -> None:
        self.branching, self.depth = branching, depth
        self._added = tuple(segments)
        # What was removed is counted like a segment and taken off: the counts of a large one stay valid.
        self._taken = tuple(_subset(s, r) for s, r in zip(segments, removed, strict=True) if len(r))
        self.n_images = sum(s.n_images for s in self._added) - sum(s.n_images for s in self._taken)
        self.n_descriptors = sum(n_descriptors(s) for s in self._added) - sum(n_descriptors(s) for s in self._taken)
        self._levels: dict[tuple[int, bool], LevelCounts] = {}

    def level(self, level: int, exact: bool) -> LevelCounts:
        """Counts of the nodes of level 1..depth; exact: with `n_images`."""
        if (level, exact) not in self._levels:
            parts = [(_level_of(s, level, exact, self), 1) for s in self._added]
            parts += [(_level_of(s, level, exact, self), -1) for s in self._taken]
            self._levels[level, exact] = _summed(parts)
        return self._levels[level, exact]

    def counts(self) -> Counts:
        """All levels, to be kept."""
        levels = [self.level(level, True) for level in range(1, self.depth + 1)]
        return _joined(levels, self.n_images, self.n_descriptors)


class KeptStatistics:
    """The same of counts that are kept: frozen ones, or those of an independent set."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self.n_images, self.n_descriptors = (int(total) for total in counts.totals)

    def level(self, level: int, exact: bool) -> LevelCounts:
        """Counts of the nodes of level 1..depth."""
        counts = self._counts
        rows = slice(counts.level_starts[level - 1], counts.level_starts[level])
        return LevelCounts(
            counts.nodes[rows], counts.list_lengths[rows], counts.occurrences[rows], counts.n_images[rows]
        )


AnyStatistics = Statistics | KeptStatistics


def n_descriptors(segment: Segment) -> int:
    """Descriptors of all its images."""
    return int(segment.occurrences.sum())


def add_counts(parts: Sequence[Counts]) -> Counts:
    """Counts of several sets of images together; at least one, all of one tree."""
    levels = []
    for level in range(1, len(parts[0].level_starts)):
        levels.append(_summed([(KeptStatistics(part).level(level, True), 1) for part in parts]))
    n_images, n_found = np.sum([part.totals for part in parts], axis=0)
    return _joined(levels, int(n_images), int(n_found))


def _joined(levels: Sequence[LevelCounts], n_images: int, n_found: int) -> Counts:
    return Counts(
        totals=np.array([n_images, n_found], dtype=np.int64),
        level_starts=offsets_of([len(level.nodes) for level in levels]),
        nodes=np.concatenate([level.nodes for level in levels]),
        n_images=np.concatenate([level.n_images for level in levels if level.n_images is not None]),
        list_lengths=np.concatenate([level.list_lengths for level in levels]),
        occurrences=np.concatenate([level.occurrences for level in levels]),
    )


def _subset(segment: Segment, numbers: Removed) -> Segment:
    """Segment of some of the images alone."""
    words = [np.repeat(*segment.words_of(int(number))) for number in numbers]
    starts = offsets_of([len(part) for part in words])
    return build_segment(segment.image_ids[numbers], (), np.concatenate(words), starts)


def node_numbers(segment: Segment, levels_above: int, branching: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(first list of each node, number of each list's node) so many levels above the leaves; nodes by occurrence."""
    ancestors = segment.leaves // np.uint32(branching**levels_above)
    new = np.ones(len(ancestors), dtype=bool)
    new[1:] = ancestors[1:] != ancestors[:-1]
    return np.flatnonzero(new), (np.cumsum(new) - 1).astype(np.int32)


def _level_of(segment: Segment, level: int, exact: bool, tree: Statistics) -> LevelCounts:
    """Counts of one whole segment, kept with it."""
    above = tree.depth - level
    key = ("counts", tree.branching, above, exact)
    if key not in segment.derived:
        lengths = segment.list_lengths.astype(np.int64)
        if above == 0:
            found = LevelCounts(segment.leaves, lengths, segment.occurrences, lengths)
        else:
            firsts, _ = node_numbers(segment, above, tree.branching)
            found = LevelCounts(
                segment.leaves[firsts] // np.uint32(tree.branching**above),
                _range_sums(lengths, firsts),
                _range_sums(segment.occurrences, firsts),
                _exact(segment, above, tree) if exact else None,
            )
        segment.derived[key] = found
    level_counts: LevelCounts = segment.derived[key]
    return level_counts


def _range_sums(values: NDArray[np.int64], firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.add.reduceat(values, firsts) if len(firsts) else np.empty(0, dtype=np.int64)


def _exact(segment: Segment, above: int, tree: Statistics) -> NDArray[np.int64]:
    """Different images of the nodes `above` the leaves; all inner levels are counted in one pass, the root is not."""
    key = ("images", tree.branching)
    if key not in segment.derived:
        levels = [node_numbers(segment, a, tree.branching)[1] for a in range(1, tree.depth)]
        starts = offsets_of([int(numbers[-1]) + 1 if len(numbers) else 0 for numbers in levels])
        nodes = np.stack(levels) + starts[:-1, None].astype(np.int32)
        counts = np.zeros(starts[-1], dtype=np.int64)
        count_images(segment.postings, segment.list_starts, nodes, segment.n_images, CACHED_ROWS // len(levels), counts)
        segment.derived[key] = [counts[starts[i] : starts[i + 1]] for i in range(len(levels))]
    images: NDArray[np.int64] = segment.derived[key][above - 1]
    return images


def _summed(parts: Sequence[tuple[LevelCounts, int]]) -> LevelCounts:
    """Sum of counts times their sign, of the nodes that are left."""
    if len(parts) == 1:
        return parts[0][0]
    exact = all(part.n_images is not None for part, _ in parts)
    nodes, place = np.unique(
        np.concatenate([np.empty(0, np.uint32), *(part.nodes for part, _ in parts)]), return_inverse=True
    )

    def summed(columns: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        signed = [sign * column for (_, sign), column in zip(parts, columns, strict=True)]
        total = np.zeros(len(nodes), dtype=np.int64)
        np.add.at(total, place, np.concatenate([np.empty(0, np.int64), *signed]))
        return total

    lengths = summed([part.list_lengths for part, _ in parts])
    left = lengths > 0
    return LevelCounts(
        nodes[left],
        lengths[left],
        summed([part.occurrences for part, _ in parts])[left],
        summed([part.n_images for part, _ in parts if part.n_images is not None])[left] if exact else None,
    )

"""What a vocabulary tree holds at one moment: immutable, so that searches and the disk see whole states only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, DuplicateIdError, UnknownIdError
from metricsearch.validation import check_choice
from metricsearch.vocabtree.hamming import HammingModel
from metricsearch.vocabtree.segment import Segment, check_segment, checked_arrays
from metricsearch.vocabulary import Vocabulary

SOURCES = ("database", "frozen", "independent")

_COUNTS = {
    "totals": np.int64,
    "level_starts": np.int64,
    "nodes": np.uint32,
    "n_images": np.int64,
    "list_lengths": np.int64,
    "occurrences": np.int64,
}


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """N and N_i of all occurring nodes of a set of images; what weights are made of.

    totals       : (2,) int64, number of images and of descriptors
    level_starts : (depth + 1,) int64; nodes of level l = 1..depth: rows level_starts[l - 1] to level_starts[l]
    nodes        : (n,) uint32, ascending within a level
    n_images     : (n,) int64, images with the node. list_lengths: of its virtual list. occurrences: descriptors
    """

    totals: NDArray[np.int64]
    level_starts: NDArray[np.int64]
    nodes: NDArray[np.uint32]
    n_images: NDArray[np.int64]
    list_lengths: NDArray[np.int64]
    occurrences: NDArray[np.int64]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in _COUNTS}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], where: str) -> "Counts":
        """Counts from `to_arrays`; arrays may be memory-mapped. Raises CorruptedError."""
        checked = checked_arrays(arrays, _COUNTS, where)
        n = len(checked["nodes"])
        starts = checked["level_starts"]
        same = all(len(checked[name]) == n for name in ("n_images", "list_lengths", "occurrences"))
        if not same or len(checked["totals"]) != 2 or len(starts) < 2 or starts[0] != 0 or starts[-1] != n:
            raise CorruptedError(f"{where}: the arrays of the weights do not fit each other; call reweight() again")
        return cls(**checked)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Where weights come from. source: "database" (they follow it; counts is None), "frozen" or "independent"."""

    source: str = "database"
    counts: Counts | None = None

    def parameters(self) -> dict[str, Any]:
        """JSON-able part."""
        return {"source": self.source}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays by name; none where the weights follow the database."""
        return {} if self.counts is None else self.counts.to_arrays()

    @classmethod
    def from_arrays(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]], where: str) -> "Weights":
        """Weights from `parameters()` and `to_arrays()`. Raises CorruptedError."""
        try:
            source = check_choice(parameters.get("source"), "source", SOURCES)
        except ValueError as error:
            raise CorruptedError(f"{where}: {error}; the manifest is damaged") from None
        return cls(source, None if source == "database" else Counts.from_arrays(arrays, where))


@dataclass(frozen=True, slots=True, eq=False)
class TreeState:
    """All that a tree holds. A change makes a new state and never touches arrays of an older one.

    branching, depth: the shape, from which words get their meaning. vocabulary: None before `fit`, and for words that
    come from elsewhere. hamming: None without signatures. segments: in order of insertion. removed: for each segment
    the ascending numbers of its images, (r,) uint32, that were taken out. weights: where they come from.
    """

    branching: int
    depth: int
    vocabulary: Vocabulary | None
    hamming: HammingModel | None
    segments: tuple[Segment, ...]
    removed: tuple[NDArray[np.uint32], ...]
    weights: Weights

    @property
    def n_words(self) -> int:
        """Words are 0..n_words - 1."""
        return int(self.branching**self.depth)

    @property
    def n_images(self) -> int:
        """Images that were not taken out."""
        return sum(s.n_images - len(r) for s, r in zip(self.segments, self.removed, strict=True))


def locate(state: TreeState, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(segment, number in it) of images. Raises UnknownIdError."""
    places, numbers = np.full(len(ids), -1), np.full(len(ids), -1)
    for i, (segment, removed) in enumerate(zip(state.segments, state.removed, strict=True)):
        found = segment.find(ids, removed)
        here = found >= 0
        places[here], numbers[here] = i, found[here]
    if (places < 0).any():
        raise UnknownIdError(f"image_ids: no image with ID {ids[np.argmax(places < 0)]} is in the tree")
    return places, numbers


def check_free(state: TreeState, ids: NDArray[np.int64]) -> None:
    """Raise DuplicateIdError if an image of the tree has one of the IDs."""
    for segment, removed in zip(state.segments, state.removed, strict=True):
        taken = segment.find(ids, removed) >= 0
        if taken.any():
            raise DuplicateIdError(f"image_ids: ID {ids[np.argmax(taken)]} is in the tree already; remove it first")


def state_problems(state: TreeState) -> list[str]:
    """What is wrong with the segments in memory, one line each."""
    problems = [check_segment(segment.to_arrays(), state.n_words) for segment in state.segments]
    return [f"segment {i}: {problem}" for i, found in enumerate(problems) for problem in found]


def state_report(state: TreeState) -> dict[str, int]:
    """Bytes of all arrays, by part."""
    parts = {
        "inverted files": ("postings",),
        "list directory": ("leaves", "list_starts", "list_lengths", "occurrences"),
        "forward files": ("forward", "forward_starts"),
        "ids and names": ("image_ids", "names", "name_starts"),
    }
    report = {"vocabulary": 0 if state.vocabulary is None else state.vocabulary.memory_bytes}
    for part, names in parts.items():
        report[part] = sum(getattr(segment, name).nbytes for segment in state.segments for name in names)
    report["signatures"] = sum(s.signatures.nbytes for s in state.segments if s.signatures is not None)
    report["hamming"] = 0 if state.hamming is None else state.hamming.n_bytes
    report["removed"] = sum(numbers.nbytes for numbers in state.removed)
    report["weights"] = sum(array.nbytes for array in state.weights.to_arrays().values())
    return report


def state_info(state: TreeState) -> dict[str, Any]:
    """JSON-able: how much of what a tree holds."""
    vocabulary = state.vocabulary
    return {
        "trained": vocabulary is not None,
        "n_words": state.n_words,
        "n_leaves": None if vocabulary is None else vocabulary.n_leaves,
        "n_images": state.n_images,
        "n_removed": sum(len(numbers) for numbers in state.removed),
        "n_segments": len(state.segments),
        "weights": state.weights.source,
        "memory_bytes": state_report(state),
    }

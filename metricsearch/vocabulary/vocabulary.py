"""A trained vocabulary: descriptors in, words out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.threads import resolve_threads, thread_map
from metricsearch.validation import check_integer, check_positive, check_vectors
from metricsearch.vocabulary import _kernels
from metricsearch.vocabulary.assignment import Cells, assign_nearest, plain_view

MAX_BRANCHING = 65535
MAX_WORDS = 100_000_000
MAX_DIMENSION = 32768  # so many squared differences of bytes fit 32 bits
BATCH_DESCRIPTORS = 1 << 13  # quantised together: those of a node read its children once, and all stay in the cache
SMALL_BATCH = 1024  # less is not worth a thread
SOFT_BATCH = 256


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """A vocabulary tree (Nistér & Stewénius 2006): hierarchical k-means centres, without the root. Immutable.

    branching, depth : most children of a node, and levels below the root; depth 1 is a flat vocabulary
    centres          : (n_nodes, d) uint8 or float32, level by level, in path order: children lie beside each other
    first_child      : (n_slots,) int32, for the root and then all nodes of levels 1 .. depth - 1 in order (so the node
                       in row i of `centres` has slot i + 1): row of the first child, -1 for a leaf
    n_children       : (n_slots,) uint16

    A word is the path to a leaf as base-`branching` digits, padded with zeros where the leaf lies above the last
    level: the ancestor of word w at level l is w // branching ** (depth - l).
    """

    branching: int
    depth: int
    centres: NDArray[Any]
    first_child: NDArray[np.int32]
    n_children: NDArray[np.uint16]

    def __post_init__(self) -> None:
        for name in ("centres", "first_child", "n_children"):
            object.__setattr__(self, name, plain_view(getattr(self, name)))

    @property
    def dimension(self) -> int:
        """Numbers per descriptor."""
        return int(self.centres.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or float32."""
        return self.centres.dtype

    @property
    def n_words(self) -> int:
        """branching ** depth: words are in 0 .. n_words - 1."""
        return int(self.branching**self.depth)

    @property
    def n_nodes(self) -> int:
        """Nodes of all levels below the root."""
        return len(self.centres)

    @property
    def n_leaves(self) -> int:
        """Nodes without children: as many words can occur."""
        return self.n_nodes + 1 - int(np.count_nonzero(self.n_children))

    @property
    def memory_bytes(self) -> int:
        """Bytes of all arrays."""
        return int(self.centres.nbytes + self.first_child.nbytes + self.n_children.nbytes)

    def quantize(self, descriptors: Any, n_threads: int | None = None) -> NDArray[np.uint32]:
        """Words (n,) uint32 of (n, d) descriptors: at each level down to the nearest child (NS06 §1.3).

        Squared Euclidean distance, ties by child number. Raises InvalidInputError, see `check_descriptors`.
        """
        x = plain_view(self.check_descriptors(descriptors, "descriptors"))
        n_threads = resolve_threads(n_threads)
        words = np.zeros(len(x), dtype=np.uint32)
        size = min(BATCH_DESCRIPTORS, max(SMALL_BATCH, -(-len(x) // n_threads)))
        batches = [slice(start, start + size) for start in range(0, len(x), size)]
        thread_map(lambda batch: self._descend(x[batch], words[batch]), batches, n_threads)
        return words

    def _descend(self, x: NDArray[Any], words: NDArray[np.uint32]) -> None:
        """Level by level, the descriptors of a node side by side, so that each node's children are read once."""
        n = len(x)
        rows, grouped = np.arange(n), np.empty(n, dtype=np.int64)
        labels = np.empty(n, dtype=np.uint16)
        begin, end, slots = (np.array([value], dtype=np.int64) for value in (0, n, 0))
        following = np.empty((3, n), dtype=np.int64), np.empty((3, n), dtype=np.int64)
        for level in range(1, self.depth + 1):
            first = self.first_child[slots].astype(np.int64)
            cells = Cells(begin, end, first, self.n_children[slots].astype(np.int64))
            assign_nearest(x, rows, cells, self.centres, labels)
            new = following[level % 2]
            n_groups = _kernels.group_by_child(
                *(rows, begin, end, slots, self.first_child, self.n_children, labels),
                *(self.branching ** (self.depth - level), words, grouped, *new),
            )
            rows, grouped = grouped, rows
            begin, end, slots = new[:, :n_groups]
            if not n_groups:
                break

    def quantize_soft(
        self, descriptors: Any, n_assignments: int, n_threads: int | None = None, *, n_checks: int | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Words (n, r) uint32 and distances (n, r) float32 to their centres; r = min(n_assignments, n_leaves).

        Best-bin-first: the first descent is that of `quantize`, each further one starts at the nearest node that was
        passed by. Of the leaves where `n_checks` descents end (None: n_assignments) the r nearest, ascending by
        distance, ties by word; with n_checks = n_leaves they are the true nearest. Raises InvalidInputError.
        """
        x = plain_view(self.check_descriptors(descriptors, "descriptors"))
        r = min(check_positive(n_assignments, "n_assignments"), self.n_leaves)
        checked = r if n_checks is None else min(check_integer(n_checks, "n_checks", n_assignments), self.n_leaves)
        words = np.empty((len(x), r), dtype=np.uint32)
        distances = np.empty((len(x), r), dtype=np.float32)

        def find(start: int) -> None:
            part = slice(start, start + SOFT_BATCH)
            tree = (self.centres, self.first_child, self.n_children, self.branching, self.depth)
            _kernels.nearest_leaves(x[part], *tree, checked, words[part], distances[part])

        thread_map(find, range(0, len(x), SOFT_BATCH), resolve_threads(n_threads))
        return words, distances

    def check_descriptors(self, x: Any, name: str) -> NDArray[Any]:
        """Return `x` as (n, d) array of this vocabulary's dtype; n = 0 is fine.

        A vocabulary of bytes also takes other numbers that are whole and in 0..255 (OpenCV gives SIFT as float32).
        Raises InvalidInputError that names the first bad row.
        """
        if x is None:
            raise InvalidInputError(f"{name}: got None; for no descriptors pass numpy.empty((0, {self.dimension}))")
        if self.dtype == np.float32:
            return check_vectors(x, name, self.dimension)
        if not (isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 2 and x.shape[1] == self.dimension):
            x = check_vectors(x, name, self.dimension)
            bad = ((x < 0) | (x > 255) | (x != np.floor(x))).any(axis=1)
            if bad.any():
                raise InvalidInputError(
                    f"{name}: row {int(np.argmax(bad))} has a number that is not whole or not in 0..255 "
                    f"({int(bad.sum())} bad rows in total); this vocabulary was trained on uint8: pass descriptors "
                    "of that kind, or train one on float32"
                )
        return np.ascontiguousarray(x, dtype=np.uint8)

    def parameters(self) -> dict[str, Any]:
        """What `from_arrays` needs beside the arrays, for JSON."""
        return {
            "branching": self.branching,
            "depth": self.depth,
            "dimension": self.dimension,
            "dtype": self.dtype.name,
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {"centres": self.centres, "first_child": self.first_child, "n_children": self.n_children}

    @classmethod
    def from_arrays(cls, parameters: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], where: str) -> "Vocabulary":
        """The vocabulary of `parameters()` and `to_arrays()`; the arrays may be read-only memory maps.

        where: file or folder, for the message. Raises CorruptedError when they do not fit together.
        """
        try:
            branching, depth = check_shape(parameters["branching"], parameters["depth"])
            expected = (int(parameters["dimension"]), str(parameters["dtype"]))
            centres, first_child, n_children = (arrays[name] for name in ("centres", "first_child", "n_children"))
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptedError(f"{where}: not the parts of a vocabulary ({error})") from None
        kinds = (centres.ndim, *centres.shape[1:], centres.dtype.name, first_child.dtype.name, n_children.dtype.name)
        if kinds != (2, *expected, "int32", "uint16") or expected[1] not in ("uint8", "float32"):
            raise CorruptedError(f"{where}: the arrays of the vocabulary have other types or widths than it says")
        if problem := _structure_problem(branching, depth, len(centres), first_child, n_children):
            raise CorruptedError(f"{where}: {problem}; the vocabulary is damaged, restore it from a copy")
        return cls(branching, depth, centres, first_child, n_children)


def check_shape(branching: Any, depth: Any) -> tuple[int, int]:
    """Return (branching, depth) if such a tree is possible; raise InvalidInputError otherwise."""
    branching = check_integer(branching, "branching", 2, MAX_BRANCHING)
    depth = check_integer(depth, "depth", 1, 26)
    if branching**depth > MAX_WORDS:
        raise InvalidInputError(
            f"branching ** depth: expected at most {MAX_WORDS:,} words, got {branching} ** {depth} = "
            f"{branching**depth:,}; lower one of them"
        )
    return branching, depth


def _structure_problem(
    branching: int, depth: int, n_nodes: int, first_child: NDArray[np.int32], n_children: NDArray[np.uint16]
) -> str | None:
    """What is wrong with the links of a tree, or None."""
    if n_children.ndim != 1 or first_child.shape != n_children.shape or not n_children.size:
        return "its links have different lengths"
    counts = n_children.astype(np.int64)
    if counts.sum() != n_nodes or counts.max() > branching or counts[0] < 2 or (counts == 1).any():
        return "the numbers of children do not add up"
    if not np.array_equal(first_child, np.where(counts > 0, np.cumsum(counts) - counts, -1)):
        return "the children are not in order"
    begin, end = 0, 1  # slots of one level
    for _ in range(1, depth):
        begin, end = end, end + int(counts[begin:end].sum())
    return None if end == counts.size else "it has another depth than it says"

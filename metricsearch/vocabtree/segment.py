"""Segments: images with their forward and inverted files, compressed, never changed once made."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from metricsearch.errors import CorruptedError
from metricsearch.vocabtree.files._kernels import check_forward, check_lists, decode_forward
from metricsearch.vocabulary.assignment import plain_view

_ARRAYS = {
    "image_ids": np.int64,
    "names": np.uint8,
    "name_starts": np.int64,
    "forward": np.uint8,
    "forward_starts": np.int64,
    "leaves": np.uint32,
    "list_starts": np.int64,
    "list_lengths": np.uint32,
    "occurrences": np.int64,
    "postings": np.uint8,
}
_SIGNATURES = "signatures"
_next_uid = itertools.count().__next__


def plain(array: Any, dtype: DTypeLike) -> NDArray[Any]:
    """`array` of this dtype, in the one form that kernels are compiled for."""
    return plain_view(np.asarray(array, dtype=dtype))


def checked_arrays(arrays: dict[str, NDArray[Any]], dtypes: dict[str, Any], where: str) -> dict[str, NDArray[Any]]:
    """The arrays that `dtypes` names, each 1-D and of its dtype, as `plain`. Raises CorruptedError."""
    for name, dtype in dtypes.items():
        array = arrays.get(name)
        if array is None or array.ndim != 1 or array.dtype != dtype:
            found = "nothing" if array is None else f"shape {array.shape}, {array.dtype}"
            raise CorruptedError(f"{where}: {name}: expected (n,) {np.dtype(dtype)}, found {found}; restore a backup")
    return {name: plain(arrays[name], dtype) for name, dtype in dtypes.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """n images and their words (NS06 §3, §4; spec §1.6). Images are numbered 0..n - 1 in order of insertion.

    image_ids      : (n,) int64. names: (.,) uint8, UTF-8, image i: name_starts[i]:name_starts[i + 1]
    forward        : (.,) uint8, image i: forward_starts[i]:forward_starts[i + 1], its different words, ascending
    leaves         : (n_lists,) uint32, ascending, words that occur. list_lengths: (n_lists,) uint32, images with the
                     word. occurrences: (n_lists,) int64, descriptors
    postings       : (.,) uint8, list j: list_starts[j]:list_starts[j + 1], its images, ascending
    signatures     : (descriptors,) uint64 in the order of the lists, then of images; or None
    An entry of a file is varint((gap - 1) << 1 | several) and, if there are several, varint(tf - 2); the gap is to the
    entry before, or to -1. Varints have 7 bits per byte, the lowest first.
    uid: different for each segment made or loaded by this process.
    """

    image_ids: NDArray[np.int64]
    names: NDArray[np.uint8]
    name_starts: NDArray[np.int64]
    forward: NDArray[np.uint8]
    forward_starts: NDArray[np.int64]
    leaves: NDArray[np.uint32]
    list_starts: NDArray[np.int64]
    list_lengths: NDArray[np.uint32]
    occurrences: NDArray[np.int64]
    postings: NDArray[np.uint8]
    signatures: NDArray[np.uint64] | None = None
    uid: int = field(default_factory=_next_uid)
    derived: dict[Any, Any] = field(default_factory=dict, repr=False)  # computed when first needed

    @property
    def n_images(self) -> int:
        """Images, removed ones included."""
        return len(self.image_ids)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _ARRAYS}
        return arrays if self.signatures is None else arrays | {_SIGNATURES: self.signatures}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], where: str) -> "Segment":
        """Segment from `to_arrays`; arrays may be memory-mapped, and are not read whole. Raises CorruptedError."""
        dtypes = _ARRAYS | ({_SIGNATURES: np.uint64} if _SIGNATURES in arrays else {})
        checked: dict[str, Any] = {**checked_arrays(arrays, dtypes, where)}
        segment = cls(**checked)
        n, n_lists = len(segment.image_ids), len(segment.leaves)
        for starts, content, n_parts in (
            ("name_starts", "names", n),
            ("forward_starts", "forward", n),
            ("list_starts", "postings", n_lists),
        ):
            begin, end = getattr(segment, starts), len(getattr(segment, content))
            if len(begin) != n_parts + 1 or begin[0] != 0 or begin[-1] != end:
                raise CorruptedError(f"{where}: {starts} does not fit {content} ({end:,} bytes); restore a backup")
        if len(segment.list_lengths) != n_lists or len(segment.occurrences) != n_lists:
            raise CorruptedError(f"{where}: list_lengths, occurrences and leaves differ in length; restore a backup")
        return segment

    def signature_starts(self) -> NDArray[np.int64]:
        """(n_lists + 1,) int64: signatures of list j."""
        if "signature_starts" not in self.derived:
            starts = np.zeros(len(self.leaves) + 1, dtype=np.int64)
            np.cumsum(self.occurrences, out=starts[1:])
            self.derived["signature_starts"] = plain(starts, np.int64)
        found: NDArray[np.int64] = self.derived["signature_starts"]
        return found

    def find(self, image_ids: NDArray[np.int64], removed: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Numbers of the images with these IDs; -1: not here, or removed."""
        if "order" not in self.derived:
            self.derived["order"] = np.argsort(self.image_ids, kind="stable")
        order: NDArray[np.int64] = self.derived["order"]
        numbers = np.full(len(image_ids), -1, dtype=np.int64)
        if not self.n_images:
            return numbers
        place = np.searchsorted(self.image_ids, image_ids, sorter=order)
        found = order[np.minimum(place, self.n_images - 1)]
        here = self.image_ids[found] == image_ids
        if len(removed):
            at = np.minimum(np.searchsorted(removed, found), len(removed) - 1)
            here &= removed[at] != found
        numbers[here] = found[here]
        return numbers

    def words_of(self, number: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Different words of image `number`, ascending, and how often each occurs."""
        content = self.forward[self.forward_starts[number] : self.forward_starts[number + 1]]
        words = np.empty(len(content), dtype=np.uint32)
        tfs = np.empty(len(content), dtype=np.int64)
        n = decode_forward(content, words, tfs)
        return words[:n], tfs[:n]

    def name_of(self, number: int) -> str:
        """Name of image `number`; "" where none was given."""
        return self.names[self.name_starts[number] : self.name_starts[number + 1]].tobytes().decode()


def check_segment(arrays: dict[str, NDArray[Any]], n_words: int) -> list[str]:
    """Problems of the content of a segment, one line each: order, ranges, counts, forward against inverted files.

    arrays: of `Segment.to_arrays`. n_words: of the tree. Reads everything.
    """
    try:
        segment = Segment.from_arrays(arrays, "segment")
    except CorruptedError as error:
        return [str(error)]
    problems = []
    for name in ("name_starts", "forward_starts", "list_starts"):
        if (np.diff(getattr(segment, name)) < 0).any():
            problems.append(f"{name}: not ascending")
    if problems:
        return problems
    leaves = segment.leaves.astype(np.int64)
    if (np.diff(leaves) <= 0).any() or (len(leaves) and leaves[-1] >= n_words):
        problems.append(f"leaves: expected different words, ascending, below {n_words:,}")
    try:
        segment.names.tobytes().decode()
    except UnicodeDecodeError:
        problems.append("names: not UTF-8")
    bad_list, list_sums = check_lists(
        segment.postings,
        segment.list_starts,
        segment.list_lengths,
        segment.occurrences,
        segment.leaves,
        segment.n_images,
    )
    if bad_list >= 0:
        problems.append(f"postings: list {bad_list} of word {segment.leaves[bad_list]} is damaged")
    bad_image, image_sums = check_forward(segment.forward, segment.forward_starts, n_words)
    if bad_image >= 0:
        problems.append(f"forward: the words of image ID {segment.image_ids[bad_image]} are damaged")
    if bad_list < 0 and bad_image < 0 and list_sums != image_sums:
        problems.append("forward and inverted files do not hold the same words")
    if segment.signatures is not None and len(segment.signatures) != segment.occurrences.sum():
        problems.append(f"signatures: expected {segment.occurrences.sum():,}, found {len(segment.signatures):,}")
    return problems

"""From what a user hands over to segments: images are checked, turned into words in batches, and put together."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import DuplicateIdError, InvalidInputError
from metricsearch.progress import counted
from metricsearch.validation import MAX_ID, check_integer
from metricsearch.vocabtree.building import build_segment, chunks_of, offsets_of
from metricsearch.vocabtree.counts import Statistics, add_counts
from metricsearch.vocabtree.hamming import HammingModel
from metricsearch.vocabtree.merging import merged
from metricsearch.vocabtree.segment import Segment
from metricsearch.vocabtree.state import Counts
from metricsearch.vocabulary import Vocabulary

BATCH_DESCRIPTORS = 200_000  # quantised together

Words = NDArray[np.uint32]
Starts = NDArray[np.int64]
Image = tuple[int, NDArray[Any], str]


def check_words(words: Any, name: str, n_words: int) -> Words:
    """(n,) uint32, all below `n_words`. Raises InvalidInputError."""
    try:
        array = np.asarray(words)
    except ValueError:
        raise InvalidInputError(f"{name}: expected a 1-D array of words, got rows of different lengths") from None
    if array.ndim == 1 and array.size == 0:
        return np.empty(0, dtype=np.uint32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidInputError(
            f"{name}: expected a 1-D array of whole numbers, got shape {array.shape}, {array.dtype}"
        )
    if int(array.min()) < 0 or int(array.max()) >= n_words:
        bad = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise InvalidInputError(f"{name}: expected words in 0..{n_words - 1}, got {bad}")
    return np.ascontiguousarray(array, dtype=np.uint32)


def flat_words(words: Any, n_words: int, n_images: int | None = None) -> tuple[Words, Starts]:
    """(words of all images, (n + 1,) starts) of a sequence with one array per image, or of the tuple (words, starts).

    Raises InvalidInputError.
    """
    if isinstance(words, tuple):
        if len(words) != 2:
            raise InvalidInputError(f"words: expected the tuple (words, starts) or a list of arrays, got {len(words)}")
        flat, starts = check_words(words[0], "words", n_words), np.asarray(words[1])
        if starts.ndim != 1 or starts.size == 0 or starts.dtype.kind not in "iu":
            raise InvalidInputError(f"starts: expected (n + 1,) whole numbers, got {starts.shape}, {starts.dtype}")
        starts = starts.astype(np.int64)
        if starts[0] != 0 or starts[-1] != len(flat) or (np.diff(starts) < 0).any():
            raise InvalidInputError(f"starts: expected ascending numbers from 0 to {len(flat)}, the number of words")
    else:
        words = check_iterable(words, "words", "the tuple (words, starts) or a list of arrays")
        parts = [check_words(part, f"words[{i}]", n_words) for i, part in enumerate(words)]
        flat, starts = np.concatenate([np.empty(0, np.uint32), *parts]), offsets_of([len(part) for part in parts])
    if n_images is not None and len(starts) != n_images + 1:
        raise InvalidInputError(f"words: expected one array per image, {n_images} in total, got {len(starts) - 1}")
    return flat, starts


def check_iterable(values: Any, name: str, expected: str) -> Iterable[Any]:
    """`values`, if they can be gone through. Raises InvalidInputError."""
    if not isinstance(values, Iterable):
        raise InvalidInputError(f"{name}: expected {expected}, got {values!r:.60}")
    return values


def check_path(path: Any) -> Path:
    """A path given as text or Path. Raises InvalidInputError."""
    if not isinstance(path, str | Path):
        raise InvalidInputError(f"path: expected text or a Path, got {path!r:.60}")
    return Path(path)


def check_names(names: Sequence[str] | None, n: int) -> list[str]:
    """n names, or none. Raises InvalidInputError."""
    if names is None:
        return []
    expected = f"one per image, {n} in total"
    given = list(check_iterable(names, "names", expected))
    if isinstance(names, str) or len(given) != n:
        raise InvalidInputError(f"names: expected {expected}, got {names!r:.60}")
    return [check_name(name, f"names[{i}]") for i, name in enumerate(given)]


def check_name(name: Any, where: str) -> str:
    """A text that UTF-8 can hold. Raises InvalidInputError."""
    try:
        if isinstance(name, str) and name.encode() is not None:
            return name
    except UnicodeEncodeError:
        pass
    raise InvalidInputError(f"{where}: expected text, got {name!r:.60}")


def segment_of_words(
    ids: NDArray[np.int64], names: Sequence[str], flat: Words, starts: Starts, n_words: int
) -> Segment:
    """Segment of images whose words are known; built in parts, so that little more than the result is needed."""
    parts = [
        build_segment(ids[i:j], names[i:j], flat[starts[i] : starts[j]], starts[i : j + 1] - starts[i])
        for i, j in chunks_of(starts)
    ]
    return _one(parts, n_words)


def counts_of_words(flat: Words, starts: Starts, branching: int, depth: int) -> Counts:
    """N and N_i of a set of images, at least one, whose words are known."""
    parts: list[Counts] = []
    for i, j in chunks_of(starts):
        part = flat[starts[i] : starts[j]]
        segment = build_segment(np.arange(i, j), (), part, starts[i : j + 1] - starts[i])
        parts = [add_counts([*parts, Statistics([segment], [np.empty(0, np.uint32)], branching, depth).counts()])]
    return parts[0]


class ImageReader:
    """Turns images into words, many descriptors at once.

    vocabulary, hamming: of the tree; hamming None: no signatures.
    """

    def __init__(self, vocabulary: Vocabulary, hamming: HammingModel | None, n_threads: int) -> None:
        self._vocabulary, self._hamming, self._n_threads = vocabulary, hamming, n_threads

    def segment(self, images: Iterable[Any], progress: bool) -> Segment:
        """Segment of images (ID, descriptors, name). Raises InvalidInputError, DuplicateIdError."""
        images = check_iterable(images, "images", "(ID, descriptors, name) of each")
        parts: list[Segment] = []
        seen: set[int] = set()
        for batch in counted(self._batches(images), "adding images", images, progress):
            for image_id, _, _ in batch:
                if image_id in seen:
                    raise DuplicateIdError(f"images: ID {image_id} is given more than once")
                seen.add(image_id)
            words, starts, signatures = self.words([descriptors for _, descriptors, _ in batch])
            ids = np.array([image_id for image_id, _, _ in batch], dtype=np.int64)
            parts.append(build_segment(ids, [name for _, _, name in batch], words, starts, signatures))
        return _one(parts, self._vocabulary.n_words)

    def words(self, images: Sequence[NDArray[Any]]) -> tuple[Words, Starts, NDArray[np.uint64] | None]:
        """(words of all, starts, signatures) of the checked descriptors of several images."""
        starts = offsets_of([len(descriptors) for descriptors in images])
        empty = np.empty((0, self._vocabulary.dimension), dtype=self._vocabulary.dtype)
        descriptors = np.concatenate([empty, *images])
        words = self._vocabulary.quantize(descriptors, self._n_threads)
        return words, starts, None if self._hamming is None else self._hamming.signatures(descriptors, words)

    def counts(self, images: Iterable[Any], branching: int, depth: int) -> Counts:
        """N and N_i of a set of images, each given as its descriptors. Raises InvalidInputError."""
        parts: list[Counts] = []
        images = check_iterable(images, "independent", "the descriptors of each image")
        numbered = ((i, descriptors, "") for i, descriptors in enumerate(images))
        for batch in self._batches(numbered):
            words, starts, _ = self.words([descriptors for _, descriptors, _ in batch])
            parts = [add_counts([*parts, counts_of_words(words, starts, branching, depth)])]
        if not parts:
            raise InvalidInputError("independent: expected at least one image, got none")
        return parts[0]

    def _batches(self, images: Iterable[Any]) -> Iterator[list[Image]]:
        """Checked images, as many as have `BATCH_DESCRIPTORS` together."""
        batch: list[Image] = []
        n = 0
        for place, image in enumerate(images):
            if not isinstance(image, tuple) or len(image) != 3:
                shown = " ".join(f"{image!r:.60}".split())  # arrays have lines
                raise InvalidInputError(f"images[{place}]: expected (ID, descriptors, name), got {shown}")
            image_id = check_integer(image[0], f"images[{place}]: ID", 0, MAX_ID)
            descriptors = self._vocabulary.check_descriptors(image[1], f"image {image_id}: descriptors")
            batch.append((image_id, descriptors, check_name(image[2], f"image {image_id}: name")))
            n += len(descriptors)
            if n >= BATCH_DESCRIPTORS:
                yield batch
                batch, n = [], 0
        if batch:
            yield batch


def _one(parts: Sequence[Segment], n_words: int) -> Segment:
    if not parts:
        return build_segment(np.empty(0, np.int64), (), np.empty(0, np.uint32), np.zeros(1, np.int64))
    if len(parts) == 1:
        return parts[0]
    return merged(parts, [np.empty(0, np.uint32) for _ in parts], n_words)

"""VocabularyTree: images in, ranked images out."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, EmptyIndexError, InvalidInputError, MissingIndexError
from metricsearch.threads import resolve_threads, thread_map
from metricsearch.validation import check_choice, check_ids, check_integer, check_positive
from metricsearch.vocabtree.adding import (
    ImageReader,
    check_iterable,
    check_names,
    check_path,
    check_words,
    counts_of_words,
    flat_words,
    segment_of_words,
)
from metricsearch.vocabtree.counts import Statistics
from metricsearch.vocabtree.disk import TreeStorage
from metricsearch.vocabtree.hamming import learn_hamming
from metricsearch.vocabtree.merging import merged, tidied
from metricsearch.vocabtree.querying import ScorerCache, resolve_scoring, search_descriptors, search_words
from metricsearch.vocabtree.results import TreeSearchResult
from metricsearch.vocabtree.scorer import Scorer
from metricsearch.vocabtree.scoring_options import Scoring
from metricsearch.vocabtree.segment import Segment
from metricsearch.vocabtree.state import (
    TreeState,
    Weights,
    check_free,
    locate,
    state_info,
    state_problems,
    state_report,
)
from metricsearch.vocabulary import Vocabulary, train_vocabulary
from metricsearch.vocabulary.clustering import STARTS
from metricsearch.vocabulary.training import MAX_SEED
from metricsearch.vocabulary.vocabulary import check_shape

MAX_IMAGES = 2**31 - 1
Ids = NDArray[np.int64]
_NONE: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)


class VocabularyTree:
    """Vocabulary tree of Nistér & Stewénius (2006): descriptors become words, images are found by their words.

    branching: children per node, 2..65535 (k of NS06). depth: levels below the root (L); at most 10^8 words. A flat
    vocabulary has depth 1. cycles, start: of the k-means training, see `train_vocabulary`. hamming: keep a 64-bit
    signature of each descriptor, for `Scoring(hamming_threshold=...)`. n_threads: None = all cores; results do not
    depend on it. A word is the code of a leaf: its ancestor on level l is word // branching ** (depth - l).

    Images may be added and removed at any time, also while other threads search; results never depend on the order of
    such changes. With `save` or `open` the tree is kept in a folder, and every change is durable when it returns.
    """

    def __init__(
        self,
        branching: int = 10,
        depth: int = 6,
        *,
        cycles: int = 10,
        start: str = "random",
        hamming: bool = False,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.branching, self.depth = check_shape(branching, depth)
        self.cycles = check_positive(cycles, "cycles")
        self.start = check_choice(start, "start", STARTS)
        if not isinstance(hamming, bool):
            raise InvalidInputError(f"hamming: expected True or False, got {hamming!r}")
        self.hamming = hamming
        self.seed = check_integer(seed, "seed", 0, MAX_SEED)
        self.n_threads = resolve_threads(n_threads)
        self._state = TreeState(self.branching, self.depth, None, None, (), (), Weights())
        self._scorers = ScorerCache()
        self._changing = threading.RLock()
        self._storage: TreeStorage | None = None

    @classmethod
    def from_vocabulary(
        cls, vocabulary: Vocabulary, *, seed: int = 0, n_threads: int | None = None
    ) -> "VocabularyTree":
        """Empty tree with a vocabulary that is trained already; without signatures."""
        tree = cls(vocabulary.branching, vocabulary.depth, seed=seed, n_threads=n_threads)
        tree._state = replace(tree._state, vocabulary=vocabulary)
        return tree

    # ------------------------------------------------------------------ training

    def fit(self, descriptors: Any, *, progress: bool = False, checkpoint: Path | None = None) -> "VocabularyTree":
        """Train the vocabulary from (n, d) uint8 or float32 descriptors, an array or h5py dataset (NS06 §2).

        With hamming=True projection and medians are learned from the same descriptors. checkpoint: folder for finished
        levels, see `train_vocabulary`. Raises InvalidInputError, also where the tree holds images already.
        """
        with self._change():
            if len(self):
                raise InvalidInputError(f"fit: the tree holds {len(self)} images of the present words; make a new tree")
            vocabulary = train_vocabulary(
                descriptors,
                branching=self.branching,
                depth=self.depth,
                cycles=self.cycles,
                start=self.start,
                seed=self.seed,
                n_threads=self.n_threads,
                progress=progress,
                checkpoint=checkpoint,
            )
            hamming = learn_hamming(descriptors, vocabulary, self.seed, self.n_threads) if self.hamming else None
            self._adopt(vocabulary=vocabulary, hamming=hamming, segments=(), removed=(), weights=Weights())
        return self

    @property
    def vocabulary(self) -> Vocabulary:
        """The trained vocabulary. Raises MissingIndexError."""
        if self._state.vocabulary is None:
            raise MissingIndexError("vocabulary: not trained yet; call fit")
        return self._state.vocabulary

    # ------------------------------------------------------------------ changing

    def add(self, image_id: int, descriptors: Any, *, name: str = "") -> None:
        """Insert one image, (n, d) descriptors; it is found at once. An image with n = 0 is kept and never found.

        Raises MissingIndexError, InvalidInputError, DuplicateIdError; then nothing has changed.
        """
        self.add_images([(image_id, descriptors, name)])

    def add_images(self, images: Iterable[tuple[int, Any, str]], *, progress: bool = False) -> int:
        """Insert images (ID, descriptors, name), all or none; how many. Raises as `add` does."""
        with self._change():
            segment = self._reader().segment(images, progress)
            self._insert(segment)
        return segment.n_images

    def add_words(self, image_ids: Any, words: Any, names: Sequence[str] | None = None) -> None:
        """Insert n images whose words are known, all or none; no vocabulary is needed.

        words: a list of n 1-D arrays of words, with repetition, or the tuple (words of all images, (n + 1,) starts).
        Raises InvalidInputError (also for a tree with hamming=True, which needs descriptors), DuplicateIdError.
        """
        if self.hamming:
            raise InvalidInputError("add_words: a tree with hamming=True needs descriptors; call add_images")
        ids = check_ids(image_ids, "image_ids")
        checked_names = check_names(names, len(ids))
        flat, starts = flat_words(words, self._state.n_words, len(ids))
        with self._change():
            check_free(self._state, ids)
            self._insert(segment_of_words(ids, checked_names, flat, starts, self._state.n_words))

    def remove(self, image_ids: Any) -> None:
        """Take images out. Raises UnknownIdError if one is not there; then nothing is removed."""
        ids = check_ids(image_ids, "image_ids")
        with self._change():
            places, numbers = locate(self._state, ids)
            if not len(ids):
                return
            state = self._state
            removed = [
                np.union1d(gone, numbers[places == i]).astype(np.uint32) if (places == i).any() else gone
                for i, gone in enumerate(state.removed)
            ]
            self._adopt_segments(state.segments, removed)

    def compact(self) -> None:
        """Put all images in one segment and drop removed ones. Results do not change; memory and time may shrink."""
        with self._change():
            state = self._state
            if len(state.segments) > 1 or any(len(gone) for gone in state.removed):
                segments = (merged(state.segments, state.removed, state.n_words),) if len(self) else ()
                self._adopt(segments=segments, removed=tuple(_NONE for _ in segments))

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One change at a time, and none of a tree that must not be changed."""
        with self._changing:
            if self._storage is not None:
                self._storage.check_writable()
            yield

    def _insert(self, segment: Segment) -> None:
        check_free(self._state, segment.image_ids)
        if not segment.n_images:
            return
        state = self._state
        if sum(s.n_images for s in state.segments) + segment.n_images > MAX_IMAGES:
            raise InvalidInputError(f"images: at most {MAX_IMAGES:,} fit in one tree; make another one")
        self._adopt_segments((*state.segments, segment), (*state.removed, _NONE))

    def _adopt(self, **changed: Any) -> None:
        """Make the changed state durable, if the tree is kept in a folder, and then the present one."""
        state = replace(self._state, **changed)
        self._state = state if self._storage is None else self._storage.commit(state)

    def _adopt_segments(self, segments: Sequence[Segment], removed: Sequence[NDArray[np.uint32]]) -> None:
        """Adopt these segments and what was removed of each, as few segments as there should be."""
        tidy, left = tidied(segments, removed, self._state.n_words)
        self._adopt(segments=tidy, removed=left)

    def _reader(self) -> ImageReader:
        return ImageReader(self.vocabulary, self._state.hamming, self.n_threads)

    # ------------------------------------------------------------------ weights

    def freeze_weights(self) -> None:
        """Keep the weights as they are: images that come or go no longer change them (NS06 §4, on-line insertion).

        Raises EmptyIndexError where the tree holds no images.
        """
        with self._change():
            statistics = self._scorers.statistics(self._state)
            if not isinstance(statistics, Statistics):
                return
            if not len(self):
                raise EmptyIndexError("freeze_weights: the tree holds no images; add some, or call reweight(...)")
            self._adopt(weights=Weights("frozen", statistics.counts()))

    def reweight(self, independent: Iterable[Any] | None = None) -> None:
        """Take weights from an independent set of images, each given as its descriptors, and keep them.

        None: let them follow the database again. Raises MissingIndexError, InvalidInputError.
        """
        with self._change():
            if independent is None:
                self._adopt(weights=Weights())
            else:
                counts = self._reader().counts(independent, self.branching, self.depth)
                self._adopt(weights=Weights("independent", counts))

    def reweight_words(self, words: Any) -> None:
        """As `reweight`, with images given as words: see `add_words`. Raises InvalidInputError."""
        flat, starts = flat_words(words, self._state.n_words)
        if len(starts) == 1:
            raise InvalidInputError("words: expected at least one image, got none")
        with self._change():
            self._adopt(weights=Weights("independent", counts_of_words(flat, starts, self.branching, self.depth)))

    # ------------------------------------------------------------------ searching

    def search(
        self,
        descriptors: Any,
        k: int = 4,
        *,
        norm: str | None = None,
        n_assignments: int = 1,
        n_checks: int | None = None,
        scoring: Scoring | None = None,
    ) -> TreeSearchResult:
        """The k best images for one query image, (n, d) descriptors, by formula (3) of NS06; single-threaded.

        norm: "l1" (also for None) or "l2", short for Scoring(norm=...). n_assignments: each descriptor counts for
        so many near leaves, by shares, see `soft_shares`; with Hamming embedding wholly for each. n_checks: the nearest
        of so many leaves are taken, see `Vocabulary.quantize_soft`; None: n_assignments, for one the plain descent.
        A query without descriptors, or an empty tree, gives an empty result. See `TreeSearchResult`.
        Raises MissingIndexError, InvalidInputError.
        """
        scorer = self._scorer(norm, scoring)
        return search_descriptors(scorer, descriptors, check_positive(k, "k"), n_assignments, n_checks)

    def search_words(self, words: Any, k: int = 4, *, scoring: Scoring | None = None) -> TreeSearchResult:
        """The k best images for a query given as its words, with repetition. Raises InvalidInputError."""
        checked = check_words(words, "words", self._state.n_words)
        return search_words(self._scorer(None, scoring), checked, check_positive(k, "k"))

    def search_many(
        self,
        queries: Iterable[Any],
        k: int = 4,
        *,
        norm: str | None = None,
        n_assignments: int = 1,
        n_checks: int | None = None,
        scoring: Scoring | None = None,
    ) -> list[TreeSearchResult]:
        """`search` for each of several query images, on `n_threads` threads; the database is that of the call."""
        scorer, n = self._scorer(norm, scoring), check_positive(k, "k")

        def one(query: Any) -> TreeSearchResult:
            return search_descriptors(scorer, query, n, n_assignments, n_checks)

        return thread_map(one, check_iterable(queries, "queries", "the descriptors of each"), self.n_threads)

    def scorer(self, scoring: Scoring | None = None) -> Scorer:
        """What `search` scores with: prepared now, kept until images or weights change. Raises InvalidInputError."""
        return self._scorer(None, scoring)

    def _scorer(self, norm: str | None, scoring: Scoring | None) -> Scorer:
        state = self._state
        return self._scorers.get(state, resolve_scoring(norm, scoring, state))

    # ------------------------------------------------------------------ looking inside

    def __len__(self) -> int:
        return self._state.n_images

    def image_ids(self) -> Ids:
        """(n,) int64 IDs of all images, in order of insertion."""
        state = self._state
        parts = [np.delete(s.image_ids, gone) for s, gone in zip(state.segments, state.removed, strict=True)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def names(self, image_ids: Any) -> list[str]:
        """Names of images, "" where none was given. Raises UnknownIdError."""
        state = self._state
        places, numbers = locate(state, check_ids(image_ids, "image_ids"))
        return [state.segments[i].name_of(int(number)) for i, number in zip(places, numbers, strict=True)]

    def words_of(self, image_id: int) -> NDArray[np.uint32]:
        """(n,) uint32 words of an image, ascending, with repetition. Raises UnknownIdError."""
        state = self._state
        places, numbers = locate(state, check_ids([image_id], "image_id"))
        return np.repeat(*state.segments[places[0]].words_of(int(numbers[0])))

    def memory_report(self) -> dict[str, int]:
        """Bytes of all arrays, by part; memory-mapped ones count too."""
        return state_report(self._state) | {"scorers": self._scorers.n_bytes}

    @property
    def memory_bytes(self) -> int:
        """Sum of `memory_report`."""
        return sum(self.memory_report().values())

    # ------------------------------------------------------------------ on disk

    def parameters(self) -> dict[str, Any]:
        """JSON-able parameters of the constructor."""
        names = ("branching", "depth", "cycles", "start", "hamming", "seed")
        return {name: getattr(self, name) for name in names}

    def save(self, path: Any, *, features: dict[str, Any] | None = None) -> None:
        """Keep the tree in the new folder `path` from now on, open for changes; see `disk`.

        features: JSON-able, what made the descriptors. Raises ExistsError, InvalidInputError, StorageError.
        """
        with self._changing:
            if self._storage is not None:
                raise InvalidInputError(f"save: the tree is kept already in {self.path}; copy that folder instead")
            self._storage, self._state = TreeStorage.create(check_path(path), self.parameters(), features, self._state)

    @classmethod
    def open(cls, path: Any, *, readonly: bool = False, n_threads: int | None = None) -> "VocabularyTree":
        """The tree in the folder `path`, memory-mapped. One process may have it open for changes, any number readonly.

        A tree opened readonly stays as it was when opened. Raises MissingDataError, CorruptedError, FormatVersionError,
        StorageError.
        """
        n_threads = resolve_threads(n_threads)
        storage = TreeStorage.open(check_path(path), readonly=readonly)
        try:
            state = storage.load()
            try:
                tree = cls(**storage.parameters, n_threads=n_threads)
            except (TypeError, InvalidInputError) as error:
                raise CorruptedError(f"{path}: its parameters are damaged ({error}); restore a backup") from None
        except BaseException:
            storage.close()
            raise
        tree._storage, tree._state = storage, state
        return tree

    @property
    def path(self) -> Path | None:
        """Folder that the tree is kept in, or None."""
        return None if self._storage is None else self._storage.path

    def close(self) -> None:
        """Give up the folder, if there is one; the tree can still be searched, but not changed."""
        with self._changing:
            if self._storage is not None:
                self._storage.close()

    def verify(self) -> list[str]:
        """What is wrong with the files, or with the arrays in memory, one line each; reads everything."""
        return state_problems(self._state) if self._storage is None else self._storage.verify()

    def info(self) -> dict[str, Any]:
        """JSON-able: what the tree is and holds."""
        told = {"path": str(self.path), "parameters": self.parameters(), **state_info(self._state)}
        if self._storage is None:
            return told | {"path": None, "features": None}
        return told | {"features": self._storage.features, "disk_bytes": self._storage.disk_report()}

    def __enter__(self) -> "VocabularyTree":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

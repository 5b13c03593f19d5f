"""Measuring points: trees are trained once for all points that share them, and grow from one database to the next."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets import SyntheticBags
from metricsearch.errors import ConfigError, InvalidInputError
from metricsearch.experiment.grouping import grouped
from metricsearch.experiment.parts import Part, Phase
from metricsearch.experiment.retrieval.config import (
    DataConfig,
    RetrievalExperiment,
    RetrievalPoint,
    VocabularyConfig,
)
from metricsearch.experiment.retrieval.data import CachedFeatures, Photo, Photos, in_box, load_photos
from metricsearch.experiment.retrieval.searching import Searched, search_all
from metricsearch.vocabtree import VocabularyTree

BAGS_AT_ONCE = 20_000
NOT_OF_IMAGES = ("vocabulary", "hamming", "weights", "scorers")  # parts of `memory_report` that are no image


def measure(
    config: RetrievalExperiment,
    points: list[RetrievalPoint],
    pending: list[RetrievalPoint],
    work: Path,
    phase: Phase,
) -> Generator[Part, None, None]:
    """The parts of `pending`: one after another by features, vocabulary, size of the database, weights.

    arrays, one row per query: ranks and worst_ranks (n_queries, most relevant images), see `relevant_ranks`, 0 where
    a query has fewer; groups; first_ids (best answers, -1 where there are fewer); ns_score, average_precision and
    average_precision_easy, _hard where asked for; times in ms and counts.
    """
    phase("photos")
    photos = load_photos(config.data)
    for features_config, of_features in grouped(pending, lambda point: point.features):
        phase("features")
        with CachedFeatures(photos.all(), features_config, phase.shown) as features:
            features.require([*photos.database[: photos.n_targets], *photos.query_photos])
            # Signatures cost time and memory that other scorings must not be charged with: a tree of its own.
            for (vocabulary, hamming), group in grouped(of_features, _tree_key):
                tree = VocabularyTree(
                    vocabulary.branching,
                    vocabulary.depth,
                    cycles=vocabulary.cycles,
                    start=vocabulary.start,
                    hamming=hamming,
                    seed=vocabulary.seed,
                )
                yield from _measure_tree(config, photos, features, tree, group, phase)


def _tree_key(point: RetrievalPoint) -> tuple[VocabularyConfig, bool]:
    return point.vocabulary, point.scoring.hamming_threshold is not None


def _measure_tree(
    config: RetrievalExperiment,
    photos: Photos,
    features: CachedFeatures,
    tree: VocabularyTree,
    group: list[RetrievalPoint],
    phase: Phase,
) -> Iterator[Part]:
    """Parts of the points that share a tree, which is trained here."""
    vocabulary = group[0].vocabulary
    shape = f"k={vocabulary.branching} L={vocabulary.depth}"
    phase(f"training {shape}")
    sample = _training_sample(config.data, photos, features, vocabulary)
    start = perf_counter()
    tree.fit(sample.descriptors, progress=phase.shown)
    facts = {
        "train_s": perf_counter() - start,
        "n_training_images": sample.n_images,
        "n_training_descriptors": len(sample.descriptors),
        "n_words": vocabulary.branching**vocabulary.depth,
        "n_leaves": tree.vocabulary.n_leaves,
        "vocabulary_bytes": tree.vocabulary.memory_bytes,
    }
    del sample
    database = _Database(tree, photos, features, config.data.seed)
    queries = [
        in_box(features.features(photo), query)
        for photo, query in zip(photos.query_photos, photos.queries, strict=True)
    ]
    searched = Searched(tree, photos.queries, queries, database.load, config.measure)
    for n_images, of_size in sorted(grouped(group, lambda point: point.n_images or database.n_photos)):
        phase(f"{shape}: {n_images:,} images")
        database.grow(n_images)
        for weights, of_weights in grouped(of_size, lambda point: point.scoring.weights):
            database.weigh(weights)
            for point in of_weights:
                phase(point.label or f"{shape}, {n_images:,} images")
                arrays = search_all(searched, point)
                yield Part(point, {**facts, **database.about()}, arrays)


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """Descriptors (n, 128) uint8 to train on, and from how many images they are."""

    descriptors: NDArray[np.uint8]
    n_images: int


def _training_sample(
    data: DataConfig, photos: Photos, features: CachedFeatures, vocabulary: VocabularyConfig
) -> _Sample:
    """Descriptors of images drawn at random, and of those so many; a smaller number of images lies within a larger.

    Independent photos that are in the database too, byte for byte, are left out.
    """
    pool = [photo for photo in photos.database if photo in features]
    if vocabulary.train_on == "independent":
        pool = independent_photos(photos, features)
    n_images = vocabulary.n_training_images or len(pool)
    if n_images > len(pool):
        raise ConfigError(f"vocabulary.n_training_images: expected at most {len(pool)}, got {n_images}")
    rng = np.random.default_rng(data.seed)
    chosen = [pool[i] for i in rng.permutation(len(pool))[:n_images]]
    starts = np.cumsum([0, *(features.n_descriptors(photo) for photo in chosen)])
    n = int(starts[-1]) if vocabulary.n_descriptors is None else vocabulary.n_descriptors
    if n > starts[-1]:
        raise ConfigError(f"vocabulary.n_descriptors: expected at most {starts[-1]} ({n_images} images), got {n}")
    rows = np.sort(rng.choice(int(starts[-1]), n, replace=False)) if n < starts[-1] else None
    parts = []
    for photo, first, end in zip(chosen, starts, starts[1:], strict=False):
        descriptors = features.descriptors(photo)
        if rows is not None:
            low, high = np.searchsorted(rows, (first, end))
            descriptors = descriptors[rows[low:high] - first]
        parts.append(descriptors)
    return _Sample(np.concatenate(parts), n_images)


def independent_photos(photos: Photos, features: CachedFeatures) -> list[Photo]:
    """The readable independent photos whose bytes are not those of a photo of the database or of a query."""
    inside = {features.sha256(photo) for photo in (*photos.database, *photos.query_photos) if photo in features}
    return [photo for photo in photos.independent if photo in features and features.sha256(photo) not in inside]


class _Database:
    """The images of a tree: targets and distractors, then synthetic bags. It only grows."""

    def __init__(self, tree: VocabularyTree, photos: Photos, features: CachedFeatures, seed: int) -> None:
        self._tree, self._features, self._seed = tree, features, seed
        self._photos = [photo for photo in photos.database if photo in features]  # targets are all readable
        self._n_targets = photos.n_targets
        self._all = photos
        self._bags: SyntheticBags | None = None

    @property
    def n_photos(self) -> int:
        """Size without synthetic bags."""
        return len(self._photos)

    def load(self, image: int) -> Any:
        """Keypoints and descriptors of an image, for verification. Raises ConfigError for a synthetic bag."""
        if image >= len(self._photos):
            raise ConfigError("verification.top: synthetic bags cannot be verified; leave out n_images or verification")
        return self._features.features(self._photos[image])

    def grow(self, n_images: int) -> None:
        """Add images until there are `n_images`."""
        if n_images < self._n_targets:
            raise ConfigError(f"n_images: expected at least the {self._n_targets} targets, got {n_images}")
        photos = enumerate(self._photos[:n_images])
        new = islice(photos, len(self._tree), None)
        self._tree.add_images((row, self._features.descriptors(photo), photo.path.name) for row, photo in new)
        while (first := len(self._tree)) < n_images:
            ids = np.arange(first, min(first + BAGS_AT_ONCE, n_images))
            self._tree.add_words(ids, self._synthetic_bags().draw(first - len(self._photos), len(ids)))

    def _synthetic_bags(self) -> SyntheticBags:
        if self._bags is None:
            words = [self._tree.words_of(row) for row in range(len(self._photos))]
            self._bags = SyntheticBags.from_images(words, seed=self._seed)
        return self._bags

    def weigh(self, source: str) -> None:
        """Take the weights from the database as it is, from its targets, or from the independent photos."""
        if source == "database":
            self._tree.reweight()
            return
        chosen = self._photos[: self._n_targets]
        if source == "independent":
            chosen = independent_photos(self._all, self._features)
        if not chosen:
            raise InvalidInputError("data.independent: no photo is left that is not in the database")
        self._tree.reweight(self._features.descriptors(photo) for photo in chosen)

    def about(self) -> dict[str, Any]:
        """Facts of the present index."""
        n, n_photos = len(self._tree), min(len(self._tree), len(self._photos))
        report = self._tree.memory_report()
        index_bytes = sum(n_bytes for part, n_bytes in report.items() if part not in NOT_OF_IMAGES)
        n_words = sum(len(self._tree.words_of(row)) for row in range(n_photos))
        return {
            "n_database": n,
            "n_distractors": n_photos - self._n_targets,
            "n_bags": n - n_photos,
            "n_unreadable": len(self._all.database) - len(self._photos),
            "index_bytes": index_bytes,
            "index_bytes_per_image": index_bytes / n,
            "words_per_image": n_words / n_photos,
        }

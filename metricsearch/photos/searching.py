"""From a photo to hits: what shows the very same things first, then what looks alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.collection import Collection
from metricsearch.features.feature import GlobalFeature, LocalFeature
from metricsearch.features.local import LocalFeatures
from metricsearch.features.photo import Photo
from metricsearch.photos.hits import Kind, PhotoHit
from metricsearch.photos.sizes import n_candidates
from metricsearch.photos.table import Ids, PhotoTable
from metricsearch.spaces.batches import dense_view
from metricsearch.verification import VerificationOptions, rerank
from metricsearch.vocabtree import VocabularyTree

N_VERIFIED = 50  # best images of the vocabulary tree that are checked by geometry
_N_ASSIGNMENTS, _N_CHECKS = 3, 32  # words per local feature of the query, and leaves looked at for them

# 350 photos of corel5k, caltech101 and dvd_covers asked among 500 of flickr8k: of 17,500 candidates none has even 4
# inliers. 150 photos of each of flickr8k, corel5k and caltech101 asked within their set: with 8 or more they show one
# scene, person, drawing or make of motorcycle. Half of a photo, or one that is turned by 15 or 90 degrees, darkened,
# halved in size or saved at quality 10, is found by 8 or more in 417 of 420 cases.
VERIFICATION = VerificationOptions(min_inliers=8)


@dataclass(frozen=True, slots=True)
class Searcher:
    """The parts of a photo collection that a search looks into. local: None without words; tree: also where no photo
    has enough local features to train one.
    """

    table: PhotoTable
    descriptors: Collection
    tree: VocabularyTree | None
    feature: GlobalFeature
    local: LocalFeature | None
    n_threads: int

    def search(self, query: Photo, k: int) -> list[PhotoHit]:
        """The k best photos. Raises InvalidInputError for a query that cannot be decoded, CorruptedError."""
        vector = self.feature.extract(query)
        inliers = self._verified(query)
        itself = self.table.find(query.sha256)
        same = [] if itself is None else [itself]
        near = self._nearest(vector, k, [*same, *inliers])
        groups: list[tuple[Kind, list[int]]] = [
            ("same photo", same),
            ("same object", sorted(inliers, key=lambda photo: (-inliers[photo], near[photo], photo))),
            ("similar", sorted(near, key=lambda photo: (near[photo], photo))),
        ]
        kinds: dict[int, Kind] = {}
        for kind, photos in groups:
            for photo in photos:
                kinds.setdefault(photo, kind)
        hits = []
        for rank, (photo, kind) in enumerate(list(kinds.items())[:k], start=1):
            path, *others = self.table.paths(photo)
            hits.append(
                PhotoHit(
                    rank=rank,
                    kind=kind,
                    path=path,
                    other_paths=tuple(others),
                    distance=near[photo],
                    n_inliers=inliers.get(photo, 0),
                    sha256=self.table.sha256(photo),
                )
            )
        return hits

    def _nearest(self, vector: NDArray[np.float32], k: int, more: list[int]) -> dict[int, float]:
        """Distances of the k nearest photos, and of `more`, by ID.

        A vector of zeros (VLAD of a photo without corners, HOG of a plain one) says nothing, and is nearer to most
        photos than these are to each other: such photos are like no other, and nothing is like such a query.
        """
        found: dict[int, float] = {}
        wanted, n = k if vector.any() else 0, len(self.table)
        while wanted:
            result = self.descriptors.search(vector[None], min(wanted, n), n_candidates=n_candidates(n, wanted))
            said = dense_view(self.descriptors.get(result.ids[0]), np.float32).any(axis=1)
            found = dict(zip(result.ids[0][said].tolist(), result.distances[0][said].tolist(), strict=True))
            wanted = 0 if len(found) >= min(k, n) or wanted >= n else 4 * wanted
        found = dict(list(found.items())[:k])
        others = [photo for photo in dict.fromkeys(more) if photo not in found]
        if others:
            metric = self.descriptors.metric
            distances = metric.distances(metric.check(vector[None]), self.descriptors.get(others))
            found.update(zip(others, distances.tolist(), strict=True))
        return found

    def _verified(self, query: Photo) -> dict[int, int]:
        """Inliers of the photos, by ID, that share something with the query as geometry confirms."""
        if self.local is None or self.tree is None:
            return {}
        max_side = self.local.options.max_side
        features, stored = reduced(self.local.extract(query), max_side), self.table.file.local(self.local.name)
        if not len(features):
            return {}
        ids, scores = self._candidates(self.tree, features)

        def load(photo: int) -> LocalFeatures:
            return reduced(stored.features(self.table.row(photo)), max_side)

        result = rerank(ids, scores, features, load, top=N_VERIFIED, options=VERIFICATION, n_threads=self.n_threads)
        found = zip(result.ids.tolist(), result.n_inliers.tolist(), strict=True)
        return {photo: n_inliers for photo, n_inliers in found if n_inliers}

    def _candidates(self, tree: VocabularyTree, features: LocalFeatures) -> tuple[Ids, NDArray[Any]]:
        """Photos to verify: all while they are few, so that words of little weight cannot hide one."""
        if len(self.table) <= N_VERIFIED:
            return self.table.ids, np.zeros(len(self.table))
        result = tree.search(features.descriptors, N_VERIFIED, n_assignments=_N_ASSIGNMENTS, n_checks=_N_CHECKS)
        return result.ids, result.scores


def reduced(features: LocalFeatures, max_side: int | None) -> LocalFeatures:
    """Local features in pixels of the size at which the photo was looked at.

    A photo of 60 megapixels and its thumbnail then differ in scale by no more than geometry accepts.
    """
    longest = max(features.width, features.height)
    if max_side is None or longest <= max_side:
        return features
    factor = max_side / longest
    keypoints = features.keypoints * np.array([factor, factor, factor, 1.0], dtype=np.float32)
    width, height = (max(1, round(side * factor)) for side in (features.width, features.height))
    return LocalFeatures(keypoints, features.descriptors, width, height)

"""Between vocabulary trees and files of features: what is trained from, indexed, asked and verified."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import ExistsError, InvalidInputError, MissingDataError
from metricsearch.features import (
    FeatureFile,
    LocalFeatureOptions,
    LocalFeatures,
    LocalTable,
    extract_local,
    read_photo,
)
from metricsearch.features.images import quiet_decoders
from metricsearch.validation import check_positive
from metricsearch.verification import VerificationOptions, rerank
from metricsearch.vocabtree import VocabularyTree
from metricsearch.vocabtree.disk import CHECKPOINT

_CHUNK_ROWS = 1 << 18


@dataclass(frozen=True, slots=True)
class Query:
    """An image that is searched for."""

    name: str
    features: LocalFeatures


def train_tree(
    features: str, feature: str | None, path: Path, parameters: dict[str, Any], n_descriptors: int | None
) -> VocabularyTree:
    """The tree at `path`, trained from a feature file; one whose training was stopped goes on.

    feature: the local feature; None: the only one of the file. n_descriptors: size of the random sample; None: all.
    Raises ExistsError where it is trained already.
    """
    if n_descriptors is not None:
        check_positive(n_descriptors, "n_descriptors")
    with FeatureFile.open(features) as file:
        table = file.local(feature)
        is_new = not path.exists()
        if is_new:
            tree = VocabularyTree(**parameters)
            tree.save(path, features=table.provenance)
        else:
            tree = _begun(path, parameters, table)
        try:
            descriptors = _sample(table, n_descriptors, parameters["seed"])
            tree.fit(descriptors, progress=True, checkpoint=path / CHECKPOINT)
        except BaseException as error:
            tree.close()
            if is_new and isinstance(error, InvalidInputError):
                shutil.rmtree(path, ignore_errors=True)  # nothing was trained: not in the way of the next try
            raise
    return tree


def _begun(path: Path, parameters: dict[str, Any], table: LocalTable) -> VocabularyTree:
    """The untrained tree that an earlier training of the same parameters has left."""
    tree = VocabularyTree.open(path)
    try:
        told = tree.info()
        if told["trained"]:
            raise ExistsError(f"{path}: is trained already; choose another path, or delete it first")
        for name, value in parameters.items():
            if told["parameters"][name] != value:
                raise InvalidInputError(
                    f"{path}: its training was begun with {name} {told['parameters'][name]}, now {value} is given; "
                    "give the same, or delete it first"
                )
        _check_same_options(tree, table)
    except BaseException:
        tree.close()
        raise
    return tree


def _sample(table: LocalTable, n: int | None, seed: int) -> Any:
    """All descriptors, as the dataset that training streams from; or n of them, drawn without replacement."""
    total = len(table.descriptors)
    if n is None or n >= total:
        return table.descriptors
    rows = np.sort(np.random.default_rng(seed).choice(total, n, replace=False))
    drawn = np.empty((n, table.descriptors.shape[1]), dtype=np.uint8)
    done = 0
    for low in range(0, total, _CHUNK_ROWS):
        stop = int(np.searchsorted(rows, low + _CHUNK_ROWS))
        if stop > done:
            drawn[done:stop] = table.descriptors[low : low + _CHUNK_ROWS][rows[done:stop] - low]
        done = stop
    return drawn


def features_for(tree: VocabularyTree, file: FeatureFile) -> LocalTable:
    """The features of a file that the tree was trained with. Raises UnknownNameError, InvalidInputError."""
    table = file.local(_options_of(tree).kind)
    _check_same_options(tree, table)
    return table


def _check_same_options(tree: VocabularyTree, table: LocalTable) -> None:
    trained, given = _options_of(tree).to_dict(), table.options.to_dict()
    differing = [f"{name} {trained[name]} there, {given[name]} here" for name in given if trained[name] != given[name]]
    if differing:
        raise InvalidInputError(
            f"{table.path}: not the features that the tree was trained with ({'; '.join(differing)}); "
            "extract the photos with the same options"
        )


def _options_of(tree: VocabularyTree) -> LocalFeatureOptions:
    """What photos are extracted with, for this tree."""
    told = tree.info()
    try:
        return LocalFeatureOptions(**told["features"]["options"])
    except (TypeError, KeyError):  # nobody told, or something else
        raise InvalidInputError(
            f"{told['path']}: it does not say what features it was trained with; make it with: metricsearch vocab train"
        ) from None


def index_features(tree: VocabularyTree, features: str) -> int:
    """Add the images of a feature file whose paths the tree does not have; how many. IDs follow the largest one."""
    with FeatureFile.open(features) as file:
        table = features_for(tree, file)
        ids = tree.image_ids()
        known = set(tree.names(ids))
        rows = [row for row, path in enumerate(file.paths) if path not in known]
        for row in rows:
            _check_name(file, file.paths[row])
        first = int(ids.max(initial=-1)) + 1
        images = ((first + i, table.descriptors_of(row), file.paths[row]) for i, row in enumerate(rows))
        return tree.add_images(images, progress=True)


def _check_name(file: FeatureFile, path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(
            f"{file.path}: the name of photo {path!r} is not UTF-8; rename that file and extract it again"
        ) from None


def queries_of_photos(tree: VocabularyTree, photos: Sequence[Path]) -> list[Query]:
    """The features of photos, extracted as those of the tree were."""
    options = _options_of(tree)
    with quiet_decoders():
        return [Query(str(photo), extract_local(read_photo(photo), options)) for photo in photos]


def queries_of_file(tree: VocabularyTree, features: str, images: Sequence[str]) -> Iterator[Query]:
    """The images of a feature file, or those of these paths, as queries."""
    with FeatureFile.open(features) as file:
        table = features_for(tree, file)
        rows = _rows(file)
        asked = [(path, _row(file, rows, path)) for path in images or file.paths]  # all, before the first answer
        for path, row in asked:
            yield Query(path, table.features(row))


def _rows(file: FeatureFile) -> dict[str, int]:
    return {path: row for row, path in enumerate(file.paths)}


def _row(file: FeatureFile, rows: dict[str, int], path: str) -> int:
    if path not in rows:
        raise MissingDataError(f"{file.path}: it has no image {path}; extract that photo too, or check the path")
    return rows[path]


class Verifier:
    """Orders the best images of a query by geometry. features: the file with the keypoints of the tree's images."""

    def __init__(self, tree: VocabularyTree, features: str, top: int) -> None:
        self._tree, self._top = tree, check_positive(top, "top")
        self._file = FeatureFile.open(features)
        self._table = features_for(tree, self._file)
        self._rows = _rows(self._file)

    def __call__(
        self, query: Query, ids: NDArray[np.int64], scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """IDs, scores and numbers of inliers in the new order."""
        result = rerank(ids, scores, query.features, self._features, top=self._top, options=VerificationOptions())
        return result.ids, result.scores, result.n_inliers

    def _features(self, image_id: int) -> LocalFeatures:
        name = self._tree.names([image_id])[0]
        return self._table.features(_row(self._file, self._rows, name))

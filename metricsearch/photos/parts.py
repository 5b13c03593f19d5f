"""The searchable parts of a photo collection, each made to hold exactly the photos of a table.

Whatever a kill has left of a part is completed or, where it cannot be, made again. Both parts end up the same as after
an undisturbed run: descriptors are indexed anew after every change, a vocabulary is trained by what the photos were
when its training began.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.collection import Collection
from metricsearch.features.feature_file import LocalTable
from metricsearch.files import system_errors
from metricsearch.manifests import MANIFEST
from metricsearch.photos.sizes import BRANCHING, N_SAMPLED, index_for, vocabulary_depth
from metricsearch.photos.table import Ids, PhotoTable
from metricsearch.vocabtree import VocabularyTree
from metricsearch.vocabtree.disk import CHECKPOINT

SEED = 0
_PORTION = 2000  # photos whose words are added, durably, at a time


def update_descriptors(path: Path, table: PhotoTable, feature: str, n_threads: int, progress: bool) -> None:
    """Make the collection `path` hold the vectors of the table's photos, and index it.

    Raises what `Collection` raises.
    """
    provenance = table.file.provenance(feature)
    with _descriptors(path, table.file.metric(feature), provenance, n_threads) as collection:
        there = collection.ids()
        collection.remove(np.setdiff1d(there, table.ids))
        ids = np.setdiff1d(table.ids, there)
        rows = table.rows(ids)
        order = np.argsort(rows)
        collection.add(table.vectors(feature, rows[order]), ids[order], provenance, progress=progress)
        if len(table):
            collection.build_index(index_for(len(table), collection.metric, n_threads), progress=progress)


def _descriptors(path: Path, metric: dict[str, Any], provenance: dict[str, Any], n_threads: int) -> Collection:
    """The collection at `path`, open for changes, unless its vectors were made in another way: then a new one."""
    _delete_half_made(path)
    if path.exists():
        collection = Collection.open(path, n_threads=n_threads)
        if collection.provenance in (None, provenance):  # None: it was never added to
            return collection
        collection.close()
        _delete(path)
    return Collection.create(path, metric=metric, n_threads=n_threads)


def update_words(path: Path, table: PhotoTable, feature: str, content: str, n_threads: int, progress: bool) -> None:
    """Make the tree `path` hold the words of the table's photos; it stays untrained where there is nothing to train.

    A vocabulary is kept as long as it is large enough. feature: name of the local feature in the table's file.
    content: fingerprint of the photos it is trained from.
    Raises what `VocabularyTree` raises.
    """
    local = table.file.local(feature)
    depth = vocabulary_depth(len(local.descriptors))
    with _tree(path, depth, local.provenance, content, n_threads) as tree:
        if not tree.info()["trained"]:
            sample = _sample(local, table)
            if len(sample) <= BRANCHING or (sample == sample[0]).all():
                return
            tree.fit(sample, progress=progress, checkpoint=path / CHECKPOINT)
        there = tree.image_ids()
        tree.remove(np.setdiff1d(there, table.ids))
        ids = np.setdiff1d(table.ids, there)
        rows = table.rows(ids)
        for portion in _portions(np.argsort(rows)):
            tree.add_images(_images(local, ids[portion], rows[portion]), progress=progress)


def _tree(path: Path, depth: int, provenance: dict[str, Any], content: str, n_threads: int) -> VocabularyTree:
    """The tree at `path`, open for changes, unless another one is needed now.

    That is: a larger one, one of features made in another way, or, while it is untrained, one to train by other photos.
    """
    _delete_half_made(path)
    if path.exists():
        tree = VocabularyTree.open(path, n_threads=n_threads)
        told = tree.info()
        begun = {**told["features"]}
        begun_by = begun.pop("content")
        enough = tree.depth >= depth if told["trained"] else (tree.depth, begun_by) == (depth, content)
        if enough and begun == provenance:
            return tree
        tree.close()
        _delete(path)
    tree = VocabularyTree(BRANCHING, depth, seed=SEED, n_threads=n_threads)
    tree.save(path, features={**provenance, "content": content})
    return tree


def _sample(local: LocalTable, table: PhotoTable) -> NDArray[np.uint8]:
    """Descriptors (n, 128) to train from: those of all photos, or of as many random ones as give N_SAMPLED."""
    rows = np.random.default_rng(SEED).permutation(table.rows(table.ids))
    counts = np.diff(local.starts)[rows]
    chosen = np.sort(rows[np.cumsum(counts) - counts < N_SAMPLED])
    empty = np.empty((0, local.descriptors.shape[1]), dtype=np.uint8)
    return np.concatenate([empty, *(local.descriptors_of(int(row)) for row in chosen)])


def _portions(order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for low in range(0, len(order), _PORTION):
        yield order[low : low + _PORTION]


def _images(local: LocalTable, ids: Ids, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.uint8], str]]:
    """(ID, descriptors, name) of photos; they have no names, since paths may change."""
    for image_id, row in zip(ids.tolist(), rows.tolist(), strict=True):
        yield image_id, local.descriptors_of(row), ""


def _delete_half_made(path: Path) -> None:
    """Delete a folder that was being made, or deleted, when the process was killed."""
    if path.is_dir() and not (path / MANIFEST).is_file():
        with system_errors(path):
            shutil.rmtree(path)


def _delete(path: Path) -> None:
    """Delete a part, its manifest first: what a kill leaves of it is seen to be half made."""
    with system_errors(path):
        (path / MANIFEST).unlink()
        shutil.rmtree(path)

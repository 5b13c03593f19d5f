"""Image-retrieval sets: photos of a database, queries, and the ground truth of the published protocols."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from metricsearch.datasets.archives import unpacked_archives
from metricsearch.datasets.files import PathLike
from metricsearch.datasets.image_layouts import LAYOUTS, Content, ImageQuery, missing_files
from metricsearch.datasets.registry import data_directory
from metricsearch.errors import CorruptedError, InvalidInputError, MissingDataError, UnknownNameError
from metricsearch.validation import check_positive


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """Photos of a database and the queries to it; sets without queries serve as distractors."""

    name: str
    title: str
    images: tuple[Path, ...]  # the database; a photo's place is its row in the ground truth
    image_names: tuple[str, ...]  # path below the set's folder, with slashes; all different
    queries: tuple[ImageQuery, ...]

    def __len__(self) -> int:
        return len(self.images)

    def with_distractors(self, others: Sequence["ImageSet"]) -> "ImageSet":
        """This set with the photos of `others` behind its own; they are wrong answers to all queries.

        Their names get the name of their set in front; queries of `others` are left out.
        Raises InvalidInputError if names then clash.
        """
        images, names = list(self.images), list(self.image_names)
        for other in others:
            images += other.images
            names += [f"{other.name}/{name}" for name in other.image_names]
        if len(set(names)) != len(names):
            raise InvalidInputError(f"others: a name occurs twice when {_sum_name(self, others)} are put together")
        return replace(self, name=_sum_name(self, others), images=tuple(images), image_names=tuple(names))


def _sum_name(first: ImageSet, others: Sequence[ImageSet]) -> str:
    return "+".join([first.name, *(other.name for other in others)])


def image_set_names() -> list[str]:
    """Names that `load_image_set` knows, in the order of the catalogue."""
    return list(_catalogue())


def describe_image_set(name: str) -> dict[str, Any]:
    """The catalogue's entry: title, layout, folder, n_images and n_queries (None: unknown), origin, licence, note,

    access ("local", "download", "manual"), how_to_get, files (path, sha256 or None, url) of a download.
    Raises UnknownNameError.
    """
    catalogue = _catalogue()
    if name not in catalogue:
        close = difflib.get_close_matches(str(name), catalogue, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UnknownNameError(f"image set {name!r} is unknown; {hint}known: {', '.join(catalogue)}")
    entry: dict[str, Any] = json.loads(json.dumps(catalogue[name]))  # the caller may change his copy
    return {"name": name, **entry}


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    text = files("metricsearch.datasets").joinpath("image_sets.json").read_text(encoding="utf-8")
    catalogue: dict[str, dict[str, Any]] = json.loads(text)
    return catalogue


def load_image_set(name: str, *, folder: PathLike | None = None, limit: int | None = None) -> ImageSet:
    """The image set `name` of the catalogue: paths and ground truth; no photo is read.

    folder : where its files are; None: the catalogue's folder in `data_directory()`, or else, where there is a public
             address, the unpacked download (pooch is needed; without a published checksum the first one is trusted).
    limit  : photos of the database wanted, at most all. A set with queries keeps its first ones, and the queries whose
             own photo and relevant images are all among them. A set without queries (distractors, sorted by class) is
             thinned evenly: a fixed random order decides, so that a smaller part lies within a larger one.
    Raises UnknownNameError, InvalidInputError (limit, or an unreadable ground truth), MissingDataError, CorruptedError
    (not the number of photos or queries that the published set has), MissingExtraError, StorageError.
    """
    entry = describe_image_set(name)
    limit = None if limit is None else check_positive(limit, "limit")
    content = LAYOUTS[entry["layout"]](_folder_of(entry, folder))
    _check_counts(entry, content, limit)
    names, queries = list(content.images), content.queries
    if limit is not None and limit < len(names):
        names, queries = _limited(name, names, queries, limit)
    images = tuple(content.images[image] for image in names)
    if absent := missing_files({*images, *(query.path for query in queries)}):
        raise MissingDataError(
            f"{name}: {min(absent)} is missing, as are {len(absent) - 1} other photos; {entry['how_to_get']}"
        )
    return ImageSet(name, entry["title"], images, tuple(names), tuple(queries))


def _folder_of(entry: dict[str, Any], given: PathLike | None) -> Path:
    if given is not None:
        folder = Path(given)
    else:
        data = data_directory()
        folder = Path(entry["folder"]) if data is None else data / entry["folder"]
        if entry["access"] == "download" and (data is None or not folder.is_dir()):
            return unpacked_archives(entry)
        if data is None:
            raise MissingDataError(f"{entry['name']}: no data folder on this machine; {entry['how_to_get']}")
    if not folder.is_dir():
        raise MissingDataError(f"{entry['name']}: {folder}: no such folder; {entry['how_to_get']}")
    return folder


def _check_counts(entry: dict[str, Any], content: Content, limit: int | None) -> None:
    """Compare with the published numbers; with a limit, only so many photos need to be there."""
    n_images, found = entry["n_images"], len(content.images)
    if limit is not None and n_images is not None and limit > n_images:
        raise InvalidInputError(f"limit: {entry['name']} has {n_images:,} photos, {limit:,} were asked for")
    if limit is not None and limit <= found:
        return
    if n_images is not None and found != n_images:
        raise CorruptedError(f"{entry['name']}: expected {n_images:,} photos, found {found:,}; {entry['how_to_get']}")
    if limit is not None and limit > found:
        raise InvalidInputError(f"limit: {entry['name']} has {found:,} photos here, {limit:,} were asked for")
    if entry["n_queries"] is not None and len(content.queries) != entry["n_queries"]:
        raise CorruptedError(
            f"{entry['name']}: expected {entry['n_queries']:,} queries, found {len(content.queries):,}; "
            f"{entry['how_to_get']}"
        )


def _limited(name: str, names: list[str], queries: list[ImageQuery], limit: int) -> tuple[list[str], list[ImageQuery]]:
    if not queries:
        order = np.random.default_rng(0).permutation(len(names))
        return [names[row] for row in sorted(order[:limit].tolist())], []
    kept = [q for q in queries if max(q.relevant, default=0) < limit and (q.index is None or q.index < limit)]
    if not kept:
        raise InvalidInputError(
            f"limit: the first {limit:,} photos of {name} hold the whole answer of no query; take more"
        )
    rows = frozenset(range(limit))
    cut = [replace(q, junk=q.junk & rows, easy=q.easy & rows, hard=q.hard & rows) for q in kept]
    return names[:limit], cut

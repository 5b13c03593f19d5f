"""From photos to a collection that is complete, in steps that a kill cannot spoil: run again, they go on.

Each part is safe by itself. photos.h5 is renamed into place; then the objects of descriptors.ms and the images of
words.vt are made those of photos.h5, by comparing IDs; then photos.json says which photos they cover.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metricsearch.errors import ExistsError, InvalidInputError, MetricSearchError, StorageError
from metricsearch.features import ExtractionReport, FeatureFile, extract_photos
from metricsearch.features.feature import Feature
from metricsearch.features.images import PhotoPath, find_photos
from metricsearch.files import system_errors
from metricsearch.locks import WriterLock
from metricsearch.photos.features import (
    LOCAL,
    default_feature,
    lasting_name,
    local_feature,
    named_feature,
    stored_feature,
    stored_name,
)
from metricsearch.photos.manifest import (
    DESCRIPTORS,
    FEATURES,
    MANIFEST,
    WORDS,
    PhotosManifest,
    is_photo_collection,
    missing_parts,
    read_manifest,
    write_manifest,
)
from metricsearch.photos.parts import update_descriptors, update_words
from metricsearch.photos.table import PhotoTable
from metricsearch.threads import resolve_threads

_LOCK = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What indexing did. extraction: photos read, kept, dropped, failed. n_objects: different photos there are now."""

    extraction: ExtractionReport
    n_objects: int
    seconds: float


def index_photos(
    path: PhotoPath,
    photos: PhotoPath | Iterable[PhotoPath],
    feature: str | None,
    words: bool | None,
    drop_missing: bool,
    n_threads: int | None,
    progress: bool,
) -> IndexReport:
    """See `PhotoCollection.create_or_update`."""
    begin = time.perf_counter()
    folder, threads = Path(path), resolve_threads(n_threads)
    given = [photos] if isinstance(photos, str | os.PathLike) else list(photos)
    if "" in given:  # not the current folder
        raise InvalidInputError("photos: one of the paths is empty; give photos, folders or .txt lists")
    absolute = [os.path.abspath(entry) for entry in given]  # found again from any folder
    find_photos(absolute)  # before anything is made
    manifest = _manifest_for(folder, feature, words)
    with _working_folder(folder):
        if not is_photo_collection(folder):
            write_manifest(folder, manifest)
        extraction = extract_photos(
            absolute,
            folder / FEATURES,
            _features(folder, manifest),
            drop_missing=drop_missing,
            n_threads=threads,
            progress=progress,
        )
        with FeatureFile.open(folder / FEATURES) as file:
            table = PhotoTable(file)
            _update_parts(folder, manifest, table, threads, progress)
        return IndexReport(extraction=extraction, n_objects=len(table), seconds=time.perf_counter() - begin)


def _manifest_for(folder: Path, feature: str | None, words: bool | None) -> PhotosManifest:
    """The manifest of the collection, or that of a new one; raises where it was made with something else."""
    if not is_photo_collection(folder):
        _check_place(folder)
        name = lasting_name(feature) if feature is not None else default_feature()
        named_feature(name)
        return PhotosManifest(feature=name, local=None if words is False else LOCAL.to_dict())
    manifest = read_manifest(folder)
    if feature is not None and lasting_name(feature) != manifest.feature:
        raise InvalidInputError(
            f"{folder}: was made with feature {manifest.feature}, not {feature}; leave the feature out, or choose "
            "another path"
        )
    if words is not None and words != (manifest.local is not None):
        made, given = ("with", "without") if manifest.local is not None else ("without", "with")
        raise InvalidInputError(
            f"{folder}: was made {made} words, not {given}; leave that option out, or choose another path"
        )
    return manifest


def _check_place(folder: Path) -> None:
    """Raise unless a new collection can be made at `folder`: nothing is there, or what a kill has left at once."""
    if folder.is_dir():
        if any(entry.name != _LOCK and not entry.name.startswith(f".{MANIFEST}.") for entry in folder.iterdir()):
            raise ExistsError(
                f"{folder}: is a folder already, and no photo collection; the last argument is where the collection "
                "goes, for example photos.ms"
            )
    elif folder.exists():
        raise ExistsError(
            f"{folder}: is a file already; the last argument is where the collection goes, for example photos.ms"
        )
    elif not folder.parent.is_dir():
        raise InvalidInputError(f"{folder}: the folder {folder.parent} does not exist; create it first")


@contextmanager
def _working_folder(folder: Path) -> Iterator[None]:
    """The folder, for one process at a time; one that was made for nothing is taken away after an error."""
    with system_errors(folder):
        folder.mkdir(exist_ok=True)
        (folder / _LOCK).touch()
    try:
        lock = WriterLock(folder / _LOCK)
    except StorageError:
        raise StorageError(f"{folder}: another process is indexing photos there; wait until it has ended") from None
    try:
        for half in folder.glob(f".{MANIFEST}.*.tmp"):  # left by a kill
            half.unlink()
        yield
    except MetricSearchError:
        if {entry.name for entry in folder.iterdir()} <= {MANIFEST, _LOCK}:  # no photo was looked at
            shutil.rmtree(folder)
        raise
    finally:
        lock.release()


def _features(folder: Path, manifest: PhotosManifest) -> list[Feature[Any]]:
    """What is computed of each photo."""
    local = local_feature(manifest)
    if (folder / FEATURES).is_file():
        with FeatureFile.open(folder / FEATURES) as file:
            feature = stored_feature(manifest, file)
    else:
        feature = named_feature(manifest.feature)
    return [feature] if local is None else [feature, local]


def _update_parts(folder: Path, manifest: PhotosManifest, table: PhotoTable, n_threads: int, progress: bool) -> None:
    """Bring descriptors and words up to photos.h5, unless the manifest says that they are."""
    content = table.fingerprint()
    if manifest.content == content and not missing_parts(folder, manifest):
        return
    update_descriptors(folder / DESCRIPTORS, table, stored_name(manifest, table.file), n_threads, progress)
    if manifest.local is not None:
        update_words(folder / WORDS, table, manifest.local["kind"], content, n_threads, progress)
    write_manifest(folder, replace(manifest, content=content))

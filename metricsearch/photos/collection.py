"""PhotoCollection: photos in, the photos that show the same or look alike out."""

import os
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from metricsearch.collection import Collection
from metricsearch.errors import (
    CorruptedError,
    EmptyIndexError,
    InvalidInputError,
    MetricSearchError,
    MissingIndexError,
    OutdatedIndexError,
    UnknownIdError,
)
from metricsearch.features import FeatureFile
from metricsearch.features.images import PhotoPath
from metricsearch.features.photo import Photo
from metricsearch.photos.features import local_feature, stored_feature, stored_name
from metricsearch.photos.hits import PhotoHit
from metricsearch.photos.indexing import IndexReport, index_photos
from metricsearch.photos.manifest import DESCRIPTORS, FEATURES, WORDS, PhotosManifest, missing_parts, read_manifest
from metricsearch.photos.searching import Searcher
from metricsearch.photos.table import PhotoTable
from metricsearch.threads import resolve_threads
from metricsearch.validation import check_positive
from metricsearch.vocabtree import VocabularyTree

_CHUNK_ROWS = 1024


class PhotoCollection:
    """A folder that makes photos searchable: `create_or_update`, then `open`, `search`, `close`.

    Two photos are compared by a global feature, one vector each, and by the words of their local features, whose best
    matches are verified by geometry. Use it in a `with` statement. Several threads may search at once. After another
    process has changed the collection, a search says that it is to be opened again.
    """

    def __init__(self, path: Path, manifest: PhotosManifest, n_threads: int) -> None:
        """Not called directly: see `open`."""
        self.path = path
        self.n_threads = n_threads
        self._manifest = manifest
        self._parts = ExitStack()
        self._table: PhotoTable | None = None  # None: indexing was stopped before there was one
        self._searcher: Searcher | None = None
        self._opening = threading.Lock()  # while the searcher is made
        self._closed = False
        if (path / FEATURES).is_file():
            with ExitStack() as parts:  # closed if the table cannot be made
                self._table = PhotoTable(parts.enter_context(FeatureFile.open(path / FEATURES)))
                self._parts = parts.pop_all()

    @staticmethod
    def create_or_update(
        path: PhotoPath,
        photos: PhotoPath | Iterable[PhotoPath],
        *,
        feature: str | None = None,
        words: bool | None = None,
        drop_missing: bool = False,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> IndexReport:
        """Make the collection `path` of `photos` (see `find_photos`), or bring it up to date with them.

        feature: name of a global feature; None: that of the collection, for a new one "pool5-unit" if its model is on
        this machine, else "classic". words: find the same objects too; None: as the collection is, a new one does.
        drop_missing: photos of the collection that are not given are taken out of it; without, they are an error.
        A stopped run is completed by the next one and leaves no trace. Photos that cannot be read are listed in the
        report and are no error. Raises MissingDataError, InvalidInputError, UnknownNameError, ExistsError,
        StorageError, CorruptedError, MissingExtraError.
        """
        return index_photos(path, photos, feature, words, drop_missing, n_threads, progress)

    @classmethod
    def open(cls, path: PhotoPath, *, n_threads: int | None = None) -> "PhotoCollection":
        """Open a collection for searching.

        Raises MissingDataError, CorruptedError, FormatVersionError, StorageError.
        """
        folder = Path(path)
        return cls(folder, read_manifest(folder), resolve_threads(n_threads))

    def close(self) -> None:
        """Close the files. Closing twice does nothing."""
        self._closed = True
        self._parts.close()

    def __enter__(self) -> "PhotoCollection":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of different photos."""
        return 0 if self._table is None else len(self._table)

    # ------------------------------------------------------------------ searching

    def search(self, photo: PhotoPath | Photo, k: int = 10) -> list[PhotoHit]:
        """The k best photos: the same file, then those with the same object, then similar ones; see `PhotoHit`.

        Those with the same object come by inliers, most first; similar ones by distance. All hits have a distance.
        Raises InvalidInputError (no photo; k < 1), MissingDataError, EmptyIndexError, MissingIndexError (indexing was
        not finished), OutdatedIndexError (another process has changed the collection), CorruptedError.
        """
        k = check_positive(k, "k")
        self._check_open()
        with self._opening:
            searcher = self._searcher = self._searcher or self._opened()
        query = photo if isinstance(photo, Photo) else Photo.read(photo)
        try:
            return searcher.search(query, k)
        except (OutdatedIndexError, UnknownIdError):  # descriptors have gone on, this table has not
            raise OutdatedIndexError(f"{self.path}: another process has changed it; open it again") from None
        except InvalidInputError as error:
            name = "the query" if isinstance(photo, Photo) else os.fspath(photo)
            raise InvalidInputError(f"{name}: {error}") from None

    def _opened(self) -> Searcher:
        """The parts that a search needs. Raises where they are not those of one finished indexing."""
        table = self._table
        missing = self._what_is_missing()
        if table is None or missing is not None:
            raise MissingIndexError(missing)
        if not len(table):
            raise EmptyIndexError(
                f"{self.path}: it holds no photos; add some with: metricsearch index PHOTOS... {self.path}"
            )
        local = local_feature(self._manifest)
        tree = None if local is None else VocabularyTree.open(self.path / WORDS, readonly=True)
        return Searcher(
            table=table,
            descriptors=self._parts.enter_context(
                Collection.open(self.path / DESCRIPTORS, n_threads=self.n_threads, readonly=True)
            ),
            tree=tree if tree is not None and tree.info()["trained"] else None,
            feature=stored_feature(self._manifest, table.file),
            local=local,
            n_threads=self.n_threads,
        )

    def _what_is_missing(self) -> str | None:
        """Why the collection cannot be searched, in one line; None: it can."""
        again = f"complete it with: metricsearch index PHOTOS... {self.path}"
        if self._table is None or self._table.fingerprint() != self._manifest.content:
            return f"{self.path}: indexing was not finished, or still goes on; {again}"
        if parts := missing_parts(self.path, self._manifest):
            return f"{self.path}: it lacks {' and '.join(parts)}; {again}"
        return None

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInputError(f"{self.path}: the collection is closed; open it again")

    # ------------------------------------------------------------------ looking inside

    @property
    def is_complete(self) -> bool:
        """Whether indexing was finished: only then can it be searched."""
        return self._what_is_missing() is None

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(path, reason) of the photos that could not be read when the collection was last brought up to date."""
        return [] if self._table is None else list(self._table.file.failures)

    @property
    def feature(self) -> str:
        """Name of the feature that photos are compared by."""
        return self._manifest.feature

    def info(self) -> dict[str, Any]:
        """JSON-able: what the collection holds and how it is made. For people and for reports."""
        self._check_open()
        told: dict[str, Any] = {
            "path": str(self.path),
            "state": "complete" if self.is_complete else "unfinished",
            "n_photos": 0 if self._table is None else len(self._table.file),
            "n_different_photos": len(self),
            "n_unreadable": len(self.failures),
            "feature": {"name": self._manifest.feature},
            "words": None,
        }
        if self._table is not None:
            file = self._table.file
            name = stored_name(self._manifest, file)
            told["feature"] = {"name": name, "dimension": int(file.vectors(name).shape[1]), "metric": file.metric(name)}
            if self._manifest.local is not None and WORDS not in missing_parts(self.path, self._manifest):
                with VocabularyTree.open(self.path / WORDS, readonly=True) as tree:
                    n_words = tree.branching**tree.depth if tree.info()["trained"] else 0
                kind = self._manifest.local["kind"]
                told["words"] = {
                    "features": kind,
                    "n_features": len(file.local(kind).descriptors),
                    "vocabulary": n_words,
                }
        told["disk_bytes"] = {
            part: _bytes_of(self.path / part) for part in (FEATURES, DESCRIPTORS, WORDS) if (self.path / part).exists()
        }
        return told

    def verify(self) -> list[str]:
        """Compare every checksum of every part; returns what is wrong, one line each (empty: all is well)."""
        self._check_open()
        table = self._table
        missing = self._what_is_missing()
        if table is None or missing is not None:
            return [str(missing)]
        problems = _file_problems(table.file, self._manifest)
        problems += _part_problems(self.path / DESCRIPTORS, Collection, table)
        if self._manifest.local is not None:
            problems += _part_problems(self.path / WORDS, VocabularyTree, table)
        return problems


def _file_problems(file: FeatureFile, manifest: PhotosManifest) -> list[str]:
    """What is damaged in the feature file; its chunks have checksums, so all are read."""
    try:
        vectors = file.vectors(stored_name(manifest, file))
        with file.reading():
            for low in range(0, len(vectors), _CHUNK_ROWS):
                vectors[low : low + _CHUNK_ROWS]
        if (local := local_feature(manifest)) is not None:
            stored = file.local(local.name)
            for row in range(len(file)):
                stored.features(row)
    except CorruptedError as error:
        return [f"{error} (delete {file.path.parent} and index them anew)"]
    return []


def _part_problems(path: Path, kind: type[Collection] | type[VocabularyTree], table: PhotoTable) -> list[str]:
    """What is wrong with the descriptors or the words; one that holds other photos than the table is wrong too."""
    try:
        with kind.open(path, readonly=True) as part:
            problems = part.verify()
            if not problems:
                ids = part.ids() if isinstance(part, Collection) else part.image_ids()
                wordless = isinstance(part, VocabularyTree) and not part.info()["trained"]
                if not wordless and not np.array_equal(np.sort(ids), table.ids):
                    problems = [f"{path}: holds other photos than {table.file.path}"]
    except MetricSearchError as error:
        problems = [str(error)]
    return [f"{problem} (or: delete {path} and index the photos again)" for problem in problems]


def _bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())

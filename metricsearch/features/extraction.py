"""Features of many photos into one file: both cores, nothing done twice, nothing lost to a kill.

Finished values are written in parts (small feature files of one feature each) to the folder OUT.parts; at the end the
file is put together from them and from what it held before, renamed into place, and the parts are deleted. Photos are
known by the sha256 of their bytes.
"""

import glob
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from metricsearch.errors import InvalidInputError, StorageError
from metricsearch.features.extras import one_thread_each
from metricsearch.features.feature import Feature, GlobalFeature
from metricsearch.features.feature_writing import PhotoEntry, check_feature_name, write_feature_file
from metricsearch.features.images import PhotoPath, find_photos, quiet_decoders
from metricsearch.features.known_values import PARTS, KnownValues
from metricsearch.features.names import get_features
from metricsearch.features.photo import Photo
from metricsearch.files import system_errors
from metricsearch.locks import WriterLock
from metricsearch.threads import resolve_threads, thread_stream

_PHOTOS_AHEAD = 16  # per thread: photos whose values wait in memory


@dataclass(frozen=True, slots=True)
class ExtractionReport:
    """What an extraction did.

    n_new: photos of which something was computed now; n_kept: all of it was there, in the file or from a run that was
    interrupted; n_dropped: photos the file held before that are not among those given. n_photos: in the file now.
    failures: (path, reason) of photos that could not be read. seconds: of the whole job.
    """

    n_new: int
    n_kept: int
    n_dropped: int
    n_photos: int
    failures: tuple[tuple[str, str], ...]
    seconds: float


def extract_photos(
    photos: PhotoPath | Iterable[PhotoPath],
    out: PhotoPath,
    features: Feature[Any] | str | Sequence[Feature[Any] | str],
    *,
    drop_missing: bool = False,
    n_threads: int | None = None,
    progress: bool = False,
) -> ExtractionReport:
    """Write `features` (see `get_features`) of all `photos` (see `find_photos`) to the feature file `out`, in order.

    An existing file is brought up to date: of a photo that it knows by content only those features are computed that
    it does not hold yet. A photo that cannot be read is listed with its reason and is no error. drop_missing: photos
    of the file that are no longer given are left out of it; without, they are an error. The same photos and features
    give the same content for any number of threads. Raises MissingDataError, InvalidInputError (no photos; `out` holds
    other features, or values of other provenance), UnknownNameError, StorageError, CorruptedError, MissingExtraError.
    """
    begun = time.monotonic()
    wanted = get_features(features)
    for feature in wanted:
        check_feature_name(feature.name)
    threads = resolve_threads(n_threads)
    out = Path(out)
    if out.is_dir():
        raise InvalidInputError(f"{out}: a folder; give the path of a file")
    if not out.parent.is_dir():
        raise InvalidInputError(f"{out}: there is no folder {out.parent}; make it first")
    paths = find_photos(photos)
    parts = out.with_name(f"{out.name}.parts")
    with system_errors(out), _working_folder(parts):
        for half in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):  # left by a kill while it was put together
            half.unlink()
        known = KnownValues(out, parts, wanted)
        if not drop_missing:
            known.check_nothing_is_lost(paths)
        done, failures, n_new = _extract_new(paths, known, threads, progress)
        n_dropped = len(known.before - {photo.sha256 for photo in done})
        if not known.is_the_file(done, failures):
            write_feature_file(out, done, known.columns(done), failures)
        shutil.rmtree(parts)
    seconds = time.monotonic() - begun
    return ExtractionReport(n_new, len(done) - n_new, n_dropped, len(done), tuple(failures), seconds)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A photo that was looked at: the values that were not known, by name of the feature; or why there are none."""

    entry: PhotoEntry
    values: dict[str, Any]
    failure: str = ""


def _extract_new(
    paths: list[str], known: KnownValues, threads: int, progress: bool
) -> tuple[list[PhotoEntry], list[tuple[str, str]], int]:
    """All readable photos, (path, reason) of the others, and of how many something was new."""
    done: list[PhotoEntry] = []
    failures: list[tuple[str, str]] = []
    n_new = 0
    seen = thread_stream(lambda path: _look_at(path, known), paths, threads, _PHOTOS_AHEAD * threads)
    with (
        quiet_decoders(),
        one_thread_each(),
        closing(seen),
        tqdm(total=len(paths), desc="extract", unit=" photos", disable=None if progress else True) as bar,
    ):
        try:
            for photo in seen:
                bar.update()
                if photo.failure:
                    failures.append((photo.entry.path, photo.failure))
                    continue
                done.append(photo.entry)
                n_new += known.add(photo.entry, photo.values)
                known.save(at_once=False)
        finally:  # also after Ctrl-C
            known.save(at_once=True)
    return done, failures, n_new


def _look_at(path: str, known: KnownValues) -> _Seen:
    try:
        photo = Photo(Path(path).read_bytes())
    except OSError as error:
        return _Seen(PhotoEntry(path, "", (0, 0)), {}, f"cannot be read ({error.strerror})")
    missing = known.missing(photo.sha256)
    if not missing:
        return _Seen(PhotoEntry(path, photo.sha256, known.size(photo.sha256)), {})
    try:
        values = {feature.name: feature.extract(photo) for feature in missing}
        size = photo.size
    except InvalidInputError as error:
        return _Seen(PhotoEntry(path, photo.sha256, (0, 0)), {}, str(error))
    for feature in missing:
        if isinstance(feature, GlobalFeature):
            _check_vector(path, feature, values[feature.name])
    return _Seen(PhotoEntry(path, photo.sha256, size), values)


def _check_vector(path: str, feature: GlobalFeature, vector: Any) -> None:
    """No wrong value reaches a file; the fault is not the photo's."""
    fits = isinstance(vector, np.ndarray) and vector.shape == (feature.dimension,) and vector.dtype == np.float32
    if not fits or not np.isfinite(vector).all():
        kind = getattr(vector, "dtype", type(vector).__name__)
        raise InvalidInputError(
            f"{path}: feature {feature.name} gave {kind} of shape {np.shape(vector)}, perhaps not finite; expected "
            f"{feature.dimension} finite float32 numbers; correct that feature"
        )


@contextmanager
def _working_folder(parts: Path) -> Iterator[None]:
    """The folder of parts, for one process at a time; an empty one is deleted at the end."""
    parts.mkdir(exist_ok=True)
    lock_file = parts / "lock"
    lock_file.touch()
    try:
        lock = WriterLock(lock_file)
    except StorageError:
        raise StorageError(f"{parts}: another extraction is writing there; wait until it has ended") from None
    try:
        yield
    finally:
        if parts.is_dir() and not any(parts.glob(PARTS)):
            shutil.rmtree(parts)
        lock.release()

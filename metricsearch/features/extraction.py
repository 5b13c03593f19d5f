"""Features of many photos into one file: both cores, nothing done twice, nothing lost to a kill.

Finished photos are written in parts (small feature files) to the folder OUT.parts; at the end the file is put
together from them and from what it held before, renamed into place, and the parts are deleted. Photos are known by
the sha256 of their bytes.
"""

import glob
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from metricsearch.errors import CorruptedError, InvalidInputError, StorageError
from metricsearch.features.extras import opencv
from metricsearch.features.feature_file import FeatureFile, PhotoFeatures, write_feature_file
from metricsearch.features.images import PhotoPath, decode_photo, find_photos, quiet_decoders, sha256_of_bytes
from metricsearch.features.local import LocalFeatureOptions, LocalFeatures, extract_local
from metricsearch.files import sha256_of, system_errors
from metricsearch.locks import WriterLock
from metricsearch.threads import resolve_threads, thread_map

_PART_PHOTOS, _PART_SECONDS = 256, 10.0  # a part is written as soon as one of them is reached
_PARTS = "[0-9]*.h5"
_GROUP_PER_THREAD = 16  # photos whose features wait in memory


@dataclass(frozen=True, slots=True)
class ExtractionReport:
    """What an extraction did.

    n_new: photos whose features were computed now; n_kept: taken over, from the file or from a run that was
    interrupted; n_dropped: photos the file held before that are not among those given. n_photos, n_descriptors: in
    the file now. failures: (path, reason) of photos that could not be read.
    """

    n_new: int
    n_kept: int
    n_dropped: int
    n_photos: int
    n_descriptors: int
    failures: tuple[tuple[str, str], ...]


def extract_photos(
    photos: PhotoPath | Iterable[PhotoPath],
    out: PhotoPath,
    options: LocalFeatureOptions | None = None,
    *,
    drop_missing: bool = False,
    n_threads: int | None = None,
    progress: bool = False,
) -> ExtractionReport:
    """Write the features of all `photos` (see `find_photos`) to the feature file `out`, in their order.

    An existing file is brought up to date: photos it knows by content are not looked at again. A photo that cannot be
    read is listed with its reason and is no error. drop_missing: photos of the file that are no longer given are left
    out of it; without, they are an error. The same photos and options give the same content for any number of
    threads. Raises MissingDataError, InvalidInputError (no photos; `out` has other options), StorageError,
    CorruptedError, MissingExtraError.
    """
    options = options or LocalFeatureOptions()
    threads = resolve_threads(n_threads)
    out = Path(out)
    paths = find_photos(photos)
    if not out.parent.is_dir():
        raise InvalidInputError(f"{out}: there is no folder {out.parent}; make it first")
    parts = out.with_name(f"{out.name}.parts")
    with system_errors(out), _working_folder(parts):
        for half in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):  # left by a kill while it was put together
            half.unlink()
        known = _Known(out, parts, options)
        if not drop_missing:
            known.check_nothing_is_lost(paths)
        done, failures, n_new = _extract_new(paths, known, options, threads, progress)
        n_dropped = len(known.before - {sha256 for _, sha256 in done})
        if not known.is_the_file(done, failures):
            write_feature_file(out, known.photos(done), options, known.extractor, failures)
        n_descriptors = _count(out)
        shutil.rmtree(parts)
    return ExtractionReport(n_new, len(done) - n_new, n_dropped, len(done), n_descriptors, tuple(failures))


def _extract_new(
    paths: list[str], known: "_Known", options: LocalFeatureOptions, threads: int, progress: bool
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], int]:
    """(path, sha256) of all readable photos, (path, reason) of the others, and how many were new."""
    done: list[tuple[str, str]] = []
    failures: list[tuple[str, str]] = []
    n_new = 0

    def work(path: str) -> tuple[str, LocalFeatures | None, str]:
        return _look_at(path, known, options)

    with (
        quiet_decoders(),
        _one_opencv_thread(),
        tqdm(total=len(paths), desc=options.kind, unit=" photos", disable=None if progress else True) as bar,
    ):
        try:
            for group in _groups(paths, _GROUP_PER_THREAD * threads):
                for path, (sha256, features, reason) in zip(group, thread_map(work, group, threads), strict=True):
                    if reason:
                        failures.append((path, reason))
                        continue
                    done.append((path, sha256))
                    if features is not None:
                        n_new += known.add(PhotoFeatures(path, sha256, features))
                known.save(at_once=False)
                bar.update(len(group))
        finally:  # also after Ctrl-C
            known.save(at_once=True)
    return done, failures, n_new


def _look_at(path: str, known: "_Known", options: LocalFeatureOptions) -> tuple[str, LocalFeatures | None, str]:
    """sha256, the features unless they are known, and why there are none if the photo cannot be read."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return "", None, f"cannot be read ({error.strerror})"
    sha256 = sha256_of_bytes(data)
    if sha256 in known:
        return sha256, None, ""
    try:
        return sha256, extract_local(decode_photo(data), options), ""
    except InvalidInputError as error:
        return sha256, None, str(error)


class _Known:
    """Photos whose features are in the file or in a part, by sha256.

    Raises InvalidInputError where the file or a part holds something else than these options give.
    """

    def __init__(self, out: Path, parts: Path, options: LocalFeatureOptions) -> None:
        self.out, self.parts, self.options = out, parts, options
        self.extractor = "opencv " + ".".join(opencv().__version__.split(".")[:2])
        self.before: set[str] = set()  # in the file, when the extraction began
        self._content: tuple[list[tuple[str, str]], list[tuple[str, str]]] | None = None
        self._places: dict[str, tuple[Path, int]] = {}
        self._waiting: dict[str, PhotoFeatures] = {}
        self._saved = time.monotonic()
        if out.exists():
            with FeatureFile.open(out) as file:
                self._take(file, "choose another file, or delete it")
                self._content = (list(zip(file.paths, file.sha256, strict=True)), file.failures)
                self.before = set(file.sha256)
        for part in sorted(parts.glob(_PARTS)):
            try:
                with FeatureFile.open(part) as file:
                    self._take(file, f"finish that extraction, choose another file, or delete {parts}")
            except CorruptedError:  # the photos are there to be looked at again
                part.unlink()

    def _take(self, file: FeatureFile, advice: str) -> None:
        made, wanted = file.options.to_dict(), self.options.to_dict()
        differing = [f"{key} {made[key]} there, {wanted[key]} now" for key in wanted if made[key] != wanted[key]]
        if file.extractor != self.extractor:
            differing.append(f"made by {file.extractor}, this is {self.extractor}")
        if differing:
            raise InvalidInputError(f"{file.path}: made with other options ({'; '.join(differing)}); {advice}")
        for i, sha256 in enumerate(file.sha256):
            self._places.setdefault(sha256, (file.path, i))

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._places or sha256 in self._waiting

    def check_nothing_is_lost(self, paths: list[str]) -> None:
        """Raise InvalidInputError if the file holds photos whose content is not among `paths`."""
        content = self._content[0] if self._content else []
        given = set(paths)
        kept = {sha256 for path, sha256 in content if path in given}
        missing = {sha256: path for path, sha256 in content if path not in given and sha256 not in kept}
        if missing:  # perhaps they only have other names now
            held = {path for path, _ in content}
            for path in given - held:
                missing.pop(sha256_of(Path(path)), None)
        if missing:
            raise InvalidInputError(
                f"{self.out}: {len(missing):,} of its photos are not given now (for one, {min(missing.values())}); "
                "give their folder too, choose another file, or drop them (drop_missing, --drop-missing)"
            )

    def add(self, photo: PhotoFeatures) -> bool:
        """Take a photo's features; False if another photo with the same bytes came first."""
        if photo.sha256 in self:
            return False
        self._waiting[photo.sha256] = photo
        return True

    def save(self, *, at_once: bool) -> None:
        """Write what waits to a part, if that is enough by now or `at_once`."""
        due = len(self._waiting) >= _PART_PHOTOS or time.monotonic() - self._saved >= _PART_SECONDS
        if self._waiting and (due or at_once):
            number = max((int(part.stem) for part in self.parts.glob(_PARTS)), default=0) + 1
            path = self.parts / f"{number:06}.h5"
            write_feature_file(path, self._waiting.values(), self.options, self.extractor)
            self._places.update((sha256, (path, i)) for i, sha256 in enumerate(self._waiting))
            self._waiting = {}
            self._saved = time.monotonic()

    def is_the_file(self, done: list[tuple[str, str]], failures: list[tuple[str, str]]) -> bool:
        """Whether the file as it is has this content."""
        return self._content == (done, failures)

    def photos(self, done: list[tuple[str, str]]) -> Iterator[PhotoFeatures]:
        """Features of (path, sha256) pairs, read from where they are; one file is open at a time."""
        file: FeatureFile | None = None
        try:
            for path, sha256 in done:
                place, i = self._places[sha256]
                if file is None or file.path != place:
                    if file is not None:
                        file.close()
                    file = FeatureFile.open(place)
                yield PhotoFeatures(path, sha256, file.features(i))
        finally:
            if file is not None:
                file.close()


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
        if parts.is_dir() and not any(parts.glob(_PARTS)):
            shutil.rmtree(parts)
        lock.release()


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Photos are spread over our threads; OpenCV's own would only compete with them."""
    cv2 = opencv()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _groups(paths: list[str], size: int) -> Iterator[list[str]]:
    remaining = iter(paths)
    while group := list(islice(remaining, size)):
        yield group


def _count(out: Path) -> int:
    with FeatureFile.open(out) as file:
        return len(file.descriptors)

"""Which values of which photos an extraction has already: in its file, in a part, or waiting for the next part."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.features.feature import Feature
from metricsearch.features.feature_file import FeatureFile
from metricsearch.features.feature_writing import PhotoEntry, to_json, write_feature_file
from metricsearch.features.local import LocalFeatures
from metricsearch.files import sha256_of
from metricsearch.provenance import differences

PARTS = "[0-9]*.h5"
_PART_PHOTOS, _PART_SECONDS = 256, 10.0  # parts are written as soon as one of them is reached

Size = tuple[int, int]


class KnownValues:
    """Values of `features`, by feature and by the sha256 of the photo.

    before: sha256 of the photos in the file `out` when the extraction began. Photos may be asked for by several
    threads while one adds. Raises InvalidInputError where the file or a part holds other features, or values that
    were made in another way.
    """

    def __init__(self, out: Path, parts: Path, features: Sequence[Feature[Any]]) -> None:
        self.out, self.parts, self.features = out, parts, features
        self.before: set[str] = set()
        self._provenance = {feature.name: json.loads(to_json(feature.provenance())) for feature in features}
        self._content: tuple[list[PhotoEntry], list[tuple[str, str]], set[str]] | None = None
        self._places: dict[str, dict[str, tuple[Path, int]]] = {feature.name: {} for feature in features}
        self._waiting: dict[str, dict[str, tuple[PhotoEntry, Any]]] = {feature.name: {} for feature in features}
        self._sizes: dict[str, Size] = {}
        self._saved = time.monotonic()
        if out.exists():
            with FeatureFile.open(out) as file:
                self._take(file, "choose another file, or delete it")
                self._content = (_entries(file), file.failures, set(file.names))
                self.before = set(file.sha256)
        for part in sorted(parts.glob(PARTS)):
            try:
                with FeatureFile.open(part) as file:
                    self._take(file, f"finish that extraction, choose another file, or delete {parts}")
            except CorruptedError:  # the photos are there to be looked at again
                part.unlink()

    def _take(self, file: FeatureFile, advice: str) -> None:
        if forgotten := [name for name in file.names if name not in self._provenance]:
            held, asked = ", ".join(file.names), ", ".join(self._provenance)
            raise InvalidInputError(
                f"{file.path}: it holds {held}, but asked for is {asked}; name {', '.join(forgotten)} too, or {advice}"
            )
        for name in file.names:
            if differing := differences(file.provenance(name), self._provenance[name]):
                raise InvalidInputError(
                    f"{file.path}: {name} was made in another way ({'; '.join(differing)}); {advice}"
                )
        for i, entry in enumerate(_entries(file)):
            self._sizes.setdefault(entry.sha256, entry.size)
            for name in file.names:
                self._places[name].setdefault(entry.sha256, (file.path, i))

    def missing(self, sha256: str) -> list[Feature[Any]]:
        """The features of which the photo's values are not known."""
        return [feature for feature in self.features if not self._has(feature.name, sha256)]

    def _has(self, name: str, sha256: str) -> bool:
        return sha256 in self._waiting[name] or sha256 in self._places[name]

    def size(self, sha256: str) -> Size:
        """Width and height of a photo of which something is known."""
        return self._sizes[sha256]

    def check_nothing_is_lost(self, paths: list[str]) -> None:
        """Raise InvalidInputError if the file holds photos whose content is not among `paths`."""
        content = self._content[0] if self._content else []
        given = set(paths)
        kept = {photo.sha256 for photo in content if photo.path in given}
        missing = {
            photo.sha256: photo.path for photo in content if photo.path not in given and photo.sha256 not in kept
        }
        if missing:  # perhaps they only have other names now
            held = {photo.path for photo in content}
            for path in given - held:
                with suppress(OSError):  # it will be listed as one that cannot be read
                    missing.pop(sha256_of(Path(path)), None)
        if missing:
            raise InvalidInputError(
                f"{self.out}: {len(missing):,} of its photos are not given now (for one, {min(missing.values())}); "
                "give their folder too, choose another file, or drop them (drop_missing, --drop-missing)"
            )

    def add(self, photo: PhotoEntry, values: Mapping[str, Any]) -> bool:
        """Take values of a photo; False if all are known: another photo with the same bytes came first."""
        new = {name: value for name, value in values.items() if not self._has(name, photo.sha256)}
        self._sizes.setdefault(photo.sha256, photo.size)  # first: who finds a value asks for the size
        for name, value in new.items():
            self._waiting[name][photo.sha256] = (photo, value)
        return bool(new)

    def save(self, *, at_once: bool) -> None:
        """Write what waits to parts, if that is enough by now or `at_once`."""
        most = max((len(waiting) for waiting in self._waiting.values()), default=0)
        due = most >= _PART_PHOTOS or time.monotonic() - self._saved >= _PART_SECONDS
        if not most or not (due or at_once):
            return
        number = max((int(part.stem) for part in self.parts.glob(PARTS)), default=0)
        for feature in self.features:
            if waiting := self._waiting[feature.name]:
                number += 1
                path = self.parts / f"{number:06}.h5"
                entries, values = zip(*waiting.values(), strict=True)
                write_feature_file(path, entries, [(feature, values)], with_arrays=False)
                self._places[feature.name].update((sha256, (path, i)) for i, sha256 in enumerate(waiting))
                self._waiting[feature.name] = {}
        self._saved = time.monotonic()

    def is_the_file(self, done: list[PhotoEntry], failures: list[tuple[str, str]]) -> bool:
        """Whether the file as it is has this content."""
        return self._content == (done, failures, set(self._provenance))

    def columns(self, done: Sequence[PhotoEntry]) -> list[tuple[Feature[Any], Iterator[Any]]]:
        """For `write_feature_file`: the values of photos, all of them saved, read when they are needed."""
        return [(feature, self._values(feature.name, done)) for feature in self.features]

    def _values(self, name: str, done: Sequence[PhotoEntry]) -> Iterator[Any]:
        """Two files are open at most: the one from before, since new photos may lie between its own, and a part."""
        places = self._places[name]
        held: dict[bool, FeatureFile] = {}
        try:
            for photo in done:
                path, i = places[photo.sha256]
                file = held.get(path == self.out)
                if file is None or file.path != path:
                    if file is not None:
                        file.close()
                    file = held[path == self.out] = FeatureFile.open(path)
                yield _value(file, name, i)
        finally:
            for file in held.values():
                file.close()


def _value(file: FeatureFile, name: str, i: int) -> Any:
    if file.is_local(name):
        features: LocalFeatures = file.local(name).features(i)
        return features
    with file.reading():
        return file.vectors(name)[i]


def _entries(file: FeatureFile) -> list[PhotoEntry]:
    sizes = [(width, height) for width, height in file.sizes.tolist()]
    return [PhotoEntry(*entry) for entry in zip(file.paths, file.sha256, sizes, strict=True)]

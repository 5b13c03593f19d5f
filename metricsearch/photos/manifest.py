"""photos.json: what a photo collection is made with, and which photos its parts were last brought up to."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metricsearch.errors import CorruptedError
from metricsearch.manifests import MANIFEST as PART_MANIFEST
from metricsearch.manifests import ManifestKind

MANIFEST = "photos.json"
FEATURES = "photos.h5"  # a feature file: paths, vectors and local features of all photos
DESCRIPTORS = "descriptors.ms"  # a Collection of the vectors, one object per different photo
WORDS = "words.vt"  # a VocabularyTree of the local features

_KIND = ManifestKind(
    format="metricsearch-photos",
    version=1,
    noun="photo collection",
    make="metricsearch index PHOTOS... photos.ms",
    file=MANIFEST,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotosManifest:
    """Contents of photos.json, which holds their sha256 too.

    feature: the global feature as `get_feature` takes it. local: options of the local features; None: there are no
    words. content: fingerprint of the photos that descriptors and words cover (see `PhotoTable`); None: of none yet.
    Any other than that of photos.h5 means that indexing was interrupted.
    """

    feature: str
    local: dict[str, Any] | None
    content: str | None = None


def is_photo_collection(path: str | Path) -> bool:
    """Whether `path` is the folder of a photo collection, finished or not."""
    return (Path(path) / MANIFEST).is_file()


def missing_parts(folder: Path, manifest: PhotosManifest) -> list[str]:
    """Those of descriptors, and words if the collection has some, that are not there or half made."""
    parts = [DESCRIPTORS] if manifest.local is None else [DESCRIPTORS, WORDS]
    return [part for part in parts if not (folder / part / PART_MANIFEST).is_file()]


def write_manifest(folder: Path, manifest: PhotosManifest) -> None:
    """Replace photos.json as a whole, durable on return. Raises StorageError."""
    _KIND.write(folder, asdict(manifest))


def read_manifest(folder: Path) -> PhotosManifest:
    """Parse photos.json. Raises MissingDataError, CorruptedError, FormatVersionError, StorageError."""
    content = _KIND.read(folder)
    try:
        return PhotosManifest(**content)
    except TypeError as error:
        raise CorruptedError(f"{folder / MANIFEST}: damaged manifest ({error}); restore it from a copy") from None

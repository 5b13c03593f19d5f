"""manifest.json of a vocabulary tree: what it is, and which folders of arrays belong to it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metricsearch.array_folders import ArrayFile
from metricsearch.manifests import ManifestKind, damaged_manifest

_KIND = ManifestKind(
    format="metricsearch-vocabulary-tree", version=1, noun="vocabulary tree", make="VocabularyTree.save"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderEntry:
    """One saved part: its folder below the tree, the parameters that its arrays need, and its files by name."""

    folder: str
    parameters: dict[str, Any]
    files: dict[str, ArrayFile]

    @property
    def n_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.n_bytes for file in self.files.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """One saved segment, and its removed images; None: no image of it was removed."""

    content: FolderEntry
    removed: FolderEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeManifest:
    """Contents of manifest.json, which holds their sha256 too.

    parameters: those of the tree. features: what made the descriptors, None where nobody said. next_number: of the next
    folder; none is used twice, so that a reader with an older manifest never takes a new folder for an old one.
    """

    parameters: dict[str, Any]
    features: dict[str, Any] | None = None
    next_number: int = 1
    vocabulary: FolderEntry | None = None
    hamming: FolderEntry | None = None
    weights: FolderEntry | None = None
    segments: tuple[SegmentEntry, ...] = ()

    def folders(self) -> list[FolderEntry]:
        """All folders that belong to the tree."""
        single = [entry for entry in (self.vocabulary, self.hamming, self.weights) if entry is not None]
        removed = [entry.removed for entry in self.segments if entry.removed is not None]
        return [*single, *(entry.content for entry in self.segments), *removed]


def write_manifest(folder: Path, manifest: TreeManifest) -> None:
    """Replace manifest.json as a whole, durable on return. Raises StorageError."""
    _KIND.write(folder, asdict(manifest))


def read_manifest(folder: Path) -> TreeManifest:
    """Parse manifest.json. Raises MissingDataError, CorruptedError, FormatVersionError, StorageError."""
    content = _KIND.read(folder)
    try:
        for name in ("vocabulary", "hamming", "weights"):
            content[name] = _folder(content[name])
        content["segments"] = tuple(_segment(entry) for entry in content["segments"])
        return TreeManifest(**content)
    except (TypeError, KeyError, AttributeError) as error:
        raise damaged_manifest(folder, error) from None


def _folder(entry: dict[str, Any] | None) -> FolderEntry | None:
    return None if entry is None else _present_folder(entry)


def _present_folder(entry: dict[str, Any]) -> FolderEntry:
    files = {
        name: ArrayFile(file["sha256"], file["n_bytes"], file["dtype"], tuple(file["shape"]))
        for name, file in entry["files"].items()
    }
    return FolderEntry(folder=entry["folder"], parameters=entry["parameters"], files=files)


def _segment(entry: dict[str, Any]) -> SegmentEntry:
    return SegmentEntry(content=_present_folder(entry["content"]), removed=_folder(entry["removed"]))

"""manifest.json: what a collection is, and which index files belong to it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metricsearch.errors import CorruptedError, FormatVersionError, MissingDataError
from metricsearch.files import system_errors, written_atomically

FORMAT = "metricsearch-collection"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """The saved index: its folder, parameters, object count, the store version it covers, sha256 of every file."""

    folder: str
    parameters: dict[str, Any]
    count: int
    store_version: int
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Contents of manifest.json, which holds their sha256 too.

    dimension: width of the objects, None before the first add and for kinds without one. has_store: objects.mdb was
    created. index_parameters: parameters the next `build_index` uses. index: the saved index, or None.
    """

    metric: dict[str, Any]
    kind: str
    codec: str
    index_parameters: dict[str, Any]
    dimension: int | None = None
    has_store: bool = False
    index: IndexEntry | None = None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace manifest.json as a whole, durable on return. Raises StorageError."""
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(manifest)}
    content["sha256"] = _checksum(content)
    with system_errors(folder / MANIFEST), written_atomically(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Parse manifest.json. Raises MissingDataError, CorruptedError, FormatVersionError, StorageError."""
    path = folder / MANIFEST
    with system_errors(path):
        if not path.is_file():
            what = "not a collection (it has no manifest.json)" if folder.is_dir() else "no such collection"
            raise MissingDataError(f"{folder}: {what}; check the path, or make one with Collection.create")
        raw = path.read_bytes()
    try:
        content = json.loads(raw)
        if content["format"] != FORMAT:
            raise ValueError("it describes something else")
        version = content["format_version"]
        checksum = content.pop("sha256", None)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CorruptedError(f"{path}: not the manifest of a collection ({error}); restore it from a copy") from None
    if version != FORMAT_VERSION:
        raise FormatVersionError(
            f"{path}: format version {version}, but this program reads version {FORMAT_VERSION}; "
            "use the program version that wrote it, or create the collection again"
        )
    if checksum != _checksum(content):
        raise CorruptedError(f"{path}: its content does not match its sha256; restore it from a copy")
    try:
        del content["format"], content["format_version"]
        entry = content.pop("index")
        return Manifest(**content, index=None if entry is None else IndexEntry(**entry))
    except (TypeError, KeyError) as error:
        raise CorruptedError(f"{path}: damaged manifest ({error}); restore it from a copy") from None


def _checksum(content: dict[str, Any]) -> str:
    """sha256 of the content without the line that holds it, whatever its blanks and the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

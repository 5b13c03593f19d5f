"""manifest.json: a JSON file that says what a folder is and which files belong to it, with its own sha256."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricsearch.errors import CorruptedError, FormatVersionError, MissingDataError
from metricsearch.files import system_errors, written_atomically

MANIFEST = "manifest.json"
_OWN_KEYS = ("format", "format_version", "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestKind:
    """One kind of folder. noun: "collection"; make: how a user makes one, for the messages; file: its name."""

    format: str
    version: int
    noun: str
    make: str
    file: str = MANIFEST

    def write(self, folder: Path, content: dict[str, Any]) -> None:
        """Replace the manifest of `folder` as a whole, durable on return. Raises StorageError."""
        whole = {"format": self.format, "format_version": self.version, **content}
        whole["sha256"] = _checksum(whole)
        with system_errors(folder / self.file), written_atomically(folder / self.file) as temporary:
            temporary.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")

    def read(self, folder: Path) -> dict[str, Any]:
        """The content that was written. Raises MissingDataError, CorruptedError, FormatVersionError, StorageError."""
        path = folder / self.file
        with system_errors(path):
            if not path.is_file():
                what = f"not a {self.noun} (it has no {self.file})" if folder.is_dir() else f"no such {self.noun}"
                raise MissingDataError(f"{folder}: {what}; check the path, or make one with {self.make}")
            raw = path.read_bytes()
        try:
            content: dict[str, Any] = json.loads(raw)
            if content["format"] != self.format:
                raise ValueError(f"its format is {content['format']!r:.60}")
            version = content["format_version"]
            checksum = content.get("sha256")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise CorruptedError(
                f"{path}: not the manifest of a {self.noun} ({error}); restore it from a copy"
            ) from None
        if version != self.version:
            raise FormatVersionError(
                f"{path}: format version {version}, but this program reads version {self.version}; "
                f"use the program version that wrote it, or create the {self.noun} again"
            )
        if checksum != _checksum({key: value for key, value in content.items() if key != "sha256"}):
            raise CorruptedError(f"{path}: its content does not match its sha256; restore it from a copy")
        return {key: value for key, value in content.items() if key not in _OWN_KEYS}


def damaged_manifest(folder: Path, error: Exception) -> CorruptedError:
    """The error for a manifest whose content, though it is what was written, makes no sense."""
    return CorruptedError(f"{folder / MANIFEST}: damaged manifest ({error}); restore it from a copy")


def delete_temporary_manifests(folder: Path) -> None:
    """Delete what a crash while writing the manifest has left; only for the one writer of the folder."""
    for path in folder.glob(f".{MANIFEST}.*.tmp"):
        path.unlink(missing_ok=True)


def _checksum(content: dict[str, Any]) -> str:
    """sha256 of the content without the line that holds it, whatever its blanks and the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

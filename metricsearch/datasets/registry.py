"""The catalogue of data sets: what each is, where its files are, and whether they are the right ones."""

import difflib
import json
import os
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from metricsearch.datasets.sources import open_hdf5
from metricsearch.errors import CorruptedError, MissingDataError, MissingExtraError, UnknownNameError
from metricsearch.files import sha256_of, written_atomically

_LOCK_NAME = "sha256.json"
# The server refuses clients that do not say who they are.
_USER_AGENT = "metricsearch (https://pypi.org/project/metricsearch)"


def dataset_names() -> list[str]:
    """Names that `load_dataset` knows, in the order of the catalogue."""
    return list(_catalogue())


def describe(name: str) -> dict[str, Any]:
    """The catalogue's entry: title, kind, metric, n, width, access ("local", "download", "manual", "synthetic"),

    origin, licence, how_to_get, reader, files (path, sha256 or None, url), note. Raises UnknownNameError.
    """
    catalogue = _catalogue()
    if name not in catalogue:
        close = difflib.get_close_matches(str(name), catalogue, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UnknownNameError(f"data set {name!r} is unknown; {hint}known: {', '.join(catalogue)}")
    entry: dict[str, Any] = json.loads(json.dumps(catalogue[name]))  # the caller may change his copy
    return {"name": name, **entry}


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    text = files("metricsearch.datasets").joinpath("registry.json").read_text(encoding="utf-8")
    catalogue: dict[str, dict[str, Any]] = json.loads(text)
    return catalogue


def data_directory() -> Path | None:
    """Folder of the local data sets: METRICSEARCH_DATA, or ../shared/data beside the repository; None without either.

    Raises MissingDataError when METRICSEARCH_DATA is no folder.
    """
    return local_directory("METRICSEARCH_DATA", "data")


def local_directory(variable: str, name: str) -> Path | None:
    """Folder that an environment variable names, or ../shared/NAME beside the repository; None without either.

    Raises MissingDataError when the variable names no folder.
    """
    if given := os.environ.get(variable):
        path = Path(given)
        if not path.is_dir():
            raise MissingDataError(f"{variable}={given}: no such folder; correct the variable")
        return path
    beside = Path(__file__).resolve().parents[3] / "shared" / name
    return beside if beside.is_dir() else None


def cache_directory() -> Path:
    """Folder of downloads: METRICSEARCH_CACHE, or metricsearch/ in the user's cache folder. It may not exist yet."""
    if given := os.environ.get("METRICSEARCH_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metricsearch"


def fetch(name: str) -> list[Path]:
    """Paths of the data set's files, downloaded first if they are public and not here; checked against their sha256.

    A file without a published checksum is trusted at its first download; its sha256 is kept in sha256.json in
    `cache_directory()` and binding from then on. Raises UnknownNameError, MissingDataError (with how to get the files),
    MissingExtraError (a download needs pooch), CorruptedError.
    """
    entry = describe(name)
    return [fetch_file(entry, file) for file in entry["files"]]


def verify(name: str) -> list[str]:
    """Compare every file with its sha256, reading all bytes; return one line per problem, none if all is well.

    Downloads nothing. Raises UnknownNameError.
    """
    entry = describe(name)
    problems = []
    for file in entry["files"]:
        path = _path_of(entry, file)
        if path is None or not path.is_file():
            problems.append(f"{name}: {path or file['path']}: missing; {entry['how_to_get']}")
            continue
        expected = file["sha256"] or _Lock().recorded(path)
        if expected is None:
            problems.append(f"{name}: {path}: no checksum is published and none was recorded; cannot be verified")
        elif (found := sha256_of(path)) != expected:
            problems.append(f"{name}: {path}: expected sha256 {expected}, got {found}")
    return problems


def _path_of(entry: dict[str, Any], file: dict[str, Any]) -> Path | None:
    """Where the file is or belongs; None for local data without a data directory."""
    if entry["access"] == "download":
        return cache_directory() / str(file["path"])
    folder = data_directory()
    return None if folder is None else folder / str(file["path"])


def fetch_file(entry: dict[str, Any], file: dict[str, Any]) -> Path:
    """One file of a catalogue's entry, as `fetch` gives them."""
    path = _path_of(entry, file)
    if path is None:
        raise MissingDataError(f"{entry['name']}: {file['path']} is not on this machine; {entry['how_to_get']}")
    if not path.is_file():
        if entry["access"] != "download":
            raise MissingDataError(f"{entry['name']}: {path} is missing; {entry['how_to_get']}")
        _download(entry["name"], file["url"], file["sha256"], path)
    _check_file(entry, file, path)
    return path


def _check_file(entry: dict[str, Any], file: dict[str, Any], path: Path) -> None:
    """Raise CorruptedError unless the file has the published or the recorded sha256; record a first one."""
    lock = _Lock()
    expected = file["sha256"] or lock.recorded(path)
    if expected is None and entry["access"] == "manual":
        return  # hundreds of gigabytes, and nothing to compare with
    if expected is not None and file["sha256"] is None and lock.unchanged(path):
        return
    found = sha256_of(path)
    if expected is not None and found != expected:
        origin = "published" if file["sha256"] else f"recorded at its first download in {lock.path}"
        raise CorruptedError(
            f"{path}: sha256 is {found}, expected {expected} ({origin}); "
            + ("delete it and fetch it again" if entry["access"] == "download" else "restore the original file")
        )
    if file["sha256"] is None:
        lock.record(path, found)


def _download(name: str, url: str, sha256: str | None, path: Path) -> None:
    try:
        import pooch
    except ImportError:
        raise MissingExtraError(
            f'{name} must be downloaded, which needs pooch: pip install "metricsearch[data]"; '
            f"or put {url} at {path} yourself"
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    downloader = pooch.HTTPDownloader(headers={"User-Agent": _USER_AGENT}, progressbar=sys.stderr.isatty())
    known_hash = None if sha256 is None else f"sha256:{sha256}"
    pooch.get_logger().setLevel("WARNING")  # its advice about unknown hashes repeats what the lock file does
    try:
        pooch.retrieve(url, known_hash, fname=path.name, path=path.parent, downloader=downloader)
    except (OSError, ValueError) as error:  # no network, HTTP status, wrong hash
        reason = " ".join(str(error).split())
        raise MissingDataError(
            f"{name}: cannot download {url} ({reason:.120}); or put the file at {path} yourself"
        ) from None
    try:
        _check_download(path)
    except CorruptedError:
        path.unlink()  # a page that says "try later", or half a file: must not become the recorded original
        raise


def _check_download(path: Path) -> None:
    """Raise CorruptedError unless the file begins as its kind of file does."""
    if path.suffix == ".hdf5":
        open_hdf5(path).close()
    elif path.suffix in (".zip", ".tgz"):
        try:
            is_archive = zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
        except EOFError:
            is_archive = False
        if not is_archive:
            raise CorruptedError(f"{path}: what was downloaded is no archive, or not all of one; try again later")


@dataclass(frozen=True, slots=True)
class _Entry:
    sha256: str
    size: int
    mtime_ns: int


class _Lock:
    """The checksums of first downloads, with the size and time that make hashing again unnecessary."""

    def __init__(self) -> None:
        self.path = cache_directory() / _LOCK_NAME

    def recorded(self, path: Path) -> str | None:
        entry = self._entries().get(path.name)
        return None if entry is None else entry.sha256

    def unchanged(self, path: Path) -> bool:
        entry, stat = self._entries().get(path.name), path.stat()
        return entry is not None and (entry.size, entry.mtime_ns) == (stat.st_size, stat.st_mtime_ns)

    def record(self, path: Path, sha256: str) -> None:
        stat = path.stat()
        entries = {**self._entries(), path.name: _Entry(sha256, stat.st_size, stat.st_mtime_ns)}
        table = {name: {"sha256": e.sha256, "size": e.size, "mtime_ns": e.mtime_ns} for name, e in entries.items()}
        with written_atomically(self.path) as temporary:
            temporary.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def _entries(self) -> dict[str, _Entry]:
        if not self.path.is_file():
            return {}
        try:
            table = json.loads(self.path.read_text(encoding="utf-8"))
            return {name: _Entry(e["sha256"], e["size"], e["mtime_ns"]) for name, e in table.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CorruptedError(
                f"{self.path}: not a readable list of checksums; delete it, and the downloads beside it, to start again"
            ) from None

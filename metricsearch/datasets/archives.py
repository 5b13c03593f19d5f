"""Published archives of photos: downloaded once, unpacked once."""

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from metricsearch.datasets.registry import cache_directory, fetch_file
from metricsearch.errors import CorruptedError
from metricsearch.files import sync, system_errors

_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError)


def unpacked_archives(entry: dict[str, Any]) -> Path:
    """Folder with the unpacked archives of a catalogue's entry (a folder for each), downloaded first if need be.

    An archive is checked as `fetch` does it before it is unpacked; afterwards it is not needed any more.
    Raises MissingDataError, MissingExtraError (downloading needs pooch), CorruptedError, StorageError (disk full).
    """
    folder = cache_directory() / "image_sets" / str(entry["name"])
    if folder.is_dir():
        return folder
    archives = [fetch_file(entry, file) for file in entry["files"]]
    with system_errors(folder), _new_folder(folder) as temporary:
        for archive in archives:
            unpack(archive, temporary / archive.name.split(".")[0])
    return folder


def unpack(archive: Path, folder: Path) -> None:
    """Write the plain files of a .zip or (compressed) .tar below `folder`; links and devices are left out.

    Raises CorruptedError for a damaged archive and for one that would write elsewhere.
    """
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as bundle:
                for name in bundle.namelist():
                    if not name.endswith("/"):
                        with bundle.open(name) as file:
                            _write(file, name, folder, archive)
        else:
            with tarfile.open(archive) as tar:
                for member in tar:
                    if member.isfile() and (content := tar.extractfile(member)) is not None:
                        _write(content, member.name, folder, archive)
    except _DAMAGE as error:
        raise CorruptedError(f"{archive}: damaged archive ({error}); delete it and fetch it again") from None


def _write(content: IO[bytes], name: str, folder: Path, archive: Path) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise CorruptedError(f"{archive}: holds a file named {name!r}, which lies outside; do not use it")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(content, file, 2**20)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, renamed to `folder` on success and deleted on failure."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

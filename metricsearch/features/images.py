"""Photos: which files are some, and their pixels, grey or RGB, as a viewer would show them."""

import hashlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, MissingDataError
from metricsearch.features.extras import pillow_image

# What Pillow may read: no format that starts another program (EPS), none that is no photo.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp")
    + (".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif")
)
MAX_PIXELS = 178_956_970  # twice Pillow's own bound, where it too refuses: a small file can promise a huge image
_STRIP_PIXELS = 1 << 22

SHEET_SUFFIX = "-hits"  # of the names that contact sheets get by themselves
SHEET_MARK, SOFTWARE_TAG = "metricsearch contact sheet", 0x0131  # of every sheet, in its EXIF data

PhotoPath = str | os.PathLike[str]


def read_photo(path: PhotoPath, *, colour: bool = False) -> NDArray[np.uint8]:
    """Grey pixels (h, w) uint8 of a photo, or with `colour` (h, w, 3) RGB, turned as its EXIF orientation says.

    Transparent pixels are shown on white, 16-bit grey values are divided by 257, an animation gives its first frame.
    The format is found by content. Raises MissingDataError, InvalidInputError (no photo, truncated, more than
    MAX_PIXELS pixels), MissingExtraError.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file") from None
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        return decode_photo(data, colour=colour)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error}") from None


def decode_photo(data: bytes, *, colour: bool = False) -> NDArray[np.uint8]:
    """`read_photo` of the bytes of a file; the text of its InvalidInputError is only the reason."""
    image_module = pillow_image()
    try:
        with image_module.open(io.BytesIO(data), formats=_known_formats()) as image:
            _check_size(*image.size)
            return _pixels(image, colour)
    except image_module.DecompressionBombError:
        raise InvalidInputError(_too_large("it")) from None
    except image_module.UnidentifiedImageError:
        what = f"its {len(data):,} bytes begin like no photo" if data else "the file is empty"
        raise InvalidInputError(f"not a photo ({what})") from None
    except (InvalidInputError, MemoryError):
        raise
    except Exception as error:  # a decoder meets broken bytes with whatever its format makes of them
        raise InvalidInputError(f"damaged photo ({' '.join(str(error).split()) or type(error).__name__})") from None


def sha256_of_bytes(data: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keep Pillow from warning about large or odd photos; for a whole job, since filters belong to all threads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def find_photos(photos: PhotoPath | Iterable[PhotoPath]) -> list[str]:
    """Paths of photos in a fixed order, each once: of folders (recursive, sorted), files and .txt lists.

    Of a folder: files that are called like a photo or begin like one; nothing hidden, no contact sheet NAME-hits; a
    folder in it that cannot be read stands for its photos, to be listed as unreadable. A list has one path per line,
    relative to its own folder; empty lines and those that begin with # are passed over. Files and lines of lists are
    taken whatever they hold. Raises MissingDataError (a path does not exist), InvalidInputError (no photo at all).
    """
    given = [photos] if isinstance(photos, str | os.PathLike) else list(photos)
    found: dict[str, None] = {}
    for entry in given:
        path = Path(entry)
        if not str(entry):
            raise InvalidInputError("photos: got an empty path; give photos, folders or .txt lists of photos")
        if path.is_dir():
            found.update(dict.fromkeys(_in_folder(path)))
        elif not path.exists():
            raise MissingDataError(f"{path}: no such file or folder; give photos, folders or .txt lists of photos")
        elif path.suffix.lower() == ".txt":
            found.update(dict.fromkeys(_in_list(path)))
        else:
            found[str(path)] = None
    if not found:
        names = ", ".join(str(entry) for entry in given[:3]) + (", ..." if len(given) > 3 else "")
        raise InvalidInputError(f"photos: found none in {names or 'an empty list'}; give photos, folders or .txt lists")
    return list(found)


def is_sheet(path: Path) -> bool:
    """Whether a file is a contact sheet, drawn by `metricsearch.photos`: it shows photos and is none."""
    try:
        with pillow_image().open(path, formats=_known_formats()) as image:
            return bool(image.getexif().get(SOFTWARE_TAG) == SHEET_MARK)
    except Exception:  # whatever it is
        return False


def _in_folder(folder: Path) -> Iterator[str]:
    unreadable: list[str] = []
    for place, folders, files in os.walk(folder, onerror=lambda error: unreadable.append(error.filename)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if name.startswith(".") or not path.is_file() or (path.stem.endswith(SHEET_SUFFIX) and is_sheet(path)):
                continue
            if path.suffix.lower() in SUFFIXES or _begins_as_photo(path):
                yield str(path)
    yield from unreadable


def _begins_as_photo(path: Path) -> bool:
    image_module = pillow_image()
    try:
        with path.open("rb") as file, image_module.open(file, formats=_known_formats()):
            return True
    except Exception:  # as in decode_photo
        return False


def _in_list(path: Path) -> Iterator[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({error.strerror})") from None
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if name and not name.startswith("#"):
            photo = path.parent / name
            if not photo.is_file():
                raise MissingDataError(
                    f"{path}: line {number}: no file {str(photo)!r:.300}; a list names one photo per line, relative to "
                    "its folder"
                )
            yield str(photo)


def _known_formats() -> list[str]:
    image_module = pillow_image()
    image_module.init()
    return [name for name in FORMATS if name in image_module.OPEN]


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InvalidInputError(_too_large(f"{width} x {height}"))


def _too_large(what: str) -> str:
    return f"too large ({what} has more than {MAX_PIXELS // 1_000_000} megapixels); make it smaller"


def _pixels(image: Any, colour: bool) -> NDArray[np.uint8]:
    from PIL import ImageOps

    if not colour:
        image.draft("L", image.size)  # a colour JPEG: its luma alone, a quarter of the memory
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16") or image.mode == "I":
        image = pillow_image().fromarray(_from_16_bits(np.asarray(image)))
    if image.mode == "F":
        raise InvalidInputError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = pillow_image().new("RGBA", image.size, "white")
        image = pillow_image().alpha_composite(white, image)
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    mode = "RGB" if colour else "L"
    return _array_of(image if image.mode == mode else image.convert(mode))


def _array_of(image: Any) -> NDArray[np.uint8]:
    """The pixels of an L or RGB image; strip by strip, for a copy of all of them would double a large photo."""
    width, height = image.size
    pixels = np.empty((height, width, 3) if image.mode == "RGB" else (height, width), dtype=np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)) if rows < height else image)
    return pixels


def _from_16_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.size and not (values.min() >= 0 and values.max() <= 65535):
        raise InvalidInputError("its grey values have more than 16 bits; save it with 8 or 16 bits")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)

"""A contact sheet: the query, and the photos that were found for it with the reason why, as one picture."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metricsearch.errors import ExistsError, InvalidInputError, MetricSearchError
from metricsearch.features.extras import pillow_image
from metricsearch.features.images import SHEET_MARK, SOFTWARE_TAG, PhotoPath, is_sheet, quiet_decoders
from metricsearch.features.photo import Photo
from metricsearch.files import system_errors, written_atomically
from metricsearch.photos.hits import PhotoHit

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}

_TILE, _QUERY, _COLUMNS = 220, 340, 5  # pixels, pixels, hits in a row
_GAP, _MARGIN, _LINE, _FRAME = 18, 24, 19, 4
MAX_HITS = 100  # a JPEG has at most 65,535 rows
_PAPER, _INK, _FAINT, _EMPTY = "#ffffff", "#1a1a1a", "#6b6b6b", "#ececec"
_COLOURS = {"same photo": "#1565c0", "same object": "#2e7d32", "similar": "#9e9e9e"}
_TEXT_COLOURS = _COLOURS | {"similar": _FAINT}


def draw_contact_sheet(query: PhotoPath, hits: Sequence[PhotoHit], out: PhotoPath) -> None:
    """Write a JPEG or PNG with the query at the left and the first 100 hits in rows beside it, best first.

    The frame of a hit says what it is: blue the same photo, green the same object, grey similar. A photo that is gone
    or has changed keeps its place, with the reason. An existing `out` is overwritten only if it is a contact sheet.
    Raises InvalidInputError, ExistsError, StorageError, MissingExtraError.
    """
    out = check_sheet(out)
    with quiet_decoders():
        sheet = _drawn(os.fspath(query), hits[:MAX_HITS])
    exif = pillow_image().Exif()
    exif[SOFTWARE_TAG] = SHEET_MARK
    with system_errors(out), written_atomically(out) as temporary:
        sheet.save(temporary, FORMATS[out.suffix.lower()], exif=exif, quality=90)


def check_sheet(out: PhotoPath) -> Path:
    """Return `out` as Path; raise InvalidInputError or ExistsError unless a contact sheet can be written there."""
    path = Path(out)
    if path.suffix.lower() not in FORMATS:
        raise InvalidInputError(f"{path}: not the name of a sheet; expected one that ends in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise InvalidInputError(f"{path}: there is no folder {path.parent}; make it first")
    if path.exists() and not is_sheet(path):
        raise ExistsError(f"{path}: exists and is no contact sheet; choose another name for the sheet")
    return path


class _Canvas:
    """A picture with what is drawn on it: thumbnails in frames, and lines of text that fit a width."""

    def __init__(self, width: int, height: int) -> None:
        self.image = pillow_image().new("RGB", (width, height), _PAPER)
        from PIL import ImageDraw, ImageFont

        self._draw = ImageDraw.Draw(self.image)
        self._fonts = {size: ImageFont.load_default(size) for size in (14, 15, 22)}

    def text(self, x: int, y: int, text: str, width: int, colour: str = _INK, size: int = 14) -> None:
        """One line; its middle is left out where it is too long."""
        font = self._fonts[size]
        text = _printable(text)
        kept = len(text)
        shown = text
        while kept > 4 and font.getlength(shown) > width:
            kept -= 1
            shown = f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"
        self._draw.text((x, y), shown, fill=colour, font=font)

    def photo(self, x: int, y: int, side: int, path: str, read: Callable[[], Photo], colour: str) -> int:
        """A framed thumbnail in a square, at its left and top; returns where it ends below."""
        try:
            image = pillow_image().fromarray(read().rgb)
        except MetricSearchError as error:
            self._draw.rectangle((x, y, x + side - 1, y + side - 1), fill=_EMPTY, outline=colour, width=_FRAME)
            reason = str(error).removeprefix(f"{path}: ")
            self.text(x + 12, y + side // 2 - 8, reason, side - 24, _FAINT)
            return y + side
        scale = (side - 2 * _FRAME) / max(image.size)
        width, height = (max(1, round(length * scale)) for length in image.size)
        bottom: int = y + height + 2 * _FRAME
        self._draw.rectangle((x, y, x + width + 2 * _FRAME - 1, bottom - 1), fill=colour)
        thumbnail = image.resize((width, height), pillow_image().Resampling.LANCZOS)
        self.image.paste(thumbnail, (x + _FRAME, y + _FRAME))
        return bottom


def _drawn(query: str, hits: Sequence[PhotoHit]) -> Any:
    """The sheet as a Pillow image."""
    columns = max(1, min(_COLUMNS, len(hits)))
    rows = max(1, math.ceil(len(hits) / columns))
    cell_width, cell_height = _TILE + _GAP, _TILE + 3 * _LINE + 2 * _GAP
    left, top = _MARGIN + _QUERY + 2 * _GAP, _MARGIN + 34
    width = left + columns * cell_width - _GAP + _MARGIN
    height = top + max(rows * cell_height - 2 * _GAP, _QUERY + 2 * _LINE) + _MARGIN
    canvas = _Canvas(width, height)
    canvas.text(_MARGIN, _MARGIN - 6, "query", _QUERY, size=22)
    below = canvas.photo(_MARGIN, top, _QUERY, query, lambda: Photo.read(query), _INK)
    canvas.text(_MARGIN, below + 6, Path(query).name, _QUERY, size=15)
    canvas.text(left, _MARGIN - 6, f"{len(hits)} best" if hits else "nothing found", width - left, size=22)
    for place, hit in enumerate(hits):
        x, y = left + place % columns * cell_width, top + place // columns * cell_height
        below = canvas.photo(x, y, _TILE, hit.path, hit.photo, _COLOURS[hit.kind]) + 6
        canvas.text(x, below, f"{hit.rank}  {hit.kind}", _TILE, _TEXT_COLOURS[hit.kind], size=15)
        canvas.text(x, below + _LINE, "/".join(Path(hit.path).parts[-2:]), _TILE)
        canvas.text(x, below + 2 * _LINE, _why(hit), _TILE, _FAINT)
    return canvas.image


def _why(hit: PhotoHit) -> str:
    """In a few words, what a hit owes its rank to."""
    copies = f" ({1 + len(hit.other_paths)} files)" if hit.other_paths else ""
    if hit.kind == "same photo":
        return f"the same bytes{copies}"
    verified = f"{hit.n_inliers:,} inliers, " if hit.n_inliers else ""
    return f"{verified}distance {hit.distance:#.4g}{copies}"


def _printable(path: str) -> str:
    """A path as text that can be shown, whatever bytes it has."""
    return os.fsencode(path).decode(errors="replace").replace("\N{REPLACEMENT CHARACTER}", "?")

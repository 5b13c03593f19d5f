"""A page that shows recorded comparisons: one block of Markdown per suite, the rest of the page stays as it is."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from metricsearch.bench.plots import FIGURE_PREFIX, drawings, title
from metricsearch.bench.report import report_blocks
from metricsearch.bench.summary import read_frame
from metricsearch.errors import CorruptedError, InvalidInputError, MissingDataError
from metricsearch.files import system_errors, written_atomically

FIGURES_FOLDER = "figures"  # beside the page
N_COLOURS = 128  # of a figure there


def update_page(page: Path, runs: Sequence[Path]) -> None:
    """Put each run's results between <!-- bench:NAME --> and <!-- /bench:NAME -->, NAME = stem of its suite file.

    runs: folders that `write_bench_report` has written to.
    A block that is not there yet is appended; all other bytes of the page stay. Figures are copied beside the page,
    to figures/NAME-*.png, with fewer colours. Raises MissingDataError (no such page, nothing recorded),
    InvalidInputError (broken markers), CorruptedError, StorageError.
    """
    if not page.is_file():
        raise MissingDataError(f"{page}: no such file; create the page first, it may be empty")
    with system_errors(page):
        content = page.read_bytes()
        for run in runs:
            stem, text = _block(run)
            content = _with_block(page, content, stem, text)
        for run in runs:  # after all that can be refused
            _copy_figures(run, page.parent / FIGURES_FOLDER)
        with written_atomically(page) as temporary:
            temporary.write_bytes(content)


def _block(directory: Path) -> tuple[str, str]:
    """Name and text of a run's block."""
    about, machine, failed = (_read_json(directory / f"{name}.json") for name in ("about", "machine", "failed"))
    stem = str(about["stem"])
    prefix = quote(f"{FIGURES_FOLDER}/{stem}-")
    blocks = report_blocks(about, read_frame(directory / "results.csv"), failed, machine, prefix)
    return stem, "\n\n".join([f"## {title(about)}", *blocks])


def _copy_figures(directory: Path, folder: Path) -> None:
    """Copy the figures with a palette: a page is under version control, and so they take a third of the bytes."""
    from PIL import Image  # comes with matplotlib

    stem = _read_json(directory / "about.json")["stem"]
    folder.mkdir(exist_ok=True)
    for drawing in drawings(read_frame(directory / "results.csv")):
        with written_atomically(folder / f"{stem}-{drawing.name}.png") as temporary:
            with Image.open(directory / f"{FIGURE_PREFIX}{drawing.name}.png") as figure:
                few = figure.convert("RGB").quantize(N_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            few.save(temporary, format="PNG", optimize=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; run the suite first (metricsearch bench)") from None
    except ValueError as error:
        raise CorruptedError(f"{path}: not readable as JSON ({error}); run the suite again") from None


def _with_block(page: Path, content: bytes, stem: str, text: str) -> bytes:
    """`content` with `text` between the markers of `stem`; appended with its markers if they are not there."""
    start, end = f"<!-- bench:{stem} -->".encode(), f"<!-- /bench:{stem} -->".encode()
    block = start + b"\n\n" + text.encode() + b"\n\n" + end
    if start not in content and end not in content:
        gap = b"" if not content or content.endswith(b"\n\n") else b"\n" if content.endswith(b"\n") else b"\n\n"
        return content + gap + block + b"\n"
    before, _, rest = content.partition(start)
    _, _, after = rest.partition(end)
    if content.count(start) != 1 or content.count(end) != 1 or end not in rest:
        raise InvalidInputError(
            f"{page}: expected {start.decode()} once and {end.decode()} once after it, "
            f"got {content.count(start)} and {content.count(end)}; repair the markers, or remove them both"
        )
    return before + block + after

"""paper_results.md: published values beside ours, from recorded runs."""

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricsearch.errors import CorruptedError, InvalidInputError, MissingDataError
from metricsearch.files import written_atomically
from metricsearch.report.cells import markdown_table
from metricsearch.report.markdown import band_line, data_line, provenance_line, write_figures
from metricsearch.report.tables import result_tables

if TYPE_CHECKING:
    import pandas as pd

_HEAD = """# Results beside those of the papers

Written by `metricsearch report` from recorded runs; do not edit. Published values carry the tag of their source:
[SIGIR] = Novak, Batko, Zezula, SIGIR 2015 (demo); [TLDKS-abs] = Novak, Zezula, TLDKS XXIV, 2016, abstract;
[DEMO], [SLIDES] = the authors' demo page and slides of December 2014; [NS06] = Nistér, Stewénius, Scalable Recognition
with a Vocabulary Tree, CVPR 2006. S0 to S4 = the texts on image search that name the features (S0 binary k-means tree,
S1 colour, texture and shape, S2 faces and Pinterest, S3 PPP-Codes over CNN descriptors, S4 local features and pooling).
Where no value could be read, this page says so.
PPP-Codes: recall counts ties by distance, queries are not among the objects. Vocabulary trees: a query that is an image
of the database is left out of its own ranking, and images of equal score stand by their number. Numbers of synthetic
data say so in every row; synthetic descriptors were made by no neural network, and real ones are named by the network
that made them; synthetic views are made from real photos, synthetic bags of words from no photo at all.
Features: whatever is learned (words, PCA) is learned on other categories than those that are searched; a query and its
exact copies count neither as right nor as wrong; distances are exact, no index stands between."""


_BY_HAND = "<!-- From here on this page is written by hand; metricsearch report keeps it. -->"
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')


def write_paper_results(run_dirs: Iterable[str | Path], target: str | Path, figures_dir: str | Path) -> Path:
    """Write `target` (paper_results.md) from finished runs, in the order given; returns its path.

    Figures are copied to `figures_dir` (experiments/figures) as <experiment>-<figure>.png. For each run: the published
    value (key `paper` of the experiment file), ours, the experiment file, commit, machine, and why they differ (key
    `difference`). The page is written anew from these runs alone, so an existing one may hold no experiment that is
    not among them; what stands below the line that says it is written by hand is kept.
    Raises MissingDataError (no finished run), CorruptedError, InvalidInputError (no runs at all, two
    runs of one experiment, an experiment of the existing page without a run).
    """
    runs = [_read_run(Path(directory)) for directory in run_dirs]
    if not runs:
        raise InvalidInputError("runs: expected at least one finished run; run some experiments first")
    stems = [about["stem"] for about, *_ in runs]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise InvalidInputError(f"runs: {', '.join(twice)}: more than one run of the same experiment; give one of them")
    target, figures_dir = Path(target), Path(figures_dir)
    _check_nothing_is_lost(target, stems)
    figures_dir.mkdir(parents=True, exist_ok=True)
    blocks = [_HEAD, _contents(runs)]
    for about, results, points, machine, directory in runs:
        blocks += _section(about, results, points, machine, directory, target, figures_dir)
    blocks += _written_by_hand(target)
    with written_atomically(target) as temporary:
        temporary.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return target


def _written_by_hand(target: Path) -> list[str]:
    """The end of the existing page from the line that announces it."""
    present = target.read_text(encoding="utf-8") if target.is_file() else ""
    return [_BY_HAND + present.split(_BY_HAND, 1)[1].rstrip("\n")] if _BY_HAND in present else []


def _check_nothing_is_lost(target: Path, stems: list[str]) -> None:
    present = _ANCHOR.findall(target.read_text(encoding="utf-8")) if target.is_file() else []
    if lost := [stem for stem in present if stem not in stems]:
        raise InvalidInputError(
            f"{target}: no run is given for {', '.join(lost)}, which the page has now; "
            "give all runs, or delete the page first"
        )


_Run = tuple[dict[str, Any], "pd.DataFrame", "pd.DataFrame", dict[str, Any], Path]


def _read_run(directory: Path) -> _Run:
    names = ("config.json", "provenance.json", "results.csv", "points.csv")
    for name in names:
        if not (directory / name).is_file():
            raise MissingDataError(f"{directory}: no {name}, so no finished run; run the experiment (again)")
    try:
        about, machine = (json.loads((directory / name).read_text(encoding="utf-8")) for name in names[:2])
        results, points = (_read_table(directory / name) for name in names[2:])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptedError(f"{directory}: damaged run ({error}); run the experiment again") from None
    return about, results, points, machine, directory


def _read_table(path: Path) -> "pd.DataFrame":
    """A table as it was written: an empty cell is an empty label, "inf" means not reached."""
    import pandas as pd

    table = pd.read_csv(path, dtype={"series": "str", "codec": "str"})
    return table.assign(series=table["series"].fillna(""))


def _contents(runs: list[_Run]) -> str:
    rows = [["experiment", "what", "data", "published"]]
    for about, results, *_ in runs:
        published = "see below" if about["paper"] else "no value read"
        rows.append([f"[{about['stem']}](#{about['stem']})", about["title"], str(results["data"].iloc[0]), published])
    return markdown_table(rows)


def _section(
    about: dict[str, Any],
    results: "pd.DataFrame",
    points: "pd.DataFrame",
    machine: dict[str, Any],
    directory: Path,
    target: Path,
    figures_dir: Path,
) -> list[str]:
    blocks = [
        f'<a id="{about["stem"]}"></a>\n\n## {about["title"]}',
        f"Source: {about['source']}",
        f"Published: {about['paper'] or 'no value could be read.'}",
        data_line(about),
    ]
    for caption, table in result_tables(about, results, points):
        blocks += [f"**Ours. {caption}**", *([markdown_table(table)] if table else [])]
    figures, left_out = write_figures(directory, about, results, points)
    for path in (path for path in figures if path.suffix == ".png"):
        copy = figures_dir / f"{about['stem']}-{path.stem.removeprefix('figure-')}.png"
        shutil.copyfile(path, copy)
        link = Path(os.path.relpath(copy, target.parent)).as_posix()
        blocks.append(f"![{about['title']}]({link})")
    blocks += left_out
    if about["kind"] != "memory":
        blocks.append(band_line(about, points))
    if about["difference"]:
        blocks.append(f"Why they differ: {about['difference']}")
    blocks.append(f"Experiment: `experiments/{about['config_file']}`. {provenance_line(machine)}")
    return blocks

"""Pareto plots: recall against what it costs. Figure objects on the Agg canvas; nothing touches pyplot's state."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench.tables import number
from metricsearch.report import save_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Okabe and Ito without yellow, and two more: distinguishable with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31", "#7F7F7F")
_MARKERS = "os^DvP*Xp<>"  # 9 and 11 have no common divisor: 99 methods differ
FIGURE_PREFIX = "figure-"  # of the files of a run
_RECALL_TICKS = (0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
_STRETCH = 1.01  # recall r is drawn at -log(_STRETCH - r): what matters lies between 0.8 and 1
_LEGEND_ROWS = 32  # beyond these the legend gets a second column


@dataclass(frozen=True, slots=True)
class Plot:
    """One kind of figure. column: of the frame. label: of the axis."""

    name: str
    column: str
    label: str


TIME = Plot("time", "time_ms", "mean time of a query (ms)")
COUNTED = (
    Plot("bytes", "objects_bytes", "memory that grows with n (bytes per object)"),
    Plot("objects-read", "n_objects_read", "objects read per query"),
    Plot("distances", "n_distances", "distances computed per query"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A figure to draw. name: of its files. rows: of the frame that are in it. words: what they have in common.

    methods: labels of all methods of the comparison: one looks the same in all its figures.
    """

    name: str
    plot: Plot
    rows: "pd.DataFrame"
    methods: tuple[str, ...]
    words: str = ""


def drawings(frame: "pd.DataFrame") -> list[Drawing]:
    """The figures of a comparison: times with warm and with cold cache apart, what does not depend on it once.

    A figure for which no method has values is left out.
    """
    if not len(frame):
        return []
    caches, methods = (list(frame[name].drop_duplicates()) for name in ("cache", "label"))
    found = [Drawing("time", TIME, frame, tuple(methods))]
    if len(caches) > 1:
        parts = ((cache, frame[frame["cache"] == cache]) for cache in caches)
        found = [Drawing(f"time-{cache}", TIME, rows, tuple(methods), f", {cache} cache") for cache, rows in parts]
    once = frame.drop_duplicates(["label", "query", "n_candidates"])
    found += [Drawing(plot.name, plot, once, tuple(methods)) for plot in COUNTED]
    return [drawing for drawing in found if (drawing.rows[drawing.plot.column] > 0).any()]


def write_plots(directory: Path, about: dict[str, Any], frame: "pd.DataFrame") -> list[Path]:
    """Write <directory>/figure-<name>.png and .pdf of all `drawings`; returns the paths."""
    paths = []
    for drawing in drawings(frame):
        paths += save_figure(pareto_figure(about, drawing), directory / f"{FIGURE_PREFIX}{drawing.name}")
    return paths


def caption(about: dict[str, Any], drawing: Drawing) -> str:
    """What a figure shows: axes, repetitions, spread, and who is not in it."""
    rows, plot = drawing.rows, drawing.plot
    text = f"Recall@{about['k']} against {plot.label}{drawing.words}. Filled, solid: ours; hollow, dashed: libraries;"
    text += " grey: Pareto frontier of all; small: settings that others of the same method surpass;"
    text += " the axis of recall is stretched towards 1."
    repetitions = " or ".join(f"{count}" for count in sorted(set(rows["n_repetitions"])))
    text += f" Interleaved repetitions: {repetitions}"
    if plot is TIME:
        spread = (rows["round_ms_high"] - rows["round_ms_low"]) / rows["time_ms"]
        text += "; bars: least to greatest mean of a repetition, in the median"
        text += f" {spread.median():.1%} of the mean, at most {spread.max():.1%}."
    else:
        text += "; what is counted here does not vary with them."
    drawn = set(rows["label"][rows[plot.column] > 0])
    missing = [label for label in rows["label"].drop_duplicates() if label not in drawn]
    return f"{text} Not drawn, because unknown or 0: {'; '.join(missing)}." if missing else text


def title(about: dict[str, Any]) -> str:
    """Title of a comparison; it says what is synthetic, if its own words do not."""
    text = str(about["title"])
    return f"{text}, synthetic data" if about["synthetic"] and "synthetic" not in text.lower() else text


def pareto_figure(about: dict[str, Any], drawing: Drawing) -> "Figure":
    """Recall over costs, one line per method through its own best settings."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plot = drawing.plot
    drawn = drawing.rows[drawing.rows[plot.column] > 0]
    n_drawn = drawn["label"].nunique()
    figure = Figure(figsize=(10.5, 6.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title(about), fontsize=11, wrap=True)
    costs, recalls = (drawn[name].to_numpy(dtype=np.float64) for name in (plot.column, "recall"))
    best = pareto_frontier(costs, recalls)
    axes.step(costs[best], recalls[best], where="post", color="#BBBBBB", linewidth=6, alpha=0.6, zorder=1)
    for i, label in enumerate(drawing.methods):
        rows = drawn[drawn["label"] == label]
        if len(rows):
            _draw_method(axes, rows, plot, i)
    _mark_axes(axes, about, plot, drawing.words)
    figure.legend(loc="outside right upper", fontsize=8, ncols=1 + (n_drawn - 1) // _LEGEND_ROWS)
    return figure


def _draw_method(axes: Any, rows: "pd.DataFrame", plot: Plot, i: int) -> None:
    costs, recalls = (rows[name].to_numpy(dtype=np.float64) for name in (plot.column, "recall"))
    ours = bool(rows["ours"].iloc[0])
    colour, marker = _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
    face = colour if ours else "white"
    best = pareto_frontier(costs, recalls)
    others = np.setdiff1d(np.arange(len(rows)), best)
    if plot.column == "objects_bytes":  # one value per index: a vertical line through all settings
        best, others = np.argsort(recalls, kind="stable"), others[:0]
    if plot is TIME:
        low, high = (rows[name].to_numpy(dtype=np.float64) for name in ("round_ms_low", "round_ms_high"))
        spread = np.maximum([costs - low, high - costs], 0)[:, best]  # rounding may put a mean beside its extremes
        axes.errorbar(costs[best], recalls[best], xerr=spread, fmt="none", ecolor=colour, elinewidth=0.8, zorder=2)
    axes.plot(
        costs[best],
        recalls[best],
        marker=marker,
        markersize=6,
        markerfacecolor=face,
        color=colour,
        linestyle="-" if ours else "--",
        linewidth=1.1,
        label=rows["label"].iloc[0],
        zorder=4 if ours else 3,
    )
    axes.plot(costs[others], recalls[others], marker, markersize=2.5, color=colour, alpha=0.5, zorder=2)


def _mark_axes(axes: Any, about: dict[str, Any], plot: Plot, words: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    # Over less than two decades the powers of ten alone would be too few marks.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    lowest = axes.get_ylim()[0]
    axes.set_yscale("function", functions=(_stretched, lambda y: _STRETCH - np.exp(-y)))
    axes.set_ylim(max(lowest, -0.03), 1.002)
    axes.set_yticks([tick for tick in _RECALL_TICKS if tick >= lowest], minor=False)
    axes.set_xlabel(f"{plot.label}{words}")
    axes.set_ylabel(f"recall@{about['k']}, n = {about['n']:,}")
    axes.grid(True, which="major", alpha=0.3)


def _stretched(recalls: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log(np.maximum(_STRETCH - recalls, 1e-9))  # margins go beyond 1


def pareto_frontier(costs: NDArray[np.float64], recalls: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions of those that no other surpasses: higher recall the more they cost, ascending costs."""
    order = np.lexsort((-recalls, costs))
    sorted_recalls = recalls[order]
    before = np.concatenate(([-np.inf], np.maximum.accumulate(sorted_recalls)[:-1]))
    return order[sorted_recalls > before]

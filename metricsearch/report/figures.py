"""Figures of a run. Figure objects on the Agg canvas; nothing touches pyplot's global state."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metricsearch.files import written_atomically
from metricsearch.report.frames import Curve, over_seeds, row_labels, value_text
from metricsearch.report.labels import axis_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_SIZE = (6.4, 4.4)
_MARKERS = "osD^vP*X<>"
# Okabe and Ito: distinguishable with any colour vision.
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8C6D31",
    "#7F7F7F",
    "#5D3A9B",
)


def line_figure(
    lines: list[Curve],
    *,
    x: str,
    y: str,
    title: str,
    log_x: bool = False,
    log_y: bool = False,
    published: Sequence[Curve] = (),
) -> "Figure":
    """Lines with bands. x, y: column names, put in words. published: curves of the paper, dashed, in our colours."""
    figure, axes = _new_figure(title)
    for i, line in enumerate(lines):
        colour = _COLOURS[i % len(_COLOURS)]
        axes.plot(line.x, line.y, marker=_MARKERS[i % len(_MARKERS)], markersize=4, color=colour, label=line.label)
        high = np.where(np.isfinite(line.high), line.high, line.y.max() * 10 if log_y else line.y.max())
        axes.fill_between(line.x, line.low, high, color=colour, alpha=0.15, linewidth=0)
    _draw_published(axes, lines, published)
    # A logarithm of nothing, or of 0, has no place on the axis.
    if log_x and all((line.x > 0).all() for line in lines) and lines:
        axes.set_xscale("log")
    if log_y and all((line.y > 0).all() for line in lines) and lines:
        axes.set_yscale("log")
    _mark_axes(axes)
    axes.set_xlabel(axis_label(x))
    axes.set_ylabel(axis_label(y))
    axes.grid(True, which="major", alpha=0.3)
    if published or any(line.label for line in lines):
        axes.legend(fontsize=8)
    return figure


def _draw_published(axes: Any, lines: list[Curve], published: Sequence[Curve]) -> None:
    """A published curve has the colour of ours of the same label; others follow in the order of the colours."""
    labels = [line.label for line in lines]
    labels += [curve.label for curve in published if curve.label not in labels]
    for curve in published:
        i = labels.index(curve.label)
        axes.plot(
            curve.x,
            curve.y,
            linestyle="--",
            linewidth=1,
            marker=_MARKERS[i % len(_MARKERS)],
            markerfacecolor="none",
            markersize=4,
            color=_COLOURS[i % len(_COLOURS)],
            label=f"{curve.label}, published".removeprefix(", "),
        )


def _mark_axes(axes: Any) -> None:
    """Plain numbers on logarithmic axes."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    plain = FuncFormatter(lambda value, _: f"{value:g}" if abs(value) < 1e5 else f"{value:.0e}")
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            low, high = axis.get_view_interval()
            # Over less than two decades the powers of ten alone would be too few marks.
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
            axis.set_major_formatter(plain)
            axis.set_minor_formatter(NullFormatter())


def bar_figure(frame: "pd.DataFrame", *, y: str, title: str, paper_values: Mapping[str, float]) -> "Figure":
    """One bar per row with its interval, where `y` has one; the published value is a diamond."""
    figure, axes = _new_figure(title)
    frame = over_seeds(frame)
    place = np.arange(len(frame))
    names = (y, f"{y}_low", f"{y}_high") if f"{y}_low" in frame else (y, y, y)
    values, low, high = (frame[name].to_numpy(dtype=np.float64) for name in names)
    errors = np.maximum([values - low, high - values], 0)  # a bootstrap interval may lie beside the mean
    axes.bar(place, values, 0.7, yerr=errors, color=_COLOURS[5], error_kw={"linewidth": 1}, label="ours")
    labels = row_labels(frame, "series", [])
    known = [(i, paper_values[label]) for i, label in enumerate(frame["series"]) if label in paper_values]
    if known:
        places, published = zip(*known, strict=True)
        axes.plot(places, published, "D", color=_COLOURS[1], markersize=4, label="published")
        axes.legend(fontsize=8)
    axes.set_ylim(bottom=0)  # the length of a bar is its value
    crowded = max((len(label) for label in labels), default=0) > 4
    axes.set_xticks(place, labels, fontsize=8, rotation=90 if crowded else 0)
    axes.set_ylabel(axis_label(y))
    axes.grid(True, axis="y", alpha=0.3)
    return figure


def stacked_figure(frame: "pd.DataFrame", *, x: str, parts: list[str], series: list[str], title: str) -> "Figure":
    """One bar per row, its parts on top of each other: where time or memory goes. parts: columns of one unit."""
    figure, axes = _new_figure(title)
    frame = over_seeds(frame)
    labels = row_labels(frame, x, series)
    ticks = [f"{value_text(value)}\n{label}".rstrip() for value, label in zip(frame[x], labels, strict=True)]
    place = np.arange(len(frame))
    bottom = np.zeros(len(frame))
    for i, part in enumerate(parts):
        heights = frame[part].to_numpy(dtype=np.float64)
        label = axis_label(part).partition(" (")[0]  # the unit stands at the axis
        axes.bar(place, heights, 0.7, bottom=bottom, color=_COLOURS[i % len(_COLOURS)], label=label)
        bottom += heights
    crowded = len(ticks) > 8 or max((len(tick) for tick in ticks), default=0) > 24
    axes.set_xticks(place, ticks, fontsize=7, rotation=90 if crowded else 0)
    axes.set_xlabel(axis_label(x))
    unit = {"ms": "ms", "bytes": "bytes per object"}.get(parts[0].rsplit("_", 1)[-1], "")
    axes.set_ylabel(unit)
    axes.grid(True, axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _new_figure(title: str) -> tuple["Figure", Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, wrap=True)
    return figure, axes


def save_figure(figure: "Figure", stem: Path) -> list[Path]:
    """Write <stem>.png and <stem>.pdf; the same figure gives the same bytes."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "pdf")]
    for path, metadata in zip(paths, ({"Software": None}, {"CreationDate": None, "Creator": None}), strict=True):
        with written_atomically(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=150, metadata=metadata)
    return paths

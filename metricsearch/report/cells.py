"""Cells and layout of tables: Markdown, and aligned text for a terminal."""

from typing import TYPE_CHECKING, Any

import numpy as np

from metricsearch.report.frames import varying

if TYPE_CHECKING:
    import pandas as pd

Table = list[list[str]]  # the first row is the header


def key_columns(frame: "pd.DataFrame") -> list[str]:
    """Columns that tell the rows apart: the label of the series and the parameters that vary."""
    labelled = ["series"] if frame["series"].fillna("").astype(str).str.len().gt(0).any() else []
    return labelled + varying(frame)


def cell(value: Any) -> str:
    """A parameter or a count in a table."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return "–"
    if isinstance(value, float | np.floating):
        return f"{value:g}" if abs(float(value)) < 1e5 else f"{value:,.0f}"
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    return f"{value:,}" if whole else str(value)


def markdown_table(table: Table) -> str:
    """GitHub-flavoured Markdown."""
    rows = [[text.replace("|", "\\|") for text in row] for row in table]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def text_table(table: Table) -> str:
    """Columns aligned for a terminal."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in table)

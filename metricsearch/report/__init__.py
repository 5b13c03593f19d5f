"""Figures, the report of a run, and the page that compares runs with published values."""

from metricsearch.report.figures import line_figure, save_figure, stacked_figure
from metricsearch.report.frames import curves
from metricsearch.report.markdown import write_report
from metricsearch.report.paper_results import write_paper_results
from metricsearch.report.tables import result_text

__all__ = [
    "curves",
    "line_figure",
    "result_text",
    "save_figure",
    "stacked_figure",
    "write_paper_results",
    "write_report",
]

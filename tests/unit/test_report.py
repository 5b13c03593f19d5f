import json
import re

import numpy as np
import pandas as pd
import pytest

from metricsearch.errors import InvalidInputError, MissingDataError
from metricsearch.experiment import run_experiment
from metricsearch.report import line_figure, save_figure, stacked_figure, write_paper_results
from metricsearch.report.cells import cell, markdown_table
from metricsearch.report.figures import bar_figure
from metricsearch.report.frames import Curve, curves, over_seeds
from metricsearch.report.markdown import figure_title, write_figures
from metricsearch.report.tables import recall_table, result_tables

CONFIG = """
title = "Tiny recall"
source = "own"
kind = "candidates"
{paper}
[data]
name = "decaf7-like"
n = 150
n_queries = 4
[index]
n_pivots = 8
prefix_length = 3
[sweep]
n_spaces = [1, 2]
[measure]
k = [1]
n_candidates = [10, 100]
target_recall = [0.8]
n_bootstrap = 100
[report]
x = "n_candidates"
y = "recall_at_1"
"""


def frame(seeds=(0,)):
    rows = []
    for n_spaces in (1, 4):
        for seed in seeds:
            for size in (10, 100):
                recall = n_spaces * size / 1000 + seed / 100
                rows.append(
                    {"data": "d", "series": "", "n": 500, "n_spaces": n_spaces, "n_pivots": 8, "seed": seed,
                     "n_candidates": size, "n_candidates_share": size / 500, "distance_share": 0.1,
                     "recall_at_1": recall, "recall_at_1_low": recall - 0.3, "recall_at_1_high": recall + 0.3}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_each_line_is_named_by_what_varies_and_has_its_band():
    lines = curves(frame(), "n_candidates", "recall_at_1", [])
    assert [line.label for line in lines] == ["λ = 1", "λ = 4"]
    assert lines[1].x.tolist() == [10, 100]
    np.testing.assert_allclose(lines[1].y, [0.04, 0.4])
    np.testing.assert_allclose(lines[1].low, [-0.26, 0.1])
    np.testing.assert_allclose(lines[1].high, [0.34, 0.7])


def test_seeds_are_averaged_and_the_band_goes_from_the_smallest_to_the_largest():
    lines = curves(frame(seeds=(0, 1, 5)), "n_candidates", "recall_at_1", [])
    assert [line.label for line in lines] == ["λ = 1", "λ = 4"]
    np.testing.assert_allclose(lines[0].y, [0.03, 0.12])
    np.testing.assert_allclose(lines[0].low, [0.01, 0.10])
    np.testing.assert_allclose(lines[0].high, [0.06, 0.15])


def test_seeds_of_a_value_without_interval_have_a_band_too():
    table = frame(seeds=(0, 1, 5)).drop(columns=["recall_at_1_low", "recall_at_1_high"])
    np.testing.assert_allclose(curves(table, "n_candidates", "recall_at_1", [])[0].high, [0.06, 0.15])


def test_one_seed_is_left_as_it_is():
    table = frame()
    pd.testing.assert_frame_equal(over_seeds(table), table)


def test_values_that_were_not_reached_are_left_out_of_the_line():
    table = frame()
    table.loc[table["n_candidates"] == 10, "recall_at_1"] = np.inf
    lines = curves(table, "n_candidates", "recall_at_1", [])
    assert [line.x.tolist() for line in lines] == [[100], [100]]


def test_labels_of_series_come_first():
    table = frame()
    table["series"] = np.where(table["n_spaces"] == 1, "one space", "four")
    assert [line.label for line in curves(table, "n_candidates", "recall_at_1", [])] == ["one space", "four"]


@pytest.mark.parametrize("log", [False, True])
def test_figures_are_written_as_png_and_pdf_and_the_same_twice(tmp_path, log):
    lines = curves(frame(), "n_candidates", "recall_at_1", [])
    for name in ("a", "b"):
        figure = line_figure(lines, x="n_candidates", y="recall_at_1", title="t", log_x=log, log_y=log)
        assert figure.axes[0].get_xscale() == ("log" if log else "linear")
        assert figure.axes[0].get_ylabel() == "recall of 1-NN"
        save_figure(figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_a_figure_without_any_value_is_empty_not_an_error(tmp_path):
    assert save_figure(line_figure([], x="n", y="recall_at_1", title="t", log_y=True), tmp_path / "a")


def test_bars_stand_on_each_other():
    figure = stacked_figure(frame(), x="n_candidates", parts=["recall_at_1", "distance_share"], series=[], title="t")
    first, second = figure.axes[0].containers
    np.testing.assert_allclose([bar.get_y() for bar in second], [bar.get_height() for bar in first])
    assert [bar.get_height() for bar in second] == [0.1] * 4


def test_published_curves_are_dashed_in_the_colour_of_ours():
    ours = curves(frame(), "n_candidates", "recall_at_1", [])
    x = np.array([10.0, 100.0])
    published = [Curve("λ = 4", x, x / 100, x / 100, x / 100), Curve("other", x, x / 50, x / 50, x / 50)]
    figure = line_figure(ours, x="n_candidates", y="recall_at_1", title="t", published=published)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines) == ["λ = 1", "λ = 4", "λ = 4, published", "other, published"]
    assert lines["λ = 4, published"].get_color() == lines["λ = 4"].get_color()
    assert lines["λ = 4, published"].get_linestyle() == "--"
    assert len({line.get_color() for line in lines.values()}) == 3
    assert lines["other, published"].get_ydata().tolist() == [0.2, 2.0]


def test_bars_have_intervals_and_published_values():
    table = frame().query("n_candidates == 10").assign(series=["A", "B"])
    figure = bar_figure(table, y="recall_at_1", title="t", paper_values={"B": 0.3})
    bars, marks = figure.axes[0].patches, figure.axes[0].lines[-1]
    np.testing.assert_allclose([bar.get_height() for bar in bars], [0.01, 0.04])
    assert (marks.get_xdata().tolist(), marks.get_ydata().tolist()) == ([1], [0.3])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["A", "B"]
    close = table.assign(recall_at_1=[0.9, 0.91], recall_at_1_low=[0.89, 0.9], recall_at_1_high=[0.91, 0.92])
    figure = bar_figure(close, y="recall_at_1", title="t", paper_values={"B": 0.93})
    assert figure.axes[0].get_ylim()[0] == 0  # the length of a bar is its value
    assert bar_figure(table, y="distance_share", title="t", paper_values={})  # no interval, nothing published


def layout_of(y, **others):
    layout = {"x": "n_candidates", "y": y, "series": [], "style": "lines", "log_x": False, "log_y": False}
    return {"kind": "candidates", "title": "t", "synthetic": False, "report": {**layout, "title": None, **others}}


def test_a_figure_that_cannot_be_drawn_is_named(tmp_path):
    table = frame()
    table.loc[0, "recall_at_1"] = np.inf
    paths, left_out = write_figures(tmp_path, layout_of(["recall_at_1", "recall_at_9"]), table, table)
    assert [path.name for path in paths] == ["figure-recall_at_1.png", "figure-recall_at_1.pdf"]
    assert left_out == [
        "Not drawn, because not reached: 1 of 4 values of recall of 1-NN.",
        "No figure of recall of 9-NN: no point reached it.",
    ]


@pytest.mark.parametrize(
    ("kind", "synthetic", "data", "title", "expected"),
    [
        ("retrieval", True, "views", "t", "t, synthetic views"),
        ("retrieval", True, "views", "t, synthetic views", "t, synthetic views"),  # not twice
        ("retrieval", True, "views + 3 synthetic bags", "t", "t, synthetic views, synthetic bags of words"),
        ("retrieval", False, "ukbench + 3 synthetic bags", "t", "t, synthetic bags of words"),
        ("retrieval", False, "ukbench", "t", "t"),
        ("candidates", True, "d", "t", "t, synthetic data"),
    ],
)
def test_the_title_of_a_figure_says_what_is_synthetic(kind, synthetic, data, title, expected):
    about = {"kind": kind, "title": title, "synthetic": synthetic, "report": {"title": None}}
    assert figure_title(about, frame().assign(data=data)) == expected


def test_a_table_that_is_too_long_is_named_with_its_length():
    table = pd.concat([frame().assign(n=n) for n in range(21)], ignore_index=True)
    (caption, rows), *others = result_tables({"kind": "candidates"}, table, table)
    assert not others
    assert rows == []
    assert caption.endswith("84 rows, too many to show here; see the CSV files of the run")
    short = result_tables({"kind": "candidates"}, table[:80], table[:80])
    assert len(short[0][1]) == 81


def test_values_that_are_not_there_are_a_dash():
    assert [cell(value) for value in (None, np.nan, 0.25, 1234, True, "x")] == ["–", "–", "0.25", "1,234", "True", "x"]


def test_a_page_is_not_written_over_experiments_that_no_run_is_given_for(run, tmp_path):
    one, two = run("one"), run("two")
    target, figures = tmp_path / "paper_results.md", tmp_path / "figures"
    write_paper_results([one, two], target, figures)
    before = target.read_bytes()
    with pytest.raises(InvalidInputError, match="no run is given for one, which the page has now; give all runs"):
        write_paper_results([two], target, figures)
    assert target.read_bytes() == before
    write_paper_results([two, one, run("three")], target, figures)
    assert "three" in target.read_text()


def test_what_was_written_by_hand_at_the_end_of_the_page_is_kept(run, tmp_path):
    runs, target, figures = [run("one")], tmp_path / "paper_results.md", tmp_path / "figures"
    write_paper_results(runs, target, figures)
    written = target.read_text()
    by_hand = (
        "\n<!-- From here on this page is written by hand; metricsearch report keeps it. -->\n\n## A study\n\ntext\n"
    )
    target.write_text(written + by_hand)
    for _ in range(2):
        write_paper_results(runs, target, figures)
        assert target.read_text() == written + by_hand


def test_markdown_cells_cannot_break_the_table():
    assert markdown_table([["a", "b"], ["x|y", "z"]]) == "| a | b |\n| --- | --- |\n| x\\|y | z |"


def test_the_data_set_stands_in_every_row():
    assert all(row[0] == "d" for row in recall_table(frame())[1:])


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path / "cache"))

    def named(name, paper=""):
        path = tmp_path / f"{name}.toml"
        path.write_text(CONFIG.format(paper=paper))
        return run_experiment(path, tmp_path / "runs", progress=False).directory

    return named


def test_paper_results_puts_published_values_beside_ours_with_their_origin(run, tmp_path):
    directories = [run("one", 'paper = "80 % [SIGIR]"\ndifference = "other data"'), run("two")]
    target = write_paper_results(directories, tmp_path / "paper_results.md", tmp_path / "experiments" / "figures")
    text = target.read_text()
    machine = json.loads((directories[0] / "provenance.json").read_text())
    first, second = text.split("<a id=")[1:]
    assert "Published: 80 % [SIGIR]" in first
    assert "Why they differ: other data" in first
    assert "Published: no value could be read." in second
    for section in (first, second):
        assert "decaf7-like (synthetic)" in section
        assert "SYNTHETIC data" in section
        assert machine["cpu"] in section
        assert (machine["commit"] or "unknown")[:12] in section
    assert "`experiments/one.toml`" in first
    for link in re.findall(r"!\[.*\]\((.*)\)", text):
        assert (tmp_path / link).is_file()
    assert "experiments/figures/two-recall_at_1.png" in text
    assert "nan" not in text.lower()


def test_the_table_of_a_recorded_run_is_the_one_of_the_fresh_run(run, tmp_path):
    directory = run("one")
    fresh = (directory / "report.md").read_text()
    write_paper_results([directory], tmp_path / "paper_results.md", tmp_path / "figures")
    recorded = (tmp_path / "paper_results.md").read_text()
    rows = [line for line in fresh.splitlines() if line.startswith("| decaf7-like")]
    assert len(rows) == 6
    assert all(row in recorded for row in rows)


def test_unfinished_and_repeated_runs_are_refused(run, tmp_path):
    directory = run("one")
    with pytest.raises(InvalidInputError, match="more than one run"):
        write_paper_results([directory, directory], tmp_path / "p.md", tmp_path / "f")
    (directory / "points.csv").unlink()
    with pytest.raises(MissingDataError, match="no points.csv"):
        write_paper_results([directory], tmp_path / "p.md", tmp_path / "f")
    with pytest.raises(InvalidInputError, match="at least one"):
        write_paper_results([], tmp_path / "p.md", tmp_path / "f")
    assert not (tmp_path / "p.md").exists()

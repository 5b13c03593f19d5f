"""Experiments with sketches and other aggregations: what they count is what an index built alone would do."""

import csv

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsearch.evaluation import NEVER, hit_positions
from metricsearch.experiment import load_config, run_experiment
from metricsearch.experiment.ppp.hits import Reordered, reordered_hit_positions
from metricsearch.experiment.ppp.workload import load_workload
from metricsearch.ppp import PPPCodes, RankingOptions
from metricsearch.report import write_paper_results

BASE = """
title = "tiny"
source = "own"
kind = "KIND"
[data]
name = "decaf7-like"
n = 300
n_queries = 6
[index]
n_pivots = 12
prefix_length = 5
n_spaces = 2
sketch_bytes = 8
[measure]
k = [1, 10]
n_candidates = [1, 5, 30, 60]
target_recall = [0.5]
n_bootstrap = 100
"""
CANDIDATES = (
    BASE.replace("KIND", "candidates")
    + """
cost_at_target = true
[report]
x = "n_candidates"
y = "recall_at_10"
"""
)
SERIES = {
    "plain": {},
    "sum": {"aggregation": "sum"},
    "log-rank": {"aggregation": "log-rank"},
    "calibrated": {"aggregation": "calibrated"},
    "calibrated diff": {"aggregation": "calibrated", "ranking": "diff", "max_level": 3, "n_spaces": 1},
    "landmark": {"sketch": "landmark"},
    "product": {"sketch": "product"},
    "product one space": {"sketch": "product", "n_spaces": 1, "sketch_bytes": 16},
    "product few": {"sketch": "product", "n_sketched": 20},
    "product left out": {"sketch": "product", "n_sketched": 0},
    "product sum": {"sketch": "product", "n_sketched": 50, "aggregation": "sum"},
    "product calibrated": {"sketch": "product", "aggregation": "calibrated", "n_sketched": 40},
}


def series_text(names):
    lines = []
    for name in names:
        values = [f"{key} = {value!r}" for key, value in SERIES[name].items()]
        lines += ["[[series]]", f"label = '{name}'", *values]
    return "\n".join(lines) + "\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path / "cache"))

    def from_text(text):
        path = tmp_path / "tiny.toml"
        path.write_text(text)
        return run_experiment(path, tmp_path / "runs", progress=False)

    return from_text


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def points_of(directory):
    with h5py.File(directory / "results.h5") as file:
        for name in sorted(file["points"]):
            group = file["points"][name]
            yield dict(group.attrs), {key: values[()] for key, values in group.items()}


def lasting_positions(candidate_sets, right, k):
    """Oracle: the smallest R from which on every set of R candidates has 1, 2, ..., k hits."""
    hits = [len(set(ids) & set(right)) for ids in candidate_sets]
    found = [next((r for r in range(1, len(hits) + 1) if min(hits[r - 1 :]) >= j), NEVER) for j in range(1, k + 1)]
    return np.array(found)


def alone(workload, values):
    """An index of one series alone, and the options of its queries."""
    names = ("aggregation", "ranking", "max_level", "n_sketched")
    options = RankingOptions(**{name: values[name] for name in names if name in values})
    return PPPCodes(
        workload.metric,
        n_spaces=values.get("n_spaces", 2),
        n_pivots=12,
        prefix_length=5,
        options=options,
        sketch=values.get("sketch"),
        sketch_bytes=values.get("sketch_bytes", 8),
    ).build(workload.objects)


def test_candidates_are_those_of_an_index_of_the_series_alone(run, tmp_path):
    result = run(CANDIDATES + series_text(SERIES))
    workload = load_workload(load_config(tmp_path / "tiny.toml"), 300)
    neighbours = workload.neighbours(10)
    for about, arrays in points_of(result.directory):
        values = SERIES[about["series"]]
        index = alone(workload, values)
        for i in range(6):
            query = workload.queries[i : i + 1]
            sets = [index.candidates(query, r).tolist() for r in range(1, 61)]
            for k in (1, 10):
                ref = lasting_positions(sets, neighbours.right(i, k).tolist(), k)
                np.testing.assert_array_equal(arrays[f"positions_at_{k}"][i], ref, err_msg=about["series"])
            ranking = index.rank(index.pivot_distances(query), 60)
            assert arrays["n_ids_ranked"][i].tolist() == ranking.n_ids_ranked.tolist()
    rows = rows_of(result.directory / "points.csv")
    assert [row["series"] for row in rows] == list(SERIES)
    columns = {
        row["series"]: (row["aggregation"], row["sketch"], row["sketch_bytes"], row["n_sketched"]) for row in rows
    }
    assert columns["calibrated"] == ("calibrated", "", "0", "")
    assert columns["product one space"] == ("percentile", "product", "16", "")
    assert columns["product sum"] == ("sum", "product", "8", "50.0")
    assert "sketch" in (result.directory / "report.md").read_text()


def test_tables_of_old_runs_without_the_columns_stay_readable(run, tmp_path):
    directory = run(
        CANDIDATES.replace("sketch_bytes = 8\n", "").replace("n_spaces = 2\n", "[sweep]\nn_spaces = [1, 2]\n")
    ).directory
    fresh = write_paper_results([directory], tmp_path / "new.md", tmp_path / "figures").read_text()
    for name in ("results.csv", "points.csv"):
        table = pd.read_csv(directory / name)
        table.drop(columns=["aggregation", "sketch", "sketch_bytes", "n_sketched"]).to_csv(
            directory / name, index=False
        )
    assert write_paper_results([directory], tmp_path / "old.md", tmp_path / "figures").read_text() == fresh


def test_a_page_from_recorded_series_with_and_without_sketches_has_no_gaps(run, tmp_path):
    sweep = "[sweep]\nseed = [0, 1]\n"
    directory = run(CANDIDATES + sweep + series_text(["plain", "sum", "product few"])).directory
    fresh = (directory / "report.md").read_text()
    page = write_paper_results([directory], tmp_path / "p.md", tmp_path / "figures").read_text()
    rows = [line for line in fresh.splitlines() if line.startswith("| decaf7-like")]
    assert len(rows) == 3 + 12
    assert all(row in page for row in rows)
    assert "nan" not in page.lower()
    assert "| product few | percentile | product | 8 | 20 |" in page
    assert "| sum | sum | – | 0 | – |" in page


def test_memory_shows_the_bytes_of_sketches(run):
    text = BASE.replace("KIND", "memory").split("[measure]")[0]
    result = run(text + series_text(["plain", "calibrated", "landmark", "product one space", "product calibrated"]))
    rows = {row["series"]: row for row in rows_of(result.directory / "results.csv")}
    sketches = {name: float(row["part_sketches_bytes"]) for name, row in rows.items()}
    assert sketches == {
        "plain": 0, "calibrated": 0, "landmark": 8, "product one space": 16, "product calibrated": 8,
    }  # fmt: skip
    for row in rows.values():
        parts = sum(float(value) for name, value in row.items() if name.startswith("part_"))
        assert parts == pytest.approx(float(row["index_bytes"]))
    fixed = {name: float(row["pivots_bytes"]) for name, row in rows.items()}
    assert fixed["plain"] < fixed["calibrated"] < fixed["product calibrated"]
    assert fixed["plain"] < fixed["landmark"]


def test_a_search_reads_what_the_sketches_chose(run):
    names = ["sum", "calibrated", "product", "product few", "product calibrated"]
    text = BASE.replace("KIND", "search").replace("[measure]", '[store]\ncodec = "sparse-f32"\n[measure]')
    result = run(text + series_text(names))
    rows = iter(rows_of(result.directory / "results.csv"))
    for about, arrays in points_of(result.directory):
        for i, size in enumerate((1, 5, 30, 60)):
            row = next(rows)
            assert row["aggregation"] == about["aggregation"]
            assert float(row["n_objects_read"]) == size
            for k in (1, 10):
                lasting = (arrays[f"positions_at_{k}"] <= size).mean(axis=1)
                assert (arrays[f"recall_at_{k}"][i] >= lasting).all()
                if size == 60 or "sketch" not in about:
                    np.testing.assert_allclose(arrays[f"recall_at_{k}"][i], lasting)
        assert (about["index_memory_bytes"] - about["pivot_memory_bytes"]) / 300 < 60
    assert "codes, IDs, directory, sketches in memory" in (result.directory / "report.md").read_text()


@given(data=st.data(), n=st.integers(1, 12), k=st.integers(1, 4))
def test_positions_in_reordered_lists_equal_the_oracle(data, n, k):
    ids = data.draw(st.lists(st.integers(0, 99), min_size=n, max_size=n, unique=True))
    sketched = data.draw(st.permutations(ids))
    n_sizes = data.draw(st.integers(1, n))
    grown = sorted(data.draw(st.lists(st.integers(1, n), min_size=n_sizes, max_size=n_sizes)))
    n_compared = [max(size, r) for r, size in enumerate(grown, start=1)]
    n_compared[-1] = n
    right = data.draw(st.lists(st.integers(0, 99), min_size=k, max_size=k + 2, unique=True))
    sets = [[x for x in sketched if ids.index(x) < s][:r] for r, s in enumerate(n_compared, start=1)]
    lists = Reordered.of(np.array(ids), np.array(sketched), np.array(n_compared))
    comp = reordered_hit_positions(lists, np.array(right), k)
    np.testing.assert_array_equal(comp, lasting_positions(sets, right, k))


@given(ids=st.lists(st.integers(0, 30), min_size=1, max_size=20, unique=True), k=st.integers(1, 3))
def test_where_all_objects_are_compared_the_order_of_the_sketches_counts(ids, k):
    sketched = np.array(ids)
    lists = Reordered.of(np.sort(sketched), sketched, np.full(len(ids), len(ids)))
    right = np.arange(10)
    np.testing.assert_array_equal(reordered_hit_positions(lists, right, k), hit_positions(sketched, right, k))

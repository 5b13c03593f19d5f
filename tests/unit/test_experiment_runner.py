import csv
import fcntl
import json
import math
import os

import h5py
import numpy as np
import pytest

from metricsearch.errors import ConfigError, StorageError
from metricsearch.evaluation import NEVER
from metricsearch.experiment import run_experiment, runner
from metricsearch.experiment.ppp import measuring
from metricsearch.experiment.ppp.columns import MEMORY_PARTS, memory_part_column

CANDIDATES = """
title = "tiny"
source = "own"
kind = "candidates"
paper = "0.5 [SIGIR]"
difference = "smaller"
[data]
name = "decaf7-like"
n = 300
n_queries = 12
[index]
n_pivots = 12
prefix_length = 5
[sweep]
n_spaces = [1, 3]
max_level = [2, 5]
seed = [0, 1]
[measure]
k = [1, 10]
n_candidates = [1, 30, 100, 1000]
target_recall = [0.5, 1.0]
cost_at_target = true
n_bootstrap = 200
[report]
x = "n_candidates"
y = ["recall_at_10", "recall_at_1"]
log_x = true
"""
MEMORY = """
title = "bytes"
source = "own"
kind = "memory"
[data]
name = "decaf7-like"
n = 300
[sweep]
n_pivots = [8, 16]
n_spaces = [1, 2]
[report]
style = "stacked"
x = "n_pivots"
y = ["part_suffixes_bytes", "part_ordinals_bytes"]
"""
SEARCH = """
title = "whole queries"
source = "own"
kind = "search"
[data]
name = "decaf7-like"
n = 300
n_queries = 6
[index]
n_pivots = 12
prefix_length = 5
[store]
codec = "sparse-f32"
[sweep]
n_spaces = [1, 3]
[measure]
k = [1, 10]
n_candidates = [5, 50, 300]
target_recall = [0.8]
cache = "CACHE"
n_bootstrap = 200
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("METRICSEARCH_CACHE", str(tmp_path / "cache"))

    def from_text(text, name="tiny"):
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return run_experiment(path, tmp_path / "runs", progress=False)

    from_text.output = tmp_path / "runs"
    return from_text


@pytest.fixture
def builds(monkeypatch):
    """Indexes made."""
    made = []

    def counted(*arguments):
        made.append(arguments)
        return measuring_new_index(*arguments)

    measuring_new_index = measuring.new_index
    monkeypatch.setattr(measuring, "new_index", counted)
    return made


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def points_of(directory):
    with h5py.File(directory / "results.h5") as file:
        for name in sorted(file["points"]):
            group = file["points"][name]
            yield dict(group.attrs), {key: values[()] for key, values in group.items()}


def test_a_run_leaves_tables_figures_report_and_provenance(run):
    result = run(CANDIDATES)
    names = {path.name for path in result.directory.iterdir()}
    assert names == {
        "parts", "results.h5", "results.csv", "points.csv", "report.md", "config.json", "provenance.json",
        "figure-recall_at_10.png", "figure-recall_at_10.pdf", "figure-recall_at_1.png", "figure-recall_at_1.pdf",
    }  # fmt: skip
    assert result.directory.name.startswith("tiny-")
    machine = json.loads((result.directory / "provenance.json").read_text())
    assert {"commit", "dirty", "packages", "cpu", "cores", "memory_gib", "cache", "date", "seeds"} <= set(machine)
    report = (result.directory / "report.md").read_text()
    assert "0.5 [SIGIR]" in report
    assert "smaller" in report
    assert "SYNTHETIC data" in report
    assert "candidates R for 50 % recall of 10-NN" in result.table


def test_results_csv_is_what_follows_from_the_values_per_query(run):
    result = run(CANDIDATES)
    rows = iter(rows_of(result.directory / "results.csv"))
    for about, arrays in points_of(result.directory):
        for size in (1, 30, 100):  # 1000 > n
            row = next(rows)
            for name in ("n_spaces", "max_level", "seed"):
                assert float(row[name]) == about[name]
            assert row["data"] == "decaf7-like (synthetic)"
            assert int(row["n_candidates"]) == size
            assert float(row["distance_share"]) == pytest.approx((size + about["n_spaces"] * 12) / 300)
            for k in (1, 10):
                per_query = [sum(p <= size for p in positions) / k for positions in arrays[f"positions_at_{k}"]]
                recall = float(row[f"recall_at_{k}"])
                assert recall == pytest.approx(sum(per_query) / 12)
                assert float(row[f"recall_at_{k}_low"]) <= recall <= float(row[f"recall_at_{k}_high"])
    assert next(rows, None) is None


def test_points_csv_has_the_smallest_number_of_candidates_that_reaches_the_target(run):
    result = run(CANDIDATES)
    reached = 0
    for row, (_, arrays) in zip(rows_of(result.directory / "points.csv"), points_of(result.directory), strict=True):
        for k in (1, 10):
            for target in (0.5, 1.0):
                positions = arrays[f"positions_at_{k}"]
                ref = next((r for r in range(1, 101) if (positions <= r).mean() >= target - 1e-9), math.inf)
                name = f"candidates_for_{target * 100:g}_at_{k}"
                assert float(row[name]) == ref
                assert float(row[f"{name}_low"]) <= ref <= float(row[f"{name}_high"])
                if math.isfinite(ref):
                    reached += 1
                    depth = float(row[f"{name}_n_ids_ranked"])
                    assert depth == pytest.approx(arrays[f"{name}_n_ids_ranked"].sum(axis=1).mean())
                    assert depth >= ref
    assert reached > 8


def test_smaller_indexes_are_served_by_the_largest_and_rank_as_if_built_alone(run, builds):
    shared = run(CANDIDATES)
    assert len(builds) == 2  # one per seed
    alone = run(CANDIDATES.replace("n_spaces = [1, 3]\nmax_level = [2, 5]", "n_spaces = [3]\nmax_level = [5]"))
    values = {
        (about["n_spaces"], about["max_level"], about["seed"]): arrays for about, arrays in points_of(shared.directory)
    }
    for about, arrays in points_of(alone.directory):
        np.testing.assert_array_equal(arrays["positions_at_10"], values[3, 5, about["seed"]]["positions_at_10"])
    assert not np.array_equal(values[1, 5, 0]["positions_at_10"], values[3, 5, 0]["positions_at_10"])


def test_a_second_run_measures_nothing_and_says_the_same(run, builds):
    first = run(CANDIDATES)
    csv_before = (first.directory / "results.csv").read_bytes()
    provenance_before = (first.directory / "provenance.json").read_bytes()
    builds.clear()
    second = run(CANDIDATES)
    assert (first.n_measured, first.n_reused) == (8, 0)
    assert (second.n_measured, second.n_reused) == (0, 8)
    assert not builds
    assert (second.directory / "results.csv").read_bytes() == csv_before
    assert (second.directory / "provenance.json").read_bytes() == provenance_before


def test_an_interrupted_run_keeps_what_is_done_and_continues(run, monkeypatch, capsys):
    ref = run(CANDIDATES, "reference")
    original, done = runner.write_part, []

    def interrupted(directory, part):
        if len(done) == 3:
            raise KeyboardInterrupt
        original(directory, part)
        done.append(part)

    monkeypatch.setattr(runner, "write_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(CANDIDATES)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("interrupted: 3 of 8 points are saved in ")
    monkeypatch.setattr(runner, "write_part", original)
    result = run(CANDIDATES)
    assert (result.n_measured, result.n_reused) == (5, 3)
    assert (result.directory / "results.csv").read_bytes() == (ref.directory / "results.csv").read_bytes()


def test_a_damaged_part_is_measured_again(run):
    first = run(CANDIDATES)
    part = sorted((first.directory / "parts").iterdir())[0]
    with h5py.File(part, "r+") as file:
        file["positions_at_10"][0, 0] = NEVER
    before = (first.directory / "results.csv").read_bytes()
    second = run(CANDIDATES)
    assert second.n_measured == 1
    assert (second.directory / "results.csv").read_bytes() == before


def test_memory_is_told_by_part_and_adds_up(run):
    result = run(MEMORY)
    rows = rows_of(result.directory / "results.csv")
    assert [(row["n_pivots"], row["n_spaces"]) for row in rows] == [("8", "1"), ("16", "1"), ("8", "2"), ("16", "2")]
    for row in rows:
        parts = sum(float(value) for name, value in row.items() if name.startswith("part_"))
        assert parts == pytest.approx(float(row["index_bytes"]))
        spaces, bits = int(row["n_spaces"]), {8: 3, 16: 4}[int(row["n_pivots"])]
        assert float(row["flat_bytes"]) == spaces * (8 * bits + 9) / 8  # 300 objects: 9 bits
        assert float(row["flat_31_bit_ids_bytes"]) == spaces * (8 * bits + 31) / 8
        assert float(row["pivots_bytes"]) == pytest.approx(spaces * int(row["n_pivots"]) * 4096 * 4 / 300)
        assert float(row["inserted_bytes"]) != float(row["index_bytes"])
        assert float(row["part_inserted_bytes"]) == 0
        # The parts that an experiment file may name are those there are.
        assert {name for name in row if name.startswith("part_")} == {memory_part_column(part) for part in MEMORY_PARTS}
    assert (result.directory / "figure-stacked.png").stat().st_size > 5000


@pytest.mark.parametrize("cache", ["warm", "cold"])
def test_whole_queries_have_the_recall_of_their_candidates_and_costs(run, cache):
    result = run(SEARCH.replace("CACHE", cache))
    rows = iter(rows_of(result.directory / "results.csv"))
    for about, arrays in points_of(result.directory):
        for i, size in enumerate((5, 50, 300)):
            row = next(rows)
            for k in (1, 10):
                # The codec is lossless, so refinement finds exactly the neighbours among the candidates.
                found = (arrays[f"positions_at_{k}"] <= size).mean(axis=1)
                np.testing.assert_allclose(arrays[f"recall_at_{k}"][i], found)
                assert float(row[f"recall_at_{k}"]) == pytest.approx(found.mean())
            assert float(row["n_objects_read"]) == size
            by_space = arrays["n_ids_ranked_by_space"][i]
            assert by_space.sum(axis=1).tolist() == arrays["n_ids_ranked"][i].tolist()
            assert float(row["n_distances"]) == size + float(row["n_pivot_distances"])
            assert float(row["n_distances"]) == size + 12 * about["n_spaces"]
            assert float(row["n_bytes_read"]) == pytest.approx(arrays["n_bytes_read"][i].mean())
            assert float(row["rank_ms"]) == pytest.approx(arrays["rank_ms"][i].mean())
            assert float(row["total_ms_p50"]) == pytest.approx(np.median(arrays["total_ms"][i]))
            assert 0 < float(row["total_ms_p50"]) <= float(row["total_ms_p95"]) <= float(row["total_ms_p99"])
        if cache == "cold":
            assert about["resident_share_after_drop"] < 0.1
    assert float(row["recall_at_10"]) == 1.0  # R = n
    assert not (result.directory / "work").exists()
    assert cache in json.loads((result.directory / "provenance.json").read_text())["cache"]


def test_an_interrupted_search_leaves_no_object_store_behind(run, monkeypatch):
    def interrupted(directory, part):
        assert (directory / "work" / "store.ms").is_dir()
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "write_part", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(SEARCH.replace("CACHE", "warm"))
    del caught
    assert not list(run.output.glob("*/work"))


def test_the_same_run_in_two_processes_is_refused(run):
    directory = run(MEMORY).directory
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(StorageError, match="another process"):
            run(MEMORY)
    finally:
        os.close(descriptor)
    assert run(MEMORY).n_reused == 4


def test_a_grid_beyond_the_data_is_refused(run):
    with pytest.raises(ConfigError, match="at most n = 300"):
        run(CANDIDATES.replace("[1, 30, 100, 1000]", "[1000]"))


def test_an_output_folder_that_is_a_file_is_refused_in_one_line(run, tmp_path):
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        run(CANDIDATES)

import json
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from metricsearch.bench import plots, tables
from metricsearch.bench.ann_hdf5 import write_ann_hdf5
from metricsearch.bench.page import update_page
from metricsearch.bench.report import write_bench_report
from metricsearch.bench.results import UNKNOWN, Built, Result, Setting
from metricsearch.bench.summary import read_frame, results_frame, setting_text, write_frame
from metricsearch.errors import CorruptedError, InvalidInputError, MissingDataError

N = 1000
ABOUT = {
    "stem": "small",
    "title": "Everything compared",
    "source": "A paper",
    "data": "some-data",
    "description": "Made up.",
    "synthetic": True,
    "n": N,
    "d": 8,
    "n_queries": 4,
    "metric": {"name": "euclidean"},
    "k": 2,
    "threads": 1,
    "build_threads": 2,
    "repetitions": 3,
    "reference": "ours",
}
MACHINE = {
    "date": "2026-01-01T00:00:00+00:00",
    "commit": "c" * 40,
    "dirty": False,
    "python": "3.11.7",
    "packages": {"numpy": "2.4.6"},
    "system": "Linux",
    "cpu": "A processor",
    "cores": 2,
    "memory_gib": 4.0,
}
BUILT = Built(
    build_s=2.5,
    objects_bytes=32 * N,
    fixed_bytes=1_500_000,
    rss_growth_bytes=40 * N,
    index_disk_bytes=50 * N,
    store_disk_bytes=400 * N,
    version="1.2.3",
)


def result(
    label="ours",
    recall=0.5,
    ms=2.0,
    n_candidates=100,
    *,
    ours=True,
    query=None,
    cache="warm",
    n_read=100,
    n_distances=200,
    **changes,
):
    """A result of 4 queries, 3 repetitions; the mean of its times is `ms`, its spread a tenth to either side."""
    times = ms * np.array([[0.9], [1.0], [1.1]]) * np.array([0.5, 1.0, 1.0, 1.5])
    n_hits = round(recall * 8)
    recalls = np.array([max(0, min(2, n_hits - 2 * i)) / 2 for i in range(4)])
    values = {
        "label": label,
        "method": {"index": "ppp" if ours else None, "adapter": None if ours else "peers/x.py:Y"},
        "setting": Setting(query=query or {}, n_candidates=n_candidates, cache=cache),
        "built": BUILT,
        "times_ms": times,
        "batch_s": np.array([0.001, 0.002, 0.004]),
        "reference_ms": np.array([1.0, 2.0, 2.0]),
        "ids": np.array([[0, 1], [2, 3], [4, -1], [5, 6]]),
        "distances": np.array([[0.0, 0.5], [0.1, 0.2], [0.3, np.inf], [0.4, 0.4]]),
        "n_candidates_found": np.full(4, n_candidates or 0),
        "n_objects_read": np.full(4, n_read),
        "n_bytes_read": np.full(4, n_read * 10),
        "n_distances": np.full(4, n_distances),
        "recalls": recalls,
        "code": {"commit": "d" * 40, "dirty": False},
    }
    return Result(**{**values, **changes})


def frame_of(*results):
    return results_frame(ABOUT, results)


def rows_of(found):
    """All rows of all parts of a table as dicts by column."""
    return [dict(zip(table[0], row, strict=True)) for _, table in found for row in table[1:]]


# ---------------------------------------------------------------------- one row per result


def test_a_row_holds_means_spreads_and_ratios_within_the_same_repetition():
    row = frame_of(result(ms=2.0, recall=0.5)).iloc[0]
    assert row["time_ms"] == pytest.approx(2.0)
    assert (row["round_ms_low"], row["round_ms_high"]) == (pytest.approx(1.8), pytest.approx(2.2))
    assert row["time_ms_p50"] == pytest.approx(2.0)
    # rounds 1.8, 2.0, 2.2 over 1, 2, 2
    assert [row[name] for name in ("ratio", "ratio_low", "ratio_high")] == pytest.approx([1.1, 1.0, 1.8])
    assert row["queries_per_s"] == pytest.approx(4 / 0.002)
    assert row["recall"] == 0.5
    assert row["recall_low"] < 0.5 < row["recall_high"]


def test_bytes_are_per_object_but_for_those_that_do_not_grow():
    row = frame_of(result()).iloc[0]
    assert [row[name] for name in ("objects_bytes", "rss_growth_bytes", "index_disk_bytes", "store_disk_bytes")] == [
        32,
        40,
        50,
        400,
    ]
    assert row["fixed_bytes"] == 1_500_000


def test_what_is_unknown_is_nan_and_never_a_number():
    nothing = replace(BUILT, objects_bytes=None, fixed_bytes=None, index_disk_bytes=None)
    one = result(
        n_candidates=None,
        built=nothing,
        n_distances=UNKNOWN,
        batch_s=np.full(3, np.nan),
        reference_ms=np.full(3, np.nan),
    )
    row = frame_of(one).iloc[0]
    unknown = ["objects_bytes", "fixed_bytes", "index_disk_bytes", "n_distances", "n_candidates", "queries_per_s"]
    assert row[[*unknown, "ratio", "ratio_low", "ratio_high"]].isna().all()
    cells = rows_of(tables.search_tables(ABOUT, frame_of(one)))[0]
    assert cells["distances"] == cells["queries/s in one call"] == cells["× reference (least–greatest)"] == "–"


def test_results_csv_gives_the_same_rows_back(tmp_path):
    odd = result('NA, "quoted" | 1e3', 1.0, n_candidates=None, query={"x": "nan"}, n_distances=UNKNOWN)
    unnamed = result("007", ms=1 / 3, code={})
    frame = frame_of(odd, unnamed)
    write_frame(tmp_path / "results.csv", frame)
    pd.testing.assert_frame_equal(read_frame(tmp_path / "results.csv"), frame, check_dtype=False, check_exact=True)


def test_no_results_give_an_empty_frame_that_can_be_read_back(tmp_path):
    write_frame(tmp_path / "results.csv", frame_of())
    assert len(read_frame(tmp_path / "results.csv")) == 0


@pytest.mark.parametrize(
    ("method", "setting", "expected"),
    [
        ({}, Setting(), "–"),
        ({}, Setting(query={"n_probes": 16}, n_candidates=1000), "n_probes = 16, R = 1,000"),
        ({"refine": True}, Setting(query={"n_probes": 16}), "by itself, n_probes = 16"),
        ({"refine": True}, Setting(query={"n_probes": 16}, n_candidates=10), "n_probes = 16, R = 10"),
        ({}, Setting(query={"ranking": "wspd", "percentile": 0.5, "exact": True, "max_level": None}),
         "ranking = wspd, percentile = 0.5, exact = true, max_level = null"),
    ],
)  # fmt: skip
def test_a_setting_in_words(method, setting, expected):
    assert setting_text(result(method=method, setting=setting)) == expected


# ---------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.01234, "0.0123"), (1.005, "1"), (12.34, "12.3"), (999.4, "999"), (999.6, "1,000"),
     (1234567.8, "1,234,568"), (np.nan, "–"), (np.inf, "–")],
)  # fmt: skip
def test_numbers_have_three_digits_and_thousands_are_whole(value, expected):
    assert tables.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e6, "2 MB"), (3.21e10, "32.1 GB"), (np.nan, "–")],
)  # fmt: skip
def test_bytes_have_their_unit(value, expected):
    assert tables.byte_text(value) == expected


# ---------------------------------------------------------------------- tables


def test_one_row_per_index_says_what_it_takes():
    without = result("theirs", ours=False, n_candidates=None, built=replace(BUILT, store_disk_bytes=0))
    rows = rows_of(tables.index_tables(frame_of(result(), result(n_candidates=300), without)))
    assert [row["method"] for row in rows] == ["ours", "theirs"]
    assert rows[0]["memory that grows with n (B per object)"] == "32"
    assert rows[0]["memory that does not"] == "1.5 MB"
    assert [row["object store on disk (B per object)"] for row in rows] == ["400", "none needed"]


def test_searches_show_interval_percentiles_and_spread():
    row = rows_of(tables.search_tables(ABOUT, frame_of(result(recall=1.0))))[0]
    assert row["recall@2"] == "1.000 [1.000, 1.000]"
    assert row["ms p50 / p95 / p99"] == "2 / 3.13 / 3.27"
    assert row["mean ms (least–greatest of the repetitions)"] == "2 (1.8–2.2)"
    assert row["× reference (least–greatest)"] == "1.1 (1–1.8)"
    assert "cache" not in row
    both = rows_of(tables.search_tables(ABOUT, frame_of(result(), result(cache="cold"))))
    assert [row["cache"] for row in both] == ["warm", "cold"]


def test_a_method_with_fewer_queries_is_told():
    fewer = result("slow", recalls=np.ones(2), times_ms=np.ones((3, 2)))
    rows = rows_of(tables.search_tables(ABOUT, frame_of(result(), fewer)))
    assert [row["queries"] for row in rows] == ["4", "2"]
    assert "queries" not in rows_of(tables.search_tables(ABOUT, frame_of(result())))[0]


def test_a_target_is_reached_by_measured_settings_only_and_each_cost_is_the_least_of_them():
    frame = frame_of(
        result("slow", 0.75, ms=1, n_candidates=10, n_read=10, n_distances=20),
        result("slow", 1.0, ms=9, n_candidates=50, n_read=50, n_distances=60),
        result("slow", 1.0, ms=8, n_candidates=90, n_read=90, n_distances=100),
        result("never", 0.75),
        result("fast", 1.0, ms=0.5, n_candidates=None, n_distances=UNKNOWN, query={"ef": 9}),
    )
    rows = {row["method"]: row for row in rows_of(tables.target_tables(ABOUT, frame)[1:2])}
    assert list(rows) == ["fast", "slow", "never"]
    assert list(rows["slow"].values()) == ["slow", "50", "60", "8", "R = 90"]
    assert list(rows["fast"].values()) == ["fast", "100", "–", "0.5", "ef = 9"]
    assert list(rows["never"].values()) == ["never", *["not reached"] * 3, "best recall 0.750"]


def test_a_recall_equal_to_the_target_reaches_it():
    frame = frame_of(result(recalls=np.array([0.8, 0.8, 0.8, 0.8])))
    assert [row["objects read"] for row in rows_of(tables.target_tables(ABOUT, frame))] == ["100"] + ["not reached"] * 2


def test_targets_of_cold_and_warm_cache_are_apart():
    frame = frame_of(result(recall=1.0, ms=1), result(recall=1.0, ms=50, cache="cold"))
    found = tables.target_tables(ABOUT, frame)
    assert [rows_of([entry])[0]["mean ms"] for entry in found] == ["1"] * 3 + ["50"] * 3
    assert all(("cold" in caption) == (i >= 3) for i, (caption, _) in enumerate(found))


def test_equal_candidates_compare_only_those_refined_from_the_store_and_mark_the_best():
    frame = frame_of(
        result("a", 0.5, n_candidates=10),
        result("a", 1.0, n_candidates=20),
        result("a", 1.0, n_candidates=20, cache="cold"),
        result("b", 0.75, n_candidates=10, query={"p": 1}, ours=False),
        result("b", 0.25, n_candidates=10, query={"p": 2}, ours=False),
        result("alone", 1.0, n_candidates=None),
    )
    rows = rows_of(tables.candidate_tables(ABOUT, frame))
    found = {row["method"]: (row["R = 10"], row["R = 20"]) for row in rows}
    assert found == {"a": ("0.500", "**1.000**"), "b, p = 1": ("**0.750**", "–"), "b, p = 2": ("0.250", "–")}


def test_no_refined_method_no_table_of_equal_candidates():
    assert tables.candidate_tables(ABOUT, frame_of(result(n_candidates=None))) == []


def test_wide_tables_are_split_into_groups_of_columns():
    frame = frame_of(*(result("a", n_candidates=10 * i) for i in range(1, 13)))
    found = tables.candidate_tables(ABOUT, frame)
    assert [len(table[0]) - 3 for _, table in found] == [
        tables.MAX_CANDIDATE_COLUMNS,
        12 - tables.MAX_CANDIDATE_COLUMNS,
    ]


@given(n=st.integers(0, 400))
def test_long_tables_are_split_without_losing_a_row(n):
    rows = [[str(i)] for i in range(n)]
    found = tables.in_parts("caption", [["header"], *rows])
    assert [row for _, table in found for row in table[1:]] == rows
    assert all(1 < len(table) <= tables.MAX_ROWS + 1 and table[0] == ["header"] for _, table in found)
    assert len({caption for caption, _ in found}) == len(found)


# ---------------------------------------------------------------------- figures


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_the_frontier_is_what_no_other_surpasses(points):
    costs, recalls = np.array(points, dtype=float).reshape(-1, 2).T
    best = plots.pareto_frontier(costs, recalls)
    kept = {(costs[i], recalls[i]) for i in best}
    expected = {
        (c, r) for c, r in points if not any((d <= c and s >= r) and (d, s) != (c, r) for d, s in points)
    }  # fmt: skip
    assert kept == expected
    assert len(best) == len(expected)
    assert (np.diff(costs[best]) > 0).all()


def test_twenty_five_methods_look_different_and_the_same_in_every_figure():
    results = [
        result(f"method {i}", ours=i % 2 == 0, n_read=100 if i > 9 else 0, recall=0.5 + i / 100) for i in range(25)
    ]
    looks = []
    for drawing in plots.drawings(frame_of(*results)):
        axes = plots.pareto_figure(ABOUT, drawing).axes[0]
        lines = [line for line in axes.lines if not line.get_label().startswith("_")]
        looks.append({line.get_label(): (line.get_color(), line.get_marker()) for line in lines})
        assert len(set(looks[-1].values())) == len(lines)
        assert axes.get_xscale() == "log"
    assert [len(look) for look in looks] == [25, 25, 15, 25]
    assert all(look.items() <= looks[0].items() for look in looks)


def test_titles_call_synthetic_data_so_once():
    assert plots.title(ABOUT) == "Everything compared, synthetic data"
    assert plots.title({**ABOUT, "title": "Synthetic descriptors"}) == "Synthetic descriptors"
    assert plots.title({**ABOUT, "synthetic": False}) == "Everything compared"
    drawing = plots.drawings(frame_of(result()))[0]
    assert plots.pareto_figure(ABOUT, drawing).axes[0].get_title() == "Everything compared, synthetic data"


def test_captions_say_repetitions_spread_and_who_is_missing():
    frame = frame_of(result(), result("theirs", ours=False, n_candidates=None, n_read=0, n_distances=UNKNOWN))
    texts = {drawing.name: plots.caption(ABOUT, drawing) for drawing in plots.drawings(frame)}
    assert list(texts) == ["time", "bytes", "objects-read", "distances"]
    assert "repetitions: 3" in texts["time"]
    assert "at most 20.0%" in texts["time"]
    assert "theirs" not in texts["time"]
    assert texts["distances"].endswith("Not drawn, because unknown or 0: theirs.")


def test_times_of_cold_and_warm_cache_are_drawn_apart_and_counts_once():
    found = plots.drawings(frame_of(result(), result(cache="cold")))
    assert [drawing.name for drawing in found] == ["time-warm", "time-cold", "bytes", "objects-read", "distances"]
    assert [len(drawing.rows) for drawing in found] == [1] * 5


def test_recalls_of_0_and_1_and_a_single_query_can_be_drawn():
    one = {"recalls": np.array([1.0]), "times_ms": np.ones((1, 1)), "reference_ms": np.ones(1), "batch_s": np.ones(1)}
    for found in (result(recall=1.0), result(recall=0.0), result(**one)):
        figure = plots.pareto_figure(ABOUT, plots.drawings(frame_of(found))[0])
        figure.canvas.draw()
        axes = figure.axes[0]
        place = axes.transData.transform((found.times_ms.mean(), found.recalls.mean()))
        assert axes.bbox.contains(*place)


# ---------------------------------------------------------------------- the report


def test_a_report_has_all_its_files_and_says_what_was_not_measured(tmp_path):
    results = [result(), result("theirs | x", ours=False, n_candidates=None, query={"ef": 8})]
    paths = write_bench_report(tmp_path, ABOUT, results, {"broken": "no such library"}, MACHINE)
    assert all(path.is_file() for path in paths)
    names = {path.name for path in paths}
    assert {"report.md", "results.csv", "about.json", "machine.json", "failed.json"} <= names
    assert {"figure-time.png", "figure-time.pdf", "figure-objects-read.png"} <= names
    assert sum(path.suffix == ".hdf5" for path in paths) == 2
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# Everything compared, synthetic data\n")
    assert "SYNTHETIC data: some-data, 1,000 objects of 8 dimensions" in text
    assert "2 nearest neighbours on 1 thread, a process for each method, built on 2 threads" in text
    assert "* broken: no such library" in text
    assert "theirs \\| x" in text
    assert "Commit dddddddddddd; A processor, 2 cores, 4.0 GiB" in text
    assert all(f"]({name})" in text for name in names if name.endswith(".png"))


def test_the_same_results_give_the_same_report(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_bench_report(tmp_path / name, ABOUT, [result()], {}, MACHINE)
    for path in (tmp_path / "a").glob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_a_report_of_failures_alone_is_written_and_leaves_nothing_of_an_earlier_one(tmp_path):
    write_bench_report(tmp_path, ABOUT, [result()], {}, MACHINE)
    write_bench_report(tmp_path, {**ABOUT, "d": None}, [], {"a": "killed"}, {**MACHINE, "commit": None, "dirty": None})
    text = (tmp_path / "report.md").read_text()
    assert "No method was measured." in text
    assert {path.name for path in tmp_path.iterdir()} == {
        "about.json",
        "machine.json",
        "failed.json",
        "results.csv",
        "report.md",
    }
    assert "* a: killed" in text
    assert "Commit unknown" in text


def test_uncommitted_changes_and_several_commits_are_told(tmp_path):
    results = [result(), result("b", code={"commit": "e" * 40, "dirty": True})]
    write_bench_report(tmp_path, ABOUT, results, {}, MACHINE)
    assert "Commit dddddddddddd, eeeeeeeeeeee with uncommitted changes" in (tmp_path / "report.md").read_text()


# ---------------------------------------------------------------------- ann-benchmarks


def test_files_for_ann_benchmarks_hold_what_its_tools_read(tmp_path):
    path = write_ann_hdf5(tmp_path, ABOUT, result("ours: λ = 4 / k", query={"ranking": "wspd"}))
    assert path.relative_to(tmp_path).parts[:3] == ("some-data", "2", "ours_λ_4_k")
    with h5py.File(path) as file:
        assert file.attrs["batch_mode"] == np.False_
        assert file.attrs["best_search_time"] == pytest.approx(0.0018)
        assert file.attrs["index_size"] == pytest.approx((32 * N + 1_500_000) / 1024)
        assert file.attrs["candidates"] == 7 / 4
        assert file.attrs["dist_comps"] == 200 * 4 * 3
        assert (file.attrs["run_count"], file.attrs["count"], file.attrs["distance"]) == (3, 2, "euclidean")
        assert (file.attrs["algo"], file.attrs["dataset"]) == ("ours: λ = 4 / k", "some-data")
        assert np.allclose(file["times"], 0.0018 * np.array([0.5, 1.0, 1.0, 1.5]))
        assert file["neighbors"][2].tolist() == [4, -1]
        assert file["distances"][2].tolist() == [np.float32(0.3), np.inf]


def test_angular_distances_are_theirs_and_unknown_counts_are_left_out(tmp_path):
    one = result(n_distances=UNKNOWN, built=replace(BUILT, objects_bytes=None))
    with h5py.File(write_ann_hdf5(tmp_path, {**ABOUT, "metric": "angular"}, one)) as file:
        assert np.allclose(file["distances"][:2], 1 - np.cos([[0.0, 0.5], [0.1, 0.2]]))
        assert file["distances"][2, 1] == np.inf
        assert "dist_comps" not in file.attrs
        assert file.attrs["index_size"] == pytest.approx(40 * N / 1024)


def test_every_setting_has_its_file(tmp_path):
    long = {f"parameter_{i}": 0.5 for i in range(20)}
    results = [
        result(n_candidates=R, query=query, cache=cache)
        for R in (None, 10)
        for query in ({}, {"x": 1}, {"x": -1}, {"x": 1.5}, long, {**long, "parameter_19": 0.25})
        for cache in ("warm", "cold")
    ]
    paths = {write_ann_hdf5(tmp_path, ABOUT, one) for one in results}
    assert len(paths) == len(results)
    assert max(len(path.name) for path in paths) < 130


# ---------------------------------------------------------------------- the page


def run_of(tmp_path, name, *results, **about):
    directory = tmp_path / name
    directory.mkdir(exist_ok=True)
    write_bench_report(directory, {**ABOUT, "stem": name, **about}, results or [result()], {}, MACHINE)
    return directory


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run "one" that tests only read."""
    return run_of(tmp_path_factory.mktemp("runs"), "one")


def test_a_page_gets_a_block_per_run_and_keeps_everything_else_byte_for_byte(tmp_path):
    page = tmp_path / "README.md"
    before, after = b"# Title\r\n\xc3\xa9\n", b"\nlast line without end"
    page.write_bytes(before + b"<!-- bench:one -->old<!-- /bench:one -->" + after)
    update_page(page, [run_of(tmp_path, "one"), run_of(tmp_path, "two", title="Second")])
    content = page.read_bytes()
    assert content.startswith(before + b"<!-- bench:one -->\n\n## Everything compared, synthetic data\n\n")
    assert after + b"\n\n<!-- bench:two -->\n\n## Second" in content
    assert b"old" not in content
    assert content.endswith(b"<!-- /bench:two -->\n")
    for name in ("one", "two"):
        for figure in ("time", "bytes", "objects-read", "distances"):
            assert f"(figures/{name}-{figure}.png)".encode() in content
            copy = tmp_path / "figures" / f"{name}-{figure}.png"
            original = tmp_path / name / f"figure-{figure}.png"
            assert copy.stat().st_size < original.stat().st_size / 1.5
            difference = imread(copy)[..., :3] - imread(original)[..., :3]
            assert np.abs(difference).mean() < 0.01


def test_updating_twice_changes_nothing_and_a_new_run_replaces_its_own_block_alone(tmp_path, recorded):
    page = tmp_path / "README.md"
    page.write_bytes(b"")
    one, two = recorded, run_of(tmp_path, "two")
    update_page(page, [one, two])
    first = page.read_bytes()
    update_page(page, [two])
    update_page(page, [one, two])
    assert page.read_bytes() == first
    update_page(page, [run_of(tmp_path, "one", result("new method"))])
    again = page.read_bytes()
    assert b"new method" in again
    assert again.partition(b"<!-- bench:two -->")[2] == first.partition(b"<!-- bench:two -->")[2]


@pytest.mark.parametrize(
    "content",
    [
        "<!-- bench:one -->",
        "<!-- /bench:one --> <!-- bench:one -->",
        "<!-- bench:one --> <!-- bench:one --> <!-- /bench:one -->",
        "<!-- bench:one --> <!-- /bench:one --> <!-- /bench:one -->",
    ],
)
def test_broken_markers_leave_the_page_alone(tmp_path, recorded, content):
    page = tmp_path / "README.md"
    page.write_text(content)
    with pytest.raises(InvalidInputError, match="bench:one"):
        update_page(page, [recorded])
    assert page.read_text() == content
    assert not (tmp_path / "figures").exists()


def test_missing_and_damaged_files_are_named(tmp_path, recorded):
    page = tmp_path / "README.md"
    run = shutil.copytree(recorded, tmp_path / "one")
    with pytest.raises(MissingDataError, match=r"README\.md: no such file"):
        update_page(page, [run])
    page.touch()
    with pytest.raises(MissingDataError, match=r"about\.json: no such file; run the suite first"):
        update_page(page, [tmp_path / "nowhere"])
    (run / "machine.json").write_text("{")
    with pytest.raises(CorruptedError, match=r"machine\.json"):
        update_page(page, [run])


def test_a_page_is_rebuilt_from_what_was_recorded(tmp_path):
    """Nothing but the run's own files is needed, and the page shows the numbers of the report."""
    run = run_of(tmp_path, "one", result(recall=0.75), result("theirs", ours=False, n_candidates=None))
    page = tmp_path / "README.md"
    page.touch()
    update_page(page, [run])
    assert json.loads((run / "about.json").read_text())["stem"] == "one"
    tables_of = [
        [line for line in path.read_text().splitlines() if line.startswith("|")] for path in (page, run / "report.md")
    ]
    assert tables_of[0] == tables_of[1]
    assert len(tables_of[0]) > 10

"""The table of bad input: its judgement, and that every cell of ours is a clear error or a right answer."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bad_input
from bad_input import OURS, PROBES, SUBJECTS, damaged_copies, judge, objects_and_queries, outcome_of, right_answer

N = 600
DAMAGES = ("truncated", "flipped")
FINE = ("clear error: ", "right answer")


@pytest.mark.parametrize("probe", [probe for probe in PROBES if probe not in DAMAGES])
@pytest.mark.parametrize("name", OURS)
def test_bad_input_to_ours_gives_a_clear_error_or_a_right_answer(name, probe, tmp_path):
    n = 0 if probe == "empty" else N
    cell = judge(outcome_of(name, probe, tmp_path), right_answer(probe), n)
    assert cell.startswith(FINE), cell
    if right_answer(probe) is None:
        assert cell.startswith("clear error")
    if probe == "k_above_n":
        assert cell == "right answer"


@pytest.mark.parametrize("name", OURS)
def test_damage_to_each_file_of_ours_gives_a_clear_error_or_a_right_answer(name, tmp_path):
    saved = tmp_path / "saved"
    saved.mkdir()
    SUBJECTS[name].build(objects_and_queries()[0], saved).save(saved)
    assert judge(outcome_of(name, "flipped", saved), right_answer("flipped"), N) == "right answer"  # not damaged yet
    for damage in DAMAGES:
        cells = []
        for copy in damaged_copies(saved, damage):
            cells.append(judge(outcome_of(name, damage, copy), right_answer(damage), N))
            copy.rename(copy.with_name(f"{damage}-{copy.name}"))
        assert cells
        assert all(cell.startswith(FINE) for cell in cells), cells
        assert any(cell.startswith("clear error") for cell in cells), cells


def test_probes_of_ours_have_processes_of_their_own():
    for probe in ("query_nan", "k_above_n", "flipped"):
        cell = bad_input.cell_of("metricsearch Collection", probe, sys.executable, 60)
        assert cell.startswith("right answer" if probe == "k_above_n" else "clear error: "), cell


RIGHT = [[3, 1, 2], [0, 4, 5]]


@pytest.mark.parametrize(
    ("answer", "expected", "cell"),
    [
        (RIGHT, RIGHT, "right answer"),
        ([[1, 2, 3], [5, 4, 0]], RIGHT, "right answer"),
        ([[3, 1], [0, 4, 5]], RIGHT, "fewer"),
        ([[], [0, 4, 5]], RIGHT, "fewer"),
        ([[3, 1, -1], [0, 4, 5]], RIGHT, "padded"),
        ([[3, -1, -1], [0, 4]], RIGHT, "padded"),
        ([[-1, -1, -1], [-1, -1, -1]], RIGHT, "padded"),
        ([[3, 1, 0, 0], [4, 5, 6, 6]], [[3, 1, 7, 8], [4, 5, 9, 8]], "padded"),
        ([[0, 0, 0], [0, 0, 0]], RIGHT, "WRONG, silent"),
        ([[3, 1, 9], [0, 4, 5]], RIGHT, "WRONG, silent"),
        ([[3, 3, 1], [0, 4, 5]], RIGHT, "WRONG, silent"),
        ([[3, 1, 77], [0, 4, 5]], RIGHT, "padded"),
        ([[77, 1, 2], [0, 4, 5]], RIGHT, "WRONG, silent"),
        ([[3, 1, 2, 4], [0, 4, 5, 1]], RIGHT, "WRONG, silent"),
        ([[3, 1, 2]], RIGHT, "WRONG, silent"),
        ([[], []], [[], []], "right answer"),
        ([[0], [0]], [[], []], "WRONG, silent"),
        ([[-1, -1], [-1, -1]], [[], []], "padded"),
        ([[3, 1, 2], [0, 4, 5]], None, "WRONG, silent"),
        ([[0, 0, 0], [0, 0, 0]], None, "WRONG, silent"),
        ([[-1, -1], [-1, -1]], None, "padded: nothing else"),
        ([[], []], None, "fewer: none"),
    ],
)
def test_answers_are_judged(answer, expected, cell):
    assert judge({"ids": answer}, expected, 10) == cell


def test_errors_are_judged():
    error = {"error": "ValueError", "text": "x | y " + 60 * "z", "clear": True}
    assert judge(error, RIGHT, 10) == f"clear error: ValueError: x / y {54 * 'z'}"
    assert judge({**error, "clear": False, "text": ""}, None, 10) == "unclear error: ValueError: "


@pytest.mark.parametrize(
    ("error", "is_ours", "clear"),
    [
        (ValueError("k must be positive"), False, True),
        (ValueError("k must be positive"), True, False),
        (AssertionError(""), False, False),
        (RuntimeError("Error at /project/index_io.cpp:61"), False, False),
        (RuntimeError("Check failed: a bug"), False, False),
        (AttributeError("'list' object has no attribute 'shape'"), False, False),
    ],
)
def test_only_errors_that_help_are_clear(error, is_ours, clear):
    assert bad_input.is_clear(error, str(error), is_ours) is clear


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("print('noise'); print('{\"ids\": [[1]]}')", {"ids": [[1]]}),
        ("import os; os.abort()", "crash: SIGABRT"),
        ("import time; time.sleep(60)", "hang: more than 1 s"),
        ("import sys; sys.exit(3)", "crash: exit status 3"),
    ],
)
def test_the_end_of_a_process_is_an_outcome(code, outcome):
    limit_s = 1 if "sleep" in code else 60
    assert bad_input.in_own_process([sys.executable, "-c", code], limit_s) == outcome


def test_the_worst_file_counts():
    cells = ["clear error: a", "right answer", "WRONG, silent", "fewer"]
    assert bad_input.worst(cells) == "WRONG, silent"
    assert bad_input.worst([*cells, "crash: SIGSEGV"]) == "crash: SIGSEGV"

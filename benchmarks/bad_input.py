"""What indexes do with bad input: ours and those of other libraries, as one table.

    python benchmarks/bad_input.py [--peers NAME ...] [--diskann-python PATH] [--limit 60]

Every probe runs in a process of its own, so that a crash or a hang is one cell and no more. The program judges:

    right answer   what a scan of all objects finds (at least nine tenths of it for every query); nothing for k = 0
    clear error    an exception whose text says something. Generous to others: any text counts unless it names a place
                   in source code or an assertion, or is of Python itself. Of ours only a `MetricSearchError` counts.
    unclear error  any other exception
    fewer          right as far as it goes, but fewer than there are
    padded         right as far as it goes, then rows that say nothing
    WRONG, silent  anything else that is returned
    crash, hang    the process died of a signal, or did not end in time

Before all, every index has to give the right answer to good input (at most 5 minutes); a probe hangs if it takes
--limit seconds more than three times as long as that. Indexes are used as their own documentation says, with
parameters that make approximate ones look at all 600 objects.
Damaged files: each file of the saved index that has at least 4 KB is damaged in turn; the worst outcome counts.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from bad_input_ours import OURS
from bad_input_peers import PEERS
from bad_input_subject import WIDTH, SavedSubject

SUBJECTS = {**OURS, **PEERS}

N_OBJECTS, N_QUERIES, K = 600, 20, 10
NAN_ROW = 17
FLIPPED_BYTES = 4096
SHARE_FOUND = 0.9
GOOD, GOOD_LIMIT_S = "good", 300
SOURCE_CODE = re.compile(r"\.(cpp|cc|c|h|hpp|hh|pyx)\b|assert|check failed", re.IGNORECASE)

PROBES = {
    "query_nan": "NaN in query",
    "query_infinite": "infinity in query",
    "data_nan": "NaN in data",
    "query_width": "query of another width",
    "data_widths": "rows of different widths",
    "k_above_n": "k > n",
    "k_zero": "k = 0",
    "k_negative": "k = -1",
    "empty": "empty index",
    "text": "text instead of numbers",
    "truncated": "truncated file",
    "flipped": "4 KB flipped in file",
}
WORST_FIRST = ("hang", "crash", "WRONG", "padded", "fewer", "unclear error", "clear error", "right answer")

Answer = list[list[int]]


def objects_and_queries() -> tuple[np.ndarray, np.ndarray]:
    """(600, d) objects and (20, d) queries near some of them."""
    rng = np.random.default_rng(0)
    objects = rng.normal(size=(N_OBJECTS, WIDTH)).astype(np.float32)
    noise = rng.normal(scale=0.3, size=(N_QUERIES, WIDTH)).astype(np.float32)
    return objects, objects[rng.choice(N_OBJECTS, N_QUERIES, replace=False)] + noise


def right_answer(probe: str) -> Answer | None:
    """What a probe should find, best first; None: there is no right answer, so only an error is right."""
    if probe in ("query_nan", "query_infinite", "query_width", "data_widths", "text", "k_negative"):
        return None
    if probe in ("empty", "k_zero"):
        return [[] for _ in range(N_QUERIES)]
    objects, queries = objects_and_queries()
    distances = np.linalg.norm(queries[:, None].astype(np.float64) - objects, axis=2)
    if probe == "data_nan":
        distances[:, NAN_ROW] = np.inf
    k = N_OBJECTS if probe == "k_above_n" else K
    return np.argsort(distances, axis=1)[:, :k].tolist()


# ---------------------------------------------------------------- in the process of one probe


def ask(subject: type[Any], probe: str, folder: Path) -> Answer:
    """Do what the probe says; whatever is raised is its outcome. folder: of the saved index, for damaged files."""
    objects, queries = objects_and_queries()
    k = {"k_above_n": N_OBJECTS + 100, "k_zero": 0, "k_negative": -1}.get(probe, K)
    data: Any = objects
    if probe in ("truncated", "flipped"):
        return found(subject.load(folder), queries, k)
    if probe == "data_nan":
        data[NAN_ROW, 3] = np.nan
    elif probe == "data_widths":
        data = [row[: WIDTH - i % 2].tolist() for i, row in enumerate(objects)]
    elif probe == "empty":
        data = objects[:0]
    elif probe == "text":
        data = ["one", "two", "three"]
    elif probe in ("query_nan", "query_infinite"):
        queries[:, 3] = np.nan if probe == "query_nan" else np.inf
    elif probe == "query_width":
        queries = np.ascontiguousarray(queries[:, :-1])
    return found(subject.build(data, folder), queries, k)


def found(index: Any, queries: np.ndarray, k: int) -> Answer:
    """IDs that the index gives for every query."""
    return [[int(number) for number in np.asarray(row).ravel()] for row in index.search(queries, k)]


def outcome_of(name: str, probe: str, folder: Path) -> dict[str, Any]:
    """The IDs, or the error, of one probe."""
    try:
        return {"ids": ask(SUBJECTS[name], probe, folder)}
    except Exception as error:
        text = " ".join(str(error).split())
        return {"error": type(error).__name__, "text": text, "clear": is_clear(error, text, name in OURS)}


def is_clear(error: Exception, text: str, is_ours: bool) -> bool:
    """Whether the text of an error helps the user."""
    if is_ours:
        from metricsearch.errors import MetricSearchError

        return isinstance(error, MetricSearchError)
    return bool(text) and not SOURCE_CODE.search(text) and not isinstance(error, AttributeError | MemoryError)


# ---------------------------------------------------------------- judging


def judge(outcome: dict[str, Any], expected: Answer | None, n: int) -> str:
    """The cell of an outcome. expected: see `right_answer`. n: objects in the index."""
    if "error" in outcome:
        kind = "clear error" if outcome["clear"] else "unclear error"
        return f"{kind}: {outcome['error']}: {outcome['text'][:60]}".replace("|", "/")
    answer = outcome["ids"]
    if expected is None:
        if any(0 <= number < n for row in answer for number in row):
            return "WRONG, silent"
        return "padded: nothing else" if any(answer) else "fewer: none"
    if len(answer) != len(expected):
        return "WRONG, silent"
    verdicts = {_judge_one(row, right, n) for row, right in zip(answer, expected, strict=True)}
    return next(verdict for verdict in ("WRONG, silent", "padded", "fewer", "right answer") if verdict in verdicts)


def _judge_one(row: list[int], right: list[int], n: int) -> str:
    kept = _without_padding(row, n)
    if right and row and not kept and 0 <= row[0] < n:  # one object, again and again
        return "WRONG, silent"
    if len(set(kept)) < len(kept) or not all(0 <= number < n for number in kept):
        return "WRONG, silent"
    if len(kept) > len(right) or len(set(kept) & set(right)) < SHARE_FOUND * len(kept):
        return "WRONG, silent"
    if len(kept) < len(row):
        return "padded"
    return "fewer" if len(kept) < len(right) else "right answer"


def _without_padding(row: list[int], n: int) -> list[int]:
    """The row without equal numbers at its end that are no object, or the same object again and again."""
    end = len(row)
    while end and row[end - 1] == row[-1]:
        end -= 1
    if not row or 0 <= row[-1] < n and (end == len(row) - 1 and row[-1] not in row[:end]):
        return row
    return row[:end]


# ---------------------------------------------------------------- processes and files


def in_own_process(command: list[str], limit_s: float) -> dict[str, Any] | str:
    """What a child printed as its last line, or how it ended."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        try:
            status = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return f"hang: more than {limit_s:.0f} s"
        if status < 0:
            return f"crash: {signal.Signals(-status).name}"
        out.seek(0)
        lines = out.read().decode(errors="replace").strip().splitlines()
    try:
        return dict(json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        return f"crash: exit status {status}"


def cell_of(name: str, probe: str, python: str, limit_s: float) -> str:
    """The cell of one probe of one index."""

    def run(folder: Path, what: str) -> str:
        outcome = in_own_process([python, __file__, "--probe", name, what, "--folder", str(folder)], limit_s)
        if isinstance(outcome, str):
            return outcome
        outcome["text"] = outcome.get("text", "").replace(f"{folder}/", "")
        if what == "save":
            return "" if outcome.get("ids") == [] else judge(outcome, None, N_OBJECTS)
        return judge(outcome, right_answer(what), 0 if what == "empty" else N_OBJECTS)

    with tempfile.TemporaryDirectory() as scratch:
        if probe not in ("truncated", "flipped"):
            return run(Path(scratch), probe)
        if not issubclass(SUBJECTS[name], SavedSubject):
            return "no file format but pickle"
        saved = Path(scratch) / "saved"
        saved.mkdir()
        if problem := run(saved, "save"):
            return f"not saved ({problem})"
        return worst([run(copy, probe) for copy in damaged_copies(saved, probe)])


def damaged_copies(saved: Path, probe: str) -> Any:
    """Copies of a saved index, one after the other, each with one file damaged."""
    names = [path.relative_to(saved) for path in sorted(saved.rglob("*")) if path.is_file()]
    for i, name in enumerate(name for name in names if (saved / name).stat().st_size >= FLIPPED_BYTES):
        copy = saved.with_name(f"damaged-{i}")
        shutil.copytree(saved, copy)
        damage(copy / name, probe)
        yield copy


def damage(path: Path, probe: str) -> None:
    """Cut a file off at its middle, or flip all bits of 4 KB there."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if probe == "truncated":
        del content[middle:]
    else:
        start = max(0, middle - FLIPPED_BYTES // 2)
        content[start : start + FLIPPED_BYTES] = bytes(255 - byte for byte in content[start : start + FLIPPED_BYTES])
    path.write_bytes(content)


def worst(cells: list[str]) -> str:
    """The worst of several cells."""
    return min(cells, key=lambda cell: next(i for i, start in enumerate(WORST_FIRST) if cell.startswith(start)))


def table(names: list[str], python_of: dict[str, str], limit_s: float) -> str:
    """The Markdown table of these indexes."""
    lines = ["| index | " + " | ".join(PROBES.values()) + " |", "|---" * (1 + len(PROBES)) + "|"]
    with ThreadPoolExecutor(2) as threads:
        for name in names:
            python = python_of.get(name, sys.executable)
            begin = time.monotonic()
            good = cell_of(name, GOOD, python, GOOD_LIMIT_S)
            if good != "right answer":
                lines.append(f"| {name} | not judged; with good input: {good} |" + " |" * (len(PROBES) - 1))
                continue
            limit = limit_s + 3 * (time.monotonic() - begin)
            cells = threads.map(cell_of, repeat(name), PROBES, repeat(python), repeat(limit))
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def save(name: str, folder: Path) -> dict[str, Any]:
    """Save a good index for the probes that damage its files."""
    subject: Any = SUBJECTS[name]
    subject.build(objects_and_queries()[0], folder).save(folder)
    return {"ids": []}


def main() -> None:
    """Print the table; with --probe, the outcome of one probe as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", nargs="*", metavar="NAME", default=list(PEERS), help=f"of: {', '.join(PEERS)}")
    parser.add_argument("--diskann-python", default=sys.executable, help="interpreter that has diskannpy")
    parser.add_argument("--limit", dest="limit_s", type=float, default=60, help="seconds that a probe may take")
    parser.add_argument("--probe", nargs=2, metavar=("INDEX", "PROBE"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        name, probe = options.probe
        outcome = save(name, options.folder) if probe == "save" else outcome_of(name, probe, options.folder)
        print(json.dumps(outcome))
        sys.stdout.flush()
        os._exit(0)  # a library that crashes while it is torn down has answered before
    if unknown := sorted(set(options.peers) - set(PEERS)):
        parser.error(f"--peers: unknown {', '.join(unknown)}; known: {', '.join(PEERS)}")
    print(table([*OURS, *options.peers], {"diskannpy": options.diskann_python}, options.limit_s))


if __name__ == "__main__":
    main()

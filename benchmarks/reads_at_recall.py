"""Objects that must be read for a recall, by method and bytes per object, from recorded runs of the study's suites.

    python benchmarks/reads_at_recall.py RUN_FOLDER ... [--recall 0.9]

Labels of such suites begin with the bytes ("48 B: faiss IVF-PQ"). Between two measured R, reads are interpolated
linearly in the recall. In brackets: bytes per object as measured. "under": already the least R measured is enough.
"""

import argparse
import json
import re
from pathlib import Path

import pandas as pd


def reads_for(rows: pd.DataFrame, recall: float) -> str:
    """Reads of one method at one size, with its bytes."""
    rows = rows.sort_values("n_objects_read")
    reads, recalls = rows["n_objects_read"].to_numpy(), rows["recall"].cummax().to_numpy()
    of_bytes = f" ({rows['objects_bytes'].iloc[0]:.1f})"
    if recalls[-1] < recall:
        return f"over {reads[-1]:.0f}{of_bytes}"
    first = int((recalls >= recall).argmax())
    if first == 0:
        return (f"{reads[0]:.0f}" if recalls[0] == recall else f"under {reads[0]:.0f}") + of_bytes
    share = (recall - recalls[first - 1]) / (recalls[first] - recalls[first - 1])
    return f"{reads[first - 1] + share * (reads[first] - reads[first - 1]):.0f}{of_bytes}"


def print_table(folder: Path, recall: float) -> None:
    """The table of one run, as Markdown."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    results = pd.read_csv(folder / "results.csv")
    cells: dict[str, dict[int, str]] = {}
    for label, rows in results[results["cache"] == "warm"].groupby("label", sort=False):
        found = re.fullmatch(r"(\d+) B: (.*)", str(label))
        if found:
            cells.setdefault(found[2], {})[int(found[1])] = reads_for(rows, recall)
    sizes = sorted({size for row in cells.values() for size in row})
    print(f"**{about['title']}**, commit {results['commit'].iloc[0][:7]}\n")
    print(f"| objects read for recall@10 = {recall:g} | " + " | ".join(f"{size} B" for size in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    for name, row in cells.items():
        print(f"| {name} | " + " | ".join(row.get(size, "–") for size in sizes) + " |")
    print()


def main() -> None:
    """Print the tables of all folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--recall", type=float, default=0.9)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        print_table(folder, arguments.recall)


if __name__ == "__main__":
    main()

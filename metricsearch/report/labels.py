"""Column names in words."""

import re

_WORDS = {
    "n": "objects n",
    "n_spaces": "spaces λ",
    "n_pivots": "pivots per space k",
    "prefix_length": "prefix length l",
    "max_level": "prefix length used",
    "percentile": "percentile p",
    "decay": "decay c",
    "n_candidates": "candidates R",
    "n_candidates_share": "candidates R / n",
    "distance_share": "share of distances computed, (R + λk) / n",
    "n_ids_ranked": "IDs ranked, all spaces",
    "n_bytes_read": "bytes read per query",
    "n_objects_read": "objects read per query",
    "n_distances": "distances per query",
    "rank_ms": "ranking (ms)",
    "read_ms": "reading (ms)",
    "refine_ms": "refinement (ms)",
    "total_ms": "query time (ms)",
    "flat_bytes": "flat codes, ⌈log2 n⌉-bit IDs (bytes per object)",
    "flat_31_bit_ids_bytes": "flat codes, 31-bit IDs (bytes per object)",
    "inserted_bytes": "before consolidation (bytes per object)",
    "index_bytes": "index without pivots (bytes per object)",
    "pivots_bytes": "pivots (bytes per object)",
}
SHORT = {"n_spaces": "λ", "n_pivots": "k", "prefix_length": "l", "max_level": "l used", "percentile": "p", "decay": "c"}


def axis_label(column: str) -> str:
    """A column's name as an axis title."""
    if column in _WORDS:
        return _WORDS[column]
    if match := re.fullmatch(r"recall_at_(\d+)", column):
        return f"recall of {match[1]}-NN"
    if match := re.fullmatch(r"candidates_for_([\d.]+)_at_(\d+)(_distance_share|_n_ids_ranked)?", column):
        what = {
            None: "candidates R",
            "_distance_share": "share of distances computed",
            "_n_ids_ranked": "IDs ranked, all spaces,",
        }[match[3]]
        return f"{what} for {match[1]} % recall of {match[2]}-NN"
    if match := re.fullmatch(r"(\w+_ms)_(p\d+)", column):
        return f"{axis_label(match[1])}, {match[2]}"
    if match := re.fullmatch(r"part_(\w+)_bytes", column):
        return f"{match[1].replace('_', ' ')} (bytes per object)"
    return column.replace("_", " ")


def short_label(column: str) -> str:
    """A parameter's name in a legend."""
    return SHORT.get(column, column.replace("_", " "))

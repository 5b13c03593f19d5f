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
    "sketch_bytes": "sketch (bytes per object)",
    "n_sketched": "objects compared by sketches",
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
    "n_images": "images in the database",
    "n_leaves": "leaves",
    "n_words": "leaves of a full tree",
    "branching": "branch factor k",
    "depth": "levels L",
    "cycles": "cycles of k-means",
    "n_training_images": "training images",
    "n_training_descriptors": "training descriptors",
    "perfect_retrieval": "perfect retrieval (%)",
    "perfect_retrieval_worst": "perfect retrieval, ties at their worst (%)",
    "ns_score": "N-S score (0 to 4)",
    "map": "mean average precision (%)",
    "map_easy": "mean average precision, easy (%)",
    "map_hard": "mean average precision, hard (%)",
    "rank_percent": "rank within % of the database",
    "found_within": "pairs found (%)",
    "n_entries": "list entries per query",
    "quantise_ms": "quantising (ms)",
    "score_ms": "scoring (ms)",
    "verify_ms": "verifying (ms)",
    "index_bytes_per_image": "index (bytes per image)",
    "precision_10": "precision@10 (%)",
    "dimension": "dimension d",
    "descriptor_bytes": "bytes per image",
    "extract_ms": "extraction on one thread (ms per image)",
    "n_trained_on": "photos trained on",
    "pca": "principal components",
    "local_pca": "principal components of local descriptors",
    "words": "visual words K",
}
SHORT = {
    "n_spaces": "λ",
    "n_pivots": "k",
    "prefix_length": "l",
    "max_level": "l used",
    "percentile": "p",
    "decay": "c",
    "n_sketched": "sketched",
    "branching": "k",
    "depth": "L",
    "words": "K",
}


def axis_label(column: str) -> str:
    """A column's name as an axis title."""
    if column in _WORDS:
        return _WORDS[column]
    if match := re.fullmatch(r"recall_at_(\d+)", column):
        return f"recall of {match[1]}-NN"
    if match := re.fullmatch(r"top_(\d+)", column):
        return f"found in the first {match[1]} (%)" if match[1] != "1" else "top-1 (%)"
    if match := re.fullmatch(r"relevant_in_(\d+)", column):
        return f"right images among the first {match[1]} (%)"
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

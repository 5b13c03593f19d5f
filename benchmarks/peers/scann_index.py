"""ScaNN: a partitioning tree, codes that weigh errors by direction, and re-ranking by the vectors themselves."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import TRAINING_ROWS, Peer, check_flag, folder_bytes, temporary_folder

from metricsearch.bench.method import Found, Memory
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import Batch, Metric
from metricsearch.validation import check_integer, check_positive

DEFAULT_REORDERED = 100
CODE_CENTROIDS = 16  # of a code of four bits
FIXED_FILES = ("ah_codebook.pb", "serialized_partitioner.pb", "scann_config.pb", "scann_assets.pbtxt")


class ScaNN(Peer):
    """n_leaves of the tree; codes of four bits for dimensions_per_block dimensions each, with anisotropic_threshold.

    reordered: keeps the vectors too, to re-rank by them. n_train: objects to train on.
    Query: n_probes, leaves to look into; n_reordered, objects to re-rank (only if reordered).
    Angles are searched as Euclidean distances of unit vectors, which order objects alike. ScaNN takes no seed.
    """

    distribution, module = "scann", "scann.scann_ops.py.scann_ops_pybind"
    metrics = {"euclidean": "squared_l2", "angular": "squared_l2"}

    def __init__(
        self,
        metric: Metric,
        seed: int,
        *,
        n_leaves: int,
        dimensions_per_block: int = 2,
        anisotropic_threshold: float = 0.2,
        reordered: bool = True,
        n_train: int = TRAINING_ROWS,
    ) -> None:
        super().__init__(metric, seed)
        self.n_leaves = check_positive(n_leaves, "n_leaves")
        self.dimensions_per_block = check_positive(dimensions_per_block, "dimensions_per_block")
        if isinstance(anisotropic_threshold, bool) or not isinstance(anisotropic_threshold, int | float):
            raise InvalidInputError(f"anisotropic_threshold: expected a number, got {anisotropic_threshold!r}")
        self.anisotropic_threshold = float(anisotropic_threshold)
        self.reordered = check_flag(reordered, "reordered")
        self.n_train = check_positive(n_train, "n_train")
        self.n_threads = 1
        self.set_query()

    def build(self, objects: Batch) -> None:
        """See `Method.build`. Raises InvalidInputError for fewer objects than leaves or than centroids of a code."""
        self.start(objects)
        needed = max(self.n_leaves, CODE_CENTROIDS)
        if self.n_objects < needed:
            raise InvalidInputError(f"objects: ScaNN trains on at least {needed}, got {self.n_objects}")
        builder = self.library.builder(self.rows(objects), DEFAULT_REORDERED, self.space)
        builder.set_n_training_threads(self.n_threads)
        n_train = min(self.n_train, self.n_objects)
        builder.tree(self.n_leaves, self.n_probes, training_sample_size=n_train)
        builder.score_ah(
            self.dimensions_per_block,
            anisotropic_quantization_threshold=self.anisotropic_threshold,
            training_sample_size=n_train,
        )
        if self.reordered:
            builder.reorder(DEFAULT_REORDERED)
        self.index = builder.build()
        self.index.set_num_threads(self.n_threads)

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        defaults = {"n_reordered": DEFAULT_REORDERED} if self.reordered else {}
        given = self.parameters(parameters, n_probes=1, **defaults)
        self.n_probes = check_integer(given["n_probes"], "n_probes", 1, self.n_leaves)
        self.n_reordered = check_positive(given.get("n_reordered", 1), "n_reordered")

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        sizes = self._sizes(n)
        return Found(_finite(*self.index.search(self.rows(query)[0], **sizes)))

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """See `Method.find_all`."""
        sizes = self._sizes(n)
        search = self.index.search_batched if self.n_threads == 1 else self.index.search_batched_parallel
        ids, distances = search(self.rows(queries), **sizes)
        return [_finite(*row) for row in zip(ids, distances, strict=True)]

    def _sizes(self, n: int) -> dict[str, int]:
        limit = self.limit(n)
        n_reordered = max(limit, self.n_reordered if self.reordered else 0)
        return {
            "final_num_neighbors": limit,
            "pre_reorder_num_neighbors": n_reordered,
            "leaves_to_search": self.n_probes,
        }

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`."""
        self.n_threads = n_threads
        if self.index is not None:
            self.index.set_num_threads(n_threads)

    def memory(self) -> Memory:
        """As written: codes, leaves of objects and vectors grow with them; code book and tree do not."""
        with temporary_folder() as folder:
            self.save(folder)
            fixed = sum((folder / name).stat().st_size for name in FIXED_FILES if (folder / name).exists())
            return Memory(objects=folder_bytes(folder) - fixed, fixed=fixed)

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        self.limit(1)
        self.index.serialize(str(folder))
        return True


def _finite(ids: Any, distances: Any) -> NDArray[np.int64]:
    """IDs without the padding, whose distances are NaN."""
    return np.asarray(ids, dtype=np.int64)[np.isfinite(distances)]

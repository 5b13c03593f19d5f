"""The indexes of this package that `bad_input.py` asks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bad_input_subject import MANY, WIDTH, SavedSubject, Subject


def _ppp_codes() -> Any:
    from metricsearch import PPPCodes

    return PPPCodes("euclidean", n_spaces=2, n_pivots=16, prefix_length=4)


class CollectionSubject(SavedSubject):
    """Objects and PPP-Codes on disk."""

    @classmethod
    def build(cls, objects: Any, folder: Path) -> Subject:
        """Create, add, index."""
        from metricsearch import Collection

        collection = Collection.create(folder / "objects.ms", index=_ppp_codes())
        collection.add(objects)
        collection.build_index()
        return cls(collection)

    def search(self, queries: Any, k: int) -> Any:
        """All objects are candidates."""
        return self.index.search(queries, k, n_candidates=MANY).ids

    def save(self, folder: Path) -> None:
        """It is there once it is closed."""
        self.index.close()

    @classmethod
    def load(cls, folder: Path) -> Subject:
        """Open it to search."""
        from metricsearch import Collection

        return cls(Collection.open(folder / "objects.ms", readonly=True))


def _store_subject(make: Callable[[], Any]) -> type[Subject]:
    """An index of ours in memory over an object store. The store is what is saved; the index is built from it again."""

    class StoreSubject(SavedSubject):
        @classmethod
        def build(cls, objects: Any, folder: Path) -> Subject:
            from metricsearch.refinement import StoreSearch
            from metricsearch.spaces import VECTORS
            from metricsearch.store import ObjectStore, default_codec

            index = make()
            index.build(objects)
            store = ObjectStore.create(folder / "objects.mdb", default_codec(VECTORS), VECTORS, WIDTH)
            store.add([(index.ids(), np.asarray(objects, dtype=np.float32))])
            return cls((StoreSearch(index, store), store))

        def search(self, queries: Any, k: int) -> Any:
            from metricsearch.indexes import ExactIndex

            search, _ = self.index
            if isinstance(search.index, ExactIndex):
                return [answer.ids for answer in search.nearest(queries, k)]
            return [answer.ids for answer in search.search(queries, k, n_candidates=MANY)]

        def save(self, folder: Path) -> None:
            search, store = self.index
            search.close()
            store.close()

        @classmethod
        def load(cls, folder: Path) -> Subject:
            from metricsearch.refinement import StoreSearch
            from metricsearch.store import ObjectStore

            store = ObjectStore.open(folder / "objects.mdb", readonly=True)
            index = make()
            index.build(batch for _, batch in store.chunks())
            return cls((StoreSearch(index, store), store))

    return StoreSubject


def _baseline(name: str, **parameters: Any) -> type[Subject]:
    def make() -> Any:
        from metricsearch import baselines

        return getattr(baselines, name)("euclidean", **parameters)

    return _store_subject(make)


OURS: dict[str, type[Subject]] = {
    "metricsearch Collection": CollectionSubject,
    "metricsearch PPPCodes": _store_subject(_ppp_codes),
    "metricsearch MIndex": _baseline("MIndex", n_pivots=16, prefix_length=4),
    "metricsearch PPIndex": _baseline("PPIndex", n_pivots=16, prefix_length=4),
    "metricsearch MIFile": _baseline("MIFile", n_pivots=16, n_indexed=12),
    "metricsearch NAPP": _baseline("NAPP", n_pivots=16, n_indexed=12),
    "metricsearch PermutationScan": _baseline("PermutationScan", n_pivots=16),
    "metricsearch SketchScan": _baseline("SketchScan", n_pivots=16, sketch_bytes=8),
    "metricsearch KMeansTree": _baseline("KMeansTree"),
    "metricsearch VPTree": _baseline("VPTree"),
    "metricsearch LAESA": _baseline("LAESA", n_pivots=16),
    "metricsearch ExhaustiveScan": _baseline("ExhaustiveScan"),
}

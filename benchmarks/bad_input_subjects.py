"""The indexes that `bad_input.py` asks: ours and those of other libraries, each as its users would use it.

Nothing is imported before it is needed: a probe runs in the environment of its library.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 16
MANY = 1000  # more than there are objects
ANNOY_TREES = 10


class Subject:
    """One index over 16-D vectors, euclidean. `build` and `load` make one."""

    can_save = True

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    def build(cls, objects: Any, folder: Path) -> "Subject":
        """Index `objects`; `folder` is empty, for those that live in files."""
        raise NotImplementedError

    def search(self, queries: Any, k: int) -> Any:
        """For every query the ids of the k nearest, as the library gives them."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the index, if it does not live in `folder` already."""

    @classmethod
    def load(cls, folder: Path) -> "Subject":
        """The index that was saved in `folder`."""
        raise NotImplementedError


# ---------------------------------------------------------------- ours


def _ppp_codes() -> Any:
    from metricsearch import PPPCodes

    return PPPCodes("euclidean", n_spaces=2, n_pivots=16, prefix_length=4)


class CollectionSubject(Subject):
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

    class StoreSubject(Subject):
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
    "metricsearch KMeansTree": _baseline("KMeansTree"),
    "metricsearch VPTree": _baseline("VPTree"),
    "metricsearch LAESA": _baseline("LAESA", n_pivots=16),
    "metricsearch ExhaustiveScan": _baseline("ExhaustiveScan"),
}


# ---------------------------------------------------------------- faiss


def _faiss(make: Callable[[Any], Any]) -> type[Subject]:
    class FaissSubject(Subject):
        @classmethod
        def build(cls, objects: Any, folder: Path) -> Subject:
            import faiss

            index = make(faiss)
            if not index.is_trained:
                index.train(objects)
            index.add(objects)
            return cls(index)

        def search(self, queries: Any, k: int) -> Any:
            return self.index.search(queries, k)[1]

        def save(self, folder: Path) -> None:
            import faiss

            faiss.write_index(self.index, str(folder / "index"))

        @classmethod
        def load(cls, folder: Path) -> Subject:
            import faiss

            return cls(faiss.read_index(str(folder / "index")))

    return FaissSubject


def _faiss_hnsw(faiss: Any) -> Any:
    index = faiss.IndexHNSWFlat(WIDTH, 16)
    index.hnsw.efSearch = MANY
    return index


def _faiss_ivf(faiss: Any) -> Any:
    quantiser = faiss.IndexFlatL2(WIDTH)
    index = faiss.IndexIVFFlat(quantiser, WIDTH, 8)
    quantiser.this.disown()
    index.own_fields = True
    index.nprobe = 8
    return index


# ---------------------------------------------------------------- nmslib


def _nmslib(method: str, build: dict[str, int], query: dict[str, int]) -> type[Subject]:
    class NmslibSubject(Subject):
        @classmethod
        def empty(cls) -> Any:
            import nmslib

            return nmslib.init(method=method, space="l2")

        @classmethod
        def build(cls, objects: Any, folder: Path) -> Subject:
            index = cls.empty()
            index.addDataPointBatch(objects)
            index.createIndex(build)
            index.setQueryTimeParams(query)
            return cls(index)

        def search(self, queries: Any, k: int) -> Any:
            return [ids for ids, _ in self.index.knnQueryBatch(queries, k=k, num_threads=1)]

        def save(self, folder: Path) -> None:
            self.index.saveIndex(str(folder / "index"), save_data=True)

        @classmethod
        def load(cls, folder: Path) -> Subject:
            index = cls.empty()
            index.loadIndex(str(folder / "index"), load_data=True)
            index.setQueryTimeParams(query)
            return cls(index)

    return NmslibSubject


# ---------------------------------------------------------------- others


class HnswlibSubject(Subject):
    """hnswlib."""

    @classmethod
    def build(cls, objects: Any, folder: Path) -> Subject:
        """Graph of all objects."""
        import hnswlib

        index = hnswlib.Index("l2", WIDTH)
        index.init_index(max_elements=MANY, M=16, ef_construction=200)
        index.add_items(objects)
        index.set_ef(MANY)
        return cls(index)

    def search(self, queries: Any, k: int) -> Any:
        """One batch."""
        return self.index.knn_query(queries, k)[0]

    def save(self, folder: Path) -> None:
        """One file."""
        self.index.save_index(str(folder / "index"))

    @classmethod
    def load(cls, folder: Path) -> Subject:
        """`ef` is not in the file."""
        import hnswlib

        index = hnswlib.Index("l2", WIDTH)
        index.load_index(str(folder / "index"))
        index.set_ef(MANY)
        return cls(index)


class AnnoySubject(Subject):
    """annoy."""

    @classmethod
    def build(cls, objects: Any, folder: Path) -> Subject:
        """Ten trees."""
        import annoy

        index = annoy.AnnoyIndex(WIDTH, "euclidean")
        for i, row in enumerate(objects):
            index.add_item(i, row)
        index.build(ANNOY_TREES)
        return cls(index)

    def search(self, queries: Any, k: int) -> Any:
        """One after the other; it has no batches."""
        return [self.index.get_nns_by_vector(query, k, search_k=MANY * ANNOY_TREES) for query in queries]

    def save(self, folder: Path) -> None:
        """One file."""
        self.index.save(str(folder / "index"))

    @classmethod
    def load(cls, folder: Path) -> Subject:
        """Mapped."""
        import annoy

        index = annoy.AnnoyIndex(WIDTH, "euclidean")
        index.load(str(folder / "index"))
        return cls(index)


class PyNNDescentSubject(Subject):
    """pynndescent; saved by pickle only, which is not tried."""

    can_save = False

    @classmethod
    def build(cls, objects: Any, folder: Path) -> Subject:
        """Graph of neighbours."""
        import pynndescent

        index = pynndescent.NNDescent(objects, n_neighbors=30, random_state=0)
        index.prepare()
        return cls(index)

    def search(self, queries: Any, k: int) -> Any:
        """One batch."""
        return self.index.query(queries, k, epsilon=0.5)[0]


class USearchSubject(Subject):
    """usearch."""

    @classmethod
    def build(cls, objects: Any, folder: Path) -> Subject:
        """Graph of all objects."""
        from usearch.index import Index

        index = Index(ndim=WIDTH, metric="l2sq", expansion_search=MANY)
        index.add(np.arange(len(objects)), objects)
        return cls(index)

    def search(self, queries: Any, k: int) -> Any:
        """One batch."""
        return self.index.search(queries, k).keys

    def save(self, folder: Path) -> None:
        """One file."""
        self.index.save(str(folder / "index"))

    @classmethod
    def load(cls, folder: Path) -> Subject:
        """Into memory."""
        from usearch.index import Index

        index = Index(ndim=WIDTH, metric="l2sq", expansion_search=MANY)
        index.load(str(folder / "index"))
        return cls(index)


class ScaNNSubject(Subject):
    """scann: all leaves, all candidates compared again."""

    @classmethod
    def build(cls, objects: Any, folder: Path) -> Subject:
        """Tree, codes and vectors."""
        import scann

        builder = scann.scann_ops_pybind.builder(objects, 10, "squared_l2")
        builder = builder.tree(num_leaves=8, num_leaves_to_search=8, training_sample_size=MANY)
        return cls(builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(MANY).build())

    def search(self, queries: Any, k: int) -> Any:
        """One batch."""
        return self.index.search_batched(queries, final_num_neighbors=k)[0]

    def save(self, folder: Path) -> None:
        """Several files."""
        self.index.serialize(str(folder))

    @classmethod
    def load(cls, folder: Path) -> Subject:
        """The files name their folder, so it must not be elsewhere."""
        import scann

        assets = folder / "scann_assets.pbtxt"
        text = assets.read_text(encoding="utf-8", errors="surrogateescape")
        assets.write_text(text.replace("/saved/", f"/{folder.name}/"), encoding="utf-8", errors="surrogateescape")
        return cls(scann.scann_ops_pybind.load_searcher(str(folder)))


class DiskANNSubject(Subject):
    """diskannpy: codes in memory, vectors and graph on disk."""

    @classmethod
    def build(cls, objects: Any, folder: Path) -> Subject:
        """Its files, then the index over them."""
        import diskannpy

        diskannpy.build_disk_index(
            data=objects,
            distance_metric="l2",
            index_directory=str(folder),
            complexity=64,
            graph_degree=32,
            search_memory_maximum=0.05,
            build_memory_maximum=1.0,
            num_threads=1,
            vector_dtype=np.float32,
        )
        return cls.load(folder)

    def search(self, queries: Any, k: int) -> Any:
        """One batch."""
        return self.index.batch_search(queries, k, complexity=max(MANY, k), beam_width=4, num_threads=1)[0]

    @classmethod
    def load(cls, folder: Path) -> Subject:
        """Over the files."""
        import diskannpy

        return cls(diskannpy.StaticDiskIndex(index_directory=str(folder), num_threads=1, num_nodes_to_cache=0))


def _sklearn_tree(name: str) -> type[Subject]:
    class TreeSubject(Subject):
        can_save = False

        @classmethod
        def build(cls, objects: Any, folder: Path) -> Subject:
            import sklearn.neighbors

            return cls(getattr(sklearn.neighbors, name)(objects))

        def search(self, queries: Any, k: int) -> Any:
            return self.index.query(queries, k)[1]

    return TreeSubject


PEERS: dict[str, type[Subject]] = {
    "faiss Flat": _faiss(lambda faiss: faiss.IndexFlatL2(WIDTH)),
    "faiss HNSW": _faiss(_faiss_hnsw),
    "faiss IVF-Flat": _faiss(_faiss_ivf),
    "hnswlib": HnswlibSubject,
    "nmslib napp": _nmslib("napp", {"numPivot": 16, "numPivotIndex": 12}, {"numPivotSearch": 1}),
    "nmslib vptree": _nmslib("vptree", {}, {}),
    "annoy": AnnoySubject,
    "pynndescent": PyNNDescentSubject,
    "usearch": USearchSubject,
    "scann": ScaNNSubject,
    "scikit-learn KDTree": _sklearn_tree("KDTree"),
    "scikit-learn BallTree": _sklearn_tree("BallTree"),
    "diskannpy": DiskANNSubject,
}

SUBJECTS = {**OURS, **PEERS}

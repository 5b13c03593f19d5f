"""The indexes of other libraries that `bad_input.py` asks, each as its documentation says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bad_input_subject import MANY, WIDTH, SavedSubject, Subject

ANNOY_TREES = 10


def _faiss(make: Callable[[Any], Any]) -> type[Subject]:
    class FaissSubject(SavedSubject):
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


def _nmslib(method: str, build: dict[str, int], query: dict[str, int]) -> type[Subject]:
    class NmslibSubject(SavedSubject):
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


class HnswlibSubject(SavedSubject):
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


class AnnoySubject(SavedSubject):
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


class USearchSubject(SavedSubject):
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


class ScaNNSubject(SavedSubject):
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


class DiskANNSubject(SavedSubject):
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

    def save(self, folder: Path) -> None:
        """Its files are there."""

    @classmethod
    def load(cls, folder: Path) -> Subject:
        """Over the files."""
        import diskannpy

        return cls(diskannpy.StaticDiskIndex(index_directory=str(folder), num_threads=1, num_nodes_to_cache=0))


def _sklearn_tree(name: str) -> type[Subject]:
    class TreeSubject(Subject):
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

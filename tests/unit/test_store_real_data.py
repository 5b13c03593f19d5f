"""The store on real CNN descriptors: size and agreement of the compressed form."""

import h5py
import numpy as np
import pytest

from metricsearch.spaces import VECTORS, get_metric
from metricsearch.store import ObjectStore

N = 1500


@pytest.fixture(scope="module")
def descriptors(data_dir):
    with h5py.File(data_dir / "descriptors" / "googlenet_photos.h5") as file:
        return file["grid4096"][:N]


@pytest.mark.parametrize(("codec", "raw_ratio"), [("sparse-f32", 0.37), ("raw-f32", 1.02), ("f16", 0.51), ("u8", 0.26)])
def test_files_are_hardly_larger_than_their_payload(tmp_path, descriptors, codec, raw_ratio):
    with ObjectStore.create(tmp_path / "objects.mdb", codec, VECTORS, 4096) as store:
        store.add((np.arange(at, min(at + 400, N)), descriptors[at : at + 400]) for at in range(0, N, 400))
        assert store.file_bytes <= raw_ratio * descriptors.nbytes
        assert store.file_bytes <= 1.10 * store.payload_bytes


def test_sparse_distances_are_those_of_the_descriptors(tmp_path, descriptors):
    metric, ids = get_metric("euclidean"), np.arange(N)
    with ObjectStore.create(tmp_path / "objects.mdb", "sparse-f32", VECTORS, 4096) as store:
        store.add([(ids, descriptors)])
        assert np.array_equal(store.get(ids[::-1]), descriptors[::-1])
        with store.snapshot() as snapshot:
            where = snapshot.locate(ids)
            for row in (0, 700, N - 1):
                comp = snapshot.distances(metric, descriptors[row : row + 1], where)
                ref = metric.distances(descriptors[row : row + 1], descriptors)
                assert np.allclose(comp, ref, rtol=1e-12, atol=0)
                assert comp[row] == 0

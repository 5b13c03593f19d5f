"""Metrics on real dictionaries and image signatures, against the formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracle import distances as oracle

from metricsearch.spaces import check_postulates, get_metric


@pytest.fixture(scope="module")
def signatures(data_dir):
    """1,000 signatures of 20 clusters: 7 features and the weight."""
    blocks = (data_dir / "metric" / "sqfd20.txt").read_text().strip().split("\n\n")[1:]
    return [np.array([line.split() for line in block.split("\n")[1:]], dtype=np.float64) for block in blocks]


@pytest.mark.parametrize("file", ["english.dic", "norwegian.dic", "spanish.dic"])
def test_levenshtein_on_dictionaries(data_dir, file):
    words = (data_dir / "metric" / file).read_text(encoding="utf-8").split()
    rng = np.random.default_rng(0)
    sample = [str(word) for word in rng.choice(words, 300)]
    metric = get_metric("levenshtein")
    batch = metric.check(sample)
    for i in range(5):
        ref = [oracle.levenshtein(sample[i], word) for word in sample]
        assert_array_equal(metric.distances(batch[i : i + 1], batch), ref)
    check_postulates(metric, batch)


def test_queries_longer_than_a_machine_word_agree_with_short_ones(data_dir):
    """A prefix of both strings changes no distance, but makes the query too long for the bit-parallel kernel."""
    words = (data_dir / "metric" / "english.dic").read_text(encoding="utf-8").split()[::50]
    metric = get_metric("levenshtein")
    batch, prefixed = metric.check(words), metric.check(["#" * 64 + word for word in words])
    for i in (0, 700):
        short = metric.distances(batch[i : i + 1], batch)
        assert_array_equal(metric.distances(prefixed[i : i + 1], prefixed), short)


def test_sqfd_on_image_signatures(signatures):
    assert len(signatures) == 1000
    metric = get_metric("sqfd")
    batch = metric.check(signatures)
    stored = [s.astype(np.float32) for s in signatures]
    for i in (0, 500):
        comp = metric.distances(batch[i : i + 1], batch)
        assert_allclose(comp, [oracle.sqfd(stored[i], s) for s in stored], rtol=1e-9, atol=3e-8)
        assert comp[i] == 0
    check_postulates(metric, batch)


def test_hausdorff_on_cluster_centres(signatures):
    points = [s[:, :-1].astype(np.float32) for s in signatures[:200]]
    metric = get_metric("hausdorff")
    batch = metric.check(points)
    assert_allclose(metric.distances(batch[:1], batch), [oracle.hausdorff(points[0], p) for p in points], rtol=1e-12)

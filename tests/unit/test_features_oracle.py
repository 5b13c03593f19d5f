"""Features against slow oracles; the oracles against numbers worked out by hand."""

import io
import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import features as oracle
from PIL import Image

from metricsearch.errors import InvalidInputError
from metricsearch.features.aggregated.bow import bow
from metricsearch.features.aggregated.fisher import fisher
from metricsearch.features.aggregated.pca import PCA, fit_pca
from metricsearch.features.aggregated.vlad import vlad
from metricsearch.features.classic.colour import ChannelHistograms, HSVHistogram, HueHistogram
from metricsearch.features.classic.gradients import OrientedGradients
from metricsearch.features.classic.shape import FourierShape, HuShape, main_outline
from metricsearch.features.classic.texture import LocalBinaryPatterns
from metricsearch.features.cnn.crops import cut_crops
from metricsearch.features.cnn.mop import MopFeature, MopLevel
from metricsearch.features.cnn.pooling import POOLINGS
from metricsearch.features.cnn.regions import patches, rmac_regions
from metricsearch.features.photo import Photo

NORMALISATIONS = ("l2", "power", "intra")
R2, R3 = math.sqrt(2), math.sqrt(3)


def close(comp, ref, tolerance=1e-6):
    """Equal up to `tolerance` of the largest number; the fast code keeps float32, 6e-8 of it."""
    ref = np.asarray(ref, np.float64)
    assert comp.dtype == np.float32
    assert comp.shape == ref.shape
    np.testing.assert_allclose(comp, ref, rtol=tolerance, atol=tolerance * max(np.abs(ref).max(initial=0), 1e-30))


def whole_numbers(shape, low=-2, high=2, dtype=np.float32):
    """Arrays full of ties, duplicates and zeros."""
    return hnp.arrays(dtype, shape, elements=st.integers(low, high).map(float))


# ---------------------------------------------------------------- the oracles themselves


@pytest.mark.parametrize(
    ("pixel", "ref"),
    [
        ((255, 0, 0), (0, 1, 1)),
        ((0, 255, 0), (1 / 3, 1, 1)),
        ((0, 0, 255), (2 / 3, 1, 1)),
        ((255, 0, 255), (5 / 6, 1, 1)),
        ((0, 51, 51), (0.5, 1, 0.2)),
        ((200, 100, 100), (0, 0.5, 200 / 255)),
        ((7, 7, 7), (0, 0, 7 / 255)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_hsv_of_known_colours(pixel, ref):
    assert [float(value) for value in oracle.hsv(*pixel)] == pytest.approx(ref)


def test_hsv_histogram_puts_full_saturation_and_value_into_the_last_bin():
    pixels = np.array([[[255, 0, 0], [255, 0, 0]], [[0, 0, 0], [0, 255, 0]]])
    comp = oracle.hsv_histogram(pixels, (3, 2, 2)).reshape(3, 2, 2)
    assert (comp[0, 1, 1], comp[0, 0, 0], comp[1, 1, 1]) == (0.5, 0.25, 0.25)
    assert comp.sum() == 1


def test_lbp_codes_of_a_plain_photo_an_edge_and_a_checkerboard():
    assert oracle.lbp_codes(np.full((3, 3), 9)).tolist() == [[3, 5, 3], [5, 8, 5], [3, 5, 3]]  # outside is 0
    edge = np.array([[1, 1, 9, 9]] * 3)
    assert oracle.lbp_codes(edge)[1].tolist() == [5, 8, 5, 5]
    low, high = (np.array([[0, 9, 0], [9, centre, 9], [0, 9, 0]]) for centre in (4, 5))
    assert oracle.lbp_codes(low)[1, 1] == 8  # diagonals lie between the pixels: 0.0858 * centre + 3.73
    assert oracle.lbp_codes(high)[1, 1] == 9


def test_moments_of_a_square_polygon_and_of_pixels():
    m = oracle.polygon_moments(np.array([[1, 1], [1, 3], [4, 3], [4, 1]]))  # integrals over 1..4 x 1..3
    assert m[0, 0] == pytest.approx(6)
    assert m[1, 0] == pytest.approx(15)
    assert m[2, 1] == pytest.approx(21 * 4)
    assert m[0, 3] == pytest.approx(3 * 20)
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = mask[1, 3] = True
    assert oracle.pixel_moments(mask)[2, 1] == 4 + 9


def test_hu_moments_of_a_square_and_of_a_rectangle():
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]])
    assert oracle.hu_moments(oracle.polygon_moments(square)) == pytest.approx([1 / 6, 0, 0, 0, 0, 0, 0], abs=1e-12)
    bar = np.array([[0, 0], [4, 0], [4, 1], [0, 1]])  # eta20 = 4/12, eta02 = 1/48
    ref = [1 / 3 + 1 / 48, (1 / 3 - 1 / 48) ** 2, 0, 0, 0, 0, 0]
    assert oracle.hu_moments(oracle.polygon_moments(bar)) == pytest.approx(ref, abs=1e-12)


def test_hu_moments_stay_under_shift_turn_and_scale_and_the_seventh_changes_sign_in_the_mirror():
    shape = np.array([[0, 0], [5, 0], [5, 1], [2, 2], [1, 6], [0, 6]], float)
    ref = oracle.hu_moments(oracle.polygon_moments(shape))
    turn = np.array([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
    moved = oracle.hu_moments(oracle.polygon_moments(3 * shape @ turn.T + [7, -2]))
    mirrored = oracle.hu_moments(oracle.polygon_moments(shape * [-1, 1]))
    assert abs(ref[6]) > 1e-9
    assert moved == pytest.approx(ref, rel=1e-6, abs=1e-13)
    assert mirrored == pytest.approx([*ref[:6], -ref[6]], rel=1e-6, abs=1e-13)


def test_fourier_descriptors_of_an_epicycle():
    angles = 2 * np.pi * np.arange(64) / 64
    z = 5 * np.exp(1j * angles) + 2 * np.exp(3j * angles) + (40 - 3j)
    comp = oracle.fourier_descriptors(np.column_stack([z.real, z.imag]))
    assert comp == pytest.approx([0, 0.4, *[0] * 13], abs=1e-12)


def test_vlad_of_a_worked_example():
    centres = [[0, 0], [4, 0]]
    points = [[1, 0], [0, 2], [2, 0], [4, 9]]  # the third is as near to both: the first
    assert oracle.vlad(points, centres, "l2") == pytest.approx(np.array([3, 2, 0, 9]) / math.sqrt(94))
    assert oracle.vlad(points, centres, "power") == pytest.approx(np.array([R3, R2, 0, 3]) / math.sqrt(14))
    assert oracle.vlad(points, centres, "intra") == pytest.approx(
        np.array([3 / math.sqrt(13), 2 / math.sqrt(13), 0, 1]) / R2
    )


def test_bow_of_a_worked_example():
    assert oracle.bow([2, 0, 2], 3, [1.5, 9, 1]) == pytest.approx(np.array([1.5, 0, 2]) / 2.5)
    assert oracle.bow([], 2, [1, 1]) == [0, 0]


def test_fisher_of_one_gaussian_and_of_two_equal_ones():
    one = oracle.fisher([[3.0], [5.0]], [1.0], [[2.0]], [[4.0]], False)  # z = 0.5 and 1.5
    assert one == pytest.approx([1.0, (-0.75 + 1.25) / 2 / R2])
    two = oracle.fisher([[3.0], [5.0]], [0.5, 0.5], [[2.0], [2.0]], [[4.0], [4.0]], False)  # halves, over sqrt 0.5
    assert two == pytest.approx([1 / R2, 1 / R2, 0.125, 0.125])
    improved = oracle.fisher([[3.0], [5.0]], [1.0], [[2.0]], [[4.0]], True)
    assert np.linalg.norm(improved) == pytest.approx(1)
    assert improved[0] / improved[1] == pytest.approx(math.sqrt(one[0] / one[1]))


def test_the_posterior_knows_weights_and_determinants():
    share, rest = oracle.posterior([0.0], [0.8, 0.2], [[0.0], [0.0]], [[1.0], [0.25]])
    assert share / rest == pytest.approx(0.8 / 0.2 / 2)  # the narrow Gaussian is twice as high
    assert oracle.posterior([1e6], [0.5, 0.5], [[0.0], [1.0]], [[1.0], [1.0]]) == pytest.approx([0, 1])


def test_poolings_of_a_worked_example():
    maps = np.array([[[1, 2], [0, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 3]]], np.float32)
    assert oracle.pool_sum(maps) == [4, 0, 3]
    assert oracle.pool_average(maps) == [1, 0, 0.75]
    assert oracle.pool_max(maps) == [2, 0, 3]
    assert oracle.pool_gem(maps) == pytest.approx([(10 / 4) ** (1 / 3), 1e-6, (27 / 4) ** (1 / 3)])
    near = math.exp(-0.5 / (2 / 9))  # every place is sqrt 0.5 from the centre, sigma = 1/3
    assert oracle.pool_spoc(maps) == pytest.approx([4 * near, 0, 3 * near])
    length = math.sqrt(1 + 4 + 16)  # S = 1, 2, 0, 4; Q = 3/4, 0, 1/4
    alpha = [math.sqrt(s / length) for s in (1, 2, 0, 4)]
    crow = [math.log(4 / 3) * (alpha[0] + 2 * alpha[1] + alpha[3]), 0, math.log(4) * 3 * alpha[3]]
    assert oracle.pool_crow(maps) == pytest.approx(crow)
    assert oracle.pool_grid(maps) == [0.5, 0, 0, 1.5, 0, 0, 0, 0, 0, 0.5, 0, 2.5]


def test_quadrants_of_seven_rows_share_the_middle_one():
    maps = np.zeros((1, 7, 7), np.float32)
    maps[0, 3, 3] = 16
    maps[0, 0, 6] = 32
    assert oracle.pool_grid(maps) == [0.5, 2.5, 0.5, 0.5]


def test_rmac_regions_of_small_maps():
    assert oracle.rmac_regions(1, 1) == [(0, 0, 1)]
    halves, thirds = ([(y, x, 1) for y in at for x in at] for at in ((0, 1), (0, 0, 1)))
    assert oracle.rmac_regions(2, 2) == [(0, 0, 2), *halves, *thirds]
    assert oracle.rmac_regions(4, 6, 1) == [(0, 0, 4), (0, 2, 4)]  # one more: squares overlap by a half


def test_rmac_counts_the_regions_of_cirtorch():
    assert len(oracle.rmac_regions(7, 7)) == 1 + 4 + 9
    assert len(oracle.rmac_regions(6, 8)) == 2 + 6 + 12  # one more on the long side


def test_rmac_of_one_place_is_its_unit_vector():
    assert oracle.pool_rmac(np.array([[[3.0]], [[4.0]]])) == pytest.approx([0.6, 0.8])


def test_crops_and_patches_of_a_numbered_photo():
    pixels = np.arange(25).reshape(5, 5)
    firsts = [int(crop[0, 0]) for crop in oracle.ten_crops(pixels, 3)]
    assert firsts == [0, 2, 10, 12, 6, 2, 4, 12, 14, 8]
    assert [int(patch[0, 0]) for patch in oracle.patches(pixels, 3, 2)] == [0, 2, 10, 12]
    assert len(oracle.patches(np.zeros((256, 256, 3)), 128, 32)) == 25
    assert len(oracle.patches(np.zeros((256, 256, 3)), 64, 32)) == 49


def test_mop_is_the_whole_then_one_projected_vlad_per_level():
    level = (
        [[2.0, 0.0], [0.0, 9.0]],
        lambda v: [value / 2 for value in v],
        [[0.0, 0.0]],
        lambda v: [2 * v[0], 0, v[1]],
    )
    ratio = math.sqrt(1 / 4.5)  # of the signed roots of 1 and 4.5
    ref = np.array([2 * ratio, 0, 1]) / math.hypot(2 * ratio, 1)
    assert oracle.mop([3, 4], [level, level]) == pytest.approx([0.6, 0.8, *ref, *ref])


# ---------------------------------------------------------------- aggregated local features


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@given(data=st.data(), n=st.integers(0, 9), k=st.integers(1, 4), d=st.integers(1, 4))
def test_vlad_matches_the_oracle_with_ties(normalisation, data, n, k, d):
    descriptors, centres = data.draw(whole_numbers((n, d))), data.draw(whole_numbers((k, d)))
    close(vlad(descriptors, centres, normalisation), oracle.vlad(descriptors, centres, normalisation))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 60), k=st.integers(1, 9))
def test_vlad_of_bytes_and_of_unit_vectors_matches_the_oracle(normalisation, seed, n, k):
    rng = np.random.default_rng(seed)
    descriptors = rng.integers(0, 256, (n, 16), dtype=np.uint8)
    centres = rng.uniform(0, 255, (k, 16)).astype(np.float32)
    close(vlad(descriptors, centres, normalisation), oracle.vlad(descriptors, centres, normalisation), 1e-5)
    floats = rng.uniform(0, 1, (n, 16)).astype(np.float32)
    close(vlad(floats, centres / 255, normalisation), oracle.vlad(floats, centres / 255, normalisation), 1e-5)


@given(k=st.integers(1, 5), n=st.integers(0, 3))
def test_vlad_of_descriptors_on_their_centres_is_zero(k, n):
    centres = np.arange(3 * k, dtype=np.float32).reshape(k, 3)
    for normalisation in NORMALISATIONS:
        assert not vlad(np.repeat(centres, n, axis=0), centres, normalisation).any()


@given(data=st.data(), n_words=st.integers(1, 6))
def test_bow_matches_the_oracle(data, n_words):
    words = data.draw(st.lists(st.integers(0, n_words - 1), max_size=12))
    idf = data.draw(whole_numbers((n_words,), 0, 3)) / 4
    close(bow(np.array(words, np.int64), n_words, idf), oracle.bow(words, n_words, idf.tolist()))


@st.composite
def mixtures(draw, d):
    k = draw(st.integers(1, 4))
    weights = np.array(draw(st.lists(st.integers(1, 5), min_size=k, max_size=k)), float)
    means = draw(whole_numbers((k, d), dtype=np.float64))
    variances = draw(hnp.arrays(np.float64, (k, d), elements=st.sampled_from([0.01, 0.25, 1.0, 4.0])))
    return weights / weights.sum(), means, variances


@pytest.mark.parametrize("improved", [False, True])
@given(data=st.data(), n=st.integers(0, 6), d=st.integers(1, 3))
def test_fisher_matches_the_oracle_with_equal_gaussians_and_equal_descriptors(improved, data, n, d):
    mixture, descriptors = data.draw(mixtures(d)), data.draw(whole_numbers((n, d)))
    ref = oracle.fisher(descriptors, *mixture, False)
    if (
        improved
    ):  # the root makes a sum that cancels to 1e-17 as large as 3e-9, and the length may be made of nothing else
        assume(n == 0 or max(map(abs, ref)) > 1e-6)
        comp = fisher(descriptors, *mixture, improved=True)
        assert np.abs(comp - oracle.fisher(descriptors, *mixture, True)).max() <= 1e-4
    else:
        close(fisher(descriptors, *mixture, improved=False), ref, 1e-5)


def test_fisher_of_a_descriptor_far_from_all_gaussians_is_finite_and_right():
    mixture = (np.array([0.3, 0.7]), np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.01, 0.01], [0.02, 0.01]]))
    far = np.array([[500.0, -300.0], [40.0, 40.0]], np.float32)
    close(fisher(far, *mixture, improved=False), oracle.fisher(far, *mixture, False), 1e-5)
    close(fisher(far, *mixture, improved=True), oracle.fisher(far, *mixture, True), 1e-5)


def test_fisher_with_the_weights_of_the_wrong_posterior_would_differ():
    weights, means = np.array([0.9, 0.1]), np.array([[0.0], [1.0]])
    equal = oracle.fisher([[0.4]], [0.5, 0.5], means, np.ones((2, 1)), False)
    ref = oracle.fisher([[0.4]], weights, means, np.ones((2, 1)), False)
    comp = fisher(np.array([[0.4]], np.float32), weights, means, np.ones((2, 1)), improved=False)
    assert np.abs(comp - ref).max() < 1e-6
    assert np.abs(comp - equal).max() > 0.05


# ---------------------------------------------------------------- PCA


def signs_of(comp, ref):
    """One sign per axis, that of the largest number."""
    at = np.abs(ref).argmax(axis=0)
    columns = np.arange(ref.shape[1])
    return np.sign(comp[at, columns] * ref[at, columns])


@pytest.mark.parametrize("whiten", [False, True])
@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 8), n=st.integers(3, 20))
def test_pca_matches_the_oracle_up_to_the_signs_of_axes(whiten, seed, d, n):
    rng = np.random.default_rng(seed)
    dimension = int(rng.integers(1, min(d, n - 1) + 1))
    scales = 2.0 ** -np.arange(d)  # well apart: axes of equal variance are not defined
    vectors = (rng.normal(size=(n, d)) * scales + rng.normal(size=d)).astype(np.float32)
    variances = np.sort(np.linalg.eigvalsh(oracle.covariance(vectors)[1]))[::-1]
    gaps = (variances[:dimension] - np.append(variances, 0)[1 : dimension + 1]) / variances[0]
    assume(gaps.min() > 1e-4)
    comp = fit_pca(vectors, dimension, whiten)
    assert np.allclose(comp.variances, variances[:dimension] * n / (n - 1), rtol=1e-6, atol=1e-9)
    others = rng.normal(size=(5, d)).astype(np.float32)  # learned on one set, applied to another
    ref = np.array([oracle.pca(vectors, x, dimension, whiten) for x in others])
    if whiten:  # the oracle divides by n, the fast code by n - 1: no difference once the length is 1
        ref = np.array([oracle.unit(row) for row in ref])
    got = comp.apply(others, unit_length=whiten)
    assert got.dtype == np.float32
    assert np.allclose(got * signs_of(got, ref), ref, rtol=1e-3, atol=1e-3)


@given(data=st.data(), n=st.integers(2, 8), d=st.integers(1, 5))
def test_pca_with_duplicates_and_equal_variances_still_diagonalises(data, n, d):
    vectors = data.draw(whole_numbers((n, d)))
    rank = np.linalg.matrix_rank(vectors - vectors[0])  # whole numbers: exact
    assume(rank > 0)
    comp = fit_pca(vectors, rank, whiten=True)
    assert np.allclose(comp.components @ comp.components.T, np.eye(rank), atol=1e-9)
    assert np.allclose(oracle.covariance(comp.apply(vectors))[1], np.eye(rank) * (n - 1) / n, atol=1e-4)
    with pytest.raises(InvalidInputError):
        fit_pca(vectors, rank + 1)


@pytest.mark.parametrize("vectors", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((2, 3)), np.zeros((5, 3))])
def test_pca_of_nothing_that_varies_is_an_error(vectors):
    with pytest.raises(InvalidInputError):
        fit_pca(vectors, 1)


def test_pca_gives_the_same_signs_whatever_the_order_and_number_of_vectors_in_memory():
    vectors = np.random.default_rng(0).normal(size=(50, 6)) * [6, 5, 4, 3, 2, 1]
    one, other = fit_pca(vectors, 6), fit_pca(vectors[::-1].copy(), 6)
    assert np.allclose(one.components, other.components, atol=1e-9)
    few, many = fit_pca(vectors[:6], 5), fit_pca(np.tile(vectors[:6], (3, 1)), 5)  # n < d and n >= d go two ways
    assert np.allclose(few.components[:, :], many.components, atol=1e-9)


def test_the_mean_whitens_to_zero_and_zero_has_no_direction():
    comp = PCA(np.array([1.0, 2.0]), np.eye(2), np.array([4.0, 1.0]), True)
    assert not comp.apply(np.array([[1.0, 2.0]]), unit_length=True).any()
    assert comp.apply(np.array([[3.0, 2.0]])).tolist() == [[1.0, 0.0]]


# ---------------------------------------------------------------- pooling, crops, patches

MAPS = st.one_of(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 0.3, 40.0, 1e-6, 1e-7]),
    ),
    st.builds(  # constant maps
        lambda c, h, w, value: np.full((c, h, w), value, np.float32),
        *[st.integers(1, 4)] * 3,
        st.sampled_from([0, 0.7, 100]),
    ),
)


def test_there_is_an_oracle_for_every_pooling():
    assert set(POOLINGS) == set(oracle.POOLINGS)


@pytest.mark.parametrize("name", sorted(oracle.POOLINGS))
@given(maps=MAPS)
def test_pooling_matches_the_oracle(name, maps):
    before = maps.copy()
    close(POOLINGS[name](maps), oracle.POOLINGS[name](maps), 1e-5)
    assert np.array_equal(maps, before)


@pytest.mark.parametrize("name", sorted(oracle.POOLINGS))
def test_pooling_of_maps_as_large_as_those_of_a_network_matches_the_oracle(name):
    rng = np.random.default_rng(1)
    maps = np.maximum(rng.normal(-0.5, 3, (40, 14, 14)), 0).astype(np.float32)
    maps[7] = 0
    close(POOLINGS[name](maps), oracle.POOLINGS[name](maps), 1e-5)
    views = np.moveaxis(np.moveaxis(maps, 0, 2).copy(), 2, 0)  # the same numbers, other strides
    close(POOLINGS[name](views), oracle.POOLINGS[name](maps), 1e-5)


@given(height=st.integers(1, 60), width=st.integers(1, 60), levels=st.integers(1, 4))
def test_rmac_regions_match_the_oracle_and_lie_inside(height, width, levels):
    comp = [tuple(region) for region in rmac_regions(height, width, levels)]
    assert comp == oracle.rmac_regions(height, width, levels)
    assert all(0 <= y <= height - side and 0 <= x <= width - side for y, x, side in comp)


@given(height=st.integers(1, 20), width=st.integers(1, 20), side=st.integers(1, 20), stride=st.integers(1, 7))
def test_patches_match_the_oracle(height, width, side, stride):
    pixels = np.arange(height * width).reshape(height, width)
    comp = [pixels[y : y + s, x : x + s].tolist() for y, x, s in patches(height, width, side, stride)]
    assert comp == [patch.tolist() for patch in oracle.patches(pixels, side, stride)]


@given(side=st.integers(1, 12), data=st.data())
def test_ten_crops_match_the_oracle(side, data):
    size = data.draw(st.integers(1, side))
    pixels = np.arange(side * side * 3, dtype=np.uint16).reshape(side, side, 3)
    comp = cut_crops(pixels, size, "ten")
    ref = oracle.ten_crops(pixels, size)
    assert len(comp) == 10
    assert all(np.array_equal(a, b) for a, b in zip(comp, ref, strict=True))
    assert np.array_equal(cut_crops(pixels, size, "centre")[0], ref[4])


def identity(d):
    return PCA(np.zeros(d), np.eye(d), np.ones(d))


def plain(pca):
    """The PCA as the definition has it, of one vector."""
    return lambda x: pca.components @ (np.asarray(x, float) - pca.mean)


@given(data=st.data(), n=st.integers(1, 6), d=st.integers(1, 4), k=st.integers(1, 3))
def test_a_level_of_mop_matches_the_oracle_with_ties(data, n, d, k):
    activations, centres = data.draw(whole_numbers((n, d))), data.draw(whole_numbers((k, d)))
    mean = data.draw(whole_numbers((d,), dtype=np.float64))
    first = PCA(mean, np.eye(d)[::-1], np.ones(d))
    second = PCA(np.zeros(k * d), np.eye(k * d)[: max(1, k * d // 2)], np.ones(max(1, k * d // 2)))
    ref = oracle.mop([1.0], [(activations, plain(first), centres, plain(second))])[1:]
    close(MopLevel(64, first, centres, second).vector(activations), ref)


def test_mop_joins_the_whole_and_its_levels():
    class Means:  # stands in for a network: mean colour of a patch
        dimension = 3
        name = "means"

        def of_pixels(self, pixels):
            return pixels.mean(axis=(0, 1)).astype(np.float32)

        def provenance(self):
            return {"feature": "means"}

    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    pixels[60:200, 90:] //= 3
    centres = np.array([[100, 100, 100], [60, 60, 60.5]], np.float32)
    levels = [MopLevel(side, identity(3), centres, identity(6)) for side in (128, 64)]
    comp = MopFeature(Means(), "means", levels, 32, "mop-means", {}).extract(photo_of(pixels))
    patches_of = [[patch.mean(axis=(0, 1)) for patch in oracle.patches(pixels, side, 32)] for side in (128, 64)]
    assert [len(found) for found in patches_of] == [25, 49]
    ref = oracle.mop(pixels.mean(axis=(0, 1)), [(found, list, centres, list) for found in patches_of])
    close(comp, ref, 1e-4)


# ---------------------------------------------------------------- classic features


def photo_of(pixels):
    """A photo with exactly these pixels, grey (h, w) or RGB (h, w, 3)."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return Photo(file.getvalue())


COLOURS = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 8), st.integers(1, 8), st.just(3)),
    elements=st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 51, 102, 127, 128, 254, 255])),
)


@given(pixels=COLOURS)
def test_colour_histograms_match_the_exact_oracle(pixels):
    photo = photo_of(pixels)
    hue, saturation, value = (oracle.hsv_histogram(pixels, bins) for bins in ((32, 1, 1), (1, 32, 1), (1, 1, 32)))
    close(HueHistogram().extract(photo), hue)
    close(HSVHistogram().extract(photo), oracle.hsv_histogram(pixels, (8, 8, 8)))
    close(ChannelHistograms().extract(photo), np.concatenate([hue, saturation, value]) / 3)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)])
def test_hues_on_the_edge_of_a_bin_fall_where_exact_arithmetic_puts_them(order):
    pixels = np.array([[[240, 15 * step, 0] for step in range(17)], [[48, 3 * step, 0] for step in range(17)]])
    pixels = np.concatenate([pixels, pixels + 13])[..., list(order)]
    close(HueHistogram().extract(photo_of(pixels)), oracle.hsv_histogram(pixels, (32, 1, 1)))


@given(grey=hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 255)))
def test_lbp_matches_the_oracle_pixel_by_pixel(grey):
    codes = oracle.lbp_codes(grey)
    photo = photo_of(grey)
    close(LocalBinaryPatterns().extract(photo), oracle.lbp_histogram(codes))
    height, width = grey.shape
    cells = [
        [codes[y, x] for y in range(height) for x in range(width) if (4 * y // height, 4 * x // width) == (row, column)]
        for row in range(4)
        for column in range(4)
    ]
    ref = np.concatenate([oracle.lbp_histogram(np.array(cell)) for cell in cells]) / 16
    close(LocalBinaryPatterns(4).extract(photo), ref)


@pytest.mark.parametrize("value", range(0, 256, 5))
def test_lbp_of_a_plain_photo_has_no_noise_from_interpolation(value):
    grey = np.full((6, 6), value, np.uint8)
    close(LocalBinaryPatterns().extract(photo_of(grey)), oracle.lbp_histogram(oracle.lbp_codes(grey)))


@pytest.mark.parametrize("seed", [0, 1])
def test_hog_matches_the_oracle_to_the_accuracy_of_opencvs_angles(seed):
    grey = oracle.noise(64, 64, seed)
    grey[:20] = 90  # plain blocks are zeros
    grey[30:, :20] = 90 + grey[30:, :20] // 64  # hardly any contrast: what is added to the lengths shows
    comp = OrientedGradients().extract(photo_of(grey))
    ref = np.array(oracle.hog(grey))
    assert comp.shape == ref.shape
    assert np.abs(comp - ref).max() < 0.001


# ---------------------------------------------------------------- shape


def scene(points, side=200):
    """A bright polygon on black."""
    grey = np.zeros((side, side), np.uint8)
    cv2.fillPoly(grey, [np.rint(points).astype(np.int32)], 255)
    return grey


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(3, 9))
def test_shape_and_fourier_match_the_oracle_on_the_outline_that_was_found(seed, n):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, n))
    radii = rng.uniform(20, 80, n)
    photo = photo_of(scene(100 + np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])))
    outline = main_outline(photo)
    assume(outline is not None and len(outline) > 60)
    hu = np.array(oracle.hu_moments(oracle.polygon_moments(outline - outline.mean(axis=0))))
    sound = np.abs(hu) > 1e-12  # the rest is what rounding leaves
    comp = HuShape().extract(photo)[:7]
    assert np.allclose(comp[sound], (-np.sign(hu) * np.log10(np.abs(hu)))[sound], rtol=1e-3, atol=1e-3)
    outline = outline.astype(float)
    x, y = outline.T
    if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0:
        outline = outline[::-1]
    ref = oracle.fourier_descriptors(equal_steps(outline, FourierShape.parameters["points"]))
    assert np.allclose(FourierShape().extract(photo), ref, atol=1e-5)


def equal_steps(outline, n):
    """n points along a closed outline, one step at a time."""
    lengths = [math.dist(a, b) for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True)]
    points, side, start, total = [], 0, 0.0, sum(lengths)
    for step in range(n):
        at = total * step / n
        while at > start + lengths[side]:
            start += lengths[side]
            side += 1
        share = (at - start) / lengths[side]
        points.append((1 - share) * outline[side] + share * outline[(side + 1) % len(outline)])
    return points


@pytest.mark.parametrize("corners", [[[0, 0], [89, 0], [89, 59], [0, 59]], [[0, 0], [80, 0], [80, 80], [0, 80]]])
def test_shape_of_an_object_that_is_like_its_mirror_image_stays_when_it_is_shifted(corners):
    ref = HuShape().extract(photo_of(scene(np.add(corners, 20))))
    for shift in ([21, 20], [20, 33], [37, 41]):  # moments that are 0 must not become the noise of their rounding
        comp = HuShape().extract(photo_of(scene(np.add(corners, shift))))
        assert np.abs(comp - ref).max() < 1e-3

"""Pooling of feature maps against the formulas, written again place by place, and against values computed by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import features as oracle

from metricsearch.errors import InvalidInputError
from metricsearch.features.cnn.pooling import POOLINGS
from metricsearch.features.cnn.regions import Region, patches, rmac_regions

NAMES = ["sum", "avg", "max", "spoc", "gem", "crow", "ucrow", "rmac", "grid4096"]
SMALL = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
# Few different values: ties, zeros and whole channels of zeros are the rule.
AFTER_RELU = hnp.arrays(
    np.float32, SMALL, elements=st.sampled_from([0, 0, 0.25, 0.5, 1, 3, 100, 1e-20]).map(np.float32)
)


def relu_maps(channels=5, height=7, width=7, seed=0):
    return np.maximum(np.random.default_rng(seed).normal(size=(channels, height, width)), 0).astype(np.float32)


def test_there_are_all_poolings_of_the_specification():
    assert sorted(POOLINGS) == sorted(NAMES) == sorted(oracle.POOLINGS)


@pytest.mark.parametrize("name", NAMES)
@given(maps=AFTER_RELU)
def test_a_pooling_is_what_its_formula_says(name, maps):
    before = maps.copy()
    pooled = POOLINGS[name](maps)
    assert pooled.dtype == np.float32
    assert pooled.shape == (len(maps) * (4 if name == "grid4096" else 1),)
    np.testing.assert_allclose(pooled, oracle.POOLINGS[name](maps), rtol=1e-5, atol=1e-30)
    assert np.array_equal(maps, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(64, 7, 7), (16, 14, 14), (8, 6, 11), (8, 13, 5)])
def test_a_pooling_of_maps_of_usual_size_is_what_its_formula_says(name, shape):
    maps = relu_maps(*shape)
    np.testing.assert_allclose(POOLINGS[name](maps), oracle.POOLINGS[name](maps), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-2.0, 0.0, 1e-38, 1.0, 1e30])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (2, 1, 9), (1, 2, 2), (2, 40, 3)])
def test_constant_maps_give_finite_values_without_a_warning(name, value, shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pooled = POOLINGS[name](np.full(shape, value, dtype=np.float32))
    assert np.isfinite(pooled).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_memory_does_not_matter(name):
    maps = relu_maps(6, 5, 8)
    assert np.array_equal(POOLINGS[name](np.asfortranarray(maps)), POOLINGS[name](maps))
    assert np.array_equal(POOLINGS[name](np.repeat(maps, 2, axis=0)[::2]), POOLINGS[name](maps))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "maps", [np.ones(5, np.float32), np.ones((1, 2, 3, 3), np.float32), np.ones((2, 0, 3), np.float32), "maps"]
)
def test_what_is_no_stack_of_maps_is_refused(name, maps):
    with pytest.raises(InvalidInputError, match="channels, height, width"):
        POOLINGS[name](maps)


def test_values_computed_by_hand():
    maps = np.array([[[0, 2], [4, 2]], [[0, 0], [3, 0]]], dtype=np.float32)
    assert POOLINGS["sum"](maps).tolist() == POOLINGS["ucrow"](maps).tolist() == [8, 3]
    assert POOLINGS["avg"](maps).tolist() == [2, 0.75]
    assert POOLINGS["max"](maps).tolist() == [4, 3]
    np.testing.assert_allclose(POOLINGS["gem"](maps), [20 ** (1 / 3), (27 / 4) ** (1 / 3)], rtol=1e-6)
    # All four cells are equally far from the centre: r^2 = 1/2, sigma = 1/3.
    np.testing.assert_allclose(POOLINGS["spoc"](maps), np.exp(-9 / 4) * np.array([8, 3]), rtol=1e-6)
    # S = [0, 2, 7, 2], |S| = sqrt(57); Q = 3/4, 1/4.
    alpha = np.sqrt(np.array([0, 2, 7, 2]) / np.sqrt(57))
    weights = np.log([4 / 3, 4])
    crow = weights * [alpha @ [0, 2, 4, 2], alpha @ [0, 0, 3, 0]]
    np.testing.assert_allclose(POOLINGS["crow"](maps), crow, rtol=1e-6)
    # Whole map twice (once as the region of scale 1); scale 2: side 1, four cells; scale 3: side 1, nine of them,
    # at 0, 0, 1 along each axis.
    whole = np.array([4, 3]) / 5
    cells = np.array([[[0, 0], [1, 0]], [[0.8, 0.6], [1, 0]]])
    at = [0, 0, 1]
    total = 2 * whole + cells.sum(axis=(0, 1)) + sum(cells[y, x] for y in at for x in at)
    np.testing.assert_allclose(POOLINGS["rmac"](maps), total / np.linalg.norm(total), rtol=1e-6)
    assert POOLINGS["grid4096"](maps).tolist() == [0, 0, 1.5, 0, 3.5, 2.5, 1.5, 0]


def test_the_grid_shares_the_middle_of_an_odd_number_of_rows():
    maps = np.zeros((1, 7, 7), dtype=np.float32)
    maps[0, 3, 3] = 16  # in all four quadrants of 16 cells
    assert POOLINGS["grid4096"](maps).tolist() == [0.5, 0.5, 0.5, 0.5]


@given(maps=AFTER_RELU.filter(lambda maps: maps.any()), exponent=st.integers(-3, 3))
def test_rmac_has_length_1_and_does_not_see_a_change_of_contrast(maps, exponent):
    pooled = POOLINGS["rmac"](maps)
    assert np.linalg.norm(pooled) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(POOLINGS["rmac"](maps * np.float32(2.0**exponent)), pooled, rtol=1e-6)


@given(maps=AFTER_RELU)
def test_mirrored_maps_give_the_same_vector_where_no_place_is_special(maps):
    for name in ("sum", "avg", "max", "spoc", "gem", "crow"):
        np.testing.assert_allclose(POOLINGS[name](maps[:, :, ::-1]), POOLINGS[name](maps), rtol=1e-6, atol=1e-30)


@given(maps=AFTER_RELU)
def test_the_generalised_mean_lies_between_mean_and_maximum(maps):
    gem = POOLINGS["gem"](maps)
    assert (gem >= POOLINGS["avg"](maps) * (1 - 1e-6)).all()
    assert (gem <= np.maximum(POOLINGS["max"](maps), 1e-6) * (1 + 1e-6)).all()


# What cirtorch.layers.functional.rmac gives (float32 there, so only where nothing is rounded).
def test_regions_of_rmac():
    assert rmac_regions(1, 1) == [Region(0, 0, 1)]
    assert rmac_regions(7, 7) == [
        Region(0, 0, 7),
        *(Region(top, left, 4) for top in (0, 3) for left in (0, 3)),
        *(Region(top, left, 3) for top in (0, 2, 4) for left in (0, 2, 4)),
    ]
    assert [region for region in rmac_regions(6, 9) if region.side == 6] == [Region(0, 0, 6), Region(0, 3, 6)]
    assert len(rmac_regions(30, 40)) == 2 + 2 * 3 + 3 * 4
    assert len(rmac_regions(40, 30)) == 2 + 2 * 3 + 3 * 4
    assert len([region for region in rmac_regions(5, 9) if region.side == 5]) == 2  # 20 % and 60 % are equally good


@given(height=st.integers(1, 30), width=st.integers(1, 30))
def test_regions_lie_in_the_map_and_turn_with_it(height, width):
    regions = rmac_regions(height, width)
    assert regions == [Region(*region) for region in oracle.rmac_regions(height, width)]
    assert all(0 <= r.top <= height - r.side and 0 <= r.left <= width - r.side and r.side for r in regions)
    assert set(rmac_regions(width, height)) == {Region(r.left, r.top, r.side) for r in regions}


def test_patches_of_mop():
    assert len(patches(256, 256, 128, 32)) == 25
    assert len(patches(256, 256, 64, 32)) == 49
    assert patches(3, 4, 2, 1)[:4] == [Region(0, 0, 2), Region(0, 1, 2), Region(0, 2, 2), Region(1, 0, 2)]
    assert patches(3, 4, 4, 1) == []

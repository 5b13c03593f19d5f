"""PPPCodes.for_budget: an index keeps to its budget of bytes per object, all that grows with the objects counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsearch.errors import InvalidInputError
from metricsearch.indexes import FIXED_PARTS
from metricsearch.ppp import PPPCodes
from metricsearch.ppp.budget import split_budget

WIDE = np.random.default_rng(0).normal(size=(9000, 6)).astype(np.float32)


def bytes_per_object(index):
    report = index.memory_report()
    return sum(size for part, size in report.items() if part not in FIXED_PARTS) / len(index)


FEW = [(n, budget) for n in (1, 2, 15, 16, 17, 20) for budget in (90, 200)]
CASES = [(n, budget) for n in (300, 1100, 4500) for budget in (24, 32.5, 64)] + [(9000, np.float32(48))]


@pytest.mark.parametrize(("n", "budget"), FEW + CASES)
def test_an_index_keeps_to_its_budget(n, budget):
    objects = WIDE[:n]
    index = PPPCodes.for_budget(bytes_per_object=budget, n=n).build(objects)
    assert bytes_per_object(index) <= budget


@pytest.mark.parametrize("budget", [24, 48])
def test_an_index_of_objects_that_are_all_different_in_every_pivot_keeps_to_its_budget(budget):
    """Uniform data in many dimensions: hardly any prefix occurs twice."""
    objects = np.random.default_rng(1).random((4500, 60)).astype(np.float32)
    index = PPPCodes.for_budget(bytes_per_object=budget, n=len(objects)).build(objects)
    assert 0.9 * budget - 1 <= bytes_per_object(index) <= budget


@pytest.mark.parametrize("budget", [8, 10])
def test_a_budget_without_room_for_a_sketch_buys_prefixes_alone(budget):
    index = PPPCodes.for_budget(bytes_per_object=budget, n=len(WIDE)).build(WIDE)
    assert index.sketch is None
    assert bytes_per_object(index) <= budget


@settings(deadline=None)
@given(st.integers(2, 10**8), st.floats(6, 300))
def test_a_larger_budget_never_makes_the_sketch_smaller(n, budget):
    sizes = []
    for one in (budget, budget + 1, budget + 40):
        try:
            sizes.append(split_budget(one, n).get("sketch_bytes", 0))
        except InvalidInputError:
            sizes.append(-1)
    assert sizes == sorted(sizes)
    assert max(sizes) <= 255


def test_other_parameters_are_passed_on():
    index = PPPCodes.for_budget("manhattan", bytes_per_object=32, n=5000, seed=3, pivot_choice="farthest-first")
    assert (index.metric.name, index.seed, index.pivot_choice) == ("manhattan", 3, "farthest-first")
    assert (index.n_spaces, index.n_pivots, index.sketch) == (1, 512, "product")


@pytest.mark.parametrize(("n", "most"), [(17, 17), (511, 17), (512, 65), (1024, 129), (2048, 255), (10**6, 255)])
def test_a_sketch_has_no_more_bytes_than_its_pivots_can_fill(n, most):
    """A coordinate per pivot at most, each a byte at most, and the altitude."""
    assert split_budget(500, n)["sketch_bytes"] == most


@pytest.mark.parametrize("name", ["n_spaces", "n_pivots", "prefix_length", "sketch", "sketch_bytes"])
def test_what_the_budget_decides_cannot_be_given(name):
    with pytest.raises(InvalidInputError, match=f"^{name}: the budget decides"):
        PPPCodes.for_budget(bytes_per_object=48, n=5000, **{name: 1})


@pytest.mark.parametrize("budget", [0, -1, float("nan"), np.float64(-2), "48", None, True])
def test_a_budget_that_is_no_size_is_refused(budget):
    with pytest.raises(InvalidInputError, match="^bytes_per_object: expected a number > 0, got"):
        PPPCodes.for_budget(bytes_per_object=budget, n=5000)


@pytest.mark.parametrize("n", [0, -5, 2.5, "many", None])
def test_a_number_of_objects_that_is_none_is_refused(n):
    with pytest.raises(InvalidInputError, match="^n: "):
        PPPCodes.for_budget(bytes_per_object=48, n=n)


def test_a_budget_holds_after_inserts_once_they_are_consolidated():
    index = PPPCodes.for_budget(bytes_per_object=48, n=1500).build(WIDE[:1000])
    index.insert(WIDE[1000:1500])
    index.consolidate()
    assert bytes_per_object(index) <= 48


def test_a_budget_below_a_few_bytes_names_the_least():
    with pytest.raises(InvalidInputError, match=r"^bytes_per_object: 20,000 objects need at least \d\.\d, got 1"):
        PPPCodes.for_budget(bytes_per_object=1, n=20000)

"""Training and quantisation against the slow oracle, and their promises one by one."""

import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import vocabulary as oracle

from metricsearch.errors import CorruptedError, InvalidInputError, StorageError
from metricsearch.vocabulary import Vocabulary, _kernels, clustering, train_vocabulary
from metricsearch.vocabulary.assignment import Cells, assign_nearest
from metricsearch.vocabulary.training import cell_seeds


def blobs(n, d=8, seed=0, dtype=np.uint8):
    """Clustered points, so that trees have some structure."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 230, (12, d))[rng.integers(0, 12, n)] + rng.integers(0, 25, (n, d))
    return points.astype(dtype)


def same(a, b):
    return all(np.array_equal(a.to_arrays()[name], b.to_arrays()[name], equal_nan=False) for name in a.to_arrays())


def leaf_rows(vocabulary, words):
    """Row of `centres` of the leaf of each word, by walking down."""
    rows = []
    for word in words.tolist():
        slot = 0
        for level in range(1, vocabulary.depth + 1):
            if slot >= len(vocabulary.n_children) or not vocabulary.n_children[slot]:
                break
            row = vocabulary.first_child[slot] + word // vocabulary.branching ** (vocabulary.depth - level) % (
                vocabulary.branching
            )
            slot = row + 1
        rows.append(slot - 1)
    return np.array(rows)


few_values = hnp.arrays(np.uint8, st.tuples(st.integers(3, 24), st.integers(1, 3)), elements=st.integers(0, 6))
any_bytes = hnp.arrays(np.uint8, st.tuples(st.integers(3, 24), st.integers(1, 4)))


@given(
    points=few_values | any_bytes,
    branching=st.integers(2, 4),
    depth=st.integers(1, 4),
    cycles=st.integers(1, 4),
    seed=st.integers(0, 2**63 - 1),
    whole=st.booleans(),
)
def test_tree_words_and_soft_words_are_those_of_the_oracle(points, branching, depth, cycles, seed, whole):
    if not whole:  # one dimension, since sums of rounded squares depend on their order
        points = points[:, :1].astype(np.float32)
    root = oracle.train(points.tolist(), branching, depth, cycles, seed, whole)
    if not root["children"]:
        with pytest.raises(InvalidInputError, match="descriptors: expected more than"):
            train_vocabulary(points, branching=branching, depth=depth, cycles=cycles, seed=seed)
        return
    comp = train_vocabulary(points, branching=branching, depth=depth, cycles=cycles, seed=seed)
    nodes = list(oracle.nodes_by_level(root))
    assert comp.centres.tolist() == [node["centre"] for node in nodes]
    slots = [root, *(node for node in nodes if len(node["path"]) < depth)]
    assert comp.n_children.tolist() == [len(node["children"]) for node in slots]
    assert comp.n_leaves == sum(not node["children"] for node in nodes)
    words = [oracle.word_of(oracle.descend(root, point)[0]["path"], branching, depth) for point in points.tolist()]
    assert comp.quantize(points).tolist() == words
    n_assignments = min(3, comp.n_leaves)
    soft_words, distances = comp.quantize_soft(points, 3)
    ref = [oracle.soft(root, point, n_assignments, branching, depth) for point in points.tolist()]
    assert soft_words.tolist() == [[word for word, _ in row] for row in ref]
    assert np.array_equal(distances, np.array([[distance for _, distance in row] for row in ref], dtype=np.float32))


@given(
    points=hnp.arrays(np.uint8, st.tuples(st.integers(4, 30), st.integers(1, 3)), elements=st.integers(0, 9)),
    k=st.integers(2, 5),
    cycles=st.integers(0, 4),
)
def test_lloyd_from_given_starts_is_that_of_the_oracle(points, k, cycles):
    k = min(k, len(points))
    centres = points[:k].copy()
    labels = np.zeros(len(points), dtype=np.uint16)
    one = Cells(*(np.array([value], dtype=np.int64) for value in (0, len(points), 0, k)))
    clustering._lloyd(clustering.plain_view(points), one, centres, labels, cycles, 1, lambda: None)
    ref_centres, ref_labels = oracle.k_means(points.tolist(), points[:k].tolist(), cycles, True)
    assert labels.tolist() == ref_labels
    assert centres.tolist() == ref_centres


@given(data=st.data(), n=st.integers(2, 12), k=st.integers(2, 6))
def test_empty_clusters_are_filled_as_by_the_oracle(data, n, k):
    small = st.integers(0, 4)
    points = data.draw(hnp.arrays(np.uint8, (n, 2), elements=small))
    centres = data.draw(hnp.arrays(np.uint8, (k, 2), elements=small))
    labels = data.draw(hnp.arrays(np.uint16, n, elements=st.integers(0, k - 1)))
    ref = labels.tolist()
    oracle.fill_empty(points.tolist(), centres.tolist(), ref)
    one = Cells(*(np.array([value], dtype=np.int64) for value in (0, n, 0, k)))
    _kernels.fill_empty(clustering.plain_view(points), *one, clustering.plain_view(centres), labels)
    assert labels.tolist() == ref


def test_seeds_of_nodes_are_those_of_the_oracle():
    for seed in (0, 1, 2**63 - 1):
        slots = np.array([0, 1, 2, 1_000_000])
        assert cell_seeds(seed, slots).tolist() == [oracle.cell_seed(seed, int(slot)) for slot in slots]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("start", ["random", "k-means++"])
def test_tree_is_the_same_for_any_number_of_threads_and_for_a_dataset(tmp_path, dtype, start):
    x = blobs(40_000, seed=1, dtype=dtype)
    options = {"branching": 5, "depth": 4, "cycles": 3, "start": start, "seed": 7}
    ref = train_vocabulary(x, n_threads=1, **options)
    assert same(ref, train_vocabulary(x, n_threads=3, **options))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("descriptors", data=x, chunks=(1000, x.shape[1]))
        assert same(ref, train_vocabulary(dataset, memory_bytes=1000, **options))  # also by way of a scratch file
    assert not same(ref, train_vocabulary(x, **{**options, "seed": 8}))
    words = ref.quantize(x, n_threads=1)
    assert np.array_equal(words, ref.quantize(x, n_threads=2))
    assert np.array_equal(words[:10], ref.quantize(x[:10]))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_training_descriptor_descends_into_a_leaf_whose_points_it_shares(dtype):
    x = blobs(3000, d=3, dtype=dtype)
    vocabulary = train_vocabulary(x, branching=6, depth=3, cycles=20)
    words = vocabulary.quantize(x)
    assert len(np.unique(words)) == vocabulary.n_leaves
    last = leaf_rows(vocabulary, words)
    sizes = np.bincount(last, minlength=vocabulary.n_nodes)
    above = np.ones(vocabulary.n_nodes, dtype=bool)  # leaves above the last level stopped for a reason
    above[vocabulary.n_children.size - 1 :] = False
    above[: vocabulary.n_children.size - 1] &= vocabulary.n_children[1:] == 0
    for row in np.flatnonzero(above):
        points = x[last == row]
        assert 0 < sizes[row] <= 6 or (points == points[0]).all()


def test_products_and_loops_choose_the_same_centres():
    rng = np.random.default_rng(0)
    for dtype, d, high in ((np.uint8, 128, 256), (np.uint8, 300, 256), (np.uint8, 2, 4), (np.float32, 64, 50)):
        x = rng.integers(0, high, (600, d)).astype(dtype)
        centres = rng.integers(0, high, (90, d)).astype(dtype)
        labels = {}
        for n in (600, 200):  # 200 points at a time are too few for a product
            labels[n] = np.zeros(600, dtype=np.uint16)
            for start in range(0, 600, n):
                cells = Cells(*(np.array([value], dtype=np.int64) for value in (0, n, 0, 90)))
                assign_nearest(x[start : start + n], np.arange(n), cells, centres, labels[n][start : start + n])
        ref = ((x[:, None].astype(np.int64) - centres[None].astype(np.int64)) ** 2).sum(axis=2).argmin(axis=1)
        assert np.array_equal(labels[600], ref)
        assert np.array_equal(labels[200], ref)


@pytest.mark.parametrize("scale", [1e-40, 1e-23, 1e-21, 1e-10, 1e19, 1e20, 1e38])
def test_products_of_numbers_that_float32_cannot_hold_are_decided_by_the_loops(scale):
    rng = np.random.default_rng(0)
    x, centres = (rng.uniform(-1, 1, (n, 64)) * scale for n in (600, 90))
    x, centres = x.astype(np.float32), centres.astype(np.float32)
    labels = np.zeros(600, dtype=np.uint16)
    cells = Cells(*(np.array([value], dtype=np.int64) for value in (0, 600, 0, 90)))
    assign_nearest(x, np.arange(600), cells, centres, labels)
    ref = ((x[:, None].astype(np.float64) - centres[None].astype(np.float64)) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(labels, ref)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_flat_words_are_nearest_centres(dtype):
    x = blobs(2000, dtype=dtype)
    vocabulary = train_vocabulary(x, branching=80, depth=1, cycles=4)
    distances = ((x[:, None].astype(np.float64) - vocabulary.centres[None].astype(np.float64)) ** 2).sum(axis=2)
    assert np.array_equal(vocabulary.quantize(x), distances.argmin(axis=1))
    words, found = vocabulary.quantize_soft(x[:50], vocabulary.n_leaves + 5)
    assert np.array_equal(words, np.argsort(distances[:50], axis=1, kind="stable"))
    assert np.allclose(found, np.sqrt(np.sort(distances[:50], axis=1)))


def test_more_cycles_and_chosen_starts_do_not_raise_the_distortion_of_flat_words():
    x = blobs(3000)

    def distortion(**options):
        vocabulary = train_vocabulary(x, branching=12, depth=1, **options)
        return ((x.astype(int) - vocabulary.centres[vocabulary.quantize(x)].astype(int)) ** 2).sum()

    by_cycles = [distortion(cycles=cycles) for cycles in (1, 2, 4, 8, 16)]
    assert by_cycles == sorted(by_cycles, reverse=True)
    assert distortion(cycles=1, start="k-means++") < by_cycles[0]


def test_copies_larger_than_the_allowed_memory_lie_in_a_file_that_is_deleted(tmp_path, monkeypatch):
    from metricsearch.vocabulary import training_data

    made = []

    class Spy(training_data.TrainingData):
        def _copy(self, level):
            copy = super()._copy(level)
            made.append(type(copy))
            return copy

    monkeypatch.setattr(training_data, "TrainingData", Spy)
    monkeypatch.setattr(training_data.tempfile, "tempdir", str(tmp_path))
    x = blobs(2000)
    small = train_vocabulary(x, branching=4, depth=3, memory_bytes=2 * x.nbytes - 1)
    assert made
    assert set(made) == {np.memmap}
    made.clear()
    assert same(small, train_vocabulary(x, branching=4, depth=3, memory_bytes=2 * x.nbytes))
    assert set(made) == {np.ndarray}
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    from metricsearch.vocabulary import training_data

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_data.os, "posix_fallocate", refuse)
    monkeypatch.setattr(training_data.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(StorageError, match="No space left"):
        train_vocabulary(blobs(2000), branching=4, depth=3, memory_bytes=1)
    assert list(tmp_path.iterdir()) == []


def test_progress_changes_nothing(capsys):
    x = blobs(2000)
    options = {"branching": 4, "depth": 3, "cycles": 2}
    assert same(train_vocabulary(x, **options), train_vocabulary(x, progress=True, **options))
    assert capsys.readouterr().err == ""  # no terminal


def test_soft_assignment_starts_with_the_descent_and_ascends():
    x = blobs(2000)
    vocabulary = train_vocabulary(x, branching=4, depth=5)
    assert np.array_equal(vocabulary.quantize_soft(x, 1)[0][:, 0], vocabulary.quantize(x))
    words, distances = vocabulary.quantize_soft(x, 4, n_threads=2)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert all(len(set(row)) == 4 for row in words.tolist())
    centres = vocabulary.centres[leaf_rows(vocabulary, words[:100].ravel())].reshape(100, 4, -1).astype(float)
    assert np.allclose(distances[:100], np.sqrt(((x[:100, None] - centres) ** 2).sum(axis=2)))


def test_with_enough_checks_the_nearest_leaves_are_found_and_more_checks_never_lose():
    x = blobs(2000)
    vocabulary = train_vocabulary(x, branching=4, depth=4)
    queries = x[:200].astype(float)
    every, _ = vocabulary.quantize_soft(x[:1], vocabulary.n_leaves)
    centres = vocabulary.centres[leaf_rows(vocabulary, every[0])].astype(float)
    gaps = np.sqrt(((queries[:, None] - centres) ** 2).sum(axis=2))
    _, exact = vocabulary.quantize_soft(x[:200], 3, n_checks=vocabulary.n_leaves)
    assert np.allclose(exact, np.sort(gaps, axis=1)[:, :3])
    before = vocabulary.quantize_soft(x[:200], 3)[1]
    for n_checks in (5, 20):
        found = vocabulary.quantize_soft(x[:200], 3, n_checks=n_checks)[1]
        assert (found <= before).all()
        before = found
    with pytest.raises(InvalidInputError, match="n_checks: expected a whole number >= 3"):
        vocabulary.quantize_soft(x[:2], 3, n_checks=2)


def test_memory_of_soft_assignment_does_not_grow_with_descriptors_times_checks():
    x = blobs(4000)
    vocabulary = train_vocabulary(x, branching=300, depth=1, cycles=1)
    vocabulary.quantize_soft(x[:10], 2, n_checks=5)  # compiled now
    tracemalloc.start()
    vocabulary.quantize_soft(x, 2, n_threads=1, n_checks=vocabulary.n_leaves)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(x) * vocabulary.n_leaves / 10


def test_equally_near_nodes_are_taken_by_word():
    tree = Vocabulary(
        5,
        1,
        np.array([[10], [0], [20], [0], [20]], np.uint8),
        np.zeros(1, np.int32),
        np.full(1, 5, np.uint16),
    )
    words, distances = tree.quantize_soft(np.array([[10]], np.uint8), 3)
    assert words.tolist() == [[0, 1, 2]]
    assert distances.tolist() == [[0, 10, 10]]


def test_memory_of_a_full_tree_of_bytes_is_within_the_papers():
    n_nodes, n_slots = 1_111_110, 111_111
    tree = Vocabulary(
        10,
        6,
        np.empty((n_nodes, 128), np.uint8),
        np.empty(n_slots, np.int32),
        np.empty(n_slots, np.uint16),
    )
    assert tree.memory_bytes <= 143_000_000


# ---------------------------------------------------------------- checkpoints


def interrupted(monkeypatch, after, x, **options):
    """Train until `after` levels are saved, then fail."""
    from metricsearch.vocabulary.checkpoint import Checkpoint

    save = Checkpoint.save

    def save_and_fail(self, level, *arrays):
        save(self, level, *arrays)
        if level == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_fail)
        with pytest.raises(KeyboardInterrupt):
            train_vocabulary(x, **options)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_training_goes_on_after_the_last_finished_level(tmp_path, monkeypatch, dtype):
    x = blobs(20_000, dtype=dtype)
    options = {"branching": 4, "depth": 5, "cycles": 3, "seed": 3}
    ref = train_vocabulary(x, **options)
    for after in (1, 3, 5):
        folder = tmp_path / str(after)
        interrupted(monkeypatch, after, x, checkpoint=folder, **options)
        assert len(list(folder.glob("level-*.npz"))) == after
        assert same(ref, train_vocabulary(x, checkpoint=folder, **options))
        assert len(list(folder.iterdir())) == 6


def test_a_checkpoint_of_other_data_or_parameters_is_refused(tmp_path):
    x = blobs(500)
    train_vocabulary(x, branching=3, depth=2, checkpoint=tmp_path)
    other = x.copy()
    other[499, 0] ^= 1
    with pytest.raises(InvalidInputError, match=r"another training \(different: sha256\)"):
        train_vocabulary(other, branching=3, depth=2, checkpoint=tmp_path)
    with pytest.raises(InvalidInputError, match=r"different: cycles, seed"):
        train_vocabulary(x, branching=3, depth=2, cycles=2, seed=1, checkpoint=tmp_path)


@pytest.mark.parametrize("name", ["level-1.npz", "level-2.npz", "training.json"])
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b""])
def test_a_damaged_checkpoint_is_an_error(tmp_path, name, damage):
    x = blobs(500)
    train_vocabulary(x, branching=3, depth=2, checkpoint=tmp_path)
    path = tmp_path / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptedError, match=name):
        train_vocabulary(x, branching=3, depth=2, checkpoint=tmp_path)


def test_a_flipped_byte_of_a_checkpoint_is_an_error_or_changes_nothing(tmp_path):
    x = blobs(60, d=2)
    ref = train_vocabulary(x, branching=3, depth=2, checkpoint=tmp_path)
    path = tmp_path / "level-1.npz"
    whole = path.read_bytes()
    n_found = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x81]) + whole[at + 1 :])
        try:
            assert same(ref, train_vocabulary(x, branching=3, depth=2, checkpoint=tmp_path))
        except (CorruptedError, StorageError):
            n_found += 1
    assert n_found > len(whole) / 2


# ---------------------------------------------------------------- what users get wrong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branching": 1}, "branching: expected a whole number in 2..65535"),
        ({"branching": 70_000}, "branching: expected"),
        ({"branching": 10, "depth": 9}, "at most 100,000,000 words"),
        ({"depth": 0}, "depth: expected"),
        ({"cycles": 0}, "cycles: expected"),
        ({"start": "best"}, "start: expected one of random, k-means"),
        ({"seed": -1}, "seed: expected"),
        ({"memory_bytes": 0}, "memory_bytes: expected"),
        ({"n_threads": 0}, "n_threads: expected"),
        ({"checkpoint": 7}, "checkpoint: expected"),
    ],
)
def test_impossible_parameters_are_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        train_vocabulary(blobs(50), **options)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 8), np.uint8), "expected more than 3"),
        (np.zeros((1, 8), np.uint8), "expected more than 3"),
        (np.zeros((2, 8), np.uint8), "expected more than 3"),
        (np.zeros((100, 8), np.uint8), "not all equal"),
        (np.zeros((100, 8)), "expected uint8 or float32, got float64"),
        (np.zeros(100, np.uint8), r"expected shape \(n, d\)"),
        (np.zeros((100, 0), np.uint8), r"expected shape \(n, d\)"),
        ([[1, 2]], r"expected an \(n, d\) array"),
    ],
)
def test_data_that_cannot_be_split_is_refused(x, message):
    with pytest.raises(InvalidInputError, match=message):
        train_vocabulary(x, branching=3, depth=2)


def test_not_a_number_is_refused_with_its_row(tmp_path):
    x = blobs(100, dtype=np.float32)
    x[41, 3] = np.nan
    with pytest.raises(InvalidInputError, match="row 41 has NaN"):
        train_vocabulary(x, branching=3, depth=2)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=x)
        with pytest.raises(InvalidInputError, match="row 41 has NaN"):
            train_vocabulary(dataset, branching=3, depth=2)


def test_descriptors_are_checked_before_they_are_quantised():
    vocabulary = train_vocabulary(blobs(100), branching=3, depth=2)
    x = blobs(5)
    assert np.array_equal(vocabulary.quantize(x.astype(np.float32)), vocabulary.quantize(x))
    assert np.array_equal(vocabulary.quantize(np.asfortranarray(x)), vocabulary.quantize(x))
    assert vocabulary.quantize(np.empty((0, 8), np.uint8)).shape == (0,)
    words, distances = vocabulary.quantize_soft(np.empty((0, 8), np.float32), 2)
    assert words.shape == distances.shape == (0, 2)
    bad = x.astype(np.float32)
    bad[3, 1] = 0.5
    for wrong, message in (
        (bad, "row 3 has a number that is not whole"),
        (bad * 0 - 1, "row 0 has a number"),
        (bad * 0 + 256, "row 0 has a number"),
        (bad * np.nan, "NaN"),
        (x[:, :7], "expected 8 dimensions per vector, got 7"),
        (x[0], "expected an"),
        (None, "got None"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            vocabulary.quantize(wrong)
    with pytest.raises(InvalidInputError, match="n_assignments: expected"):
        vocabulary.quantize_soft(x, 0)


# ---------------------------------------------------------------- arrays out and in


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_give_the_same_vocabulary_back(tmp_path, dtype):
    x = blobs(1000, dtype=dtype)
    vocabulary = train_vocabulary(x, branching=4, depth=4)
    arrays = {}
    for name, array in vocabulary.to_arrays().items():
        np.save(tmp_path / name, array)
        arrays[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    comp = Vocabulary.from_arrays(vocabulary.parameters(), arrays, "here")
    assert same(vocabulary, comp)
    assert np.array_equal(vocabulary.quantize(x), comp.quantize(x))
    assert (comp.branching, comp.depth, comp.dimension, comp.dtype) == (4, 4, 8, dtype)


@pytest.mark.parametrize(
    "damage",
    [
        lambda p, a: p.pop("depth"),
        lambda p, a: p.update(depth=3),
        lambda p, a: p.update(depth=5),
        lambda p, a: p.update(branching=2),
        lambda p, a: p.update(dimension=9),
        lambda p, a: p.update(dtype="float32"),
        lambda p, a: a.pop("centres"),
        lambda p, a: a.update(centres=a["centres"][:-1]),
        lambda p, a: a.update(n_children=a["n_children"][:-1]),
        lambda p, a: a.update(n_children=np.zeros_like(a["n_children"])),
        lambda p, a: a.update(first_child=a["first_child"][::-1].copy()),
        lambda p, a: a.update(first_child=a["first_child"].astype(np.int64)),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(damage):
    vocabulary = train_vocabulary(blobs(1000), branching=4, depth=4)
    parameters, arrays = vocabulary.parameters(), vocabulary.to_arrays()
    damage(parameters, arrays)
    with pytest.raises(CorruptedError, match="^here: "):
        Vocabulary.from_arrays(parameters, arrays, "here")


def test_a_vocabulary_cannot_be_changed():
    vocabulary = train_vocabulary(blobs(100), branching=3, depth=2)
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.centres[0, 0] = 1
    with pytest.raises(AttributeError):
        vocabulary.depth = 3


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_random_starts_are_uniform_and_different(seed):
    n, k = 7, 3
    one = Cells(*(np.array([value], dtype=np.int64) for value in (0, n, 0, k)))
    x = np.zeros((n, 1), np.uint8)
    drawn = [
        clustering._starts(x, one, cell_seeds(seed, np.array([slot])), "random", 1).tolist() for slot in range(700)
    ]
    assert all(len(set(rows)) == k and rows == sorted(rows) for rows in drawn)
    counts = np.bincount(np.ravel(drawn), minlength=n)
    assert (abs(counts - 300) < 75).all()  # 300 expected, standard deviation 13


def test_real_sift_descends_where_it_was_trained(data_dir):
    cv2 = pytest.importorskip("cv2")
    image = cv2.imread(str(data_dir / "ukbench" / sorted(p.name for p in (data_dir / "ukbench").glob("*.jpg"))[0]), 0)
    _, descriptors = cv2.SIFT_create().detectAndCompute(image, None)
    vocabulary = train_vocabulary(descriptors.astype(np.uint8), branching=5, depth=3)
    words = vocabulary.quantize(descriptors)  # OpenCV's float32
    assert len(np.unique(words)) == vocabulary.n_leaves

"""Training: hierarchical k-means, level by level (Nistér & Stewénius 2006, section 3; NS06 §1.2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from metricsearch.errors import InvalidInputError
from metricsearch.threads import resolve_threads, thread_map
from metricsearch.validation import check_choice, check_integer, check_positive
from metricsearch.vocabulary.checkpoint import Checkpoint
from metricsearch.vocabulary.clustering import PIECE_POINTS, STARTS, Split, split_by_centres, split_cells
from metricsearch.vocabulary.training_data import TrainingData, opened_data
from metricsearch.vocabulary.vocabulary import MAX_DIMENSION, Vocabulary, check_shape

MAX_SEED = 2**63 - 1


def train_vocabulary(
    descriptors: Any,
    *,
    branching: int = 10,
    depth: int = 6,
    cycles: int = 10,
    start: str = "random",
    seed: int = 0,
    n_threads: int | None = None,
    progress: bool = False,
    checkpoint: Path | None = None,
    memory_bytes: int = 2 * 2**30,
) -> Vocabulary:
    """Train a vocabulary tree of at most branching ** depth leaves; depth 1 gives flat words.

    descriptors  : (n, d) uint8 or float32 array, or an h5py dataset, which is read in pieces
    cycles       : Lloyd cycles of each k-means; it ends earlier when nothing changes
    start        : "random" (different random points) or "k-means++" (Arthur & Vassilvitskii 2007)
    checkpoint   : folder that gets each finished level; the same call with the same data goes on from there
    memory_bytes : working copies of the data (two) that are larger go to a temporary file, not into memory

    A node with at most `branching` descriptors, or with equal ones only, is a leaf. The tree is the same, bit for bit,
    for any number of threads, and for an array and a dataset. Raises InvalidInputError for impossible parameters or
    data, also for a checkpoint of other parameters or data; CorruptedError for a damaged checkpoint.
    """
    branching, depth = check_shape(branching, depth)
    parameters = {
        "branching": branching,
        "depth": depth,
        "cycles": check_positive(cycles, "cycles"),
        "start": check_choice(start, "start", STARTS),
        "seed": check_integer(seed, "seed", 0, MAX_SEED),
    }
    n_threads = resolve_threads(n_threads)
    check_positive(memory_bytes, "memory_bytes")
    with opened_data(descriptors, memory_bytes, MAX_DIMENSION) as data:
        saved = Checkpoint.open(checkpoint, parameters, data) if checkpoint is not None else None
        levels = _train_levels(data, parameters, saved, n_threads, progress)
    n_children = np.concatenate([n_children for n_children, _ in levels])
    first_child = np.where(n_children > 0, np.cumsum(n_children) - n_children, -1)
    centres = np.concatenate([centres for _, centres in levels])
    return Vocabulary(branching, depth, centres, first_child.astype(np.int32), n_children.astype(np.uint16))


def _train_levels(
    data: TrainingData, parameters: dict[str, Any], saved: Checkpoint | None, n_threads: int, progress: bool
) -> list[tuple[NDArray[np.int64], NDArray[Any]]]:
    """(n_children of the nodes above, centres) of each level."""
    levels: list[tuple[NDArray[np.int64], NDArray[Any]]] = []
    begin, end = np.array([0]), np.array([data.n])
    slot = 0  # of the first node above
    for level in range(1, parameters["depth"] + 1):
        if not len(begin):
            break  # all nodes are leaves already
        last = level == parameters["depth"]
        x, y = data.points(level), None if last else data.target(level)
        known = saved.load(level, len(begin)) if saved is not None else None
        if known is not None:
            split = split_by_centres(x, y, begin, end, *known, n_threads)
        else:
            with _bar(f"level {level} of {parameters['depth']}", progress) as bar:
                split = _split_level(x, y, begin, end, slot, parameters, n_threads, bar)
        if level == 1 and not split.n_children[0]:
            raise InvalidInputError(
                f"descriptors: expected more than {parameters['branching']} (branching), not all equal, "
                f"got {data.n}; pass more descriptors or lower branching"
            )
        if known is None and saved is not None:
            saved.save(level, split.n_children, split.centres)
        levels.append((split.n_children, split.centres))
        slot += len(begin)
        begin, end = split.begin, split.end
    return levels


def _split_level(
    x: NDArray[Any],
    y: NDArray[Any] | None,
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    slot: int,
    parameters: dict[str, Any],
    n_threads: int,
    bar: Any,
) -> Split:
    """Large cells one after the other, each by all threads; small ones many per thread."""
    seeds = cell_seeds(parameters["seed"], slot + np.arange(len(begin)))
    options = {name: parameters[name] for name in ("branching", "cycles", "start")}
    bar.reset(total=int((end - begin)[end - begin > parameters["branching"]].sum()) * (parameters["cycles"] + 1))

    def split(run: slice) -> Split:
        return split_cells(x, y, begin[run], end[run], seeds[run], n_threads=n_threads, tick=bar.update, **options)

    parts = []
    small: list[slice] = []
    for run in _batches(end - begin):
        if run.stop - run.start == 1 and end[run.start] - begin[run.start] > PIECE_POINTS:
            parts += thread_map(split, small, n_threads)
            parts.append(split(run))
            small = []
        else:
            small.append(run)
    parts += thread_map(split, small, n_threads)
    return Split(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _batches(sizes: NDArray[np.int64]) -> list[slice]:
    """Neighbouring cells of at most PIECE_POINTS points together; a larger cell stands alone."""
    batches = []
    start, total = 0, 0
    for cell, size in enumerate(sizes.tolist()):
        if cell > start and total + size > PIECE_POINTS:
            batches.append(slice(start, cell))
            start, total = cell, 0
        total += size
    if start < len(sizes):
        batches.append(slice(start, len(sizes)))
    return batches


def cell_seeds(seed: int, slots: NDArray[np.int64]) -> NDArray[np.uint64]:
    """hash(seed, node) of the nodes with these slots: two rounds of the mixing of splitmix64."""
    state = np.full(len(slots), seed, dtype=np.uint64)
    for value in (np.uint64(0), slots.astype(np.uint64)):
        state = (state + value) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


@contextmanager
def _bar(description: str, shown: bool) -> Iterator[Any]:
    with tqdm(desc=description, unit=" points", unit_scale=True, disable=None if shown else True) as bar:
        yield bar

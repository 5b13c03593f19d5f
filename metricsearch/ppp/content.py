"""What a PPP-Codes index holds: λ trees over numbered objects, what came and went since they were built, IDs.

Objects are numbered by ordinals. Those in the trees are numbered in order of their IDs, so the consolidated arrays
depend only on the set of (ID, prefixes), not on the order in which objects came.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, DuplicateIdError, InvalidInputError, UnknownIdError
from metricsearch.ppp.aggregation import Records
from metricsearch.ppp.ids import PackedIds
from metricsearch.ppp.tree import PPPTree, build_tree, check_tree, decode_tree
from metricsearch.sketches import SketchQuery
from metricsearch.threads import thread_map
from metricsearch.validation import MAX_ID, check_ids

SAMPLE_SHARE = 16  # one object in so many keeps its uncompressed prefixes, which tell a query how deep to read ...
SAMPLE_SIZES = 64, 2048  # ... but at least and at most so many
LOOSE_OBJECTS = 4096  # inserted or removed objects that are always tolerated before the trees are built anew ...
LOOSE_SHARE = 8  # ... and beyond that one in so many of the objects in the trees
MAX_OBJECTS = 2**31 - 1

P = ParamSpec("P")
R = TypeVar("R")


def sample_size(n: int) -> int:
    """How many of n objects keep their uncompressed prefixes."""
    return min(n, int(np.clip(n // SAMPLE_SHARE, *SAMPLE_SIZES)))


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """What is kept of n objects. prefixes: (n, λ, l) uint16. sketches: (n, B) uint8, B = 0 where there are none."""

    prefixes: NDArray[np.uint16]
    sketches: NDArray[np.uint8]

    @classmethod
    def unsketched(cls, prefixes: NDArray[np.uint16]) -> "Codes":
        """Prefixes alone."""
        return cls(prefixes, np.empty((len(prefixes), 0), dtype=np.uint8))

    @classmethod
    def joined(cls, parts: Sequence["Codes"]) -> "Codes":
        """One behind the other; at least one."""
        return cls(np.concatenate([part.prefixes for part in parts]), np.concatenate([part.sketches for part in parts]))

    def __len__(self) -> int:
        return len(self.prefixes)

    def __getitem__(self, rows: NDArray[np.int64]) -> "Codes":
        return Codes(self.prefixes[rows], self.sketches[rows])


@dataclass(slots=True)
class _Inserted:
    """Objects that are not in the trees yet: a growing table of codes; rows that are in it never change."""

    prefixes: NDArray[np.uint16]  # (λ, capacity, l), so that a query searches one space without copying
    sketches: NDArray[np.uint8]  # (capacity, B)
    ids: NDArray[np.int64]  # (capacity,)
    n: int = 0

    @classmethod
    def empty(cls, n_spaces: int, prefix_length: int, sketch_bytes: int) -> "_Inserted":
        prefixes = np.empty((n_spaces, 0, prefix_length), np.uint16)
        return cls(prefixes, np.empty((0, sketch_bytes), np.uint8), np.empty(0, np.int64))

    def append(self, codes: Codes, ids: NDArray[np.int64]) -> None:
        if self.n + len(ids) > len(self.ids):
            capacity = max(self.n + len(ids), 2 * len(self.ids), 64)
            self.prefixes, self.sketches, self.ids = (
                self._grown(table, capacity, axis)
                for table, axis in ((self.prefixes, 1), (self.sketches, 0), (self.ids, 0))
            )
        end = self.n + len(ids)
        self.prefixes[:, self.n : end] = codes.prefixes.swapaxes(0, 1)
        self.sketches[self.n : end] = codes.sketches
        self.ids[self.n : end] = ids
        self.n = end

    def _grown(self, table: NDArray[Any], capacity: int, axis: int) -> NDArray[Any]:
        shape = (*table.shape[:axis], capacity, *table.shape[axis + 1 :])
        grown = np.empty(shape, dtype=table.dtype)
        used = (slice(None),) * axis + (slice(self.n),)
        grown[used] = table[used]
        return grown

    def in_space(self, space: int) -> NDArray[np.uint16]:
        """(n, l) prefixes in one space, a read-only view."""
        return _readonly(self.prefixes[space, : self.n])


def _readonly(array: NDArray[Any]) -> NDArray[Any]:
    """A view like those of mapped arrays: kernels compile once for both."""
    view = array[...]
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True)
class View:
    """One state of a `Content`, which later changes leave as it is: what a query works on.

    records: of each space. sample: (λ, s, l) uint16. n_ordinals: removed objects included.
    """

    records: list[Records]
    sample: NDArray[np.uint16]
    n_objects: int
    n_ordinals: int
    tree_ids: PackedIds
    inserted_ids: NDArray[np.int64]
    sketches: NDArray[np.uint8]  # (n, B) of the objects in the trees, and of those inserted since
    inserted_sketches: NDArray[np.uint8]

    @property
    def ordinals(self) -> NDArray[np.int64]:
        """(n_objects,) int64 of all objects, ascending."""
        removed = self.records[0].removed
        return np.flatnonzero(~removed) if removed.size else np.arange(self.n_ordinals)

    def estimates(self, query: SketchQuery, ordinals: NDArray[np.int64]) -> NDArray[np.float32]:
        """(m,) float32, what the sketches say of the distances of objects."""
        in_tree = ordinals < len(self.sketches)
        if in_tree.all():
            return query.estimates(self.sketches, ordinals)
        estimates = np.empty(len(ordinals), dtype=np.float32)
        estimates[in_tree] = query.estimates(self.sketches, ordinals[in_tree])
        estimates[~in_tree] = query.estimates(self.inserted_sketches, ordinals[~in_tree] - len(self.sketches))
        return estimates

    def ids_of(self, ordinals: NDArray[np.int64]) -> NDArray[np.int64]:
        """IDs of ordinals."""
        if not len(self.inserted_ids):
            return self.tree_ids.of(ordinals)
        n_tree = self.n_ordinals - len(self.inserted_ids)
        in_tree = ordinals < n_tree
        ids = np.empty(len(ordinals), dtype=np.int64)
        ids[in_tree] = self.tree_ids.of(ordinals[in_tree])
        ids[~in_tree] = self.inserted_ids[ordinals[~in_tree] - n_tree]
        return ids


def check_prefixes(prefixes: Any) -> NDArray[np.integer[Any]]:
    """`prefixes` as (n, λ, l) integers >= 0, no pivot twice in a prefix; raise InvalidInputError otherwise."""
    try:
        table = np.asarray(prefixes)
    except ValueError:
        raise InvalidInputError("prefixes: expected (n, n_spaces, prefix_length), got rows of unequal length") from None
    if table.ndim != 3 or table.dtype.kind not in "iu" or (table.size and table.min() < 0):
        raise InvalidInputError(f"prefixes: expected (n, n_spaces, prefix_length) integers >= 0, got {table.shape}")
    ascending = np.sort(table, axis=2)
    repeated = (ascending[:, :, 1:] == ascending[:, :, :-1]).any(axis=(1, 2))
    if repeated.any():
        raise InvalidInputError(f"prefixes: row {int(np.argmax(repeated))} has a pivot twice in one prefix")
    return table


def _locked(method: Callable[Concatenate["Content", P], R]) -> Callable[Concatenate["Content", P], R]:
    """One change at a time; and no view of half a change."""

    @wraps(method)
    def locked(self: "Content", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked


class Content:
    """Codes and IDs of an index with λ spaces, k pivots, prefix length l and sketches of B bytes."""

    def __init__(self, n_spaces: int, n_pivots: int, prefix_length: int, sketch_bytes: int, n_threads: int) -> None:
        self.n_spaces, self.n_pivots, self.prefix_length = n_spaces, n_pivots, prefix_length
        self.sketch_bytes = sketch_bytes
        self._n_threads = n_threads
        self.lock = threading.RLock()  # changes replace arrays, or append behind what a view sees
        prefixes, sketches = np.empty((0, n_spaces, prefix_length), np.uint16), np.empty((0, sketch_bytes), np.uint8)
        self._set_trees(Codes(prefixes, sketches), np.empty(0, dtype=np.int64))

    def _set_trees(self, codes: Codes, ids: NDArray[np.int64]) -> None:
        order = np.argsort(ids, kind="stable")
        codes, ids = codes[order], ids[order]
        prefixes = codes.prefixes
        columns = [np.ascontiguousarray(prefixes[:, j]) for j in range(self.n_spaces)]
        trees = thread_map(lambda column: build_tree(column, self.n_pivots), columns, self._n_threads)
        n_sample = sample_size(len(ids))
        picked = np.arange(n_sample) * len(ids) // max(n_sample, 1)
        sample = np.stack([column[picked] for column in columns])
        self._adopt(trees, PackedIds.pack(ids), sample, codes.sketches)

    def _adopt(
        self,
        trees: list[PPPTree],
        tree_ids: PackedIds,
        sample: NDArray[np.uint16],
        sketches: NDArray[np.uint8],
    ) -> None:
        self.trees, self.n_tree, self._tree_ids = trees, len(tree_ids), tree_ids
        self.sample, self._sketches = _readonly(sample), _readonly(sketches)
        self._inserted = _Inserted.empty(self.n_spaces, self.prefix_length, self.sketch_bytes)
        self._inserted_ordinals: dict[int, int] = {}
        self._removed = np.empty(0, dtype=np.bool_)
        self._n_removed = 0

    def __len__(self) -> int:
        return self.n_ordinals - self._n_removed

    @property
    def n_ordinals(self) -> int:
        """Ordinals in use, removed objects included."""
        return self.n_tree + self._inserted.n

    @_locked
    def view(self) -> View:
        """The present state, for queries in any thread."""
        inserted = self._inserted
        records = [
            Records(tree, self.n_tree, self.n_pivots, self._removed, inserted.in_space(j))
            for j, tree in enumerate(self.trees)
        ]
        ids, sketches = inserted.ids[: inserted.n], _readonly(inserted.sketches[: inserted.n])
        return View(records, self.sample, len(self), self.n_ordinals, self._tree_ids, ids, self._sketches, sketches)

    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects, ascending."""
        return np.sort(self.view().ids_of(self._alive()))

    def _alive(self) -> NDArray[np.int64]:
        return np.flatnonzero(~self._removed) if self._removed.size else np.arange(self.n_ordinals)

    def ordinals_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ordinals of IDs; -1 where there is no such object."""
        ordinals = self._tree_ids.ordinals(ids)
        if self._removed.size and self.n_tree:
            ordinals[(ordinals >= 0) & self._removed[ordinals]] = -1
        if self._inserted_ordinals:
            inserted = np.fromiter((self._inserted_ordinals.get(int(i), -1) for i in ids), np.int64, len(ids))
            ordinals = np.where(inserted >= 0, inserted, ordinals)
        return ordinals

    def numbers(self, ids: Any, n: int) -> NDArray[np.int64]:
        """IDs for n new objects: those given, or None: following the largest that is or was there.

        Raises InvalidInputError, DuplicateIdError (among those given).
        """
        if ids is not None:
            return check_ids(ids, "ids", n)
        largest = max(self._tree_ids.largest, int(self._inserted.ids[: self._inserted.n].max(initial=-1)))
        if largest + n > MAX_ID:
            raise InvalidInputError(f"ids: none are left to follow the largest one, {largest}; pass the IDs")
        return np.arange(largest + 1, largest + 1 + n)

    @_locked
    def insert(self, codes: Codes, ids: NDArray[np.int64]) -> None:
        """Add objects given by their codes; raises DuplicateIdError if an ID is taken."""
        taken = self.ordinals_of(ids) >= 0
        if taken.any():
            raise DuplicateIdError(f"ids: ID {ids[np.argmax(taken)]} is already in the index; remove it first")
        if self.n_ordinals + len(ids) > MAX_OBJECTS:
            raise InvalidInputError(f"objects: an index holds at most {MAX_OBJECTS} objects; split the collection")
        start = self.n_ordinals
        self._inserted.append(codes, ids)
        self._inserted_ordinals.update(zip(ids.tolist(), range(start, start + len(ids)), strict=True))
        if self._removed.size:
            self._removed = np.concatenate([self._removed, np.zeros(len(ids), dtype=np.bool_)])
        self._consolidate_if_loose(self._inserted.n)

    @_locked
    def remove(self, ids: NDArray[np.int64]) -> None:
        """Take objects out; raises UnknownIdError, and then removes nothing."""
        ordinals = self.ordinals_of(ids)
        if (ordinals < 0).any():
            raise UnknownIdError(f"ids: ID {ids[np.argmax(ordinals < 0)]} is not in the index")
        removed = self._removed.copy() if self._removed.size else np.zeros(self.n_ordinals, dtype=np.bool_)
        removed[ordinals] = True
        self._removed = removed
        self._n_removed += len(ids)
        for number in ids.tolist():
            self._inserted_ordinals.pop(number, None)
        self._consolidate_if_loose(self._n_removed)

    def _consolidate_if_loose(self, n_loose: int) -> None:
        if n_loose > max(LOOSE_OBJECTS, self.n_tree // LOOSE_SHARE):
            self.consolidate()

    @_locked
    def consolidate(self) -> None:
        """Build the trees anew from the objects that are left; without changes since the last time, do nothing."""
        if self._inserted.n or self._n_removed:
            alive = self._alive()
            sketches = np.concatenate([self._sketches, self._inserted.sketches[: self._inserted.n]])
            self._set_trees(Codes(self.all_prefixes(), sketches)[alive], self.view().ids_of(alive))

    def all_prefixes(self) -> NDArray[np.uint16]:
        """Prefixes (n_ordinals, λ, l) of every ordinal."""
        prefixes = np.empty((self.n_ordinals, self.n_spaces, self.prefix_length), dtype=np.uint16)
        for j, tree in enumerate(self.trees):
            prefixes[: self.n_tree, j] = decode_tree(tree, self.n_tree, self.n_pivots, self.prefix_length)
        prefixes[self.n_tree :] = self._inserted.prefixes[:, : self._inserted.n].swapaxes(0, 1)
        return prefixes

    @_locked
    def prefixes_of(self, ids: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Prefixes (n, λ, l) of objects; raises UnknownIdError."""
        ordinals = self.ordinals_of(ids)
        if (ordinals < 0).any():
            raise UnknownIdError(f"ids: ID {ids[np.argmax(ordinals < 0)]} is not in the index")
        return self.all_prefixes()[ordinals]

    def memory_report(self) -> dict[str, int]:
        """Bytes by part, over all spaces."""
        pools = [tree.pools for tree in self.trees]
        return {
            "nodes": sum(array.nbytes for tree in self.trees for array in tree.nodes),
            "suffixes": sum(suffixes.nbytes for suffixes, _, _ in pools),
            "new-suffix flags": sum(starts.nbytes for _, starts, _ in pools),
            "ordinals": sum(ids.nbytes for _, _, ids in pools),
            "ids": self._tree_ids.nbytes,
            "sample": self.sample.nbytes,
            "sketches": self._sketches.nbytes,
            "inserted": self._inserted_bytes(),
            "removed": self._removed.nbytes,
        }

    def _inserted_bytes(self) -> int:
        tables = self._inserted.prefixes.nbytes + self._inserted.sketches.nbytes + self._inserted.ids.nbytes
        numbers = self._inserted_ordinals
        return tables + (sys.getsizeof(numbers) + 2 * sys.getsizeof(MAX_OBJECTS) * len(numbers) if numbers else 0)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, after consolidation."""
        self.consolidate()
        arrays: dict[str, NDArray[Any]] = {**self._tree_ids.arrays(), "sample": self.sample}
        if self.sketch_bytes:
            arrays["sketches"] = self._sketches
        for j, tree in enumerate(self.trees):
            arrays |= {f"space{j}-{name.replace('_', '-')}": array for name, array in tree.arrays().items()}
        return arrays

    @_locked
    def set_arrays(self, arrays: dict[str, NDArray[Any]], n: int, where: str) -> None:
        """Take over what `to_arrays` gave; mapped arrays stay mapped. Raises CorruptedError if they do not fit."""
        names = PPPTree.__slots__
        try:
            trees = [
                PPPTree(**{name: arrays[f"space{j}-{name.replace('_', '-')}"] for name in names})
                for j in range(self.n_spaces)
            ]
            tree_ids, sample = PackedIds.from_arrays(arrays, n, where), arrays["sample"]
            sketches = arrays["sketches"] if self.sketch_bytes else np.empty((n, 0), dtype=np.uint8)
        except KeyError as missing:
            raise CorruptedError(f"{where}: index array {missing} is missing; rebuild the index") from None
        for tree in trees:
            check_tree(tree, n, self.n_pivots, self.prefix_length, where)
        shape = (self.n_spaces, min(n, sample.shape[1]) if sample.ndim == 3 else -1, self.prefix_length)
        sample_fits = sample.dtype == np.uint16 and sample.shape == shape and (sample < self.n_pivots).all()
        sketches_fit = sketches.dtype == np.uint8 and sketches.shape == (n, self.sketch_bytes)
        if not (sample_fits and sketches_fit):
            raise CorruptedError(f"{where}: the index arrays do not fit {n} objects; rebuild the index")
        self._adopt(trees, tree_ids, sample, sketches)

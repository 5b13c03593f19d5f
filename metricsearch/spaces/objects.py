"""The kinds of objects and their gate: what a user hands over becomes a checked batch, or an error with the row."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.spaces.batches import Batch, Ragged, ragged_from_items
from metricsearch.validation import check_vectors

MAX_CODE_POINT = 0x10FFFF


class ObjectKind(ABC):
    """What the objects of a space are, and how they are checked, measured and given back."""

    name: str

    @abstractmethod
    def check(self, objects: Any, name: str, width: int | None = None) -> Batch:
        """Return `objects` as a batch; a batch is checked too, and returned unchanged.

        width : expected width (see `width`), None for any.
        Raises InvalidInputError that says `name`, the first bad row and what was expected.
        """

    @abstractmethod
    def width(self, batch: Batch) -> int | None:
        """Dimensions of vectors, bytes of bit strings, columns of signatures and point sets; None for other kinds."""

    @abstractmethod
    def to_user(self, batch: Batch, i: int) -> Any:
        """Object i as its user knows it: an own ndarray, str or frozenset of int."""

    def __repr__(self) -> str:
        return f"<kind {self.name}>"


class _Dense(ObjectKind):
    """Kinds whose batches are (n, width) arrays."""

    def width(self, batch: Batch) -> int | None:
        return None if isinstance(batch, Ragged) else int(batch.shape[1])

    def to_user(self, batch: Batch, i: int) -> Any:
        return np.array(_dense(batch, self)[i])


class Vectors(_Dense):
    """(n, d) float32, finite."""

    name = "vectors"

    def check(self, objects: Any, name: str, width: int | None = None) -> Batch:
        """See `ObjectKind.check`."""
        if isinstance(objects, list | tuple) and not objects and width is not None:
            return np.empty((0, width), dtype=np.float32)
        if isinstance(objects, Ragged):
            raise InvalidInputError(f"{name}: expected vectors, an (n, d) array; got objects of different lengths")
        return check_vectors(objects, name, width)


class Bits(_Dense):
    """(n, n_bytes) uint8, eight bits a byte; a bool (n, n_bits) array is packed, its last byte filled with zeros."""

    name = "bits"

    def check(self, objects: Any, name: str, width: int | None = None) -> Batch:
        """See `ObjectKind.check`."""
        if isinstance(objects, list | tuple) and not objects and width is not None:
            return np.empty((0, width), dtype=np.uint8)
        if isinstance(objects, Ragged):
            raise InvalidInputError(f"{name}: expected bit strings of one length; got objects of different lengths")
        try:
            array = np.asarray(objects)
        except ValueError:
            raise InvalidInputError(f"{name}: expected bit strings of one length, got different ones") from None
        if array.ndim != 2 or array.shape[1] == 0 or array.dtype not in (np.bool_, np.uint8):
            raise InvalidInputError(
                f"{name}: expected bool (n, n_bits) or packed uint8 (n, n_bytes), "
                f"got shape {array.shape}, dtype {array.dtype}"
            )
        packed = np.packbits(array, axis=1) if array.dtype == np.bool_ else np.ascontiguousarray(array)
        if width is not None and packed.shape[1] != width:
            raise InvalidInputError(f"{name}: expected {width} bytes per bit string, got {packed.shape[1]}")
        return packed


class _RaggedKind(ObjectKind):
    """Kinds whose batches are `Ragged`."""

    columns_allowed = False  # values have two axes
    values_dtype: type[np.generic]

    def check(self, objects: Any, name: str, width: int | None = None) -> Batch:
        """See `ObjectKind.check`."""
        if isinstance(objects, Ragged):
            self._check_layout(objects, name)
            batch = objects
        else:
            batch = self._convert(objects, name, width)
        if width is not None and self.width(batch) != width:
            raise InvalidInputError(f"{name}: expected {width} columns per row, got {self.width(batch)}")
        self._check_values(batch, name)
        return batch

    def width(self, batch: Batch) -> int | None:
        return int(_ragged(batch, self).values.shape[1]) if self.columns_allowed else None

    def _check_layout(self, batch: Ragged, name: str) -> None:
        values, offsets = batch.values, batch.offsets
        if values.dtype != self.values_dtype or values.ndim != 1 + self.columns_allowed:
            raise InvalidInputError(
                f"{name}: expected {self.name} with {1 + self.columns_allowed}-D {np.dtype(self.values_dtype)} values, "
                f"got {values.ndim}-D {values.dtype}"
            )
        sound = offsets.ndim == 1 and offsets.dtype == np.int64 and offsets.size > 0
        if not sound or offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 0).any():
            raise InvalidInputError(f"{name}: offsets must be 1-D int64, ascending from 0 to the {len(values)} values")

    @abstractmethod
    def _convert(self, objects: Any, name: str, width: int | None) -> Ragged:
        """A batch of the raw objects of a user; need not look at what `_check_values` checks."""

    @abstractmethod
    def _check_values(self, batch: Ragged, name: str) -> None:
        """Raise InvalidInputError unless the values of every object are those of this kind."""


class Strings(_RaggedKind):
    """Sequences of Unicode code points, uint32; the empty string is an object."""

    name = "strings"
    values_dtype = np.uint32

    def _convert(self, objects: Any, name: str, width: int | None) -> Ragged:
        strings = _items(objects, name, "strings")
        for row, string in enumerate(strings):
            if not isinstance(string, str):
                raise InvalidInputError(f"{name}: row {row} is {type(string).__name__}, expected str")
        # surrogatepass: file names and the like may hold lone surrogates, and they are code points too
        encoded = "".join(strings).encode("utf-32-le", "surrogatepass")
        values = np.frombuffer(encoded, dtype="<u4").astype(np.uint32, copy=False)
        offsets = np.zeros(len(strings) + 1, dtype=np.int64)
        np.cumsum([len(string) for string in strings], out=offsets[1:])
        return Ragged(values, offsets)

    def _check_values(self, batch: Ragged, name: str) -> None:
        _refuse(batch, batch.values > MAX_CODE_POINT, name, "has a value beyond the last Unicode code point 0x10FFFF")

    def to_user(self, batch: Batch, i: int) -> Any:
        """Object i as str."""
        return _item(batch, i, self).astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


class Sets(_RaggedKind):
    """Sets of non-negative integers: int64, ascending, all different; the empty set is an object."""

    name = "sets"
    values_dtype = np.int64

    def _convert(self, objects: Any, name: str, width: int | None) -> Ragged:
        members = [_set_members(item, row, name) for row, item in enumerate(_items(objects, name, "sets"))]
        return ragged_from_items(members, np.empty(0, dtype=np.int64))

    def _check_values(self, batch: Ragged, name: str) -> None:
        values = batch.values
        _refuse(batch, values < 0, name, "has a negative member; members are whole numbers >= 0")
        unordered = np.zeros(len(values), dtype=bool)
        unordered[1:] = values[1:] <= values[:-1]
        starts = batch.offsets[:-1]
        unordered[starts[starts < len(values)]] = False  # the first member of a set follows nothing
        _refuse(batch, unordered, name, "is not ascending without repeats")

    def to_user(self, batch: Batch, i: int) -> Any:
        """Object i as frozenset of int."""
        return frozenset(_item(batch, i, self).tolist())


class PointSets(_RaggedKind):
    """Non-empty sets of points, (m, c) float32 each, finite."""

    name = "point-sets"
    values_dtype = np.float32
    columns_allowed = True
    min_columns = 1
    shape = "(m, c)"

    def _convert(self, objects: Any, name: str, width: int | None) -> Ragged:
        items = _items(objects, name, self.name)
        if not items and width is None:
            raise InvalidInputError(f"{name}: expected at least one object, since the number of columns is not known")
        columns = width
        arrays = []
        for row, item in enumerate(items):
            array = _matrix(item, f"{name}: row {row}", self.shape)
            columns = array.shape[1] if columns is None else columns
            if array.shape[1] != columns:
                raise InvalidInputError(f"{name}: row {row} has {array.shape[1]} columns, expected {columns}")
            arrays.append(array)
        return ragged_from_items(arrays, np.empty((0, columns or 0), dtype=np.float32))

    def _check_values(self, batch: Ragged, name: str) -> None:
        if batch.values.shape[1] < self.min_columns:
            raise InvalidInputError(
                f"{name}: expected at least {self.min_columns} columns, got {batch.values.shape[1]}"
            )
        empty = np.diff(batch.offsets) == 0
        if empty.any():
            raise InvalidInputError(f"{name}: row {int(np.argmax(empty))} is empty, expected {self.shape} with m >= 1")
        _refuse(batch, ~np.isfinite(batch.values).all(axis=1), name, "has NaN or infinity")

    def to_user(self, batch: Batch, i: int) -> Any:
        """Object i as its own (m, columns) float32 array."""
        return np.array(_item(batch, i, self))


class Signatures(PointSets):
    """Feature signatures: non-empty sets of rows (centre coordinates ..., weight), (m, c + 1) float32, weights > 0."""

    name = "signatures"
    min_columns = 2
    shape = "(m, c + 1)"

    def _check_values(self, batch: Ragged, name: str) -> None:
        super()._check_values(batch, name)
        _refuse(batch, batch.values[:, -1] <= 0, name, "has a weight <= 0; weights, the last column, must be positive")


def _dense(batch: Batch, kind: ObjectKind) -> NDArray[Any]:
    if isinstance(batch, Ragged):
        raise InvalidInputError(f"objects: expected {kind.name}, got objects of different lengths")
    return batch


def _ragged(batch: Batch, kind: ObjectKind) -> Ragged:
    if not isinstance(batch, Ragged):
        raise InvalidInputError(f"objects: expected a batch of {kind.name}, got an array")
    return batch


def _item(batch: Batch, i: int, kind: ObjectKind) -> NDArray[Any]:
    """The values of object i."""
    ragged = _ragged(batch, kind)
    start, stop = ragged.offsets[i], ragged.offsets[i + 1]
    return ragged.values[start:stop]


def _items(objects: Any, name: str, what: str) -> list[Any]:
    """list(objects), unless they are no sequence of objects."""
    if isinstance(objects, str | bytes | dict):
        raise InvalidInputError(f"{name}: expected a sequence of {what}, got one {type(objects).__name__}; pass a list")
    try:
        return list(objects)
    except TypeError:
        raise InvalidInputError(f"{name}: expected a sequence of {what}, got {type(objects).__name__}") from None


def _set_members(item: Any, row: int, name: str) -> NDArray[np.int64]:
    """The different members of one set, ascending."""
    expected = f"{name}: row {row}: expected an iterable of whole numbers >= 0 below 2**63"
    try:
        members = np.asarray(item if isinstance(item, np.ndarray) else list(item))
    except (TypeError, ValueError):
        raise InvalidInputError(f"{expected}, got {item!r:.60}") from None
    if members.size == 0:
        return np.empty(0, dtype=np.int64)
    if members.ndim != 1 or members.dtype.kind not in "iu" or members.max() > np.iinfo(np.int64).max:
        raise InvalidInputError(f"{expected}, got {item!r:.60}")
    return np.unique(members.astype(np.int64))


def _matrix(item: Any, where: str, shape: str) -> NDArray[np.float32]:
    """`item` as 2-D float32."""
    try:
        array = np.asarray(item)
    except ValueError:
        raise InvalidInputError(f"{where}: expected a {shape} array, got rows of different lengths") from None
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise InvalidInputError(f"{where}: expected a {shape} array of numbers, got {array.ndim}-D {array.dtype}")
    with np.errstate(over="ignore"):  # becomes infinity, which is refused later
        return array.astype(np.float32, copy=False)


def _refuse(batch: Ragged, bad: NDArray[np.bool_], name: str, problem: str) -> None:
    """Raise InvalidInputError that names the object of the first bad value."""
    if bad.any():
        row = int(np.searchsorted(batch.offsets, np.argmax(bad), side="right")) - 1
        raise InvalidInputError(f"{name}: row {row} {problem}")


VECTORS = Vectors()
BITS = Bits()
STRINGS = Strings()
SETS = Sets()
SIGNATURES = Signatures()
POINT_SETS = PointSets()
_KINDS: tuple[ObjectKind, ...] = (VECTORS, BITS, STRINGS, SETS, SIGNATURES, POINT_SETS)


def kind_by_name(name: str) -> ObjectKind:
    """The kind called `name`; raise UnknownNameError that lists the kinds."""
    for kind in _KINDS:
        if kind.name == name:
            return kind
    known = ", ".join(kind.name for kind in _KINDS)
    raise UnknownNameError(f"kind of objects: there is no {name!r}; known: {known}")

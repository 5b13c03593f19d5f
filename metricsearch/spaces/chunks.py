"""Objects in any form as a stream of checked batches, so that the data never has to fit in memory."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from metricsearch.errors import InvalidInputError
from metricsearch.spaces.batches import Batch, Ragged, concatenate
from metricsearch.spaces.metric import Metric
from metricsearch.validation import check_positive

CHUNK_BYTES = 64 * 2**20
CHUNK_OBJECTS = 4096


def iterate_chunks(
    objects: Any, metric: Metric, width: int | None = None, also: Callable[[Batch, str], None] | None = None
) -> Iterator[Batch]:
    """Checked batches of `objects`, in order.

    objects: a sequence (array, h5py dataset, list of strings, sets or signatures), something with `chunks(size)`, or
    an iterator of such pieces. width: dimension that all must have; None = that of the first piece.
    also: a further check of each batch, given the name that errors shall use.
    Raises InvalidInputError naming the row (counted over the whole stream).
    """
    row = 0
    for piece in _pieces(objects):
        try:
            batch = metric.check(piece, "objects", width)
            if also is not None:
                also(batch, "objects")
        except InvalidInputError as error:
            # The gate counts rows from the start of its piece, the user from the start of the stream.
            raise type(error)(_shift_row(str(error), row)) from None
        if len(batch):
            width = metric.kind.width(batch) if width is None else width
            yield batch
            row += len(batch)


def _shift_row(text: str, by: int) -> str:
    shifted, n_rows = re.subn(r"\brow (\d+)", lambda match: f"row {int(match[1]) + by}", text)
    return shifted if n_rows or not by else f"{text} (in the chunk that begins with row {by})"


def _pieces(objects: Any) -> Iterator[Any]:
    if callable(getattr(objects, "chunks", None)):
        yield from objects.chunks(CHUNK_OBJECTS)
    elif isinstance(objects, Ragged | np.ndarray) or hasattr(objects, "__getitem__"):
        if isinstance(objects, str | bytes | dict):
            raise InvalidInputError(f"objects: expected a sequence of objects, got {type(objects).__name__}")
        shape: tuple[int, ...] = getattr(objects, "shape", (len(objects),))
        if not shape or not shape[0]:
            yield objects
            return
        row_bytes = 4 * shape[1] if len(shape) > 1 else 1
        size = max(1, min(CHUNK_OBJECTS, CHUNK_BYTES // max(row_bytes, 1)))
        for start in range(0, shape[0], size):
            yield objects[start : start + size]
    elif isinstance(objects, Iterable):
        yield from objects
    else:
        raise InvalidInputError(f"objects: expected a sequence or an iterator of chunks, got {type(objects).__name__}")


def split_off(chunks: Iterator[Batch], n: int) -> list[Batch]:
    """Leading batches with at least n objects, or all there are."""
    head: list[Batch] = []
    n_head = 0
    for batch in chunks:
        head.append(batch)
        n_head += len(batch)
        if n_head >= n:
            break
    return head


def sample_objects(objects: Any, metric: Metric, n: int, rng: np.random.Generator) -> Batch:
    """A random sample of n objects (all, if there are fewer) of something that can be read twice; reads it once."""
    sized = hasattr(objects, "__len__")
    total = len(objects) if sized else sum(len(batch) for batch in iterate_chunks(objects, metric))
    rows = np.sort(rng.choice(total, size=min(check_positive(n, "n"), total), replace=False))
    if callable(getattr(objects, "take", None)) and not isinstance(objects, np.ndarray):
        return metric.check(objects.take(rows), "objects")
    picked, start = [], 0
    for batch in iterate_chunks(objects, metric):
        inside = rows[(rows >= start) & (rows < start + len(batch))] - start
        if len(inside):
            picked.append(batch[inside])
        start += len(batch)
    return concatenate(picked) if picked else metric.check(objects, "objects")


def readable_twice(objects: Any) -> bool:
    """Whether iterating again starts again: true for sequences and containers, false for generators."""
    return hasattr(objects, "__getitem__") or callable(getattr(objects, "chunks", None))

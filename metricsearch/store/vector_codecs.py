"""Codecs of vectors: float32 (n, d) batches.

Bytes per 4096-D CNN descriptor with 30 % non-zeros (mean): raw-f32 16384, sparse-f32 5470, pcodec about 4500 (slower to
read), f16 8192 and u8 4104 (both lossy).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError, MissingExtraError
from metricsearch.spaces import VECTORS, Batch, Metric
from metricsearch.store import _kernels as kernels
from metricsearch.store.codec import (
    Bytes,
    Codec,
    DamagedRecordError,
    Integers,
    as_bytes,
    check_lengths,
    gather,
    read_only,
)
from metricsearch.validation import check_integer

F16_MAX = 65504.0  # largest finite float16

# The sparse sum has an error of about 1e-15 ||q||^2: below this share of it, it would break the promised 1e-12.
_EXACT_BELOW = 1 / 64

Records = tuple[Bytes, Integers, Integers, Integers]  # memory, ids, offsets, lengths: what the kernels are given


class _VectorCodec(Codec):
    """Runs the Euclidean kernel of a codec."""

    kind = VECTORS

    def distances(
        self, metric: Metric, query: Batch, memory: Bytes, ids: Integers, offsets: Integers, lengths: Integers
    ) -> NDArray[np.float64] | None:
        if metric.name != "euclidean" or metric.kind is not VECTORS:
            return None
        out = np.empty(len(ids))
        row = self._euclidean(_rows(query)[0].astype(np.float64), (read_only(memory), ids, offsets, lengths), out)
        if row is None:
            return None
        if row >= 0:
            raise DamagedRecordError(row, f"its header or payload is not that of a {self.name} record")
        return out

    def _euclidean(self, query: NDArray[np.float64], records: Records, out: NDArray[np.float64]) -> int | None:
        return None


class _RawF32(_VectorCodec):
    """Every component as float32."""

    name, tag = "raw-f32", 1

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        rows = _rows(batch)
        return as_bytes(rows), np.full(len(rows), 4 * rows.shape[1])

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        d = _known(width)
        check_lengths(lengths, lengths == 4 * d, f"{4 * d} bytes")
        return gather(memory, offsets, lengths).view(np.float32).reshape(-1, d)

    def _euclidean(self, query: NDArray[np.float64], records: Records, out: NDArray[np.float64]) -> int | None:
        return int(kernels.euclidean_raw(query, *records, self.tag, out))


class _SparseF32(_VectorCodec):
    """A bitmap of the components that are not zero, in 64-bit words, then those components as float32.

    Lossless: a component counts as zero only if all its bits are 0, so -0.0 is kept. ceil(d / 64) * 8 + 4 * (number of
    non-zeros) bytes; PPP-Codes store DeCAF descriptors this way ("compression to 1/3", SIGIR 2015 demo).
    """

    name, tag = "sparse-f32", 2

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        rows = _rows(batch)
        n, d = rows.shape
        n_words = 2 * ((d + 63) // 64)
        out = np.empty(n * (n_words + d) + 1, dtype=np.uint32)
        lengths = np.empty(n, dtype=np.int64)
        used = kernels.encode_sparse(rows.view(np.uint32), n_words, out, lengths)
        return as_bytes(out[:used]), lengths

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        out = np.zeros((len(offsets), _known(width)), dtype=np.float32)
        row = int(kernels.decode_sparse(read_only(memory), offsets, lengths, out))
        if row >= 0:
            raise DamagedRecordError(row, "its bitmap does not fit its length")
        return out

    def _euclidean(self, query: NDArray[np.float64], records: Records, out: NDArray[np.float64]) -> int | None:
        return int(kernels.euclidean_sparse(query, *records, self.tag, _EXACT_BELOW, out))


class _Pcodec(_VectorCodec):
    """Numerical compression by the pcodec library (optional): the smallest lossless form, slower to read."""

    name, tag = "pcodec", 3

    def __init__(self, level: int = 8) -> None:
        self.level = check_integer(level, "level", 0, 12)
        try:
            from pcodec import ChunkConfig, standalone
        except ImportError:
            raise MissingExtraError("codec pcodec needs a package: pip install 'metricsearch[codecs]'") from None
        self._standalone, self._config = standalone, ChunkConfig(compression_level=self.level)

    def parameters(self) -> dict[str, Any]:
        return {"level": self.level}

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        parts = [self._standalone.simple_compress(row, self._config) for row in _rows(batch)]
        return np.frombuffer(b"".join(parts), dtype=np.uint8), np.array([len(part) for part in parts], dtype=np.int64)

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        out = np.empty((len(offsets), _known(width)), dtype=np.float32)
        for row, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
            try:
                progress = self._standalone.simple_decompress_into(memory[offset : offset + length].tobytes(), out[row])
                complete = progress.finished and progress.n_processed == out.shape[1]
            except (RuntimeError, TypeError, ValueError):
                complete = False
            if not complete:
                raise DamagedRecordError(row, f"its payload does not decompress to {out.shape[1]} numbers")
        return out


class _F16(_VectorCodec):
    """Every component rounded to float16. Lossy: relative error up to 2^-11, absolute below 6e-5 up to 3e-8."""

    name, tag = "f16", 4
    lossless = False

    def __init__(self) -> None:
        self._float_of = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)

    def check(self, batch: Batch, name: str = "objects") -> None:
        bad = (np.abs(_rows(batch)) > F16_MAX).any(axis=1)
        if bad.any():
            raise InvalidInputError(
                f"{name}: row {int(np.argmax(bad))} has a component beyond {F16_MAX:.0f}, the largest of codec "
                f"f16 ({int(bad.sum())} such rows); use raw-f32"
            )

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        rows = _rows(batch).astype(np.float16)
        return as_bytes(rows), np.full(len(rows), 2 * rows.shape[1])

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        d = _known(width)
        check_lengths(lengths, lengths == 2 * d, f"{2 * d} bytes")
        return gather(memory, offsets, lengths).view(np.float16).reshape(-1, d).astype(np.float32)

    def _euclidean(self, query: NDArray[np.float64], records: Records, out: NDArray[np.float64]) -> int | None:
        return int(kernels.euclidean_f16(query, *records, self.tag, self._float_of, out))


class _U8(_VectorCodec):
    """256 equal steps between the smallest and the largest component of each vector. Lossy: error up to half a step.

    Payload: scale and minimum as float32, then a byte per component; a component is minimum + scale * byte.
    """

    name, tag = "u8", 5
    lossless = False

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        rows = _rows(batch).astype(np.float64)
        n, d = rows.shape
        minimum = rows.min(axis=1, initial=np.inf)
        scale = ((rows.max(axis=1, initial=-np.inf) - minimum) / 255).astype(np.float32)
        # A scale that was rounded up could carry the largest component beyond float32.
        over = minimum + 255 * scale.astype(np.float64) > np.finfo(np.float32).max
        scale[over] = np.nextafter(scale[over], np.float32(0))
        step = np.where(scale > 0, scale, np.float32(1)).astype(np.float64)
        payload = np.empty((n, 8 + d), dtype=np.uint8)
        payload[:, :8] = np.stack([scale, minimum.astype(np.float32)], axis=1).view(np.uint8)
        payload[:, 8:] = np.clip(np.rint((rows - minimum[:, None]) / step[:, None]), 0, 255)
        return as_bytes(payload), np.full(n, 8 + d)

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        d = _known(width)
        check_lengths(lengths, lengths == 8 + d, f"{8 + d} bytes")
        payload = gather(memory, offsets, lengths).reshape(-1, 8 + d)
        scale, minimum = np.ascontiguousarray(payload[:, :8]).view(np.float32).astype(np.float64).T
        rows: NDArray[np.float64] = minimum[:, None] + scale[:, None] * payload[:, 8:]
        return rows.astype(np.float32)

    def _euclidean(self, query: NDArray[np.float64], records: Records, out: NDArray[np.float64]) -> int | None:
        return int(kernels.euclidean_u8(query, *records, self.tag, out))


def _rows(batch: Batch) -> NDArray[np.float32]:
    if not isinstance(batch, np.ndarray) or batch.ndim != 2 or batch.dtype != np.float32:
        raise InvalidInputError("objects: expected checked vectors, an (n, d) float32 array")
    return np.ascontiguousarray(batch)


def _known(width: int | None) -> int:
    if width is None:
        raise InvalidInputError("width: a store of vectors has a number of dimensions, got None")
    return width


VECTOR_CODECS: tuple[type[Codec], ...] = (_RawF32, _SparseF32, _Pcodec, _F16, _U8)

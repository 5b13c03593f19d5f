"""Loops over records of the object store.

`memory` is always a read-only (size,) uint8 view of the LMDB file from its first byte, size a multiple of 8. Payloads
begin at multiples of 8, each right after its record header of 16 bytes:

    crc32 uint32 | codec tag uint8 + payload length uint24 | ID int64

Kernels that read records return the first row whose header or payload does not fit, or -1.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from metricsearch.accelerate import fast_kernel, kernel

_madvise: Any = types.ExternalFunction("madvise", types.int32(types.uintp, types.uintp, types.int32))


def _generate_lowest_bit(typing_context, word):
    """Position of the lowest 1 of a uint64 that is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


def _generate_count_bits(typing_context, word):
    """Number of 1s of a uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


_lowest_bit: Any = intrinsic(_generate_lowest_bit)
_count_bits: Any = intrinsic(_generate_count_bits)


@kernel
def place_records(payload, lengths, ids, tag, starts, block):
    """Write records without their checksums; `block` is zero where nothing is written.

    payload : (total,) uint8, payloads end to end;  lengths : (n,) int64;  ids : (n,) int64
    starts  : (n,) int64, where each record begins in block, multiples of 8
    block   : (size,) uint8, output
    """
    words = block.view(np.uint64)
    source = 0
    for i in range(ids.size):
        start = starts[i]
        words[start >> 3] = np.uint64(np.uint64(lengths[i]) << np.uint64(40)) | np.uint64(tag << 32)
        words[(start >> 3) + 1] = np.uint64(ids[i])
        block[start + 16 : start + 16 + lengths[i]] = payload[source : source + lengths[i]]
        source += lengths[i]


@kernel
def scan_records(memory, begin, end, tag, ids, offsets, lengths):
    """Walk the records in memory[begin:end]; return how many there are, or -1 where they do not end at `end`.

    ids, offsets (of payloads in memory), lengths : (capacity,) int64, outputs; -1 too when capacity is too small
    """
    words = memory.view(np.uint64)
    n = 0
    at = begin
    while at < end:
        if end - at < 16 or n == ids.size:
            return -1
        head = words[at >> 3] >> np.uint64(32)
        length = np.int64(head >> np.uint64(8))
        if np.int64(head & np.uint64(255)) != tag or length > end - at - 16:
            return -1
        ids[n] = np.int64(words[(at >> 3) + 1])
        offsets[n] = at + 16
        lengths[n] = length
        n += 1
        at += 16 + ((length + 7) >> 3 << 3)
    return n if at == end else -1


@kernel
def check_headers(memory, ids, offsets, lengths, tag):
    """First row whose record header does not say this ID, codec and length; -1 for none."""
    words = memory.view(np.uint64)
    for i in range(ids.size):
        at = (offsets[i] >> 3) - 2
        head = np.int64(words[at] >> np.uint64(32))
        if head != (lengths[i] << 8 | tag) or np.int64(words[at + 1]) != ids[i]:
            return i
    return -1


@kernel
def gather_bytes(memory, offsets, lengths, out):
    """Copy memory[offsets[i] : offsets[i] + lengths[i]] to `out` (sum(lengths),) uint8, end to end."""
    to = 0
    for i in range(offsets.size):
        out[to : to + lengths[i]] = memory[offsets[i] : offsets[i] + lengths[i]]
        to += lengths[i]


@kernel
def prefetch_pages(memory, offsets, lengths, page_bytes):
    """Make the pages of records (header and payload) resident, with all their reads under way at the same time.

    madvise(MADV_WILLNEED = 3) starts a read and does not wait; touching a byte per page afterwards waits. Returns the
    sum of touched bytes, so that the touching is not optimised away.
    """
    base = np.uint64(memory.ctypes.data)
    to_page = ~np.uint64(page_bytes - 1)
    for i in range(offsets.size):
        first = (base + np.uint64(offsets[i] - 16)) & to_page
        _madvise(first, base + np.uint64(offsets[i] + lengths[i]) - first, np.int32(3))
    total = np.uint64(0)
    for i in range(offsets.size):
        at = offsets[i] - 16
        end = offsets[i] + lengths[i]
        while at < end:
            total += np.uint64(memory[at])
            at += page_bytes
        total += np.uint64(memory[end - 1])
    return total


@kernel
def encode_sparse(bits, n_words, out, lengths):
    """Bitmap of components whose bits are not all 0 (so -0.0 is kept), then those components.

    bits : (n, d) uint32, the float32 components;  n_words : 32-bit words of a bitmap, even, >= d / 32
    out : (n * (n_words + d) + 1,) uint32, output;  lengths : (n,) int64, output in bytes
    Returns the number of words written. Every component is written, and overwritten when it was zero: no branch.
    """
    at = 0
    for i in range(bits.shape[0]):
        to = at + n_words
        for w in range(n_words):
            word = np.uint32(0)
            for j in range(32 * w, min(32 * w + 32, bits.shape[1])):
                set_bit = np.uint32(bits[i, j] != 0)
                word |= np.uint32(set_bit << np.uint32(j & 31))
                out[to] = bits[i, j]
                to += np.int64(set_bit)
            out[at + w] = word
        lengths[i] = 4 * (to - at)
        at = to
    return at


@kernel
def _is_sparse(words, offset, length, d):
    """Whether the bitmap at `offset` has as many 1s as values follow, all below d: nothing outside will be read."""
    first = offset >> 3
    n_words = (d + 63) >> 6
    if length < 8 * n_words:
        return False
    count = 0
    for w in range(n_words):
        count += _count_bits(words[first + w])
    if d & 63 and words[first + n_words - 1] >> np.uint64(d & 63) != 0:
        return False
    return length == 8 * n_words + 4 * count


@kernel
def decode_sparse(memory, offsets, lengths, out):
    """Expand payloads of `encode_sparse` into `out` (n, d) float32, zero before."""
    words = memory.view(np.uint64)
    values = memory.view(np.float32)
    n_words = (out.shape[1] + 63) >> 6
    for i in range(offsets.size):
        if not _is_sparse(words, offsets[i], lengths[i], out.shape[1]):
            return i
        at = (offsets[i] >> 2) + 2 * n_words
        for w in range(n_words):
            word = words[(offsets[i] >> 3) + w]
            while word != 0:
                out[i, 64 * w + _lowest_bit(word)] = values[at]
                at += 1
                word &= word - np.uint64(1)
    return -1


@fast_kernel
def _sq_distance_sparse(query, words, values, offset):
    """sum (q - v)^2 without cancellation: over the non-zeros of the object, then q^2 over its zeros."""
    d = query.size
    n_words = (d + 63) >> 6
    at = (offset >> 2) + 2 * n_words
    total = 0.0
    for w in range(n_words):
        word = words[(offset >> 3) + w]
        rest = ~word
        while word != 0:
            difference = query[64 * w + _lowest_bit(word)] - np.float64(values[at])
            total += difference * difference
            at += 1
            word &= word - np.uint64(1)
        while rest != 0:
            j = 64 * w + _lowest_bit(rest)
            if j < d:
                total += query[j] * query[j]
            rest &= rest - np.uint64(1)
    return total


@fast_kernel
def euclidean_sparse(query, memory, ids, offsets, lengths, tag, exact_below, out):
    """Euclidean distances of a dense query to sparse records: ||q||^2 + sum over non-zeros of v (v - 2 q).

    query : (d,) float64;  out : (n,) float64
    exact_below : where the sum is below this share of ||q||^2, much of it has cancelled, and it is computed again term
                  by term, so that equal vectors are at distance 0
    """
    words = memory.view(np.uint64)
    values = memory.view(np.float32)
    n_words = (query.size + 63) >> 6
    query_sq = 0.0
    for j in range(query.size):
        query_sq += query[j] * query[j]
    for i in range(offsets.size):
        first = offsets[i] >> 3
        head = np.int64(words[first - 2] >> np.uint64(32))
        if head != (lengths[i] << 8 | tag) or np.int64(words[first - 1]) != ids[i]:
            return i
        if not _is_sparse(words, offsets[i], lengths[i], query.size):
            return i
        bitmap = words[first : first + n_words]
        stored = values[2 * (first + n_words) : (offsets[i] + lengths[i]) >> 2]
        at = 0
        total = 0.0
        for w in range(n_words):
            word = bitmap[w]
            while word != 0:
                value = np.float64(stored[at])
                total += value * (value - 2.0 * query[64 * w + _lowest_bit(word)])
                at += 1
                word &= word - np.uint64(1)
        total += query_sq
        if total < exact_below * query_sq:
            total = _sq_distance_sparse(query, words, values, offsets[i])
        out[i] = np.sqrt(total)
    return -1


@fast_kernel
def euclidean_raw(query, memory, ids, offsets, lengths, tag, out):
    """Euclidean distances of `query` (d,) float64 to records of d float32; out (n,) float64."""
    words = memory.view(np.uint64)
    values = memory.view(np.float32)
    for i in range(offsets.size):
        first = offsets[i] >> 3
        head = np.int64(words[first - 2] >> np.uint64(32))
        if head != (lengths[i] << 8 | tag) or np.int64(words[first - 1]) != ids[i] or lengths[i] != 4 * query.size:
            return i
        row = values[offsets[i] >> 2 : (offsets[i] >> 2) + query.size]
        total = 0.0
        for j in range(query.size):
            difference = query[j] - np.float64(row[j])
            total += difference * difference
        out[i] = np.sqrt(total)
    return -1


@fast_kernel
def euclidean_f16(query, memory, ids, offsets, lengths, tag, float_of, out):
    """Euclidean distances of `query` (d,) float64 to records of d float16; out (n,) float64.

    float_of : (65536,) float32, the value of every bit pattern
    """
    words = memory.view(np.uint64)
    halves = memory.view(np.uint16)
    for i in range(offsets.size):
        first = offsets[i] >> 3
        head = np.int64(words[first - 2] >> np.uint64(32))
        if head != (lengths[i] << 8 | tag) or np.int64(words[first - 1]) != ids[i] or lengths[i] != 2 * query.size:
            return i
        row = halves[offsets[i] >> 1 : (offsets[i] >> 1) + query.size]
        total = 0.0
        for j in range(query.size):
            difference = query[j] - np.float64(float_of[row[j]])
            total += difference * difference
        out[i] = np.sqrt(total)
    return -1


@fast_kernel
def euclidean_u8(query, memory, ids, offsets, lengths, tag, out):
    """Euclidean distances of `query` (d,) float64 to records of float32 scale, float32 minimum, d codes uint8.

    A component is float32(minimum + scale * code), the rounding that decoding does too.
    """
    words = memory.view(np.uint64)
    values = memory.view(np.float32)
    for i in range(offsets.size):
        first = offsets[i] >> 3
        head = np.int64(words[first - 2] >> np.uint64(32))
        if head != (lengths[i] << 8 | tag) or np.int64(words[first - 1]) != ids[i] or lengths[i] != 8 + query.size:
            return i
        scale = np.float64(values[offsets[i] >> 2])
        minimum = np.float64(values[(offsets[i] >> 2) + 1])
        row = memory[offsets[i] + 8 : offsets[i] + 8 + query.size]
        total = 0.0
        for j in range(query.size):
            difference = query[j] - np.float64(np.float32(minimum + scale * np.float64(row[j])))
            total += difference * difference
        out[i] = np.sqrt(total)
    return -1

"""Jitted loops of the permutation baselines: distances of permutations, posting lists in Rice code.

Bits are packed little-endian into uint64 words, with one spare word at the end so that a read may cross into it.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from metricsearch.accelerate import kernel


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
def footrules(query, positions, out):
    """out[i] = sum over pivots of |position in row i - position in the query|.

    query : (k,) uint8 or uint16     positions : (n, k), of the same type     out : (n,) int64
    """
    for i in range(positions.shape[0]):
        total = np.uint32(0)  # at most k * k / 2
        for j in range(positions.shape[1]):
            total = np.uint32(total + np.uint32(abs(np.int32(positions[i, j]) - np.int32(query[j]))))
        out[i] = total


@kernel
def rhos(query, positions, out):
    """out[i] = sum over pivots of (position in row i - position in the query) ** 2. Arguments as for footrules."""
    for i in range(positions.shape[0]):
        total = np.int64(0)
        for j in range(positions.shape[1]):
            difference = np.int64(positions[i, j]) - np.int64(query[j])
            total += difference * difference
        out[i] = total


@kernel
def bit_differences(query, rows, out):
    """out[i] = bits in which row i differs from the query.

    query : (m,) uint64     rows : (n, m) uint64     out : (n,) int64
    """
    for i in range(rows.shape[0]):
        total = 0
        for j in range(rows.shape[1]):
            total += _count_bits(rows[i, j] ^ query[j])
        out[i] = total


@kernel
def _read_word(words, bit):
    """64 bits of `words` from position `bit`."""
    word = bit >> 6
    shift = np.uint64(bit & 63)
    # Two shifts, because a shift by 64 is undefined.
    return (words[word] >> shift) | ((words[word + 1] << np.uint64(1)) << (np.uint64(63) - shift))


@kernel
def _write_bits(words, bit, value, width):
    """Put `value` < 2 ** width at position `bit` of zeroed `words`; 0 <= width < 64."""
    word = bit >> 6
    shift = bit & 63
    words[word] |= np.uint64(value) << np.uint64(shift)
    if shift + width > 64:
        words[word + 1] |= np.uint64(value) >> np.uint64(64 - shift)


@kernel
def measure_lists(members, counts, last):
    """Length and last ordinal of every list.

    members : (n, m) unsigned, the lists that each ordinal is in     counts, last : (n_lists,) int64, written
    """
    counts[:] = 0
    last[:] = -1
    for i in range(members.shape[0]):
        for j in range(members.shape[1]):
            counts[members[i, j]] += 1
            last[members[i, j]] = i


@kernel
def measure_codes(members, widths, last, n_bits):
    """Bits of every list in Rice code.

    widths : (n_lists,) uint8, bits of the remainders     last : (n_lists,) int64, scratch
    n_bits : (n_lists,) int64, written
    """
    last[:] = -1
    n_bits[:] = 0
    for i in range(members.shape[0]):
        for j in range(members.shape[1]):
            number = members[i, j]
            n_bits[number] += ((i - last[number] - 1) >> np.int64(widths[number])) + 1 + widths[number]
            last[number] = i


@kernel
def write_codes(members, widths, last, ends, words):
    """Append every ordinal's gap to its lists: quotient zeros, a one, the remainder.

    ends : (n_lists,) int64, where each list begins in the zeroed words; written: where it ends     last : scratch
    """
    last[:] = -1
    for i in range(members.shape[0]):
        for j in range(members.shape[1]):
            number = members[i, j]
            width = np.int64(widths[number])
            gap = i - last[number] - 1
            bit = ends[number] + (gap >> width)
            _write_bits(words, bit, 1, 1)
            _write_bits(words, bit + 1, gap & ((1 << width) - 1), width)
            ends[number] = bit + 1 + width
            last[number] = i


@kernel
def add_postings(words, starts, widths, numbers, amounts, first, unseen, sums):
    """Add an amount to the sum of every ordinal in every one of some lists; returns the number of postings.

    starts  : (n_lists + 1,) int64, where the lists begin in the words     widths : (n_lists,) uint8
    numbers : (m,) int64, lists to read     amounts : (m,) int64, one per list; no sum gets below 0
    first   : int, what is added to an ordinal's sum when it is met first
    unseen  : int, the sum of those not yet met     sums : (n,) uint32, written
    """
    n_read = 0
    for which in range(numbers.size):
        number = numbers[which]
        amount = amounts[which]
        width = np.int64(widths[number])
        mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
        bit = starts[number]
        stop = starts[number + 1]
        ordinal = np.int64(-1)
        while bit < stop:
            word = _read_word(words, bit)
            while word == 0:
                ordinal += np.int64(64) << width
                bit += 64
                word = _read_word(words, bit)
            quotient = _lowest_bit(word)
            bit += quotient + 1
            # Two shifts, because a shift by 64 is undefined.
            rest = (word >> np.uint64(quotient)) >> np.uint64(1)
            if quotient + 1 + width > 64:
                rest = _read_word(words, bit)
            bit += width
            ordinal += (quotient << width) + np.int64(rest & mask) + 1
            sums[ordinal] = (first if sums[ordinal] == unseen else np.int64(sums[ordinal])) + amount
            n_read += 1
    return n_read

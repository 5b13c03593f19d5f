"""Jitted distance loops. All sums are float64. Objects come as `kernel_view` arrays; `out` (n,) float64 is filled.

Ragged objects come as (values, offsets), see `Ragged`.
"""

import math

import numpy as np

from metricsearch.accelerate import fast_kernel, kernel


@fast_kernel
def sq_l2(x, y):
    """sum (x - y)^2 of two (d,) vectors. A function of its own, so that its bits depend on x and y alone."""
    total = 0.0
    for j in range(x.size):
        difference = np.float64(x[j]) - np.float64(y[j])
        total += difference * difference
    return total


@fast_kernel
def sq_norm(x):
    """sum x^2 of a (d,) vector."""
    total = 0.0
    for j in range(x.size):
        value = np.float64(x[j])
        total += value * value
    return total


@kernel
def sq_norms(x, out):
    """Squared lengths of the rows of (n, d)."""
    for i in range(x.shape[0]):
        out[i] = sq_norm(x[i])


@kernel
def euclidean(query, objects, out):
    """sqrt(sum (q - x)^2); query (d,), objects (n, d)."""
    for i in range(objects.shape[0]):
        out[i] = math.sqrt(sq_l2(query, objects[i]))


@fast_kernel
def l1(x, y):
    """sum |x - y| of two (d,) vectors."""
    total = 0.0
    for j in range(x.size):
        total += abs(np.float64(x[j]) - np.float64(y[j]))
    return total


@kernel
def manhattan(query, objects, out):
    """sum |q - x|; query (d,), objects (n, d)."""
    for i in range(objects.shape[0]):
        out[i] = l1(query, objects[i])


@kernel
def chebyshev(query, objects, out):
    """max |q - x|; query (d,), objects (n, d)."""
    for i in range(objects.shape[0]):
        largest = 0.0
        for j in range(query.size):
            largest = max(largest, abs(np.float64(query[j]) - np.float64(objects[i, j])))
        out[i] = largest


@kernel
def to_unit(x, unit):
    """x / |x| of a (d,) vector other than 0, into unit (d,) float64. Strict, so that equal vectors give equal bits."""
    inverse = 1.0 / math.sqrt(sq_norm(x))
    for j in range(x.size):
        unit[j] = np.float64(x[j]) * inverse


@kernel
def unit_rows(x, units):
    """Rows of x (n, d) over their lengths, into units (n, d)."""
    for i in range(x.shape[0]):
        to_unit(x[i], units[i])


@fast_kernel
def sq_sum(x, y):
    """sum (x + y)^2 of two (d,) vectors."""
    total = 0.0
    for j in range(x.size):
        value = x[j] + y[j]
        total += value * value
    return total


@kernel
def angular(query, objects, units, out):
    """2 atan2(|u - v|, |u + v|) of unit vectors (W. Kahan): accurate at 0 and at pi, where arccos and arcsin are not.

    query (d,), objects (n, d), units (2, d) float64 is scratch.
    """
    to_unit(query, units[0])
    for i in range(objects.shape[0]):
        to_unit(objects[i], units[1])
        out[i] = 2.0 * math.atan2(math.sqrt(sq_l2(units[0], units[1])), math.sqrt(sq_sum(units[0], units[1])))


@kernel
def to_distribution(x, p):
    """x / sum x of a (d,) vector >= 0, into p (d,) float64."""
    total = 0.0
    for j in range(x.size):
        total += np.float64(x[j])
    for j in range(x.size):
        p[j] = np.float64(x[j]) / total


@kernel
def jensen_shannon(query, objects, distributions, out):
    """sqrt of the Jensen-Shannon divergence (1/2) sum p ln(p / m) + q ln(q / m), m = (p + q) / 2.

    With t = (p - q) / (p + q) a term is m ((1 + t) ln(1 + t) + (1 - t) ln(1 - t)) = m (2 t atanh(t) + ln(1 - t^2)),
    which for small t loses no digits, so that near equal rows keep the triangle inequality. No term is negative.
    query (d,), objects (n, d), distributions (2, d) float64 is scratch.
    """
    to_distribution(query, distributions[0])
    for i in range(objects.shape[0]):
        to_distribution(objects[i], distributions[1])
        total = 0.0
        for j in range(query.size):
            p, q = distributions[0, j], distributions[1, j]
            if p == q:
                continue
            middle = 0.5 * (p + q)
            t = 0.5 * (p - q) / middle
            if abs(t) < 0.5:
                total += middle * (2.0 * t * math.atanh(t) + math.log1p(-t * t))
                continue
            of_p = p * math.log(p / middle) if p > 0.0 else 0.0
            of_q = q * math.log(q / middle) if q > 0.0 else 0.0
            total += of_p + of_q
        out[i] = math.sqrt(max(0.0, 0.5 * total))


@kernel
def hamming(query, objects, out):
    """Bits that differ; query (words,), objects (n, words), unsigned integers."""
    one, two, four = np.uint64(1), np.uint64(2), np.uint64(4)
    odd, pairs = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
    nibbles, bytes_ = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)
    for i in range(objects.shape[0]):
        total = np.uint64(0)
        for j in range(query.size):
            x = np.uint64(query[j] ^ objects[i, j])  # LLVM knows the lines below as one popcnt instruction
            x -= (x >> one) & odd
            x = (x & pairs) + ((x >> two) & pairs)
            x = (x + (x >> four)) & nibbles
            total += (x * bytes_) >> np.uint64(56)
        out[i] = np.float64(total)


@kernel
def jaccard(query, values, offsets, out):
    """1 - |A & B| / |A | B| of ascending int64 arrays; 0 for two empty sets."""
    for i in range(out.size):
        a, b = 0, offsets[i]
        common = 0
        while a < query.size and b < offsets[i + 1]:
            if query[a] == values[b]:
                common += 1
                a += 1
                b += 1
            elif query[a] < values[b]:
                a += 1
            else:
                b += 1
        union = query.size + (offsets[i + 1] - offsets[i]) - common
        out[i] = (union - common) / union if union > 0 else 0.0


@kernel
def slot_of(symbol, keys, masks):
    """Slot of `symbol` in a hash table of 256 slots, or the empty slot (mask 0) where it belongs."""
    slot = np.int64(symbol) & 255
    while masks[slot] != 0 and keys[slot] != symbol:
        slot = (slot + 1) & 255
    return slot


@kernel
def levenshtein_bits(query, values, offsets, keys, masks, out):
    """Edit distance, one machine word per symbol (G. Myers, J. ACM 46(3), 1999; global form by H. Hyyro, 2003).

    query (m,) uint32, 1 <= m <= 64. keys (256,) uint32 and masks (256,) uint64, zero on entry, take the query's symbols
    and the positions of each.
    """
    zero, one = np.uint64(0), np.uint64(1)
    m = query.size
    for j in range(m):
        slot = slot_of(query[j], keys, masks)
        keys[slot] = query[j]
        masks[slot] |= one << np.uint64(j)
    last = one << np.uint64(m - 1)
    for i in range(out.size):
        plus, minus, score = ~zero, zero, m
        for j in range(offsets[i], offsets[i + 1]):
            equal = masks[slot_of(values[j], keys, masks)]
            vertical = equal | minus
            horizontal = (((equal & plus) + plus) ^ plus) | equal
            up = minus | ~(horizontal | plus)
            down = plus & horizontal
            if up & last != zero:
                score += 1
            elif down & last != zero:
                score -= 1
            up = (up << one) | one
            plus = (down << one) | ~(vertical | up)
            minus = up & vertical
        out[i] = score


@kernel
def levenshtein_rows(query, values, offsets, row, out):
    """Edit distance by the recurrence of Wagner & Fischer (1974), one row at a time; row (m + 1,) int64 is scratch."""
    m = query.size
    for i in range(out.size):
        for k in range(m + 1):
            row[k] = k
        for j in range(offsets[i], offsets[i + 1]):
            symbol = values[j]
            diagonal = row[0]
            row[0] += 1
            for k in range(m):
                above = row[k + 1]
                cost = diagonal if query[k] == symbol else diagonal + 1
                row[k + 1] = min(cost, above + 1, row[k] + 1)
                diagonal = above
        out[i] = row[m]


@kernel
def sq_distance(a, i, b, j, n_columns):
    """sum over the first columns of (a[i] - b[j])^2, added in order."""
    total = 0.0
    for c in range(n_columns):
        difference = np.float64(a[i, c]) - np.float64(b[j, c])
        total += difference * difference
    return total


@kernel
def signature_selves(values, offsets, alpha, out):
    """s A s of every signature s, see `sqfd`."""
    n_columns = values.shape[1] - 1
    for o in range(out.size):
        total = 0.0
        for i in range(offsets[o], offsets[o + 1]):
            weight = np.float64(values[i, n_columns])
            rest = 0.0
            for j in range(offsets[o], i):
                rest += values[j, n_columns] * math.exp(-alpha * sq_distance(values, i, values, j, n_columns))
            total += weight * (weight + 2.0 * rest)
        out[o] = total


@kernel
def order_of(a, a_start, a_stop, b, b_start, b_stop):
    """-1, 0 or 1: a[a_start:a_stop] against b[b_start:b_stop], shorter first, then by value."""
    if a_stop - a_start != b_stop - b_start:
        return -1 if a_stop - a_start < b_stop - b_start else 1
    for i in range(a_stop - a_start):
        for c in range(a.shape[1]):
            x, y = a[a_start + i, c], b[b_start + i, c]
            if x != y:
                return -1 if x < y else 1
    return 0


@kernel
def cross_term(a, a_start, a_stop, b, b_start, b_stop, alpha):
    """sum_ij w_i w_j exp(-alpha |a_i - b_j|^2)."""
    n_columns = a.shape[1] - 1
    total = 0.0
    for i in range(a_start, a_stop):
        row = 0.0
        for j in range(b_start, b_stop):
            row += b[j, n_columns] * math.exp(-alpha * sq_distance(a, i, b, j, n_columns))
        total += a[i, n_columns] * row
    return total


@kernel
def sqfd(query, query_self, values, offsets, selves, alpha, out):
    """sqrt(q A q + o A o - 2 q A o) with A_ij = exp(-alpha |c_i - c_j|^2); `selves` holds o A o, `query_self` q A q.

    The cross term is summed in an order that depends on both signatures alike: d(x, y) and d(y, x) have equal bits.
    """
    m = query.shape[0]
    for o in range(out.size):
        start, stop = offsets[o], offsets[o + 1]
        order = order_of(query, 0, m, values, start, stop)
        if order == 0:
            out[o] = 0.0
            continue
        if order < 0:
            cross = cross_term(query, 0, m, values, start, stop, alpha)
        else:
            cross = cross_term(values, start, stop, query, 0, m, alpha)
        out[o] = math.sqrt(max(0.0, query_self + selves[o] - 2.0 * cross))


@kernel
def sq_directed(a, a_start, a_stop, b, b_start, b_stop, floor):
    """max(floor, max over a of min over b of the squared distance); leaves a point once it cannot raise the maximum."""
    largest = floor
    for i in range(a_start, a_stop):
        nearest = math.inf
        for j in range(b_start, b_stop):
            nearest = min(nearest, sq_distance(a, i, b, j, a.shape[1]))
            if nearest <= largest:
                break
        largest = max(largest, nearest)
    return largest


@kernel
def hausdorff(query, values, offsets, out):
    """Larger of both directed Hausdorff distances, Euclidean ground distance; query (m, c), values (total, c)."""
    m = query.shape[0]
    for o in range(out.size):
        start, stop = offsets[o], offsets[o + 1]
        largest = sq_directed(query, 0, m, values, start, stop, 0.0)
        out[o] = math.sqrt(sq_directed(values, start, stop, query, 0, m, largest))

"""Jitted loops of sketches: from coordinates to codes, from a query to tables, from tables to distances.

Words used below: M coordinates with b_c bits each, packed into B bytes. Cell e of coordinate c has its centre at
centres[starts[c] + e]; borders[starts[c] + e] lies between the cells e and e + 1. A product code has G groups of
coordinates instead, a byte and 256 centres each.
"""

import numpy as np

from metricsearch.accelerate import kernel


@kernel
def project(powers, offset, projection, coordinates):
    """coordinates[i] = (offset - powers[i]) @ projection, summed in order of the pivots.

    powers : (n, P) float64     offset : (P,) float64     projection : (P, M) float64
    coordinates : (n, M) float64, written
    """
    coordinates[:] = 0.0
    for i in range(powers.shape[0]):
        for p in range(powers.shape[1]):
            difference = offset[p] - powers[i, p]
            for c in range(projection.shape[1]):
                coordinates[i, c] += difference * projection[p, c]


@kernel
def encode(coordinates, tolerance, bits, starts, borders, byte_of, shift_of, codes, certain):
    """Put the cell of every coordinate into its bits of the code.

    coordinates : (n, M) float64   tolerance : (n, M) float64, how far each may be from the exact value
    bits, byte_of, shift_of : (M,) int64   starts : (M + 1,) int64   borders : float64
    codes : (n, B) uint8, zeroed, written   certain : (n,) bool, all True; written: False where a border is too near
    """
    n, n_coordinates = coordinates.shape
    for i in range(n):
        for c in range(n_coordinates):
            value = coordinates[i, c]
            low, high = 0, (1 << bits[c]) - 1  # cell: number of borders that are not greater than the value
            while low < high:
                middle = (low + high) >> 1
                if borders[starts[c] + middle] <= value:
                    low = middle + 1
                else:
                    high = middle
            codes[i, byte_of[c]] |= np.uint8(low << shift_of[c])
            if low > 0 and value - borders[starts[c] + low - 1] <= tolerance[i, c]:
                certain[i] = False
            if low < (1 << bits[c]) - 1 and borders[starts[c] + low] - value <= tolerance[i, c]:
                certain[i] = False


@kernel
def nearest_centres(coordinates, tolerance, starts, centres, weights, codes, certain):
    """Put the nearest centre of every group of coordinates into its byte of the code; ties: the first.

    coordinates : (n, M) float64   tolerance : (n, M) float64, how far each may be from the exact value
    starts : (G + 1,) int64   centres : (M, 256) float64   weights : (M,) float64, of squared differences
    codes : (n, B) uint8, written   certain : (n,) bool, all True; written: False where another centre is as near
    """
    distances = np.empty(256)
    spread = np.empty(weights.size)  # most that two centres differ in a coordinate
    for c in range(weights.size):
        spread[c] = centres[c].max() - centres[c].min()
    for i in range(coordinates.shape[0]):
        for group in range(starts.size - 1):
            first, stop = starts[group], starts[group + 1]
            distances[:] = 0.0
            reach = 0.0
            for c in range(first, stop):
                value, weight = coordinates[i, c], weights[c]
                for e in range(256):
                    difference = value - centres[c, e]
                    distances[e] += weight * difference * difference
                reach += 2 * weight * tolerance[i, c] * spread[c]
            best = 0
            for e in range(1, 256):
                if distances[e] < distances[best]:
                    best = e
            codes[i, group] = best
            for e in range(256):
                rounding = 1e-15 * (stop - first + 4) * (distances[e] + distances[best])
                gap = distances[e] - distances[best] - rounding
                if e == best or gap > reach:
                    continue
                # What an error of z changes: 2 weight · error · (difference of the centres).
                change = 0.0
                differ = False
                for c in range(first, stop):
                    apart = abs(centres[c, e] - centres[c, best])
                    differ = differ or apart > 0
                    change += 2 * weights[c] * tolerance[i, c] * apart
                if differ and gap <= change:
                    certain[i] = False


@kernel
def fill_tables(costs, bits, starts, byte_of, shift_of, tables):
    """tables[b, code] = summed costs of the cells that byte b says.

    costs : float64, of cell e of coordinate c at starts[c] + e     tables : (B, 256) float32, zeroed, written
    """
    for c in range(bits.size):
        mask = (1 << bits[c]) - 1
        for code in range(256):
            tables[byte_of[c], code] += np.float32(costs[starts[c] + ((code >> shift_of[c]) & mask)])


@kernel
def sum_tables(tables, codes, rows, out):
    """out[i] = sum of tables[b, codes[rows[i], b]] over the bytes, always added in the same order.

    tables : (B, 256) float32   codes : (n, B) uint8   rows : (m,) int64   out : (m,) float32
    Four sums at once, because each addition waits for the one before it.
    """
    n_bytes = codes.shape[1]
    whole = n_bytes - n_bytes % 4
    for i in range(rows.size):
        row = rows[i]
        a = np.float32(0.0)
        b = np.float32(0.0)
        c = np.float32(0.0)
        d = np.float32(0.0)
        for byte in range(0, whole, 4):
            a += tables[byte, codes[row, byte]]
            b += tables[byte + 1, codes[row, byte + 1]]
            c += tables[byte + 2, codes[row, byte + 2]]
            d += tables[byte + 3, codes[row, byte + 3]]
        for byte in range(whole, n_bytes):
            a += tables[byte, codes[row, byte]]
        out[i] = (a + b) + (c + d)

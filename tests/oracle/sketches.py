"""Slow, literal sketches: coordinates from distances to pivots, codes bit by bit, estimates term by term.

Never imports the package under test. `distances` are those of one object to the pivots, `pairs` those between pivots,
`power` is the exponent under which they are used. A code is `bits`, `byte_of`, `shift_of`, `weights` per coordinate
and `centres`, a list per coordinate; a product code has `starts`, where the coordinates of each byte begin, instead of
bits. All sums run left to right in float64.
"""

import math
from fractions import Fraction

import numpy as np

# Max, Quantizing for Minimum Distortion, IRE Trans. Information Theory 6, 1960, and its continuation to 8 bits, as
# the library states them: mean squared error of 0, 1, ... bits for one value of variance 1.
DISTORTIONS = (1.0, 0.3634, 0.1175, 0.03454, 0.009497, 0.002499, 0.0006402, 0.0001617, 0.00004062)


def total(values):
    """Sum from left to right."""
    result = 0.0
    for value in values:
        result = result + float(value)
    return result


def raised(value, power):
    """value^power, power 1 or 2, by multiplication: pow() of the C library need not round correctly."""
    return float(value) if power == 1 else float(value) * float(value)


# ---------------------------------------------------------------- classical scaling


def centred(pairs, power):
    """Torgerson: b_ij = -(d_ij - mean of row i - mean of column j + mean of all) / 2 with d = δ^power."""
    n = len(pairs)
    d = [[raised(pairs[i][j], power) for j in range(n)] for i in range(n)]
    rows = [total(d[i]) / n for i in range(n)]
    columns = [total(d[i][j] for i in range(n)) / n for j in range(n)]
    whole = total(rows) / n
    return np.array([[-0.5 * (d[i][j] - rows[i] - columns[j] + whole) for j in range(n)] for i in range(n)])


def principal_axes(pairs, power, n_wanted, least=1e-9):
    """[(eigenvalue, eigenvector)] of the centred matrix, largest first, those above `least` of the largest."""
    values, vectors = np.linalg.eigh(centred(pairs, power))
    found = sorted(zip(values.tolist(), vectors.T.tolist(), strict=True), key=lambda axis: -axis[0])
    return [(value, vector) for value, vector in found if value > least * max(found[0][0], 0.0)][:n_wanted]


def pivot_coordinates(pairs, power, n_wanted):
    """Classical scaling of the pivots themselves: sqrt(eigenvalue) times the component of each eigenvector."""
    axes = principal_axes(pairs, power, n_wanted)
    return [[math.sqrt(value) * vector[p] for value, vector in axes] for p in range(len(pairs))]


def landmark_coordinates(distances, pairs, power, n_wanted):
    """De Silva & Tenenbaum 2004: z_c = -v_c · (δ(x, ·)^power - mean over pivots of δ(p, ·)^power) / (2 sqrt(λ_c))."""
    n = len(pairs)
    means = [total(raised(pairs[i][j], power) for i in range(n)) / n for j in range(n)]
    return [
        -0.5 / math.sqrt(value) * total(vector[p] * (raised(distances[p], power) - means[p]) for p in range(n))
        for value, vector in principal_axes(pairs, power, n_wanted)
    ]


def altitude(distances, pairs, power, coordinates):
    """Mean of δ(x, p)^power, less half the mean of δ(p, p')^power over all pairs, less the squared coordinates."""
    n = len(pairs)
    of_pivots = total(raised(pairs[i][j], power) for i in range(n) for j in range(n)) / n**2
    return total(raised(one, power) for one in distances) / n - of_pivots / 2 - total(z**2 for z in coordinates)


# ---------------------------------------------------------------- n-simplex projection


def apex(base, distances):
    """ApexAddition of Connor, Vadicamo, Cardillo, Rabitti 2019: a point at `distances` from the vertices of `base`.

    base: n vertices of n - 1 coordinates, lower triangular. Returns n coordinates, the last >= 0.
    """
    n = len(base)
    point = [0.0] * n
    point[0] = float(distances[0])
    for i in range(1, n):
        vertex = [*base[i], 0.0]
        apart = total((v - y) ** 2 for v, y in zip(vertex, point, strict=True))
        before = point[i - 1]
        point[i - 1] = before - (float(distances[i]) ** 2 - apart) / (2 * base[i][i - 1])
        point[i] = math.sqrt(max(before**2 - point[i - 1] ** 2, 0.0))
    return point


def base_simplex(pairs):
    """Vertices (P, P - 1) of the pivots, each the apex over those before it. Pivots must be in general position."""
    vertices = [[]]
    for p in range(1, len(pairs)):
        top = apex(vertices, pairs[p][:p])
        vertices = [[*vertex, 0.0] for vertex in vertices] + [top]
    return vertices


def lower_bound(x, y):
    """Distance of two apexes on the same side of the base."""
    return math.sqrt(total((a - b) ** 2 for a, b in zip(x, y, strict=True)))


def upper_bound(x, y):
    """Distance of two apexes on different sides of the base."""
    return lower_bound(x, [*y[:-1], -y[-1]])


def zen(x, y):
    """Distance of two apexes at a right angle to each other over the base."""
    return math.sqrt(total((a - b) ** 2 for a, b in zip(x[:-1], y[:-1], strict=True)) + x[-1] ** 2 + y[-1] ** 2)


# ---------------------------------------------------------------- scalar codes


def projected(inputs, offset, projection):
    """z_c = sum over p of (offset_p - input_p) projection_pc, in order of p."""
    n = len(offset)
    return [
        total((float(offset[p]) - float(inputs[p])) * float(projection[p][c]) for p in range(n))
        for c in range(len(projection[0]))
    ]


def cell(value, centres):
    """Number of midpoints of neighbouring centres that are not greater than the value."""
    midpoints = [(centres[e] + centres[e + 1]) / 2 for e in range(len(centres) - 1)]
    return sum(midpoint <= value for midpoint in midpoints)


def packed(cells, bits, byte_of, shift_of, n_bytes):
    """The bytes whose bits shift_of ... shift_of + bits - 1 of byte byte_of say each cell, lowest first."""
    flags = [[0] * 8 for _ in range(n_bytes)]
    for e, width, byte, shift in zip(cells, bits, byte_of, shift_of, strict=True):
        for i in range(width):
            flags[byte][shift + i] = e // 2**i % 2
    return [sum(flag * 2**i for i, flag in enumerate(byte)) for byte in flags]


def unpacked(code, bits, byte_of, shift_of):
    """The cells that the bytes say, read bit by bit."""
    cells = []
    for width, byte, shift in zip(bits, byte_of, shift_of, strict=True):
        flags = [int(code[byte]) // 2**i % 2 for i in range(8)]
        cells.append(sum(flags[shift + i] * 2**i for i in range(width)))
    return cells


def level(value, low, step, n_levels=256):
    """Which of n_levels equal steps above `low` holds the value; the first and last also hold what lies beyond."""
    return min(max(math.floor((value - low) / step), 0), n_levels - 1)


def scalar_terms(query, cells, centres, weights):
    """Terms of the estimate: weight · (coordinate of the query - centre of the object's cell)^2."""
    return [
        float(weight) * (float(q) - of_cells[e]) ** 2
        for q, e, of_cells, weight in zip(query, cells, centres, weights, strict=True)
    ]


def altitude_terms(query_altitude, code, low, step, weight):
    """Terms of the estimate: weighted altitude of the query, and of the middle of the object's step."""
    return [weight * query_altitude, weight * (low + step * (code + 0.5))]


# ---------------------------------------------------------------- product codes


def allocated(importance, n_bytes):
    """ "Eigenvalue allocation" of Ge, He, Ke & Sun 2013: the coordinates of each byte, in the order they came to it.

    The most important one (ties: the first) goes to the first empty byte, else to the first of those with room whose
    product of importance is least. Importance is relative to the least one, so that no factor is below 1; products are
    exact. There is room for the coordinates shared equally, rounded up.
    """
    left = list(range(len(importance)))
    n_groups = min(n_bytes, len(left))
    groups = [[] for _ in range(n_groups)]
    products = [Fraction(1)] * n_groups
    while left:
        c = max(left, key=lambda one: (importance[one], -one))
        left.remove(c)
        empty = [g for g in range(n_groups) if not groups[g]]
        open_ = [g for g in range(n_groups) if len(groups[g]) < math.ceil(len(importance) / n_groups)]
        g = empty[0] if empty else min(open_, key=lambda one: (products[one], one))
        groups[g].append(c)
        products[g] *= Fraction(float(importance[c])) / Fraction(float(min(importance)))
    return groups


def centre_distances(values, centres, weights):
    """Of one byte: sum over its coordinates c of (weight_c · difference) · difference, to each of the centres."""
    distances = [0.0] * len(centres[0])
    for value, of_coordinate, weight in zip(values, centres, weights, strict=True):
        differences = float(value) - np.array(of_coordinate, dtype=np.float64)
        distances = distances + (float(weight) * differences) * differences  # elementwise: one rounding each
    return [float(one) for one in distances]


def in_groups(starts):
    """The coordinates of each byte, as slices."""
    return [slice(starts[g], starts[g + 1]) for g in range(len(starts) - 1)]


def product_code(values, starts, centres, weights, n_bytes):
    """Each byte: the centre nearest in its coordinates, ties: the first; bytes without coordinates are 0."""
    code = []
    for own in in_groups(starts):
        distances = centre_distances(values[own], centres[own], weights[own])
        code.append(distances.index(min(distances)))
    return code + [0] * (n_bytes - len(code))


def product_cells(code, starts):
    """For each coordinate, which of its centres the code says."""
    return [int(code[g]) for g, own in enumerate(in_groups(starts)) for _ in range(own.start, own.stop)]


def product_tables(query, starts, centres, weights, n_bytes):
    """Row by row for each byte: what its 256 values cost."""
    tables = [centre_distances(query[own], centres[own], weights[own]) for own in in_groups(starts)]
    return tables + [[0.0] * 256 for _ in range(n_bytes - len(tables))]


def k_means_step(sample, starts, centres, weights):
    """Lloyd: the mean of the objects that are nearest to each centre of each byte; without any it stays."""
    codes = [product_code(one, starts, centres, weights, len(starts) - 1) for one in sample]
    moved = [list(of_coordinate) for of_coordinate in centres]
    for g, own in enumerate(in_groups(starts)):
        members = [[] for _ in range(256)]
        for one, code in zip(sample, codes, strict=True):
            members[code[g]].append(one)
        for e, of_centre in enumerate(members):
            for c in range(own.start, own.stop):
                moved[c][e] = total(one[c] for one in of_centre) / len(of_centre) if of_centre else centres[c][e]
    return moved


# ---------------------------------------------------------------- hyperplanes


def ahead(distances, a, b, between):
    """(δ(x, b)^2 - δ(x, a)^2) / (2 δ(a, b)): how far x is on a's side of the border; multiplied out, so that equal
    distances cancel. 0 where the pivots are equal."""
    scale = 0.5 / float(between) if between > 0 else 0.0
    return raised(distances[b], 2) * scale - raised(distances[a], 2) * scale


def hyperplane_terms(query, distances, borders, pairs):
    """Squared distances of the query to those borders [(a, b)] that have the object on the other side; 0 is a's."""
    terms = []
    for a, b in borders:
        of_query, of_object = ahead(query, a, b, pairs[a][b]), ahead(distances, a, b, pairs[a][b])
        terms.append(of_query**2 if (of_query >= 0) != (of_object >= 0) else 0.0)
    return terms


# ---------------------------------------------------------------- RaBitQ


def rabitq_estimate(query, vector, centre, axes):
    """Gao & Long 2024: |x - c|^2 + |q - c|^2 - 2 |z(x)| <ō, z(q)> / <ō, o>, and the sum of its absolute terms.

    axes: D rows, orthonormal: z_i(x) = <axes_i, x - c>. o = z(x) / |z(x)|; ō_i = +-1 / sqrt(D), + where z_i(x) > 0.
    """

    def rotated(v):
        return [
            total(float(a) * (float(x) - float(c)) for a, x, c in zip(axis, v, centre, strict=True)) for axis in axes
        ]

    def squared_length(v):
        return total((float(x) - float(c)) ** 2 for x, c in zip(v, centre, strict=True))

    of_query, of_vector = rotated(query), rotated(vector)
    length = math.sqrt(total(z**2 for z in of_vector))
    whole = squared_length(vector) + squared_length(query)
    if length == 0:
        return whole, whole
    side = 1 / math.sqrt(len(axes))
    signs = [side if z > 0 else -side for z in of_vector]
    agreement = total(s * z / length for s, z in zip(signs, of_vector, strict=True))  # <ō, o>
    scale = 2 * length / agreement
    products = [scale * s * z for s, z in zip(signs, of_query, strict=True)]
    return whole - total(products), whole + total(abs(product) for product in products)


# ---------------------------------------------------------------- choosing bits and centres


def water_filled(importance, n_bits, distortions=DISTORTIONS):
    """Bits per coordinate: one at a time to the coordinate whose importance · distortion falls most, ties: first."""
    bits = [0] * len(importance)
    for _ in range(n_bits):
        best, best_gain = None, 0.0
        for c, weight in enumerate(importance):
            if bits[c] + 1 < len(distortions):
                gain = weight * (distortions[bits[c]] - distortions[bits[c] + 1])
                if gain > best_gain:
                    best, best_gain = c, gain
        if best is None:
            break
        bits[best] += 1
    return bits


def quantiles(values, n_cells):
    """The values at the middles of n_cells equal parts of the sorted sample."""
    ordered = sorted(values)
    return [ordered[int((e + 0.5) * len(ordered) / n_cells)] for e in range(n_cells)]


def lloyd_step(values, centres):
    """Mean of the values in the cell of each centre; a cell without values keeps its centre."""
    members = [[] for _ in centres]
    for value in sorted(values):
        members[cell(value, centres)].append(value)
    return [total(own) / len(own) if own else centre for own, centre in zip(members, centres, strict=True)]


def distortion(values, centres):
    """Mean squared difference of the values to the centres of their cells."""
    return total((value - centres[cell(value, centres)]) ** 2 for value in values) / len(values)

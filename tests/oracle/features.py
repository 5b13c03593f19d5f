"""Features of photos, slow and literal: formulas as printed, one number at a time where that helps reading.

From the specification (vocabulary_tree.md §5) alone; never imports the package under test. Also: matching by all
distances, and images to match.
"""

import itertools
import math
from fractions import Fraction

import cv2
import numpy as np


def noise(height=120, width=160, seed=0):
    """Blobs and regions of many sizes."""
    rng = np.random.default_rng(seed)
    values = sum(cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), s) * s for s in (1.5, 3, 6))
    return np.clip(128 + 60 * values, 0, 255).astype(np.uint8)


def matches(query, image, ratio=0.8):
    """Index pairs whose nearest descriptor is nearer than `ratio` times the second nearest."""
    a, b = query.descriptors.astype(np.float64), image.descriptors.astype(np.float64)
    sq = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    nearest = np.argpartition(sq, 1, axis=1)[:, :2]
    distances = np.sqrt(np.maximum(np.take_along_axis(sq, nearest, axis=1), 0))
    best = distances.argmin(axis=1)
    kept = np.flatnonzero(distances.min(axis=1) < ratio * distances.max(axis=1))
    return np.stack([kept, nearest[kept, best[kept]]], axis=1)


def mapped(places, homography):
    """(n, 2) places under a homography."""
    homogeneous = np.column_stack([places, np.ones(len(places))]) @ homography.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def right_matches(a, b, homography, tolerance=5.0):
    """Number of matches, of those within `tolerance` pixels of the truth, and of those that chance would give."""
    pairs = matches(a, b)
    places = mapped(a.keypoints[pairs[:, 0], :2], homography)
    shuffled = np.random.default_rng(0).permutation(len(b))[pairs[:, 1]]
    right, chance = (
        int((np.hypot(*(places - b.keypoints[found, :2]).T) <= tolerance).sum()) for found in (pairs[:, 1], shuffled)
    )
    return len(pairs), right, chance


# ---------------------------------------------------------------- colour (§5.1)


def hsv(red, green, blue):
    """Hue, saturation and value of one pixel of bytes, each an exact fraction in 0..1 (hue below 1; of grey: 0)."""
    high, low = max(red, green, blue), min(red, green, blue)
    spread = high - low
    if spread == 0:
        return Fraction(0), Fraction(0), Fraction(high, 255)
    if high == red:
        sixth = Fraction(green - blue, spread)
    elif high == green:
        sixth = 2 + Fraction(blue - red, spread)
    else:
        sixth = 4 + Fraction(red - green, spread)
    return sixth / 6 % 1, Fraction(spread, high), Fraction(high, 255)


def hsv_histogram(pixels, bins):
    """Shares of the pixels (h, w, 3) in bins of equal width over 0..1 of hue, saturation and value, flat, hue slowest.

    bins: numbers of bins; 1 leaves a channel out. A value of 1 belongs to the last bin.
    """
    counts = np.zeros(bins)
    for pixel in pixels.reshape(-1, 3).tolist():
        counts[tuple(min(math.floor(value * n), n - 1) for value, n in zip(hsv(*pixel), bins, strict=True))] += 1
    return (counts / counts.sum()).reshape(-1)


# ---------------------------------------------------------------- texture (§5.3)


def lbp_codes(grey):
    """(h, w) codes 0..9 of uniform LBP with P=8, R=1, one pixel at a time.

    Neighbour p stands at angle 2 pi p / 8 on the circle of radius 1, between pixels its value is bilinear, outside the
    photo it is 0. Code: the number of ones, or 9 where the circle changes between 0 and 1 more than twice. Exact, with
    sines and cosines to five decimals as scikit-image has them.
    """
    height, width = grey.shape
    diagonal = Fraction(round(math.sqrt(0.5), 5)).limit_denominator(100_000)
    steps = [(0, 1), (-diagonal, diagonal), (-1, 0), (-diagonal, -diagonal)]
    steps += [(-dy, -dx) for dy, dx in steps]
    values = grey.tolist()

    def at(y, x):
        return values[y][x] if 0 <= y < height and 0 <= x < width else 0

    def between(y, x):
        top, left = math.floor(y), math.floor(x)
        dy, dx = y - top, x - left
        upper = (1 - dx) * at(top, left) + dx * at(top, left + 1)
        lower = (1 - dx) * at(top + 1, left) + dx * at(top + 1, left + 1)
        return (1 - dy) * upper + dy * lower

    codes = np.empty(grey.shape, int)
    for y, x in itertools.product(range(height), range(width)):
        ones = [between(y + dy, x + dx) >= values[y][x] for dy, dx in steps]
        changes = sum(ones[p] != ones[p - 1] for p in range(8))
        codes[y, x] = sum(ones) if changes <= 2 else 9
    return codes


def lbp_histogram(codes):
    """Shares of the ten codes."""
    return np.array([(codes == code).mean() if codes.size else 0.0 for code in range(10)])


# ---------------------------------------------------------------- gradients (§5.2)


def hog(grey, cell=8, n_bins=9):
    """Blocks of 2 x 2 cells, one cell apart: columns of blocks first, in a block columns of cells first.

    Differences [-1, 0, 1], mirrored at the border; each pixel's gradient votes, shared by bilinear weights between the
    cells of the block and between neighbouring directions, under a Gaussian of a quarter of the block; L2-Hys, with
    the small numbers that OpenCV adds to the lengths (a tenth per value, then a thousandth).
    """
    height, width = grey.shape
    values = grey.astype(float)
    dy, dx = np.zeros(grey.shape), np.zeros(grey.shape)
    dy[1:-1], dx[:, 1:-1] = values[2:] - values[:-2], values[:, 2:] - values[:, :-2]
    block, blocks = 2 * cell, []
    for left, top in itertools.product(range(0, width - block + 1, cell), range(0, height - block + 1, cell)):
        votes = np.zeros((2, 2, n_bins))  # column and row of the cell, direction
        for x, y in itertools.product(range(block), range(block)):
            gx, gy = dx[top + y, left + x], dy[top + y, left + x]
            gaussian = math.exp(-((x - cell) ** 2 + (y - cell) ** 2) / (2 * (block / 4) ** 2))
            direction = math.atan2(gy, gx) % math.pi / math.pi * n_bins - 0.5
            places = [(at + 0.5) / cell - 0.5 for at in (x, y)]
            for i, j, k in itertools.product((0, 1), (0, 1), (0, 1)):
                column, row = math.floor(places[0]) + i, math.floor(places[1]) + j
                if 0 <= column < 2 and 0 <= row < 2:
                    near = [1 - abs(place - at) for place, at in zip(places, (column, row), strict=True)]
                    share = 1 - abs(direction - (math.floor(direction) + k))
                    votes[column, row, (math.floor(direction) + k) % n_bins] += (
                        math.hypot(gx, gy) * gaussian * near[0] * near[1] * share
                    )
        clipped = np.minimum(votes.ravel() / (np.linalg.norm(votes) + 0.1 * votes.size), 0.2)
        blocks += (clipped / (np.linalg.norm(clipped) + 1e-3)).tolist()
    return blocks


# ---------------------------------------------------------------- shape (§5.4)


def pixel_moments(mask):
    """Raw moments m[p, q], p + q <= 3, of the set pixels of a mask."""
    places = [(x, y) for y, x in np.argwhere(mask).tolist()]
    return {(p, q): sum(x**p * y**q for x, y in places) for p, q in itertools.product(range(4), repeat=2) if p + q <= 3}


def polygon_moments(points):
    """The same of the inside of a polygon (n, 2), by triangles from the origin; a rule of six points is exact."""
    total = dict.fromkeys([(p, q) for p, q in itertools.product(range(4), repeat=2) if p + q <= 3], 0.0)
    # Strang and Fix: exact for polynomials of degree 3 (barycentric places and weights)
    rule = [((1 / 3, 1 / 3, 1 / 3), -27 / 48)] + [(w, 25 / 48) for w in set(itertools.permutations((0.6, 0.2, 0.2)))]
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
        area = (ax * by - bx * ay) / 2
        for (_, a, b), weight in rule:
            x, y = a * ax + b * bx, a * ay + b * by
            for p, q in total:
                total[p, q] += area * weight * x**p * y**q
    sign = -1 if total[0, 0] < 0 else 1
    return {key: sign * value for key, value in total.items()}


def hu_moments(m):
    """h1 .. h7 from raw moments, as printed."""
    cx, cy = m[1, 0] / m[0, 0], m[0, 1] / m[0, 0]

    def eta(p, q):
        central = sum(
            math.comb(p, i) * math.comb(q, j) * (-cx) ** (p - i) * (-cy) ** (q - j) * m[i, j]
            for i in range(p + 1)
            for j in range(q + 1)
        )
        return central / m[0, 0] ** (1 + (p + q) / 2)

    n20, n02, n11, n30, n03, n21, n12 = (eta(*pq) for pq in ((2, 0), (0, 2), (1, 1), (3, 0), (0, 3), (2, 1), (1, 2)))
    a, b = n30 + n12, n21 + n03
    return [
        n20 + n02,
        (n20 - n02) ** 2 + 4 * n11**2,
        (n30 - 3 * n12) ** 2 + (3 * n21 - n03) ** 2,
        a**2 + b**2,
        (n30 - 3 * n12) * a * (a**2 - 3 * b**2) + (3 * n21 - n03) * b * (3 * a**2 - b**2),
        (n20 - n02) * (a**2 - b**2) + 4 * n11 * a * b,
        (3 * n21 - n03) * a * (a**2 - 3 * b**2) - (n30 - 3 * n12) * b * (3 * a**2 - b**2),
    ]


def fourier_descriptors(points, last=16):
    """|c_k| / |c_1|, k = 2 .. last, of the closed contour (n, 2), by the sum that defines the transform."""
    z = [complex(x, y) for x, y in points]
    c = [abs(sum(value * np.exp(-2j * math.pi * k * i / len(z)) for i, value in enumerate(z))) for k in range(last + 1)]
    return [c[k] / c[1] for k in range(2, last + 1)]


# ---------------------------------------------------------------- aggregated local features (§5.5, §5.6)


def unit(vector):
    """The vector with Euclidean length 1; a zero vector stays."""
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else [0.0 for _ in vector]


def signed_root(vector):
    """sign(z) sqrt|z| of each element."""
    return [math.copysign(math.sqrt(abs(value)), value) for value in vector]


def nearest_centre(x, centres):
    """Number of the nearest centre; ties: the lowest."""
    return min(range(len(centres)), key=lambda k: (sum((a - b) ** 2 for a, b in zip(x, centres[k], strict=True)), k))


def vlad(descriptors, centres, normalisation):
    """v_k = sum of x - mu_k over the x nearest to mu_k, flat, normalised "l2", "power" or "intra"; zeros stay."""
    descriptors, centres = np.asarray(descriptors).tolist(), np.asarray(centres).tolist()
    sums = [[0.0] * len(centre) for centre in centres]
    for x in descriptors:
        k = nearest_centre(x, centres)
        sums[k] = [s + a - b for s, a, b in zip(sums[k], x, centres[k], strict=True)]
    if normalisation == "power":
        sums = [signed_root(v) for v in sums]
    if normalisation == "intra":
        sums = [unit(v) for v in sums]
    return unit([value for v in sums for value in v])


def bow(words, n_words, idf):
    """Number of times that each word occurs, times its weight; length 1."""
    return unit([list(words).count(word) * idf[word] for word in range(n_words)])


def log_density(x, mean, variances):
    """ln N(x; mean, diag(variances))."""
    return sum(
        -0.5 * math.log(2 * math.pi * v) - (a - m) ** 2 / (2 * v) for a, m, v in zip(x, mean, variances, strict=True)
    )


def posterior(x, weights, means, variances):
    """gamma_k of one descriptor: pi_k N_k / sum of pi_t N_t; the largest is taken out, so that not all underflow."""
    logs = [math.log(p) + log_density(x, m, v) for p, m, v in zip(weights, means, variances, strict=True)]
    shares = [math.exp(value - max(logs)) for value in logs]
    return [share / sum(shares) for share in shares]


def fisher(descriptors, weights, means, variances, improved):
    """u then v of every Gaussian, 2 K D; improved: signed root, then length 1. No descriptors: zeros."""
    descriptors, weights, means, variances = (
        np.asarray(a, np.float64).tolist() for a in (descriptors, weights, means, variances)
    )
    n, n_gaussians, d = len(descriptors), len(means), len(means[0])
    if n == 0:
        return [0.0] * (2 * n_gaussians * d)
    gamma = [posterior(x, weights, means, variances) for x in descriptors]
    u, v = [], []
    for k, j in itertools.product(range(n_gaussians), range(d)):
        z = [(x[j] - means[k][j]) / math.sqrt(variances[k][j]) for x in descriptors]
        u.append(sum(gamma[i][k] * z[i] for i in range(n)) / (n * math.sqrt(weights[k])))
        v.append(sum(gamma[i][k] * (z[i] ** 2 - 1) for i in range(n)) / (n * math.sqrt(2 * weights[k])))
    return unit(signed_root(u + v)) if improved else u + v


# ---------------------------------------------------------------- PCA and whitening (§5.7)


def covariance(vectors):
    """(mean, covariance) with divisor n, by the definition."""
    vectors = np.asarray(vectors, np.float64)
    mean = sum(vectors) / len(vectors)
    return mean, sum(np.outer(x - mean, x - mean) for x in vectors) / len(vectors)


def pca(vectors, x, dimension, whiten):
    """Projection of x on the main axes of `vectors`, in order of variance; whiten: each divided by its deviation.

    The sign of an axis is not defined.
    """
    mean, cov = covariance(vectors)
    variances, axes = np.linalg.eigh(cov)
    order = np.argsort(-variances, kind="stable")[:dimension]
    y = axes[:, order].T @ (np.asarray(x, np.float64) - mean)
    return y / np.sqrt(variances[order]) if whiten else y


# ---------------------------------------------------------------- pooling of maps (C, H, W) (§5.7)


def places_of(maps):
    """All (row, column) of maps."""
    return list(itertools.product(range(maps.shape[1]), range(maps.shape[2])))


def pool_sum(maps):
    """Sum over all places; also uCroW."""
    return [sum(float(channel[p]) for p in places_of(maps)) for channel in maps]


def pool_average(maps):
    """Sum / (H W)."""
    return [total / len(places_of(maps)) for total in pool_sum(maps)]


def pool_max(maps):
    """Largest value (MAC)."""
    return [max(float(channel[p]) for p in places_of(maps)) for channel in maps]


def pool_gem(maps, p=3.0, eps=1e-6):
    """(mean of max(X, eps)^p)^(1/p)."""
    places = places_of(maps)
    return [(sum(max(float(c[at]), eps) ** p for at in places) / len(places)) ** (1 / p) for c in maps]


def pool_spoc(maps):
    """Sum with a Gaussian centre prior: sigma is a third of the distance from the centre to the nearest border."""
    _, height, width = maps.shape
    sigma = min(height, width) / 2 / 3
    prior = {
        (y, x): math.exp(-((y + 0.5 - height / 2) ** 2 + (x + 0.5 - width / 2) ** 2) / (2 * sigma**2))
        for y, x in places_of(maps)
    }
    return [sum(prior[p] * float(channel[p]) for p in prior) for channel in maps]


def pool_crow(maps):
    """Spatial weights (S / |S|)^(1/2), channel weights log(sum Q / Q_c), 0 where Q_c = 0; no normalisation."""
    places = places_of(maps)
    s = {p: sum(float(channel[p]) for channel in maps) for p in places}
    length = math.sqrt(sum(value**2 for value in s.values()))
    alpha = {p: math.sqrt(s[p] / length) if length else 0.0 for p in places}
    q = [sum(channel[p] != 0 for p in places) / len(places) for channel in maps]
    weights = [math.log(sum(q) / q_c) if q_c else 0.0 for q_c in q]
    return [w * sum(alpha[p] * float(c[p]) for p in places) for w, c in zip(weights, maps, strict=True)]


def rmac_regions(height, width, levels=3):
    """(top, left, side) of the regions of every level."""
    w, long = min(height, width), max(height, width)
    more = 0
    if long > w:  # squares of side w, m + 1 of them on the long side: the overlap nearest to 40 %
        overlaps = {m: 1 - Fraction(long - w, m * w) for m in range(1, 7)}
        more = min(overlaps, key=lambda m: (abs(overlaps[m] - Fraction(2, 5)), m))
    regions = []
    for level in range(1, levels + 1):
        side = 2 * w // (level + 1)
        if side == 0:
            continue
        n_rows, n_columns = level + more * (height > width), level + more * (width > height)
        tops, lefts = (
            [Fraction(i * (length - side), max(n - 1, 1)) // 1 for i in range(n)]
            for length, n in ((height, n_rows), (width, n_columns))
        )
        regions += [(top, left, side) for top in tops for left in lefts]
    return regions


def pool_rmac(maps):
    """Unit maxima of all regions and of the whole map, added up; length 1."""
    vectors = [unit(pool_max(maps))]
    for top, left, side in rmac_regions(*maps.shape[1:]):
        vectors.append(unit(pool_max(maps[:, top : top + side, left : left + side])))
    return unit([sum(values) for values in zip(*vectors, strict=True)])


def pool_grid(maps):
    """Means over four quadrants (the middle row and column shared), minus 0.5, not below 0; quadrant by quadrant."""
    _, height, width = maps.shape
    rows = (range((height + 1) // 2), range(height // 2, height))
    columns = (range((width + 1) // 2), range(width // 2, width))
    return [
        max(sum(float(c[y, x]) for y in ys for x in xs) / (len(ys) * len(xs)) - 0.5, 0.0)
        for ys, xs in itertools.product(rows, columns)
        for c in maps
    ]


POOLINGS = {
    "sum": pool_sum,
    "avg": pool_average,
    "max": pool_max,
    "gem": pool_gem,
    "spoc": pool_spoc,
    "crow": pool_crow,
    "ucrow": pool_sum,
    "rmac": pool_rmac,
    "grid4096": pool_grid,
}


# ---------------------------------------------------------------- patches, crops, MOP (§5.7, §5.8)


def patches(pixels, side, stride):
    """All squares of a photo (h, w, 3) at multiples of `stride`, row by row."""
    height, width = pixels.shape[:2]
    tops, lefts = (range(0, length - side + 1, stride) for length in (height, width))
    return [pixels[top : top + side, left : left + side] for top, left in itertools.product(tops, lefts)]


def ten_crops(pixels, side):
    """Corners (top left, top right, bottom left, bottom right), centre; then the same five mirrored left to right."""
    height, width = pixels.shape[:2]
    places = [(0, 0), (0, width - side), (height - side, 0), (height - side, width - side)]
    places.append(((height - side) // 2, (width - side) // 2))
    crops = [pixels[top : top + side, left : left + side] for top, left in places]
    return crops + [crop[:, ::-1] for crop in crops]


def mop(whole, levels):
    """Activation of the whole photo, then of each level the projected VLAD of its projected activations; each unit.

    levels: (activations, project, centres, project_vlad), the VLADs with signed roots.
    """
    parts = [unit(whole)]
    for activations, project, centres, project_vlad in levels:
        parts.append(unit(project_vlad(vlad([project(a) for a in activations], centres, "power"))))
    return [value for part in parts for value in part]

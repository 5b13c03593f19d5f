"""Slow, literal hierarchical k-means and descent. Never imports the package under test.

A node is a dict: `path` (child numbers from the root), `points` (rows of the training data, ascending), `centre`,
`children` (list of nodes, empty for a leaf). All arithmetic is Python's: whole numbers stay whole numbers.
"""

import math

import numpy as np

WORD = 2**64


# ---------------------------------------------------------------- k-means of one cell


def sq_distance(a, b):
    """Sum of squared differences."""
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def nearest(point, centres):
    """Number of the nearest centre, ties by number."""
    return min(range(len(centres)), key=lambda j: (sq_distance(point, centres[j]), j))


def mean(points, whole):
    """Mean of every dimension; whole: rounded, halves up; otherwise as float32 keeps it."""
    sums = [sum(column) for column in zip(*points, strict=True)]
    if whole:
        return [(2 * total + len(points)) // (2 * len(points)) for total in sums]
    return [float(np.float32(total / len(points))) for total in sums]


def fill_empty(points, centres, labels):
    """Give each empty cluster, in order, the point farthest from its centre (ties: the first).

    Points on their centre, and the only point of a cluster, stay.
    """
    moved = set()
    for j in range(len(centres)):
        if j in labels:
            continue
        movable = [i for i in range(len(points)) if i not in moved and labels.count(labels[i]) > 1]
        movable = [i for i in movable if sq_distance(points[i], centres[labels[i]]) > 0]
        if not movable:
            return
        farthest = max(movable, key=lambda i: (sq_distance(points[i], centres[labels[i]]), -i))
        labels[farthest] = j
        moved.add(farthest)


def k_means(points, centres, cycles, whole):
    """(centres, labels) after at most `cycles` Lloyd cycles and a last distribution."""
    labels = None
    for cycle in range(cycles + 1):
        new = [nearest(point, centres) for point in points]
        if cycle == cycles or new == labels:
            return centres, new
        labels = new
        fill_empty(points, centres, labels)
        centres = [
            mean(own, whole) if (own := [p for p, label in zip(points, labels, strict=True) if label == j]) else centre
            for j, centre in enumerate(centres)
        ]
    raise AssertionError("not reached")


# ---------------------------------------------------------------- random starts


def mixed(state):
    """The mixing of splitmix64."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % WORD
    return state ^ (state >> 31)


def random_numbers(state):
    """splitmix64: 64-bit numbers from a seed."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % WORD
        yield mixed(state)


def cell_seed(seed, slot):
    """hash(seed, node)."""
    state = seed
    for value in (0, slot):
        state = mixed((state + value + 0x9E3779B97F4A7C15) % WORD)
    return state


def random_starts(points, k, seed):
    """k different points in order: each with probability still needed / still to come."""
    numbers, chosen = random_numbers(seed), []
    for i, point in enumerate(points):
        if len(chosen) == k:
            break
        if (next(numbers) >> 32) * (len(points) - i) >> 32 < k - len(chosen):
            chosen.append(list(point))
    return chosen


# ---------------------------------------------------------------- the tree


def train(points, branching, depth, cycles, seed, whole):
    """(root, number of slots used); nodes numbered level by level over the whole tree, the root is 0."""
    points = [list(point) for point in points]
    root = {"path": (), "points": list(range(len(points))), "centre": None, "children": []}
    level, slot = [root], 0
    for _ in range(depth):
        for node in level:
            split(node, points, branching, cycles, cell_seed(seed, slot), whole)
            slot += 1
        level = [child for node in level for child in node["children"]]
    return root


def split(node, points, branching, cycles, seed, whole):
    """Give `node` its children, unless it is a leaf."""
    own = [points[row] for row in node["points"]]
    if len(own) <= branching or all(point == own[0] for point in own):
        return
    centres, labels = k_means(own, random_starts(own, branching, seed), cycles, whole)
    filled = sorted(set(labels))
    if len(filled) < 2:
        return
    for number, j in enumerate(filled):
        rows = [row for row, label in zip(node["points"], labels, strict=True) if label == j]
        node["children"].append({"path": (*node["path"], number), "points": rows, "centre": centres[j], "children": []})


def nodes_by_level(root):
    """All nodes below the root, level by level."""
    level = root["children"]
    while level:
        yield from level
        level = [child for node in level for child in node["children"]]


def word_of(path, branching, depth):
    """Base-`branching` digits of the path, padded with zeros."""
    return sum(digit * branching ** (depth - 1 - place) for place, digit in enumerate(path))


def descend(node, point):
    """The leaf below `node` that greedy descent ends in, and the nodes passed by."""
    passed = []
    while node["children"]:
        chosen = nearest(point, [child["centre"] for child in node["children"]])
        passed += [child for number, child in enumerate(node["children"]) if number != chosen]
        node = node["children"][chosen]
    return node, passed


def soft(root, point, n_assignments, branching, depth):
    """[(word, distance)] of the leaves that best-bin-first finds, by distance, ties by word."""

    def order(node):
        return sq_distance(point, node["centre"]), word_of(node["path"], branching, depth)

    start, waiting, found = root, [], []
    while len(found) < n_assignments:
        leaf, passed = descend(start, point)
        found.append(leaf)
        waiting += passed
        if not waiting:
            break
        start = min(waiting, key=order)
        waiting.remove(start)
    return [(order(leaf)[1], math.sqrt(order(leaf)[0])) for leaf in sorted(found, key=order)]

"""Jitted loops of the binary k-means tree: splitting cells, visiting leaves best first.

Words: a cell is a range of the list of members; a split cuts it in two at a position of that list, which no other
split has, and which therefore is the split's number while the tree grows. All arithmetic is float64.
splits : (centres, gaps, offsets, children), one row per split. centres (2, d) float32: of the left and the right
         side. gaps: distance between them. offsets: an object is on the right if its margin is larger than that.
"""

import math

import numpy as np

from metricsearch.accelerate import fast_kernel, kernel


@fast_kernel
def _sq_distance(x, y):
    """sum (x - y)^2 of two (d,) vectors."""
    total = 0.0
    for j in range(x.size):
        difference = np.float64(x[j]) - np.float64(y[j])
        total += difference * difference
    return total


@fast_kernel
def _margin(x, left, right):
    """|x - left|^2 - |x - right|^2, summed so that large common parts do not cancel; all (d,).

    Divided by twice the distance of the centres it is the distance of x to the plane between them, with its sign.
    """
    total = 0.0
    for j in range(x.size):
        a = np.float64(left[j])
        b = np.float64(right[j])
        total += (b - a) * (2.0 * np.float64(x[j]) - (a + b))
    return total


@kernel
def largest_norm(objects):
    """Largest length of the rows of (n, d), 0 if there are none."""
    origin = np.zeros(objects.shape[1], dtype=np.float32)
    largest = 0.0
    for i in range(objects.shape[0]):
        largest = max(largest, _sq_distance(objects[i], origin))
    return math.sqrt(largest)


@kernel
def _add(x, sign, total):
    """total += sign * x; (d,) float32 and float64."""
    for j in range(x.size):
        total[j] += sign * np.float64(x[j])


@kernel
def _assign(objects, cell, left, right, on_right, sum_right):
    """Put every object of a cell to the nearer centre, the left one if equally near.

    on_right (m,) bool and sum_right (d,) float64, the sum of these objects, are updated. Returns (objects on the
    right, objects that changed sides).
    """
    n_right = 0
    n_changed = 0
    for i in range(cell.size):
        x = objects[cell[i]]
        side = _margin(x, left, right) > 0.0
        if side != on_right[i]:
            on_right[i] = side
            _add(x, 1.0 if side else -1.0, sum_right)
            n_changed += 1
        if side:
            n_right += 1
    return n_right, n_changed


@kernel
def _sq_distances(objects, cell, x, out):
    """Squared distances of the objects of a cell to x; returns their sum, 0 only if all are equal to x."""
    total = 0.0
    for i in range(cell.size):
        out[i] = _sq_distance(objects[cell[i]], x)
        total += out[i]
    return total


@kernel
def _two_means(objects, cell, draws, max_cycles, left, right, on_right):
    """Lloyd's algorithm for two centres; returns whether the cell can be split: not all its objects are equal.

    draws (2,): random numbers in [0, 1): the first centre is any object, the second is drawn with probability in
    proportion to the squared distance from it. left, right (d,) float32 and on_right (m,) bool are written, and fit
    each other; both sides have objects.
    """
    m = cell.size
    d = objects.shape[1]
    weights = np.empty(m)
    left[:] = objects[cell[min(int(draws[0] * m), m - 1)]]
    total = _sq_distances(objects, cell, left, weights)
    if total == 0.0:
        return False
    remaining = draws[1] * total
    chosen = 0
    for i in range(m):
        if weights[i] > 0.0:
            chosen = i
            remaining -= weights[i]
            if remaining < 0.0:
                break
    right[:] = objects[cell[chosen]]
    sum_all = np.zeros(d)
    for i in range(m):
        _add(objects[cell[i]], 1.0, sum_all)
    sum_right = np.zeros(d)
    on_right[:] = False
    n_right, n_changed = _assign(objects, cell, left, right, on_right, sum_right)
    cycle = 0
    while cycle < max_cycles and n_changed > 0 and 0 < n_right < m:
        for j in range(d):
            left[j] = (sum_all[j] - sum_right[j]) / (m - n_right)
            right[j] = sum_right[j] / n_right
        n_right, n_changed = _assign(objects, cell, left, right, on_right, sum_right)
        cycle += 1
    if n_right == 0 or n_right == m:
        # Only rounding can empty a side: the objects are nearly equal. The farthest one begins it anew.
        left[:] = objects[cell[0]]
        _sq_distances(objects, cell, left, weights)
        right[:] = objects[cell[np.argmax(weights)]]
        _assign(objects, cell, left, right, on_right, sum_right)
    return True


@kernel
def _halve(objects, cell, left, right, on_right):
    """Move the border between two centres so that both sides get as many objects, or nearly if margins are equal.

    on_right (m,) bool is written. Returns the margin that the border has.
    """
    m = cell.size
    margins = np.empty(m)
    for i in range(m):
        margins[i] = _margin(objects[cell[i]], left, right)
    order = np.argsort(margins, kind="mergesort")
    cut = 0
    for away in range(m):  # objects of equal margin stay together: the nearest place to the middle that allows it
        for place in (m // 2 - away, m // 2 + away):
            if cut == 0 and 0 < place < m and margins[order[place - 1]] < margins[order[place]]:
                cut = place
        if cut > 0:
            break
    for i in range(m):
        on_right[order[i]] = i >= cut
    low, high = margins[order[cut - 1]], margins[order[cut]]
    middle = low + (high - low) / 2.0
    return middle if middle < high else low


@kernel
def split_cell(objects, members, begin, end, draws, balanced, max_cycles, splits):
    """Split the cell members[begin:end] and write its row of `splits`; returns its number, 0 if all are equal.

    objects : (n, d) float32     members : (n,) int64 rows, put in order: left side first, each side as it was
    draws : (2,) see _two_means
    """
    centres, gaps, offsets, _ = splits
    cell = members[begin:end].copy()
    d = objects.shape[1]
    left, right = np.empty(d, dtype=np.float32), np.empty(d, dtype=np.float32)
    on_right = np.empty(cell.size, dtype=np.bool_)
    if not _two_means(objects, cell, draws, max_cycles, left, right, on_right):
        return 0
    offset = _halve(objects, cell, left, right, on_right) if balanced else 0.0
    place = begin
    for side in (False, True):
        if side:
            split = place
        for i in range(cell.size):
            if on_right[i] == side:
                members[place] = cell[i]
                place += 1
    centres[split, 0] = left
    centres[split, 1] = right
    gaps[split] = math.sqrt(_sq_distance(left, right))
    offsets[split] = offset
    return split


@kernel
def draw_of(begin, depth, n):
    """Which row of (n, 2) random numbers a cell uses, whoever splits it."""
    return (begin + 7919 * depth) % n


@kernel
def _put(row, begin, end, depth, parent, side):
    row[0], row[1], row[2], row[3], row[4] = begin, end, depth, parent, side


@kernel
def grow_cell(objects, members, cell, draws, limits, balanced, max_cycles, splits):
    """Split a cell and all cells that come of it.

    cell : (begin, end, depth, parent split, side of it: 0 or 1)     limits : (leaf_size, max_depth)
    children of `splits` (int64) are written: the split of each side, or 0.
    """
    leaf_size, max_depth = limits
    children = splits[3]
    stack = np.empty((cell[1] - cell[0] + 1, 5), dtype=np.int64)
    _put(stack[0], cell[0], cell[1], cell[2], cell[3], cell[4])
    n_waiting = 1
    while n_waiting > 0:
        n_waiting -= 1
        begin, end, depth = stack[n_waiting, 0], stack[n_waiting, 1], stack[n_waiting, 2]
        parent, side = stack[n_waiting, 3], stack[n_waiting, 4]
        if end - begin <= leaf_size or depth >= max_depth:
            continue
        draw = draws[draw_of(begin, depth, members.size)]
        split = split_cell(objects, members, begin, end, draw, balanced, max_cycles, splits)
        children[parent, side] = split
        if split > 0:
            _put(stack[n_waiting], split, end, depth + 1, split, 1)
            _put(stack[n_waiting + 1], begin, split, depth + 1, split, 0)
            n_waiting += 2


@kernel
def _is_before(bounds, nodes, i, j):
    """Whether entry i of a heap comes before entry j: by bound, then by node."""
    return bounds[i] < bounds[j] or (bounds[i] == bounds[j] and nodes[i] < nodes[j])


@kernel
def _swap(bounds, nodes, i, j):
    bounds[i], bounds[j] = bounds[j], bounds[i]
    nodes[i], nodes[j] = nodes[j], nodes[i]


@kernel
def _push(bounds, nodes, n, bound, node):
    """Add an entry to a heap of n."""
    i = n
    bounds[i], nodes[i] = bound, node
    while i > 0 and _is_before(bounds, nodes, i, (i - 1) // 2):
        _swap(bounds, nodes, i, (i - 1) // 2)
        i = (i - 1) // 2


@kernel
def _pop(bounds, nodes, n):
    """Move the first entry of a heap of n to its end, n - 1; the rest is a heap."""
    _swap(bounds, nodes, 0, n - 1)
    i = 0
    while 2 * i + 1 < n - 1:
        child = 2 * i + 1
        if child + 1 < n - 1 and _is_before(bounds, nodes, child + 1, child):
            child += 1
        if not _is_before(bounds, nodes, child, i):
            break
        _swap(bounds, nodes, child, i)
        i = child


@kernel
def visit_leaves(query, splits, leaves, heap, state, n_wanted, limit, out):
    """Visit leaves best first until they hold n_wanted objects; returns the number of objects found.

    query : (d,) float32     splits : see above; children int32: of each side, a split, or -1 - leaf
    leaves : (starts (n_leaves + 1,) int32, order (n,) int32): objects of leaf i are order[starts[i] : starts[i + 1]]
    heap : (bounds float64, nodes int64), the branches that wait; a branch's bound is the largest distance of the query
           to a border on the way to it, 0 for the one at hand
    state : (2,) int64, advanced: branches that wait, splits visited. limit: branches of larger bounds are left out
    out : (n,) int64 ordinals, written
    """
    centres, gaps, offsets, children = splits
    starts, order = leaves
    bounds, nodes = heap
    n_found = 0
    while n_found < n_wanted and state[0] > 0 and bounds[0] <= limit:
        n_waiting = state[0]
        _pop(bounds, nodes, n_waiting)
        n_waiting -= 1
        bound, node = bounds[n_waiting], nodes[n_waiting]
        while node >= 0:
            beyond = _margin(query, centres[node, 0], centres[node, 1]) - offsets[node]
            near = 1 if beyond > 0.0 else 0
            far_bound = max(bound, abs(beyond) / (2.0 * gaps[node]))
            if far_bound <= limit:
                _push(bounds, nodes, n_waiting, far_bound, np.int64(children[node, 1 - near]))
                n_waiting += 1
            node = np.int64(children[node, near])
            state[1] += 1
        state[0] = n_waiting
        leaf = -1 - node
        for i in range(starts[leaf], starts[leaf + 1]):
            out[n_found] = order[i]
            n_found += 1
    return n_found


@kernel
def leaf_depths(children, root, out):
    """Depth of every leaf, (n_leaves,) int64 written; children as in visit_leaves."""
    stack = np.empty((out.size + 1, 2), dtype=np.int64)
    stack[0, 0], stack[0, 1] = root, 0
    n_waiting = 1
    while n_waiting > 0:
        n_waiting -= 1
        node, depth = stack[n_waiting, 0], stack[n_waiting, 1]
        if node < 0:
            out[-1 - node] = depth
        else:
            for side in range(2):
                stack[n_waiting, 0], stack[n_waiting, 1] = children[node, side], depth + 1
                n_waiting += 1

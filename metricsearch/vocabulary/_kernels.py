"""Jitted loops of the vocabulary tree: nearest centres, Lloyd cycles, grouping, best-bin-first.

A cell is a run of points begin[c] .. end[c] - 1 whose candidate centres are centres[first[c] : first[c] + count[c]];
count 0 passes the cell over. Points and centres are read-only (n, d) arrays of one dtype, uint8 or float32.
"""

import numpy as np

from metricsearch.accelerate import fast_kernel, kernel


@kernel
def nearest_uint8(x, rows, begin, end, first, count, centres, labels, changed):
    """Number of the nearest centre of its cell for every point, ties by the lowest number; exact.

    x : (n, d) uint8, rows : (m,) int64: point i of a cell is x[rows[i]]; labels : (m,) uint16, read and written
    changed : (cells,) bool, set where a label differs from the one that stood there
    """
    d = x.shape[1]
    for cell in range(begin.size):
        different = False
        for i in range(begin[cell], end[cell]):
            if count[cell] == 0:
                break
            row = rows[i]
            nearest = np.int32(2147483647)
            label = 0
            for j in range(count[cell]):
                centre = first[cell] + j
                # 32-bit steps on purpose: numba's default of 64 bits halves the width of the vector loop.
                total = np.int32(0)
                for t in range(d):
                    step = np.int32(np.int32(x[row, t]) - np.int32(centres[centre, t]))
                    total = np.int32(total + np.int32(step * step))
                if total < nearest:
                    nearest = total
                    label = j
            if labels[i] != label:
                labels[i] = label
                different = True
        changed[cell] = different


@fast_kernel
def nearest_float32(x, rows, begin, end, first, count, centres, labels, changed):
    """`nearest_uint8` for float32 points, in float64."""
    d = x.shape[1]
    for cell in range(begin.size):
        different = False
        for i in range(begin[cell], end[cell]):
            if count[cell] == 0:
                break
            row = rows[i]
            nearest = np.inf
            label = 0
            for j in range(count[cell]):
                centre = first[cell] + j
                total = 0.0
                for t in range(d):
                    step = np.float64(x[row, t]) - np.float64(centres[centre, t])
                    total += step * step
                if total < nearest:
                    nearest = total
                    label = j
            if labels[i] != label:
                labels[i] = label
                different = True
        changed[cell] = different


@fast_kernel
def _sq_distance(x, row, centres, centre):
    """Squared distance in float64; exact for uint8."""
    total = 0.0
    for t in range(x.shape[1]):
        step = np.float64(x[row, t]) - np.float64(centres[centre, t])
        total += step * step
    return total


@kernel
def _next_random(state):
    """(next state, random number) of splitmix64 (Steele, Lea, Flood 2014)."""
    state += np.uint64(0x9E3779B97F4A7C15)
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


@kernel
def find_leaves(x, begin, end, branching, count):
    """count (cells,) int64: `branching`, or 0 for a cell of at most so many points, or of equal points."""
    d = x.shape[1]
    for cell in range(begin.size):
        count[cell] = 0
        if end[cell] - begin[cell] <= branching:
            continue
        for i in range(begin[cell] + 1, end[cell]):
            for t in range(d):
                if x[i, t] != x[begin[cell], t]:
                    count[cell] = branching
                    break
            if count[cell]:
                break


@kernel
def choose_random(begin, end, first, count, states, chosen):
    """Different random points of every cell, ascending: point i with probability (still needed) / (still to come).

    states : (cells,) uint64 seeds; chosen : (centres,) int64, written
    """
    for cell in range(begin.size):
        state = states[cell]
        needed = count[cell]
        for i in range(begin[cell], end[cell]):
            if needed == 0:
                break
            state, number = _next_random(state)
            if ((number >> np.uint64(32)) * np.uint64(end[cell] - i)) >> np.uint64(32) < np.uint64(needed):
                chosen[first[cell] + count[cell] - needed] = i
                needed -= 1


@kernel
def draw_weighted(begin, end, first, count, j, weights, states, chosen):
    """One point of every cell with probability proportional to its weight, as start of centre j.

    Where all weights are 0 it is the first point: a copy of a centre, which gets no points and is dropped later.
    weights : (n,) float64; states : (cells,) uint64, read and written; chosen : (centres,) int64, written
    """
    for cell in range(begin.size):
        if count[cell] == 0:
            continue
        total = 0.0
        for i in range(begin[cell], end[cell]):
            total += weights[i]
        state, number = _next_random(states[cell])
        states[cell] = state
        target = np.float64(number >> np.uint64(11)) * 2.0**-53 * total
        choice = begin[cell]
        passed = 0.0
        for i in range(begin[cell], end[cell]):
            if weights[i] > 0.0:
                choice = i
            passed += weights[i]
            if passed > target:
                break
        chosen[first[cell] + j] = choice


@kernel
def lower_weights(x, begin, end, first, count, j, chosen, weights):
    """weights[i] = squared distance of point i to the nearest of the starts 0 .. j of its cell."""
    for cell in range(begin.size):
        if count[cell] == 0:
            continue
        start = chosen[first[cell] + j]
        for i in range(begin[cell], end[cell]):
            distance = _sq_distance(x, i, x, start)
            if j == 0 or distance < weights[i]:
                weights[i] = distance


@kernel
def fill_empty(x, begin, end, first, count, centres, labels):
    """Give every empty cluster the point farthest from its centre (ties: the first), as long as one lies off it.

    A cluster's only point stays where it is.
    """
    for cell in range(begin.size):
        if count[cell] == 0:
            continue
        sizes = np.zeros(count[cell], np.int64)
        for i in range(begin[cell], end[cell]):
            sizes[labels[i]] += 1
        if sizes.min() > 0:
            continue
        distances = np.empty(end[cell] - begin[cell])
        for i in range(begin[cell], end[cell]):
            distances[i - begin[cell]] = _sq_distance(x, i, centres, first[cell] + labels[i])
        for j in range(count[cell]):
            if sizes[j] > 0:
                continue
            farthest = -1
            largest = 0.0
            for i in range(begin[cell], end[cell]):
                if distances[i - begin[cell]] > largest and sizes[labels[i]] > 1:
                    largest = distances[i - begin[cell]]
                    farthest = i
            if farthest < 0:
                break
            sizes[labels[farthest]] -= 1
            labels[farthest] = j
            sizes[j] = 1
            distances[farthest - begin[cell]] = 0.0


@kernel
def add_points(x, begin, end, labels, sums, sizes):
    """Add the points begin .. end - 1 to sums (k, d) float64 and sizes (k,) int64 of their clusters, in order."""
    d = x.shape[1]
    for i in range(begin, end):
        label = labels[i]
        sizes[label] += 1
        for t in range(d):
            sums[label, t] += x[i, t]


@kernel
def set_centres(sums, sizes, first, n, whole, centres):
    """Centres first .. first + n - 1 become the means of their points; an empty cluster keeps its centre.

    whole : round to whole numbers, halves up. That is the best whole-number centre, so no cycle does harm.
    """
    d = centres.shape[1]
    for j in range(n):
        if sizes[j] == 0:
            continue
        size = np.float64(sizes[j])
        for t in range(d):
            mean = sums[j, t] / size
            if whole:
                mean = np.floor(mean + 0.5)
            centres[first + j, t] = mean


@kernel
def update_centres(x, begin, end, first, count, labels, whole, centres):
    """`add_points` and `set_centres` for every cell."""
    most = 0
    for cell in range(begin.size):
        most = max(most, count[cell])
    sums = np.empty((most, x.shape[1]))
    sizes = np.empty(most, np.int64)
    for cell in range(begin.size):
        n = count[cell]
        if n == 0:
            continue
        sums[:n] = 0.0
        sizes[:n] = 0
        add_points(x, begin[cell], end[cell], labels, sums, sizes)
        set_centres(sums, sizes, first[cell], n, whole, centres)


@kernel
def distribute(x, begin, end, first, count, labels, moved, y, child_begin, child_end):
    """Order the points of every cell by cluster, and inside a cluster as before.

    Copied to y only if `moved`. child_begin, child_end : (centres,) int64, written: the run of each cluster's points.
    A cell with fewer than two clusters that have points is a leaf: all its runs are empty, and it is not copied.
    """
    d = x.shape[1]
    for cell in range(begin.size):
        if count[cell] == 0:
            continue
        start = first[cell]
        for j in range(count[cell]):
            child_end[start + j] = 0
        for i in range(begin[cell], end[cell]):
            child_end[start + labels[i]] += 1
        position = begin[cell]
        clusters = 0
        for j in range(count[cell]):
            size = child_end[start + j]
            if size > 0:
                clusters += 1
            child_begin[start + j] = position
            child_end[start + j] = position
            position += size
        if clusters < 2:
            for j in range(count[cell]):
                child_end[start + j] = child_begin[start + j]
            continue
        for i in range(begin[cell], end[cell]):
            target = child_end[start + labels[i]]
            child_end[start + labels[i]] += 1
            if moved:
                for t in range(d):
                    y[target, t] = x[i, t]


@kernel
def group_by_child(
    rows, begin, end, slots, first_child, n_children, labels, place, words, grouped, new_begin, new_end, new_slots
):
    """One level down: order the rows of every group by child; returns how many groups go on.

    rows, grouped : (n,) int64, read and written; labels : (n,) uint16, children that the rows go to
    place : value of this level's digit; words : (number of descriptors,) uint32, the digit is added
    new_* : one entry for every group whose child has children itself
    """
    n_new = 0
    for group in range(begin.size):
        slot = slots[group]
        k = np.int64(n_children[slot])
        ends = np.zeros(k, np.int64)
        for i in range(begin[group], end[group]):
            ends[labels[i]] += 1
        position = begin[group]
        for j in range(k):
            size = ends[j]
            child = np.int64(first_child[slot]) + j + 1
            if size > 0 and child < n_children.size and n_children[child] > 0:
                new_begin[n_new] = position
                new_end[n_new] = position + size
                new_slots[n_new] = child
                n_new += 1
            ends[j] = position
            position += size
        for i in range(begin[group], end[group]):
            grouped[ends[labels[i]]] = rows[i]
            ends[labels[i]] += 1
            words[rows[i]] += np.uint32(labels[i] * place)
    return n_new


@kernel
def nearest_leaves(x, centres, first_child, n_children, branching, depth, n_checks, words, distances):
    """Best-bin-first: the r nearest of the leaves where the first n_checks descents end, by distance, ties by word.

    The first descent starts at the root; each later one at the nearest node passed by so far (ties: lowest word).
    words : (n, r) uint32, distances : (n, r) float32, written; r <= n_checks <= number of leaves
    """
    n, r = words.shape
    capacity = min(n_checks * depth, n_children.size) * branching
    waiting_distance = np.empty(capacity)
    waiting_node = np.empty(capacity, np.int64)
    waiting_word = np.empty(capacity, np.int64)
    waiting_level = np.empty(capacity, np.int64)
    found_distance = np.empty(n_checks)
    found_word = np.empty(n_checks, np.int64)
    for i in range(n):
        n_waiting = 0
        for found in range(n_checks):
            node = -1  # the root
            word = 0
            level = 0
            distance = 0.0
            take = -1  # the waiting node that this descent starts from
            if found > 0:
                take = 0
                for w in range(1, n_waiting):
                    if waiting_distance[w] < waiting_distance[take] or (
                        waiting_distance[w] == waiting_distance[take] and waiting_word[w] < waiting_word[take]
                    ):
                        take = w
            while True:
                if take >= 0:
                    node = waiting_node[take]
                    word = waiting_word[take]
                    level = waiting_level[take]
                    distance = waiting_distance[take]
                    n_waiting -= 1
                    waiting_node[take] = waiting_node[n_waiting]
                    waiting_word[take] = waiting_word[n_waiting]
                    waiting_level[take] = waiting_level[n_waiting]
                    waiting_distance[take] = waiting_distance[n_waiting]
                if node + 1 >= n_children.size or n_children[node + 1] == 0:
                    break
                level += 1
                place = 1
                for _ in range(depth - level):
                    place *= branching
                take = n_waiting
                for j in range(np.int64(n_children[node + 1])):
                    child = np.int64(first_child[node + 1]) + j
                    waiting_distance[n_waiting] = _sq_distance(x, i, centres, child)
                    waiting_node[n_waiting] = child
                    waiting_word[n_waiting] = word + j * place
                    waiting_level[n_waiting] = level
                    if waiting_distance[n_waiting] < waiting_distance[take]:
                        take = n_waiting
                    n_waiting += 1
            slot = found
            while slot > 0 and (
                found_distance[slot - 1] > distance
                or (found_distance[slot - 1] == distance and found_word[slot - 1] > word)
            ):
                found_distance[slot] = found_distance[slot - 1]
                found_word[slot] = found_word[slot - 1]
                slot -= 1
            found_distance[slot] = distance
            found_word[slot] = word
        for found in range(r):
            words[i, found] = found_word[found]
            distances[i, found] = np.sqrt(found_distance[found])

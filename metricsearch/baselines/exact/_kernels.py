"""Jitted loop of LAESA."""

from metricsearch.accelerate import kernel


@kernel
def pivot_bounds(query, table, bounds):
    """max over pivots of |d(q, p) - d(x, p)|, a lower bound of d(q, x).

    query (k,) and table (k, n): distances of the query and of the objects to the pivots, float32. bounds (n,) float64.
    A block of objects at a time stays in the cache; pivot by pivot, a block is one vectorised loop.
    """
    block = 1024
    for start in range(0, bounds.size, block):
        part = bounds[start : start + block]
        part[:] = 0.0
        for i in range(query.size):
            row = table[i, start : start + block]
            to_pivot = float(query[i])
            for j in range(part.size):
                difference = abs(to_pivot - row[j])
                part[j] = difference if difference > part[j] else part[j]

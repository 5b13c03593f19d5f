"""Selection of the nearest pivots."""

import numpy as np

from metricsearch.accelerate import kernel


@kernel
def nearest_columns(distances, columns, values):
    """Columns of the smallest values of each row, ascending, ties by column.

    distances : (n, k) float, read only
    columns   : (n, m) uint16, m <= k, written
    values    : (n, m) float64, written: the distances of these columns
    """
    n, k = distances.shape
    m = columns.shape[1]
    for row in range(n):
        filled = 0
        for column in range(k):
            value = np.float64(distances[row, column])
            if filled == m and value >= values[row, m - 1]:
                continue
            slot = filled if filled < m else m - 1
            # Strictly greater: of equal values the earlier column stays in front.
            while slot > 0 and values[row, slot - 1] > value:
                values[row, slot] = values[row, slot - 1]
                columns[row, slot] = columns[row, slot - 1]
                slot -= 1
            values[row, slot] = value
            columns[row, slot] = column
            if filled < m:
                filled += 1

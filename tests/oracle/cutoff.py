"""Reading candidates step by step until the next estimate is too large for the k-th distance: one query at a time."""


def steps(k, most):
    """Numbers of candidates read: first k, then a fifth and at least 2 more each time, at most `most`."""
    numbers = [min(k, most)]
    while numbers[-1] != most:
        numbers.append(min(most, max(numbers[-1] + 2, int(numbers[-1] * 1.2))))
    return numbers


def n_read(estimates, distances, k, power, slope, offset, depth):
    """How many candidates a query reads."""
    for n in steps(k, len(estimates)):
        kth = sorted(distances[:n])[min(k, n) - 1]
        if n >= min(depth, len(estimates)) or estimates[n] - slope * kth**power > offset:
            return n
    raise AssertionError("steps end with all candidates")


def recall(distances, truth, k, n):
    """Share of the k nearest that the first n candidates reach, by distance."""
    return min(k, sum(d <= truth[k - 1] * (1 + 1e-6) for d in distances[:n])) / k


def replayed(estimates, distances, truth, k, power, slope, offset, depth):
    """Mean recall, and mean number of candidates read, over all queries."""
    read = [n_read(e, d, k, power, slope, offset, depth) for e, d in zip(estimates, distances, strict=True)]
    found = [recall(d, t, k, n) for d, t, n in zip(distances, truth, read, strict=True)]
    return sum(found) / len(found), sum(read) / len(read)

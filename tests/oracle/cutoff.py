"""Reading candidates step by step until the next estimate is too large for the k-th distance: one query at a time."""


def steps(k, most):
    """Numbers of candidates read: first max(k, 16), then a fifth and at least 8 more each time, at most `most`."""
    numbers = [min(max(k, 16), most)]
    while numbers[-1] != most:
        numbers.append(min(most, max(numbers[-1] + 8, int(numbers[-1] * 1.2))))
    return numbers


def n_read(estimates, distances, k, power, bound):
    """How many candidates a query reads."""
    for n in steps(k, len(estimates)):
        kth = sorted(distances[:n])[min(k, n) - 1] ** power
        if n == len(estimates) or kth == 0 or estimates[n] / kth > bound:
            return n
    raise AssertionError("steps end with all candidates")


def recall(distances, truth, k, n):
    """Share of the k nearest that the first n candidates reach, by distance."""
    return min(k, sum(d <= truth[k - 1] * (1 + 1e-6) for d in distances[:n])) / k


def mean_recall(estimates, distances, truth, k, power, bound):
    """Over all queries."""
    found = [
        recall(d, t, k, n_read(e, d, k, power, bound)) for e, d, t in zip(estimates, distances, truth, strict=True)
    ]
    return sum(found) / len(found)

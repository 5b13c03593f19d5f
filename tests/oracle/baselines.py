"""Slow, literal baselines: every position by looking it up, every candidate list by sorting all objects.

Never imports the package under test. Distances come as rows of numbers: `object_distances` (n, k) from every object to
every pivot, `query_distances` (k,) from the query to every pivot. Positions in permutations count from 0.
"""

from dataclasses import dataclass

from oracle.ppp import full_permutation, prefixes_from_distances, rank


@dataclass(frozen=True)
class Candidates:
    """ids: best first. n_ids_ranked: postings read, or IDs taken, per space."""

    ids: list
    n_ids_ranked: list


def prefix_of(distances, length):
    """The `length` nearest pivots, nearest first, ties by pivot index."""
    return full_permutation(list(distances))[:length]


def best(keyed, n_candidates):
    """IDs of (key, ID) pairs by key, ties by ID, the first `n_candidates`."""
    return [one for _, one in sorted(keyed)][:n_candidates]


# ---------------------------------------------------------------- permutation scan


def permutation_distance(object_row, query_row, distance, threshold=None):
    """footrule: sum of |difference of positions|; rho: of their squares; binary: pivots on different sides."""
    ours, theirs = full_permutation(list(object_row)), full_permutation(list(query_row))
    n_pivots = len(ours)
    pairs = [(ours.index(pivot), theirs.index(pivot)) for pivot in range(n_pivots)]
    if distance == "footrule":
        return sum(abs(x - q) for x, q in pairs)
    if distance == "rho":
        return sum((x - q) ** 2 for x, q in pairs)
    if distance == "binary":
        threshold = n_pivots // 2 if threshold is None else threshold
        return sum((x >= threshold) != (q >= threshold) for x, q in pairs)
    raise ValueError(distance)


def permutation_scan(object_distances, query_distances, ids, n_candidates, *, distance="footrule", threshold=None):
    """All objects by the distance of their permutation to the query's, ties by ID."""
    keyed = [
        (permutation_distance(row, query_distances, distance, threshold), one)
        for row, one in zip(object_distances, ids, strict=True)
    ]
    return Candidates(best(keyed, n_candidates), [len(ids)])


# ---------------------------------------------------------------- inverted files


def mi_file(
    object_distances,
    query_distances,
    ids,
    n_candidates,
    *,
    n_indexed,
    n_searched=None,
    max_position_difference=None,
):
    """Amato, Gennaro, Savino: footrule over the query's nearest pivots, absent ones at position n_indexed.

    A posting is read if its pivot is one of the query's n_searched nearest and its position no further from the
    query's than max_position_difference; a pivot whose posting is not read counts as absent. An object without any
    posting read is no candidate.
    """
    searched = prefix_of(query_distances, n_indexed if n_searched is None else n_searched)
    keyed, n_postings = [], 0
    for row, one in zip(object_distances, ids, strict=True):
        prefix = prefix_of(row, n_indexed)
        score, n_read = 0, 0
        for position_of_query, pivot in enumerate(searched):
            position = prefix.index(pivot) if pivot in prefix else None
            if position is not None and max_position_difference is not None:
                position = position if abs(position - position_of_query) <= max_position_difference else None
            n_read += position is not None
            score += abs((n_indexed if position is None else position) - position_of_query)
        n_postings += n_read
        if n_read:
            keyed.append((score, one))
    return Candidates(best(keyed, n_candidates), [n_postings])


def napp(object_distances, query_distances, ids, n_candidates, *, n_indexed, n_searched=None, min_shared=1):
    """Tellez, Chávez, Navarro: objects that share at least min_shared near pivots with the query, most first."""
    searched = set(prefix_of(query_distances, n_indexed if n_searched is None else n_searched))
    shared = [len(searched & set(prefix_of(row, n_indexed))) for row in object_distances]
    keyed = [(-count, one) for count, one in zip(shared, ids, strict=True) if count >= min_shared]
    return Candidates(best(keyed, n_candidates), [sum(shared)])


# ---------------------------------------------------------------- prefixes


def m_index(object_distances, query_distances, ids, n_candidates, *, prefix_length, max_level=None):
    """PPP-Codes of one space whose cells are visited by the penalty `diff`."""
    prefixes = prefixes_from_distances(object_distances, prefix_length)[:, None]
    found = rank(prefixes, [query_distances], n_candidates, ids=ids, ranking="diff", max_level=max_level)
    return Candidates(found.ids, found.n_ids_ranked)


def perturbed_prefixes(query_distances, length, n_queries):
    """The query's prefix, and those of up to n_queries - 1 perturbed queries.

    Each swaps one pair of neighbours in the query's permutation, the pairs of most similar pivot distances first, ties
    by position; pairs behind the prefix are not swapped, since they leave it as it is.
    """
    own = full_permutation(list(query_distances))
    places = [i for i in range(length) if i + 1 < len(own)]
    places.sort(key=lambda i: (query_distances[own[i + 1]] - query_distances[own[i]], i))
    out = [own[:length]]
    for i in places[: n_queries - 1]:
        swapped = list(own)
        swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
        out.append(swapped[:length])
    return out


def n_shared(left, right):
    """Length of the longest common prefix."""
    length = 0
    while length < min(len(left), len(right)) and left[length] == right[length]:
        length += 1
    return length


def pp_index(object_distances, query_distances, ids, n_candidates, *, prefix_length, n_queries=1):
    """Esuli: in every tree the objects below the query's prefix, shortened until they are enough; then merged.

    object_distances: [tree] of (n, k); query_distances: [tree] of (k,). Order: longest prefix shared with a query
    that found the object, most (tree, query) pairs that found it, ID.
    """
    longest, n_found, n_taken = {}, {}, []
    for of_objects, of_query in zip(object_distances, query_distances, strict=True):
        prefixes = [prefix_of(row, prefix_length) for row in of_objects]
        n_taken.append(0)
        for query_prefix in perturbed_prefixes(of_query, prefix_length, n_queries):
            shared = [n_shared(query_prefix, prefix) for prefix in prefixes]
            depth = prefix_length
            while depth > 0 and sum(s >= depth for s in shared) < n_candidates:
                depth -= 1
            for s, one in zip(shared, ids, strict=True):
                if s >= depth:
                    longest[one] = max(longest.get(one, 0), s)
                    n_found[one] = n_found.get(one, 0) + 1
                    n_taken[-1] += 1
    return Candidates(best([((-longest[one], -n_found[one]), one) for one in longest], n_candidates), n_taken)


# ---------------------------------------------------------------- exact search


def laesa_bound(object_row, query_distances):
    """Largest lower bound of the triangle inequality over the pivots."""
    return max(abs(float(q) - float(x)) for x, q in zip(object_row, query_distances, strict=True))


def nearest(distances, ids, k):
    """The k nearest as (ID, distance) pairs, ties by ID."""
    return [(one, distance) for distance, one in sorted(zip(distances, ids, strict=True))[:k]]

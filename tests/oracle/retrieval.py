"""Slow, literal measures of image retrieval. Imports no metricsearch.

A ranking is a list of (image, score), ascending by score, ties by image; what it does not name comes after all else.
`relevant` and `junk` are sets of images; all others are wrong.
"""

import math


def without(ranking, *images):
    """The ranking with some images taken out (junk, or the query itself)."""
    taken = set().union(*images)
    return [(image, score) for image, score in ranking if image not in taken]


def rank_of(member, ranking, relevant, ignored, database):
    """NS06: 1 + the number of wrong images ahead. Unnamed images follow, the wrong ones first."""
    named = [image for image, _ in ranking]
    order = named + sorted(set(database) - set(named), key=lambda image: (image in relevant, image))
    ahead = order[: order.index(member)]
    return 1 + sum(image not in relevant and image not in ignored for image in ahead)


def worst_rank_of(member, ranking, relevant, ignored, database):
    """As `rank_of`, with every wrong image of equal score ahead."""
    scores = dict(ranking)
    own = scores.get(member, math.inf)
    wrong = [image for image in database if image not in relevant and image not in ignored]
    return 1 + sum(scores.get(image, math.inf) <= own for image in wrong)


def perfect_retrieval(ranks):
    """Share of (query, member) pairs with no wrong image ahead; `ranks`: one list of ranks per query."""
    per_query = [sum(rank == 1 for rank in of_query) / len(of_query) for of_query in ranks]
    return sum(per_query) / len(per_query)


def rank_curve(ranks, percent, n_database):
    """Share of pairs whose rank is within `percent` % of the database (Fig. 6)."""
    pairs = [rank for of_query in ranks for rank in of_query]
    return sum(100 * rank <= percent * n_database for rank in pairs) / len(pairs)


def n_s(ranking, group, top=4):
    """How many of the group's four images, the query's own among them, are in the top four."""
    return sum(image in group for image, _ in ranking[:top])


def hit_at(ranking, relevant, n):
    """1 if a relevant image is among the first n."""
    return int(any(image in relevant for image, _ in ranking[:n]))


def recall_at(ranking, relevant, n):
    """Share of the relevant images among the first n."""
    return sum(image in relevant for image, _ in ranking[:n]) / len(relevant)


def average_precision(ranking, relevant, junk=frozenset()):
    """Oxford protocol: junk taken out, area under precision over recall by trapezoids, precision 1 at recall 0."""
    area, hits, old_recall, old_precision = 0.0, 0, 0.0, 1.0
    for place, (image, _) in enumerate(without(ranking, junk), start=1):
        hits += image in relevant
        recall, precision = hits / len(relevant), hits / place
        area += (recall - old_recall) * (precision + old_precision) / 2
        old_recall, old_precision = recall, precision
    return area


def revisited_average_precision(ranking, easy, hard, junk, difficulty):
    """ROxford, RParis: what the difficulty does not ask for is junk. None without a relevant image."""
    relevant, ignored = {
        "easy": (easy, junk | hard),
        "medium": (easy | hard, junk),
        "hard": (hard, junk | easy),
    }[difficulty]
    return average_precision(ranking, relevant, ignored) if relevant else None

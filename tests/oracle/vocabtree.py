"""Slow, literal vocabulary tree: descent by loops, dense vectors over all nodes, formula (3). Imports no metricsearch.

An image is a list of words, with repetition. A node is (level, number); the number of a word's ancestor at level l is
word // branching ** (depth - l), the root is (0, 0). Options are a dict; `DEFAULTS` lists them (NS06, Table 1).
"""

import math
from collections import Counter

import numpy as np

DEFAULTS = {
    "norm": "l1",
    "levels": 1,
    "entropy_query": True,
    "entropy_database": True,
    "frequency": "image",
    "relative_to": "root",
    "exact_frequency": True,
    "stop_most": 0.0,
    "stop_least": 0.0,
    "max_list_length": None,
    "burstiness": False,
    "drop_unseen": False,
}

# NS06, Table 1: option sets of the rows; "tree" says which vocabulary: deep (6x10), shallow (4x10) or flat (1x10K).
L2, NO_ENTROPY = {"norm": "l2"}, {"entropy_query": False, "entropy_database": False}
TABLE_1 = {
    "A": ("deep", {}),
    "B": ("deep", {"frequency": "word"}),
    "C": ("deep", {"levels": 2}),
    "D": ("deep", {"levels": 2, "entropy_query": False}),
    "E": ("deep", {"levels": 2, "entropy_database": False}),
    "F": ("deep", {"levels": 2} | NO_ENTROPY),
    "G": ("deep", NO_ENTROPY),
    "H": ("deep", {"stop_most": 2.0}),
    "I": ("deep", {"levels": 3}),
    "J": ("deep", {"levels": 4}),
    "K": ("deep", {"levels": 2, "frequency": "word"}),
    "L": ("deep", {"levels": 2, "relative_to": "parent"}),
    "M": ("deep", {"stop_most": 5.0}),
    "N": ("deep", L2),
    "O": ("deep", L2 | {"levels": 2}),
    "P": ("deep", {"levels": 2, "stop_least": 10.0}),
    "Q": ("flat", {}),
    "R": ("shallow", {"levels": 2}),
    "S": ("shallow", {}),
    "T": ("flat", L2),
    "U": ("shallow", L2),
    "V": ("shallow", L2 | {"levels": 2}),
    "W": ("flat", L2 | NO_ENTROPY),
}


class Tree:
    """Shape only: `branching` children per node, `depth` levels below the root."""

    def __init__(self, branching, depth):
        self.branching, self.depth = branching, depth

    def ancestor(self, word, level):
        return word // self.branching ** (self.depth - level)

    def used_levels(self, levels):
        """Levels counted from the leaves."""
        return list(range(self.depth - levels + 1, self.depth + 1))

    def counts(self, words, level):
        """Counter of n_i (or m_i): how many of the words pass through each node of a level."""
        return Counter(self.ancestor(word, level) for word in words)

    def nodes(self, level):
        return range(self.branching**level)


class Statistics:
    """N and N_i of all nodes, counted by going through all images."""

    def __init__(self, tree, images):
        self.tree, self.images = tree, [list(map(int, words)) for words in images]
        self.n_images = len(self.images)
        self.n_words = sum(map(len, self.images))
        self.image_frequency, self.word_frequency, self.list_length = {}, {}, {}
        for level in range(tree.depth + 1):
            images_with, occurrences, lengths = Counter(), Counter(), Counter()
            for words in self.images:
                counts = tree.counts(words, level)
                images_with.update(counts.keys())
                occurrences.update(counts)
                # A virtual list names an image once for each of the node's leaves that the image has.
                lengths.update(tree.ancestor(leaf, level) for leaf in set(words))
            self.image_frequency[level] = images_with
            self.word_frequency[level] = occurrences
            self.list_length[level] = lengths

    def total(self, options):
        return self.n_words if options["frequency"] == "word" else self.n_images

    def frequency(self, level, node, options):
        """N_i by the options; the root counts everything."""
        if level == 0:
            return self.total(options)
        if options["frequency"] == "word":
            return self.word_frequency[level][node]
        table = self.image_frequency if options["exact_frequency"] or level == self.tree.depth else self.list_length
        return table[level][node]


def stopped(statistics, level, options):
    """Nodes of a level on the stop-lists: floor(n * pct / 100) of the occurring ones at either end."""
    occurring = [node for node in statistics.tree.nodes(level) if statistics.frequency(level, node, options) > 0]
    n_most = math.floor(len(occurring) * options["stop_most"] / 100)
    n_least = math.floor(len(occurring) * options["stop_least"] / 100)
    most = sorted(occurring, key=lambda node: (-statistics.frequency(level, node, options), node))[:n_most]
    least = sorted(occurring, key=lambda node: (statistics.frequency(level, node, options), node))[:n_least]
    return set(most) | set(least)


def entropy_weight(statistics, level, node, options):
    """Formula (4), w_i = ln(N / N_i), or ln(N_parent / N_i); N_i = 0 counts as 1 (A2)."""
    own = max(statistics.frequency(level, node, options), 1)
    if options["relative_to"] == "parent":
        above = statistics.frequency(level - 1, node // statistics.tree.branching, options)
    else:
        above = statistics.total(options)
    return math.log(max(above, 1) / own)


def weight_tables(statistics, options):
    """(query weights, database weights): {level: [w_i of every node]} of the used levels."""
    query, database = {}, {}
    for level in statistics.tree.used_levels(options["levels"]):
        off = stopped(statistics, level, options)
        query[level], database[level] = [], []
        for node in statistics.tree.nodes(level):
            blocked = (
                options["max_list_length"] is not None
                and statistics.list_length[level][node] > options["max_list_length"]
            )
            unseen = statistics.frequency(level, node, options) == 0 and options["drop_unseen"]
            if node in off or blocked or unseen:
                w_query = w_database = 0.0
            else:
                w = entropy_weight(statistics, level, node, options)
                w_query = w if options["entropy_query"] else 1.0
                w_database = w if options["entropy_database"] else 1.0
            query[level].append(w_query)
            database[level].append(w_database)
    return query, database


def vector(tree, counts_of_level, weights, options):
    """q_i = n_i w_i (formulas 1, 2) of all nodes of the used levels, one after another. Not normalised."""
    values = []
    for level, table in weights.items():
        counts = counts_of_level(level)
        for node in tree.nodes(level):
            n = counts.get(node, 0)
            values.append((math.sqrt(n) if options["burstiness"] else n) * table[node])
    return np.array(values, dtype=np.float64)


def norm_of(x, norm):
    return math.fsum(abs(v) for v in x) if norm == "l1" else math.sqrt(math.fsum(v * v for v in x))


def score(q, d, norm):
    """Formula (3); None when the two share no weighted node, or one of them is empty."""
    q_norm, d_norm = norm_of(q, norm), norm_of(d, norm)
    if q_norm == 0 or d_norm == 0 or not ((q != 0) & (d != 0)).any():
        return None
    return norm_of(q / q_norm - d / d_norm, norm)


def search(tree, images, query_words, k=None, statistics=None, query_shares=None, **options):
    """[(image id, score)] by score, then id; images that share nothing with the query are left out.

    images       : {id: words}
    statistics   : of an independent or an earlier set of images; None: of `images`
    query_shares : how much each query word counts; None: 1 each
    """
    options = DEFAULTS | options
    statistics = statistics or Statistics(tree, images.values())
    w_query, w_database = weight_tables(statistics, options)

    def query_counts(level):
        counts = Counter()
        shares = [1] * len(query_words) if query_shares is None else query_shares
        for word, share in zip(query_words, shares, strict=True):
            counts[tree.ancestor(int(word), level)] += share
        return counts

    q = vector(tree, query_counts, w_query, options)
    found = []
    for image, words in images.items():
        counts = {level: tree.counts(map(int, words), level) for level in w_database}
        value = score(q, vector(tree, counts.__getitem__, w_database, options), options["norm"])
        if value is not None:
            found.append((image, value))
    return sorted(found, key=lambda pair: (pair[1], pair[0]))[:k]


def search_explicit_lists(tree, images, query_words, **options):
    """As `search`, over an inverted file of every node, inner ones too: formula (5), summed list by list."""
    options = DEFAULTS | options
    w_query, w_database = weight_tables(Statistics(tree, images.values()), options)
    root = math.sqrt if options["burstiness"] else float
    power = 1 if options["norm"] == "l1" else 2
    lists, norms = {}, Counter()  # node -> [(image, m_i w_i)]
    for image, words in images.items():
        for level in w_database:
            for node, m in tree.counts(map(int, words), level).items():
                value = root(m) * w_database[level][node]
                if value != 0:
                    lists.setdefault((level, node), []).append((image, value))
                    norms[image] += abs(value) ** power
    query = {}
    for level in w_query:
        for node, n in tree.counts(map(int, query_words), level).items():
            query[level, node] = root(n) * w_query[level][node]
    q_norm = sum(abs(value) ** power for value in query.values()) ** (1 / power)
    sums = Counter()
    for node, value in query.items():
        for image, entry in lists.get(node, []):
            if value != 0:
                q, d = value / q_norm, entry / norms[image] ** (1 / power)
                sums[image] += abs(q - d) ** power - abs(q) ** power - abs(d) ** power
    found = [(image, max(2 + total, 0.0) ** (1 / power)) for image, total in sums.items()]
    return sorted(found, key=lambda pair: (pair[1], pair[0]))


# ---------------------------------------------------------------- soft assignment, Hamming embedding


def soft_shares(distances, sigma):
    """exp(-d^2 / (2 sigma^2)) of the nearest words of one descriptor, made to sum to 1."""
    raw = [math.exp(-(float(d) ** 2) / (2 * sigma**2)) for d in distances]
    return [value / math.fsum(raw) for value in raw]


def signature(descriptor, projection, medians):
    """Bit j = [(P x)_j > tau_j], as 64 booleans."""
    return [
        math.fsum(float(p) * float(x) for p, x in zip(row, descriptor, strict=True)) > float(tau)
        for row, tau in zip(projection, medians, strict=True)
    ]


def hamming_distance(a, b):
    return sum(x != y for x, y in zip(a, b, strict=True))


def search_hamming(tree, images, query, threshold, sigma=16.0, statistics=None):
    """[(image id, 1 - similarity)]; images and the query are lists of (word, signature).

    Similarity: over the query's features, the sum of exp(-h^2 / sigma^2) of an image's features of the same word with
    h <= threshold, over the root of their number, times idf^2; all over the roots of both self-similarities, which are
    sums of idf^2.
    """
    statistics = statistics or Statistics(tree, [[word for word, _ in image] for image in images.values()])
    w = weight_tables(statistics, DEFAULTS)[1][tree.depth]
    q_self = math.fsum(w[word] ** 2 for word, _ in query)
    found = []
    for image, features in images.items():
        total = 0.0
        for word, bits in query:
            distances = [hamming_distance(bits, other) for other_word, other in features if other_word == word]
            matching = [h for h in distances if h <= threshold]
            if matching:
                votes = math.fsum(math.exp(-(h**2) / sigma**2) for h in matching)
                total += votes / math.sqrt(len(matching)) * w[word] ** 2
        if total > 0:
            d_self = math.fsum(w[word] ** 2 for word, _ in features)
            found.append((image, 1 - total / math.sqrt(q_self) / math.sqrt(d_self)))
    return sorted(found, key=lambda pair: (pair[1], pair[0]))


# ---------------------------------------------------------------- descent and training


def squared_distance(x, y):
    return math.fsum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True))


def nearest(descriptor, centres):
    """Index of the nearest centre, the first of equally near ones."""
    return min(range(len(centres)), key=lambda i: (squared_distance(descriptor, centres[i]), i))


def descend(descriptor, node, branching, depth):
    """Word of a descriptor. A node is a list of (centre, node below); [] is a leaf. Padded with zeros."""
    word = 0
    for _ in range(depth):
        child = 0
        if node:
            child = nearest(descriptor, [centre for centre, _ in node])
            node = node[child][1]
        word = word * branching + child
    return word


def leaves(node, branching, depth, word=0):
    """[(word, centre)] of all leaves below a node."""
    found = []
    for child, (centre, below) in enumerate(node):
        path = word * branching + child
        if below:
            found += leaves(below, branching, depth - 1, path)
        else:
            found.append((path * branching ** (depth - 1), centre))
    return found


def lloyd(points, centres, cycles):
    """k-means from given centres: (centres, label of each point). An empty cluster gets the point farthest from its

    centre (the first of equally far ones), which leaves its own cluster. Stops when no label changes.
    """
    points, centres = [list(map(float, p)) for p in points], [list(map(float, c)) for c in centres]
    labels = None
    for _ in range(cycles):
        new = [nearest(p, centres) for p in points]
        for cluster in range(len(centres)):
            if cluster not in new:
                far = max(range(len(points)), key=lambda i: (squared_distance(points[i], centres[new[i]]), -i))
                new[far] = cluster
                centres[cluster] = points[far]
        if new == labels:
            break
        labels = new
        for cluster in range(len(centres)):
            members = [p for p, label in zip(points, labels, strict=True) if label == cluster]
            if members:
                centres[cluster] = [math.fsum(column) / len(members) for column in zip(*members, strict=True)]
    return centres, labels

"""Objects, queries and exact neighbours of an experiment, loaded once for all points that share them."""

from dataclasses import dataclass

from metricsearch.datasets import ArraySource, Dataset, ObjectSource, load_dataset
from metricsearch.errors import InvalidInputError
from metricsearch.evaluation import Neighbours, cached_neighbours
from metricsearch.experiment.ppp.config import PPPExperiment
from metricsearch.spaces import Batch, Metric, get_metric

IN_MEMORY_BYTES = 4 << 30  # vectors up to this size are loaded; beyond it every pass streams


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """What a point is measured on. ids of neighbours are rows of `objects`."""

    dataset: Dataset
    metric: Metric
    objects: ObjectSource
    queries: Batch | None

    def neighbours(self, k: int) -> Neighbours:
        """The exact ones, from the cache if they are there."""
        return cached_neighbours(self.metric, self.objects, self.require_queries(), k, name=self.dataset.name)

    def require_queries(self) -> Batch:
        """The queries. Raises InvalidInputError if the data set has none."""
        if self.queries is None or not len(self.queries):
            raise InvalidInputError(f"{self.dataset.name}: has no queries; give data.n_queries")
        return self.queries


def load_workload(config: PPPExperiment, n: int | None) -> Workload:
    """Load the data set with `n` objects (None: all); queries are held out by data.seed and do not depend on `n`."""
    data = config.data
    n_queries = 0 if config.kind == "memory" else data.n_queries
    dataset = load_dataset(data.name, n=n, n_queries=n_queries, seed=data.seed)
    metric = get_metric(dataset.metric)
    objects, queries = dataset.objects, dataset.queries
    head = metric.check(objects.read(0, min(1, len(objects))), dataset.name)
    if 4 * (metric.kind.width(head) or 0) * len(objects) <= IN_MEMORY_BYTES:
        objects = ArraySource(objects.load(), dataset.name)
    if queries is not None:
        queries = metric.check(queries, f"{dataset.name}: queries")
    return Workload(dataset, metric, objects, queries)

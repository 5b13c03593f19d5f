"""Objects of metric spaces, and the distances between them."""

from metricsearch.spaces.batches import Batch, Ragged, batch_nbytes, concatenate
from metricsearch.spaces.metric import FunctionMetric, Metric, check_postulates, check_user_metric
from metricsearch.spaces.objects import (
    BITS,
    POINT_SETS,
    SETS,
    SIGNATURES,
    STRINGS,
    VECTORS,
    ObjectKind,
    kind_by_name,
)
from metricsearch.spaces.registry import get_metric, metric_names

__all__ = [
    "BITS",
    "POINT_SETS",
    "SETS",
    "SIGNATURES",
    "STRINGS",
    "VECTORS",
    "Batch",
    "FunctionMetric",
    "Metric",
    "ObjectKind",
    "Ragged",
    "batch_nbytes",
    "check_postulates",
    "check_user_metric",
    "concatenate",
    "get_metric",
    "kind_by_name",
    "metric_names",
]

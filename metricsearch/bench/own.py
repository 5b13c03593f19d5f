"""Our own indexes by the names they have in suite files."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metricsearch.baselines import (
    LAESA,
    NAPP,
    ExhaustiveScan,
    KMeansTree,
    MIFile,
    MIFileOptions,
    MIndex,
    MIndexOptions,
    NAPPOptions,
    PermutationScan,
    PPIndex,
    PPIndexOptions,
    SketchScan,
    VPTree,
)
from metricsearch.bench.adapters import known_keywords
from metricsearch.bench.method import Memory
from metricsearch.errors import InvalidInputError
from metricsearch.indexes import FIXED_PARTS, MetricIndex
from metricsearch.ppp import PPPCodes, RankingOptions
from metricsearch.spaces import Metric


@dataclass(frozen=True, slots=True)
class _Own:
    """index: its class. options: class of the parameters of a search; None where it has none."""

    index: Callable[..., MetricIndex]
    options: type[Any] | None = None


_OWN = {
    "ppp": _Own(PPPCodes, RankingOptions),
    "m_index": _Own(MIndex, MIndexOptions),
    "pp_index": _Own(PPIndex, PPIndexOptions),
    "mi_file": _Own(MIFile, MIFileOptions),
    "napp": _Own(NAPP, NAPPOptions),
    "permutation_scan": _Own(PermutationScan),
    "k_means_tree": _Own(KMeansTree),
    "laesa": _Own(LAESA),
    "sketch_scan": _Own(SketchScan),
    "vp_tree": _Own(VPTree),
    "exhaustive_scan": _Own(ExhaustiveScan),
}


def new_index(name: str, metric: Metric, parameters: Mapping[str, Any], n_threads: int) -> MetricIndex:
    """An empty index for objects of `metric`. parameters: keywords of its constructor but for the options of searches.

    Raises InvalidInputError for keywords that it does not know, and what its constructor raises.
    """
    index = _OWN[name].index
    keywords = known_keywords(index, dict(parameters), ("metric", "n_threads", "options"))
    if "n_threads" in inspect.signature(index).parameters:
        keywords = {**keywords, "n_threads": n_threads}
    return index(metric, **keywords)


def search_options(name: str, parameters: Mapping[str, Any]) -> Any:
    """The options of a search from its parameters in the suite; None = those of the index.

    Raises InvalidInputError for parameters that it does not know, and what the options raise.
    """
    options = _OWN[name].options
    if not parameters:
        return None
    if options is None:
        raise InvalidInputError(f"query: {name} has no parameters, got {', '.join(parameters)}")
    return options(**known_keywords(options, dict(parameters), ()))


def memory_of(index: MetricIndex) -> Memory:
    """Bytes of its arrays, those that grow with the objects apart."""
    report = index.memory_report()
    fixed = sum(report.get(part, 0) for part in FIXED_PARTS)
    return Memory(index.memory_bytes - fixed, fixed)


def disk_bytes(index: MetricIndex) -> int:
    """Bytes of the index as saved; of the baselines, which are not saved, those of all their arrays."""
    if isinstance(index, PPPCodes):
        return sum(array.nbytes for array in index.to_arrays().values())
    return index.memory_bytes

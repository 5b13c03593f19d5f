"""Other ways to search metric spaces, on the same metrics, pivots, candidates and object store as PPP-Codes."""

from metricsearch.baselines.exhaustive_scan import ExhaustiveScan
from metricsearch.baselines.k_means_tree import KMeansTree
from metricsearch.baselines.laesa import LAESA
from metricsearch.baselines.m_index import MIndex, MIndexOptions
from metricsearch.baselines.mi_file import MIFile, MIFileOptions
from metricsearch.baselines.napp import NAPP, NAPPOptions
from metricsearch.baselines.permutation_scan import PermutationScan
from metricsearch.baselines.pp_index import PPIndex, PPIndexOptions
from metricsearch.baselines.sketch_scan import SketchScan
from metricsearch.baselines.vp_tree import VPTree

__all__ = [
    "LAESA",
    "NAPP",
    "ExhaustiveScan",
    "KMeansTree",
    "MIFile",
    "MIFileOptions",
    "MIndex",
    "MIndexOptions",
    "NAPPOptions",
    "PPIndex",
    "PPIndexOptions",
    "PermutationScan",
    "SketchScan",
    "VPTree",
]

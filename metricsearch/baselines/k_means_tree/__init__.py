"""The binary k-means tree."""

from metricsearch.baselines.k_means_tree.tree import KMeansTree

__all__ = ["KMeansTree"]

"""Vocabulary tree (Nistér & Stewénius 2006): inverted files over quantised descriptors and hierarchical scoring."""

from metricsearch.vocabtree.results import TreeSearchResult, TreeSearchStats
from metricsearch.vocabtree.scoring_options import Scoring
from metricsearch.vocabtree.tree import VocabularyTree

__all__ = ["Scoring", "TreeSearchResult", "TreeSearchStats", "VocabularyTree"]

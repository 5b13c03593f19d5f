"""Vocabularies: hierarchical k-means over descriptors, and the words that descriptors become."""

from metricsearch.vocabulary.training import train_vocabulary
from metricsearch.vocabulary.vocabulary import Vocabulary

__all__ = ["Vocabulary", "train_vocabulary"]

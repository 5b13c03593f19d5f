"""Hamming embedding: 64-bit signatures that tell apart descriptors of one word (spec §3.3; Jégou, Douze, Schmid 2008).

A descriptor x of word w has bit j = [(P x)_j > tau_wj], with P a random orthogonal projection and tau_w the medians of
the training descriptors of the word. It votes for an image that has n >= 1 descriptors of its word at Hamming distances
h <= threshold with w_i^2 * sum exp(-h^2 / 16^2) / sqrt(n) (weighting as in COLMAP). The similarity is the sum of the
votes over the roots of both self-similarities, which are the sums of w_i^2 over all descriptors of query and image.
"""

from metricsearch.vocabtree.hamming.model import HammingModel, learn_hamming

__all__ = ["HammingModel", "learn_hamming"]

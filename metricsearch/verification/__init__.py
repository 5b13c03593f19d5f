"""Geometric verification: matched features, transforms with their inliers, and orders learned from them."""

from metricsearch.verification.geometry import (
    Features,
    PreparedFeatures,
    Verification,
    VerificationOptions,
    prepare_features,
    verify,
)
from metricsearch.verification.learned import CANDIDATE_FEATURES, HeldOutGain, LearnedReranker, candidate_features
from metricsearch.verification.matching import PreparedDescriptors, match_descriptors, prepare_descriptors
from metricsearch.verification.reranking import VerifiedResult, rerank

__all__ = [
    "CANDIDATE_FEATURES",
    "Features",
    "HeldOutGain",
    "LearnedReranker",
    "PreparedDescriptors",
    "PreparedFeatures",
    "Verification",
    "VerificationOptions",
    "VerifiedResult",
    "candidate_features",
    "match_descriptors",
    "prepare_descriptors",
    "prepare_features",
    "rerank",
    "verify",
]

"""Aggregation by sums of scores: strategies, what they are learned from, and the exact top R."""

from metricsearch.ppp.scores.calibration import (
    NO_CALIBRATION,
    ObjectSample,
    check_table,
    learn_calibration,
)
from metricsearch.ppp.scores.scoring import require_calibration, space_scores
from metricsearch.ppp.scores.threshold import ScoreDepths, aggregate_scores

__all__ = [
    "NO_CALIBRATION",
    "ObjectSample",
    "ScoreDepths",
    "aggregate_scores",
    "check_table",
    "learn_calibration",
    "require_calibration",
    "space_scores",
]

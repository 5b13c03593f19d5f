"""Experiments that compare image features by an exhaustive scan: kind "features"."""

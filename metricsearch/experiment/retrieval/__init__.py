"""Experiments with vocabulary trees: how well photos of one object are found, and what it costs (kind "retrieval")."""

"""Experiments with PPP-Codes: recall, cost and memory of the index (kinds "search", "candidates", "memory")."""

"""Similarity search in metric spaces."""

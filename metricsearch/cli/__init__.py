"""The command line."""

from metricsearch.cli.main import main

__all__ = ["main"]

"""`python -m metricsearch`."""

from metricsearch.cli import main

main()

"""`python -m metricsearch.cli`."""

from metricsearch.cli.main import main

main()

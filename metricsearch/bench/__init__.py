"""Side-by-side comparison of indexes: a suite file in, tables and Pareto plots out."""

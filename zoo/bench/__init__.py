"""Benchmarks: what is trained on what and how well it should do, each part run by itself and kept in a table."""

"""Benchmarks: models with their data and targets, whose jobs are run one by one and kept in a table."""

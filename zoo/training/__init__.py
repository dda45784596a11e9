"""From the name of an architecture and of a dataset to a run, by one training loop."""

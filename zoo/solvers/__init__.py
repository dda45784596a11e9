"""Closed forms: what sets the weights of an architecture from the training interactions, without gradient steps."""

"""No weights: every liking says as much as any other."""

from zoo.solvers.weightings import WEIGHTINGS, Weighting

WEIGHTINGS.register(Weighting("plain", lambda liked: liked))

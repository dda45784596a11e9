"""The three families, which differ in how they score the whole catalogue."""

from zoo.families.base import Recommender
from zoo.families.checks import check_finite, check_finite_scores, check_k
from zoo.families.item_logits import ItemLogits
from zoo.families.latent import Latent
from zoo.families.pairs import Pairs
from zoo.families.towers import Towers

__all__ = ["ItemLogits", "Latent", "Pairs", "Recommender", "Towers", "check_finite", "check_finite_scores", "check_k"]

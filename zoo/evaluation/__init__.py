"""How well a recommender does: protocols, metrics and the intervals that belong to every figure."""

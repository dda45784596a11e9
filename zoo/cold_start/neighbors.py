"""Known users who stand in for new ones that an architecture can say nothing of."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from zoo.cold_start.records import NewUser
from zoo.data.dataset import PARTS, Dataset, neutral
from zoo.families import Recommender
from zoo.schema import FIRST_KNOWN, PADDING, Feature

# Users who stand in for one whom the architecture can say nothing of.
NEIGHBORS = 50


class Neighbors:
    """Scores for new users from the known users most like them.

    Likeness is the cosine of feature vectors that lie side by side, each of length one so that each feature weighs
    alike: a category or several as ones among zeros, a text as its vector, and a number as a point on a half circle,
    so that numbers are the more alike the nearer they are. Only what a record says is compared. Known users are
    those with training interactions of whom some feature is known.

    Args:
        model: The recommender.
        dataset: The data it was trained on.
        number: At most how many neighbours a user has.
    """

    def __init__(self, model: Recommender, dataset: Dataset, number: int) -> None:
        self.model, self.dataset, self.number = model, dataset, number
        self.catalogue = model.encode_catalogue()
        is_known = np.zeros(dataset.num_users, bool)
        for feature in dataset.schema.side_features("user"):
            differs = dataset.users[feature.name] != neutral(feature)
            is_known |= differs.reshape(dataset.num_users, -1).any(axis=1)
        self.known = np.flatnonzero(is_known & (dataset.sequences("train").counts > 0))

    def of(self, user: NewUser) -> tuple[np.ndarray, np.ndarray]:
        """The known users most like a new one.

        Args:
            user: The new user.

        Returns:
            Their indices and similarities, above 0, `[n]` each, most alike first.
        """
        from sklearn.neighbors import NearestNeighbors

        if not len(self.known):
            return np.empty(0, np.int32), np.empty(0)
        features = [self.dataset.schema[name] for name in user.features]
        known = [unit_vectors(f, self.dataset.users[f.name][self.known]) for f in features]
        asked = [unit_vectors(f, user.inputs[f.name][None]) for f in features]
        nearest = NearestNeighbors(n_neighbors=min(self.number, len(self.known)), metric="cosine")
        distances, places = nearest.fit(scipy.sparse.hstack(known, "csr")).kneighbors(scipy.sparse.hstack(asked, "csr"))
        similarity = 1 - distances[0]
        return self.known[places[0][similarity > 0]], similarity[similarity > 0]

    def scores(self, user: NewUser) -> np.ndarray | None:
        """The mean of the neighbours' scores, weighted by how alike they are.

        Args:
            user: The new user.

        Returns:
            `[num_items]` scores; `None` where no known user is alike in anything.
        """
        neighbors, similarity = self.of(user)
        if not len(neighbors):
            return None
        query = self.dataset.queries(self.model.query_names, neighbors, *PARTS)
        return np.average(self.model.score_catalogue(query, self.catalogue), axis=0, weights=similarity)

    def recommend(
        self, user: NewUser, k: int, exclude: np.ndarray, candidates: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The best items for one user, as `Recommender.recommend` gives them for many.

        Args:
            user: The new user.
            k: How many items.
            exclude: `[n]` item indices never to return.
            candidates: `[m]` item indices to choose from; by default the whole catalogue.

        Returns:
            Items and scores, `[k]` each, best first, item 0 where none is left; `None` where no known user is alike.
        """
        scores = self.scores(user)
        if scores is None:
            return None
        is_offered = np.zeros(len(scores), bool)
        is_offered[slice(None) if candidates is None else candidates] = True
        is_offered[:FIRST_KNOWN] = False
        is_offered[exclude] = False
        best = np.argsort(np.where(is_offered, -scores, np.inf), kind="stable")[:k]
        return np.where(is_offered[best], best, PADDING), scores[best]


def unit_vectors(feature: Feature, values: np.ndarray) -> scipy.sparse.csr_matrix:
    """Encoded values of a feature as vectors whose dot products say how alike they are.

    Args:
        feature: The feature.
        values: `[rows, *feature.shape]` encoded values.

    Returns:
        `[rows, width]`, each row of length one; zero where no category or text is known, whereas an unknown number
        is the mean.
    """
    from sklearn.preprocessing import normalize

    if feature.kind == "text":
        return normalize(scipy.sparse.csr_matrix(values))
    if feature.kind == "numeric":
        # Two standard deviations make a right angle, and whatever is further from the mean counts as that far.
        angles = np.clip(values, -2, 2) * np.pi / 4
        return scipy.sparse.csr_matrix(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    indices = values.reshape(len(values), -1)
    rows, places = np.nonzero(indices >= FIRST_KNOWN)
    ones = (np.ones(len(rows)), (rows, indices[rows, places]))
    return normalize(scipy.sparse.csr_matrix(ones, shape=(len(values), feature.size)))

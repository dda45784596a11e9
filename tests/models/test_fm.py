from __future__ import annotations

from itertools import combinations

import numpy as np

from zoo.layers import IdEmbedding


def test_a_score_is_the_linear_terms_and_the_products_of_all_pairs_of_features(by_hand):
    _, scores, example = by_hand("fm", embedding_dim=5)
    pairs = [(one * other).sum(axis=1) for one, other in combinations(example.vectors, 2)]
    # User, two pooled vectors, three numbers and the item.
    assert len(pairs) == 7 * 6 / 2
    np.testing.assert_allclose(scores, example.linear + sum(pairs), rtol=1e-4)


def test_an_item_is_worth_more_beside_a_history_of_items_alike(by_hand):
    model, _, _ = by_hand("fm", embedding_dim=5)
    (table,) = (
        layer for layer in model.layers if isinstance(layer, IdEmbedding) and layer.own.embeddings.shape == (9, 5)
    )
    vectors = np.zeros((9, 5))
    vectors[[2, 3], 0] = vectors[[4, 5], 1] = 3.0
    table.own.embeddings.assign(vectors)
    query = {"user": [2, 2], "history": [[0, 0, 0, 2], [0, 0, 0, 4]], "history_rating": [[0, 0, 0, 0.4]] * 2}
    scores = model.score(query, [[3, 5], [3, 5]])
    # The item is in both pooled vectors; each has the product 9 with the item alike and 0 with the other.
    advantage = scores[:, 0] - scores[:, 1]
    np.testing.assert_allclose(advantage[0] - advantage[1], 2 * 2 * 9, rtol=1e-4)


def test_a_catalogue_is_ranked_by_one_product_of_two_vectors(by_hand):
    model, _, _ = by_hand("fm", embedding_dim=5)
    query = {"user": [3], "history": [[0, 4, 2, 5]], "history_rating": [[0.0, 0.4, -0.2, 0.2]]}
    query = {name: np.array(value) for name, value in query.items()}
    scores = model.encode_query(query).numpy() @ model.encode_catalogue()[0].numpy().T
    np.testing.assert_allclose(scores, model.score(query, [np.arange(9)]), rtol=1e-4)


def test_every_feature_counts(features_that_count):
    known = {"user", "age", "group", "device", "history", "history_rating", "title", "year", "genres"}
    assert features_that_count("fm") == known

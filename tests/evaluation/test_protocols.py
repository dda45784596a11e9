from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error

import zoo
from zoo.data import prepare
from zoo.errors import UserError
from zoo.evaluation import scores
from zoo.evaluation.protocols import PROTOCOLS, evaluate, is_headline, metric_names
from zoo.evaluation.ranking import per_user_ranking
from zoo.evaluation.scores import score_rows
from zoo.schema import FIRST_KNOWN
from zoo.training.fitting import interaction_matrix


@pytest.fixture(scope="module")
def small(datasets):
    return datasets["ids"]


@pytest.fixture(scope="module")
def popularity(small):
    """Item scores that are the shares of users who have seen each item."""
    model = zoo.build("popularity", small.schema)
    model.solver(interaction_matrix(small))
    return model


@pytest.fixture(scope="module")
def factorization(small):
    model = zoo.build("mf", small.schema, embedding_dim=4)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


def shares(data):
    train = data.part("train")
    users = data.num_users - FIRST_KNOWN
    return {item: (train["item"] == item).sum() / users for item in range(FIRST_KNOWN, data.num_items)}


def brute_force(data, part, known, score, k):
    """Every metric of every user, from only the rows."""
    result = {}
    for user in range(data.num_users):
        rows = data.interactions[data.interactions["user"] == user]
        seen = set(rows.loc[rows["part"].isin(known), "item"])
        held_out = rows[(rows["part"] == part) & (rows["label"] > 0)]
        relevant = set(held_out["item"]) - seen
        if not relevant:
            continue
        allowed = [item for item in range(FIRST_KNOWN, data.num_items) if item not in seen]
        ranked = sorted(allowed, key=lambda item: (-score(user, item), item))[:k]
        hits = [rank for rank, item in enumerate(ranked, start=1) if item in relevant]
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), k) + 1))
        result[user] = {
            f"hr@{k}": float(bool(hits)),
            f"recall@{k}": len(hits) / len(relevant),
            f"precision@{k}": len(hits) / k,
            f"ndcg@{k}": sum(1 / math.log2(rank + 1) for rank in hits) / ideal,
            f"mrr@{k}": 1 / hits[0] if hits else 0.0,
        }
    return result


# The names that protocols give


def test_every_protocol_has_metrics_and_a_headline_among_them():
    assert set(PROTOCOLS) == {"ctr", "full-ranking", "labels", "ratings", "sampled-ranking"}
    for name, protocol in PROTOCOLS.items():
        names = [metric.name for metric in protocol.metrics]
        assert {protocol.headline, protocol.monitored} <= set(names)
        assert any(is_headline(name, metric) for metric in metric_names(name, ks=(7,)))


def test_ranking_metrics_are_cut_and_others_are_not():
    names = ["hr", "recall", "precision", "ndcg", "map", "mrr"]
    assert metric_names("sampled-ranking", ks=(5, 10)) == [f"{name}@{k}" for k in (5, 10) for name in names]
    assert metric_names("labels", ks=(5, 10)) == ["log_loss", "accuracy", "auc"]
    assert metric_names("ctr", ks=(5, 10)) == ["log_loss", "accuracy", "auc", "auc_cold"]
    with pytest.raises(UserError, match=r"Unknown protocol 'rating'\. Did you mean 'ratings'"):
        metric_names("rating", ks=(5,))


def test_protocols_ask_about_rankings_or_about_single_interactions():
    assert {name for name, protocol in PROTOCOLS.items() if protocol.is_of_rows} == {"ctr", "labels", "ratings"}


# Full ranking


def test_popularity_is_the_share_of_users_who_have_seen_an_item(small, popularity):
    scores = popularity.score({"user": np.full(30, 5)}, np.arange(2, 32))
    np.testing.assert_allclose(scores, list(shares(small).values()), rtol=1e-6)


@pytest.mark.parametrize(("part", "known"), [("valid", ["train"]), ("test", ["train", "valid"])])
@pytest.mark.parametrize("k", [1, 5, 10])
def test_full_ranking_is_the_ranking_of_all_unseen_items(small, popularity, part, known, k):
    share = shares(small)
    expected = brute_force(small, part, known, lambda user, item: np.float32(share[item]), k)
    users, per_user = per_user_ranking(popularity, small, part, (k,))
    assert users.tolist() == list(expected)
    for name in next(iter(expected.values())):
        np.testing.assert_allclose(per_user[name], [metrics[name] for metrics in expected.values()], atol=1e-9)


def test_full_ranking_asks_each_user_for_itself(small, factorization):
    rows = np.arange(small.num_users)
    everything = np.tile(np.arange(small.num_items), (small.num_users, 1))
    scores = factorization.score({"user": rows}, everything)
    expected = brute_force(small, "test", ["train", "valid"], lambda user, item: scores[user, item], 10)
    evaluation = evaluate(factorization, small, "full-ranking", ks=(10,), resamples=50)
    assert evaluation.users.tolist() == list(expected)
    for name in ("ndcg@10", "recall@10", "mrr@10"):
        values = [metrics[name] for metrics in expected.values()]
        np.testing.assert_allclose(evaluation.per_user[name], values, atol=1e-9)
        assert evaluation.metrics[name].mean == pytest.approx(np.mean(values))


def with_rows(data, **changes):
    return dataclasses.replace(data, interactions=data.interactions.assign(**changes))


def test_a_held_out_item_that_was_seen_before_is_not_to_be_found(small, popularity):
    rows = small.interactions
    train = rows[rows["part"] == "train"].drop_duplicates("user").set_index("user")["item"]
    # Every held-out row becomes an item that its user has seen in training.
    is_test = rows["part"] == "test"
    repeated = with_rows(small, item=rows["item"].where(~is_test, rows["user"].map(train)).astype(np.int32))
    with pytest.raises(UserError, match="No user has a new item with a label above 0 in the test part"):
        per_user_ranking(popularity, repeated, "test", (10,))


def test_a_held_out_item_with_a_label_of_0_is_not_to_be_found(small, popularity):
    is_first = small.interactions["user"] == small.part("test")["user"].iloc[0]
    disliked = with_rows(small, label=small.interactions["label"].where(~is_first, 0))
    before, _ = per_user_ranking(popularity, small, "test", (10,))
    after, _ = per_user_ranking(popularity, disliked, "test", (10,))
    assert set(before) - set(after) == {small.part("test")["user"].iloc[0]}


def test_a_perfect_model_finds_everything(small):
    class Perfect:
        query_names = ("user",)

        def encode_catalogue(self):
            return []

        def recommend(self, query, k, exclude, catalogue):
            ranked = np.zeros((len(query["user"]), k), np.int32)
            for row, user in enumerate(query["user"]):
                held_out = small.part("test").query(f"user == {user}")["item"].to_numpy()
                ranked[row, : len(held_out)] = held_out[:k]
            return ranked, ranked

    _, per_user = per_user_ranking(Perfect(), small, "test", (10,))
    for name in ("hr@10", "recall@10", "ndcg@10", "map@10", "mrr@10"):
        assert (per_user[name] == 1).all()


def test_the_protocol_is_described_with_its_numbers(small, popularity):
    evaluation = evaluate(popularity, small, ks=(3,), resamples=20)
    assert evaluation.protocol == "full-ranking"
    assert f"{len(evaluation.users)} users" in evaluation.about
    assert "(30 items) minus what the user has seen" in evaluation.about
    described = evaluation.to_json()
    assert described["about"] == evaluation.about
    interval = described["metrics"]["ndcg@3"]
    assert interval["low"] <= interval["mean"] <= interval["high"]


# Ratings and labels


@pytest.fixture(scope="module")
def rating_model(small):
    model = zoo.build("mf", small.schema, embedding_dim=4)
    model.set_rating_scale(3.0, 2.0)
    return model


def test_ratings_are_compared_row_by_row(small, rating_model):
    rows = small.part("test")
    scores = rating_model.score({"user": rows["user"]}, rows["item"].to_numpy())
    np.testing.assert_array_equal(score_rows(rating_model, small, rows, "test"), scores)
    evaluation = evaluate(rating_model, small, "ratings", resamples=20)
    assert evaluation.metrics["rmse"].mean == pytest.approx(root_mean_squared_error(rows["label"], scores))
    assert evaluation.metrics["mae"].mean == pytest.approx(mean_absolute_error(rows["label"], scores))
    assert evaluation.about == f"{len(rows)} held-out ratings of the test part."
    assert evaluation.users.tolist() == sorted(set(rows["user"]))


def test_rows_in_small_batches_have_the_same_scores(datasets, monkeypatch):
    data = datasets["features"]
    model = zoo.build("elcorec", data.schema, **zoo.info("elcorec").tiny)
    expected = score_rows(model, data, data.part("test"), "test")
    monkeypatch.setattr(scores, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(score_rows(model, data, data.part("test"), "test"), expected, rtol=1e-5, atol=1e-5)


def test_every_row_is_scored_in_its_own_context_and_at_its_own_moment(datasets):
    data = datasets["features"]
    model = zoo.build("elcorec", data.schema, **zoo.info("elcorec").tiny)
    rows = data.part("test").head(6)
    together = score_rows(model, data, rows, "test")
    for number, score in enumerate(together):
        row = rows.iloc[[number]]
        known, asked = ("train", "query", "valid"), row["timestamp"].to_numpy()
        query = data.queries(model.query_names, row["user"].to_numpy(), *known, asked=asked)
        query["device"] = row["device"].to_numpy()
        assert model.score(query, row["item"].to_numpy())[0] == pytest.approx(score, abs=1e-5)
        query["device"] = 5 - row["device"].to_numpy()
        assert model.score(query, row["item"].to_numpy())[0] != pytest.approx(score, abs=1e-4)


def test_labels_are_compared_with_the_sigmoid_of_the_logit(small, factorization):
    labelled = with_rows(small, label=(small.interactions["label"] > 3).astype(np.float32))
    rows = labelled.part("test")
    logits = factorization.score({"user": rows["user"]}, rows["item"].to_numpy()).astype(np.float64)
    evaluation = evaluate(factorization, labelled, "labels", resamples=20)
    assert evaluation.metrics["auc"].mean == pytest.approx(roc_auc_score(rows["label"], logits))
    chances = 1 / (1 + np.exp(-logits))
    assert evaluation.metrics["log_loss"].mean == pytest.approx(log_loss(rows["label"], chances))
    assert f"{len(rows)} held-out labels" in evaluation.about
    assert f"{rows['label'].mean():.1%} of them 1" in evaluation.about


# Clicks in the order of time


class Recorder:
    """A model that notes what it is asked, and gives each item a score."""

    query_names = ("user", "history", "history_rating", "history_age")

    def __init__(self, data, scores=None):
        self.data, self.scores, self.asked = data, scores or {}, []

    def score(self, query, items):
        items = self.data.vocabularies["item"].lookup(items)
        users = self.data.vocabularies["user"].lookup(query["user"])
        for place, asked in enumerate(zip(users, items, strict=True)):
            seen = query["history"][place] > 0
            assert not seen[: (~seen).sum()].any(), "padding stands in front"
            known = self.data.vocabularies["item"].lookup(query["history"][place][seen]).tolist()
            days = query["history_age"][place][seen]
            self.asked.append((*asked, known, query["history_rating"][place][seen], days))
        return np.array([self.scores.get(item, 0.0) for item in items], np.float32)


def clicks(rows, **options):
    """Data of rows `user item rating second part`, whose labels are ratings above 3."""
    frame = pd.DataFrame([row.split() for row in rows], columns=["user", "item", "rating", "timestamp", "split"])
    options = {"label_threshold": 3, "duplicates": "keep", "split": "given", **options}
    return prepare(frame.astype({"rating": int, "timestamp": int}), name="clicks", **options)


FILMS = (
    *("ann alien 5 0 train", "ann brazil 2 0 train", "ann casablanca 4 10 valid"),
    *("bob alien 1 5 query", "bob casablanca 5 30 test"),
    # Rows of the same second stand in the order of the file.
    *("ann dune 1 10 test", "ann eraserhead 5 10 test", "ann fargo 3 86410 test"),
)


def test_ctr_asks_about_each_interaction_with_all_that_its_user_did_before_it():
    data = clicks(FILMS)
    model = Recorder(data)
    evaluation = evaluate(model, data, "ctr", resamples=10)
    a_second = 1 / 86_400
    expected = {
        ("ann", "dune"): (["alien", "brazil", "casablanca"], [0.4, -0.2, 0.2], [10, 10, 0]),
        ("ann", "eraserhead"): (["alien", "brazil", "casablanca", "dune"], [0.4, -0.2, 0.2, -0.4], [10, 10, 0, 0]),
        ("bob", "casablanca"): (["alien"], [-0.4], [25]),
        ("ann", "fargo"): (
            ["alien", "brazil", "casablanca", "dune", "eraserhead"],
            [0.4, -0.2, 0.2, -0.4, 0.4],
            [86410, 86410, 86400, 86400, 86400],
        ),
    }
    assert [asked[:2] for asked in model.asked] == list(expected)
    for user, item, items, ratings, days in model.asked:
        known, stars, seconds = expected[user, item]
        assert items == known
        np.testing.assert_allclose(ratings, stars, rtol=1e-6)
        np.testing.assert_allclose(days, np.array(seconds) * a_second, rtol=1e-6)
    assert evaluation.rows["user"].tolist() == data.part("test")["user"].tolist()
    assert evaluation.rows["label"].tolist() == [0, 1, 1, 0]


def test_ctr_asks_with_the_last_events_of_the_rows_before_where_many_are_of_one_second(monkeypatch):
    rng = np.random.default_rng(0)
    rows = [
        f"u{rng.integers(4)} i{rng.integers(9)} {rng.integers(1, 6)} {rng.integers(6)} "
        f"{'train' if number < 20 else rng.choice(['train', 'valid', 'test', 'query'])}"
        for number in range(120)
    ]
    data = clicks(rows, max_history=5)
    model = Recorder(data)
    monkeypatch.setattr(scores, "ROWS_AT_ONCE", 7)
    evaluate(model, data, "ctr", resamples=10)
    in_time = sorted((row.split() for row in rows), key=lambda row: int(row[3]))
    expected = []
    for place, (user, item, _, _, part) in enumerate(in_time):
        if part == "test":
            before = [row[1] for row in in_time[:place] if row[0] == user]
            expected.append((user, item, before[-5:]))
    assert [asked[:3] for asked in model.asked] == expected


def test_ctr_compares_labels_with_logits():
    data = clicks(FILMS)
    scores = {"dune": -2.0, "eraserhead": 1.0, "casablanca": -0.5, "fargo": 0.25}
    metrics = evaluate(Recorder(data, scores), data, "ctr", resamples=50).metrics
    labels, logits = np.array([0, 1, 1, 0]), np.array([-2.0, 1.0, -0.5, 0.25])
    assert metrics["auc"].mean == pytest.approx(roc_auc_score(labels, logits)) == 0.75
    assert metrics["accuracy"].mean == accuracy_score(labels, logits > 0) == 0.5
    assert metrics["log_loss"].mean == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-logits))))


def test_ctr_has_the_auc_of_cold_items_apart():
    # Of the four films asked about only casablanca could have been learned of, and in validation it was not.
    data = clicks(FILMS)
    scores = {"dune": 2.0, "eraserhead": 1.0, "casablanca": -9.0, "fargo": 0.5}
    evaluation = evaluate(Recorder(data, scores), data, "ctr", resamples=50)
    assert evaluation.rows["is_cold"].tolist() == [True] * 4
    assert evaluation.metrics["auc_cold"] == evaluation.metrics["auc"]
    assert "4 are about cold items, which are in no training interaction." in evaluation.about
    seen = clicks([*FILMS, "bob casablanca 4 4 train"])
    evaluation = evaluate(Recorder(seen, scores), seen, "ctr", resamples=50)
    assert evaluation.rows["is_cold"].tolist() == [True, True, False, True]
    assert evaluation.metrics["auc_cold"].mean == 0.5
    assert evaluation.metrics["auc"].mean == 0.25
    # Cold are no interactions, or those of one label.
    for known in (("dune", "eraserhead", "fargo", "casablanca"), ("casablanca", "eraserhead")):
        warm = clicks([*FILMS, *(f"bob {item} 4 4 train" for item in known)])
        assert set(evaluate(Recorder(warm), warm, "ctr", resamples=50).metrics) == {"auc", "log_loss", "accuracy"}


def test_other_protocols_know_no_cold_items(small, factorization):
    labelled = with_rows(small, label=(small.interactions["label"] > 3).astype(np.float32))
    evaluation = evaluate(factorization, labelled, "labels", resamples=20)
    assert set(evaluation.metrics) == {"auc", "log_loss", "accuracy"}
    assert set(evaluation.rows) == {"user", "label", "score"}


# Mistakes


def test_ctr_needs_timestamps():
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "label": [0, 1, 1], "split": ["train", "test", "test"]})
    data = prepare(frame, name="bare")
    with pytest.raises(UserError, match=r"'ctr' asks .* bare has no timestamps\. Add a timestamp column, .*labels"):
        evaluate(Recorder(data), data, "ctr")


def test_ctr_needs_labels_of_0_and_1():
    data = clicks(FILMS, label_threshold=None)
    with pytest.raises(UserError, match=r"'ctr' needs labels of 0 and 1\. .*label_threshold"):
        evaluate(Recorder(data), data, "ctr")


def test_ratings_need_a_model_whose_scores_are_ratings(small, factorization):
    with pytest.raises(UserError, match="needs a model whose scores are ratings") as error:
        evaluate(factorization, small, "ratings")
    assert "feedback=explicit" in str(error.value)


def test_labels_need_to_be_0_and_1(small, factorization):
    with pytest.raises(UserError, match=r"needs labels of 0 and 1\. .*label_threshold"):
        evaluate(factorization, small, "labels")


def test_an_unknown_protocol_or_part_gives_the_near_names(small, popularity):
    with pytest.raises(UserError, match=r"Unknown protocol 'full-rank'\. Did you mean 'full-ranking'\?"):
        evaluate(popularity, small, "full-rank")
    with pytest.raises(UserError, match=r"Unknown part 'vaild'\. Did you mean 'valid'\?"):
        evaluate(popularity, small, part="vaild")


def test_an_empty_part_is_named(small, popularity):
    everything = with_rows(small, part="train")
    with pytest.raises(UserError, match="The test part of small is empty"):
        evaluate(popularity, everything)


def test_a_cut_deeper_than_the_catalogue_is_refused(small, popularity):
    with pytest.raises(UserError, match=r"evaluate\.ks has 31, and the catalogue has only 30 items"):
        evaluate(popularity, small, ks=(10, 31))

"""Users that training never saw: what a feature record may say, how it is encoded, and who stands in for whom."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

import zoo
from zoo.cold_start import (
    Neighbors,
    NewUser,
    check_usable,
    encode_column,
    feature_names,
    read_records,
    records,
    unit_vectors,
)
from zoo.data import prepare
from zoo.data.dataset import PARTS
from zoo.data.table import Table
from zoo.errors import UserError
from zoo.schema import Feature

PEOPLE = pd.DataFrame(
    {
        "user": ["ann", "bob", "cyd", "dan", "eve", "fay"],
        "age": [20.5, 30, 40, 50, None, 70],
        "job title": ["cook", "cook", "smith", "nurse", "nurse", None],
        "likes": ["jazz|tea", "tea", "chess|jazz|tea", None, "chess", "jazz"],
        "bio": [f"{word} reads about {word} and likes {word}" for word in ("sea", "sky", "sea", "rock", "sky", "")],
        "member": [True, False, True, True, False, None],
    }
)
FEATURES = ("age", "job_title", "likes", "bio", "member")


@pytest.fixture(scope="module")
def people():
    """Six users with every kind of feature, who rated some of eight items over eight days."""
    rows = [
        (user, f"i{(2 * n + step) % 8}", 1 + (n + step) % 5, 86_400 * (step + n / 10))
        for n, user in enumerate([*PEOPLE["user"], "gus"])
        for step in range(5)
    ]
    return prepare(
        pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"]),
        PEOPLE,
        name="people",
        features={
            "age": "numeric",
            "job title": "categorical",
            "likes": {"kind": "categorical", "separator": "|"},
            "bio": {"kind": "text", "dim": 3},
            "member": "categorical",
        },
        max_history=4,
        split={"name": "leave-last-out"},
    )


def read(dataset, record) -> NewUser:
    [user] = read_records([record], dataset)
    return user


def model_of(name, dataset):
    """An architecture with weights that say something of every user, without the time that training takes."""
    model = zoo.build(name, dataset.schema, **zoo.info(name).tiny)
    model.adapt(items=dataset.items)
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape))
    return model


# The encoding of a record


def test_a_record_of_a_known_user_is_encoded_as_that_user_was(people):
    columns = [column for column in PEOPLE.columns if column != "user"]
    records = PEOPLE[columns].astype(object).where(PEOPLE[columns].notna(), None).to_dict("records")
    for name, user in zip(PEOPLE["user"], read_records(records, people), strict=True):
        row = people.vocabularies["user"].index([name])[0]
        for feature in FEATURES:
            known = people.users[feature][row]
            if feature in user.inputs:
                np.testing.assert_array_equal(user.inputs[feature], known)
                assert user.inputs[feature].dtype == known.dtype
            else:
                assert records[list(PEOPLE["user"]).index(name)][feature.replace("_", " ")] in (None, "")


def test_a_list_of_categories_is_what_its_text_is(people):
    as_list, as_text = read_records([{"likes": ["tea", "chess"]}, {"likes": "tea|chess"}], people)
    np.testing.assert_array_equal(as_list.inputs["likes"], as_text.inputs["likes"])
    np.testing.assert_array_equal(people.vocabularies["likes"].lookup(as_list.inputs["likes"][:2]), ["tea", "chess"])


def test_a_category_never_seen_is_unknown(people):
    user = read(people, {"job title": "poet", "likes": ["golf", "tea"]})
    assert user.inputs["job_title"] == 1
    assert user.inputs["likes"].tolist() == [1, *people.vocabularies["likes"].index(["tea"]), 0]


def test_columns_go_by_their_own_name_or_by_that_of_the_feature(people):
    by_column, by_feature = read_records([{"job title": "cook"}, {"job_title": "cook"}], people)
    assert by_column.inputs == by_feature.inputs
    assert feature_names("zip code", "user") == ("zip code", "zip_code", "user_zip_code")


def test_empty_values_are_left_out(people):
    user = read(people, {"age": None, "likes": [], "bio": "", "job title": "cook", "history": []})
    assert list(user.inputs) == ["job_title"]
    assert user.features == ["job_title"]


def test_records_of_one_call_do_not_change_each_other(people):
    records = [{"member": True}, {"member": 1}, {"member": "True"}, {"member": np.bool_(True)}]
    together = [user.inputs["member"].item() for user in read_records(records, people)]
    assert together == [read(people, record).inputs["member"].item() for record in records]
    true = people.vocabularies["member"].index(["True"])[0]
    assert together == [true, 1, true, true]


def test_a_user_is_called_by_the_id_given_or_by_the_number_of_the_record(people):
    users = read_records([{"age": 3}, {"age": 3, "user": "zoe"}, {"age": 3, "user": 7}, {"age": 3}], people)
    assert [user.name for user in users] == ["record 1", "zoe", 7, "record 4"]


def test_a_column_of_a_table_is_encoded_as_in_training(people):
    table = Table(pd.DataFrame({"Age": [20.5, None, "40"]}), "more users")
    feature = people.schema["age"]
    expected = [(20.5 - feature.mean) / feature.std, 0, (40 - feature.mean) / feature.std]
    np.testing.assert_allclose(encode_column(table, "Age", feature, people), expected, rtol=1e-6)


# The history in a record


def test_a_history_in_a_record_is_the_query_of_who_has_it(people):
    """A new user who did what a known one did is asked about with the same tensors."""
    rows = people.interactions
    for index in np.unique(rows["user"]):
        of_user = rows[rows["user"] == index]
        record = {
            "history": people.vocabularies["item"].lookup(of_user["item"]).tolist(),
            "history_rating": of_user["label"].tolist(),
            "history_age": (people.now - of_user["timestamp"]).tolist(),
        }
        names = ["history", "history_rating", "history_age"]
        expected = people.queries(names, np.array([index]), *PARTS)
        user = read(people, record)
        np.testing.assert_array_equal(user.seen, of_user["item"])
        for name in names:
            np.testing.assert_allclose(user.inputs[name], expected[name][0], rtol=1e-6)


def test_a_short_history_is_padded_in_front_and_its_unknown_items_are_unknown(people):
    user = read(people, {"history": ["i3", "gone", ""]})
    assert user.inputs["history"].tolist() == [0, *people.vocabularies["item"].index(["i3"]), 1, 1]
    assert user.seen.tolist() == user.inputs["history"][1:].tolist()


def test_events_without_ratings_and_ages_were_liked_most_and_are_as_old_as_usual(people):
    user = read(people, {"history": ["i3", "i4"]})
    assert user.inputs["history_rating"].tolist() == [0, 0, 1, 1]
    query = people.queries_before(["history", "history_age"], people.part("train"))
    ages = [column[met] for column, met in zip(query["history_age"].T, (query["history"] != 0).T, strict=True)]
    np.testing.assert_allclose(user.inputs["history_age"], [0, 0, np.median(ages[2]), np.median(ages[3])], rtol=1e-5)
    assert user.inputs["history_age"][2] > user.inputs["history_age"][3] > 0


def test_items_beyond_what_histories_hold_are_as_old_as_the_oldest(people):
    ages = records._usual_ages(people, 9)
    assert len(ages) == 9
    assert (np.diff(ages) <= 0).all()
    assert (ages[:6] == ages[0]).all()


# Records that are refused


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"aeg": 34}, r"Unknown key of record 2 'aeg'. Did you mean 'age'"),
        ({"device": "tv"}, r"Unknown key of record 2 'device'. Valid: age, .*likes, member, user"),
        ({3: "x"}, r"Unknown key of record 2 '3'"),
        ({"history_ratings": [3]}, r"Did you mean 'history_rating'"),
        ({"job title": "cook", "job_title": "nurse"}, "record 2: 'job_title' stands for 'job_title', which is there"),
        ({"age": "old"}, "record 2: 'age' is a finite number. Received: 'old'"),
        ({"age": [34]}, "record 2: 'age' is a finite number"),
        ({"age": True}, "record 2: 'age' is a finite number"),
        ({"age": math.nan}, "record 2: 'age' is a finite number. Received: nan"),
        ({"age": -math.inf}, "record 2: 'age' is a finite number"),
        ({"age": 1e300}, "record 2: 'age' is a finite number"),
        ({"age": 10**400}, "record 2: 'age' is a finite number"),
        ({"job title": ["cook"]}, "record 2: 'job_title' is one category, a text or a number. Received: .'cook'"),
        ({"job title": math.nan}, "record 2: 'job_title' is one category"),
        ({"job title": {"name": "cook"}}, "record 2: 'job_title' is one category"),
        ({"likes": [["tea"]]}, "record 2: 'likes' is a list of categories"),
        ({"likes": {"tea": 1}}, "record 2: 'likes' is a list of categories"),
        ({"bio": 7}, "record 2: 'bio' is a text. Received: 7"),
        ({"bio": ["sea"]}, "record 2: 'bio' is a text"),
        ({"user": "ann"}, "record 2: the user 'ann' is known from training"),
        ({"user": ["zoe"]}, "record 2: 'user' is an id, a text or an integer"),
        ({"user": 1.5}, "record 2: 'user' is an id"),
        ({"history": "i3"}, "record 2: 'history' is a list of item ids, most recent last. Received: 'i3'"),
        ({"history": [["i3"]]}, "record 2: 'history' is a list of item ids"),
        ({"history": [None]}, "record 2: 'history' is a list of item ids"),
        ({"history_rating": [5]}, "record 2: 'history_rating' goes with the items seen. Give these as 'history'"),
        ({"history_age": [5]}, "record 2: 'history_age' goes with the items seen"),
        ({"history": ["i3"], "history_rating": [5, 4]}, "record 2: 'history_rating' has 2 values for the 1 items"),
        ({"history": ["i3"], "history_rating": 5}, "record 2: 'history_rating' is a list of finite numbers"),
        ({"history": ["i3"], "history_rating": ["good"]}, "record 2: 'history_rating' is a list of finite numbers"),
        ({"history": ["i3"], "history_rating": [math.nan]}, "record 2: 'history_rating' is a list of finite numbers"),
        ({"history": ["i3"], "history_age": [-1]}, "record 2: 'history_age' is a list of finite numbers, the seconds"),
    ],
)
def test_a_wrong_record_is_named_with_what_it_should_be(people, record, message):
    with pytest.raises(UserError, match=message):
        read_records([{"age": 34}, record], people)


def test_ages_of_events_are_unknown_to_data_without_times(people):
    untimed = people.interactions.drop(columns="timestamp")
    schema = zoo.schema.Schema(feature for feature in people.schema if feature.name != "history_age")
    dataset = zoo.data.dataset.Dataset("untimed", schema, people.vocabularies, untimed, people.users)
    with pytest.raises(UserError, match="Unknown key of record 1 'history_age'"):
        read_records([{"history": ["i3"], "history_age": [5]}], dataset)


@pytest.mark.parametrize("record", [{}, {"age": None}, {"user": "zoe"}, {"history": [], "bio": ""}])
@pytest.mark.parametrize(("name", "also"), [("mf", ""), ("elcorec", ", history")])
def test_a_record_that_says_nothing_is_refused_with_what_could_be_said(people, record, name, also):
    model = zoo.build(name, people.schema, **zoo.info(name).tiny)
    with pytest.raises(UserError, match=f"record 1: says nothing .*{name} could use.*age, .*, member{also}[.]$"):
        check_usable(read(people, record), model, people)


def test_a_history_says_nothing_to_an_architecture_that_reads_none(people):
    model = zoo.build("mf", people.schema, **zoo.info("mf").tiny)
    user = read(people, {"history": ["i3"]})
    assert not user.is_read_by(model)
    with pytest.raises(UserError, match="record 1: says nothing of the user that mf could use"):
        check_usable(user, model, people)


def test_data_without_user_features_is_named(datasets):
    with pytest.raises(UserError, match="record 1: 'age' is unknown, because small has no user features"):
        read_records([{"age": 34}], datasets["ids"])
    model = zoo.build("mf", datasets["ids"].schema, **zoo.info("mf").tiny)
    with pytest.raises(UserError, match="mf knows a user only by the id, and small has no user features"):
        check_usable(read(datasets["ids"], {"history": [100]}), model, datasets["ids"])


# Who is alike

NUMBER = Feature("age", "user", "numeric")
within = st.floats(-2, 2)


@given(within, within, within)
@settings(max_examples=50, deadline=None)
def test_numbers_are_the_more_alike_the_nearer_they_are(asked, one, other):
    """Two standard deviations are a right angle, and so no likeness."""
    vectors = unit_vectors(NUMBER, np.array([asked, one, other])).toarray()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    likeness = vectors[1:] @ vectors[0]
    np.testing.assert_allclose(likeness, np.cos(np.array([one - asked, other - asked]) * np.pi / 4), atol=1e-12)
    if abs(one - asked) + 1e-3 < abs(other - asked):
        assert likeness[0] > likeness[1]


def test_numbers_far_from_all_others_are_as_alike_as_those_two_deviations_off():
    near, far = unit_vectors(NUMBER, np.array([-2, -1e6])).toarray()
    np.testing.assert_array_equal(near, far)


def test_categories_are_alike_in_the_share_that_they_have_in_common():
    single = Feature("job", "user", "categorical", 5)
    np.testing.assert_array_equal(unit_vectors(single, np.array([4, 1])).toarray(), [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    several = Feature("likes", "user", "categorical", 5, length=3, separator="|")
    vectors = unit_vectors(several, np.array([[2, 3, 0], [3, 1, 0], [1, 0, 0]])).toarray()
    np.testing.assert_allclose(vectors, [[0, 0, 0.5**0.5, 0.5**0.5, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]])


def test_texts_are_alike_as_their_vectors_are():
    text = Feature("bio", "user", "text", 2)
    vectors = unit_vectors(text, np.array([[3, 4], [0, 0]], np.float32)).toarray()
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def neighbors_of(dataset, record, number=6):
    users, similarity = Neighbors(model_of("mf", dataset), dataset, number).of(read(dataset, record))
    return dict(zip(dataset.vocabularies["user"].lookup(users), similarity, strict=True))


def test_the_nearest_in_age_come_first(people):
    found = neighbors_of(people, {"age": 31}, number=3)
    assert list(found) == ["bob", "cyd", "ann"]
    age = people.schema["age"]
    assert found["bob"] == pytest.approx(math.cos((31 - 30) / age.std * math.pi / 4))


def test_every_feature_weighs_alike_and_only_those_given_count(people):
    found = neighbors_of(people, {"job title": "cook", "likes": ["jazz", "tea"]})
    # One cosine of each: ann (1, 1), bob (1, 1/sqrt 2), cyd (0, 2/sqrt 6), fay (unknown, 1/sqrt 2).
    asked = [1, 0, 0, 0.5**0.5, 0.5**0.5]
    vectors = {
        "ann": [1, 0, 0, 0.5**0.5, 0.5**0.5],
        "bob": [1, 0, 0, 0, 1],
        "cyd": [0, 1, 1 / 3**0.5, 1 / 3**0.5, 1 / 3**0.5],
        "fay": [0, 0, 0, 1, 0],
    }
    expected = dict(zip(vectors, cosine_similarity([asked], list(vectors.values()))[0], strict=True))
    assert found == pytest.approx(expected)
    assert list(found) == sorted(expected, key=expected.get, reverse=True)


def test_users_of_whom_nothing_is_known_are_like_nobody(people):
    """`gus` has no row in the table of users, and so the mean of every number."""
    mean = people.schema["age"].mean
    assert "gus" not in neighbors_of(people, {"age": mean}, number=10)


def test_users_without_training_interactions_stand_in_for_nobody(people):
    bob = people.vocabularies["user"].index(["bob"])[0]
    interactions = people.interactions.copy()
    interactions.loc[interactions["user"] == bob, "part"] = "test"
    without = zoo.data.dataset.Dataset(
        people.name, people.schema, people.vocabularies, interactions, people.users, encoders=people.encoders
    )
    assert "bob" in neighbors_of(people, {"age": 31})
    assert "bob" not in neighbors_of(without, {"age": 31})


@pytest.mark.parametrize("name", ["mf", "ncf", "popularity", "ease"])
def test_scores_are_the_mean_of_the_neighbors_weighted_by_likeness(people, name):
    model = model_of(name, people)
    user = read(people, {"age": 31, "job title": "cook"})
    alike = Neighbors(model, people, 4)
    users, similarity = alike.of(user)
    assert len(users) == 4
    items = np.tile(np.arange(people.num_items), (4, 1))
    scores = model.score(people.queries(model.query_names, users, *PARTS), items)
    expected = sum(weight * row for weight, row in zip(similarity, scores, strict=True)) / similarity.sum()
    np.testing.assert_allclose(alike.scores(user), expected, atol=1e-5)


def test_there_are_no_scores_if_nobody_is_alike(people):
    alike = Neighbors(model_of("mf", people), people, 4)
    user = read(people, {"job title": "poet"})
    assert not len(alike.of(user)[0])
    assert alike.scores(user) is None
    assert alike.recommend(user, 3, np.empty(0, int)) is None


def test_the_best_items_are_neither_excluded_nor_other_than_the_candidates(people):
    alike = Neighbors(model_of("mf", people), people, 4)
    user = read(people, {"age": 31})
    scores = alike.scores(user)
    in_order = [item for item in np.argsort(-scores) if item > 1]
    items, best = alike.recommend(user, 3, np.array([0, in_order[0]]))
    assert items.tolist() == in_order[1:4]
    np.testing.assert_array_equal(best, scores[in_order[1:4]])
    items, _ = alike.recommend(user, 3, np.array([0, in_order[0]]), np.array([0, 1, in_order[5], in_order[0]]))
    assert items.tolist() == [in_order[5], 0, 0]

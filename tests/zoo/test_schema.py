from __future__ import annotations

import dataclasses
import doctest
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zoo import schema as schema_module
from zoo.errors import UserError
from zoo.schema import FIRST_KNOWN, PADDING, UNKNOWN, Feature, Schema, Vocabulary, history_features

# NumPy drops NULs at the end of a string. A test of its own is below.
raw_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
raw_integers = st.integers(-(2**62), 2**62)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(schema_module).failed == 0


# Features


@pytest.mark.parametrize(
    ("role", "kind", "message"),
    [
        ("itm", "id", "Unknown role of feature 'age' 'itm'. Did you mean 'item'?"),
        ("user", "tekst", "Unknown kind of feature 'age' 'tekst'. Did you mean 'text'?"),
    ],
)
def test_a_typo_in_a_role_or_kind_gives_the_near_names(role, kind, message):
    with pytest.raises(UserError) as error:
        Feature("age", role, kind, 5)
    assert str(error.value) == message


@pytest.mark.parametrize(("kind", "size"), [("id", 1), ("categorical", 1), ("numeric", 0), ("text", 0)])
def test_a_feature_too_small_for_its_kind_is_refused(kind, size):
    with pytest.raises(UserError, match=f"Feature 'x' has size {size}"):
        Feature("x", "user", kind, size)


@pytest.mark.parametrize(
    ("feature", "shape", "dtype"),
    [
        (Feature("user", "user", "id", 5), (), "int32"),
        (Feature("genres", "item", "categorical", 7, length=3), (3,), "int32"),
        (Feature("age", "user", "numeric"), (), "float32"),
        (Feature("history_rating", "history", "numeric", length=4), (4,), "float32"),
        (Feature("title", "item", "text", 16), (16,), "float32"),
    ],
)
def test_the_kind_and_length_decide_the_shape_and_type_of_an_input(feature, shape, dtype):
    assert (feature.shape, feature.dtype) == (shape, dtype)


def test_a_feature_cannot_be_changed_after_it_was_made():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Feature("age", "user", "numeric").size = 2  # type: ignore[misc]


# Schemas


def test_plain_ids_count_padding_and_unknown_into_the_sizes():
    schema = Schema.of_ids(num_users=3, num_items=4, history_length=5)
    assert {feature.name: feature.size for feature in schema} == {
        "user": 5,
        "item": 6,
        "history": 6,
        "history_rating": 1,
        "label": 1,
    }
    assert schema["history"].length == schema["history_rating"].length == 5


@pytest.mark.parametrize("sizes", [{"num_users": 0}, {"num_items": 0}, {"history_length": 0}])
def test_plain_ids_of_nothing_are_refused(sizes):
    with pytest.raises(UserError, match="at least 1"):
        Schema.of_ids(**sizes)


def test_two_features_of_one_name_are_refused_by_name():
    age = Feature("age", "user", "numeric")
    with pytest.raises(UserError, match="Received twice: age"):
        Schema([age, Feature("user", "user", "id", 3), age])


def test_an_unknown_feature_gives_the_near_names():
    with pytest.raises(UserError, match=r"Unknown feature 'histroy'. Did you mean 'history'"):
        Schema.of_ids()["histroy"]


def test_features_are_found_by_role_in_their_order():
    schema = Schema(
        [
            Feature("user", "user", "id", 4),
            Feature("age", "user", "numeric"),
            Feature("item", "item", "id", 4),
            Feature("hour", "context", "categorical", 26),
        ]
    )
    assert [feature.name for feature in schema.role("context", "user")] == ["user", "age", "hour"]
    assert [feature.name for feature in schema.side_features("user", "item")] == ["age"]
    assert "age" in schema
    assert "title" not in schema
    assert len(schema) == 4


def test_an_input_is_the_same_tensor_each_time():
    schema = Schema.of_ids(history_length=3)
    history = schema.input("history")
    assert history is schema.input("history")
    assert tuple(history.shape) == (None, 3)
    assert history.dtype == "int32"


def test_history_ratings_are_scaled_and_not_centred():
    ratings = history_features(10, 5, largest_rating=4.0)[1]
    assert (ratings.mean, ratings.std) == (0.0, 4.0)


@st.composite
def features(draw):
    name = draw(st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=6))
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
    return Feature(
        name,
        draw(st.sampled_from(schema_module.ROLES)),
        draw(st.sampled_from(schema_module.KINDS)),
        draw(st.integers(2, 10**6)),
        length=draw(st.none() | st.integers(1, 100)),
        separator=draw(st.none() | st.sampled_from(["|", ", ", "\t"])),
        mean=draw(numbers),
        std=draw(numbers.filter(bool)),
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(features(), max_size=6, unique_by=lambda feature: feature.name))
def test_a_schema_survives_json(made):
    schema = Schema(made)
    again = Schema.from_json(json.loads(json.dumps(schema.to_json())))
    assert again == schema
    assert hash(again) == hash(schema)
    assert again.features == tuple(made)


def test_json_leaves_out_what_is_at_its_default():
    described = Schema([Feature("age", "user", "numeric", std=2.0)]).to_json()
    assert described == [{"name": "age", "role": "user", "kind": "numeric", "std": 2.0}]


def test_schemas_with_other_features_differ():
    assert Schema.of_ids(num_users=3) != Schema.of_ids(num_users=4)


# Vocabularies


@settings(max_examples=100, deadline=None)
@given(st.lists(raw_texts, min_size=1, max_size=20, unique=True))
@example(["7", "007", " 7", "7.0", "-1"])
def test_any_texts_go_to_indices_and_back(values):
    vocabulary = Vocabulary(values)
    indices = vocabulary.index(values)
    assert indices.tolist() == list(range(FIRST_KNOWN, FIRST_KNOWN + len(values)))
    assert vocabulary.lookup(indices).tolist() == values
    assert vocabulary.size == len(vocabulary) + 2 == len(values) + 2


@settings(max_examples=100, deadline=None)
@given(st.lists(raw_integers, min_size=1, max_size=20, unique=True))
@example([-1, 0, 1])
def test_any_integers_go_to_indices_and_back(values):
    vocabulary = Vocabulary(values)
    indices = vocabulary.index(values)
    assert indices.tolist() == list(range(FIRST_KNOWN, FIRST_KNOWN + len(values)))
    assert vocabulary.lookup(indices).tolist() == values
    assert vocabulary.index([str(value) for value in values]).tolist() == indices.tolist()
    assert vocabulary.padding_value not in values


@settings(max_examples=50, deadline=None)
@given(st.lists(raw_texts, min_size=1, unique=True) | st.lists(raw_integers, min_size=1, unique=True))
def test_a_vocabulary_survives_json(values):
    vocabulary = Vocabulary(values)
    again = Vocabulary(json.loads(vocabulary.dumps()))
    assert again == vocabulary
    assert again.padding_value == vocabulary.padding_value


def test_texts_with_leading_zeros_are_ids_of_their_own():
    vocabulary = Vocabulary(["007", "7"])
    assert not vocabulary.is_integer
    assert vocabulary.index(["7", "007", "07"]).tolist() == [3, 2, UNKNOWN]


def test_an_integer_id_with_leading_zeros_is_another_id():
    assert Vocabulary([7]).index(["7", "007", "+7", "7.0", 7.0, 7.5, "seven", None]).tolist() == [
        2,
        UNKNOWN,
        UNKNOWN,
        UNKNOWN,
        2,
        UNKNOWN,
        UNKNOWN,
        UNKNOWN,
    ]


def test_a_text_vocabulary_of_numbers_takes_integers_too():
    assert Vocabulary(["7", "x"]).index([7, "x"]).tolist() == [2, 3]


@pytest.mark.parametrize(
    ("values", "padding"),
    [([3, 1], -1), ([0], -1), ([-1, 5], -2), ([-10, -1], -11), (["a"], ""), ([], "")],
)
def test_padding_is_a_raw_value_that_no_id_has(values, padding):
    vocabulary = Vocabulary(values)
    assert vocabulary.padding_value == padding
    assert vocabulary.index([padding]).tolist() == [PADDING]
    assert vocabulary.lookup(np.array([PADDING, UNKNOWN])).tolist() == [padding, padding]


def test_minus_one_is_known_where_it_is_a_real_id():
    vocabulary = Vocabulary([-1, 5])
    assert vocabulary.index([-1, "-1", -2, 6]).tolist() == [2, 2, PADDING, UNKNOWN]
    assert -1 in vocabulary
    assert -2 not in vocabulary


def test_values_that_were_never_seen_are_unknown():
    vocabulary = Vocabulary(["a", "b"])
    assert vocabulary.index(["b", "c", "a", ""]).tolist() == [3, UNKNOWN, 2, PADDING]
    assert vocabulary.index([]).tolist() == []
    assert vocabulary.index(["b"]).dtype == np.int32


@pytest.mark.parametrize("values", [["a", "b", "a"], [1, 2, 1], [1, "1"]])
def test_the_same_value_twice_is_refused(values):
    with pytest.raises(UserError, match="same value twice"):
        Vocabulary(values)


def test_an_empty_text_is_refused_because_it_means_padding():
    with pytest.raises(UserError, match="empty string"):
        Vocabulary(["a", ""])


def test_lookup_keeps_the_shape_of_the_indices():
    found = Vocabulary([10, 20]).lookup(np.array([[2, 3], [0, 1]]))
    assert found.tolist() == [[10, 20], [-1, -1]]


def test_vocabularies_are_equal_if_values_types_and_order_are():
    assert Vocabulary(["a", "b"]) == Vocabulary(["a", "b"])
    assert Vocabulary(["a", "b"]) != Vocabulary(["b", "a"])
    assert Vocabulary([1]) != Vocabulary(["1"])


def test_infinity_is_an_unknown_integer():
    assert Vocabulary([1]).index([float("inf")]).tolist() == [UNKNOWN]


def test_a_text_that_ends_in_nul_is_an_id_like_any_other():
    assert Vocabulary(["a\0"]).index(["a\0"]).tolist() == [2]


@pytest.mark.parametrize("value", [2**63, -(2**63), -(2**70)])
def test_integers_beyond_64_bits_are_refused(value):
    with pytest.raises(UserError, match="64 bits"):
        Vocabulary([1, value])


@given(
    known=st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=20, unique=True),
    more=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
)
def test_an_array_of_integers_is_looked_up_as_its_values_one_by_one(known, more):
    vocabulary = Vocabulary(known)
    asked = [*known[::2], *more, vocabulary.padding_value]
    np.testing.assert_array_equal(vocabulary.index(np.array(asked, np.int64)), vocabulary.index(asked))

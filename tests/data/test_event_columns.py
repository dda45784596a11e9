from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tables import prepared

from zoo.data.dataset import Dataset
from zoo.data.request_time import WORDS, is_known_at_request
from zoo.data.table import ALIASES
from zoo.errors import UserError
from zoo.schema import Role

AT_REQUEST = {"at_request": True}


def purchases(num_users: int = 60, num_items: int = 20, each: int = 8, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(user, item) for user in range(num_users) for item in rng.choice(num_items, each, replace=False)]
    return pd.DataFrame(rows, columns=["user", "item"])


def names(data: Dataset, role: Role) -> list[str]:
    return [feature.name for feature in data.schema.side_features(role)]


def note_of(data: Dataset, column: str) -> str:
    (note,) = [note for note in data.notes if repr(column) in note]
    return note


# Names


@pytest.mark.parametrize(
    "name",
    [
        *("hour", "hour_of_day", "hourOfDay", "day-of-week", "isWeekend", "month", "Season", "timezone"),
        *("device", "device_type", "deviceOS", "OSVersion", "browser", "app", "platform", "channel", "mobile"),
        *("country", "user_country", "Country Code", "region", "city", "location", "lat", "lon", "geo-zip", "lat1"),
        *("session", "session_id", "SessionID", "sessionid", "referrer", "language", "locale"),
    ],
)
def test_times_devices_places_and_sessions_are_known_by_their_names(name):
    assert is_known_at_request(name)


@pytest.mark.parametrize(
    "name",
    [
        *("close", "apple", "hours", "latest", "cost", "dayton", "geology", "unit_price", "quantity", "user_id", ""),
        *("session_duration", "app_rating", "watch_hour", "city_price", "locationDistance", "préc app", "價格 app"),
    ],
)
def test_any_other_word_makes_a_name_unknown(name):
    assert not is_known_at_request(name)


# The use of a column


def test_a_recognised_column_is_a_feature_of_requests():
    frame = purchases()
    data = prepared(frame.assign(device=np.random.default_rng(1).choice(["tv", "phone"], len(frame))))
    assert names(data, "context") == ["device"]


def test_other_columns_are_left_out_with_one_note_that_says_how_to_declare_them():
    frame, rng = purchases(), np.random.default_rng(1)
    data = prepared(frame.assign(quantity=rng.integers(1, 9, len(frame)), discount=rng.random(len(frame))))
    assert names(data, "context") == names(data, "item") == names(data, "user") == []
    assert "quantity" not in data.interactions
    assert note_of(data, "quantity") == note_of(data, "discount")
    assert "features: {quantity: {at_request: true}}" in note_of(data, "quantity")


@pytest.mark.parametrize("key", ["quantity", "context_quantity"])
def test_a_declared_column_is_a_feature_of_requests(key):
    frame = purchases()
    quantities = np.random.default_rng(1).integers(1, 40, len(frame))
    data = prepared(frame.assign(quantity=quantities), features={key: {"kind": "numeric", **AT_REQUEST}})
    assert names(data, "context") == ["quantity"]
    feature = data.schema["quantity"]
    np.testing.assert_allclose(data.interactions["quantity"] * feature.std + feature.mean, quantities, rtol=1e-4)


def test_a_kind_does_not_declare_a_column():
    frame = purchases()
    data = prepared(frame.assign(quantity=np.arange(len(frame)) % 7), features={"quantity": "numeric"})
    assert not names(data, "context")
    assert "at_request" in note_of(data, "quantity")


def test_a_recognised_column_can_be_declared_unknown():
    frame = purchases()
    devices = np.random.default_rng(1).choice(["tv", "phone"], len(frame))
    data = prepared(frame.assign(device=devices), features={"device": {"at_request": False}})
    assert not names(data, "context")
    assert "left out" in note_of(data, "device")


def test_a_column_with_one_value_an_item_is_a_feature_of_items():
    frame = purchases()
    frame["price"] = frame["item"] * 1.5
    frame.loc[frame["item"] == 3, "price"] = None
    frame.loc[frame.index[frame["item"] == 4][1:], "price"] = None
    data = prepared(frame)
    assert names(data, "context") == []
    feature, values = data.schema["price"], data.items["price"]
    assert feature.role == "item"
    items = data.vocabularies["item"].values
    expected = [0 if item == 3 else (item * 1.5 - feature.mean) / feature.std for item in items]
    np.testing.assert_allclose(values[2:], expected, atol=1e-6)
    assert "one value for each item" in note_of(data, "price")


def test_a_title_in_the_interactions_is_shown():
    frame = purchases()
    data = prepared(frame.assign(title=[f"The story of {item}" for item in frame["item"]]))
    assert data.titles[2:].tolist() == [f"The story of {item}" for item in data.vocabularies["item"].values]
    assert data.schema["title"].kind == "text"


def test_a_column_with_one_value_a_user_is_a_feature_of_users():
    frame = purchases()
    data = prepared(frame.assign(team=[f"t{user % 5}" for user in frame["user"]], country="x"))
    assert names(data, "user") == ["team"]
    found = data.vocabularies["team"].lookup(data.users["team"][2:])
    assert list(found) == [f"t{user % 5}" for user in data.vocabularies["user"].values]
    assert "one value for each user" in note_of(data, "team")


def test_options_of_an_item_feature_hold_if_it_comes_from_the_interactions():
    frame = purchases()
    data = prepared(frame.assign(size=frame["item"] % 4), features={"item_size": "numeric"})
    assert (data.schema["size"].role, data.schema["size"].kind) == ("item", "numeric")


def test_the_table_of_items_wins_over_the_interactions():
    frame = purchases()
    items = pd.DataFrame({"item": range(20), "price": np.arange(20) + 0.5})
    data = prepared(frame.assign(price=frame["item"] * 2.5), items=items)
    assert names(data, "item") == ["price"]
    assert data.schema["price"].mean == pytest.approx(10.0)
    assert "the items table has it too" in note_of(data, "price")


def test_attributes_from_the_interactions_stand_beside_those_of_the_table():
    frame = purchases()
    items = pd.DataFrame({"item": range(15), "colour": ["red", "blue", "red"] * 5})
    data = prepared(frame.assign(price=frame["item"] * 2.5), items=items)
    assert names(data, "item") == ["colour", "price"]
    assert (data.items["colour"][17:] == 1).all()
    assert len(np.unique(data.items["price"][2:])) == 20


def test_a_declared_column_with_one_value_an_item_stays_a_feature_of_requests_with_a_note():
    frame = purchases()
    data = prepared(frame.assign(price=frame["item"] * 1.5), features={"price": AT_REQUEST})
    assert names(data, "context") == ["price"]
    assert "tells 100% of what the item is" in note_of(data, "price")


def test_an_attribute_whose_value_is_no_number_is_an_error_with_its_row():
    frame = purchases()
    prices = [f"{item}.5" if item else "free" for item in frame["item"]]
    row = prices.index("free") + 1
    with pytest.raises(UserError, match=f"interactions, row {row}, column 'price': expected a number"):
        prepared(frame.assign(price=prices), features={"price": "numeric"})


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            {"quantity": {"at_request": "yes"}},
            "'yes' is not true or false: option 'at_request' of feature 'quantity'",
        ),
        ({"colour": AT_REQUEST}, "Feature 'colour' takes no at_request"),
        ({"item_colour": AT_REQUEST}, "Feature 'item_colour' takes no at_request"),
        ({"quantty": AT_REQUEST}, "Unknown column in features 'quantty'. Did you mean 'quantity'"),
    ],
)
def test_a_declaration_of_another_column_is_an_error(features, message):
    frame = purchases()
    items = pd.DataFrame({"item": range(20), "colour": ["red", "blue"] * 10})
    with pytest.raises(UserError, match=message):
        prepared(frame.assign(quantity=np.arange(len(frame)) % 7), items=items, features=features)


# How many repeats it takes


def test_a_column_proves_nothing_where_no_item_repeats():
    frame = pd.DataFrame({"user": range(60), "item": range(60), "price": np.arange(60) * 1.5})
    assert not names(prepared(frame), "item")


def test_a_column_proves_nothing_where_only_the_same_user_repeats_an_item():
    frame = pd.DataFrame({"user": range(60), "item": range(60), "price": np.arange(60) * 1.5})
    assert not names(prepared(pd.concat([frame] * 3), duplicates="keep"), "item")


@pytest.mark.parametrize(("repeats", "role"), [(6, None), (7, "item")])
def test_ten_prices_prove_an_attribute_from_seven_repeats_on(repeats, role):
    items = [*range(10), *range(repeats)]
    frame = pd.DataFrame({"user": range(10 + repeats), "item": items, "price": np.array(items) + 0.5})
    # Two rows have the most frequent price.
    share = 2 / (10 + repeats)
    assert (share**repeats < 1e-6) == (role is not None)
    assert names(prepared(frame), "item") == (["price"] if role else [])


# Columns that nearly tell the item


def near_the_item(frame: pd.DataFrame, noise: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = rng.normal(size=frame["item"].max() + 1)
    return places[frame["item"]] + rng.normal(0, noise, len(frame))


@pytest.mark.parametrize(("noise", "is_used"), [(0.05, False), (0.15, False), (0.5, True), (3.0, True)])
def test_a_recognised_column_that_nearly_tells_the_item_is_left_out(noise, is_used):
    frame = purchases()
    data = prepared(frame.assign(latitude=near_the_item(frame, noise)))
    assert names(data, "context") == (["latitude"] if is_used else [])
    if not is_used:
        assert "features: {latitude: {at_request: true}}" in note_of(data, "latitude")


def test_a_few_wrong_numbers_do_not_hide_a_column_that_tells_the_item():
    frame = purchases()
    frame["latitude"] = near_the_item(frame, 0.05)
    frame.loc[[3, 90], "latitude"] = 1e4
    assert not names(prepared(frame), "context")


def test_a_category_that_an_item_has_several_of_its_own_of_is_left_out():
    frame = purchases()
    versions = np.random.default_rng(1).integers(0, 3, len(frame))
    data = prepared(frame.assign(app=[f"{item}-{one}" for item, one in zip(frame["item"], versions, strict=True)]))
    assert not names(data, "context")


def test_a_column_that_was_left_out_leaves_no_vocabulary_behind():
    frame = purchases()
    frame["app"] = [f"a{item}" for item in frame["item"]]
    frame.loc[7, "app"] = "other"
    data = prepared(frame)
    assert "app" not in data.vocabularies
    assert "app" not in data.interactions


RECOGNISED = st.sampled_from([word for words in WORDS.values() for word in words.split()])
TAKEN = {"user", "item", *ALIASES, *(alias for aliases in ALIASES.values() for alias in aliases)}
WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)
NAME = st.one_of(
    RECOGNISED,
    RECOGNISED.map(str.title),
    st.builds("{}_{}".format, RECOGNISED, st.sampled_from(["id", "type", "code", "name"])),
    st.builds("{}-{}".format, WORD, WORD),
    WORD,
).filter(lambda name: name.lower() not in TAKEN)


def planted(kind: str, items: np.ndarray, is_noisy: bool, rng: np.random.Generator) -> np.ndarray:
    """A column that tells the items: exactly, or with noise on numbers and 2% of other values wrong."""
    number = int(items.max()) + 1
    if kind == "numbers":
        values = rng.permutation(number) * 1.25
        return values[items] + (rng.normal(0, 0.1 * values.std(), len(items)) if is_noisy else 0)
    seen = np.where(rng.random(len(items)) < 0.02, rng.integers(0, number, len(items)), items) if is_noisy else items
    codes = rng.permutation(number)[seen]
    if kind == "categories":
        return np.array([f"c{code}" for code in codes], object)
    if kind == "dates":
        return np.array([str(pd.Timestamp("2020-01-01") + pd.Timedelta(days=int(code)))[:10] for code in codes], object)
    return np.array([f"the story of hero{code} and of town{code}" for code in codes], object)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    name=NAME,
    kind=st.sampled_from(["numbers", "categories", "dates", "texts"]),
    is_noisy=st.booleans(),
    num_items=st.integers(8, 60),
    each=st.integers(12, 20),
    seed=st.integers(0, 10**6),
)
def test_no_feature_of_requests_tells_the_item(name, kind, is_noisy, num_items, each, seed):
    rng = np.random.default_rng(seed)
    items = np.repeat(np.arange(num_items), each)
    frame = pd.DataFrame({"user": rng.permutation(len(items)) % (num_items + 7), "item": items})
    data = prepared(frame.assign(**{name: planted(kind, items, is_noisy, rng)}), duplicates="keep")
    assert not data.schema.role("context")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["normal", "skewed", "rare", "categories", "many", "rare category"]),
    num_users=st.integers(2, 30),
    num_items=st.integers(2, 40),
    rows=st.integers(4, 300),
    seed=st.integers(0, 10**6),
)
def test_columns_that_have_nothing_to_do_with_items_or_users_stay_features_of_requests(
    kind, num_users, num_items, rows, seed
):
    rng = np.random.default_rng(seed)
    # Some users and items are far more frequent than others.
    users, items = ((number * rng.random(rows) ** 2).astype(int) for number in (num_users, num_items))
    values = {
        "normal": lambda: rng.normal(size=rows),
        "skewed": lambda: np.exp(4 * rng.normal(size=rows)),
        "rare": lambda: np.where(rng.random(rows) < 0.02, 1e6, 0.5) + rng.random(rows),
        "categories": lambda: rng.choice(["tv", "phone"], rows),
        "many": lambda: np.array([f"c{code}" for code in rng.integers(0, rows // 3 + 1, rows)]),
        "rare category": lambda: np.where(rng.random(rows) < 0.02, "tv", "phone"),
    }[kind]()
    frame = pd.DataFrame({"user": users, "item": items, "device": values})
    data = prepared(
        frame,
        duplicates="keep",
        features={"device": "numeric" if kind in ("normal", "skewed", "rare") else "categorical"},
    )
    assert names(data, "context") == ["device"]

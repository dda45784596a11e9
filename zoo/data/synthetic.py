"""A synthetic dataset with a known preference function, so that the best reachable metric is known too."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from zoo.data.dataset import Dataset
from zoo.data.preparation import prepare
from zoo.errors import UserError

CATEGORIES: dict[str, tuple[str, ...]] = {
    "kitchen": ("kettle", "pan", "knife", "oven", "bowl", "spoon"),
    "garden": ("spade", "seed", "hose", "rake", "pot", "soil"),
    "sport": ("ball", "racket", "shoe", "net", "glove", "helmet"),
    "music": ("guitar", "drum", "string", "amplifier", "flute", "tuner"),
    "books": ("novel", "atlas", "poem", "essay", "comic", "diary"),
    "toys": ("puzzle", "robot", "block", "kite", "doll", "train"),
    "travel": ("suitcase", "map", "tent", "pillow", "torch", "bottle"),
    "office": ("pen", "paper", "stapler", "chair", "lamp", "folder"),
}
ADJECTIVES = ("small", "large", "light", "sturdy", "classic", "modern", "soft", "bright")
TAGS = ("new", "sale", "gift", "handmade", "vegan", "premium", "refurbished", "limited")
SEGMENTS = ("student", "family", "professional", "retired")
DEVICES = ("desktop", "phone", "tablet")

_LATENT = 4
_FIRST_SECOND = 1_600_000_000
_USERS_AT_ONCE = 1024


@dataclasses.dataclass
class Preferences:
    """How much every user likes every item, as a product of two low-rank tables.

    Args:
        users: `[num_users, rank]`.
        items: `[num_items, rank]`.
    """

    users: np.ndarray
    items: np.ndarray

    def of(self, users: np.ndarray) -> np.ndarray:
        """The utility of every item for some users; items are drawn with odds of its exponential."""
        return self.users[users] @ self.items.T


def make_synthetic(
    num_users: int = 1000,
    num_items: int = 500,
    num_interactions: int = 30_000,
    *,
    seed: int = 0,
    **options: Any,
) -> Dataset:
    """Makes a synthetic dataset with features of every kind and a planted preference function.

    Every user draws items without replacement, each with a probability that grows with its utility:
    the popularity of the item, how user and item agree in hidden traits, how the user's segment
    likes the item's category and tags, and how the user's age goes with its price. The order of the
    draws is the order in time. The device does not change what is chosen, only the rating.

    Args:
        num_users: Users.
        num_items: Items. The catalogue holds those that someone drew.
        num_interactions: About how many interactions there are.
        seed: Seed of the data and of the split.
        **options: What `prepare` takes.

    Returns:
        A `Dataset`. Its `facts` have `best_ndcg@10` and `best_hr@10`: what ranking by the true
        probabilities reaches on the test part, all other interactions of the user left out.

    Raises:
        UserError: If there are too few or too many interactions for the users and items.

    Example:

    >>> data = make_synthetic(50, 40, 500)
    >>> sorted(data.facts)
    ['best_hr@10', 'best_ndcg@10']
    """
    if num_users < 1 or num_items < 8:
        raise UserError(f"Expected 1 user and 8 items at least. Received: {num_users} and {num_items}.")
    if not 3 * num_users <= num_interactions <= num_users * num_items // 4:
        raise UserError(
            f"Expected num_interactions from {3 * num_users} (3 a user) to {num_users * num_items // 4} "
            f"(a quarter of the items a user). Received: {num_interactions}."
        )
    rng = np.random.default_rng(seed)
    users, user_traits = _users(num_users, rng)
    items, item_traits = _items(num_items, rng)
    preferences = Preferences(user_traits, item_traits)
    interactions = _interactions(users, items, preferences, num_interactions, rng)
    options = {"name": "synthetic", "seed": seed, **options}
    data = prepare(interactions, users, items, **options)
    data.facts.update(best_metrics(data, preferences))
    return data


def best_metrics(data: Dataset, preferences: Preferences, k: int = 10) -> dict[str, float]:
    """The figures that a ranking by the true preferences reaches on the test part.

    Args:
        data: The dataset.
        preferences: The preferences its interactions were drawn from; the row of a user or item is
            the number in its id.
        k: How many items are recommended.

    Returns:
        `best_ndcg@k` and `best_hr@k`, averaged over the users with test items; empty without any.
    """
    user_rows, item_rows = (
        np.array([int(value[1:]) - 1 for value in data.vocabularies[role].values]) for role in ("user", "item")
    )
    test, others = data.part("test"), data.part("train", "valid", "query")
    tested = np.unique(test["user"])
    discounts = 1 / np.log2(np.arange(k) + 2)
    ndcgs, hits = [], []
    for start in range(0, len(tested), _USERS_AT_ONCE):
        batch = tested[start : start + _USERS_AT_ONCE]
        utility = preferences.of(user_rows[batch - 2])[:, item_rows]
        utility[_cells(others, batch)] = -np.inf
        is_relevant = np.zeros(utility.shape, bool)
        is_relevant[_cells(test, batch)] = True
        top = np.argsort(-utility, axis=1)[:, :k]
        found = np.take_along_axis(is_relevant, top, axis=1)
        ideal = np.cumsum(discounts)[np.minimum(is_relevant.sum(axis=1), k) - 1]
        ndcgs.append(found @ discounts[: top.shape[1]] / ideal)
        hits.append(found.any(axis=1))
    if not len(tested):
        return {}
    return {
        f"best_ndcg@{k}": float(np.concatenate(ndcgs).mean()),
        f"best_hr@{k}": float(np.concatenate(hits).mean()),
    }


def _cells(rows: pd.DataFrame, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column, in a table of these users by the catalogue, of their interactions."""
    rows = rows[rows["user"].isin(users)]
    return np.searchsorted(users, rows["user"].to_numpy()), rows["item"].to_numpy() - 2


def _users(count: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    segment = rng.integers(len(SEGMENTS), size=count)
    age = np.clip(rng.normal(np.array([22, 38, 45, 68])[segment], 5), 16, 95).round()
    table = pd.DataFrame({"user": _ids("u", count), "age": age, "segment": np.array(SEGMENTS)[segment]})
    likes_category = rng.normal(0, 1.2, (len(SEGMENTS), len(CATEGORIES)))
    likes_tag = rng.normal(0, 0.3, (len(SEGMENTS), len(TAGS)))
    traits = [
        np.ones((count, 1)),  # popularity, the same for everyone
        rng.normal(0, 1, (count, _LATENT)),
        likes_category[segment],
        likes_tag[segment],
        ((age - age.mean()) / 20)[:, None],
    ]
    return table, np.concatenate(traits, axis=1)


def _items(count: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    category = rng.integers(len(CATEGORIES), size=count)
    price = np.exp(rng.normal(3, 0.8, count)).round(2)
    has_tag = rng.random((count, len(TAGS))) < 0.2
    names = np.array(list(CATEGORIES))[category]
    table = pd.DataFrame(
        {
            "item": _ids("i", count),
            "price": price,
            "category": names,
            "tags": ["|".join(np.array(TAGS)[row]) for row in has_tag],
            "description": [_describe(name, rng) for name in names],
        }
    )
    log_price = np.log(price)
    traits = [
        -0.7 * np.log(rng.permutation(count) + 1.0)[:, None],  # a power law over the ranks
        rng.normal(0, 0.6, (count, _LATENT)),
        np.eye(len(CATEGORIES))[category],
        has_tag,
        ((log_price - log_price.mean()) / log_price.std())[:, None],
    ]
    return table, np.concatenate(traits, axis=1)


def _describe(category: str, rng: np.random.Generator) -> str:
    adjectives = rng.choice(ADJECTIVES, 2, replace=False)
    words = rng.choice(CATEGORIES[category], 3, replace=False)
    return f"{adjectives[0]} {words[0]} with {adjectives[1]} {words[1]} and {words[2]}"


def _interactions(
    users: pd.DataFrame, items: pd.DataFrame, preferences: Preferences, count: int, rng: np.random.Generator
) -> pd.DataFrame:
    num_users, num_items = len(users), len(items)
    activity = rng.lognormal(0, 0.6, num_users)
    events = 3 + rng.multinomial(count - 3 * num_users, activity / activity.sum())
    events = np.minimum(events, num_items // 2)
    chosen_users, chosen_items, utilities = [], [], []
    for start in range(0, num_users, _USERS_AT_ONCE):
        batch = np.arange(start, min(start + _USERS_AT_ONCE, num_users))
        utility = preferences.of(batch)
        # Sorting by utility plus Gumbel noise is drawing one after the other without replacement.
        order = np.argsort(-(utility + rng.gumbel(size=utility.shape)), axis=1)
        row, place = np.nonzero(np.arange(num_items) < events[batch][:, None])
        chosen_users.append(batch[row])
        chosen_items.append(order[row, place])
        utilities.append(utility[row, order[row, place]])
    user, item, utility = map(np.concatenate, (chosen_users, chosen_items, utilities))
    device = rng.choice(len(DEVICES), len(user), p=[0.4, 0.45, 0.15])
    liking = (utility - utility.mean()) / utility.std() - 0.5 * (device == 1)
    rating = np.clip(np.round(3.4 + liking + rng.normal(0, 0.5, len(user))), 1, 5)
    # Whole seconds of at least one between a user's events, so that their order is never in doubt.
    waited = np.cumsum(1 + rng.exponential(20_000, len(user)).astype(np.int64))
    first = np.cumsum(events) - events
    since_first = waited - np.repeat(waited[first], events)
    begun = np.repeat(rng.integers(0, 5_000_000, num_users), events)
    return pd.DataFrame(
        {
            "user": users["user"].to_numpy()[user],
            "item": items["item"].to_numpy()[item],
            "rating": rating,
            "timestamp": _FIRST_SECOND + begun + since_first,
            "device": np.array(DEVICES)[device],
        }
    ).sort_values("timestamp", kind="stable")


def _ids(letter: str, count: int) -> list[str]:
    return [f"{letter}{number:04d}" for number in range(1, count + 1)]

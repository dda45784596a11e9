"""A recommender against popularity: the same question to both, about the same users or interactions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from zoo.evaluation.differences import paired_interval, verdict
from zoo.evaluation.evaluation import Evaluation, Margin
from zoo.evaluation.protocols import PROTOCOLS, is_headline
from zoo.evaluation.samples import sample_users, users_that_fit
from zoo.families import Recommender, Towers
from zoo.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zoo.data.dataset import Dataset, Part
    from zoo.evaluation.interval import Resampling

# The architecture that says what is popular.
BASELINE = "popularity"


def popularity_of(dataset: Dataset) -> Recommender:
    """The recommender whose score of an item is how often training has it, whoever asks.

    It ranks as the architecture `popularity` does, by one product instead of a look-up for every user and item, and it
    needs no interactions, which a stream does not keep.
    """
    schema = Schema(dataset.schema)
    user, item = schema.input("user"), schema.input("item")
    counts = ops.convert_to_tensor(dataset.popularity.astype(np.float32)[:, None])
    model = Towers(query=ops.cast(ops.ones_like(user), "float32")[:, None], item=ops.take(counts, item, axis=0))
    model.describe(BASELINE, {}, dataset.schema)
    return model


def margin_over_popularity(
    evaluation: Evaluation, dataset: Dataset, part: Part, ks: Sequence[int], resampling: Resampling
) -> Margin | None:
    """What an evaluation is worth beside popularity, paired over users.

    Where users and items are many, popularity ranks for a sample of the users.

    Args:
        evaluation: An evaluation of a recommender.
        dataset: The data, prepared for its protocol.
        part: The held-out part.
        ks: Where its metrics are cut.
        resampling: How the interval of the difference is made.

    Returns:
        A `Margin` in the metric that stands for the protocol; `None` if popularity says nothing of it, as of ratings.
    """
    protocol = PROTOCOLS[evaluation.protocol]
    told = protocol.popularity_names(ks)
    metric = next((name for name in evaluation.metrics if name in told and is_headline(protocol.name, name)), None)
    if metric is None:
        return None
    if not protocol.is_of_rows:
        dataset = sample_users(dataset, part, users_that_fit(dataset.num_items))
    # In a thread of its own, which is outside of the scope of several workers. Variables that one worker makes alone
    # would wait for those of the others.
    with ThreadPoolExecutor(1) as outside:
        popularity = outside.submit(popularity_of, dataset).result()
    baseline = protocol.answers(popularity, dataset, part, ks)
    own = evaluation.of_users(baseline.users)
    difference = paired_interval(metric, own, baseline, resampling)
    return Margin(metric, difference, verdict(metric, difference, resampling["resamples"]), len(baseline.users))

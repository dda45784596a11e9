"""The zoo's `ials` beside `AlternatingLeastSquares` of the `implicit` library, both with vectors of 64.

Measures seconds of the fit, and NDCG@10 on MovieLens 1M in the split of He et al. (2017), arXiv:1708.05031. A held-out
item is ranked against 99 given items (sampled) and against all items that the user has not seen (whole). implicit runs
with its defaults, and `ials` gives unseen items the same weight. Both use all cores and take turns. Each is scored by
its own method: implicit by its user vectors, `ials` by folding in the histories.
"""

# pip install implicit

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # implicit asks for this.

import argparse
import statistics
import time
from pathlib import Path

import keras
import numpy as np
from implicit.als import AlternatingLeastSquares

import zoo
from zoo.data import load_dataset
from zoo.solvers.cooccurrence import positives
from zoo.training.fitting import interaction_matrix

HPARAMS = {"embedding_dim": 64, "regularization": 0.002, "unobserved_weight": 1.0, "epochs": 5}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data-root", type=Path, default=os.environ.get("ZOO_DATA"), help="Folder of ml-1m.")
parser.add_argument("--repeats", type=int, default=5)
arguments = parser.parse_args()

data = load_dataset("ml-1m-ncf", data_root=arguments.data_root, max_history=None)
interactions = positives(interaction_matrix(data))
held_out = data.part("test")
users, items = held_out["user"].to_numpy(), held_out["item"].to_numpy()


def fit_zoo(seed):
    """A trained `ials`."""
    keras.utils.set_random_seed(seed)
    model = zoo.build("ials", data.schema, **HPARAMS)
    return model, timed(lambda: model.solver(interactions))


def fit_implicit(seed):
    """A trained `AlternatingLeastSquares`."""
    model = AlternatingLeastSquares(factors=64, random_state=seed)
    return model, timed(lambda: model.fit(interactions, show_progress=False))


def timed(function):
    """Seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def scores_of_zoo(model):
    """`[users, items]` scores."""
    every = np.arange(data.num_items)[None]
    batches = np.array_split(users, 32)
    queries = (data.queries(model.query_names, batch, "train") for batch in batches)
    return np.concatenate(
        [
            model.score(query, np.repeat(every, len(batch), axis=0))
            for query, batch in zip(queries, batches, strict=True)
        ]
    )


def scores_of_implicit(model):
    """`[users, items]` scores."""
    return model.user_factors[users] @ model.item_factors.T


def ndcg(scores):
    """NDCG@10 against the given candidates and the whole catalogue. Ties rank the held-out item last."""
    rows = np.arange(len(users))
    own = scores[rows, items][:, None]
    candidates = data.candidates["test"][users]
    ahead = (scores[rows[:, None], candidates] >= own) & (candidates != items[:, None])
    ranks = {"sampled": ahead.sum(axis=1)}
    seen = interactions[users].toarray() > 0
    seen[rows, items] = True
    ranks["whole"] = ((scores >= own) & ~seen)[:, 2:].sum(axis=1)
    return {name: np.where(rank < 10, 1 / np.log2(rank + 2), 0).mean() for name, rank in ranks.items()}


peers = {"ials": (fit_zoo, scores_of_zoo), "implicit": (fit_implicit, scores_of_implicit)}
seconds: dict[str, list[float]] = {name: [] for name in peers}
for repeat in range(arguments.repeats):
    for name, (fit, scores_of) in peers.items():
        model, taken = fit(repeat)
        seconds[name].append(taken)
        if repeat == 0:
            figures = ndcg(scores_of(model))
            print(f"{name}: NDCG@10 {figures['sampled']:.4f} sampled, {figures['whole']:.4f} whole")
for name, taken in seconds.items():
    print(f"{name}: {statistics.median(taken):.2f} s a fit ({min(taken):.2f} to {max(taken):.2f})")
ratios = [ours / theirs for ours, theirs in zip(*seconds.values(), strict=True)]
print(f"ials takes {statistics.median(ratios):.2f} of implicit's time ({min(ratios):.2f} to {max(ratios):.2f})")

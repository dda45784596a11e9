"""Matrix factorization by a plain SGD loop on one thread, to compare the time of `mf` with, on MovieLens 1M.

The model, the loss and the settings are those of Rendle et al. (2020), arXiv:2005.09683: a dot product with biases,
logistic loss, 8 uniform negatives a positive, evaluated on the split of He et al. (2017), arXiv:1708.05031. The script
imports nothing of recozoo.
"""

# pip install numba

import argparse
import os
import time
from pathlib import Path

import numba
import numpy as np

DIM, NEGATIVES, LEARNING_RATE, L2, STDDEV = 192, 8, 0.002, 0.005, 0.1


@numba.njit(fastmath=True)
def epoch(users, items, order, U, V, user_bias, item_bias, bias):
    """Passes over the positives in the given order and updates the parameters in place after every sample."""
    rate, decay = np.float32(LEARNING_RATE), np.float32(1 - LEARNING_RATE * L2)
    for row in order:
        user = users[row]
        u = U[user]
        for sample in range(1 + NEGATIVES):
            item = items[row] if sample == 0 else np.random.randint(len(V))
            v = V[item]
            logit = bias[0] + user_bias[user] + item_bias[item]
            for d in range(DIM):
                logit += u[d] * v[d]
            step = rate * (np.float32(sample == 0) - np.float32(1) / (np.float32(1) + np.exp(-logit)))
            for d in range(DIM):
                u[d], v[d] = decay * u[d] + step * v[d], decay * v[d] + step * u[d]
            user_bias[user] = decay * user_bias[user] + step
            item_bias[item] = decay * item_bias[item] + step
            bias[0] = decay * bias[0] + step


@numba.njit
def seed_of_loop(seed):
    """Seeds the generator of compiled code, which is another than NumPy's."""
    np.random.seed(seed)


def evaluate(U, V, item_bias, split):
    """HR@10 and NDCG@10 of each user's test item against 99 given negatives. Ties rank the test item last."""
    users = split["test_user"].astype(np.int64)
    candidates = np.column_stack([split["test_item"], split["test_negative"]]).astype(np.int64)
    scores = np.einsum("ud,und->un", U[users], V[candidates]) + item_bias[candidates]
    # A user's negatives may contain the test item itself, which does not count as a competitor.
    ahead = (scores[:, 1:] >= scores[:, :1]) & (candidates[:, 1:] != candidates[:, :1])
    rank = ahead.sum(axis=1)
    return np.mean(rank < 10), np.mean(np.where(rank < 10, 1 / np.log2(rank + 2), 0))


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("ZOO_DATA", "data")))
parser.add_argument("--epochs", type=int, default=216)
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

split = np.load(arguments.data_root / "ml-1m" / "ncf_loo.npz")
users, items = split["train_user"].astype(np.int64), split["train_item"].astype(np.int64)
num_users, num_items = users.max() + 1, len(split["item_to_movieid"])

rng = np.random.default_rng(arguments.seed)
U = rng.normal(0, STDDEV, (num_users, DIM)).astype(np.float32)
V = rng.normal(0, STDDEV, (num_items, DIM)).astype(np.float32)
user_bias, item_bias, bias = (np.zeros(size, np.float32) for size in (num_users, num_items, 1))

seed_of_loop(arguments.seed)
epoch(users, items, np.arange(0), U, V, user_bias, item_bias, bias)  # This compiles the function.
start = time.perf_counter()
for number in range(1, arguments.epochs + 1):
    epoch_start = time.perf_counter()
    epoch(users, items, rng.permutation(len(users)), U, V, user_bias, item_bias, bias)
    print(f"epoch {number}: {time.perf_counter() - epoch_start:.2f} s")
seconds = time.perf_counter() - start

hit_rate, ndcg = evaluate(U, V, item_bias, split)
print(f"{seconds / arguments.epochs:.2f} s an epoch, {seconds:.1f} s in all, HR@10 {hit_rate:.4f}, NDCG@10 {ndcg:.4f}")

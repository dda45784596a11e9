"""Whole-catalogue evaluation: seconds, users a second and memory of ranking every item for every user, with metrics.

The data is MovieLens 1M, split at random, with 10 items a user and without seen items. `--users` and `--items` make a
random table of that size instead. The weights are random, because training makes no difference to the time.
"""

import argparse
import os
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd

import zoo
from zoo.data import load_dataset, prepare
from zoo.evaluation.bootstrap import mean_intervals
from zoo.evaluation.ranking import per_user_ranking

PER_USER = 100

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data-root", type=Path, default=os.environ.get("ZOO_DATA"), help="Folder of ml-1m.")
parser.add_argument("--model", default="mf")
parser.add_argument("--users", type=int, help="Users of a random table, instead of MovieLens.")
parser.add_argument("--items", type=int, default=100_000, help="Items of that table.")
parser.add_argument("--repeats", type=int, default=5)
arguments = parser.parse_args()

if arguments.users:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(arguments.users), PER_USER)
    # The square makes some items much more popular than others. Every item is in the table.
    items = (rng.random(len(users)) ** 2 * arguments.items).astype(int)
    items[: arguments.items] = np.arange(arguments.items)[: len(items)]
    data = prepare(pd.DataFrame({"user": users, "item": items}), name="random table", split="random")
else:
    if arguments.data_root is None or not (arguments.data_root / "ml-1m" / "ratings.dat").exists():
        parser.error("Give the folder that holds ml-1m/ratings.dat by --data-root or ZOO_DATA, or give --users.")
    data = load_dataset("ml-1m", data_root=arguments.data_root, split="random")

model = zoo.build(arguments.model, data.schema)
model.adapt(items=data.items)


def megabytes() -> float:
    """The most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


before, seconds = megabytes(), []
for _ in range(1 + arguments.repeats):
    start = time.perf_counter()
    users, per_user = per_user_ranking(model, data, "test", ks=(10,))
    seconds.append(time.perf_counter() - start)
first, *seconds = seconds
middle, peak = statistics.median(seconds), megabytes()
print(f"{data.name}, {arguments.model}: {len(users):,} users x {len(data.vocabularies['item']):,} items")
print(f"ranking and metrics: {middle:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}; the first call {first:.2f})")
print(f"{len(users) / middle:,.0f} users a second; at most {peak:,.0f} MB in use, {before:,.0f} of them before")

start = time.perf_counter()
mean_intervals(per_user)
print(f"intervals of {len(per_user)} metrics by 1,000 resamples: {time.perf_counter() - start:.2f} s")

"""Train on a pandas table of your own, with user and item features, and export a verified bundle."""

import argparse

import numpy as np
import pandas as pd

import export
import zoo
from zoo.data import prepare

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default="bundles/shop")
parser.add_argument("--epochs", type=int, default=5)
arguments = parser.parse_args()

# Replace these three tables with your own. Only the first is needed.
rng = np.random.default_rng(0)
orders = pd.DataFrame(
    {
        "customer": rng.integers(0, 200, 4000),
        "sku": [f"sku-{number:03d}" for number in rng.zipf(1.3, 4000) % 150],
        "bought_at": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 90 * 24, 4000), unit="h"),
        "channel": rng.choice(["web", "app"], 4000),
    }
)
customers = pd.DataFrame({"customer": range(200), "age": rng.integers(18, 80, 200)})
products = pd.DataFrame(
    {
        "sku": [f"sku-{number:03d}" for number in range(150)],
        "title": [f"{rng.choice(['red', 'blue'])} {rng.choice(['shirt', 'shoe', 'hat'])} no {n}" for n in range(150)],
        "price": rng.gamma(2.0, 20.0, 150).round(2),
    }
)

data = prepare(
    orders,
    customers,
    products,
    name="shop",
    columns={"customer": "user", "sku": "item", "bought_at": "timestamp"},
    features={"title": "text"},
    max_history=20,
    split="leave-last-out",
)
for note in data.notes:
    print(note)
print(data.schema)

run = zoo.train("two_tower", data, train={"epochs": arguments.epochs})
print(run.recommend(data.vocabularies["user"].to_json()[:2], k=3).to_string(index=False))
bundle = export.export(run, arguments.out, k=20, overwrite=True, report=print)
print(f"Published {bundle.folder}")

"""Train an architecture on a named dataset, compare it with the baseline and recommend."""

import argparse

import zoo
from zoo.data import load_dataset
from zoo.evaluation.bootstrap import difference_interval

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", default="synthetic")
parser.add_argument("--model", default="mf")
parser.add_argument("--epochs", type=int, default=20)
arguments = parser.parse_args()

data = load_dataset(arguments.data)
run = zoo.train(arguments.model, data, train={"epochs": arguments.epochs})
baseline = zoo.train("popularity", data)

mine, theirs = run.evaluate(), baseline.evaluate()
gain = difference_interval(mine.per_user["ndcg@10"], theirs.per_user["ndcg@10"])
print(f"{mine.protocol}: {mine.about}")
print(f"{arguments.model} has NDCG@10 {mine.metrics['ndcg@10'].mean:.4f}, {gain.mean:+.4f} compared with popularity")
print(f"(95% interval of the difference: {gain.low:+.4f} to {gain.high:+.4f})")

users = data.vocabularies["user"].to_json()[:2]
print(run.recommend(users, k=3).to_string(index=False))
